"""The stream of events, whatever the ops: replies, numbers, fields, levels, buffers. The rules are in `test_matching_*.py`."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

import engine.matching
from engine.book import new_books, next_level, set_level
from engine.contract import EVENT_DTYPE, NO_ACCOUNT, EventFlag, EventKind, Reason
from engine.market import Market, new_market
from engine.matching import ROOM, process, run
from tests.matching_kit import (
    ACCOUNTS,
    ANN,
    BOB,
    BUY,
    CID,
    DORMANT,
    IOC,
    LAST,
    MARK,
    MICRO,
    OPEN,
    REDUCE_ONLY,
    SELL,
    Op,
    Scene,
    as_rows,
    clock,
    mark,
    show,
    state,
)
from tests.oracle.flows import TINY, everything, wandering_market

DERIVED, REPLY = EventFlag.DERIVED, EventFlag.REPLY


def test_the_documented_example_is_true() -> None:
    result = doctest.testmod(engine.matching)
    assert result.attempted > 0
    assert result.failed == 0


# -- fields ------------------------------------------------------------------------------------------------------------


def fields(event: np.void) -> dict[str, int]:
    """What is neither 0 nor nobody, but for the kind."""
    named = dict(zip(EVENT_DTYPE.names, event.item(), strict=True))
    nobody = [name for name in ("account", "contra_account") if named[name] == NO_ACCOUNT]
    return {name: value for name, value in named.items() if value and name not in ("kind", *nobody)}


ANNS, BOBS = {"account": ANN.number}, {"account": BOB.number}

EVENTS = [
    (ANN.sell(1, 5, 100), "ADD", {"order_id": 1, **ANNS, "side": SELL, "price": 100, "qty": 5, "leaves": 5, "flags": REPLY}),
    (None, "LEVEL", {"side": SELL, "price": 100, "qty": 5, "flags": DERIVED}),
    (
        BOB.buy(2, 3, 101),
        "TRADE",
        {
            "order_id": 2, "contra_order_id": 1, **BOBS, "contra_account": ANN.number, "side": BUY, "price": 100, "qty": 3,
            "leaves": 2,
        },
    ),
    (None, "LEVEL", {"side": SELL, "price": 100, "qty": 2, "flags": DERIVED}),
    (None, "DONE", {"order_id": 2, **BOBS, "side": BUY, "price": 101, "qty": 3, "flags": REPLY, "code": Reason.FILLED}),
    (
        BOB.buy(3, 4, 99, tif=IOC),
        "DONE",
        {"order_id": 3, **BOBS, "side": BUY, "price": 99, "leaves": 4, "flags": REPLY, "code": Reason.IOC_REMAINDER},
    ),
    (
        BOB.sell(4, 1, stop=90),
        "ARM",
        {"order_id": 4, **BOBS, "side": SELL, "price": 90, "qty": 1, "leaves": 1, "flags": REPLY},
    ),
    (
        BOB.buy(5, 1, profit=80, flags=DORMANT | REDUCE_ONLY),
        "ACK",
        {"order_id": 5, **BOBS, "side": BUY, "price": 80, "qty": 1, "flags": REPLY},
    ),
    (mark(90), "REFERENCE", {"price": 90 * MICRO, "flags": REPLY, "code": MARK}),
    (None, "TRIGGER", {"order_id": 4, **BOBS, "side": SELL, "price": 90, "qty": 1, "code": MARK}),
    (None, "DONE", {"order_id": 4, **BOBS, "side": SELL, "leaves": 1, "code": Reason.NO_LIQUIDITY}),
    (
        ANN.cancel(1),
        "CANCEL",
        {"order_id": 1, **ANNS, "side": SELL, "price": 100, "qty": 2, "flags": REPLY, "code": Reason.BY_OWNER},
    ),
    (None, "LEVEL", {"side": SELL, "price": 100, "flags": DERIVED}),
    (
        ANN.sell(6, 7, -8),
        "REJECT",
        {"order_id": 6, **ANNS, "side": SELL, "price": -8, "qty": 7, "flags": REPLY, "code": Reason.BAD_PRICE},
    ),
    (ANN.cancel_all(), "ACK", {**ANNS, "flags": REPLY}),
    (ANN.dead_man(0), "ACK", {**ANNS, "symbol": -1, "flags": REPLY}),
    (state(OPEN), "STATE", {"flags": REPLY, "code": OPEN}),
    (clock(1), "CLOCK", {"symbol": -1, "flags": REPLY}),
]  # fmt: skip
"""Ops (None: it is still the one before) with every event that they bring, and its fields but for those of 0 or nobody."""


def test_every_kind_of_event_field_by_field() -> None:
    scene = Scene()
    events = scene.events(*(op for op, _, _ in EVENTS if op))
    assert [EventKind(event["kind"]).name for event in events] == [kind for _, kind, _ in EVENTS]
    now = 0
    for seq, (event, (op, _, expected)) in enumerate(zip(events, EVENTS, strict=True), 1):
        now = op.get("ts_ns", now + 1) if op else now
        told = {"ts_ns": now, "seq": seq} | expected
        assert fields(event) == {name: value for name, value in told.items() if value}


def test_numbers_run_on_from_call_to_call() -> None:
    market = new_market(TINY, 1, ACCOUNTS)
    first = run(market, as_rows(ANN.sell(1, 5, 100), BOB.buy(2, 9, 100)))
    second = run(market, as_rows(ANN.cancel(1), BOB.cancel(2)))
    assert [*first["seq"], *second["seq"]] == list(range(1, 1 + len(first) + len(second)))


@pytest.mark.parametrize(
    ("op", "events", "reply"),
    [
        (CID.buy(9, 7, 101), 8, "ADD"),  # trade, level, trade, level, add, level; and the stop: trigger, done
        (CID.buy(9, 1, 100), 7, "DONE"),  # trade, level, done; and the stop: trigger, trade, level, done
        (ANN.cancel(1), 2, "CANCEL"),
        (ANN.amend(1, price=102), 4, "ADD"),
        (ANN.cancel_all(), 7, "ACK"),  # two cancels with their levels, the stop, the sleeper, the answer
        (CID.cancel(1), 1, "REJECT"),
        (clock(5), 3, "CLOCK"),  # order 2 expires
    ],
)
def test_every_op_has_one_reply_whatever_else_it_does(op: Op, events: int, reply: str) -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100), ANN.sell(2, 3, 101, until=5))
    scene.do(ANN.buy(3, 1, stop=100, by=LAST), ANN.buy(4, 1, stop=100, flags=DORMANT | REDUCE_ONLY))
    written = scene.events(op)
    assert len(written) == events
    assert [EventKind(event["kind"]).name for event in written if event["flags"] & REPLY] == [reply]


# -- levels ------------------------------------------------------------------------------------------------------------


def test_a_level_follows_each_change_of_it_and_trades_at_one_price_make_one() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100), ANN.sell(2, 2, 100), ANN.sell(3, 5, 101))
    assert scene.do(BOB.buy(4, 6, 101), levels=True) == [
        ("TRADE", 4, 1, 100, 2),
        ("TRADE", 4, 2, 100, 2),
        ("LEVEL", "SELL", 100, 0),
        ("TRADE", 4, 3, 101, 2),
        ("LEVEL", "SELL", 101, 3),
        ("DONE", 4, 6, 0, "FILLED"),
    ]
    assert scene.do(ANN.amend(3, qty=1), ANN.cancel(3), levels=True) == [
        ("CANCEL", 3, 2, 1, "AMENDED"),
        ("LEVEL", "SELL", 101, 1),
        ("CANCEL", 3, 1, 0, "BY_OWNER"),
        ("LEVEL", "SELL", 101, 0),
    ]


def test_levels_alone_give_the_book() -> None:
    """Somebody who gets only LEVEL events, and applies each as it says, has the levels that ANN and BOB have made."""
    scene, copy = Scene(), new_books(TINY, 1)[0]
    ops = [
        ANN.sell(1, 9, 101, show=2), BOB.sell(2, 4, 101), ANN.sell(3, 5, 102), BOB.buy(4, 3, 99), BOB.buy(5, 3, 98),
        ANN.buy(6, 8, 101), BOB.amend(2, price=103), ANN.sell(7, 4, 98), BOB.cancel(5),
    ]  # fmt: skip
    for event in scene.events(*ops):
        if event["kind"] == EventKind.LEVEL:
            assert set_level(copy, int(event["side"]), int(event["price"]), int(event["qty"]), 0) == 0
    # Order 6 took 2 of 1, the 4 of 2, and 2 of 1 again, so that 5 are left of 1, 2 of them displayed; order 2 was gone by then.
    # Order 7 took the 3 of 4 at 99, and 1 of 5.
    assert next_level(copy, int(SELL), 0) == (101, 2)
    assert next_level(copy, int(SELL), 101) == (102, 5)
    assert next_level(copy, int(SELL), 102) == (0, 0)
    assert next_level(copy, int(BUY), 0) == (0, 0)


def test_without_deltas_there_are_no_levels() -> None:
    scene = Scene(deltas=False)
    assert scene.do(ANN.sell(1, 2, 100), BOB.buy(2, 1, 100), ANN.cancel(1), levels=True) == [
        ("ADD", 1, 100, 2),
        ("TRADE", 2, 1, 100, 1),
        ("DONE", 2, 1, 0, "FILLED"),
        ("CANCEL", 1, 1, 0, "BY_OWNER"),
    ]


# -- buffers -----------------------------------------------------------------------------------------------------------


def in_pieces(market: Market, ops: np.ndarray, rows: int) -> tuple[np.ndarray, Market]:
    """Events and market of calls with a buffer of `rows`, full of rubbish; the market is copied from call to call."""
    got, done = [], 0
    while done < len(ops):
        events = np.full(rows * EVENT_DTYPE.itemsize, 0xAA, np.uint8).view(EVENT_DTYPE)
        consumed, written = process(market, ops[done:], events)
        assert consumed or written, "every call gets on"
        got.append(events[:written])
        done += consumed
        market = market.copy()  # what is half done is in the market, nowhere else
    return np.concatenate(got), market


@pytest.mark.parametrize("rows", [ROOM, ROOM + 1, ROOM + 7, 2 * ROOM, 1_000])
def test_one_op_that_writes_more_than_a_buffer_holds_is_done_in_pieces(rows: int) -> None:
    """20 levels of an iceberg each, which comes back 9 times: 200 trades, 180 refreshes, 20 levels told, and the end."""
    makers = [ANN.sell(1 + i, 10, 100 + i, show=1) for i in range(20)]
    before, taker = new_market(TINY, 1, ACCOUNTS), as_rows(BOB.buy(99, 200, 119))
    run(before, as_rows(*makers))
    events, after = in_pieces(before.copy(), taker, rows)
    kinds = [EventKind(kind).name for kind in events["kind"]]
    assert [kinds.count(kind) for kind in ("TRADE", "ADD", "LEVEL", "DONE")] == [200, 180, 20, 1]
    assert show(events[-1]) == ("DONE", 99, 200, 0, "FILLED")
    trades = events[events["kind"] == EventKind.TRADE]
    assert trades["price"].tolist() == [100 + i // 10 for i in range(200)]
    same = before.copy()
    assert run(same, taker).tobytes() == events.tobytes()
    assert all(a.tobytes() == b.tobytes() for a, b in zip(after, same, strict=True))


@pytest.mark.parametrize("rows", [ROOM, ROOM + 1, ROOM + 7])
def test_any_buffer_gives_the_same_events(rows: int) -> None:
    ops = everything(3_000, seed=3, spread=20.0, jump=0.002)
    market = new_market(TINY, 2, ACCOUNTS)
    events, after = in_pieces(market.copy(), ops, rows)
    assert events.tobytes() == run(market, ops).tobytes()
    assert all(a.tobytes() == b.tobytes() for a, b in zip(after, market, strict=True))


def half_done() -> tuple[Market, Op]:
    """A market in the midst of an op, and that op."""
    market = new_market(TINY, 1, ACCOUNTS)
    run(market, as_rows(ANN.sell(1, 200, 100, show=1)))
    op = BOB.buy(99, 200, 100)
    assert process(market, as_rows(op), np.zeros(ROOM, EVENT_DTYPE))[0] == 0
    return market, op


def test_a_half_done_op_must_be_gone_on_with() -> None:
    market, op = half_done()
    for other in (BOB.buy(98, 200, 100), BOB.cancel(99), clock(1)):
        with pytest.raises(ValueError, match="half done"):
            process(market, as_rows(other), np.zeros(ROOM, EVENT_DTYPE))
    last = run(market, as_rows(op))[-1]
    assert show(last) == ("DONE", 99, 200, 0, "FILLED")


def test_a_buffer_that_is_too_small_is_an_error() -> None:
    with pytest.raises(ValueError, match="ROOM"):
        process(new_market(TINY, 1, ACCOUNTS), as_rows(ANN.buy(1, 1, 1)), np.zeros(ROOM - 1, EVENT_DTYPE))


def test_rows_of_another_kind_are_an_error() -> None:
    with pytest.raises(ValueError, match="OP_DTYPE"):
        run(new_market(TINY, 1, ACCOUNTS), np.zeros(1, EVENT_DTYPE))


def test_no_ops_no_events() -> None:
    assert len(run(new_market(TINY, 1, ACCOUNTS), as_rows())) == 0


# -- independence ------------------------------------------------------------------------------------------------------


def test_symbols_do_not_touch_each_other() -> None:
    ops = wandering_market(2_000, seed=4, spread=20.0, jump=0.002)
    together, alone = new_market(TINY, 2, ACCOUNTS), new_market(TINY, 2, ACCOUNTS)
    run(together, ops)
    for symbol in (0, 1):
        run(alone, ops[ops["symbol"] == symbol])
    for name in ("books", "desks", "holdings"):
        assert getattr(together, name).tobytes() == getattr(alone, name).tobytes()


def test_a_copy_goes_its_own_way() -> None:
    market = new_market(TINY, 1, ACCOUNTS)
    copy = market.copy()
    run(copy, as_rows(ANN.buy(1, 1, 1)))
    assert [show(event) for event in run(market, as_rows(ANN.cancel(1)))] == [("REJECT", 1, "UNKNOWN_ORDER")]


def test_the_same_ops_make_the_same_bytes() -> None:
    ops = everything(2_000, seed=5, spread=20.0, jump=0.002)
    first, second = new_market(TINY, 2, ACCOUNTS), new_market(TINY, 2, ACCOUNTS)
    run(first, ops)
    for start in range(0, len(ops), 7):
        run(second, ops[start : start + 7])
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))
