"""What venues' frames say, in one shape for all of them; and how their numbers and times are read.

Prices and sizes are the venue's own units, times UTC nanoseconds (0: the frame has none).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

Frame = dict[str, Any]

_MS: Final = 1_000_000
_EARLIEST_NS: Final = 10**18
"""September 2001, the first of nineteen digits; the last is in 2286."""
_LATEST_NS: Final = 9 * 10**18
_ISO: Final = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*(?:Z|\+00:00)?")


class NotUsedError(Exception):
    """A frame, or a part of it, that becomes no event; the text is the reason it is counted under."""


class BookUpdate(NamedTuple):
    """Levels of one symbol with their new sizes (0: gone).

    is_snapshot:
        the whole book; what is not in it does not rest.
    is_full:
        each message of the stream is the whole visible book; the difference to the one before is flow.
    is_quiet:
        a further part of a snapshot: set, but no flow.
    sequence, previous:
        number of this update, and of the one that must come before it; None where the venue has none.
    """

    symbol: str
    ts_ns: int
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    is_snapshot: bool = False
    is_full: bool = False
    is_quiet: bool = False
    sequence: int | None = None
    previous: int | None = None


class Trade(NamedTuple):
    """`number`: the venue's id as text, "" for none."""

    symbol: str
    ts_ns: int
    price: float
    size: float
    is_buy: bool
    number: str = ""
    is_liquidation: bool = False


class Ticker(NamedTuple):
    """Reference values, each None where the frame has it not. `funding` is the rate of an interval."""

    symbol: str
    ts_ns: int
    mark: float | None = None
    index_price: float | None = None
    funding: float | None = None
    open_interest: float | None = None
    bid: tuple[float, float] | None = None
    ask: tuple[float, float] | None = None


Message = BookUpdate | Trade | Ticker


class Venue(NamedTuple):
    """A venue's streams: how its frames are known, and what they say.

    name:
        as `--format` and the notes have it.
    knows:
        whether a decoded frame has the shape of one of its data frames.
    parse:
        messages of a frame; NotUsedError for one that says nothing of these. `memory` is the parser's own, by recording.
    note:
        what somebody who reads the results must know; "" for nothing.
    tells_liquidations:
        trades of forced orders are marked.
    asks:
        a snapshot is asked for beside the stream, so others' recordings may lack it: the book then grows from the updates.
    """

    name: str
    knows: Callable[[Frame], bool]
    parse: Callable[[Frame, dict[Any, Any]], list[Message]]
    note: str = ""
    tells_liquidations: bool = False
    asks: bool = False


def number(value: object, name: str) -> float:
    """A finite number, also out of text. Raises NotUsedError naming what it is of."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            found = float(value)
        except (ValueError, OverflowError):
            found = math.nan
        if math.isfinite(found):
            return found
    raise NotUsedError(f"{name} that is no number")


def optional(value: object, name: str) -> float | None:
    """The same, None for what is missing, null or empty."""
    return None if value is None or value == "" else number(value, name)


def levels(rows: object, price: Any = 0, size: Any = 1) -> list[tuple[float, float]]:
    """(price, size) pairs out of rows that have them at these places or keys. Raises NotUsedError."""
    if not isinstance(rows, list):
        raise NotUsedError("levels that are no list")
    try:
        return [(number(row[price], "price"), number(row[size], "size")) for row in rows]
    except (KeyError, IndexError, TypeError):
        raise NotUsedError("level without price or size") from None


def text(frame: Any, key: Any) -> str:
    """A text of a frame. Raises NotUsedError where it is missing or none."""
    value = frame.get(key) if isinstance(frame, dict) else None
    if not isinstance(value, str) or not value:
        raise NotUsedError(f"frame without {key}")
    return value


def mapping(value: object, name: str) -> Frame:
    """An object of a frame. Raises NotUsedError."""
    if not isinstance(value, dict):
        raise NotUsedError(f"frame without {name}")
    return value


def rows_of(value: object, name: str) -> list[Frame]:
    """A list of objects. Raises NotUsedError."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise NotUsedError(f"frame without {name}")
    return value


def whole(value: object, name: str) -> int:
    """A whole number below 2**62, also out of text. Raises NotUsedError."""
    found = number(value, name)
    exact = int(value) if isinstance(value, (int, str)) and str(value).lstrip("-").isdigit() else int(found)
    if not -(2**62) < exact < 2**62:
        raise NotUsedError(f"{name} that is no number")
    return exact


def milliseconds(value: object) -> int:
    """UTC milliseconds as nanoseconds; 0 for what is missing. Raises NotUsedError for another unit."""
    if value is None:
        return 0
    return _in_range(whole(value, "time") * _MS)


def iso(value: object) -> int:
    """An ISO 8601 time in UTC as nanoseconds; 0 for what is missing. Raises NotUsedError."""
    if value is None:
        return 0
    found = _ISO.fullmatch(value) if isinstance(value, str) else None
    try:
        if found is None:
            raise ValueError
        seconds = datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise NotUsedError("time that is none") from None
    return _in_range(int(seconds) * 1_000_000_000 + int((found[2] or "0").ljust(9, "0")))


def side_is_buy(value: object) -> bool:
    """Whether a taker's side is buy. Raises NotUsedError."""
    known = {"buy": True, "sell": False, "b": True, "a": False, "bid": True, "ask": False}
    found = known.get(value.lower()) if isinstance(value, str) else None
    if found is None:
        raise NotUsedError("side that is none")
    return found


def _in_range(ns: int) -> int:
    if not _EARLIEST_NS <= ns <= _LATEST_NS:
        raise NotUsedError("time that is none")
    return ns
