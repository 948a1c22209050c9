"""Where each venue's public streams are and how they are asked for: addresses, channels, instruments, snapshots, limits.

From the venues' documents (named in `monitor.sources.wire`), as of November 2026. A venue that sends a snapshot with the
subscription is asked anew by unsubscribing and subscribing; on Binance the snapshot is a REST request of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

from monitor.sources import Capability

_BOOK: Final[frozenset[Capability]] = frozenset(("book", "deep_book", "trades", "arrival"))
_VALUES: Final[frozenset[Capability]] = frozenset(("mark", "index", "funding"))
_INTEREST: Final[frozenset[Capability]] = frozenset(("open_interest",))
_FORCED: Final[frozenset[Capability]] = frozenset(("liquidations",))


class Listing(NamedTuple):
    """What a venue says of an instrument: tick in quote units, lot in its own units of quantity, both decimal text."""

    tick: str
    lot: str
    quote: str


class Request(NamedTuple):
    """A REST request: GET `path`, or POST `body` to it."""

    path: str
    body: dict[str, Any] | None = None


class Route(NamedTuple):
    """One address and the channels that are asked for there, as templates with {symbol} or {lower}."""

    url: str
    channels: tuple[str, ...]
    has_book: bool = True


class Endpoint(NamedTuple):
    """How one venue is asked.

    venue:
        name of its parser among `monitor.sources.wire.source.VENUES`.
    rest:
        base address of REST requests.
    routes:
        one connection each.
    verbs, ask:
        the words for subscribing and unsubscribing, and the texts to send for one of them and some channels.
    instruments, listing:
        the request for a symbol's instrument, and what the answer says of it; None for a symbol that is not there.
    snapshot:
        the request for a symbol's book; None where the subscription brings it.
    ping:
        what to send so that the venue keeps the connection, and how often.
    sends_a_second:
        how many texts a second the venue takes.
    ignores:
        channels whose frames only keep the connection alive.
    """

    venue: str
    rest: str
    routes: tuple[Route, ...]
    capabilities: frozenset[Capability]
    verbs: tuple[str, str]
    ask: Callable[[str, list[str]], list[str]]
    instruments: Callable[[str], Request]
    listing: Callable[[Any, str], Listing | None]
    snapshot: Callable[[str], Request] | None = None
    ping: str | None = None
    ping_s: float = 20.0
    sends_a_second: float = 5.0
    ignores: frozenset[str] = frozenset()

    def subscribe(self, channels: list[str]) -> list[str]:
        """Texts that subscribe to channels."""
        return self.ask(self.verbs[0], channels)

    def unsubscribe(self, channels: list[str]) -> list[str]:
        """Texts that end it."""
        return self.ask(self.verbs[1], channels)

    def channels(self, route: Route, symbol: str) -> list[str]:
        """The channels of one symbol."""
        return [channel.format(symbol=symbol, lower=symbol.lower()) for channel in route.channels]


def _op(verb: str, channels: list[str]) -> list[str]:
    return [json.dumps({"op": verb, "args": channels})]


def _method(verb: str, channels: list[str]) -> list[str]:
    return [json.dumps({"method": verb, "params": channels, "id": 1})]


def _okx(verb: str, channels: list[str]) -> list[str]:
    args = [dict(zip(("channel", "instId"), channel.split("|"), strict=True)) for channel in channels]
    return [json.dumps({"op": verb, "args": args})]


def _deribit(verb: str, channels: list[str]) -> list[str]:
    return [json.dumps({"jsonrpc": "2.0", "id": 1, "method": f"public/{verb}", "params": {"channels": channels}})]


def _kraken(verb: str, channels: list[str]) -> list[str]:
    pairs = [channel.split("|") for channel in channels]
    return [json.dumps({"event": verb, "feed": feed, "product_ids": [symbol]}) for feed, symbol in pairs]


def _coinbase(verb: str, channels: list[str]) -> list[str]:
    pairs = [channel.split("|") for channel in channels]
    return [json.dumps({"type": verb, "channel": channel, "product_ids": [symbol]}) for channel, symbol in pairs]


def _dydx(verb: str, channels: list[str]) -> list[str]:
    pairs = [channel.split("|") for channel in channels]
    return [json.dumps({"type": verb, "channel": channel, "id": symbol}) for channel, symbol in pairs]


def _hyperliquid(verb: str, channels: list[str]) -> list[str]:
    pairs = [channel.split("|") for channel in channels]
    return [json.dumps({"method": verb, "subscription": {"type": kind, "coin": coin}}) for kind, coin in pairs]


def _lighter(verb: str, channels: list[str]) -> list[str]:
    # Channels are subscribed as order_book/0, and told as order_book:0; their symbol here is market:0.
    return [json.dumps({"type": verb, "channel": channel.replace("market:", "")}) for channel in channels]


def _filters(answer: Any, symbol: str) -> Listing | None:
    for row in answer["symbols"]:
        if row["symbol"] == symbol:
            found = {each["filterType"]: each for each in row["filters"]}
            return Listing(found["PRICE_FILTER"]["tickSize"], found["LOT_SIZE"]["stepSize"], row["quoteAsset"])
    return None


def _bybit_listing(answer: Any, symbol: str) -> Listing | None:
    for row in answer["result"]["list"]:
        if row["symbol"] == symbol:
            return Listing(row["priceFilter"]["tickSize"], row["lotSizeFilter"]["qtyStep"], row["quoteCoin"])
    return None


def _okx_listing(answer: Any, symbol: str) -> Listing | None:
    for row in answer["data"]:
        if row["instId"] == symbol:
            return Listing(row["tickSz"], row["lotSz"], row["settleCcy"] or row["quoteCcy"])
    return None


def _deribit_listing(answer: Any, symbol: str) -> Listing | None:
    row = answer.get("result")
    if not row or row["instrument_name"] != symbol:
        return None
    return Listing(_text(row["tick_size"]), _text(row["min_trade_amount"]), row["quote_currency"])


def _bitmex_listing(answer: Any, symbol: str) -> Listing | None:
    for row in answer:
        if row["symbol"] == symbol:
            return Listing(_text(row["tickSize"]), _text(row["lotSize"]), row["quoteCurrency"])
    return None


def _kraken_listing(answer: Any, symbol: str) -> Listing | None:
    for row in answer["instruments"]:
        if row["symbol"].upper() == symbol.upper():
            return Listing(_text(row["tickSize"]), _step(row["contractValueTradePrecision"]), "USD")
    return None


def _coinbase_listing(answer: Any, symbol: str) -> Listing | None:
    if answer.get("product_id") != symbol:
        return None
    return Listing(answer["price_increment"], answer["base_increment"], answer["quote_currency_id"])


def _dydx_listing(answer: Any, symbol: str) -> Listing | None:
    row = answer["markets"].get(symbol)
    return None if row is None else Listing(row["tickSize"], row["stepSize"], "USD")


def _hyperliquid_listing(answer: Any, symbol: str) -> Listing | None:
    for row in answer["universe"]:
        if row["name"] == symbol:
            # Perpetuals have six decimals for price and size together.
            return Listing(_step(6 - row["szDecimals"]), _step(row["szDecimals"]), "USD")
    return None


def _lighter_listing(answer: Any, symbol: str) -> Listing | None:
    for row in answer["order_books"]:
        if f"market:{row['market_id']}" == symbol:
            return Listing(_step(row["supported_price_decimals"]), _step(row["supported_size_decimals"]), "USD")
    return None


def _text(value: float) -> str:
    """A number of JSON as decimal text, without an exponent."""
    return format(Decimal(str(value)), "f")


def _step(decimals: int) -> str:
    return format(Decimal(1).scaleb(-decimals), "f")


_SUBSCRIBE: Final = ("subscribe", "unsubscribe")

ENDPOINTS: Final[dict[str, Endpoint]] = {
    "binance-futures": Endpoint(
        "binance",
        "https://fapi.binance.com",
        (
            Route("wss://fstream.binance.com/public/ws", ("{lower}@depth@100ms", "{lower}@bookTicker")),
            Route("wss://fstream.binance.com/market/ws", ("{lower}@aggTrade", "{lower}@markPrice@1s"), has_book=False),
        ),
        _BOOK | _VALUES,
        ("SUBSCRIBE", "UNSUBSCRIBE"),
        _method,
        lambda symbol: Request("/fapi/v1/exchangeInfo"),
        _filters,
        lambda symbol: Request(f"/fapi/v1/depth?symbol={symbol}&limit=1000"),
    ),
    "binance-spot": Endpoint(
        "binance",
        "https://api.binance.com",
        (Route("wss://stream.binance.com:9443/ws", ("{lower}@depth@100ms", "{lower}@trade", "{lower}@bookTicker")),),
        _BOOK,
        ("SUBSCRIBE", "UNSUBSCRIBE"),
        _method,
        lambda symbol: Request(f"/api/v3/exchangeInfo?symbol={symbol}"),
        _filters,
        lambda symbol: Request(f"/api/v3/depth?symbol={symbol}&limit=5000"),
    ),
    "bybit": Endpoint(
        "bybit",
        "https://api.bybit.com",
        (
            Route(
                "wss://stream.bybit.com/v5/public/linear",
                ("orderbook.200.{symbol}", "publicTrade.{symbol}", "tickers.{symbol}"),
            ),
        ),
        _BOOK | _VALUES | _INTEREST,
        _SUBSCRIBE,
        _op,
        lambda symbol: Request(f"/v5/market/instruments-info?category=linear&symbol={symbol}"),
        _bybit_listing,
        ping='{"op":"ping"}',
    ),
    "okx": Endpoint(
        "okx",
        "https://www.okx.com",
        (
            Route(
                "wss://ws.okx.com:8443/ws/v5/public",
                ("books|{symbol}", "trades|{symbol}", "mark-price|{symbol}", "funding-rate|{symbol}", "open-interest|{symbol}"),
            ),
        ),
        _BOOK | _INTEREST | frozenset(("mark", "funding")),
        _SUBSCRIBE,
        _okx,
        lambda symbol: Request(f"/api/v5/public/instruments?instType=SWAP&instId={symbol}"),
        _okx_listing,
        ping="ping",
        sends_a_second=2.0,
    ),
    "deribit": Endpoint(
        "deribit",
        "https://www.deribit.com",
        (Route("wss://www.deribit.com/ws/api/v2", ("book.{symbol}.100ms", "trades.{symbol}.100ms", "ticker.{symbol}.100ms")),),
        _BOOK | _VALUES | _INTEREST | _FORCED,
        _SUBSCRIBE,
        _deribit,
        lambda symbol: Request(f"/api/v2/public/get_instrument?instrument_name={symbol}"),
        _deribit_listing,
    ),
    "bitmex": Endpoint(
        "bitmex",
        "https://www.bitmex.com",
        (Route("wss://ws.bitmex.com/realtime", ("orderBookL2:{symbol}", "trade:{symbol}", "instrument:{symbol}")),),
        _BOOK | _VALUES | _INTEREST,
        _SUBSCRIBE,
        _op,
        lambda symbol: Request(f"/api/v1/instrument?symbol={symbol}"),
        _bitmex_listing,
        ping="ping",
        ping_s=5.0,
        sends_a_second=1.0,
    ),
    "kraken-futures": Endpoint(
        "kraken-futures",
        "https://futures.kraken.com",
        (Route("wss://futures.kraken.com/ws/v1", ("book|{symbol}", "trade|{symbol}", "ticker|{symbol}")),),
        _BOOK | _VALUES | _INTEREST | _FORCED,
        _SUBSCRIBE,
        _kraken,
        lambda symbol: Request("/derivatives/api/v3/instruments"),
        _kraken_listing,
    ),
    "coinbase": Endpoint(
        "coinbase",
        "https://api.coinbase.com",
        (Route("wss://advanced-trade-ws.coinbase.com", ("level2|{symbol}", "market_trades|{symbol}", "heartbeats|{symbol}")),),
        _BOOK,
        _SUBSCRIBE,
        _coinbase,
        lambda symbol: Request(f"/api/v3/brokerage/market/products/{symbol}"),
        _coinbase_listing,
        ignores=frozenset(("heartbeats", "subscriptions")),
    ),
    "dydx": Endpoint(
        "dydx",
        "https://indexer.dydx.trade",
        (Route("wss://indexer.dydx.trade/v4/ws", ("v4_orderbook|{symbol}", "v4_trades|{symbol}")),),
        _BOOK | _FORCED,
        _SUBSCRIBE,
        _dydx,
        lambda symbol: Request(f"/v4/perpetualMarkets?ticker={symbol}"),
        _dydx_listing,
        sends_a_second=1.0,
    ),
    "hyperliquid": Endpoint(
        "hyperliquid",
        "https://api.hyperliquid.xyz",
        (Route("wss://api.hyperliquid.xyz/ws", ("l2Book|{symbol}", "trades|{symbol}", "activeAssetCtx|{symbol}")),),
        (_BOOK - {"deep_book"}) | _VALUES | _INTEREST,
        _SUBSCRIBE,
        _hyperliquid,
        lambda symbol: Request("/info", {"type": "meta"}),
        _hyperliquid_listing,
        ping='{"method":"ping"}',
    ),
    "lighter": Endpoint(
        "lighter",
        "https://mainnet.zklighter.elliot.ai",
        (
            Route(
                "wss://mainnet.zklighter.elliot.ai/stream", ("order_book/{symbol}", "trade/{symbol}", "market_stats/{symbol}")
            ),
        ),
        _BOOK | _VALUES | _FORCED,
        _SUBSCRIBE,
        _lighter,
        lambda symbol: Request("/api/v1/orderBooks"),
        _lighter_listing,
        ping='{"type":"ping"}',
        ping_s=60.0,
        sends_a_second=2.0,
    ),
}
