"""The first look at Binance futures recordings: symbols, streams, clocks, and the steps of price and quantity.

Frames do not tell tick and lot. Binance writes a price with a fixed number of decimals, the last of which may always be
zero ("63943.90" at a tick of 0.1): the tick is the smallest decimal step that prices of the first lines use. The lot decides
nothing in a book's layout, so it is the smallest step that a quantity's decimals can write.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from statistics import median
from typing import Final

import msgspec
import numpy as np

from engine.instruments import Instrument
from monitor.sources import SourceError
from monitor.sources.binance_frames import (
    SPOT_FRAME,
    BookTicker,
    DepthUpdate,
    MarkPrice,
    NotUsedError,
    Snapshot,
    decode,
    split_line,
)
from monitor.sources.files import Member
from monitor.sources.steps import decimals_of, step

SURVEY_LINES: Final = 10_000
"""Lines of each file that are looked at. What a symbol's first lines do not show is refused later, and counted."""

MOST_SYMBOLS: Final = 1024
"""A recording of more symbols is refused: every one has a book of its own in memory."""

_FINEST: Final = 8
"""Decimals of the finest price step there is on Binance."""
_DECIMALS_LOOKED_AT: Final = 100
_COMPARED: Final = 2**16
"""Bytes at the start that tell two recordings apart: the first lines hold local times in ns or us."""
_QUANTITY: Final = re.compile(rb'(?:"[BAq]":\s*"|",\s*")\d+(?:\.(\d+))?"')
"""A quantity: the field of a trade or book ticker, or the second string of a level."""


class Recording(msgspec.Struct):
    """What the first lines of one file showed."""

    member: Member
    first_ns: int
    """Local time of the first line that has one."""
    offset_ns: int
    """Median of exchange time minus local time: the recorder's clock need not be right."""
    symbols: list[str]
    has_snapshot: bool


class Symbol(msgspec.Struct):
    """What the first lines showed of one symbol."""

    streams: set[type]
    prices: list[float]
    decimals: Counter[int]
    snapshot_awaited: bool = False


class Survey(msgspec.Struct):
    """All files together."""

    recordings: list[Recording]
    symbols: dict[str, Symbol]
    instruments: tuple[Instrument, ...]
    unusable: dict[str, str]
    """Symbols that no instrument can be made of, and why."""


def survey(members: Sequence[Member]) -> Survey:
    """Looks at the first lines of every file.

    Raises:
        SourceError: a file holds no frame of Binance futures, or another market's; two files are one; no symbol is usable.
    """
    symbols: dict[str, Symbol] = {}
    recordings = [_look(member, symbols) for member in members]
    _refuse_copies(members)
    recordings.sort(key=lambda recording: recording.first_ns)
    for recording in reversed(recordings):  # the earliest file of a symbol has the last word
        for name in recording.symbols:
            symbols[name].snapshot_awaited = recording.has_snapshot and len(recording.symbols) == 1
    if len(symbols) > MOST_SYMBOLS:
        raise SourceError(f"{len(symbols)} symbols, at most {MOST_SYMBOLS} can be read in one run", str(members[0]))
    instruments = []
    unusable = {}
    for name, symbol in symbols.items():
        try:
            instruments.append(_instrument(name, symbol))
        except ValueError as error:
            unusable[name] = str(error)
    if not instruments:
        raise SourceError("no symbol can be used: " + "; ".join(list(unusable.values())[:3]), str(members[0]))
    return Survey(recordings, symbols, tuple(instruments), unusable)


def looks_like_frames(head: bytes) -> bool:
    """Whether a file's first bytes are `<local time> <JSON>` lines."""
    for line in head.split(b"\n")[:10]:
        try:
            if split_line(line)[1].lstrip().startswith(b"{"):
                return True
        except NotUsedError:
            continue
    return False


def _look(member: Member, symbols: dict[str, Symbol]) -> Recording:
    first_ns: int | None = None
    offsets: list[int] = []
    here: dict[str, None] = {}
    has_snapshot = False
    spot = futures = used = seen = 0
    lines = member.lines()
    for line in islice(lines, SURVEY_LINES):
        seen += 1
        try:
            local_ns, frame = split_line(line)
            first_ns = local_ns if first_ns is None else first_ns
            event = decode(frame)
        except NotUsedError as error:
            spot += str(error) == SPOT_FRAME
            continue
        if isinstance(event, Snapshot):
            has_snapshot = True
            continue
        used += 1
        futures += isinstance(event, DepthUpdate | BookTicker)
        here[event.s] = None
        symbol = symbols.setdefault(event.s, Symbol(set(), [], Counter()))
        symbol.streams.add(type(event))
        if time_ms := event.time_ms:
            offsets.append(time_ms * 1_000_000 - local_ns)
        if not isinstance(event, MarkPrice):
            symbol.prices += [price for price, _ in event.pairs()]
            if symbol.decimals.total() < _DECIMALS_LOOKED_AT:
                symbol.decimals.update(len(decimals) for decimals in _QUANTITY.findall(frame))
    lines.close()
    member.fraction = 0.0  # the reading proper is still to come
    if spot > futures:
        raise SourceError(
            "these are frames of Binance's spot market: depth updates without `pu`, book tickers without a time",
            str(member),
            "Give frames of USDⓈ-M futures",
        )
    if first_ns is None or not used:
        raise SourceError(
            f"none of the first {seen} lines is a frame of Binance futures",
            str(member),
            "Lines are `<local time> <frame>`, with streams depth, bookTicker, trade, aggTrade or markPrice",
        )
    return Recording(member, first_ns, round(median(offsets)) if offsets else 0, list(here), has_snapshot)


def _refuse_copies(members: Sequence[Member]) -> None:
    heads: dict[bytes, Member] = {}
    for member in members:
        first = heads.setdefault(member.head(_COMPARED), member)
        if first is not member:
            raise SourceError(f"it begins like {first}, byte for byte", str(member), "Give each recording once")


def _instrument(name: str, symbol: Symbol) -> Instrument:
    lot_decimals = symbol.decimals.most_common(1)[0][0] if symbol.decimals else 0
    return Instrument(
        symbol=name,
        tick_size=step(decimals_of(np.array(symbol.prices), _FINEST)),
        lot_size=step(lot_decimals),
        quote=next((quote for quote in ("USDT", "USDC", "BUSD") if name.endswith(quote)), "USD"),
    )
