"""From Binance depth updates to a book: the rules of sequence, and what is known of a level before it is told.

The rules (developers.binance.com, "How to manage a local order book correctly", USDⓈ-M): updates are kept until the REST
snapshot comes; those with `u` < lastUpdateId are dropped; the first one used covers lastUpdateId; then each `pu` equals the
`u` before it. This module adds what a recording needs beyond them:

- **A gap** (`pu` beyond the last `u`): updates are lost, any level may be wrong, and a stale level can cross the book. The
  book starts anew from the updates that follow, until the next snapshot.
- **No snapshot**: the book grows from the updates alone. A level is told when it changes, so the book lacks what rests
  unchanged, but holds nothing wrong.
- **First sight of a level**: its quantity before is not known, so its change is no order flow. It is set with the flag
  SNAPSHOT, which metrics of flow do not count. Known are the levels told since the book began, and every price in the
  snapshot's range, whether a level stood there or not.
- **Overlap** (`pu` before the last `u`, `u` after it) loses nothing: quantities are absolute.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from monitor.sources import SourceError

KEPT_UPDATES: Final = 4096
"""Updates kept for a snapshot that is older than they are. At one every 30 ms that is two minutes; REST answers in one."""


OLDER_THAN_SNAPSHOT: Final = "depth update older than the snapshot"
BEFORE_GAP: Final = "depth update before a gap, with no snapshot yet"

_NO_PRICE: Final = 2**62


class Update(NamedTuple):
    """One depth update in ticks and lots."""

    first: int
    last: int
    previous: int
    keys: list[int]
    """2 · price + side of each level."""
    lots: list[int]


class Change(NamedTuple):
    """What a book is told: first GAP and CLEAR if so, then levels."""

    keys: list[int]
    lots: list[int]
    quiet: list[bool]
    """Whether a level is set without being order flow."""
    gap: bool = False
    clear: bool = False
    dropped: int = 0
    """Updates that were kept back and turned out to be of no use."""


class DepthBook:
    """One symbol's sequence of depth updates and snapshots."""

    def __init__(self, await_snapshot: bool) -> None:
        """`await_snapshot`: the recording is known to hold a snapshot soon, so the updates before it are kept back."""
        self.awaiting = await_snapshot
        self._last: int | None = None
        self._snapshot = -1
        self._gaps: deque[tuple[int, int]] = deque(maxlen=64)
        self._kept: deque[Update] = deque(maxlen=KEPT_UPDATES)
        self._begin_anew()

    def update(self, update: Update, where: str) -> Change | str:
        """What one update changes, or the reason why it is not used. While a snapshot is awaited, nothing changes yet.

        Raises:
            SourceError: it lies in a gap that was found before, so the file is out of order.
        """
        if not update.previous <= update.last >= update.first:
            return "depth update with ids that do not rise"
        if self._last is not None and update.last <= self._last:
            if any(low < update.last <= high for low, high in self._gaps):
                raise SourceError(
                    f"depth update {update.last} comes after update {self._last}, which it precedes",
                    where,
                    "The frames are out of order: give the file as it was recorded",
                )
            return OLDER_THAN_SNAPSHOT if update.last <= self._snapshot else "depth update that came before"
        gap = self._last is not None and update.previous > self._last
        dropped = 0
        if gap:
            assert self._last is not None
            self._gaps.append((self._last, update.previous))
            dropped = len(self._kept)
            self._kept.clear()
        self._last = update.last
        self._kept.append(update)
        if self.awaiting:
            if len(self._kept) == KEPT_UPDATES:
                return self.give_up()
            return Change([], [], [], gap=gap, dropped=dropped)
        if gap:
            self._begin_anew()
        return Change(update.keys, update.lots, self._first_sights(update.keys), gap=gap, clear=gap)

    def snapshot(self, last_update: int, keys: list[int], lots: list[int]) -> Change | str:
        """The book of a snapshot, brought up to the newest update; or the reason why the snapshot is not used."""
        newer = [update for update in self._kept if update.last >= last_update]
        behind = self._last is not None and last_update < self._last
        if behind and (not newer or newer[0].previous > last_update):
            return "snapshot older than the depth updates at hand"
        dropped = len(self._kept) - len(newer) if self.awaiting else 0
        self.awaiting = False
        self._begin_anew()
        # No bid stood above the lowest of the snapshot but those in it, and no ask below the highest.
        self._lowest_bid = min((key >> 1 for key in keys if not key & 1), default=0)
        self._highest_ask = max((key >> 1 for key in keys if key & 1), default=_NO_PRICE)
        self._snapshot = last_update
        self._last = max(last_update, self._last or 0)
        return self._enter([(keys, lots), *((update.keys, update.lots) for update in newer)], dropped)

    def give_up(self) -> Change:
        """No snapshot comes after all, or none that can be used: the book of the updates kept back."""
        self.awaiting = False
        return self._enter([(update.keys, update.lots) for update in self._kept], 0)

    def _enter(self, parts: list[tuple[list[int], list[int]]], dropped: int) -> Change:
        book: dict[int, int] = {}
        for keys, lots in parts:
            book.update(zip(keys, lots, strict=True))
        self._known.update(book)
        told = {key: quantity for key, quantity in book.items() if quantity > 0}
        return Change(list(told), list(told.values()), [True] * len(told), clear=True, dropped=dropped)

    def _begin_anew(self) -> None:
        self._known: set[int] = set()
        self._lowest_bid = _NO_PRICE
        self._highest_ask = -1

    def _first_sights(self, keys: list[int]) -> list[bool]:
        known = self._known
        sights = [key not in known for key in keys]
        if True in sights:
            for i, key in enumerate(keys):
                if sights[i]:
                    known.add(key)
                    price = key >> 1
                    sights[i] = price > self._highest_ask if key & 1 else price < self._lowest_bid
        return sights
