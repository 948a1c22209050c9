"""What is told by frames, as contract events: one `Teller` for recordings and live connections alike.

Book updates become LEVEL, trades TRADE (in the book they show as LEVEL), tickers REFERENCE. Event time is the venue's; where a
frame has none, it is the recorder's clock plus the median difference of the two. It never goes back within one symbol's book.
What the recorder itself remarks (`recorded`) becomes CLOCK and GAP. Where there are two clocks, the longest that a frame of a
symbol took in a second is told as the reference value FEED_LAG.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

import msgspec

from engine.contract import MICRO, EventFlag, EventKind, Reference
from engine.instruments import Instrument
from monitor.sources.binance_batch import EventBatch
from monitor.sources.binance_depth import Change
from monitor.sources.wire.books import BookState, Step, StreamBook
from monitor.sources.wire.envelopes import Line
from monitor.sources.wire.messages import BookUpdate, Frame, Message, NotUsedError, Ticker, Trade, Venue
from monitor.sources.wire.recorded import Lost, Remark

LARGEST: Final = 2**40
"""Ticks and lots beyond this are no price and no quantity."""
RECENT_TRADES: Final = 4096
FARTHEST_NS: Final = 60_000_000_000
"""A frame of a live stream whose time is farther than this from the recorder's has a wrong one."""
FAR: Final = "frame whose time is more than a minute from the recorder's"

_MICRO_BPS: Final = 10**10
_SECOND_NS: Final = 1_000_000_000
_DIFFERENCES: Final = 512
"""Frames by which the venue's clock is compared with the recorder's: some seconds of a busy stream."""
_FEW: Final = 16


class Stream:
    """One stream of frames: its venue, what its parser remembers, and how far the venue's clock is ahead of the recorder's.

    `follows`: the difference of the clocks is that of the last frames, as in a stream that goes on for days; otherwise it stays
    what it is set to.
    """

    def __init__(self, venue: Venue, *, follows: bool = False) -> None:
        self.venue = venue
        self.memory: dict[Any, Any] = {}
        self.offset_ns = 0
        self.follows = follows
        self.second = 0
        self.differences: deque[int] = deque(maxlen=_DIFFERENCES)

    def compare(self, ts_ns: int, local_ns: int) -> None:
        """Notes a frame with both times."""
        self.differences.append(ts_ns - local_ns)
        if len(self.differences) < _FEW:
            self.settle()

    def settle(self) -> None:
        """Takes the noted differences for the present one."""
        if self.differences:
            self.offset_ns = round(median(self.differences))


class _Symbol:
    """What is carried from frame to frame of one symbol."""

    def __init__(self, number: int, instrument: Instrument, *, grows: bool, keeps: bool) -> None:
        self.number = number
        self.tick = instrument.tick
        self.lot = instrument.lot
        self.book = StreamBook(grows=grows, keeps=keeps)
        self.book_ns = 0
        self.recent: set[str] = set()
        self.order: deque[str] = deque()
        self.lag_ns: int | None = None
        self.newest_ns = 0


class _SymbolState(msgspec.Struct):
    book: BookState
    book_ns: int
    order: list[str]
    lag_ns: int | None
    newest_ns: int


class _State(msgspec.Struct):
    symbols: dict[str, _SymbolState]
    gaps: dict[str, int]
    memory: dict[Any, Any]
    offset_ns: int
    second: int
    differences: list[int]


class Teller:
    """Makes events of frames, symbol by symbol.

    Args:
        instruments: symbol k of an event is `instruments[k]`.
        grows: symbols whose book may begin without a snapshot (see `StreamBook`).
        keeps: symbols whose snapshots are asked for beside the stream.
        unusable: symbols that are there and cannot be used.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        *,
        grows: frozenset[str] = frozenset(),
        keeps: frozenset[str] = frozenset(),
        unusable: Mapping[str, str] | None = None,
    ) -> None:
        self._symbols = {
            each.symbol: _Symbol(k, each, grows=each.symbol in grows, keeps=each.symbol in keeps)
            for k, each in enumerate(instruments)
        }
        self._unusable = unusable or {}
        self.gaps: Counter[str] = Counter()
        """Holes in the sequence of a symbol's book, connections lost included."""

    def remark(self, remark: Remark, stream: Stream, local_ns: int, batch: EventBatch) -> None:
        """What the recorder itself says."""
        if isinstance(remark, Lost):
            for name in remark.symbols:
                symbol = self._symbols.get(name)
                if symbol is not None:
                    self.gaps[name] += 1
                    symbol.book_ns = max(symbol.book_ns, local_ns + stream.offset_ns)
                    if remark.book:
                        symbol.book.lose()
                    batch.add_change(symbol.book_ns, symbol.number, Change([], [], [], gap=True, clear=remark.book))
            return
        stream.settle()
        if remark == "clock" and stream.differences:
            batch.add(local_ns + stream.offset_ns, -1, int(EventKind.CLOCK))

    def tell(self, stream: Stream, line: Line, batch: EventBatch) -> list[str]:
        """A frame's events into `batch`. Returns why what of it is not used: one reason a message; empty if all is."""
        if line.local_ns // _SECOND_NS != stream.second:
            stream.second = line.local_ns // _SECOND_NS
            self._tell_lags(batch)
        try:
            messages = parsed(stream.venue, line.frame, stream.memory)
        except NotUsedError as error:
            return [str(error)]
        if not messages:
            return ["frame that tells nothing"]
        refused = []
        for message in messages:
            reason = self._tell_message(message, stream, line.local_ns, batch)
            if reason:
                refused.append(reason)
        return refused

    def snapshot(self, stream: Stream) -> bytes:
        """All that is carried from frame to frame, of one stream."""
        symbols = {
            name: _SymbolState(each.book.state(), each.book_ns, list(each.order), each.lag_ns, each.newest_ns)
            for name, each in self._symbols.items()
        }
        differences = list(stream.differences)
        state = _State(symbols, dict(self.gaps), stream.memory, stream.offset_ns, stream.second, differences)
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes, stream: Stream) -> None:
        """Goes on where `snapshot` was taken, with the same instruments. Raises ValueError for what is no such state."""
        found = msgspec.msgpack.decode(state, type=_State)
        if found.symbols.keys() != self._symbols.keys():
            raise ValueError("the snapshot is of other symbols")
        for name, each in found.symbols.items():
            symbol = self._symbols[name]
            symbol.book.restore(each.book)
            symbol.book_ns, symbol.lag_ns, symbol.newest_ns = each.book_ns, each.lag_ns, each.newest_ns
            symbol.order, symbol.recent = deque(each.order), set(each.order)
        self.gaps = Counter(found.gaps)
        stream.memory, stream.offset_ns, stream.second = found.memory, found.offset_ns, found.second
        stream.differences = deque(found.differences, maxlen=_DIFFERENCES)

    def _tell_message(self, message: Message, stream: Stream, local_ns: int, batch: EventBatch) -> str | None:
        symbol = self._symbols.get(message.symbol)
        if symbol is None:
            return "symbol that cannot be used" if message.symbol in self._unusable else "symbol not in the first frames"
        if message.ts_ns and local_ns and stream.follows:
            is_far = bool(stream.differences) and abs(message.ts_ns - local_ns - stream.offset_ns) > FARTHEST_NS
            stream.compare(message.ts_ns, local_ns)
            if is_far:
                return FAR
        ts_ns = message.ts_ns or local_ns + stream.offset_ns
        if ts_ns <= 0 or (not message.ts_ns and not local_ns):
            return "frame without a time, in a recording without a clock"
        if isinstance(message, BookUpdate):
            refused = self._tell_book(message, symbol, ts_ns, batch)
        elif isinstance(message, Trade):
            refused = _tell_trade(message, symbol, ts_ns, batch)
        else:
            refused = _tell_ticker(message, symbol, ts_ns, batch)
        if message.ts_ns and local_ns and not refused:
            lag_ns = local_ns - message.ts_ns
            symbol.lag_ns = lag_ns if symbol.lag_ns is None else max(symbol.lag_ns, lag_ns)
            symbol.newest_ns = max(symbol.newest_ns, ts_ns)
        return refused

    def _tell_lags(self, batch: EventBatch) -> None:
        """What the second that is over told of how long frames took."""
        for symbol in self._symbols.values():
            if symbol.lag_ns is not None:
                key = 2 * symbol.lag_ns
                batch.add(symbol.newest_ns, symbol.number, int(EventKind.REFERENCE), key, code=int(Reference.FEED_LAG))
                symbol.lag_ns = None

    def _tell_book(self, message: BookUpdate, symbol: _Symbol, ts_ns: int, batch: EventBatch) -> str | None:
        keys, lots = [], []
        for side, levels in enumerate((message.bids, message.asks)):
            for price, size in levels:
                ticks = round(price / symbol.tick)
                if not 0 < ticks <= LARGEST or abs(price / symbol.tick - ticks) > 0.01:
                    return "price off the tick, or out of range"
                if not 0 <= size / symbol.lot <= LARGEST:
                    return "size out of range"
                keys.append(2 * ticks + side)
                lots.append(_lots(size, symbol.lot))
        change = symbol.book.step(
            Step(keys, lots, message.is_snapshot, message.is_full, message.is_quiet, message.sequence, message.previous)
        )
        if isinstance(change, str):
            return change
        if change.gap:
            self.gaps[message.symbol] += 1
        symbol.book_ns = max(symbol.book_ns, ts_ns)
        batch.add_change(symbol.book_ns, symbol.number, change)
        return "book update that shows a gap" if change.gap else None


def parsed(venue: Venue, frame: Frame, memory: dict[Any, Any]) -> list[Message]:
    """A frame's messages. Raises NotUsedError, also where it is of a shape that the parser did not look for."""
    try:
        return venue.parse(frame, memory)
    except (TypeError, KeyError, IndexError, ValueError, AttributeError, OverflowError):
        raise NotUsedError("frame of another shape than the venue's") from None


def _tell_trade(message: Trade, symbol: _Symbol, ts_ns: int, batch: EventBatch) -> str | None:
    ticks = round(message.price / symbol.tick)
    if not 0 < ticks <= LARGEST or abs(message.price / symbol.tick - ticks) > 0.01:
        return "price off the tick, or out of range"
    if not 0 < message.size / symbol.lot <= LARGEST:
        return "size out of range"
    if message.number:
        if message.number in symbol.recent:
            return "trade that came before"
        symbol.recent.add(message.number)
        symbol.order.append(message.number)
        if len(symbol.order) > RECENT_TRADES:
            symbol.recent.discard(symbol.order.popleft())
    flags = int(EventFlag.LIQUIDATION) if message.is_liquidation else 0
    key = 2 * ticks + (0 if message.is_buy else 1)
    batch.add(ts_ns, symbol.number, int(EventKind.TRADE), key, _lots(message.size, symbol.lot), flags)
    return None


def _tell_ticker(message: Ticker, symbol: _Symbol, ts_ns: int, batch: EventBatch) -> str | None:
    told = 0
    values = ((Reference.MARK, message.mark), (Reference.INDEX, message.index_price))
    for code, price in values:
        if price is not None:
            if not 0 < price / symbol.tick <= LARGEST:
                return "reference price out of range"
            batch.add(ts_ns, symbol.number, int(EventKind.REFERENCE), 2 * round(price / symbol.tick * MICRO), code=int(code))
            told += 1
    if message.funding is not None:
        if abs(message.funding) >= 1:
            return "funding rate out of range"
        rate = 2 * round(message.funding * _MICRO_BPS)
        batch.add(ts_ns, symbol.number, int(EventKind.REFERENCE), rate, code=int(Reference.FUNDING_RATE))
        told += 1
    if message.open_interest is not None:
        if not 0 <= message.open_interest / symbol.lot <= LARGEST:
            return "open interest out of range"
        lots = 2 * round(message.open_interest / symbol.lot)
        batch.add(ts_ns, symbol.number, int(EventKind.REFERENCE), lots, code=int(Reference.OPEN_INTEREST))
        told += 1
    for code, side, quote in ((Reference.BEST_BID, 0, message.bid), (Reference.BEST_ASK, 1, message.ask)):
        if quote is not None:
            ticks = round(quote[0] / symbol.tick)
            if not 0 < ticks <= LARGEST or not 0 <= quote[1] / symbol.lot <= LARGEST:
                return "quote out of range"
            key = 2 * MICRO * ticks + side
            batch.add(ts_ns, symbol.number, int(EventKind.REFERENCE), key, _lots(quote[1], symbol.lot), code=int(code))
            told += 1
    return None if told else "ticker without a value known here"


def _lots(size: float, lot: float) -> int:
    """Whole lots; what is there but less than half of one counts as one."""
    return round(size / lot) or int(size > 0)
