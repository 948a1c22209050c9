"""What a connection must know of each symbol's book: whether its sequence holds, or a snapshot is needed.

The sequences are those that feed checks, too (`monitor.sources.wire.books`), here without the levels: when feed says gap, the
connection has said so before and asked for a snapshot.
"""

from __future__ import annotations

import time
from typing import Any

from monitor.sources.wire.books import Step, StreamBook
from monitor.sources.wire.messages import BookUpdate, Frame, NotUsedError, Venue
from monitor.sources.wire.telling import parsed


class Watch:
    """The sequences of the symbols of one connection."""

    def __init__(self, venue: Venue, symbols: tuple[str, ...]) -> None:
        self._venue = venue
        self._memory: dict[Any, Any] = {}
        self._books = {symbol: StreamBook(keeps=venue.asks) for symbol in symbols}
        self._since = dict.fromkeys(symbols, time.monotonic())

    def see(self, frame: Frame) -> list[str]:
        """Takes a frame in. Returns the symbols it told a book of that need a snapshot now."""
        try:
            messages = parsed(self._venue, frame, self._memory)
        except NotUsedError:
            return []
        wanting = []
        for message in messages:
            book = self._books.get(message.symbol)
            if book is None or not isinstance(message, BookUpdate):
                continue
            had = not book.needs_snapshot
            book.step(Step([], [], message.is_snapshot, message.is_full, message.is_quiet, message.sequence, message.previous))
            if book.needs_snapshot:
                wanting.append(message.symbol)
                if had:
                    self._since[message.symbol] = time.monotonic()
        return wanting

    def needs(self, symbol: str) -> bool:
        """Whether the symbol's book is of no use yet."""
        return self._books[symbol].needs_snapshot

    def without_book_s(self) -> float:
        """For how long the symbol that has waited longest has been without a book."""
        now = time.monotonic()
        return max((now - self._since[name] for name, book in self._books.items() if book.needs_snapshot), default=0.0)
