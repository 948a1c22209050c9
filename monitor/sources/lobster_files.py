"""LOBSTER files: finding the pairs of message and order book file, and reading them into arrays.

Format: lobsterdata.com, "LOBSTER output structure". Message file: seconds after midnight, type, order id, size, price in
1e-4 USD, direction of the resting order. Order book file: row i is the book after message i; ask price, ask size, bid
price, bid size for each of N levels, with a dummy price of ±9999999999 and size 0 where there is no level.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import numpy as np
import polars as pl

from monitor.sources import SourceError
from monitor.sources.files import Member
from monitor.sources.lobster_state import (
    CROSS_MESSAGE,
    HALT_MESSAGE,
    HIDDEN_EXECUTION_MESSAGE,
    MESSAGE_DTYPE,
    VISIBLE_EXECUTION_MESSAGE,
)

TIME_ZONE: Final = "America/New_York"
UNITS_OF_A_CENT: Final = 100
"""File prices are in 1e-4 USD."""

_NAME = re.compile(
    r"(?P<symbol>.+)_(?P<day>\d{4}-\d{2}-\d{2})_\d{1,8}_(?P<end>\d{1,8})_(?P<kind>message|orderbook)_(?P<levels>\d{1,3})\.csv",
    re.ASCII,
)
_NAMING: Final = "LOBSTER names are SYMBOL_YYYY-MM-DD_start_end_message_LEVELS.csv and …_orderbook_LEVELS.csv"
_MESSAGE_COLUMNS: Final = ("time", "type", "order id", "size", "price", "direction")
_DUMMY_PRICE: Final = 9_999_999_999
_DECIMAL: Final = re.compile(rb"-?(\d+(\.\d*)?(e-?\d+)?|nan|inf)", re.IGNORECASE)
_WHOLE: Final = re.compile(rb"-?\d{1,18}")
_LARGEST: Final = 10**12
"""No price in 1e-4 USD and no size is larger: sums over a book then stay far inside 64 bits."""
_NS: Final = 1_000_000_000
_HEAD: Final = 2**18
"""Bytes of a file that are looked at before it is read as a whole."""


class Pair(NamedTuple):
    """One symbol's day: the two files that belong together."""

    symbol: str
    day: str
    """YYYY-MM-DD"""
    midnight_ns: int
    """UTC nanoseconds of the day's local midnight."""
    end_ns: int
    """UTC nanoseconds at which the recording ends, by its name."""
    depth: int
    """Levels a side."""
    messages: Member
    books: Member


class Day(msgspec.Struct, frozen=True):
    """What one pair holds."""

    messages: np.ndarray
    """MESSAGE_DTYPE [n]"""
    books: np.ndarray
    """int64 [n, 2, N, 2]: bids then asks, best first, price in ticks (0: no level) and lots."""
    ids: np.ndarray
    """int64 [K]: order ids by dense number."""
    levels: np.ndarray
    """int64 [L]: 2 · price + side by dense number, rising."""
    unusable: int
    """Crosses without a price or a size, which were left out."""


def find_pairs(members: Sequence[Member]) -> list[Pair]:
    """The pairs among `members`, by day and then in the order given. Other files of a zip (a readme) are passed over.

    Raises:
        SourceError: a file has no LOBSTER name, lacks its partner, or a symbol's day is there twice.
    """
    found: dict[tuple[str, str], dict[str, tuple[Member, re.Match[str]]]] = {}
    for member in members:
        match = _NAME.fullmatch(member.name)
        if match is None:
            if member.entry is None:
                raise SourceError("the name does not tell symbol and day", str(member), _NAMING)
            continue
        halves = found.setdefault((match["day"], match["symbol"]), {})
        if match["kind"] in halves:
            raise SourceError(
                f"the {match['kind']} file of {match['symbol']} on {match['day']} was given twice",
                str(member),
                "Give each day once",
            )
        halves[match["kind"]] = (member, match)
    if not found:
        raise SourceError("no LOBSTER file is in it", ", ".join(str(m.path) for m in members[:1]), _NAMING)
    pairs = []
    for (day, symbol), halves in sorted(found.items(), key=lambda item: item[0][0]):
        if len(halves) == 1:
            ((kind, (member, _)),) = halves.items()
            missing = "order book" if kind == "message" else "message"
            raise SourceError(f"the {missing} file that belongs to it is missing", str(member), f"Give both. {_NAMING}")
        member, match = halves["message"]
        book, book_match = halves["orderbook"]
        if match["levels"] != book_match["levels"]:
            raise SourceError(
                f"it has {book_match['levels']} levels and its message file {match['levels']}", str(book), _NAMING
            )
        midnight = _midnight(day, member)
        midnight_ns = round(midnight.timestamp()) * _NS
        end_ns = midnight_ns + int(match["end"]) * 1_000_000
        pairs.append(Pair(symbol, day, midnight_ns, end_ns, int(match["levels"]), member, book))
    return pairs


def tick_units(pair: Pair) -> int:
    """The tick in units of the file, by its first rows: a cent, or 1 (1e-4 USD) where displayed orders stand between cents."""
    messages = _table(pair.messages, pair.messages.head(_HEAD), len(_MESSAGE_COLUMNS), cut=True)
    shown = messages.filter(pl.col("c1") <= VISIBLE_EXECUTION_MESSAGE)["c4"].to_numpy()
    books = _table(pair.books, pair.books.head(_HEAD), 4 * pair.depth, cut=True)
    prices = books.select(pl.nth(range(0, books.width, 2))).to_numpy().ravel()
    prices = np.concatenate([shown, prices[np.abs(prices) != _DUMMY_PRICE]])
    # One damaged price must not make the tick finer: where the tick is finer, one price in a hundred is a whole cent.
    return UNITS_OF_A_CENT if 2 * np.count_nonzero(prices % UNITS_OF_A_CENT) < len(prices) else 1


def read_day(pair: Pair, tick: int) -> Day:
    """Reads and checks both files. `tick` is in units of the file.

    Raises:
        SourceError: a file is torn, has a wrong number of columns or rows, or a value that no recording can have.
    """
    table = _table(pair.messages, pair.messages.read(), len(_MESSAGE_COLUMNS))
    rows = _table(pair.books, pair.books.read(), 4 * pair.depth)
    if table.height != rows.height:
        raise SourceError(
            f"it has {rows.height} rows and its message file {table.height}",
            str(pair.books),
            "Row i must be the book after message i",
        )
    columns = [column.to_numpy() for column in table]
    _check_messages(pair.messages, columns)
    seconds, kind, order_id, size, price, direction = columns
    usable = (kind != CROSS_MESSAGE) | ((size > 0) & (price > 0))
    messages = np.zeros(table.height, MESSAGE_DTYPE)
    messages["ts_ns"] = pair.midnight_ns + np.rint(seconds * _NS).astype(np.int64)
    messages["type"] = kind
    messages["side"] = direction < 0
    messages["order_id"] = order_id
    messages["qty"] = size
    messages["price"], messages["price_micro"] = _ticks(price, messages["side"], kind, tick)
    shown = kind <= VISIBLE_EXECUTION_MESSAGE
    _refuse(pair.messages, shown & (price % tick != 0), f"a displayed order between two ticks of {tick} e-4 USD")
    messages["order"] = messages["level"] = -1
    ids, messages["order"][shown] = np.unique(order_id[shown], return_inverse=True)
    levels, messages["level"][shown] = np.unique(2 * messages["price"][shown] + messages["side"][shown], return_inverse=True)
    books = _books(pair, rows.to_numpy(), tick)
    return Day(messages[usable], books[usable], ids, levels, int(table.height - usable.sum()))


def _check_messages(member: Member, columns: Sequence[np.ndarray]) -> None:
    seconds, kind, order_id, size, price, direction = columns
    _refuse(member, ~np.isfinite(seconds) | (seconds < 0) | (seconds >= 2 * 86_400), "a time that is no second of the day")
    back = np.zeros(len(seconds), bool)
    back[1:] = seconds[1:] < seconds[:-1]
    _refuse(member, back, "the time goes back", "Give the file as LOBSTER delivered it, in order of time")
    _refuse(member, (kind < 1) | (kind > HALT_MESSAGE), "an unknown message type (types are 1 to 7)")
    orders = kind <= HIDDEN_EXECUTION_MESSAGE
    _refuse(member, orders & ((size < 1) | (size > _LARGEST)), "a size that is not from 1 to 1e12")
    _refuse(member, orders & ((price < 1) | (price > _LARGEST)), "a price that is not from 1 to 1e12 (in 1e-4 USD)")
    _refuse(member, (kind == CROSS_MESSAGE) & ((size > _LARGEST) | (price > _LARGEST)), "a cross of more than 1e12")
    _refuse(member, orders & (np.abs(direction) != 1), "a direction that is neither 1 nor -1")
    shown = kind <= VISIBLE_EXECUTION_MESSAGE
    _refuse(member, shown & ((order_id < 1) | (order_id >= 2**62)), "an order id that is not from 1 to 2**62 - 1")


def _ticks(price: np.ndarray, side: np.ndarray, kind: np.ndarray, tick: int) -> tuple[np.ndarray, np.ndarray]:
    """Prices in ticks, and in micro-ticks where they lie between two ticks (hidden executions and crosses only).

    To the nearest tick, half a tick toward the side of the resting order: down for a buy, up for a sell.
    """
    whole, rest = np.divmod(price, tick)
    up = (2 * rest > tick) | ((2 * rest == tick) & (side == 1))
    between = (rest != 0) & (kind != HALT_MESSAGE)
    return np.where(between, np.maximum(whole + up, 1), whole), np.where(between, price * (1_000_000 // tick), 0)


def _books(pair: Pair, rows: np.ndarray, tick: int) -> np.ndarray:
    shape = (len(rows), pair.depth, 2, 2)  # row, level, side (asks first), price and size
    asks_first = rows.reshape(shape)
    prices, sizes = asks_first[..., 0], asks_first[..., 1]
    member = pair.books

    def refuse(bad: Any, what: str) -> None:
        _refuse(member, bad.reshape(len(rows), -1).any(axis=1), what)

    none = np.abs(prices) == _DUMMY_PRICE
    refuse(none & (sizes != 0), "an empty level with a size")
    refuse(~none & ((sizes < 1) | (sizes > _LARGEST)), "a size that is not from 1 to 1e12")
    refuse(~none & ((prices < 1) | (prices > _LARGEST)), "a price that is not from 1 to 1e12 (in 1e-4 USD)")
    refuse(~none & (prices % tick != 0), f"a level between two ticks of {tick} e-4 USD")
    refuse(none[:, :-1] & ~none[:, 1:], "a level behind an empty one")
    away = np.array([1, -1])  # asks rise from the touch, bids fall
    refuse(~none[:, 1:] & ((prices[:, 1:] - prices[:, :-1]) * away <= 0), "levels that are not in order of price")
    books = np.zeros((len(rows), 2, pair.depth, 2), np.int64)
    for side in range(2):
        books[:, side, :, 0] = np.where(none[:, :, 1 - side], 0, prices[:, :, 1 - side] // tick)
        books[:, side, :, 1] = sizes[:, :, 1 - side]
    return books


def _refuse(member: Member, bad: Any, what: str, do: str = "") -> None:
    if bad.any():
        raise SourceError(what, f"{member}, line {int(np.argmax(bad)) + 1}", do)


def _midnight(day: str, member: Member) -> datetime:
    try:
        midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(TIME_ZONE))
    except ValueError as error:
        raise SourceError(f"{day} is no day", str(member), _NAMING) from error
    except ZoneInfoNotFoundError as error:
        raise SourceError(f"this machine has no data of the time zone {TIME_ZONE}", "", "pip install tzdata") from error
    return midnight


def _table(member: Member, content: bytes, columns: int, cut: bool = False) -> pl.DataFrame:
    """The csv as int64 columns c0, c1, … (c0 of a message file float64). `cut`: the content may end within a line."""
    if cut and b"\n" in content:
        content = content[: content.rindex(b"\n") + 1]
    if not content.strip():
        raise SourceError("the file is empty", str(member))
    schema = {f"c{i}": pl.Int64() for i in range(columns)}
    if columns == len(_MESSAGE_COLUMNS):
        schema["c0"] = pl.Float64()  # type: ignore[assignment]
    try:
        found = content[: content.find(b"\n")].count(b",") + 1
        if found != columns:
            raise _misfit(member, content, columns)
        table = pl.read_csv(BytesIO(content), has_header=False, schema=schema)
    except pl.exceptions.PolarsError as error:
        raise _misfit(member, content, columns) from error
    if table.null_count().sum_horizontal().item():
        raise _misfit(member, content, columns)
    return table


def _misfit(member: Member, content: bytes, columns: int) -> SourceError:
    """Finds the first line that is not `columns` numbers, which the fast reader does not name."""
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        fields = line.rstrip(b"\r").split(b",")
        where = f"{member}, line {number}"
        if len(fields) != columns:
            meaning = f"{columns // 4} levels of ask price, ask size, bid price, bid size"
            if columns == len(_MESSAGE_COLUMNS):
                meaning = ", ".join(_MESSAGE_COLUMNS)
            return SourceError(f"{len(fields)} columns where there must be {columns}: {meaning}", where)
        for i, field in enumerate(fields):
            if not (_DECIMAL if columns == len(_MESSAGE_COLUMNS) and i == 0 else _WHOLE).fullmatch(field):
                text = field[:40].decode("ascii", "backslashreplace")
                return SourceError(f"column {i + 1} is {text!r}, which is no whole number of at most 18 digits", where)
    return SourceError("the file is no table of numbers", str(member))
