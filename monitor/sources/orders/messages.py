"""What order-by-order files say, in one shape for all of them. Prices and sizes are floats in the venue's units."""

from __future__ import annotations

from typing import NamedTuple


class Add(NamedTuple):
    """An order rests, or comes in. `is_old`: it was there before the recording, and its age is not known."""

    symbol: str
    ts_ns: int
    number: int
    is_bid: bool
    price: float
    size: float
    is_old: bool = False


class Cancel(NamedTuple):
    """`size` of an order goes, or all of it (None). Side and price are given where the file tells them, else None."""

    symbol: str
    ts_ns: int
    number: int
    size: float | None = None
    is_bid: bool | None = None
    price: float | None = None


class Change(NamedTuple):
    """An order now has this size, and this price if it is given: less at the same price keeps its place."""

    symbol: str
    ts_ns: int
    number: int
    size: float
    is_bid: bool
    price: float


class Fill(NamedTuple):
    """An order traded `size`, or down to `left`, whichever the file tells. `is_told`: a message of the same lots follows that
    takes them out of the book."""

    symbol: str
    ts_ns: int
    number: int
    size: float | None
    left: float | None
    is_bid: bool
    price: float
    is_told: bool = False


class Clear(NamedTuple):
    """The book begins anew."""

    symbol: str
    ts_ns: int


class Levels(NamedTuple):
    """The venue's own best levels, (price, size), to check a book against, and to learn what it had before the recording."""

    symbol: str
    ts_ns: int
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


Message = Add | Cancel | Change | Fill | Clear | Levels
