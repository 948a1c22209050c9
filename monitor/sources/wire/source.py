"""Recordings of a venue's frames as a source: several files and symbols in one run, whatever venue.

What the frames tell is `telling`'s. Symbols, steps and capabilities, and how far the venue's clock is from the recorder's, are
inferred from the first frames, unless the recording is one of ours and says so. Files are merged by the recorder's time;
without one, they are read one after the other.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np

from engine.book import LARGE, Capacity
from engine.instruments import Instrument
from monitor.config import STEP_NS
from monitor.sources import Capability, Label, SourceError
from monitor.sources.binance_batch import EventBatch
from monitor.sources.files import Member
from monitor.sources.steps import decimals_of, step
from monitor.sources.wire.binance import BINANCE
from monitor.sources.wire.derivatives import BITMEX, BYBIT, DERIBIT, KRAKEN, OKX
from monitor.sources.wire.envelopes import Line, frames
from monitor.sources.wire.messages import BookUpdate, Message, NotUsedError, Trade, Venue
from monitor.sources.wire.others import COINBASE, DYDX, HYPERLIQUID, LIGHTER
from monitor.sources.wire.recorded import KEY, Header, header_of, is_header, remark_of
from monitor.sources.wire.tardis import TARDIS
from monitor.sources.wire.telling import Stream, Teller, parsed

VENUES: Final = (BYBIT, OKX, DERIBIT, BITMEX, KRAKEN, COINBASE, DYDX, HYPERLIQUID, LIGHTER, BINANCE, TARDIS)

SURVEY_LINES: Final = 5_000
"""Frames of each file that are looked at first. What a symbol's first frames do not show is refused later, and counted."""

LATENESS_NS: Final = 500_000_000
BATCH: Final = 2**14
MOST_SYMBOLS: Final = 1024

_FINEST_MONEY: Final = 6
"""Decimals of a micro-unit: a lot at a tick is worth at least that."""
_HEAD_FRAMES: Final = 400
_HEAD_LINES: Final = 2_000
_HEAD_BYTES: Final = 2**18
"""A header with a thousand instruments."""


class _Known(NamedTuple):
    """What the first frames of all files showed of one symbol."""

    prices: list[float]
    sizes: list[float]
    kinds: set[str]


class _Recording(NamedTuple):
    """One file, the stream it is of, and what a recording of ours says of itself."""

    member: Member
    stream: Stream
    header: Header | None


def venue_of(member: Member) -> Venue | None:
    """The venue whose data frames a file holds; None where none of the first frames is one."""
    head = member.head(_HEAD_BYTES)
    if is_header(head):
        return venue_named(header_of(head, str(member)).venue)
    found: Counter[str] = Counter()
    rejects: list[tuple[int, str]] = []
    try:
        for line in islice(frames(member, rejects, _HEAD_LINES), _HEAD_FRAMES):
            found.update(venue.name for venue in VENUES if venue.knows(line.frame))
    except SourceError:
        if not found:
            raise
    finally:
        member.fraction = 0.0
    return venue_named(found.most_common(1)[0][0]) if found else None


def venue_named(name: str) -> Venue:
    """A venue of `VENUES` by its name. Raises SourceError."""
    for venue in VENUES:
        if venue.name == name:
            return venue
    raise SourceError(f"no venue {name!r} is known here", do=_KNOWN)


class FramesSource:
    """One or more recordings of public streams."""

    step_ns = STEP_NS
    lateness_ns = LATENESS_NS
    accounts = 0
    capacity: Capacity = LARGE
    total_hint: int | None = None

    def __init__(self, members: Sequence[Member]) -> None:
        """Looks at the first frames of each file. Raises SourceError."""
        self._recordings = _recordings(members)
        self.rejects: Counter[str] = Counter()
        self._first_reject: dict[str, str] = {}
        self._unusable: dict[str, str] = {}
        known: dict[str, _Known] = {}
        listed: dict[str, Instrument] = {}
        for recording in self._recordings:
            if recording.header is None:
                _survey(recording, known)
            else:
                listed.update((each.symbol, each) for each in recording.header.instruments)
        if len(known) > MOST_SYMBOLS:
            raise SourceError(f"{len(known)} symbols, at most {MOST_SYMBOLS} can be read in one run", str(members[0]))
        instruments = list(listed.values())
        for name, seen in known.items():
            if name in listed:
                continue
            try:
                instruments.append(_instrument(name, seen))
            except ValueError as error:
                self._unusable[name] = str(error)
        if not instruments:
            why = "; ".join(list(self._unusable.values())[:3]) or "no frame tells a price"
            raise SourceError(f"no symbol can be used: {why}", str(members[0]))
        self.instruments = tuple(instruments)
        inferred = [each.symbol for each in self.instruments if each.symbol not in listed]
        kinds = {kind for name in inferred for kind in known[name].kinds}
        surveyed = [recording for recording in self._recordings if recording.header is None]
        told = bool(surveyed) and all(recording.stream.venue.tells_liquidations for recording in surveyed)
        self.capabilities = _capabilities(kinds | ({"liquidations"} if told and "trades" in kinds else set())).union(
            *(recording.header.capabilities for recording in self._recordings if recording.header is not None)
        )
        if any(recording.stream.venue.asks for recording in surveyed):
            self._teller = Teller(self.instruments, grows=frozenset(inferred), keeps=frozenset(listed), unusable=self._unusable)
        else:
            keeps = any(recording.stream.venue.asks for recording in self._recordings)
            self._teller = Teller(self.instruments, keeps=frozenset(listed if keeps else ()), unusable=self._unusable)
        self._inferred = frozenset(inferred)
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
            f"{each.member.name}: streams of {each.stream.venue.name}"
            + (f"; {each.stream.venue.note}" if each.stream.venue.note and each.header is None else "")
            for each in self._recordings
        ]
        notes += [
            f"{i.symbol}: tick {i.tick_size} and lot {i.lot_size} are inferred from the first {SURVEY_LINES} frames of a file"
            for i in self.instruments
            if i.symbol in self._inferred
        ]
        notes += [
            f"{name}: {count} gaps; after each the book waits for a snapshot" for name, count in self._teller.gaps.items()
        ]
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
        """One line's events, or why it has none."""
        remark = remark_of(line.frame) if recording.header is not None else None
        if remark is not None:
            self._teller.remark(remark, recording.stream, line.local_ns, batch)
            return
        if recording.header is not None and KEY in line.frame:
            return  # a header
        refused = self._teller.tell(recording.stream, line, batch)
        for reason in refused:
            self._reject(reason, recording, line.number)
        self.frames_used += not refused

    def _reject(self, reason: str, recording: _Recording, number: int) -> None:
        self.rejects[reason] += 1
        self._first_reject.setdefault(reason, f"{recording.member.name}, line {number}")


def _recordings(members: Sequence[Member]) -> list[_Recording]:
    """The files. Those of one recording of ours are parts of one stream."""
    found: list[_Recording] = []
    streams: dict[Header, Stream] = {}
    for member in members:
        venue = venue_of(member)
        if venue is None:
            raise SourceError("holds no frame of a venue known here", str(member), _KNOWN)
        head = member.head(_HEAD_BYTES)
        if is_header(head):
            header = header_of(head, str(member))
            found.append(_Recording(member, streams.setdefault(header, Stream(venue, follows=True)), header))
        else:
            found.append(_Recording(member, Stream(venue), None))
    return found


def _survey(recording: _Recording, known: dict[str, _Known]) -> None:
    """Symbols, prices and clocks of the first frames."""
    offsets: list[int] = []
    memory: dict[Any, Any] = {}
    try:
        for line in islice(frames(recording.member, []), SURVEY_LINES):
            try:
                messages = parsed(recording.stream.venue, line.frame, memory)
            except NotUsedError:
                continue
            for message in messages:
                seen = known.setdefault(message.symbol, _Known([], [], set()))
                if message.ts_ns and line.local_ns:
                    offsets.append(message.ts_ns - line.local_ns)
                    seen.kinds.add("arrival")
                _look(message, seen)
    except SourceError:
        if not known:
            raise
    finally:
        recording.member.fraction = 0.0
    recording.stream.offset_ns = round(median(offsets)) if offsets else 0


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
        "arrival": "arrival",
    }
    return frozenset(found | {capability for kind, capability in values.items() if kind in kinds})


_KNOWN: Final = "Known are the streams of " + ", ".join(venue.name for venue in VENUES)
