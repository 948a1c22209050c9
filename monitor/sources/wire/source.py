"""Recordings of a venue's frames as a source: several files and symbols in one run, whatever venue.

Book updates become LEVEL, trades TRADE (in the book they show as LEVEL), tickers REFERENCE. Event time is the venue's; where a
frame has none, it is the recorder's clock plus the median difference of the two in the first frames. It never goes back
within one symbol's book. Files are merged by the recorder's time; without one, they are read one after the other.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import islice
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np

from engine.book import LARGE, Capacity
from engine.contract import MICRO, EventFlag, EventKind, Reference
from engine.instruments import Instrument
from monitor.config import STEP_NS
from monitor.sources import Capability, Label, SourceError
from monitor.sources.binance_batch import EventBatch
from monitor.sources.files import Member
from monitor.sources.steps import decimals_of, step
from monitor.sources.wire.binance import BINANCE
from monitor.sources.wire.books import Step, StreamBook
from monitor.sources.wire.derivatives import BITMEX, BYBIT, DERIBIT, KRAKEN, OKX
from monitor.sources.wire.envelopes import Line, frames
from monitor.sources.wire.messages import BookUpdate, Message, NotUsedError, Ticker, Trade, Venue
from monitor.sources.wire.others import COINBASE, DYDX, HYPERLIQUID, LIGHTER
from monitor.sources.wire.tardis import TARDIS

VENUES: Final = (BYBIT, OKX, DERIBIT, BITMEX, KRAKEN, COINBASE, DYDX, HYPERLIQUID, LIGHTER, BINANCE, TARDIS)

SURVEY_LINES: Final = 5_000
"""Frames of each file that are looked at first. What a symbol's first frames do not show is refused later, and counted."""

LATENESS_NS: Final = 500_000_000
BATCH: Final = 2**14
LARGEST: Final = 2**40
"""Ticks and lots beyond this are no price and no quantity."""
MOST_SYMBOLS: Final = 1024
RECENT_TRADES: Final = 4096

_MICRO_BPS: Final = 10**10
_FINEST_MONEY: Final = 6
"""Decimals of a micro-unit: a lot at a tick is worth at least that."""
_HEAD_FRAMES: Final = 400
_HEAD_LINES: Final = 2_000


class _Known(NamedTuple):
    """What the first frames of all files showed of one symbol."""

    prices: list[float]
    sizes: list[float]
    kinds: set[str]


class _Symbol:
    """What is carried from frame to frame of one symbol."""

    def __init__(self, index: int, instrument: Instrument, *, grows: bool) -> None:
        self.index = index
        self.tick = instrument.tick
        self.lot = instrument.lot
        self.book = StreamBook(grows=grows)
        self.book_ns = 0
        self.recent: set[str] = set()
        self.order: deque[str] = deque()


class _Recording:
    """One file: its venue, what its parser remembers, and how far the venue's clock is from the recorder's."""

    def __init__(self, member: Member, venue: Venue) -> None:
        self.member = member
        self.venue = venue
        self.memory: dict[Any, Any] = {}
        self.offset_ns = 0


def venue_of(member: Member) -> Venue | None:
    """The venue whose data frames a file holds; None where none of the first frames is one."""
    found: Counter[str] = Counter()
    by_name = {venue.name: venue for venue in VENUES}
    rejects: list[tuple[int, str]] = []
    try:
        for line in islice(frames(member, rejects, _HEAD_LINES), _HEAD_FRAMES):
            found.update(venue.name for venue in VENUES if venue.knows(line.frame))
    except SourceError:
        if not found:
            raise
    finally:
        member.fraction = 0.0
    return by_name[found.most_common(1)[0][0]] if found else None


class FramesSource:
    """One or more recordings of public streams."""

    step_ns = STEP_NS
    lateness_ns = LATENESS_NS
    accounts = 0
    capacity: Capacity = LARGE
    total_hint: int | None = None

    def __init__(self, members: Sequence[Member]) -> None:
        """Looks at the first frames of each file. Raises SourceError."""
        self._recordings = []
        for member in members:
            venue = venue_of(member)
            if venue is None:
                raise SourceError("holds no frame of a venue known here", str(member), _KNOWN)
            self._recordings.append(_Recording(member, venue))
        self.rejects: Counter[str] = Counter()
        self._first_reject: dict[str, str] = {}
        self._gaps: Counter[str] = Counter()
        self._unusable: dict[str, str] = {}
        known: dict[str, _Known] = {}
        for recording in self._recordings:
            _survey(recording, known)
        if len(known) > MOST_SYMBOLS:
            raise SourceError(f"{len(known)} symbols, at most {MOST_SYMBOLS} can be read in one run", str(members[0]))
        instruments = []
        for name, seen in known.items():
            try:
                instruments.append(_instrument(name, seen))
            except ValueError as error:
                self._unusable[name] = str(error)
        if not instruments:
            why = "; ".join(list(self._unusable.values())[:3]) or "no frame tells a price"
            raise SourceError(f"no symbol can be used: {why}", str(members[0]))
        self.instruments = tuple(instruments)
        kinds = {kind for each in self.instruments for kind in known[each.symbol].kinds}
        told = all(recording.venue.tells_liquidations for recording in self._recordings)
        self.capabilities = _capabilities(kinds | ({"liquidations"} if told and "trades" in kinds else set()))
        grows = any(recording.venue.grows for recording in self._recordings)
        self._symbols = {each.symbol: _Symbol(k, each, grows=grows) for k, each in enumerate(self.instruments)}
        self.frames = 0
        """Frames read so far."""
        self.frames_used = 0
        """Frames that became events, or changed nothing; the others are in `rejects`."""

    @property
    def progress(self) -> float:
        """Fraction of the input read so far, each file counting alike."""
        return sum(recording.member.fraction for recording in self._recordings) / len(self._recordings)

    @property
    def notes(self) -> Sequence[str]:
        """Venues, inferred steps, gaps, and each reason of rejects with its first place."""
        notes = [
            f"{each.member.name}: streams of {each.venue.name}" + (f"; {each.venue.note}" if each.venue.note else "")
            for each in self._recordings
        ]
        notes += [
            f"{i.symbol}: tick {i.tick_size} and lot {i.lot_size} are inferred from the first {SURVEY_LINES} frames of a file"
            for i in self.instruments
        ]
        notes += [f"{name}: {count} gaps; after each the book waits for a snapshot" for name, count in self._gaps.items()]
        notes += [f"{name!r}: left out, {why}" for name, why in self._unusable.items()]
        notes += [f"{count} x {reason}, first at {self._first_reject[reason]}" for reason, count in self.rejects.items()]
        return notes

    def labels(self) -> Sequence[Label]:
        """A recording knows no truth about itself."""
        return ()

    def batches(self) -> Iterator[np.ndarray]:
        """EVENT_DTYPE batches in order of local time."""
        batch, seq, fault = EventBatch(), 1, None
        lines = self._merged()
        while True:
            try:
                recording, line = next(lines)
            except StopIteration:
                break
            except SourceError as error:
                fault = error
                break
            self._tell(recording, line, batch)
            if len(batch.ts_ns) >= BATCH:
                events = batch.build(seq)
                seq += len(events)
                yield events
                batch = EventBatch()
        if batch.ts_ns:
            events = batch.build(seq)
            seq += len(events)
            yield events
        if fault is not None:
            raise fault
        if seq == 1:
            raise SourceError("no frame could be used", str(self._recordings[0].member), "; ".join(self.notes[-3:]))

    def _merged(self) -> Iterator[tuple[_Recording, Line]]:
        """All files by local time. Those without a clock stay at 0, so they come first, one after the other."""
        for _, n, line in heapq.merge(*(self._numbered(n) for n in range(len(self._recordings))), key=lambda row: row[:2]):
            yield self._recordings[n], line

    def _numbered(self, n: int) -> Iterator[tuple[int, int, Line]]:
        for line in self._read(self._recordings[n]):
            yield line.local_ns, n, line

    def _read(self, recording: _Recording) -> Iterator[Line]:
        """One file's frames; local times that go back are taken as the latest."""
        latest, rejects = 0, list[tuple[int, str]]()
        for line in frames(recording.member, rejects):
            self._take(recording, rejects)
            latest = max(latest, line.local_ns)
            self.frames += 1
            yield line._replace(local_ns=latest)
        self._take(recording, rejects)

    def _take(self, recording: _Recording, rejects: list[tuple[int, str]]) -> None:
        for number, reason in rejects:
            self._reject(reason, recording, number)
        rejects.clear()

    def _tell(self, recording: _Recording, line: Line, batch: EventBatch) -> None:
        """One frame's events, or why it has none."""
        try:
            messages = _parsed(recording.venue, line, recording.memory)
        except NotUsedError as error:
            self._reject(str(error), recording, line.number)
            return
        if not messages:
            self._reject("frame that tells nothing", recording, line.number)
        for message in messages:
            symbol = self._symbols.get(message.symbol)
            if symbol is None:
                why = "symbol that cannot be used" if message.symbol in self._unusable else "symbol not in the first frames"
                self._reject(why, recording, line.number)
                continue
            ts_ns = message.ts_ns or line.local_ns + recording.offset_ns
            if ts_ns <= 0:
                self._reject("frame without a time, in a recording without a clock", recording, line.number)
                continue
            refused = self._tell_one(message, symbol, ts_ns, batch)
            if refused:
                self._reject(refused, recording, line.number)
            else:
                self.frames_used += 1

    def _tell_one(self, message: Message, symbol: _Symbol, ts_ns: int, batch: EventBatch) -> str | None:
        if isinstance(message, BookUpdate):
            return self._tell_book(message, symbol, ts_ns, batch)
        if isinstance(message, Trade):
            return _tell_trade(message, symbol, ts_ns, batch)
        return _tell_ticker(message, symbol, ts_ns, batch)

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
            self._gaps[message.symbol] += 1
        symbol.book_ns = max(symbol.book_ns, ts_ns)
        batch.add_change(symbol.book_ns, symbol.index, change)
        return "book update that shows a gap" if change.gap else None

    def _reject(self, reason: str, recording: _Recording, number: int) -> None:
        self.rejects[reason] += 1
        self._first_reject.setdefault(reason, f"{recording.member.name}, line {number}")


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
    batch.add(ts_ns, symbol.index, int(EventKind.TRADE), key, _lots(message.size, symbol.lot), flags)
    return None


def _tell_ticker(message: Ticker, symbol: _Symbol, ts_ns: int, batch: EventBatch) -> str | None:
    told = 0
    values = ((Reference.MARK, message.mark), (Reference.INDEX, message.index_price))
    for code, price in values:
        if price is not None:
            if not 0 < price / symbol.tick <= LARGEST:
                return "reference price out of range"
            batch.add(ts_ns, symbol.index, int(EventKind.REFERENCE), 2 * round(price / symbol.tick * MICRO), code=int(code))
            told += 1
    if message.funding is not None:
        if abs(message.funding) >= 1:
            return "funding rate out of range"
        rate = 2 * round(message.funding * _MICRO_BPS)
        batch.add(ts_ns, symbol.index, int(EventKind.REFERENCE), rate, code=int(Reference.FUNDING_RATE))
        told += 1
    if message.open_interest is not None:
        if not 0 <= message.open_interest / symbol.lot <= LARGEST:
            return "open interest out of range"
        lots = 2 * round(message.open_interest / symbol.lot)
        batch.add(ts_ns, symbol.index, int(EventKind.REFERENCE), lots, code=int(Reference.OPEN_INTEREST))
        told += 1
    for code, side, quote in ((Reference.BEST_BID, 0, message.bid), (Reference.BEST_ASK, 1, message.ask)):
        if quote is not None:
            ticks = round(quote[0] / symbol.tick)
            if not 0 < ticks <= LARGEST or not 0 <= quote[1] / symbol.lot <= LARGEST:
                return "quote out of range"
            key = 2 * MICRO * ticks + side
            batch.add(ts_ns, symbol.index, int(EventKind.REFERENCE), key, _lots(quote[1], symbol.lot), code=int(code))
            told += 1
    return None if told else "ticker without a value known here"


def _lots(size: float, lot: float) -> int:
    """Whole lots; what is there but less than half of one counts as one."""
    return round(size / lot) or int(size > 0)


def _parsed(venue: Venue, line: Line, memory: dict[Any, Any]) -> list[Message]:
    """A frame's messages. Raises NotUsedError, also where it is of a shape that the parser did not look for."""
    try:
        return venue.parse(line.frame, memory)
    except (TypeError, KeyError, IndexError, ValueError, AttributeError, OverflowError):
        raise NotUsedError("frame of another shape than the venue's") from None


def _survey(recording: _Recording, known: dict[str, _Known]) -> None:
    """Symbols, prices and clocks of the first frames."""
    offsets: list[int] = []
    memory: dict[Any, Any] = {}
    try:
        for line in islice(frames(recording.member, []), SURVEY_LINES):
            try:
                messages = _parsed(recording.venue, line, memory)
            except NotUsedError:
                continue
            for message in messages:
                seen = known.setdefault(message.symbol, _Known([], [], set()))
                if message.ts_ns and line.local_ns:
                    offsets.append(message.ts_ns - line.local_ns)
                _look(message, seen)
    except SourceError:
        if not known:
            raise
    finally:
        recording.member.fraction = 0.0
    recording.offset_ns = round(median(offsets)) if offsets else 0


def _look(message: Message, seen: _Known) -> None:
    if isinstance(message, BookUpdate):
        seen.kinds.add("picture" if message.is_full else "book")
        for price, size in message.bids + message.asks:
            seen.prices.append(price)
            seen.sizes.append(size)
    elif isinstance(message, Trade):
        seen.kinds.add("trades")
        seen.prices.append(message.price)
        seen.sizes.append(message.size)
    else:
        names = ("mark", "index_price", "funding", "open_interest")
        seen.kinds.update(name for name in names if getattr(message, name) is not None)


def _instrument(name: str, seen: _Known) -> Instrument:
    if not seen.prices:
        raise ValueError(f"{name}: none of the first frames has a price of a book or a trade")
    places = decimals_of(np.array(seen.prices))
    # A lot at a tick is worth a micro-unit at least, so the finest sizes of a venue may be finer than a lot.
    lot = min(decimals_of(np.array(seen.sizes)), max(0, _FINEST_MONEY - places))
    quote = next((quote for quote in ("USDT", "USDC") if quote in name.upper()), "USD")
    return Instrument(symbol=name, tick_size=step(places), lot_size=step(lot), quote=quote)


def _capabilities(kinds: set[str]) -> frozenset[Capability]:
    found: set[Capability] = set()
    if kinds & {"book", "picture"}:
        found.add("book")
    if "book" in kinds:
        found.add("deep_book")
    values: dict[str, Capability] = {
        "trades": "trades",
        "mark": "mark",
        "index_price": "index",
        "funding": "funding",
        "open_interest": "open_interest",
        "liquidations": "liquidations",
    }
    return frozenset(found | {capability for kind, capability in values.items() if kind in kinds})


_KNOWN: Final = "Known are the streams of " + ", ".join(venue.name for venue in VENUES)
