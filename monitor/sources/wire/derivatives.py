"""The public streams of derivatives venues: Bybit v5, OKX v5, Deribit v2, BitMEX, Kraken futures.

Documents: bybit-exchange.github.io/docs/v5/websocket/public, okx.com/docs-v5 (order book channel: `prevSeqId`),
docs.deribit.com (book: `prev_change_id`), bitmex.com/app/wsAPI (orderBookL2 names levels by id), docs.futures.kraken.com.
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
    iso,
    levels,
    mapping,
    milliseconds,
    number,
    optional,
    rows_of,
    side_is_buy,
    text,
    whole,
)


def _bybit(frame: Frame, memory: dict[Any, Any]) -> list[Message]:
    topic = text(frame, "topic").split(".")
    if topic[0] == "orderbook":
        data = mapping(frame.get("data"), "data")
        update = whole(data.get("u"), "u")
        is_snapshot = frame.get("type") == "snapshot" or update == 1  # 1: the service began anew
        ts_ns = milliseconds(frame.get("cts", frame.get("ts")))
        bids, asks = levels(data.get("b")), levels(data.get("a"))
        return [BookUpdate(text(data, "s"), ts_ns, bids, asks, is_snapshot, sequence=update, previous=update - 1)]
    if topic[0] == "publicTrade":
        return [
            Trade(
                text(row, "s"),
                milliseconds(row.get("T")),
                number(row.get("p"), "price"),
                number(row.get("v"), "size"),
                side_is_buy(row.get("S")),
                str(row.get("i", "")),
            )
            for row in rows_of(frame.get("data"), "data")
        ]
    if topic[0] == "tickers":
        data = mapping(frame.get("data"), "data")
        return [
            Ticker(
                text(data, "symbol"),
                milliseconds(frame.get("ts")),
                optional(data.get("markPrice"), "mark"),
                optional(data.get("indexPrice"), "index"),
                optional(data.get("fundingRate"), "funding"),
                optional(data.get("openInterest"), "open interest"),
                _quote(data, "bid1Price", "bid1Size"),
                _quote(data, "ask1Price", "ask1Size"),
            )
        ]
    raise NotUsedError(f"stream {topic[0]}")


def _okx(frame: Frame, memory: dict[Any, Any]) -> list[Message]:
    arg = mapping(frame.get("arg"), "arg")
    channel, symbol = text(arg, "channel"), str(arg.get("instId", ""))
    rows = rows_of(frame.get("data"), "data")
    if channel in ("books", "books-l2-tbt", "books50-l2-tbt"):
        found: list[Message] = []
        for row in rows:
            sequence = row.get("seqId")
            previous = row.get("prevSeqId")
            found.append(
                BookUpdate(
                    symbol,
                    milliseconds(row.get("ts")),
                    levels(row.get("bids")),
                    levels(row.get("asks")),
                    frame.get("action") == "snapshot",
                    sequence=None if sequence is None else whole(sequence, "seqId"),
                    previous=None if previous in (None, -1) else whole(previous, "prevSeqId"),
                )
            )
        return found
    if channel in ("books5", "bbo-tbt"):
        return [
            BookUpdate(symbol, milliseconds(row.get("ts")), levels(row.get("bids")), levels(row.get("asks")), is_full=True)
            for row in rows
        ]
    if channel in ("trades", "trades-all"):
        return [
            Trade(
                text(row, "instId"),
                milliseconds(row.get("ts")),
                number(row.get("px"), "price"),
                number(row.get("sz"), "size"),
                side_is_buy(row.get("side")),
                str(row.get("tradeId", "")),
            )
            for row in rows
        ]
    if channel in _OKX_VALUES:
        return [_okx_value(row, channel) for row in rows]
    if channel == "tickers":
        return [
            Ticker(
                text(row, "instId"),
                milliseconds(row.get("ts")),
                bid=_quote(row, "bidPx", "bidSz"),
                ask=_quote(row, "askPx", "askSz"),
            )
            for row in rows
        ]
    raise NotUsedError(f"stream {channel}")


_OKX_VALUES = {"mark-price": "markPx", "index-tickers": "idxPx", "funding-rate": "fundingRate", "open-interest": "oi"}
"""Channels with one reference value: its key."""


def _okx_value(row: Frame, channel: str) -> Ticker:
    value = optional(row.get(_OKX_VALUES[channel]), channel)
    values = {name: value if name == channel else None for name in _OKX_VALUES}
    return Ticker(
        text(row, "instId"),
        milliseconds(row.get("ts")),
        values["mark-price"],
        values["index-tickers"],
        values["funding-rate"],
        values["open-interest"],
    )


def _deribit(frame: Frame, memory: dict[Any, Any]) -> list[Message]:
    if frame.get("method") != "subscription":
        raise NotUsedError("frame without data")
    params = mapping(frame.get("params"), "params")
    stream = text(params, "channel").split(".")[0]
    if stream == "book":
        data = mapping(params.get("data"), "data")
        is_snapshot = data.get("type", "snapshot") == "snapshot"
        # [action, price, amount]; grouped books have [price, amount] and no type.
        first = next(iter((data.get("bids") or []) + (data.get("asks") or [])), None)
        at = (1, 2) if first is not None and len(first) == 3 else (0, 1)
        previous = data.get("prev_change_id")
        return [
            BookUpdate(
                text(data, "instrument_name"),
                milliseconds(data.get("timestamp")),
                levels(data.get("bids"), *at),
                levels(data.get("asks"), *at),
                is_snapshot,
                is_full="type" not in data,
                sequence=whole(data.get("change_id"), "change_id"),
                previous=None if previous is None else whole(previous, "prev_change_id"),
            )
        ]
    if stream == "trades":
        return [
            Trade(
                text(row, "instrument_name"),
                milliseconds(row.get("timestamp")),
                number(row.get("price"), "price"),
                number(row.get("amount"), "size"),
                side_is_buy(row.get("direction")),
                str(row.get("trade_id", "")),
                "liquidation" in row,
            )
            for row in rows_of(params.get("data"), "data")
        ]
    if stream == "ticker":
        data = mapping(params.get("data"), "data")
        return [
            Ticker(
                text(data, "instrument_name"),
                milliseconds(data.get("timestamp")),
                optional(data.get("mark_price"), "mark"),
                optional(data.get("index_price"), "index"),
                optional(data.get("funding_8h"), "funding"),
                optional(data.get("open_interest"), "open interest"),
                _quote(data, "best_bid_price", "best_bid_amount"),
                _quote(data, "best_ask_price", "best_ask_amount"),
            )
        ]
    raise NotUsedError(f"stream {stream}")


def _bitmex(frame: Frame, memory: dict[Any, Any]) -> list[Message]:
    table, action = text(frame, "table"), frame.get("action")
    rows = rows_of(frame.get("data"), "data")
    if table.startswith("orderBookL2"):
        return _bitmex_book(rows, str(action), memory.setdefault("prices", {}))
    if table == "trade":
        if action != "insert":
            raise NotUsedError("trade from before the recording")
        return [
            Trade(
                text(row, "symbol"),
                iso(row.get("timestamp")),
                number(row.get("price"), "price"),
                number(row.get("size"), "size"),
                side_is_buy(row.get("side")),
                str(row.get("trdMatchID", "")),
            )
            for row in rows
        ]
    if table == "quote":
        return [
            Ticker(
                text(row, "symbol"),
                iso(row.get("timestamp")),
                bid=_quote(row, "bidPrice", "bidSize"),
                ask=_quote(row, "askPrice", "askSize"),
            )
            for row in rows
        ]
    if table == "instrument":
        return [
            Ticker(
                text(row, "symbol"),
                iso(row.get("timestamp")),
                optional(row.get("markPrice"), "mark"),
                optional(row.get("indicativeSettlePrice"), "index"),
                optional(row.get("fundingRate"), "funding"),
                optional(row.get("openInterest"), "open interest"),
            )
            for row in rows
        ]
    raise NotUsedError(f"stream {table}")


def _bitmex_book(rows: list[Frame], action: str, prices: dict[tuple[str, int], float]) -> list[Message]:
    """Levels have an id; only the first message of a level has its price."""
    found: dict[str, tuple[int, list[tuple[float, float]], list[tuple[float, float]]]] = {}
    for row in rows:
        symbol = text(row, "symbol")
        name = (symbol, whole(row.get("id"), "id"))
        if "price" in row:
            prices[name] = number(row["price"], "price")
        if name not in prices:
            raise NotUsedError("level whose id was never told")
        size = 0.0 if action == "delete" else number(row.get("size"), "size")
        _, bids, asks = found.setdefault(symbol, (iso(row.get("transactTime", row.get("timestamp"))), [], []))
        (bids if side_is_buy(row.get("side")) else asks).append((prices[name], size))
    if action not in ("partial", "insert", "update", "delete"):
        raise NotUsedError("book with an unknown action")
    return [BookUpdate(symbol, ts_ns, bids, asks, action == "partial") for symbol, (ts_ns, bids, asks) in found.items()]


def _kraken(frame: Frame, memory: dict[Any, Any]) -> list[Message]:
    feed = text(frame, "feed")
    if "event" in frame:
        raise NotUsedError("frame without data")
    if feed == "trade_snapshot":
        raise NotUsedError("trade from before the recording")
    symbol = text(frame, "product_id")
    if feed == "book_snapshot":
        sequence = whole(frame.get("seq"), "seq")
        bids, asks = (levels(frame.get(side), "price", "qty") for side in ("bids", "asks"))
        return [BookUpdate(symbol, milliseconds(frame.get("timestamp")), bids, asks, True, sequence=sequence)]
    if feed == "book":
        sequence = whole(frame.get("seq"), "seq")
        level = [(number(frame.get("price"), "price"), number(frame.get("qty"), "size"))]
        is_bid = side_is_buy(frame.get("side"))
        ts_ns = milliseconds(frame.get("timestamp"))
        sides = (level, []) if is_bid else ([], level)
        return [BookUpdate(symbol, ts_ns, *sides, sequence=sequence, previous=sequence - 1)]
    if feed == "trade":
        return [
            Trade(
                symbol,
                milliseconds(frame.get("time")),
                number(frame.get("price"), "price"),
                number(frame.get("qty"), "size"),
                side_is_buy(frame.get("side")),
                str(frame.get("uid", "")),
                frame.get("type") == "liquidation",
            )
        ]
    if feed in ("ticker", "ticker_lite"):
        return [
            Ticker(
                symbol,
                milliseconds(frame.get("time")),
                optional(frame.get("markPrice"), "mark"),
                optional(frame.get("index"), "index"),
                optional(frame.get("relative_funding_rate"), "funding"),
                optional(frame.get("openInterest"), "open interest"),
            )
        ]
    raise NotUsedError(f"stream {feed}")


def _quote(row: Frame, price: str, size: str) -> tuple[float, float] | None:
    """Best price with its size; None where one of them is missing, as it is in a change, or 0, as it is in an empty book."""
    values = optional(row.get(price), "price"), optional(row.get(size), "size")
    return None if None in values or not values[0] else (float(values[0] or 0), float(values[1] or 0))


_CONTRACTS = (
    "quantities are contracts as the venue counts them; where a contract is not one base unit, notionals are off by that factor"
)

BYBIT = Venue("bybit", lambda frame: "topic" in frame and "data" in frame, _bybit)
OKX = Venue("okx", lambda frame: isinstance(frame.get("arg"), dict) and "data" in frame, _okx, _CONTRACTS)
DERIBIT = Venue("deribit", lambda frame: frame.get("method") == "subscription", _deribit, _CONTRACTS, True)
BITMEX = Venue("bitmex", lambda frame: "table" in frame and "action" in frame, _bitmex, _CONTRACTS)
KRAKEN = Venue("kraken-futures", lambda frame: "feed" in frame and "product_id" in frame, _kraken, _CONTRACTS, True)
