"""The seal of a run's summary: one hash over all of it that does not depend on the wall clock."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

UNSEALED: Final = ("seal", "wall")
"""Keys the seal leaves out: itself, and the figures that the wall clock decides."""

_encoder: Final = msgspec.json.Encoder(order="sorted")


def seal(summary: Mapping[str, Any]) -> str:
    """SHA-256 of `summary` without the keys in UNSEALED, as canonical JSON."""
    return hashlib.sha256(_encoder.encode({key: value for key, value in summary.items() if key not in UNSEALED})).hexdigest()
