"""Venues' public streams: frames to events, sequences, envelopes, and recordings against the venues' own quotes."""

from __future__ import annotations

import gzip
import json
from collections import deque

import numpy as np
import pytest
from sortedcontainers import SortedDict

from engine.contract import MICRO, EventFlag, EventKind, Reference
from monitor.sources import SourceError
from monitor.sources.catalogue import SOURCES
from monitor.sources.detect import resolve_format
from monitor.sources.files import find_members
from monitor.sources.wire.books import AFTER_GAP, ALREADY_TOLD, BEFORE_SNAPSHOT, Step, StreamBook
from monitor.sources.wire.messages import NotUsedError, iso, milliseconds
from monitor.sources.wire.source import FramesSource
from tests.shared_data import shared_data

T = 1_700_000_000_000
TEXT = "2023-11-14T22:13:20.123Z"


def bybit(kind, u, b, a, ts=T):
    data = {"s": "BTCUSDT", "b": b, "a": a, "u": u, "seq": 1}
    return {"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": ts, "cts": ts, "data": data}


FRAMES = {
    "bybit": [
        bybit("snapshot", 5, [["100.1", "2"]], [["100.2", "3"]]),
        bybit("delta", 6, [["100.1", "1.5"]], []),
        {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": T, "data": [
            {"T": T, "s": "BTCUSDT", "S": "Buy", "v": "0.5", "p": "100.2", "i": "x1"}]},
        {"topic": "tickers.BTCUSDT", "type": "delta", "ts": T, "data": {
            "symbol": "BTCUSDT", "markPrice": "100.15", "indexPrice": "100.05", "fundingRate": "0.0001",
            "openInterest": "12.5"}},
    ],
    "binance": [
        {"lastUpdateId": 5, "symbol": "BTCUSDT", "E": T, "bids": [["100.1", "2"]], "asks": [["100.2", "3"]]},
        {"stream": "btcusdt@depth", "data": {"e": "depthUpdate", "E": T, "s": "BTCUSDT", "U": 6, "u": 7,
            "b": [["100.1", "1.5"]], "a": []}},
        {"stream": "btcusdt@trade", "data": {"e": "trade", "E": T, "T": T, "s": "BTCUSDT", "t": 1, "p": "100.2", "q": "0.5",
            "m": False}},
        {"stream": "x", "data": {"e": "markPriceUpdate", "E": T, "s": "BTCUSDT", "p": "100.15", "i": "100.05", "r": "0.0001"}},
    ],
    "okx": [
        {"arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}, "action": "snapshot", "data": [
            {"asks": [["100.2", "3", "0", "1"]], "bids": [["100.1", "2", "0", "1"]], "ts": str(T), "seqId": 5,
             "prevSeqId": -1}]},
        {"arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}, "action": "update", "data": [
            {"asks": [], "bids": [["100.1", "1.5", "0", "1"]], "ts": str(T), "seqId": 9, "prevSeqId": 5}]},
        {"arg": {"channel": "trades", "instId": "BTC-USDT-SWAP"}, "data": [
            {"instId": "BTC-USDT-SWAP", "tradeId": "1", "px": "100.2", "sz": "0.5", "side": "buy", "ts": str(T)}]},
        {"arg": {"channel": "mark-price", "instId": "BTC-USDT-SWAP"}, "data": [
            {"instId": "BTC-USDT-SWAP", "markPx": "100.15", "ts": str(T)}]},
        {"arg": {"channel": "funding-rate", "instId": "BTC-USDT-SWAP"}, "data": [
            {"instId": "BTC-USDT-SWAP", "fundingRate": "0.0001", "ts": str(T)}]},
        {"arg": {"channel": "open-interest", "instId": "BTC-USDT-SWAP"}, "data": [
            {"instId": "BTC-USDT-SWAP", "oi": "12.5", "ts": str(T)}]},
    ],
    "deribit": [
        {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": "book.BTC-PERPETUAL.raw", "data": {
            "type": "snapshot", "timestamp": T, "instrument_name": "BTC-PERPETUAL", "change_id": 5,
            "bids": [["new", 100.1, 2.0]], "asks": [["new", 100.2, 3.0]]}}},
        {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": "book.BTC-PERPETUAL.raw", "data": {
            "type": "change", "timestamp": T, "instrument_name": "BTC-PERPETUAL", "change_id": 9, "prev_change_id": 5,
            "bids": [["change", 100.1, 1.5]], "asks": []}}},
        {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": "trades.BTC-PERPETUAL.raw", "data": [
            {"instrument_name": "BTC-PERPETUAL", "timestamp": T, "price": 100.2, "amount": 0.5, "direction": "buy",
             "trade_id": "7"}]}},
        {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": "ticker.BTC-PERPETUAL.raw", "data": {
            "instrument_name": "BTC-PERPETUAL", "timestamp": T, "mark_price": 100.15, "index_price": 100.05,
            "funding_8h": 0.0001, "open_interest": 12.5}}},
    ],
    "bitmex": [
        {"table": "orderBookL2", "action": "partial", "data": [
            {"symbol": "XBTUSD", "id": 1, "side": "Buy", "size": 2, "price": 100.1, "timestamp": TEXT},
            {"symbol": "XBTUSD", "id": 2, "side": "Sell", "size": 3, "price": 100.2, "timestamp": TEXT}]},
        {"table": "orderBookL2", "action": "update", "data": [
            {"symbol": "XBTUSD", "id": 1, "side": "Buy", "size": 1.5, "timestamp": TEXT}]},
        {"table": "trade", "action": "insert", "data": [
            {"timestamp": TEXT, "symbol": "XBTUSD", "side": "Buy", "size": 0.5, "price": 100.2, "trdMatchID": "a"}]},
        {"table": "instrument", "action": "update", "data": [
            {"symbol": "XBTUSD", "timestamp": TEXT, "markPrice": 100.15, "indicativeSettlePrice": 100.05,
             "fundingRate": 0.0001, "openInterest": 12.5}]},
    ],
    "kraken-futures": [
        {"feed": "book_snapshot", "product_id": "PF_XBTUSD", "timestamp": T, "seq": 5,
         "bids": [{"price": 100.1, "qty": 2}], "asks": [{"price": 100.2, "qty": 3}]},
        {"feed": "book", "product_id": "PF_XBTUSD", "side": "buy", "seq": 6, "price": 100.1, "qty": 1.5, "timestamp": T},
        {"feed": "trade", "product_id": "PF_XBTUSD", "uid": "u", "side": "buy", "type": "fill", "seq": 1, "time": T,
         "qty": 0.5, "price": 100.2},
        {"feed": "ticker", "product_id": "PF_XBTUSD", "time": T, "markPrice": 100.15, "index": 100.05,
         "relative_funding_rate": 0.0001, "openInterest": 12.5},
    ],
    "coinbase": [
        {"channel": "l2_data", "timestamp": TEXT, "sequence_num": 1, "events": [{"type": "snapshot", "product_id": "BTC-USD",
            "updates": [{"side": "bid", "event_time": TEXT, "price_level": "100.1", "new_quantity": "2"},
                        {"side": "offer", "event_time": TEXT, "price_level": "100.2", "new_quantity": "3"}]}]},
        {"channel": "l2_data", "timestamp": TEXT, "sequence_num": 2, "events": [{"type": "update", "product_id": "BTC-USD",
            "updates": [{"side": "bid", "event_time": TEXT, "price_level": "100.1", "new_quantity": "1.5"}]}]},
        {"channel": "market_trades", "timestamp": TEXT, "sequence_num": 3, "events": [{"type": "update", "trades": [
            {"product_id": "BTC-USD", "trade_id": "1", "price": "100.2", "size": "0.5", "time": TEXT, "side": "SELL"}]}]},
    ],
    "dydx": [
        {"type": "subscribed", "channel": "v4_orderbook", "id": "BTC-USD", "contents": {
            "bids": [{"price": "100.1", "size": "2"}], "asks": [{"price": "100.2", "size": "3"}]}},
        {"type": "channel_data", "channel": "v4_orderbook", "id": "BTC-USD", "contents": {"bids": [["100.1", "1.5"]]}},
        {"type": "channel_data", "channel": "v4_trades", "id": "BTC-USD", "contents": {"trades": [
            {"id": "1", "size": "0.5", "price": "100.2", "side": "BUY", "createdAt": TEXT, "type": "LIMIT"}]}},
    ],
    "hyperliquid": [
        {"channel": "l2Book", "data": {"coin": "BTC", "time": T, "levels": [
            [{"px": "100.1", "sz": "2", "n": 1}], [{"px": "100.2", "sz": "3", "n": 1}]]}},
        {"channel": "l2Book", "data": {"coin": "BTC", "time": T, "levels": [
            [{"px": "100.1", "sz": "1.5", "n": 1}], [{"px": "100.2", "sz": "3", "n": 1}]]}},
        {"channel": "trades", "data": [{"coin": "BTC", "side": "B", "px": "100.2", "sz": "0.5", "time": T, "tid": 9}]},
        {"channel": "activeAssetCtx", "data": {"coin": "BTC", "ctx": {
            "funding": "0.0001", "openInterest": "12.5", "oraclePx": "100.05", "markPx": "100.15"}}},
    ],
    "lighter": [
        {"type": "subscribed/order_book", "channel": "order_book:1", "offset": 5, "timestamp": T, "order_book": {
            "bids": [{"price": "100.1", "size": "2"}], "asks": [{"price": "100.2", "size": "3"}]}},
        {"type": "update/order_book", "channel": "order_book:1", "offset": 6, "timestamp": T, "order_book": {
            "bids": [{"price": "100.1", "size": "1.5"}], "asks": []}},
        {"type": "update/trade", "channel": "trade:1", "liquidation_trades": None, "trades": [
            {"trade_id": 1, "price": "100.2", "size": "0.5", "is_maker_ask": True, "timestamp": T, "type": "trade"}]},
        {"type": "update/market_stats", "channel": "market_stats:1", "timestamp": T, "market_stats": {
            "mark_price": "100.15", "index_price": "100.05", "current_funding_rate": "0.01"}},
    ],
}  # fmt: skip


def recorded(tmp_path, frames, name="frames.txt", local=T * MICRO):
    path = tmp_path / name
    path.write_text("".join(f"{local + n * MICRO} {json.dumps(frame)}\n" for n, frame in enumerate(frames)))
    return path


def read(path):
    source = FramesSource(find_members([path]))
    return source, np.concatenate([np.zeros(0, source_dtype()), *source.batches()])


def source_dtype():
    from engine.contract import EVENT_DTYPE

    return EVENT_DTYPE


@pytest.mark.parametrize("venue", sorted(FRAMES))
def test_a_venues_frames_become_events(tmp_path, venue):
    """The same story of each: a book of two levels, half a level taken, a buy, and reference values."""
    path = recorded(tmp_path, FRAMES[venue])
    assert resolve_format([path], "auto") == "frames"
    source, events = read(path)
    assert not source.rejects, source.notes
    tick, lot = source.instruments[0].tick, source.instruments[0].lot
    kinds = [EventKind(int(kind)) for kind in events["kind"]]
    assert kinds[:4] == [EventKind.CLEAR, EventKind.LEVEL, EventKind.LEVEL, EventKind.LEVEL]
    assert [round(price * tick, 6) for price in events["price"][1:4]] == [100.1, 100.2, 100.1]
    assert [round(qty * lot, 6) for qty in events["qty"][1:4]] == [2, 3, 1.5]
    assert events["side"][1:4].tolist() == [0, 1, 0]
    assert [bool(flags & EventFlag.SNAPSHOT) for flags in events["flags"][:4]] == [True, True, True, False]
    trade = events[events["kind"] == EventKind.TRADE][0]
    assert (round(trade["price"] * tick, 6), round(trade["qty"] * lot, 6), trade["side"]) == (100.2, 0.5, 0)
    assert (events["ts_ns"] // 10**9 == T // 1000).all()
    told = {
        Reference(int(code)): value for code, value in events[events["kind"] == EventKind.REFERENCE][["code", "price"]].tolist()
    }
    if Reference.MARK in told:
        assert told[Reference.MARK] == round(100.15 / tick * MICRO)
    if Reference.FUNDING_RATE in told:
        assert told[Reference.FUNDING_RATE] == 1_000_000
    if Reference.OPEN_INTEREST in told:
        assert told[Reference.OPEN_INTEREST] == round(12.5 / lot)
    assert events["seq"].tolist() == list(range(1, len(events) + 1))


def test_every_envelope_is_opened(tmp_path):
    frames = FRAMES["bybit"]
    lines = {
        "recv.jsonl": "".join(
            json.dumps({"t": "recv", "conn": "x", "ts": T / 1000, "data": json.dumps(f)}) + "\n" for f in frames
        ),
        "old.txt": "".join(f"{T / 1000}: {json.dumps(f)}\n" for f in frames),
        "bare.ndjson": "".join(json.dumps(f) + "\n" for f in frames),
        "micro.txt": "".join(f"{T * 1000} {json.dumps(f)}\n" for f in frames),
        "list.json": json.dumps([{"ts": T / 1000, "msg": json.dumps(f)} for f in frames]),
    }
    results = []
    for name, content in lines.items():
        path = tmp_path / (name + ".gz")
        path.write_bytes(gzip.compress(content.encode()))
        source, events = read(path)
        assert not source.rejects, (name, source.notes)
        results.append(events.tobytes())
    assert len(set(results)) == 1


def test_a_gap_begins_the_book_anew_and_is_counted(tmp_path):
    frames = [
        bybit("delta", 4, [["100.1", "1"]], []),
        bybit("snapshot", 5, [["100.1", "2"]], [["100.2", "3"]]),
        bybit("delta", 6, [["100.1", "1"]], []),
        bybit("delta", 6, [["100.1", "1"]], []),
        bybit("delta", 9, [["100.0", "1"]], []),
        bybit("delta", 10, [["100.0", "2"]], []),
        bybit("snapshot", 11, [["100.1", "4"]], [["100.2", "3"]]),
    ]
    source, events = read(recorded(tmp_path, frames))
    assert source.rejects == {BEFORE_SNAPSHOT: 1, ALREADY_TOLD: 1, "book update that shows a gap": 1, AFTER_GAP: 1}
    kinds = [EventKind(int(kind)).name for kind in events["kind"]]
    assert kinds == ["CLEAR", "LEVEL", "LEVEL", "LEVEL", "GAP", "CLEAR", "CLEAR", "LEVEL", "LEVEL"]
    assert any("1 gaps" in note for note in source.notes)


def test_of_pictures_only_what_both_show_is_flow():
    book = StreamBook()
    first = book.step(Step([200, 198, 203], [1, 2, 3], False, True, False, None, None))
    assert first.clear
    assert all(first.quiet)
    # The best bid shrank; 196 came into view below, 198 went away within sight.
    change = book.step(Step([200, 196, 203], [1, 5, 4], False, True, False, None, None))
    assert dict(zip(change.keys, zip(change.lots, change.quiet, strict=True), strict=True)) == {
        198: (0, False), 196: (5, True), 203: (4, False),
    }  # fmt: skip


def binance(first, last, bids):
    return {"e": "depthUpdate", "E": T, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": []}


def test_a_book_without_a_snapshot_grows_and_one_that_comes_late_is_brought_up_to_date(tmp_path):
    frames = [
        binance(1, 2, [["100.1", "1"]]),
        binance(3, 4, [["100.1", "2"], ["99.9", "5"]]),
        {"lastUpdateId": 3, "symbol": "BTCUSDT", "E": T, "bids": [["100.1", "9"], ["99.5", "4"]], "asks": [["100.2", "3"]]},
        binance(5, 6, [["99.5", "1"]]),
        binance(9, 9, [["99.5", "2"]]),
        binance(10, 11, [["99.4", "2"]]),
    ]
    source, events = read(recorded(tmp_path, frames))
    assert source.rejects == {"book update that shows a gap": 1}
    told = [
        (EventKind(int(e["kind"])).name, round(e["price"] * 0.1, 1), int(e["qty"]), bool(e["flags"] & EventFlag.SNAPSHOT))
        for e in events
    ]
    assert told[:3] == [("LEVEL", 100.1, 1, True), ("LEVEL", 100.1, 2, False), ("LEVEL", 99.9, 5, True)]
    assert told[3][0] == "CLEAR"
    assert sorted(told[4:8]) == [
        ("LEVEL", 99.5, 4, True),
        ("LEVEL", 99.9, 5, True),
        ("LEVEL", 100.1, 2, True),
        ("LEVEL", 100.2, 3, True),
    ]
    assert told[8] == ("LEVEL", 99.5, 1, False)
    assert [row[0] for row in told[9:]] == ["GAP", "CLEAR", "LEVEL"]
    assert told[-1] == ("LEVEL", 99.4, 2, True)


TABLES = {
    "trades": ["id,side,price,amount", "7,buy,100.2,0.5"],
    "quotes": ["ask_amount,ask_price,bid_price,bid_amount", "3,100.2,100.1,2", "3,100.2,100.1,1.5"],
    "incremental_book_L2": [
        "is_snapshot,side,price,amount", "true,bid,100.1,2", "true,ask,100.2,3", "false,bid,100.1,1.5", "false,ask,100.2,0",
    ],
    "book_snapshot_5": ["asks[0].price,asks[0].amount,bids[0].price,bids[0].amount", "100.2,3,100.1,2", "100.2,3,100.1,1.5"],
    "derivative_ticker": [
        "funding_timestamp,funding_rate,open_interest,last_price,index_price,mark_price", ",0.0001,12.5,100.1,100.05,100.15",
    ],
}  # fmt: skip


def test_tables_of_tardis(tmp_path):
    paths = []
    for n, (name, rows) in enumerate(TABLES.items()):
        path = tmp_path / f"{name}.csv"
        lines = [f"exchange,symbol,timestamp,local_timestamp,{rows[0]}"]
        lines += [f"binance-futures,BTCUSDT,{T}000,{T}{n}{k:02},{row}" for k, row in enumerate(rows[1:])]
        path.write_text("\n".join([*lines, "x,y", ""]))
        paths.append(path)
    for path in paths[:3]:
        assert resolve_format([path], "auto") == "frames"
    source, events = read(paths[2])
    assert [EventKind(int(kind)).name for kind in events["kind"]] == ["CLEAR", "LEVEL", "LEVEL", "LEVEL", "LEVEL"]
    assert [bool(flags & EventFlag.SNAPSHOT) for flags in events["flags"]] == [True, True, True, False, False]
    assert source.rejects == {"row with another number of columns": 1}
    for path in (paths[1], paths[3]):
        _, pictures = read(path)
        assert [EventKind(int(kind)).name for kind in pictures["kind"]] == ["CLEAR", "LEVEL", "LEVEL", "LEVEL"]
    both = FramesSource(find_members([paths[0], paths[4], paths[2]]))
    assert both.capabilities == {"book", "deep_book", "trades", "mark", "index", "funding", "open_interest", "arrival"}
    told = np.concatenate(list(both.batches()))
    is_lag = (told["kind"] == EventKind.REFERENCE) & (told["code"] == Reference.FEED_LAG)
    assert (~is_lag).sum() == 5 + 1 + 4


def test_recordings_of_tardis():
    folder = ("2_perp_l2", "tardis_csv_binance-futures_20200222")
    members = find_members([shared_data(*folder, "trades.csv.gz"), shared_data(*folder, "quotes.csv.gz")])
    source = FramesSource(members)
    events = np.concatenate(list(source.batches()))
    assert not source.rejects
    assert (events["kind"] == EventKind.TRADE).sum() == 9_999


def test_spot_is_told_from_futures_by_content():
    assert (
        resolve_format([shared_data("2_perp_l2", "binance_raw_hftbacktest", "spot_btcusdt_20230405.dat.gz")], "auto")
        == "frames"
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("garbage", "line without a frame"),
        ("17000 {}", "line without a frame"),
        (f"{T} " + "{", "frame that is no JSON"),
        (f"{T} [1]", "frame that is no object"),
        (f"{T}00 " + "{}", "local time in no known unit"),
        (f"{T} " + json.dumps(bybit("delta", 6, [["x", "1"]], [])), "price that is no number"),
        (f"{T} " + json.dumps(bybit("delta", 6, [["NaN", "1"]], [])), "price that is no number"),
        (f"{T} " + json.dumps(bybit("delta", 6, [["100.05", "1"]], [])), "price off the tick, or out of range"),
        (f"{T} " + json.dumps(bybit("delta", 6, [["100.1", "1e30"]], [])), "size out of range"),
        (f"{T} " + json.dumps(bybit("delta", 6, [["100.1"]], [])), "level without price or size"),
        (f"{T} " + json.dumps(bybit("delta", 6, [], [], ts=17)), "time that is none"),
        (f"{T} " + json.dumps({"topic": "kline.1.BTCUSDT", "data": []}), "stream kline"),
        (f"{T} " + json.dumps({"topic": "publicTrade.X", "data": []}), "frame that tells nothing"),
    ],
)
def test_what_cannot_be_used_is_counted_by_reason(tmp_path, line, reason):
    path = recorded(tmp_path, FRAMES["bybit"], local=T * MICRO)
    with path.open("a") as file:
        file.write(line + "\n")
        # Enough good prices that the tick stays.
        file.writelines(f"{T} {json.dumps(bybit('snapshot', 5, [['100.1', '2']], [['100.2', '3']]))}\n" for _ in range(1_500))
    source, _ = read(path)
    assert source.rejects == {reason: 1}
    assert any(reason in note and "line 5" in note for note in source.notes)


def test_what_is_no_recording_is_said(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("1,2,3\n" * 5)
    with pytest.raises(SourceError, match="holds no frame of a venue known here"):
        FramesSource(find_members([path]))
    hostile = [bybit("snapshot", 1, [["1", "1"]], [])]
    hostile[0]["data"]["s"] = "<script>alert(1)</script>"
    with pytest.raises(SourceError, match="no symbol can be used"):
        FramesSource(find_members([recorded(tmp_path, hostile)]))


def test_times_are_read_and_refused():
    assert iso("2023-11-14T22:13:20.123456789Z") == 1_700_000_000_123_456_789
    assert iso("2023-11-14T22:13:20Z") == 1_700_000_000_000_000_000
    assert milliseconds("1700000000000") == 1_700_000_000_000_000_000
    for wrong in ("yesterday", "2023-13-14T22:13:20Z", 5):
        with pytest.raises(NotUsedError):
            iso(wrong)
    for wrong in (1_700_000_000, 1.7e18, "x", True):
        with pytest.raises(NotUsedError):
            milliseconds(wrong)


@pytest.mark.parametrize(
    ("name", "venue", "symbols", "share"),
    [
        ("BYBIT.ETH_DOGE.jsonl.gz", "bybit", 2, None),
        ("OKX.jsonl.gz", "okx", 3, None),
        ("DERIBIT.jsonl.gz", "deribit", 9, None),
        ("KRAKEN_FUTURES.jsonl.gz", "kraken-futures", 10, None),
        ("COINBASE.jsonl.gz", "coinbase", 2, 0.97),
        ("BITMEX.ws.1.0.txt.gz", "bitmex", 8, 0.9),
        ("DYDX.ws.1.0.txt.gz", "dydx", 10, None),
        ("BINANCE_FUTURES.jsonl.gz", "binance", 4, None),
        ("BINANCE_DELIVERY.jsonl.gz", "binance", 10, None),
    ],
)
def test_a_recording_of_every_venue(name, venue, symbols, share):
    """All its data frames are used; where the venue tells its touch, it is that of the rebuilt book near that time."""
    source = FramesSource(find_members([shared_data("6_ws", "cryptofeed", name)]))
    assert source._recordings[0].stream.venue.name == venue
    assert len(source.instruments) == symbols
    events = np.concatenate(list(source.batches()))
    assert not [reason for reason in source.rejects if "gap" in reason or "price" in reason or "size" in reason]
    assert source.frames_used > 0
    if share is not None:
        assert agreement(events) > share


def agreement(events):
    """Share of the venue's own best prices that were the rebuilt book's best at the time, or shortly before."""
    books, recent, hits, total = {}, {}, 0, 0
    for event in events:
        key = (int(event["symbol"]), int(event["side"]))
        if event["kind"] == EventKind.CLEAR:
            books[key[0], 0], books[key[0], 1] = SortedDict(), SortedDict()
        elif event["kind"] == EventKind.LEVEL:
            side = books.setdefault(key, SortedDict())
            side[int(event["price"])] = int(event["qty"])
            if not event["qty"]:
                del side[int(event["price"])]
            if side:
                recent.setdefault(key, deque(maxlen=200)).append(side.keys()[-1 if key[1] == 0 else 0])
        elif event["kind"] == EventKind.REFERENCE and event["code"] in (Reference.BEST_BID, Reference.BEST_ASK):
            side = 0 if event["code"] == Reference.BEST_BID else 1
            if (key[0], side) in recent:
                total += 1
                hits += int(event["price"]) // MICRO in recent[key[0], side]
    return hits / max(1, total)


def test_no_recording_tells_more_than_the_table_of_sources_says():
    said = {entry.name: entry.capabilities for entry in SOURCES}
    for name, entry in (
        ("BYBIT.ETH_DOGE.jsonl.gz", "Bybit v5, ob500"), ("OKX.jsonl.gz", "OKX v5"), ("DERIBIT.jsonl.gz", "Deribit v2"),
        ("KRAKEN_FUTURES.jsonl.gz", "Kraken futures"), ("COINBASE.jsonl.gz", "Coinbase"), ("BITMEX.ws.1.0.txt.gz", "BitMEX"),
        ("DYDX.ws.1.0.txt.gz", "dYdX v3, v4"),
    ):  # fmt: skip
        assert FramesSource(find_members([shared_data("6_ws", "cryptofeed", name)])).capabilities <= said[entry], entry
