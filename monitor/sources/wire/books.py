"""The sequence of one symbol's book on a venue's stream: snapshot, updates, gaps, and pictures of the whole.

The rules: a snapshot begins the book. An update must follow the one that it names; one that was there already is left out.
Where one is missing, any level may be wrong: the book begins anew with the next snapshot, and updates until then are of no
use (a live connection asks for one). Streams without numbers are taken as they come. On a stream of whole pictures the
difference to the one before is flow.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from monitor.sources.binance_depth import Change

BEFORE_SNAPSHOT: Final = "book update before the first snapshot"
AFTER_GAP: Final = "book update after a gap, with no snapshot yet"
NOT_KEPT: Final = "book update too long before its snapshot"
ALREADY_TOLD: Final = "book update that came before"
TOO_OLD: Final = "snapshot older than the updates at hand"

KEPT_UPDATES: Final = 1024
"""Updates that are kept for a snapshot that is older than they are."""


class Step(NamedTuple):
    """An update in ticks and lots. `keys` are 2 · price + side."""

    keys: list[int]
    lots: list[int]
    is_snapshot: bool
    is_full: bool
    is_quiet: bool
    sequence: int | None
    previous: int | None


class BookState(NamedTuple):
    """What a `StreamBook` knows."""

    book: dict[int, int] | None
    last: int | None
    had_gap: bool
    seen: set[int] | None
    kept: list[Step]


class StreamBook:
    """What is known of one symbol's book.

    `grows`: without a snapshot it begins empty, and the first sight of a level is no flow. `keeps`: snapshots are asked for
    beside the stream, so one may be older than the updates at hand: the newer ones are applied to it again.
    """

    def __init__(self, *, grows: bool = False, keeps: bool = False) -> None:
        self._book: dict[int, int] | None = None
        self._last: int | None = None
        self._had_gap = False
        self._grows = grows
        self._keeps = keeps or grows
        self._seen: set[int] | None = None
        self._kept: deque[Step] = deque(maxlen=KEPT_UPDATES)

    @property
    def needs_snapshot(self) -> bool:
        """Updates are of no use until one comes."""
        return self._book is None

    def step(self, step: Step) -> Change | str:
        """What a step changes, or the reason why it is not used."""
        if step.is_snapshot:
            return self._begin(step)
        if step.is_full:
            return self._picture(step)
        if self._book is None:
            if not self._grows:
                return self._wait(step)
            self._book, self._seen = {}, set()
        if self._last is not None and step.sequence is not None:
            if step.sequence <= self._last:
                return ALREADY_TOLD
            if step.previous is not None and step.previous > self._last:
                self.lose()
                return Change([], [], [], gap=True, clear=True)
        self._last = step.sequence if step.sequence is not None else self._last
        if self._keeps:
            self._kept.append(step)
        if self._seen is not None:
            quiet = [key not in self._seen for key in step.keys]
            self._seen.update(step.keys)
            self._book.update(zip(step.keys, step.lots, strict=True))
            return Change(step.keys, step.lots, quiet)
        changed = [n for n, key in enumerate(step.keys) if self._book.get(key, 0) != step.lots[n]]
        keys, lots = [step.keys[n] for n in changed], [step.lots[n] for n in changed]
        self._book.update(zip(keys, lots, strict=True))
        return Change(keys, lots, [step.is_quiet] * len(keys))

    def lose(self) -> None:
        """What is known is not to be trusted any more: a gap, or a connection that was lost."""
        self._book = None
        self._last = None
        self._seen = None
        self._kept.clear()
        self._had_gap = True

    def _wait(self, step: Step) -> Change | str:
        """An update without a book: kept for the snapshot that was asked for, or of no use."""
        if not self._keeps or step.sequence is None:
            return AFTER_GAP if self._had_gap else BEFORE_SNAPSHOT
        if self._kept and step.sequence <= (self._kept[-1].sequence or 0):
            return ALREADY_TOLD
        if self._kept and step.previous is not None and step.previous > (self._kept[-1].sequence or 0):
            self._kept.clear()  # no snapshot can bridge this
        is_full = len(self._kept) == self._kept.maxlen
        self._kept.append(step)
        return NOT_KEPT if is_full else Change([], [], [])

    def _begin(self, step: Step) -> Change | str:
        newer = [kept for kept in self._kept if step.sequence is not None and (kept.sequence or 0) > step.sequence]
        if newer and newer[0].previous is not None and step.sequence is not None and newer[0].previous > step.sequence:
            self._book, self._seen = None, None
            return TOO_OLD
        self._book = {key: size for key, size in zip(step.keys, step.lots, strict=True) if size > 0}
        self._seen = None
        self._last = step.sequence
        for kept in newer:
            self._book.update(zip(kept.keys, kept.lots, strict=True))
            self._last = kept.sequence
        self._book = {key: size for key, size in self._book.items() if size > 0}
        return Change(list(self._book), list(self._book.values()), [True] * len(self._book), clear=True)

    def state(self) -> BookState:
        """All that it knows, for a snapshot."""
        return BookState(self._book, self._last, self._had_gap, self._seen, list(self._kept))

    def restore(self, state: BookState) -> None:
        """Goes on where `state` was taken."""
        self._book, self._last, self._had_gap, self._seen = state.book, state.last, state.had_gap, state.seen
        self._kept = deque(state.kept, maxlen=KEPT_UPDATES)

    def _picture(self, step: Step) -> Change:
        now = {key: size for key, size in zip(step.keys, step.lots, strict=True) if size > 0}
        before, self._book = self._book, now
        if before is None:
            return Change(list(now), list(now.values()), [True] * len(now), clear=True)
        keys = [key for key in before if key not in now]
        lots = [0] * len(keys)
        for key, size in now.items():
            if before.get(key) != size:
                keys.append(key)
                lots.append(size)
        return Change(keys, lots, [not _inside(key, before, now) for key in keys])


def _inside(key: int, before: dict[int, int], now: dict[int, int]) -> bool:
    """Whether both pictures reach as far as this level: beyond, it came into view or went out of it, which is no flow."""
    side = key & 1
    ends = []
    for picture in (before, now):
        prices = [other for other in picture if other & 1 == side]
        if not prices:
            return True
        ends.append(max(prices) if side else min(prices))
    return key <= min(ends) if side else key >= max(ends)
