"""What is said to each venue, and what its list of instruments says, in the shapes of their documents."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from monitor.config import LiveSpec, LiveVenue
from monitor.live.capture import endpoint_of
from monitor.live.connection import refusal
from monitor.live.endpoints import ENDPOINTS, Listing
from monitor.live.rest import CaptureError, _instrument
from monitor.sources.catalogue import SOURCES
from monitor.sources.wire.source import venue_named

_FILTERS = [{"filterType": "PRICE_FILTER", "tickSize": "0.10"}, {"filterType": "LOT_SIZE", "stepSize": "0.001"}]
_BINANCE = {"symbols": [{"symbol": "BTCUSDT", "filters": _FILTERS, "quoteAsset": "USDT"}]}
LISTINGS = {
    "binance-futures": ("BTCUSDT", _BINANCE, Listing("0.10", "0.001", "USDT")),
    "binance-spot": ("BTCUSDT", _BINANCE, Listing("0.10", "0.001", "USDT")),
    "bybit": (
        "BTCUSDT",
        {
            "result": {
                "list": [
                    {
                        "symbol": "BTCUSDT",
                        "priceFilter": {"tickSize": "0.10"},
                        "lotSizeFilter": {"qtyStep": "0.001"},
                        "quoteCoin": "USDT",
                    }
                ]
            }
        },
        Listing("0.10", "0.001", "USDT"),
    ),
    "okx": (
        "BTC-USDT-SWAP",
        {"data": [{"instId": "BTC-USDT-SWAP", "tickSz": "0.1", "lotSz": "0.01", "settleCcy": "USDT", "quoteCcy": ""}]},
        Listing("0.1", "0.01", "USDT"),
    ),
    "deribit": (
        "BTC-PERPETUAL",
        {"result": {"instrument_name": "BTC-PERPETUAL", "tick_size": 0.5, "min_trade_amount": 10.0, "quote_currency": "USD"}},
        Listing("0.5", "10.0", "USD"),
    ),
    "bitmex": (
        "XBTUSD",
        [{"symbol": "XBTUSD", "tickSize": 0.5, "lotSize": 100, "quoteCurrency": "USD"}],
        Listing("0.5", "100", "USD"),
    ),
    "kraken-futures": (
        "PF_XBTUSD",
        {"instruments": [{"symbol": "PF_XBTUSD", "tickSize": 1, "contractValueTradePrecision": 4}]},
        Listing("1", "0.0001", "USD"),
    ),
    "coinbase": (
        "BTC-USD",
        {"product_id": "BTC-USD", "price_increment": "0.01", "base_increment": "0.00000001", "quote_currency_id": "USD"},
        Listing("0.01", "0.00000001", "USD"),
    ),
    "dydx": ("BTC-USD", {"markets": {"BTC-USD": {"tickSize": "1", "stepSize": "0.0001"}}}, Listing("1", "0.0001", "USD")),
    "hyperliquid": ("BTC", {"universe": [{"name": "BTC", "szDecimals": 5}]}, Listing("0.1", "0.00001", "USD")),
    "lighter": (
        "market:1",
        {"order_books": [{"market_id": 1, "supported_price_decimals": 1, "supported_size_decimals": 5}]},
        Listing("0.1", "0.00001", "USD"),
    ),
}


def test_every_venue_of_the_command_line_has_an_endpoint():
    assert set(ENDPOINTS) == set(get_args(LiveVenue)) == set(LISTINGS)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_what_is_said_is_json_and_names_each_channel_once(name):
    endpoint, (symbol, _, _) = ENDPOINTS[name], LISTINGS[name]
    venue_named(endpoint.venue)
    assert sum(route.has_book for route in endpoint.routes) == 1
    for route in endpoint.routes:
        assert route.url.startswith("wss://")
        channels = endpoint.channels(route, symbol)
        assert len(set(channels)) == len(channels)
        for texts in (endpoint.subscribe(channels), endpoint.unsubscribe(channels[:1])):
            said = " ".join(texts)
            assert all(isinstance(json.loads(text), dict) for text in texts)
            assert symbol.removeprefix("market:").lower() in said.lower()
    assert endpoint.rest.startswith("https://")
    assert endpoint.instruments(symbol).path.startswith("/")
    if endpoint.snapshot is not None:
        assert symbol in endpoint.snapshot(symbol).path
        assert venue_named(endpoint.venue).asks


@pytest.mark.parametrize("name", ENDPOINTS)
def test_the_list_of_instruments_says_tick_and_lot(name):
    symbol, answer, expected = LISTINGS[name]
    found = ENDPOINTS[name].listing(answer, symbol)
    assert found == expected
    instrument = _instrument(symbol, found)
    assert instrument.tick == float(expected.tick)
    assert instrument.notional_micro >= 1
    other = "market:9" if name == "lighter" else "NOSUCH"
    assert ENDPOINTS[name].listing({"result": None} if name == "deribit" else answer, other) is None


@pytest.mark.parametrize("name", ENDPOINTS)
def test_no_venue_is_said_to_tell_more_than_its_recordings_can(name):
    known = {venue_named(ENDPOINTS[name].venue).name: ENDPOINTS[name].capabilities}
    names = {"binance": "Binance spot, COIN-M", "kraken-futures": "Kraken futures", "dydx": "dYdX v3, v4"}
    for venue, capabilities in known.items():
        (entry,) = [each for each in SOURCES if each.name.lower().startswith(names.get(venue, venue).lower())]
        assert capabilities <= entry.capabilities


def test_another_address_keeps_the_path():
    spec = LiveSpec("binance-futures", ("BTCUSDT",), None, None, "ws://127.0.0.1:9", "http://127.0.0.1:8")
    endpoint = endpoint_of(spec)
    assert [route.url for route in endpoint.routes] == ["ws://127.0.0.1:9/public/ws", "ws://127.0.0.1:9/market/ws"]
    assert endpoint.rest == "http://127.0.0.1:8"


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"success": True, "op": "subscribe"}, ""),
        ({"result": None, "id": 1}, ""),
        ({"event": "subscribe", "arg": {"channel": "books"}}, ""),
        ({"jsonrpc": "2.0", "id": 1, "result": ["book.X"]}, ""),
        ({"success": False, "ret_msg": "error:handler not found"}, "error:handler not found"),
        ({"event": "error", "code": "60012", "msg": "Illegal request"}, "Illegal request"),
        ({"jsonrpc": "2.0", "error": {"message": "Invalid params"}}, "{'message': 'Invalid params'}"),
        ({"event": "alert", "message": "Bad request"}, "Bad request"),
        ({"type": "error", "message": "no such product"}, "no such product"),
        ({"channel": "error", "data": "Already subscribed"}, "Already subscribed"),
    ],
)
def test_a_refusal_is_told_from_an_answer(frame, said):
    assert refusal(frame) == said


def test_an_instrument_that_cannot_be_is_said():
    with pytest.raises(CaptureError, match="cannot be watched"):
        _instrument("BTC USD", Listing("0.1", "0.1", "USD"))
