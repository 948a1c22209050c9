"""The public streams of Coinbase (Advanced Trade), dYdX v3 and v4, Hyperliquid and Lighter.

Documents: docs.cdp.coinbase.com (market data channels), docs.dydx.xyz (indexer websocket), hyperliquid.gitbook.io (websocket
subscriptions), apidocs.lighter.xyz.
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


def _coinbase(frame: Frame, memory: dict[Any, Any]) -> list[Message]:
    channel = text(frame, "channel")
    found: list[Message] = []
    for event in rows_of(frame.get("events"), "events"):
        if channel == "l2_data":
            rows = rows_of(event.get("updates"), "updates")
            sides: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
            for row in rows:
                level = (number(row.get("price_level"), "price"), number(row.get("new_quantity"), "size"))
                sides[side_is_buy("ask" if row.get("side") == "offer" else row.get("side"))].append(level)
            ts_ns = max((iso(row.get("event_time")) for row in rows), default=iso(frame.get("timestamp")))
            is_snapshot = event.get("type") == "snapshot"
            found.append(BookUpdate(text(event, "product_id"), ts_ns, sides[True], sides[False], is_snapshot))
        elif channel == "market_trades":
            if event.get("type") == "snapshot":
                raise NotUsedError("trade from before the recording")
            found += [
                Trade(
                    text(row, "product_id"),
                    iso(row.get("time")),
                    number(row.get("price"), "price"),
                    number(row.get("size"), "size"),
                    not side_is_buy(row.get("side")),  # the venue tells the maker's side
                    str(row.get("trade_id", "")),
                )
                for row in rows_of(event.get("trades"), "trades")
            ]
        elif channel == "ticker":
            found += [
                Ticker(
                    text(row, "product_id"),
                    iso(frame.get("timestamp")),
                    bid=(number(row["best_bid"], "price"), number(row.get("best_bid_quantity"), "size")),
                    ask=(number(row["best_ask"], "price"), number(row.get("best_ask_quantity"), "size")),
                )
                for row in rows_of(event.get("tickers"), "tickers")
                if row.get("best_bid") and row.get("best_ask")
            ]
        else:
            raise NotUsedError(f"stream {channel}")
    return found


def _dydx(frame: Frame, memory: dict[Any, Any]) -> list[Message]:
    channel, symbol, kind = text(frame, "channel"), text(frame, "id"), text(frame, "type")
    contents = frame.get("contents")
    if kind == "subscribed":
        contents = mapping(contents, "contents")
        if not channel.endswith("_orderbook"):
            raise NotUsedError("trade from before the recording")
        bids, asks = (levels(contents.get(side), "price", "size") for side in ("bids", "asks"))
        return [BookUpdate(symbol, 0, bids, asks, True)]
    if kind not in ("channel_data", "channel_batch_data"):
        raise NotUsedError("frame without data")
    found: list[Message] = []
    for part in rows_of(contents if isinstance(contents, list) else [contents], "contents"):
        if channel.endswith("_orderbook"):
            found.append(BookUpdate(symbol, 0, levels(part.get("bids") or []), levels(part.get("asks") or [])))
        elif channel.endswith("_trades"):
            found += [
                Trade(
                    symbol,
                    iso(row.get("createdAt")),
                    number(row.get("price"), "price"),
                    number(row.get("size"), "size"),
                    side_is_buy(row.get("side")),
                    str(row.get("id", "")),
                    row.get("liquidation") is True or row.get("type") in ("LIQUIDATED", "DELEVERAGED"),
                )
                for row in rows_of(part.get("trades"), "trades")
            ]
        else:
            raise NotUsedError(f"stream {channel}")
    return found


def _hyperliquid(frame: Frame, memory: dict[Any, Any]) -> list[Message]:
    channel, data = text(frame, "channel"), frame.get("data")
    if channel == "l2Book":
        book = mapping(data, "data")
        sides = book.get("levels")
        if not isinstance(sides, list) or len(sides) != 2:
            raise NotUsedError("book without two sides")
        bids, asks = (levels(side, "px", "sz") for side in sides)
        return [BookUpdate(text(book, "coin"), milliseconds(book.get("time")), bids, asks, is_full=True)]
    if channel == "trades":
        return [
            Trade(
                text(row, "coin"),
                milliseconds(row.get("time")),
                number(row.get("px"), "price"),
                number(row.get("sz"), "size"),
                side_is_buy(row.get("side")),
                str(row.get("tid", "")),
            )
            for row in rows_of(data, "data")
        ]
    if channel == "activeAssetCtx":
        row = mapping(data, "data")
        context = mapping(row.get("ctx"), "ctx")
        return [
            Ticker(
                text(row, "coin"),
                0,
                optional(context.get("markPx"), "mark"),
                optional(context.get("oraclePx"), "index"),
                optional(context.get("funding"), "funding"),
                optional(context.get("openInterest"), "open interest"),
            )
        ]
    if channel == "bbo":
        row = mapping(data, "data")
        best = [levels([side], "px", "sz")[0] if side else None for side in row.get("bbo") or []]
        bid, ask = (*best, None, None)[:2]
        return [Ticker(text(row, "coin"), milliseconds(row.get("time")), bid=bid, ask=ask)]
    raise NotUsedError(f"stream {channel}")


def _lighter(frame: Frame, memory: dict[Any, Any]) -> list[Message]:
    kind = text(frame, "type")
    symbol = "market:" + text(frame, "channel").rpartition(":")[2]
    if kind in ("subscribed/order_book", "update/order_book"):
        book = mapping(frame.get("order_book"), "order_book")
        sequence = whole(frame.get("offset"), "offset")
        bids, asks = (levels(book.get(side), "price", "size") for side in ("bids", "asks"))
        is_snapshot = kind.startswith("subscribed")
        ts_ns = milliseconds(frame.get("timestamp"))
        previous = None if is_snapshot else sequence - 1
        return [BookUpdate(symbol, ts_ns, bids, asks, is_snapshot, sequence=sequence, previous=previous)]
    if kind == "update/trade":
        rows = rows_of(frame.get("trades") or [], "trades") + rows_of(frame.get("liquidation_trades") or [], "trades")
        return [
            Trade(
                symbol,
                milliseconds(row.get("timestamp")),
                number(row.get("price"), "price"),
                number(row.get("size"), "size"),
                row.get("is_maker_ask") is True,
                str(row.get("trade_id", "")),
                row.get("type") == "liquidation",
            )
            for row in rows
        ]
    if kind == "subscribed/trade":
        raise NotUsedError("trade from before the recording")
    if kind in ("subscribed/market_stats", "update/market_stats"):
        stats = mapping(frame.get("market_stats"), "market_stats")
        rate = optional(stats.get("current_funding_rate"), "funding")
        return [
            Ticker(
                symbol,
                milliseconds(frame.get("timestamp")),
                optional(stats.get("mark_price"), "mark"),
                optional(stats.get("index_price"), "index"),
                None if rate is None else rate / 100,  # per cent
            )
        ]
    raise NotUsedError(f"stream {kind}")


COINBASE = Venue("coinbase", lambda frame: "channel" in frame and "events" in frame, _coinbase)
DYDX = Venue(
    "dydx",
    lambda frame: str(frame.get("channel", "")).startswith(("v3_", "v4_")) and "contents" in frame,
    _dydx,
    "the book's messages have no time: the recorder's clock stands for it",
    True,
)
HYPERLIQUID = Venue(
    "hyperliquid",
    lambda frame: frame.get("channel") in ("l2Book", "trades", "activeAssetCtx", "bbo") and "data" in frame,
    _hyperliquid,
    "the book comes as a picture of 20 levels a side: what came and went between two pictures is not seen",
)
LIGHTER = Venue(
    "lighter",
    lambda frame: str(frame.get("type", "")).startswith(("subscribed/", "update/")) and "channel" in frame,
    _lighter,
    tells_liquidations=True,
)
