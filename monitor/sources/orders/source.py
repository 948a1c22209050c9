"""Order-by-order recordings as a source: several files of one kind in one run, read one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from math import ceil, log10
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from engine.book import LARGE, Capacity
from engine.instruments import Instrument
from monitor.config import STEP_NS
from monitor.sources import Capability, Label, SourceError
from monitor.sources.files import Member
from monitor.sources.orders import bitfinex, bitstamp, databento
from monitor.sources.orders.batch import OrderBatch
from monitor.sources.orders.ledger import OrderLedger
from monitor.sources.orders.messages import Add, Cancel, Change, Clear, Levels, Message
from monitor.sources.steps import decimals_of, step

BATCH: Final = 2**14
LARGEST: Final = 2**40
SURVEY_MESSAGES: Final = 20_000
_FINEST_MONEY: Final = 6

Reader = Callable[[Member, list[tuple[int, str]]], Iterator[tuple[int, Message]]]


class Kind(NamedTuple):
    """A kind of file: `is_told_trades`, whether it tells which orders traded."""

    name: str
    knows: Callable[[bytes], bool]
    read: Reader
    tells_trades: bool
    note: str = ""


KINDS: Final = (
    Kind("databento-mbo", databento.looks_like_mbo, databento.read, True),
    Kind(
        "bitstamp-log",
        bitstamp.looks_like_log,
        bitstamp.read,
        True,
        "times are the recorder's; orders from before the recording are known by the venue's own levels only",
    ),
    Kind(
        "bitfinex-r0",
        bitfinex.looks_like_raw_book,
        bitfinex.read,
        False,
        "frames have no time: one a millisecond is told; a fill cannot be told from a cancel",
    ),
)


def kind_of(head: bytes) -> Kind | None:
    """The kind of a file by its first bytes."""
    return next((kind for kind in KINDS if kind.knows(head)), None)


class OrdersSource:
    """See the module."""

    step_ns = STEP_NS
    lateness_ns = 0
    accounts = 0
    capacity: Capacity = LARGE
    total_hint: int | None = None

    def __init__(self, members: Sequence[Member]) -> None:
        """Looks at the first messages of each file. Raises SourceError."""
        self._files: list[tuple[Member, Kind]] = []
        for member in members:
            kind = kind_of(member.head(4096))
            if kind is None:
                raise SourceError("is no order-by-order recording known here", str(member), KNOWN)
            self._files.append((member, kind))
        self.rejects: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._batch = OrderBatch()
        self._unusable: dict[str, str] = {}
        seen: dict[str, tuple[list[float], list[float]]] = {}
        for member, kind in self._files:
            _survey(member, kind, seen)
        instruments = []
        for symbol, (prices, sizes) in seen.items():
            try:
                instruments.append(_instrument(symbol, prices, sizes))
            except ValueError as error:
                self._unusable[symbol] = str(error)
        if not instruments:
            raise SourceError("no symbol can be used: " + "; ".join(self._unusable.values()), str(members[0]))
        self.instruments = tuple(instruments)
        self.ledgers = {each.symbol: OrderLedger(k, self._batch) for k, each in enumerate(instruments)}
        found: set[Capability] = {"book", "deep_book", "orders"}
        if all(kind.tells_trades for _, kind in self._files):
            found.add("trades")
        self.capabilities: frozenset[Capability] = frozenset(found)
        self.messages = 0
        """Messages read so far."""

    @property
    def progress(self) -> float:
        """Fraction of the input read so far, each file counting alike."""
        return sum(member.fraction for member, _ in self._files) / len(self._files)

    @property
    def notes(self) -> Sequence[str]:
        """What the files are, what was inferred, how the books compare with the venue's own, and what was not used."""
        notes = [f"{member.name}: {kind.name}" + (f"; {kind.note}" if kind.note else "") for member, kind in self._files]
        notes += [f"{i.symbol}: tick {i.tick_size} and lot {i.lot_size} are inferred" for i in self.instruments]
        notes += [
            f"{symbol}: {ledger.equal} of {ledger.compared} levels that the venue told were those of the rebuilt book"
            for symbol, ledger in self.ledgers.items()
            if ledger.compared
        ]
        notes += [f"{symbol!r}: left out, {why}" for symbol, why in self._unusable.items()]
        notes += [f"{count} x {reason}, first at {self._first[reason]}" for reason, count in self.rejects.items()]
        return notes

    def labels(self) -> Sequence[Label]:
        """A recording knows no truth about itself."""
        return ()

    def batches(self) -> Iterator[np.ndarray]:
        """EVENT_DTYPE batches, file by file."""
        seq = 1
        for member, kind in self._files:
            rejects: list[tuple[int, str]] = []
            latest = 0
            try:
                for number, message in kind.read(member, rejects):
                    self.messages += 1
                    latest = max(latest, message.ts_ns)
                    refused = self._tell(message._replace(ts_ns=latest))
                    if refused:
                        rejects.append((number, refused))
                    if rejects:
                        self._take(member, rejects)
                    if len(self._batch.rows) >= BATCH:
                        events = self._batch.build(seq)
                        seq += len(events)
                        yield events
            finally:
                self._take(member, rejects)
                member.fraction = 1.0
            for ledger in self.ledgers.values():
                ledger.settle(latest, is_end=True)
        if self._batch.rows:
            events = self._batch.build(seq)
            seq += len(events)
            yield events
        if seq == 1:
            raise SourceError("no record could be used", str(self._files[0][0]), "; ".join(self.notes[-3:]))

    def _take(self, member: Member, rejects: list[tuple[int, str]]) -> None:
        for number, reason in rejects:
            self.rejects[reason] += 1
            self._first.setdefault(reason, f"{member.name}, record {number}")
        rejects.clear()

    def _tell(self, message: Message) -> str | None:
        ledger = self.ledgers.get(message.symbol)
        if ledger is None:
            return "symbol that cannot be used" if message.symbol in self._unusable else "symbol not in the first records"
        instrument = self.instruments[ledger.index]
        if isinstance(message, Clear):
            ledger.clear(message.ts_ns)
            return None
        if isinstance(message, Levels):
            sides = [{_ticks(price, instrument): _lots(size, instrument) for price, size in side} for side in message[2:]]
            ledger.compare(message.ts_ns, (sides[0], sides[1]))
            return None
        ticks = None if message.price is None else _ticks(message.price, instrument)
        if ticks is not None and not 0 < ticks <= LARGEST:
            return "price out of range"
        lots = None if message.size is None else _lots(message.size, instrument)
        if lots is not None and not 0 <= lots <= LARGEST:
            return "size out of range"
        if isinstance(message, Cancel):
            return ledger.cancel(message.ts_ns, message.number, lots, message.is_bid, ticks)
        if ticks is None:
            return "order without a price"
        if isinstance(message, Add):
            return ledger.add(message.ts_ns, message.number, message.is_bid, ticks, lots or 0, is_old=message.is_old)
        if isinstance(message, Change):
            return ledger.change(message.ts_ns, message.number, lots or 0, message.is_bid, ticks)
        if lots is None:
            order = ledger.orders.get(message.number)
            left = _lots(message.left or 0.0, instrument)
            if order is None:
                return "fill of an order that was never seen"
            lots = max(0, order.lots - left)
        return ledger.fill(message.ts_ns, message.number, lots, message.is_bid, ticks, is_told=message.is_told)


def _ticks(price: float, instrument: Instrument) -> int:
    return round(price / instrument.tick)


def _lots(size: float, instrument: Instrument) -> int:
    """Whole lots; what is there but less than half of one counts as one."""
    return round(size / instrument.lot) or int(size > 0)


def _survey(member: Member, kind: Kind, seen: dict[str, tuple[list[float], list[float]]]) -> None:
    for _, message in islice(kind.read(member, []), SURVEY_MESSAGES):
        prices, sizes = seen.setdefault(message.symbol, ([], []))
        if isinstance(message, (Add, Change)):
            prices.append(message.price)
            sizes.append(message.size)
    member.fraction = 0.0


def _instrument(symbol: str, prices: list[float], sizes: list[float]) -> Instrument:
    if not prices:
        raise ValueError(f"{symbol}: none of the first records has a price")
    # Orders far from the market may be priced as finely as they like: what counts near it has eight digits.
    places = decimals_of(np.array(prices), max(0, 8 - ceil(log10(median(prices) + 1))))
    lot = min(decimals_of(np.array(sizes)), max(0, _FINEST_MONEY - places))
    return Instrument(symbol=symbol, tick_size=step(places), lot_size=step(lot))


KNOWN: Final = "Known are " + ", ".join(kind.name for kind in KINDS)
