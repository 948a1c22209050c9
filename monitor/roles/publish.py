"""Closed windows into blobs, and blobs into the stream `metrics`: each window once, never too far ahead of its readers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from monitor.bus.commit import Output, SetValue
from monitor.bus.position import Position
from monitor.metrics.rows import block_to_rows, encode_rows
from monitor.roles.follower import SCHEMA_VERSION
from monitor.roles.runtime import Role

if TYPE_CHECKING:
    from monitor.bus.meta import RunMeta
    from monitor.metrics.windows import Block

BLOB_WINDOWS: Final = 256
BLOB_BYTES: Final = 4 << 20
BLOB_SECONDS: Final = 1.0
"""A blob is closed at the first of these limits: small enough to be handed on soon, large enough that a commit's cost
(about a millisecond with all its readers') does not count when catching up."""

AHEAD_BYTES: Final = 64 << 20
"""How much feed may publish that the slowest reader has not committed. Live, this is hours: a dead reader does not stop
the others soon. At full speed it keeps the server's memory bounded."""

_LOOK_BYTES: Final = AHEAD_BYTES // 8


class Publisher:
    """Publishes for one feed. Windows up to the checkpoint were published before this process started and are left out."""

    def __init__(self, role: Role, meta: RunMeta, readers: tuple[str, ...], wall_ns: Callable[[int], int]) -> None:
        self._role = role
        self._meta = meta
        self._readers = readers
        self._wall_ns = wall_ns
        self._pending: list[Block] = []
        self._pending_windows = 0
        self._pending_bytes = 0
        self._pending_since = 0.0
        self._ahead: deque[tuple[Position, int]] = deque()
        self._ahead_bytes = 0
        self._looked_bytes = 0
        self.windows = 0
        """Windows closed so far, those published by an earlier process included."""

    @property
    def position(self) -> Position:
        return self._role.committer.position
