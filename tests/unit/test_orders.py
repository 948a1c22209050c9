"""Order-by-order recordings: the ledger's rules, each format's records, and real recordings against the venue's own books."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zstandard

from engine.contract import NO_ORDER, EventFlag, EventKind, Reason
from monitor.sources import SourceError
from monitor.sources.detect import resolve_format
from monitor.sources.files import find_members
from monitor.sources.orders.batch import OrderBatch
from monitor.sources.orders.databento import HEADER
from monitor.sources.orders.ledger import UNKNOWN_ID, OrderLedger
from monitor.sources.orders.source import OrdersSource
from tests.shared_data import shared_data

S = 1_000_000_000


@pytest.fixture
def ledger():
    return OrderLedger(0, OrderBatch())


def told(ledger):
    """(kind, order, contra order, side, ticks, lots, leaves) of the events so far."""
    names = ["order_id", "contra_order_id", "side", "price", "qty", "leaves"]
    events = ledger.batch.build(1)
    return [(EventKind(int(event["kind"])).name, *(int(event[name]) for name in names)) for event in events]


def test_orders_come_shrink_and_go(ledger):
    ledger.add(S, 1, True, 100, 5, is_old=False)
    ledger.cancel(S, 1, 2, None, None)
    ledger.change(S, 1, 1, True, 100)
    ledger.cancel(S, 1, None, None, None)
    assert told(ledger) == [
        ("ADD", 1, NO_ORDER, 0, 100, 5, 5),
        ("CANCEL", 1, NO_ORDER, 0, 100, 2, 3),
        ("CANCEL", 1, NO_ORDER, 0, 100, 2, 1),
        ("CANCEL", 1, NO_ORDER, 0, 100, 1, 0),
    ]
    assert ledger.orders == {}
    assert ledger.levels == ({}, {})


def test_more_or_another_price_is_a_new_place(ledger):
    ledger.add(S, 1, False, 100, 5, is_old=False)
    ledger.change(S, 1, 7, False, 101)
    events = ledger.batch.build(1)
    assert [EventKind(int(kind)).name for kind in events["kind"]] == ["ADD", "CANCEL", "ADD"]
    assert events["code"][1] == Reason.AMENDED
    assert events["price"].tolist() == [100, 100, 101]


def test_who_comes_in_across_the_book_takes_and_the_rest_of_it_rests(ledger):
    ledger.add(S, 1, False, 100, 5, is_old=False)
    ledger.add(2 * S, 2, True, 101, 8, is_old=False)
    ledger.fill(2 * S, 1, 5, False, 100, is_told=False)
    ledger.fill(2 * S, 2, 5, True, 101, is_told=False)
    ledger.add(3 * S, 3, True, 90, 1, is_old=False)
    assert told(ledger) == [
        ("ADD", 1, NO_ORDER, 1, 100, 5, 5),
        ("TRADE", 2, 1, 0, 100, 5, 0),
        ("ADD", 2, NO_ORDER, 0, 101, 3, 3),
        ("ADD", 3, NO_ORDER, 0, 90, 1, 1),
    ]


def test_an_incoming_order_that_never_trades_rests_after_a_second(ledger):
    ledger.add(S, 1, False, 100, 5, is_old=False)
    ledger.add(S, 2, True, 100, 1, is_old=False)
    ledger.settle(S + 999_999_999)
    assert len(told(ledger)) == 1
    ledger.settle(2 * S)
    assert told(ledger) == [("ADD", 2, NO_ORDER, 0, 100, 1, 1)]


def test_lots_of_a_fill_that_are_told_again_go_once(ledger):
    ledger.add(S, 1, True, 100, 5, is_old=False)
    ledger.fill(S, 1, 3, True, 100, is_told=True)
    ledger.cancel(S, 1, 3, True, 100)
    ledger.fill(S, 1, 2, True, 100, is_told=True)
    ledger.cancel(S, 1, 2, True, 100)
    assert told(ledger) == [
        ("ADD", 1, NO_ORDER, 0, 100, 5, 5),
        ("TRADE", NO_ORDER, 1, 1, 100, 3, 2),
        ("TRADE", NO_ORDER, 1, 1, 100, 2, 0),
    ]
    assert ledger.orders == {}


def test_what_was_there_before_is_known_by_the_venues_levels(ledger):
    ledger.add(S, 1, True, 100, 5, is_old=False)
    ledger.compare(S, ({100: 8, 99: 4}, {103: 2}))
    assert (ledger.compared, ledger.equal) == (0, 0)
    events = ledger.batch.build(1)[1:]
    assert (events["flags"] == EventFlag.SNAPSHOT | EventFlag.UNDATED).all()
    assert sorted(zip(events["price"].tolist(), events["qty"].tolist(), strict=True)) == [(99, 4), (100, 3), (103, 2)]
    assert (events["order_id"] >= UNKNOWN_ID).all()
    # An order that was never seen goes: out of the unknown lots at its price, as order flow.
    assert ledger.cancel(S, 77, 2, True, 100) is None
    assert ledger.batch.build(1)[["kind", "qty", "flags"]].tolist() == [(EventKind.CANCEL, 2, 0)]
    assert ledger.cancel(S, 78, 2, True, 55) == "message about an order that was never seen"
    # The venue's levels again: one right, one that lost lots unseen, one that went.
    ledger.compare(2 * S, ({100: 6, 99: 1}, {104: 2}))
    assert (ledger.compared, ledger.equal) == (3, 1)
    assert ledger.levels == ({100: 6, 99: 1}, {104: 2})


def test_nonsense_is_refused(ledger):
    assert ledger.add(S, 1, True, 100, 0, is_old=False) == "order of no size"
    ledger.add(S, 1, True, 100, 1, is_old=False)
    assert ledger.add(S, 1, True, 100, 1, is_old=False) == "order that is there already"
    assert ledger.change(S, 2, 1, True, 100) == "change of an order that was never seen"


def read(path):
    source = OrdersSource(find_members([path]))
    return source, np.concatenate(list(source.batches()))


COLUMNS = HEADER.decode() + ",flags,sequence,channel_id,instrument_id"
MBO = [
    "1703422805718200244,1703422805243925307,R,N,9223372036854775807,0,0,40,0,0,7",
    "1703422805718200244,1700000000000000000,A,B,100250000000,2,11,40,1,0,7",
    "1703422805718200244,1700000000000000000,A,A,100500000000,3,12,40,2,0,7",
    "1703422806000000000,1703422806000000000,A,B,100000000000,4,13,130,3,0,7",
    "1703422807000000000,1703422807000000000,T,B,100500000000,1,0,0,4,0,7",
    "1703422807000000000,1703422807000000000,F,A,100500000000,1,12,0,4,0,7",
    "1703422807000000000,1703422807000000000,C,A,100500000000,1,12,130,4,0,7",
    "1703422808000000000,1703422808000000000,M,B,100000000000,1,13,130,5,0,7",
]


def test_databento_records(tmp_path):
    path = tmp_path / "x.csv.zst"
    text = (
        HEADER.decode() + ",flags,sequence,channel_id,instrument_id\n" + "\n".join(MBO) + "\nnonsense\n1,2,A,B,x,1,1,0,0,0,7\n"
    )
    path.write_bytes(zstandard.compress(text.encode()))
    assert resolve_format([path], "auto") == "orders"
    source, events = read(path)
    assert source.rejects == {"trade record, told by the fills of resting orders": 1, "row that is no record": 2}
    kinds = [EventKind(int(kind)).name for kind in events["kind"]]
    assert kinds == ["CLEAR", "ADD", "ADD", "ADD", "TRADE", "CANCEL"]
    assert events["price"].tolist()[1:] == [10_025, 10_050, 10_000, 10_050, 10_000]
    assert events["ts_ns"][1] == 1_703_422_805_718_200_244, "what rested before is dated by its reception"
    assert [bool(flags & EventFlag.UNDATED) for flags in events["flags"]] == [False, True, True, False, False, False]
    assert (events["contra_order_id"][4], events["leaves"][4], events["qty"][5]) == (12, 2, 3)


def test_a_file_without_a_column_is_said(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(HEADER.decode() + "\n1,2,A,B,1,1,1\n")
    with pytest.raises(SourceError, match="lacks the columns flags, instrument_id"):
        OrdersSource(find_members([path]))


def test_torn_files_are_said(tmp_path):
    whole = zstandard.compress(
        (HEADER.decode() + ",flags,sequence,channel_id,instrument_id\n" + "\n".join(MBO * 2_000)).encode()
    )
    path = tmp_path / "x.csv.zst"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError):
        read(path)
    path.write_bytes(b"DBN\x03" + b"\x00" * 40)
    with pytest.raises(SourceError, match="is no DBN file"):
        OrdersSource(find_members([path]))


def test_bitfinex_frames(tmp_path):
    path = tmp_path / "x.json"
    frames = [
        {"event": "subscribed", "channel": "book", "chanId": 5, "symbol": "tBTCUSD", "prec": "R0"},
        [5, [[1, 100, 0.5], [2, 101, -0.25]]],
        [5, [1, 100, 0.25]],
        [5, [2, 0, 1]],
        [5, "hb"],
        [6, [1, 1, 1]],
    ]
    path.write_text(json.dumps(frames))
    source, events = read(path)
    assert [EventKind(int(kind)).name for kind in events["kind"]] == ["CLEAR", "ADD", "ADD", "CANCEL", "CANCEL"]
    assert source.rejects == {"frame without data": 1, "heartbeat": 1, "frame of no known channel": 1} or source.rejects == {
        "heartbeat": 1,
        "frame of no known channel": 1,
    }
    assert "trades" not in source.capabilities
    assert any("no time" in note for note in source.notes)


def test_bitstamps_books_are_the_venues_own():
    """Every `order_book` line has twenty levels a side; what the orders alone say of them must be what the venue says."""
    source, events = read(shared_data("1_l3", "bitstamp_2015-05-01", "2015-05-01.00h-05h.log.gz"))
    ledger = source.ledgers["BTCUSD"]
    assert ledger.compared == 40 * 5_010
    assert ledger.equal / ledger.compared > 0.998
    trades = events[events["kind"] == EventKind.TRADE]
    assert abs(len(trades) - 575) < 30, "the venue's own prints"
    unexplained = sum(count for reason, count in source.rejects.items() if "never seen" in reason)
    assert unexplained / source.messages < 0.005


def test_dbn_and_its_csv_say_the_same():
    names = ("orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst", "orderbooks_mbo_2024-05-08.csv.gz")
    events = [read(shared_data("1_l3", "cme_es_mbo", name))[1] for name in names]
    assert len(events[0]) > 13_000
    assert events[0].tobytes() == events[1].tobytes()
