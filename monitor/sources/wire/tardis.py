"""tardis.dev's normalised csv files to messages: trades, quotes, incremental_book_L2, book_snapshot_N and derivative_ticker.

Documents: docs.tardis.dev/downloadable-csv-files. Times are microseconds. A row is one level of an incremental book; the first
row of a snapshot begins the book, those that follow it are part of it.
"""

from __future__ import annotations

from typing import Any, Final

from monitor.sources.wire.messages import (
    BookUpdate,
    Frame,
    Message,
    NotUsedError,
    Ticker,
    Trade,
    Venue,
    number,
    optional,
    side_is_buy,
    text,
    whole,
)

HEADER: Final = b"exchange,symbol,timestamp,local_timestamp,"

_US: Final = 1_000
_DEEPEST: Final = 100


def _knows(frame: Frame) -> bool:
    return {"exchange", "symbol", "timestamp", "local_timestamp"} <= set(frame)


def _tardis(frame: Frame, memory: dict[Any, Any]) -> list[Message]:
    if not _knows(frame):
        raise NotUsedError("row of no known table")
    symbol = f"{text(frame, 'exchange')}:{text(frame, 'symbol')}"
    ts_ns = whole(frame["timestamp"], "time") * _US
    if not 10**18 <= ts_ns <= 9 * 10**18:
        raise NotUsedError("time that is none")
    if "is_snapshot" in frame:
        return _level(frame, symbol, ts_ns, memory)
    if "mark_price" in frame:
        return [
            Ticker(
                symbol,
                ts_ns,
                optional(frame.get("mark_price"), "mark"),
                optional(frame.get("index_price"), "index"),
                optional(frame.get("funding_rate"), "funding"),
                optional(frame.get("open_interest"), "open interest"),
            )
        ]
    if "bid_price" in frame:
        bids, asks = (_best(frame, f"{side}_price", f"{side}_amount") for side in ("bid", "ask"))
        return [BookUpdate(symbol, ts_ns, bids, asks, is_full=True)]
    if "asks[0].price" in frame:
        sides = [
            [
                level
                for n in range(_DEEPEST)
                if f"{side}[{n}].price" in frame
                for level in _best(frame, f"{side}[{n}].price", f"{side}[{n}].amount")
            ]
            for side in ("bids", "asks")
        ]
        return [BookUpdate(symbol, ts_ns, sides[0], sides[1], is_full=True)]
    if "side" in frame and "amount" in frame and "id" in frame:
        price, size = number(frame.get("price"), "price"), number(frame.get("amount"), "size")
        return [Trade(symbol, ts_ns, price, size, side_is_buy(frame.get("side")), str(frame["id"]))]
    raise NotUsedError("row of no known table")


def _level(frame: Frame, symbol: str, ts_ns: int, memory: dict[Any, Any]) -> list[Message]:
    level = [(number(frame.get("price"), "price"), number(frame.get("amount"), "size"))]
    bids, asks = (level, []) if side_is_buy(frame.get("side")) else ([], level)
    is_snapshot = frame["is_snapshot"] == "true"
    goes_on = is_snapshot and memory.get(symbol, False)
    memory[symbol] = is_snapshot
    return [BookUpdate(symbol, ts_ns, bids, asks, is_snapshot and not goes_on, is_quiet=goes_on)]


def _best(frame: Frame, price: str, size: str) -> list[tuple[float, float]]:
    """A level, or none where the table has an empty cell."""
    values = optional(frame.get(price), "price"), optional(frame.get(size), "size")
    return [] if values[0] is None or values[1] is None else [(values[0], values[1])]


TARDIS = Venue("tardis-csv", _knows, _tardis, "of quotes and book snapshots, what came and went between two rows is not seen")
