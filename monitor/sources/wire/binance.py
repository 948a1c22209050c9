"""The public streams of Binance: spot, USDⓈ-M and COIN-M futures, with REST snapshots where the recorder kept them.

Documents: developers.binance.com, "How to manage a local order book correctly": on futures an update follows the one whose
`u` its `pu` names, on spot the one that ended before its `U`. Recordings of `<local time> <frame>` lines of USDⓈ-M futures
are read by `monitor.sources.binance`, which is quicker.
"""

from __future__ import annotations

from typing import Any

from monitor.sources.wire.messages import (
    BookUpdate,
    Frame,
    Message,
    NotUsedError,
    Ticker,
    Trade,
    Venue,
    levels,
    milliseconds,
    number,
    optional,
    text,
    whole,
)


def _knows(frame: Frame) -> bool:
    data = frame.get("data", frame)
    return isinstance(data, dict) and ("e" in data or {"u", "s", "b", "a"} <= set(data)) and "s" in data


def _binance(frame: Frame, memory: dict[Any, Any]) -> list[Message]:
    data = frame.get("data", frame)
    if not isinstance(data, dict):
        raise NotUsedError("frame without data")
    if "lastUpdateId" in data:
        bids, asks = levels(data.get("bids")), levels(data.get("asks"))
        last = whole(data["lastUpdateId"], "lastUpdateId")
        time = data.get("T", data.get("E"))
        return [BookUpdate(text(data, "symbol"), milliseconds(time), bids, asks, True, sequence=last)]
    kind = data.get("e", "bookTicker")
    symbol = text(data, "s")
    if kind == "depthUpdate":
        first, last = whole(data.get("U"), "U"), whole(data.get("u"), "u")
        previous = whole(data["pu"], "pu") if "pu" in data else first - 1
        ts_ns = milliseconds(data.get("T", data.get("E")))
        return [BookUpdate(symbol, ts_ns, levels(data.get("b")), levels(data.get("a")), sequence=last, previous=previous)]
    if kind in ("trade", "aggTrade"):
        if memory.setdefault(("trades", symbol), kind) != kind:
            raise NotUsedError("aggregate trade beside the trades themselves")
        if data.get("X", "MARKET") not in ("MARKET", "INSURANCE_FUND", "ADL"):
            raise NotUsedError("trade that is none")
        return [
            Trade(
                symbol,
                milliseconds(data.get("T", data.get("E"))),
                number(data.get("p"), "price"),
                number(data.get("q"), "size"),
                data.get("m") is not True,
                str(data.get("t", data.get("a", ""))),
            )
        ]
    if kind == "markPriceUpdate":
        return [
            Ticker(
                symbol,
                milliseconds(data.get("E")),
                optional(data.get("p"), "mark"),
                optional(data.get("i"), "index"),
                optional(data.get("r"), "funding"),
            )
        ]
    if kind == "bookTicker":
        bid = (number(data.get("b"), "price"), number(data.get("B"), "size"))
        ask = (number(data.get("a"), "price"), number(data.get("A"), "size"))
        return [Ticker(symbol, milliseconds(data.get("T", data.get("E"))), bid=bid, ask=ask)]
    raise NotUsedError(f"stream {str(kind)[:24]}")


BINANCE = Venue(
    "binance",
    _knows,
    _binance,
    "where no snapshot was recorded, a book grows from its updates and lacks what rests unchanged",
    asks=True,
)
