"""The venue: what each kind of op does to prices, wallets and positions, and what is refused."""

from __future__ import annotations

from collections import deque
from statistics import median

import msgspec
import numpy as np
import pytest

from engine.book import MEDIUM, apply_event, best, new_books
from engine.contract import (
    EVENT_DTYPE,
    MICRO,
    NO_ACCOUNT,
    OP_DTYPE,
    EventFlag,
    EventKind,
    OpFlag,
    OpKind,
    OrderType,
    Reason,
    Reference,
    Side,
    SymbolState,
    TimeInForce,
)
from engine.instruments import load_pack
from engine.matching import ROOM
from engine.rules import MAX_ORDER_MICRO, max_notional
from engine.simulation import Simulation, SimulationConfig
from engine.venue import MAX_INDEX, Venue
from tests.venue_kit import without_margin

PACK = without_margin(load_pack("core"))
UNIT = PACK.instrument("BTC-PERP").notional_micro
SECOND = 10**9
T0 = 1_767_225_600 * SECOND
NOWHERE = (OpKind.CLOCK, OpKind.TRANSFER, OpKind.DEAD_MAN)


def venue(accounts=4, pack=PACK):
    return Venue(pack, ("BTC-PERP", "ETH-PERP"), accounts, MEDIUM)


def op(kind, **fields):
    row = np.zeros(1, OP_DTYPE)
    row["kind"] = kind
    row["ts_ns"] = T0
    row["symbol"] = -1 if kind in NOWHERE else 0
    for name, value in fields.items():
        row[name] = value
    return row


def new(order_id, account, side, price, qty, **fields):
    return op(OpKind.NEW, order_id=order_id, account=account, side=side, price=price, qty=qty, **fields)


def index(price, **fields):
    return op(OpKind.REFERENCE, code=Reference.INDEX, price=price * MICRO, **fields)


def stop(order_id, account, side, trigger, qty, **fields):
    return new(order_id, account, side, 0, qty, order_type=OrderType.STOP_MARKET, trigger=trigger, **fields)


def told(events):
    """The events as (kind, order, code, whether it is a reply)."""
    return [(EventKind(e["kind"]).name, int(e["order_id"]), int(e["code"]), bool(e["flags"] & EventFlag.REPLY)) for e in events]


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
    assert v.positions[:, 0].tolist() == [-4, 4, 0, 0]
    assert v.cash.tolist() == [1000 * MICRO + 4 * 12_800 * UNIT, 500 * MICRO - 4 * 12_800 * UNIT, 0, 0]
    assert events["seq"].tolist() == [1, 2, 3, 4, 5]
    assert (v.seq, v.ops) == (5, 4)


def test_an_index_yields_index_and_mark():
    v = venue()
    events = v.apply(index(12_800, symbol=1))
    assert told(events) == [("REFERENCE", 0, Reference.INDEX, True), ("REFERENCE", 0, Reference.MARK, False)]
    assert events["account"].tolist() == [NO_ACCOUNT] * 2
    # Without book and trades P2 and the contract are the index itself.
    assert events["price"].tolist() == [12_800 * MICRO] * 2
    assert events["symbol"].tolist() == [1, 1]


def test_a_clock_yields_the_rate_of_each_symbol_with_an_index():
    v = venue()
    v.apply(index(12_800, symbol=1))
    events = v.apply(op(OpKind.CLOCK, ts_ns=T0 + SECOND))
    assert told(events) == [("CLOCK", 0, 0, True), ("REFERENCE", 0, Reference.FUNDING_RATE, False)]
    assert events["symbol"].tolist() == [-1, 1]
    assert events[1]["price"] == PACK.funding.interest_micro_bps


def test_the_funding_rate_settles_at_the_interval_and_enters_the_mark():
    v = venue()
    price = 12_800
    v.apply(index(price))
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
    v.apply(index(price, ts_ns=settled + SECOND))
    state = v.prices[0]
    assert state["settled_rate"] == rate
    first = price * MICRO * (1 + rate / 1e10 * (8 * 3600 - 1) / (8 * 3600))
    second = price * MICRO + 129 * MICRO
    assert state["mark"] == pytest.approx(sorted([first, second, price * MICRO])[1], abs=2)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (op(OpKind.CLOCK, ts_ns=T0 - 1), Reason.TIME_WENT_BACK),
        (op(OpKind.CLOCK, symbol=0), Reason.BAD_FIELD),
        (new(1, 0, Side.BUY, 100, 10, ts_ns=T0 - 1), Reason.TIME_WENT_BACK),
        (new(1, 4, Side.BUY, 100, 10), Reason.UNKNOWN_ACCOUNT),
        (new(1, -1, Side.BUY, 100, 10), Reason.UNKNOWN_ACCOUNT),
        (new(1, 0, Side.BUY, 100, 10, symbol=2), Reason.UNKNOWN_SYMBOL),
        (new(1, 0, Side.BUY, 100, max_notional(UNIT) // 100 + 1), Reason.NOTIONAL_TOO_LARGE),
        (new(1, 0, Side.BUY, 100, 9), Reason.NOTIONAL_TOO_SMALL),
        (new(1, 0, Side.BUY, 100, 2**62, order_type=OrderType.MARKET), Reason.NOTIONAL_TOO_LARGE),
        (op(OpKind.TRANSFER, account=9, qty=1), Reason.UNKNOWN_ACCOUNT),
        (op(OpKind.TRANSFER, account=0, qty=-(2**62)), Reason.BAD_QUANTITY),
        (op(OpKind.TRANSFER, account=0, qty=1, symbol=0), Reason.BAD_FIELD),
        (op(OpKind.TRANSFER, account=0, qty=1, link=1), Reason.BAD_FIELD),
        (op(OpKind.TRANSFER, account=0, qty=1, ts_ns=T0 - 1), Reason.TIME_WENT_BACK),
        (op(OpKind.REFERENCE, code=Reference.MARK, price=1), Reason.BAD_FIELD),
        (op(OpKind.REFERENCE, code=Reference.LAST, price=1), Reason.BAD_FIELD),
        (op(OpKind.REFERENCE, code=Reference.INDEX, price=0), Reason.BAD_PRICE),
        (op(OpKind.REFERENCE, code=Reference.INDEX, price=MAX_INDEX + 1), Reason.BAD_PRICE),
        (op(OpKind.REFERENCE, code=Reference.INDEX, price=1, symbol=-1), Reason.UNKNOWN_SYMBOL),
        (op(99, account=0), Reason.BAD_FIELD),
    ],
)
def test_what_is_refused_changes_nothing(bad, reason):
    v = venue()
    v.apply(np.concatenate([op(OpKind.CLOCK), new(7, 0, Side.SELL, 12_800, 10)]))
    before = [array.copy() for array in (v.prices, v.cash, v.positions)]
    events = v.apply(bad)
    assert told(events) == [("REJECT", int(bad[0]["order_id"]), reason, True)]
    assert events[0]["ts_ns"] == T0
    for array, copy in zip((v.prices, v.cash, v.positions), before, strict=True):
        assert np.array_equal(array, copy)
    assert (v.ops, v.seq) == (3, 3)


def test_the_largest_order_is_taken():
    v = venue()
    events = v.apply(new(1, 0, Side.BUY, 100, max_notional(UNIT) // 100))
    assert events["kind"].tolist() == [EventKind.ADD]
    assert max_notional(UNIT) * UNIT == pytest.approx(MAX_ORDER_MICRO)


def test_symbols_have_times_of_their_own_until_a_clock():
    v = venue()
    v.apply(np.concatenate([index(100, ts_ns=T0 + 5), index(100, ts_ns=T0 + 3, symbol=1)]))
    assert v.now_ns == T0 + 5
    assert told(v.apply(op(OpKind.TRANSFER, qty=1, ts_ns=T0 + 4))) == [("REJECT", 0, Reason.TIME_WENT_BACK, True)]
    v.apply(op(OpKind.TRANSFER, qty=1, ts_ns=T0 + 6))
    assert told(v.apply(index(100, ts_ns=T0 + 5, symbol=1))) == [("REJECT", 0, Reason.TIME_WENT_BACK, True)]


def test_a_stop_fires_at_the_mark_that_the_venue_makes():
    v = venue()
    v.apply(
        np.concatenate([
            index(12_800),
            new(1, 0, Side.SELL, 12_800, 10),
            new(2, 1, Side.BUY, 12_800, 10),
            new(3, 2, Side.BUY, 11_900, 50),
            stop(4, 1, Side.SELL, 12_000, 10, flags=OpFlag.REDUCE_ONLY),
        ])
    )  # fmt: skip
    assert v.prices[0]["last"] == 12_800 * MICRO
    events = v.apply(index(11_950))
    assert told(events) == [
        ("REFERENCE", 0, Reference.INDEX, True),
        ("REFERENCE", 0, Reference.MARK, False),
        ("TRIGGER", 4, Reference.MARK, False),
        ("TRADE", 4, 0, False),
        ("DONE", 4, Reason.FILLED, False),
    ]
    assert events[1]["price"] == v.prices[0]["mark"] == 11_950 * MICRO
    assert v.positions[:, 0].tolist() == [-10, 0, 10, 0]
    assert v.cash.tolist() == [12_800 * 10 * UNIT, -(12_800 - 11_900) * 10 * UNIT, -11_900 * 10 * UNIT, 0]
    assert v.prices[0]["last"] == 11_900 * MICRO


def test_what_the_index_fires_comes_before_the_mark_and_moves_it():
    v = venue()
    v.apply(
        np.concatenate([
            index(12_800),
            new(1, 0, Side.SELL, 12_900, 10),
            stop(2, 1, Side.BUY, 12_850, 10, code=Reference.INDEX),
        ])
    )  # fmt: skip
    v.prices["settled_rate"] = 0
    v.prices["sampled"], v.prices["basis"] = 30, 100 * MICRO  # P2 is the index and 100 ticks
    events = v.apply(index(12_850))
    assert [kind for kind, *_ in told(events)] == ["REFERENCE", "TRIGGER", "TRADE", "DONE", "REFERENCE"]
    assert events[-1]["price"] == 12_900 * MICRO  # the contract's last, between 12,850 and 12,950


def test_an_auction_is_settled_at_its_clearing_price():
    v = venue()
    state = [op(OpKind.STATE, code=SymbolState.AUCTION), op(OpKind.STATE, code=SymbolState.OPEN, ts_ns=T0 + 2)]
    orders = [new(1, 0, Side.SELL, 12_790, 10), new(2, 1, Side.BUY, 12_810, 4, ts_ns=T0 + 1), new(3, 2, Side.BUY, 12_800, 3)]
    orders[2]["ts_ns"] = T0 + 1
    events = v.apply(np.concatenate([state[0], *orders, state[1]]))
    assert [kind for kind, *_ in told(events)] == ["STATE", "ADD", "ADD", "ADD", "TRADE", "TRADE", "STATE"]
    trades = events[events["kind"] == EventKind.TRADE]
    assert (trades["flags"] & EventFlag.AUCTION).all()
    clearing = int(events[-1]["price"])
    assert 12_790 <= clearing <= 12_800
    assert events[-1]["qty"] == 7
    assert v.positions[:, 0].tolist() == [-7, 4, 3, 0]
    assert v.cash.tolist() == [7 * clearing * UNIT, -4 * clearing * UNIT, -3 * clearing * UNIT, 0]
    assert v.prices[0]["last"] == clearing * MICRO


def test_the_clock_ends_what_is_over_before_it_samples():
    v = venue()
    v.apply(index(12_800))
    until = T0 // SECOND + 2
    timed = {"tif": TimeInForce.GTD, "expire_s": until}
    v.apply(np.concatenate([new(1, 0, Side.BUY, 12_790, 1000, **timed), new(2, 0, Side.SELL, 12_810, 1000, **timed)]))
    v.apply(op(OpKind.CLOCK, ts_ns=T0 + SECOND))
    assert v.prices[0]["sampled"] == 1
    events = v.apply(op(OpKind.CLOCK, ts_ns=T0 + 2 * SECOND))
    assert told(events) == [
        ("CLOCK", 0, 0, True),
        ("CANCEL", 1, Reason.EXPIRED, False),
        ("CANCEL", 2, Reason.EXPIRED, False),
        ("REFERENCE", 0, Reference.FUNDING_RATE, False),
    ]
    assert v.prices[0]["sampled"] == 1  # there was no book any more


def test_the_clock_cancels_for_those_who_have_gone_silent():
    v = venue()
    v.apply(np.concatenate([op(OpKind.DEAD_MAN, account=2, qty=SECOND), new(1, 2, Side.BUY, 12_790, 10)]))
    events = v.apply(op(OpKind.CLOCK, ts_ns=T0 + SECOND))
    assert told(events) == [("CLOCK", 0, 0, True), ("CANCEL", 1, Reason.DEAD_MAN, False)]


def test_the_throttle_says_when_to_come_again_and_lets_cancels_pass():
    tight = msgspec.structs.replace(PACK.throttle, tokens_per_s=10, burst=2)
    v = venue(pack=msgspec.structs.replace(PACK, throttle=tight))
    orders = [new(n, 0, Side.BUY, 12_700, 1) for n in (1, 2, 3)]
    events = v.apply(np.concatenate([*orders, op(OpKind.CANCEL, order_id=1), new(4, 1, Side.BUY, 12_700, 1)]))
    assert [kind for kind, *_ in told(events)] == ["ADD", "ADD", "REJECT", "CANCEL", "ADD"]
    assert events[2]["code"] == Reason.THROTTLED
    assert events[2]["leaves"] == SECOND // 10
    again = v.apply(new(5, 0, Side.BUY, 12_700, 1, ts_ns=T0 + int(events[2]["leaves"])))
    assert again["kind"].tolist() == [EventKind.ADD]


def test_nobody_trades_with_himself():
    v = venue()
    events = v.apply(np.concatenate([new(1, 0, Side.SELL, 12_800, 10), new(2, 0, Side.BUY, 12_800, 10)]))
    assert told(events)[1] == ("DONE", 2, Reason.SELF_TRADE, True)


def test_orders_keep_their_distance_from_the_mark():
    v = venue()
    v.apply(index(10_000))
    ops = [new(1, 0, Side.BUY, 11_001, 1), new(2, 0, Side.BUY, 11_000, 1), new(3, 0, Side.SELL, 8_999, 1)]
    assert [code for _, _, code, _ in told(v.apply(np.concatenate(ops)))] == [
        Reason.PRICE_OUT_OF_BOUNDS, Reason.NONE, Reason.PRICE_OUT_OF_BOUNDS,
    ]  # fmt: skip
    v.apply(op(OpKind.CANCEL, order_id=2))
    v.apply(np.concatenate([new(4, 0, Side.SELL, 10_500, 1), new(5, 0, Side.SELL, 10_501, 1)]))
    events = v.apply(new(6, 1, Side.BUY, 0, 2, order_type=OrderType.MARKET))
    assert told(events)[-1] == ("DONE", 6, Reason.BOUND_REACHED, True)


def crowded():
    """Ops after which hundreds of orders wait for the index, for the mark, and for the clock; and the ops that set them off."""
    later = T0 + 10 * SECOND
    waiting = [index(12_800), new(1, 0, Side.BUY, 12_000, 10_000, ts_ns=T0), new(2, 0, Side.BUY, 11_990, 10_000)]
    for n in range(200):
        waiting += [
            stop(100 + n, 1, Side.SELL, 12_700 - n, 1, code=Reference.INDEX),
            stop(400 + n, 2, Side.SELL, 12_700 - n, 1),
            new(700 + n, 3, Side.SELL, 13_000 + n, 1, tif=TimeInForce.GTD, expire_s=later // SECOND),
        ]
    return np.concatenate(waiting), np.concatenate([index(12_400, ts_ns=T0 + 1), op(OpKind.CLOCK, ts_ns=later)])


@pytest.mark.parametrize("rows", [ROOM, ROOM + 1, 200])
def test_what_is_half_done_goes_on_where_the_buffer_was_full(rows):
    waiting, then = crowded()
    whole, parted = venue(), venue()
    parted._buffer = np.zeros(rows, EVENT_DTYPE)
    for ops in (waiting, then):
        events = whole.apply(ops)
        assert parted.apply(ops).tobytes() == events.tobytes()
        assert parted.state_hash() == whole.state_hash()
        assert np.count_nonzero(events["flags"] & EventFlag.REPLY) == len(ops)
    for kind, code, many in (
        (EventKind.TRIGGER, Reference.INDEX, 200),
        (EventKind.TRIGGER, Reference.MARK, 200),
        (EventKind.CANCEL, Reason.EXPIRED, 200),
        (EventKind.REFERENCE, Reference.MARK, 1),
        (EventKind.REFERENCE, Reference.FUNDING_RATE, 1),
    ):
        assert np.count_nonzero((events["kind"] == kind) & (events["code"] == code)) == many


def test_a_snapshot_holds_what_waits_and_the_tail_leads_on():
    waiting, then = crowded()
    first, second = venue(), venue()
    first.apply(np.concatenate([waiting, op(OpKind.QUOTE, order_id=5000, account=1, price=12_600, qty=5, flags=OpFlag.MORE)]))
    second.restore(first.snapshot())
    assert second.state_hash() == first.state_hash()
    assert second.apply(then).tobytes() == first.apply(then).tobytes()
    assert second.state_hash() == first.state_hash()


def test_prices_beyond_all_measure_leave_the_venue_running():
    v = venue()
    far = max_notional(UNIT)
    v.apply(
        np.concatenate([
            new(1, 0, Side.SELL, 1, 1_000_000),
            new(2, 0, Side.SELL, far, 1),
            new(3, 1, Side.BUY, far - 1, 1, symbol=1),
            new(4, 1, Side.SELL, far, 1, symbol=1),
            index(1),
            index(1, symbol=1),
        ])
    )  # fmt: skip
    for second in range(1, 40):
        at = T0 + second * SECOND
        v.apply(np.concatenate([op(OpKind.CLOCK, ts_ns=at), index(1, ts_ns=at), index(1, ts_ns=at, symbol=1)]))
    assert (v.prices["mark"] >= 1).all()
    assert (v.prices["mark"] <= 3 * MICRO).all()


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
