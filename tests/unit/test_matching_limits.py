"""Limits are rules: what does not fit is refused with a reason of its own, and nothing has changed but clocks.

The book of these tests (`TINY`) holds 24 orders, 12 of them waiting or timed, and a side 64 ticks and 5 levels beyond them.
"""

from __future__ import annotations

import pytest

from engine.book import MAX_PRICE, MAX_QTY
from engine.matching import MAX_TIME_NS
from tests.matching_kit import (
    ACCOUNTS,
    ANN,
    BOB,
    BUY,
    CID,
    DORMANT,
    EXPIRE_MAKER,
    HALTED,
    MARK,
    REDUCE_ONLY,
    SELL,
    Account,
    Op,
    Scene,
    clock,
    mark,
    state,
)
from tests.oracle.flows import TINY

# -- places ------------------------------------------------------------------------------------------------------------


def full_pool() -> Scene:
    """ANN bids one lot at 10, with every order that there is room for: 1, 2, …, 24."""
    scene = Scene()
    scene.do(*(ANN.buy(1 + i, 1, 10) for i in range(TINY.orders)))
    return scene


@pytest.mark.parametrize(
    "op",
    [BOB.buy(99, 1, 11), BOB.buy(99, 2, 11, show=1), BOB.sell(99, 1, 20, until=9), BOB.buy(99, 1, stop=20)],
    ids=["limit", "iceberg", "good till date", "stop"],
)
def test_a_full_pool_refuses_what_would_stay(op: Op) -> None:
    assert full_pool().refuse(op) == "POOL_FULL"


def test_a_full_pool_lets_trade_what_does_not_stay_or_stays_in_a_place_that_it_freed() -> None:
    scene = full_pool()
    assert scene.do(BOB.sell(98, 1, 10))[-1] == ("DONE", 98, 1, 0, "FILLED")
    scene.do(ANN.buy(1, 1, 10))
    assert scene.do(BOB.sell(99, 25, 10))[-1] == ("ADD", 99, 10, 1)


def test_a_full_pool_lets_amend_and_cancel() -> None:
    scene = full_pool()
    assert scene.do(ANN.amend(3, price=11))[-1] == ("ADD", 3, 11, 1)
    assert scene.do(ANN.cancel(3)) == [("CANCEL", 3, 1, 0, "BY_OWNER")]
    assert scene.do(BOB.sell(99, 1, 20)) == [("ADD", 99, 20, 1)]


def full_triggers() -> Scene:
    """Three waiting orders, four dormant ones, and five that have an end date; one that waits for both counts once."""
    scene = Scene()
    scene.do(*(ANN.sell(i, 1, stop=5) for i in (1, 2)), ANN.sell(3, 1, stop=5, until=9))
    scene.do(*(ANN.sell(i, 1, stop=5, flags=DORMANT | REDUCE_ONLY) for i in range(4, 8)))
    scene.do(*(ANN.buy(i, 1, 10, until=9) for i in range(8, 13)))
    return scene


@pytest.mark.parametrize(
    "op",
    [BOB.sell(99, 1, stop=5), BOB.sell(99, 1, stop=5, flags=DORMANT | REDUCE_ONLY), BOB.buy(99, 1, 10, until=9)],
    ids=["stop", "dormant", "good till date"],
)
def test_full_triggers_refuse_what_would_wait_or_has_an_end_date(op: Op) -> None:
    assert full_triggers().refuse(op) == "TRIGGERS_FULL"


def test_full_triggers_refuse_an_order_with_an_end_date_that_would_trade_at_once() -> None:
    assert full_triggers().refuse(BOB.sell(99, 1, 10, until=9)) == "TRIGGERS_FULL"
    assert full_triggers().do(BOB.sell(99, 1, 10))[-1] == ("DONE", 99, 1, 0, "FILLED")


@pytest.mark.parametrize(
    "op",
    [ANN.cancel(1), ANN.cancel(7), ANN.cancel(8), BOB.sell(98, 1, 10), mark(5)],
    ids=["a stop goes", "a dormant order goes", "a timed order goes", "a timed order trades", "a stop fires"],
)
def test_one_that_ends_makes_room_for_another(op: Op) -> None:
    scene = full_triggers()
    scene.do(op)
    assert scene.do(BOB.sell(99, 1, stop=4)) == [("ARM", 99, 4, 1)]


# -- levels ------------------------------------------------------------------------------------------------------------


def test_orders_far_beyond_the_window_rest_and_are_reached() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 7, 19_999_999), ANN.sell(2, 1, 22_000), BOB.buy(3, 9, 1), BOB.buy(4, 1, 21_990))
    scene.do(ANN.sell(5, 1, MAX_PRICE))
    assert scene.do(CID.buy(6, 9))[:3] == [
        ("TRADE", 6, 2, 22_000, 1),
        ("TRADE", 6, 1, 19_999_999, 7),
        ("TRADE", 6, 5, MAX_PRICE, 1),
    ]
    assert scene.do(CID.sell(7, 10))[:2] == [("TRADE", 7, 4, 21_990, 1), ("TRADE", 7, 3, 1, 9)]


def full_far_levels() -> Scene:
    """Bids at 10,000 and at five prices that lie beyond the window."""
    scene = Scene()
    scene.do(*(ANN.buy(1 + i, 1, price) for i, price in enumerate([10_000, 9_000, 8_000, 7_000, 6_000, 5_000])))
    return scene


@pytest.mark.parametrize("price", [500, 20_000], ids=["one level more", "a touch that the window would follow"])
def test_full_far_levels_refuse_another_one(price: int) -> None:
    assert full_far_levels().refuse(BOB.buy(99, 1, price)) == "FAR_LEVELS_FULL"


def test_full_far_levels_take_more_orders_at_a_price_that_they_have() -> None:
    scene = full_far_levels()
    assert scene.do(BOB.buy(98, 1, 9_000), BOB.buy(99, 1, 9_990)) == [("ADD", 98, 9_000, 1), ("ADD", 99, 9_990, 1)]


def test_a_remainder_that_finds_no_level_ends_after_its_trades() -> None:
    scene = full_far_levels()
    scene.do(BOB.sell(98, 2, 30_000))
    assert scene.do(CID.buy(99, 5, 30_000)) == [("TRADE", 99, 98, 30_000, 2), ("DONE", 99, 2, 3, "FAR_LEVELS_FULL")]


def test_an_order_that_met_itself_and_then_finds_no_level_ends() -> None:
    scene = full_far_levels()
    scene.do(BOB.sell(98, 2, 30_000))
    assert scene.do(BOB.buy(99, 5, 30_000, stp=EXPIRE_MAKER)) == [
        ("CANCEL", 98, 2, 0, "SELF_TRADE", 99),
        ("DONE", 99, 0, 5, "FAR_LEVELS_FULL"),
    ]


def test_an_amended_order_that_finds_no_level_ends() -> None:
    """It is bid 1 of two at 10,000, so that its old level stays."""
    scene = full_far_levels()
    scene.do(BOB.buy(98, 1, 10_000))
    assert scene.do(ANN.amend(1, price=20_000)) == [("CANCEL", 1, 1, 0, "AMENDED"), ("DONE", 1, 0, 1, "FAR_LEVELS_FULL")]


def test_a_stop_that_finds_no_level_when_it_fires_ends() -> None:
    scene = full_far_levels()
    scene.do(BOB.buy(98, 4, 20_000, stop=100))
    assert scene.move(MARK, 100) == [("TRIGGER", 98, 100, "MARK"), ("DONE", 98, 0, 4, "FAR_LEVELS_FULL")]


# -- 63 bits -----------------------------------------------------------------------------------------------------------


def test_the_lots_of_one_side_stay_within_63_bits() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, MAX_QTY - 1, 10))
    assert scene.refuse(BOB.buy(2, 2, 5)) == "BAD_QUANTITY"
    assert scene.do(BOB.buy(2, 1, 5), BOB.sell(3, MAX_QTY, 20)) == [("ADD", 2, 5, 1), ("ADD", 3, 20, MAX_QTY)]
    assert scene.refuse(CID.sell(4, 1)) == "BAD_QUANTITY", "a market order, too"


def test_hidden_lots_count_among_them() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, MAX_QTY - 1, 10, show=1))
    assert scene.refuse(BOB.buy(2, 2, 5)) == "BAD_QUANTITY"
    assert scene.do(BOB.buy(2, 1, 5)) == [("ADD", 2, 5, 1)]


def test_the_legs_of_a_mass_quote_count_one_after_the_other() -> None:
    """Each by itself had room when it came."""
    scene = Scene()
    scene.do(BOB.buy(1, 5, 10))
    assert scene.do(ANN.quotes((2, BUY, MAX_QTY - 5, 9), (3, BUY, 1, 8))) == [
        ("ADD", 2, 9, MAX_QTY - 5),
        ("REJECT", 3, "BAD_QUANTITY"),
    ]


def largest_position() -> Scene:
    """ANN is long and BOB short as many lots as there can be."""
    scene = Scene()
    scene.do(BOB.sell(1, MAX_QTY, 100), ANN.buy(2, MAX_QTY, 100))
    assert (scene.position(ANN), scene.position(BOB)) == (MAX_QTY, -MAX_QTY)
    return scene


def test_a_position_stays_within_63_bits() -> None:
    assert largest_position().refuse(ANN.buy(3, 1, 90)) == "POSITION_LIMIT"
    assert largest_position().refuse(BOB.sell(3, 1)) == "POSITION_LIMIT"
    assert largest_position().do(ANN.sell(3, MAX_QTY, 110)) == [("ADD", 3, 110, MAX_QTY)], "the other way there is room"


def test_position_and_open_orders_stay_within_63_bits_together() -> None:
    scene = Scene()
    scene.hold(ANN, 10)
    scene.do(ANN.buy(1, MAX_QTY - 12, 90, show=1))
    assert scene.refuse(ANN.buy(2, 3, 91)) == "POSITION_LIMIT"
    assert scene.refuse(ANN.amend(1, qty=MAX_QTY - 9)) == "POSITION_LIMIT"
    assert scene.do(ANN.buy(2, 2, 91), CID.buy(3, 3, 91)) == [("ADD", 2, 91, 2), ("ADD", 3, 91, 3)]
    assert scene.do(ANN.amend(2, qty=1)) == [("CANCEL", 2, 1, 1, "AMENDED")]


def test_a_stop_may_wait_beyond_the_limit_but_not_fire() -> None:
    scene = largest_position()
    assert scene.do(ANN.buy(3, 7, stop=110)) == [("ARM", 3, 110, 7)]
    assert scene.move(MARK, 110) == [("TRIGGER", 3, 110, "MARK"), ("DONE", 3, 0, 7, "POSITION_LIMIT")]


def test_a_stop_that_its_side_could_not_hold_does_not_fire() -> None:
    scene = Scene()
    scene.do(ANN.buy(3, 7, stop=110), CID.buy(4, MAX_QTY - 6, 90))
    assert scene.move(MARK, 110) == [("TRIGGER", 3, 110, "MARK"), ("DONE", 3, 0, 7, "BAD_QUANTITY")]


def test_a_notional_beyond_63_bits_is_too_large() -> None:
    assert Scene(max_notional=10**18).refuse(ANN.sell(1, MAX_QTY, MAX_PRICE)) == "NOTIONAL_TOO_LARGE"
    assert Scene(max_notional=10**18).refuse(ANN.sell(1, 16, 2**60)) == "NOTIONAL_TOO_LARGE", "2**64 would wrap to 0"
    assert Scene(min_notional=10**18).do(ANN.sell(1, 16, 2**60)) == [("ADD", 1, 2**60, 16)]


# -- names -------------------------------------------------------------------------------------------------------------

KINDS = [
    ANN.buy(1, 1, 100),
    ANN.cancel(1),
    ANN.amend(1, qty=1),
    ANN.quote(1, BUY, 1, 100),
    ANN.cancel_all(),
    mark(100),
    state(HALTED),
]


@pytest.mark.parametrize("op", KINDS, ids=lambda op: op["kind"].name)
def test_a_symbol_that_is_not_there(op: Op) -> None:
    scene = Scene(symbols=2)
    (event,) = scene.events(op | {"symbol": 2})
    assert event["symbol"] == -1
    assert scene.refuse(op | {"symbol": 2}) == scene.refuse(op | {"symbol": -2}) == "UNKNOWN_SYMBOL"


@pytest.mark.parametrize("number", [-1, ACCOUNTS])
def test_an_account_that_is_not_there(number: int) -> None:
    nobody = Account(number)
    ops = [
        nobody.buy(1, 1, 100),
        nobody.cancel(1),
        nobody.amend(1, qty=1),
        nobody.quote(1, BUY, 1, 100),
        nobody.cancel_all(),
        nobody.cancel_all(symbol=-1),
        nobody.connect(cancel_on_disconnect=True),
        nobody.disconnect(),
        nobody.dead_man(5),
    ]
    assert {Scene().refuse(op) for op in ops} == {"UNKNOWN_ACCOUNT"}


def test_the_venues_own_ops_need_no_account() -> None:
    events = Scene().do(*(op | {"account": -7} for op in (mark(100), state(HALTED), clock(1))))
    assert [event[0] for event in events] == ["REFERENCE", "STATE", "CLOCK"]


@pytest.mark.parametrize("there", [ANN.buy(1, 5, 90), ANN.buy(1, 5, stop=110), ANN.quote(1, BUY, 5, 90)])
def test_an_id_that_is_in_the_book_in_whatever_state(there: Op) -> None:
    scene = Scene()
    scene.do(there)
    assert scene.refuse(ANN.buy(1, 5, 90)) == scene.refuse(BOB.sell(1, 1, stop=80)) == "DUPLICATE_ORDER_ID"
    scene.do(ANN.cancel(1))
    assert scene.do(BOB.buy(1, 5, 90)) == [("ADD", 1, 90, 5)]


def test_an_id_may_be_used_in_every_symbol() -> None:
    scene = Scene(symbols=2)
    assert scene.do(ANN.buy(1, 5, 90), ANN.buy(1, 6, 90, symbol=1)) == [("ADD", 1, 90, 5), ("ADD", 1, 90, 6)]


# -- time --------------------------------------------------------------------------------------------------------------


def test_time_does_not_go_back_in_a_symbol() -> None:
    scene = Scene(symbols=2)
    events = scene.events(
        ANN.buy(1, 1, 10, ts_ns=5),
        ANN.buy(2, 1, 10, ts_ns=4),
        ANN.buy(3, 1, 10, ts_ns=4, symbol=1),
        ANN.buy(4, 1, 10, ts_ns=5),
    )
    told = [(int(e["order_id"]), int(e["ts_ns"])) for e in events if e["order_id"]]
    assert told == [(1, 5), (2, 5), (3, 4), (4, 5)], "a refusal has the time that it was held against"
    assert scene.refuse(ANN.buy(2, 1, 10, ts_ns=4)) == "TIME_WENT_BACK"


def test_ops_of_no_symbol_are_held_against_the_latest_time_of_all() -> None:
    scene = Scene(symbols=2)
    scene.do(ANN.buy(1, 1, 10, ts_ns=5 * 10**9), ANN.buy(2, 1, 10, ts_ns=10**9, symbol=1))
    assert scene.refuse(clock(4)) == scene.refuse(ANN.cancel_all(symbol=-1, ts_ns=10**9)) == "TIME_WENT_BACK"
    assert scene.do(clock(5)) == [("CLOCK",)]
    assert scene.refuse(ANN.buy(3, 1, 10, ts_ns=4 * 10**9, symbol=1)) == "TIME_WENT_BACK", "the clock is everyone's"


def test_the_time_of_a_refused_op_counts() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, 0, 10, ts_ns=50))
    assert scene.refuse(ANN.buy(1, 1, 10, ts_ns=49)) == "TIME_WENT_BACK"


def test_the_time_of_an_op_for_a_symbol_or_account_that_is_not_there_does_not_count() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, 1, 10, ts_ns=50, symbol=9), Account(99).buy(1, 1, 10, ts_ns=50))
    assert scene.do(ANN.buy(1, 1, 10, ts_ns=1)) == [("ADD", 1, 10, 1)]


def test_time_before_1970_went_back() -> None:
    assert Scene().refuse(ANN.buy(1, 1, 10, ts_ns=-1)) == "TIME_WENT_BACK"


@pytest.mark.parametrize("op", [*KINDS, clock(0), ANN.cancel_all(symbol=-1), ANN.dead_man(1)], ids=lambda op: op["kind"].name)
def test_the_latest_time_leaves_room_for_deadlines(op: Op) -> None:
    scene = Scene()
    assert scene.refuse(op | {"ts_ns": MAX_TIME_NS + 1}) == "BAD_FIELD"
    assert scene.do(ANN.dead_man(MAX_PRICE, ts_ns=MAX_TIME_NS)) == [("ACK", 0, 0)]


@pytest.mark.parametrize(("nanoseconds", "fits"), [(MAX_PRICE, True), (MAX_PRICE + 2, False), (-1, False)])
def test_a_dead_man_timer_has_a_longest_time(nanoseconds: int, fits: bool) -> None:
    last = Scene().do(ANN.dead_man(nanoseconds))[-1]
    assert last == (("ACK", 0, 0) if fits else ("REJECT", 0, "BAD_QUANTITY"))


def test_nothing_is_sold_that_no_side_could_hold() -> None:
    scene = Scene()
    assert scene.refuse(ANN.sell(1, MAX_QTY, 100, show=MAX_QTY) | {"qty": -(2**63)}) == "BAD_QUANTITY"
    assert scene.levels(SELL) == []
