"""Closed windows into blobs, and blobs into the stream `metrics`: each window once, never too far ahead of its readers."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from monitor.bus.commit import Output, SetValue, Value
from monitor.bus.position import START, Position
from monitor.metrics.rows import ROW_BYTES, encode_accounts, encode_block
from monitor.roles.follower import SCHEMA_VERSION
from monitor.roles.runtime import Role

if TYPE_CHECKING:
    from monitor.bus.meta import RunMeta
    from monitor.metrics.rows import Phase
    from monitor.metrics.windows import Block

BLOB_WINDOWS: Final = 256
BLOB_BYTES: Final = 4 << 20
BLOB_SECONDS: Final = 1.0
"""A blob is closed at the first of these limits: small enough to be handed on soon, large enough that the cost of a commit
and of its readers' commits does not count when catching up."""

AHEAD_BYTES: Final = 64 << 20
"""How much may be published that the slowest reader has not committed. Live, this is hours, so that one dead reader does
not stop the others; at full speed it bounds the server's memory."""

_LOOK_S: Final = 0.02


class Publisher:
    """Publishes for one feed. Windows up to the checkpoint were published by an earlier process and are left out.

    `wall_ns` says when an event time was due on the wall clock: it goes with each blob so that lag can be measured, and is
    used for nothing else. `counters` gives what happened since the start of the run, `is_drill` whether a drill went on in
    the window that ends at a time.
    """

    def __init__(
        self,
        role: Role,
        meta: RunMeta,
        readers: tuple[str, ...],
        wall_ns: Callable[[int], int],
        counters: Callable[[], Mapping[str, Any]],
        is_drill: Callable[[int], bool],
    ) -> None:
        self._role = role
        self._meta = meta
        self._readers = readers
        self._wall_ns = wall_ns
        self._counters = counters
        self._is_drill = is_drill
        self._most_windows = max(1, min(BLOB_WINDOWS, BLOB_BYTES // (len(meta.instruments) * ROW_BYTES)))
        self._pending: list[Block] = []
        self._pending_windows = 0
        self._since = 0.0
        self._ahead: deque[tuple[Position, int]] = deque()
        self._ahead_bytes = 0

    @property
    def published(self) -> int:
        """Index of the last window that stands in the stream, 0 before the first."""
        return self._role.committer.position.window

    def phase(self, window_end_ns: int) -> Phase:
        """What a window is to whoever looks: HISTORY before a venue goes live, LIVE, DRILL, or REPLAY of a recording."""
        if self._meta.live_from_ns is None:
            return "REPLAY"
        if window_end_ns <= self._meta.live_from_ns:
            return "HISTORY"
        return "DRILL" if self._is_drill(window_end_ns) else "LIVE"

    def add(self, block: Block) -> None:
        """Takes closed windows; publishes as many blobs as are full."""
        index = block.window_end_ns // self._meta.step_ns
        start = int(np.searchsorted(index, self.published, side="right"))
        phases = [self.phase(end_ns) for end_ns in block.window_end_ns.tolist()]
        while start < len(index):
            phase = phases[start]
            if self._pending and phase != self.phase(int(self._pending[-1].window_end_ns[-1])):
                self.flush()
            most = min(len(index), start + self._most_windows - self._pending_windows)
            stop = next((w for w in range(start, most) if phases[w] != phase), most)
            if not self._pending:
                self._since = time.monotonic()
            self._pending.append(block.cut(start, stop))
            self._pending_windows += stop - start
            start = stop
            if self._pending_windows >= self._most_windows:
                self.flush()

    def flush_if_old(self) -> None:
        """Publishes what has been pending for too long."""
        if self._pending and time.monotonic() - self._since >= BLOB_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Publishes what is pending as one blob."""
        if not self._pending:
            return
        last = self._pending[-1]
        ends = (int(self._pending[0].window_end_ns[0]), int(last.window_end_ns[-1]))
        position = Position(ends[1] // self._meta.step_ns)
        phase = self.phase(ends[1])
        rows = encode_block(self._pending, self._meta.symbols, phase)
        accounts = encode_accounts(self._pending)
        fields: dict[str, Value] = {
            "v": SCHEMA_VERSION,
            "first": ends[0] // self._meta.step_ns,
            "last": position.window,
            "prev": str(self._role.committer.position),
            "phase": phase,
            "counters": self._counted(),
            "closed_wall_ns": self._wall_ns(ends[1]),
            "rows": rows,
            "accounts": accounts,
        }
        sets = [SetValue(self._role.keys.books, symbol, book) for symbol, book in last.books(self._meta.instruments)]
        self._wait_for_readers()
        self._role.committer.commit(position, [Output(self._role.keys.metrics, position, fields)], sets)
        self._ahead.append((position, len(rows) + len(accounts)))
        self._ahead_bytes += len(rows) + len(accounts)
        self._pending = []
        self._pending_windows = 0

    def end(self, closing: Mapping[str, Any]) -> None:
        """Publishes what is pending and the run's end, with what only the end of a source tells."""
        self.flush()
        committer = self._role.committer
        position = committer.position.end()
        fields: dict[str, Value] = {
            "v": SCHEMA_VERSION,
            "prev": str(committer.position),
            "end": 1,
            "counters": self._counted(),
            "closing": json.dumps(closing, sort_keys=True),
        }
        committer.commit(position, [Output(self._role.keys.metrics, position, fields)])

    def _counted(self) -> str:
        return json.dumps(self._counters(), sort_keys=True)

    def _wait_for_readers(self) -> None:
        while self._ahead_bytes > AHEAD_BYTES:
            behind = self._slowest()
            while self._ahead and self._ahead[0][0] <= behind:
                self._ahead_bytes -= self._ahead.popleft()[1]
            if self._ahead_bytes > AHEAD_BYTES:
                self._role.beat("waiting")
                time.sleep(_LOOK_S)

    def _slowest(self) -> Position:
        pipe = self._role.redis.pipeline(transaction=False)
        for reader in self._readers:
            pipe.hget(self._role.keys.role(reader), "position")
        replies: list[Any] = pipe.execute()
        return min(START if reply is None else Position.parse(reply) for reply in replies)
