"""The frames of Binance USDⓈ-M futures, typed: `<local time> <frame>` lines to structs.

Format: developers.binance.com, USDⓈ-M futures, websocket market streams (Diff. Book Depth Streams, Individual Symbol Book
Ticker Streams, Trade, Aggregate Trade Streams, Mark Price Stream) and the REST answer of Order Book. Numbers arrive as
strings; the decoder turns them into floats, whose 15 to 17 digits hold every price and quantity below 1e15 smallest steps.

Every event tells its exchange time in ms (`T`, else `E`), and its prices and quantities as `pairs()`.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

Id = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
Milliseconds = Annotated[int, msgspec.Meta(ge=10**12, lt=10**13)]
"""Times of the years 2001 to 2286: a time in another unit is refused, not misread."""

Levels = list[tuple[float, float]]
"""(price, quantity) each."""


class DepthUpdate(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    """Changed levels, with their new quantities. Covers the update ids after `pu` up to `u`."""

    s: str
    U: Id
    u: Id
    b: Levels
    a: Levels
    pu: Id | None = None
    """Spot frames have none."""
    T: Milliseconds | None = None
    E: Milliseconds | None = None

    @property
    def time_ms(self) -> int | None:
        return self.T or self.E

    def pairs(self) -> Levels:
        return self.b + self.a


class BookTicker(msgspec.Struct, tag_field="e", tag="bookTicker", gc=False):
    s: str
    u: Id
    b: float
    B: float
    a: float
    A: float
    T: Milliseconds | None = None
    E: Milliseconds | None = None

    @property
    def time_ms(self) -> int | None:
        return self.T or self.E

    def pairs(self) -> Levels:
        return [(self.b, self.B), (self.a, self.A)]


class Trade(msgspec.Struct, tag_field="e", tag="trade", gc=False):
    s: str
    t: Id
    p: float
    q: float
    m: bool
    """Whether the buyer is the maker."""
    X: str = "MARKET"
    """How it came about: MARKET, or INSURANCE_FUND and ADL, which trade beside the book, or NA."""
    T: Milliseconds | None = None
    E: Milliseconds | None = None

    @property
    def time_ms(self) -> int | None:
        return self.T or self.E

    def pairs(self) -> Levels:
        return [(self.p, self.q)]


class AggregateTrade(msgspec.Struct, tag_field="e", tag="aggTrade", gc=False):
    s: str
    a: Id
    p: float
    q: float
    m: bool
    T: Milliseconds | None = None
    E: Milliseconds | None = None

    @property
    def time_ms(self) -> int | None:
        return self.T or self.E

    def pairs(self) -> Levels:
        return [(self.p, self.q)]


class MarkPrice(msgspec.Struct, tag_field="e", tag="markPriceUpdate", gc=False):
    s: str
    p: float
    i: float | None = None
    """Index price."""
    r: str = ""
    """Funding rate of the running interval, a fraction; empty where there is none."""
    E: Milliseconds | None = None

    @property
    def time_ms(self) -> int | None:
        return self.E  # its `T` is the next funding time

    def pairs(self) -> Levels:
        return [(self.p, 0.0)]


Event = DepthUpdate | BookTicker | Trade | AggregateTrade | MarkPrice


class Snapshot(msgspec.Struct, gc=False):
    """The REST answer: the best levels as they stood after update `lastUpdateId`."""

    bids: Levels
    asks: Levels
    last_update_id: Id = msgspec.field(name="lastUpdateId")
    symbol: str | None = None
    """Not in the answer itself; recorders of several symbols add it."""
    T: Milliseconds | None = None
    E: Milliseconds | None = None

    @property
    def time_ms(self) -> int | None:
        return self.T or self.E

    def pairs(self) -> Levels:
        return self.bids + self.asks


class _Line(msgspec.Struct):
    """Either a combined stream's envelope or a snapshot; neither for a bare frame."""

    stream: str = ""
    data: Event | None = None
    last_update_id: Id | None = msgspec.field(default=None, name="lastUpdateId")
    bids: Levels | None = None
    asks: Levels | None = None
    symbol: str | None = None
    T: int | None = None
    E: int | None = None


class NotUsedError(Exception):
    """A line that carries nothing this source reads; the reason is its argument."""


_LINE: Final = msgspec.json.Decoder(_Line, strict=False)
_EVENT: Final = msgspec.json.Decoder(Event, strict=False)
_SNAPSHOT: Final = msgspec.json.Decoder(Snapshot, strict=False)
_ANY: Final = msgspec.json.Decoder(dict[str, object])
_PLAIN: Final = re.compile(r"[A-Za-z0-9_]{1,32}")
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

SPOT_FRAME: Final = "frame of the spot market"
TAGS: Final = frozenset(("depthUpdate", "bookTicker", "trade", "aggTrade", "markPriceUpdate"))


def split_line(line: bytes) -> tuple[int, bytes]:
    """(local time in UTC nanoseconds, frame) of one line. The unit of the local time is told by its size.

    Raises:
        NotUsedError: the line does not begin with a time.
    """
    stamp, _, frame = line.partition(b" ")
    if not stamp.isdigit() or len(stamp) not in _NS_OF_DIGITS:
        raise NotUsedError("no local time in s, ms, us or ns at the start of the line")
    return int(stamp) * _NS_OF_DIGITS[len(stamp)], frame


_NS_OF_DIGITS: Final = {10: 10**9, 13: 10**6, 16: 10**3, 19: 1}
"""Digits of a time of the years 2001 to 2286 in s, ms, us and ns, and the nanoseconds of one such unit."""


def decode(frame: bytes) -> Event | Snapshot:
    """One frame.

    Raises:
        NotUsedError: it is no JSON, malformed, or of a stream that is not read.
    """
    try:
        line = _LINE.decode(frame)
    except _MALFORMED as error:
        raise NotUsedError(_why_not(frame)) from error
    event = line.data
    try:
        if event is None:
            if line.last_update_id is not None:
                return _SNAPSHOT.decode(frame)
            event = _EVENT.decode(frame)
    except _MALFORMED as error:
        raise NotUsedError(_why_not(frame)) from error
    if type(event) is DepthUpdate:
        if event.pu is None:
            raise NotUsedError(SPOT_FRAME)
        if line.stream.partition("@depth")[2][:1].isdigit():
            raise NotUsedError("partial depth stream, which tells the best levels only")
    return event


def _why_not(frame: bytes) -> str:
    try:
        fields = _ANY.decode(frame)
    except _MALFORMED:
        return "no JSON object"
    data = fields.get("data", fields)
    if not isinstance(data, dict):
        return "malformed frame"
    kind = data.get("e")
    if kind is None and {"u", "s", "b", "B", "a", "A"} <= data.keys():
        return SPOT_FRAME  # the book ticker of the spot market tells neither kind nor time
    if not isinstance(kind, str):
        return "malformed frame"
    if kind in TAGS:
        return f"malformed {kind}"
    return f"stream not read: {kind}" if _PLAIN.fullmatch(kind) else "stream not read"
