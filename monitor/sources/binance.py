"""Recorded frames of Binance USDⓈ-M futures as a source: `<local time> <frame>` lines, several files and symbols in one run.

What the events mean: depth updates are LEVEL, trades TRADE without ids (in the book they show as LEVEL), book tickers
REFERENCE BEST_BID and BEST_ASK, mark prices REFERENCE MARK, INDEX and FUNDING_RATE. Trades of the insurance fund and ADL
happen beside the book: HIDDEN. Event time is the exchange's `T` (else `E`), and never goes back within one symbol's depth.
Files are merged by the recorder's local time. The rules of sequence and of what is known stand in
`monitor.sources.binance_depth`.

A line that cannot be used is counted in `rejects` by reason, and the notes tell the first of each. What makes the recording
as a whole untrustworthy (torn, out of order, another market) is a `SourceError`.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

import numpy as np

from engine.book import LARGE, Capacity
from engine.contract import MICRO, EventFlag, EventKind, Reference, Side
from monitor.config import STEP_NS
from monitor.sources import Capability, Label, SourceError
from monitor.sources.binance_batch import EventBatch
from monitor.sources.binance_depth import BEFORE_GAP, OLDER_THAN_SNAPSHOT, DepthBook, Update
from monitor.sources.binance_frames import (
    AggregateTrade,
    BookTicker,
    DepthUpdate,
    Event,
    MarkPrice,
    NotUsedError,
    Snapshot,
    Trade,
    decode,
    split_line,
)
from monitor.sources.binance_survey import SURVEY_LINES, Recording, survey
from monitor.sources.files import Member

LATENESS_NS: Final = 250_000_000
"""Frames of different streams come up to 30 ms out of exchange time in quiet minutes, and seconds when a connection stalls."""

CHUNK: Final = 256
"""Lines that are checked together: few enough to stay in the processor's cache."""

BATCH: Final = 2**14
"""Events from which on a batch is handed over."""

LARGEST: Final = 2**40
"""Ticks and lots beyond this are no price and no quantity: 1e12 is exact in a float, and sums of it in 64 bits."""

CLOCK_TOLERANCE_NS: Final = 600 * 10**9
"""An exchange time further than this from the local clock's is damaged: one alone would close all windows up to it."""

RECENT_TRADES: Final = 4096

_TICK_TOLERANCE: Final = 0.01
_MS: Final = 1_000_000
_MICRO_BPS: Final = 10**10
"""A rate of 1 in micro-basis-points."""

_TRADE: Final = int(EventKind.TRADE)
_REFERENCE: Final = int(EventKind.REFERENCE)
_HIDDEN: Final = int(EventFlag.HIDDEN)
_BESIDE_THE_BOOK: Final = frozenset(("INSURANCE_FUND", "ADL"))


class _Line(NamedTuple):
    """One line that decoded. Tuples of it are in order of local time, file and line."""

    local_ns: int
    file: int
    number: int
    event: Event | Snapshot


class _Symbol:
    """What is carried from frame to frame of one symbol."""

    def __init__(self, index: int, await_snapshot: bool, has_trades: bool) -> None:
        self.index = index
        self.depth = DepthBook(await_snapshot)
        self.depth_ns = 0
        self.has_trades = has_trades
        self.ticker = -1
        self.last_trade = -1
        self.recent_trades: deque[int] = deque(maxlen=RECENT_TRADES)


class BinanceFuturesSource:
    """One or more recordings of raw frames."""

    step_ns = STEP_NS
    lateness_ns = LATENESS_NS
    accounts = 0
    capacity: Capacity = LARGE
    total_hint: int | None = None

    def __init__(self, members: Sequence[Member]) -> None:
        """Looks at the first lines of each file. Raises SourceError."""
        found = survey(members)
        self._recordings = found.recordings
        self.instruments = found.instruments
        self._unusable = found.unusable
        self._symbols = {
            instrument.symbol: _Symbol(
                index, found.symbols[instrument.symbol].snapshot_awaited, Trade in found.symbols[instrument.symbol].streams
            )
            for index, instrument in enumerate(found.instruments)
        }
        self.capabilities = _capabilities({stream for name in self._symbols for stream in found.symbols[name].streams})
        self._ticks = np.array([instrument.tick for instrument in found.instruments])
        self._lots = np.array([instrument.lot for instrument in found.instruments])
        self.rejects: Counter[str] = Counter()
        self._first_reject: dict[str, str] = {}
        self.lines = 0
        """Lines read so far."""
        self.lines_used = 0
        """Lines that became events, or were kept for a snapshot and are in its book. The others are in `rejects`."""
        self._gaps: Counter[str] = Counter()
        self._anchored: set[str] = set()

    @property
    def progress(self) -> float:
        """Fraction of the input read so far, each file counting alike."""
        return sum(recording.member.fraction for recording in self._recordings) / len(self._recordings)

    @property
    def notes(self) -> Sequence[str]:
        """Inferred steps, books without a snapshot, gaps, and each reason of rejects with its first place."""
        notes = [
            f"{i.symbol}: tick {i.tick_size} and lot {i.lot_size} are inferred from the first {SURVEY_LINES} lines of a file"
            for i in self.instruments
        ]
        if "book" in self.capabilities:
            notes += [
                f"{name}: no snapshot came; the book grows from the updates and lacks what rests unchanged, so depth is too low"
                " in the first minute"
                for name in self._symbols
                if name not in self._anchored
            ]
        notes += [f"{name}: {count} gaps; after each the book began anew" for name, count in self._gaps.items()]
        notes += [f"{name!r}: left out, {why}" for name, why in self._unusable.items()]
        notes += [f"{count} x {reason}, first at {self._first_reject[reason]}" for reason, count in self.rejects.items()]
        return notes

    def labels(self) -> Sequence[Label]:
        """A recording knows no truth about itself."""
        return ()

    def batches(self) -> Iterator[np.ndarray]:
        """EVENT_DTYPE batches in order of local time."""
        files = [self._read(k, recording) for k, recording in enumerate(self._recordings)]
        merged = heapq.merge(*files) if len(files) > 1 else files[0]
        seq = 1
        batch = EventBatch()
        fault: SourceError | None = None
        last = False
        while not last:
            lines: list[_Line] = []
            try:
                lines += islice(merged, CHUNK)  # extends in place: what was read before a fault is there
            except SourceError as error:
                fault = error
            last = fault is not None or not lines
            try:
                self._tell(lines, batch)
                if last:
                    for symbol in self._symbols.values():
                        _stop_waiting(symbol, batch)
            except SourceError as error:
                fault = error
                last = True
            if len(batch.ts_ns) >= BATCH or (last and batch.ts_ns):
                events = batch.build(seq)
                seq += len(events)
                yield events
                batch = EventBatch()
        if fault is not None:
            raise fault
        if seq == 1:
            raise SourceError("no line could be used", str(self._recordings[0].member), "; ".join(self.notes[-3:]))

    def _read(self, file: int, recording: Recording) -> Iterator[_Line]:
        """One file's usable lines, in order of local time."""
        latest_ns = 0
        for number, line in enumerate(recording.member.lines(), 1):
            self.lines += 1
            try:
                local_ns, frame = split_line(line)
                event = decode(frame)
            except NotUsedError as error:
                self._reject(str(error), file, number)
                continue
            if local_ns < latest_ns - LATENESS_NS:
                raise SourceError(
                    f"the local time goes back by {(latest_ns - local_ns) / 1e9:.3f} s",
                    self._where(file, number),
                    "The frames are out of order: give the file as it was recorded",
                )
            latest_ns = max(latest_ns, local_ns)
            if (time_ms := event.time_ms) and abs(time_ms * _MS - local_ns - recording.offset_ns) > CLOCK_TOLERANCE_NS:
                self._reject("exchange time more than ten minutes off the local clock", file, number)
                continue
            if type(event) is Snapshot and event.symbol is None:
                if len(recording.symbols) > 1:
                    self._reject("snapshot without a symbol, in a file of several symbols", file, number)
                    continue
                event.symbol = recording.symbols[0]
            name = _name(event)
            if name not in self._symbols:
                self._reject(
                    "symbol that cannot be used" if name in self._unusable else f"symbol not in the first {SURVEY_LINES} lines",
                    file,
                    number,
                )
                continue
            yield _Line(latest_ns, file, number, event)

    def _tell(self, lines: Sequence[_Line], batch: EventBatch) -> None:
        """Checks the numbers of many lines at once, then tells them one by one."""
        if not lines:
            return
        pairs = [line.event.pairs() for line in lines]
        lengths = [len(each) for each in pairs]
        symbols = [self._symbols[_name(line.event)] for line in lines]
        flat = chain.from_iterable(chain.from_iterable(pairs))
        values = np.fromiter(flat, np.float64, 2 * sum(lengths)).reshape(-1, 2)
        index = np.repeat([symbol.index for symbol in symbols], lengths)
        ticks = values[:, 0] / self._ticks[index]
        lots = values[:, 1] / self._lots[index]
        faults = _faults(ticks, lots, np.repeat([type(line.event) is MarkPrice for line in lines], lengths))
        bad: dict[int, str] = {}
        if faults.any():
            owner = np.repeat(np.arange(len(lines)), lengths)
            for at in np.flatnonzero(faults)[::-1]:  # so that a line's first fault is the one told
                bad[int(owner[at])] = _FAULTS[faults[at]]
            ticks[faults > 0] = lots[faults > 0] = 0
        whole_ticks: list[int] = np.rint(ticks).astype(np.int64).tolist()
        whole_lots: list[int] = np.rint(lots).astype(np.int64).tolist()
        end = 0
        for i, line in enumerate(lines):
            start, end = end, end + lengths[i]
            why = bad.get(i) or self._tell_one(line, symbols[i], whole_ticks[start:end], whole_lots[start:end], batch)
            if why:
                self._reject(why, line.file, line.number)
                if type(line.event) is Snapshot:
                    _stop_waiting(symbols[i], batch)
            else:
                self.lines_used += 1

    def _tell_one(self, line: _Line, symbol: _Symbol, ticks: list[int], lots: list[int], batch: EventBatch) -> str | None:
        """Adds one line's events, or tells why it has none."""
        event = line.event
        ts_ns = event.time_ms * _MS if event.time_ms else line.local_ns + self._recordings[line.file].offset_ns
        if type(event) is BookTicker:
            if event.u <= symbol.ticker:
                return "book ticker that came before"
            symbol.ticker = event.u
            batch.add_quotes(ts_ns, symbol.index, ticks[0], lots[0], ticks[1], lots[1])
        elif type(event) is DepthUpdate or type(event) is Snapshot:
            return self._tell_depth(line, symbol, ts_ns, ticks, lots, batch)
        elif type(event) is MarkPrice:
            self._tell_mark(event, symbol, ts_ns, batch)
        elif type(event) is Trade or type(event) is AggregateTrade:
            return _tell_trade(event, symbol, ts_ns, ticks[0], lots[0], batch)
        return None

    def _tell_depth(
        self, line: _Line, symbol: _Symbol, ts_ns: int, ticks: list[int], lots: list[int], batch: EventBatch
    ) -> str | None:
        event = line.event
        if type(event) is DepthUpdate:
            bids = len(event.b)
            keys = [2 * price for price in ticks[:bids]] + [2 * price + 1 for price in ticks[bids:]]
            change = symbol.depth.update(
                Update(event.U, event.u, event.pu or 0, keys, lots), self._where(line.file, line.number)
            )
        else:
            assert type(event) is Snapshot
            bids = len(event.bids)
            keys = [2 * price for price in ticks[:bids]] + [2 * price + 1 for price in ticks[bids:]]
            change = symbol.depth.snapshot(event.last_update_id, keys, lots)
        if isinstance(change, str):
            return change
        name = _name(event)
        if type(event) is Snapshot:
            self._anchored.add(name)
        if change.gap:
            self._gaps[name] += 1
        if change.dropped:
            self._reject(BEFORE_GAP if change.gap else OLDER_THAN_SNAPSHOT, line.file, line.number, change.dropped)
            self.lines_used -= change.dropped
        symbol.depth_ns = max(symbol.depth_ns, ts_ns)
        batch.add_change(symbol.depth_ns, symbol.index, change)
        return None

    def _tell_mark(self, event: MarkPrice, symbol: _Symbol, ts_ns: int, batch: EventBatch) -> None:
        tick = self._ticks[symbol.index]
        batch.add(ts_ns, symbol.index, _REFERENCE, 2 * round(event.p / tick * MICRO), code=int(Reference.MARK))
        if event.i is not None and 0 < event.i / tick <= LARGEST:
            batch.add(ts_ns, symbol.index, _REFERENCE, 2 * round(event.i / tick * MICRO), code=int(Reference.INDEX))
        try:
            rate = float(event.r)
        except ValueError:
            return
        if abs(rate) < 1:
            batch.add(ts_ns, symbol.index, _REFERENCE, 2 * round(rate * _MICRO_BPS), code=int(Reference.FUNDING_RATE))

    def _reject(self, reason: str, file: int, number: int, count: int = 1) -> None:
        self.rejects[reason] += count
        self._first_reject.setdefault(reason, self._where(file, number))

    def _where(self, file: int, number: int) -> str:
        return f"{self._recordings[file].member.name}, line {number}"


def _stop_waiting(symbol: _Symbol, batch: EventBatch) -> None:
    """The snapshot that a symbol waits for does not come: its book is what the updates told."""
    if symbol.depth.awaiting:
        change = symbol.depth.give_up()
        if change.keys:
            batch.add_change(symbol.depth_ns, symbol.index, change)


def _tell_trade(
    event: Trade | AggregateTrade, symbol: _Symbol, ts_ns: int, ticks: int, lots: int, batch: EventBatch
) -> str | None:
    if type(event) is AggregateTrade:
        if symbol.has_trades:
            return "aggregate trade beside the trades themselves"
        number, how = event.a, "MARKET"
    else:
        assert type(event) is Trade
        number, how = event.t, event.X
    if how != "MARKET" and how not in _BESIDE_THE_BOOK:
        return "trade that is none (X is NA)"
    if lots == 0:
        return "trade of nothing"
    if number <= symbol.last_trade and number in symbol.recent_trades:
        return "trade that came before"
    symbol.last_trade = max(symbol.last_trade, number)
    symbol.recent_trades.append(number)
    taker = int(Side.SELL if event.m else Side.BUY)
    batch.add(ts_ns, symbol.index, _TRADE, 2 * ticks + taker, lots, flags=_HIDDEN if how in _BESIDE_THE_BOOK else 0)
    return None


_FAULTS: Final = (
    "",
    "number that is not finite",
    "price that is not positive, or absurd",
    "quantity that is negative, or absurd",
    "price between two ticks",
    "quantity between two lots",
)


def _faults(ticks: np.ndarray, lots: np.ndarray, is_mark: np.ndarray) -> np.ndarray:
    """An index into `_FAULTS` for each pair. Mark prices may lie between ticks."""
    with np.errstate(invalid="ignore"):
        checks = [
            ~(np.isfinite(ticks) & np.isfinite(lots)),
            (ticks <= 0) | (ticks > LARGEST),
            (lots < 0) | (lots > LARGEST),
            (np.abs(ticks - np.rint(ticks)) > _TICK_TOLERANCE) & ~is_mark,
            np.abs(lots - np.rint(lots)) > _TICK_TOLERANCE,
        ]
    return np.select(checks, [1, 2, 3, 4, 5], 0)


def _name(event: Event | Snapshot) -> str:
    return event.symbol or "" if isinstance(event, Snapshot) else event.s


def _capabilities(streams: set[type]) -> frozenset[Capability]:
    found: set[Capability] = set()
    if DepthUpdate in streams:
        found |= {"book", "deep_book"}
    if streams & {Trade, AggregateTrade}:
        found.add("trades")
    if MarkPrice in streams:
        found |= {"mark", "index", "funding"}
    return frozenset(found)
