"""The venue: what each kind of op does to prices, wallets and positions, and what is refused."""

from __future__ import annotations

from collections import deque
from statistics import median

import numpy as np
import pytest

from engine.book import MEDIUM, apply_event, best, new_books
from engine.contract import MICRO, OP_DTYPE, EventKind, OpKind, OrderType, Reason, Reference, Side, TimeInForce
from engine.instruments import load_pack
from engine.simulation import Simulation, SimulationConfig
from engine.venue import MAX_ORDER_MICRO, Venue

PACK = load_pack("core")
SECOND = 10**9
T0 = 1_767_225_600 * SECOND


def venue(accounts=4):
    return Venue(PACK, ("BTC-PERP", "ETH-PERP"), accounts, MEDIUM)


def op(kind, **fields):
    row = np.zeros(1, OP_DTYPE)
    row["kind"] = kind
    row["ts_ns"] = T0
    for name, value in fields.items():
        row[name] = value
    return row


def new(order_id, account, side, price, qty, **fields):
    return op(OpKind.NEW, order_id=order_id, account=account, side=side, price=price, qty=qty, **fields)


def test_a_trade_moves_both_positions_and_both_wallets():
    v = venue()
    ops = [
        op(OpKind.TRANSFER, account=0, qty=1000 * MICRO),
        op(OpKind.TRANSFER, account=1, qty=500 * MICRO),
        new(1, 0, Side.SELL, 12_800, 10),
        new(2, 1, Side.BUY, 12_801, 4, tif=TimeInForce.IOC),
    ]
    events = v.apply(np.concatenate(ops))
    assert [EventKind(kind).name for kind in events["kind"]] == ["TRANSFER", "TRANSFER", "ADD", "TRADE", "DONE"]
    unit = PACK.instrument("BTC-PERP").notional_micro
    assert v.positions[:, 0].tolist() == [-4, 4, 0, 0]
    assert v.cash.tolist() == [1000 * MICRO + 4 * 12_800 * unit, 500 * MICRO - 4 * 12_800 * unit, 0, 0]
    assert events["seq"].tolist() == [1, 2, 3, 4, 5]
    assert (v.seq, v.ops) == (5, 4)


def test_an_index_yields_index_and_mark():
    v = venue()
    events = v.apply(op(OpKind.REFERENCE, code=Reference.INDEX, price=12_800 * MICRO, symbol=1))
    assert events["code"].tolist() == [Reference.INDEX, Reference.MARK]
    # Without book and trades P2 and the contract are the index itself.
    assert events["price"].tolist() == [12_800 * MICRO] * 2
    assert events["symbol"].tolist() == [1, 1]


def test_a_clock_yields_the_rate_of_each_symbol_with_an_index():
    v = venue()
    v.apply(op(OpKind.REFERENCE, code=Reference.INDEX, price=12_800 * MICRO, symbol=1))
    events = v.apply(op(OpKind.CLOCK, ts_ns=T0 + SECOND))
    assert events["kind"].tolist() == [EventKind.CLOCK, EventKind.REFERENCE]
    assert events["symbol"].tolist() == [-1, 1]
    assert events[1]["code"] == Reference.FUNDING_RATE
    assert events[1]["price"] == PACK.funding.interest_micro_bps


def test_the_funding_rate_settles_at_the_interval_and_enters_the_mark():
    v = venue()
    price = 12_800
    v.apply(op(OpKind.REFERENCE, code=Reference.INDEX, price=price * MICRO))
    # A book 1 % above the index, deep enough for the impact notional: the premium is far beyond the clamp.
    v.apply(np.concatenate([new(1, 0, Side.BUY, 12_928, 10_000), new(2, 0, Side.SELL, 12_930, 10_000)]))
    at = T0
    for _ in range(3):
        at += SECOND
        rate = int(v.apply(op(OpKind.CLOCK, ts_ns=at))[1]["price"])
    mean_premium = 10**10 * 128 // price  # from T0, a settlement time, in every second
    assert rate == mean_premium - PACK.funding.clamp_micro_bps
    settled = T0 + 8 * 3600 * SECOND
    v.apply(op(OpKind.CLOCK, ts_ns=settled))
    v.apply(op(OpKind.REFERENCE, code=Reference.INDEX, price=price * MICRO, ts_ns=settled + SECOND))
    state = v.prices[0]
    assert state["settled_rate"] == rate
    first = price * MICRO * (1 + rate / 1e10 * (8 * 3600 - 1) / (8 * 3600))
    second = price * MICRO + 129 * MICRO
    assert state["mark"] == pytest.approx(sorted([first, second, price * MICRO])[1], abs=2)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (op(OpKind.CLOCK, ts_ns=T0 - 1), Reason.TIME_WENT_BACK),
        (new(1, 0, Side.BUY, 100, 1, ts_ns=T0 - 1, symbol=1), Reason.TIME_WENT_BACK),
        (new(1, 4, Side.BUY, 100, 1), Reason.BAD_FIELD),
        (new(1, -1, Side.BUY, 100, 1), Reason.BAD_FIELD),
        (new(1, 0, Side.BUY, 100, 1, symbol=2), Reason.UNKNOWN_SYMBOL),
        (new(1, 0, Side.BUY, 100, MAX_ORDER_MICRO // 5000 // 100 + 1), Reason.BAD_QUANTITY),
        (new(1, 0, Side.BUY, 0, 2**62, order_type=OrderType.MARKET), Reason.BAD_QUANTITY),
        (op(OpKind.TRANSFER, account=9, qty=1), Reason.BAD_FIELD),
        (op(OpKind.TRANSFER, account=0, qty=-(2**62)), Reason.BAD_QUANTITY),
        (op(OpKind.REFERENCE, code=Reference.MARK, price=1), Reason.BAD_FIELD),
        (op(OpKind.REFERENCE, code=Reference.INDEX, price=0), Reason.BAD_PRICE),
        (op(OpKind.REFERENCE, code=Reference.INDEX, price=1, symbol=-1), Reason.UNKNOWN_SYMBOL),
        (op(99, account=0), Reason.BAD_FIELD),
    ],
)
def test_what_is_refused_changes_nothing(bad, reason):
    v = venue()
    v.apply(new(7, 0, Side.SELL, 12_800, 10))
    before = [array.copy() for array in (v.prices, v.cash, v.positions)]
    events = v.apply(bad)
    assert events["kind"].tolist() == [EventKind.REJECT]
    assert Reason(events[0]["code"]) is reason
    assert events[0]["ts_ns"] == T0
    for array, copy in zip((v.prices, v.cash, v.positions), before, strict=True):
        assert np.array_equal(array, copy)


def test_the_largest_order_is_taken():
    v = venue()
    events = v.apply(new(1, 0, Side.BUY, 100, MAX_ORDER_MICRO // 5000 // 100))
    assert events["kind"].tolist() == [EventKind.ADD]


def test_only_ops_are_taken():
    with pytest.raises(ValueError, match="OP_DTYPE"):
        venue().apply(np.zeros(1))


def test_a_snapshot_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="expected"):
        venue(5).restore(venue(4).snapshot())
    with pytest.raises(ValueError, match="no packed state"):
        venue(4).restore(b"\x05")


def test_marks_of_a_simulated_minute_equal_a_plain_recomputation():
    """The oracle rebuilds books from events and computes P1, P2 and the median with Python's integers."""
    simulation = Simulation(SimulationConfig(seed=5, start_ns=T0, history_s=1000))
    v = simulation.new_venue()
    events = []
    for _ in range(400):
        part = v.apply(simulation.step(v))
        simulation.observe(part)
        events.append(part)
    count = len(v.instruments)
    books = new_books(MEDIUM, count)
    index, last = [0] * count, [0] * count
    basis: list[deque[int]] = [deque(maxlen=30) for _ in range(count)]
    rate, marks = PACK.funding.interest_micro_bps, 0
    interval = 8 * 3600 * SECOND
    for event in np.concatenate(events):
        k, kind = int(event["symbol"]), event["kind"]
        if kind == EventKind.CLOCK:
            for s in range(count):
                bid, ask = int(best(books[s], 0)), int(best(books[s], 1))
                if index[s] and bid and ask:
                    basis[s].append((bid + ask) * MICRO // 2 - index[s])
        elif kind == EventKind.TRADE:
            last[k] = int(event["price"]) * MICRO
        elif kind == EventKind.REFERENCE and event["code"] == Reference.INDEX:
            index[k] = int(event["price"])
        elif kind == EventKind.REFERENCE and event["code"] == Reference.MARK:
            remaining = -int(event["ts_ns"]) % interval
            p1 = index[k] + index[k] * rate // 10**10 * remaining // interval
            p2 = index[k] + (sum(basis[k]) // len(basis[k]) if basis[k] else 0)
            assert event["price"] == median([p1, p2, last[k] or index[k]])
            marks += 1
        if kind in (EventKind.ADD, EventKind.CANCEL, EventKind.TRADE):
            assert apply_event(books[k], event) == 0
    assert marks > 500
