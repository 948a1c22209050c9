"""The audit chain: one record a window, each holding the hash of the one before.

A record is one line of canonical JSON (keys sorted, no space, shortest floats). Its last step is `hash`: SHA-256 of the
same line without that key. No record holds a wall-clock time or a run id, so two runs over the same rows give the same
chain. The first record names symbols, metrics and the whole pack; so a chain can be judged with nothing but the metrics.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.guardrails.verdict import RuleState

SCHEMA_VERSION: Final = 1
NO_PREVIOUS: Final = "0" * 64

_encoder: Final = msgspec.json.Encoder(order="sorted")
_quiet_nan: Final = np.float64(np.nan)


class Chain(msgspec.Struct):
    """The end of a chain, to which records are added."""

    head: str = NO_PREVIOUS
    count: int = 0

    def seal(self, content: Mapping[str, Any]) -> bytes:
        """The next record as its canonical line, without a line end. Moves the chain's end to it."""
        body: dict[str, Any] = {**content, "v": SCHEMA_VERSION, "n": self.count, "prev": self.head}
        self.head = hashlib.sha256(_encoder.encode(body)).hexdigest()
        self.count += 1
        return _encoder.encode({**body, "hash": self.head})


def rows_sha256(window_end_ns: int, values: npt.NDArray[np.float64]) -> str:
    """Hash of one window's metric rows: the end as int64, then [S, M] float64, little-endian, every NaN the same."""
    canonical = np.where(np.isnan(values), _quiet_nan, values).astype("<f8", copy=False)
    return hashlib.sha256(window_end_ns.to_bytes(8, "little", signed=True) + canonical.tobytes()).hexdigest()


def states_sha256(states: list[list[RuleState]]) -> str:
    """Hash of every rule's state for every symbol after a window, rules in pack order."""
    return hashlib.sha256(_encoder.encode(states)).hexdigest()
