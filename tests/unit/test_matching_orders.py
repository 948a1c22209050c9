"""Orders of every type and time in force: how they trade, rest and end, and what a cancel finds of them."""

from __future__ import annotations

import pytest

from engine.contract import TimeInForce
from tests.matching_kit import (
    ALLOW,
    ANN,
    BOB,
    BUY,
    CID,
    DAN,
    DECREMENT,
    EXPIRE_BOTH,
    EXPIRE_MAKER,
    EXPIRE_TAKER,
    FOK,
    IOC,
    POST_ONLY,
    REDUCE_ONLY,
    SELL,
    SLIDE,
    Scene,
    clock,
    mark,
)

# -- limit orders ------------------------------------------------------------------------------------------------------


def test_better_price_first_then_older_order_at_the_makers_price() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 5, 101), BOB.sell(2, 3, 100), CID.sell(3, 4, 100))
    assert scene.do(DAN.buy(4, 9, 105)) == [
        ("TRADE", 4, 2, 100, 3),
        ("TRADE", 4, 3, 100, 4),
        ("TRADE", 4, 1, 101, 2),
        ("DONE", 4, 9, 0, "FILLED"),
    ]


def test_a_partial_fill_keeps_its_place_in_the_queue() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, 5, 50), BOB.buy(2, 5, 50))
    assert scene.do(CID.sell(3, 2, 50))[0] == ("TRADE", 3, 1, 50, 2)
    assert scene.do(CID.sell(4, 4, 50))[:2] == [("TRADE", 4, 1, 50, 3), ("TRADE", 4, 2, 50, 1)]


def test_the_remainder_of_a_limit_order_rests_at_its_own_price() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100))
    assert scene.do(BOB.buy(2, 5, 101)) == [("TRADE", 2, 1, 100, 2), ("ADD", 2, 101, 3)]
    assert (scene.levels(BUY), scene.levels(SELL)) == ([(101, 3)], [])


def test_a_limit_order_trades_no_further_than_its_price() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, 2, 100), ANN.buy(2, 2, 98))
    assert scene.do(BOB.sell(3, 3, 99)) == [("TRADE", 3, 1, 100, 2), ("ADD", 3, 99, 1)]


def test_fills_make_positions() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 5, 100), BOB.buy(2, 3, 100), BOB.sell(3, 4, 90), CID.buy(4, 9, 90))
    assert [scene.position(who) for who in (ANN, BOB, CID)] == [-3, 3 - 4, 4]


def test_good_till_cancelled_outlasts_every_clock() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100))
    assert scene.do(clock(4_000_000_000)) == [("CLOCK",)]
    assert scene.levels(SELL) == [(100, 2)]


# -- market orders -----------------------------------------------------------------------------------------------------


def test_a_market_order_takes_every_price() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100), ANN.sell(2, 2, 5_000))
    assert scene.do(BOB.buy(3, 3)) == [("TRADE", 3, 1, 100, 2), ("TRADE", 3, 2, 5_000, 1), ("DONE", 3, 3, 0, "FILLED")]


def test_what_a_market_order_does_not_find_ends_at_once() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100))
    assert scene.do(BOB.buy(2, 5)) == [("TRADE", 2, 1, 100, 2), ("DONE", 2, 2, 3, "NO_LIQUIDITY")]
    assert scene.do(BOB.sell(3, 5)) == [("DONE", 3, 0, 5, "NO_LIQUIDITY")]


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_market_order_stops_at_its_own_bound(side: int) -> None:
    scene = Scene()
    if side == BUY:
        scene.do(ANN.sell(1, 2, 100), ANN.sell(2, 2, 101), ANN.sell(3, 2, 102))
        taker = BOB.buy(4, 5, bound=101)
    else:
        scene.do(ANN.buy(1, 2, 100), ANN.buy(2, 2, 99), ANN.buy(3, 2, 98))
        taker = BOB.sell(4, 5, bound=99)
    second = 101 if side == BUY else 99
    assert scene.do(taker) == [
        ("TRADE", 4, 1, 100, 2),
        ("TRADE", 4, 2, second, 2),
        ("DONE", 4, 4, 1, "BOUND_REACHED"),
    ]


@pytest.mark.parametrize(
    ("side", "at", "furthest"),
    [
        (BUY, 200, 202),  # 200 + 1 %
        (BUY, 199, 200),  # 200.99, and no further
        (SELL, 200, 198),  # 200 - 1 %
        (SELL, 201, 199),  # 198.99, and no further
    ],
)
def test_market_orders_stay_near_the_mark(side: int, at: int, furthest: int) -> None:
    scene = Scene(market_bound_ppm=10_000)
    beyond = furthest + (1 if side == BUY else -1)
    maker, taker = (ANN.sell, BOB.buy) if side == BUY else (ANN.buy, BOB.sell)
    scene.do(maker(1, 1, furthest), maker(2, 1, beyond), mark(at))
    assert scene.do(taker(3, 2)) == [("TRADE", 3, 1, furthest, 1), ("DONE", 3, 1, 1, "BOUND_REACHED")]


def test_without_a_mark_market_orders_have_no_bound() -> None:
    scene = Scene(market_bound_ppm=10_000)
    scene.do(ANN.sell(1, 1, 100), ANN.sell(2, 1, 900))
    assert scene.do(BOB.buy(3, 2))[-1] == ("DONE", 3, 2, 0, "FILLED")


@pytest.mark.parametrize(("bound", "traded"), [(201, 1), (202, 2), (203, 2)])
def test_of_both_bounds_the_tighter_one_holds(bound: int, traded: int) -> None:
    scene = Scene(market_bound_ppm=10_000)
    scene.do(ANN.sell(1, 1, 201), ANN.sell(2, 1, 202), ANN.sell(3, 1, 203), mark(200))
    assert scene.do(BOB.buy(4, 3, bound=bound))[-1] == ("DONE", 4, traded, 3 - traded, "BOUND_REACHED")


# -- immediate or cancel, fill or kill ---------------------------------------------------------------------------------


def test_what_immediate_or_cancel_does_not_trade_ends() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100), ANN.sell(2, 2, 101))
    assert scene.do(BOB.buy(3, 5, 100, tif=IOC)) == [("TRADE", 3, 1, 100, 2), ("DONE", 3, 2, 3, "IOC_REMAINDER")]
    assert scene.do(BOB.buy(4, 5, 100, tif=IOC)) == [("DONE", 4, 0, 5, "IOC_REMAINDER")]
    assert scene.levels(BUY) == []


def test_fill_or_kill_trades_whole_over_several_levels() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100), ANN.sell(2, 2, 101))
    assert scene.do(BOB.buy(3, 4, 101, tif=FOK)) == [
        ("TRADE", 3, 1, 100, 2),
        ("TRADE", 3, 2, 101, 2),
        ("DONE", 3, 4, 0, "FILLED"),
    ]


@pytest.mark.parametrize(
    ("lots", "price"), [(5, 101), (3, 100), (1, 99)], ids=["more than there is", "too little within the limit", "nothing"]
)
def test_fill_or_kill_trades_nothing_if_not_all(lots: int, price: int) -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100), ANN.sell(2, 2, 101))
    assert scene.refuse(BOB.buy(3, lots, price, tif=FOK)) == "FOK_NOT_FILLABLE"


def test_fill_or_kill_at_the_market() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100), ANN.sell(2, 2, 300))
    assert scene.refuse(BOB.buy(3, 5, tif=FOK)) == "FOK_NOT_FILLABLE"
    assert scene.refuse(BOB.buy(3, 4, bound=299, tif=FOK)) == "FOK_NOT_FILLABLE"
    assert scene.do(BOB.buy(3, 4, tif=FOK))[-1] == ("DONE", 3, 4, 0, "FILLED")


def test_fill_or_kill_counts_the_hidden_lots_of_icebergs() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 5, 100, show=2))
    assert scene.refuse(BOB.buy(2, 6, 100, tif=FOK)) == "FOK_NOT_FILLABLE"
    assert scene.do(BOB.buy(2, 5, 100, tif=FOK))[-1] == ("DONE", 2, 5, 0, "FILLED")


@pytest.mark.parametrize(
    ("mode", "most"),
    [
        (ALLOW, 7),  # own and foreign lots
        (EXPIRE_MAKER, 5),  # own ones are passed over
        (EXPIRE_TAKER, 2),  # what comes before the own order
        (EXPIRE_BOTH, 2),
        (DECREMENT, 2),
    ],
)
def test_fill_or_kill_counts_own_orders_as_self_trade_prevention_would_meet_them(mode: int, most: int) -> None:
    scene = Scene()
    scene.do(BOB.sell(1, 2, 100), ANN.sell(2, 2, 101), CID.sell(3, 3, 102))
    assert scene.refuse(ANN.buy(4, most + 1, 102, tif=FOK, stp=mode)) == "FOK_NOT_FILLABLE"
    events = scene.do(ANN.buy(4, most, 102, tif=FOK, stp=mode))
    assert sum(event[4] for event in events if event[0] == "TRADE") == most
    assert events[-1] == ("DONE", 4, most, 0, "FILLED")


@pytest.mark.parametrize(("shrinks", "most"), [(True, 3), (False, 2)])
def test_fill_or_kill_counts_of_reduce_only_makers_what_their_position_will_leave_them(shrinks: bool, most: int) -> None:
    """Two orders of 2 lots on a long of 3: after the first one's fill the second shrinks to 1, or is cancelled."""
    scene = Scene(shrink_reduce_only=shrinks)
    scene.hold(ANN, 3)
    scene.do(ANN.sell(1, 2, 110, flags=REDUCE_ONLY), ANN.sell(2, 2, 111, flags=REDUCE_ONLY))
    assert scene.refuse(BOB.buy(3, most + 1, 111, tif=FOK)) == "FOK_NOT_FILLABLE"
    assert scene.do(BOB.buy(3, most, 111, tif=FOK))[-1] == ("DONE", 3, most, 0, "FILLED")


# -- good till date ----------------------------------------------------------------------------------------------------


def test_good_till_date_ends_at_the_first_clock_at_or_after_its_time() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100, until=10))
    assert scene.do(clock(9)) == [("CLOCK",)]
    assert scene.do(clock(10)) == [("CLOCK",), ("CANCEL", 1, 2, 0, "EXPIRED")]
    assert scene.levels(SELL) == []


def test_good_till_date_trades_on_until_a_clock_comes() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100, until=10))
    assert scene.do(BOB.buy(2, 1, 100, ts_ns=11 * 10**9))[0] == ("TRADE", 2, 1, 100, 1)
    assert scene.do(clock(12)) == [("CLOCK",), ("CANCEL", 1, 1, 0, "EXPIRED")]


def test_orders_expire_by_their_time_then_by_their_entry() -> None:
    scene = Scene()
    scene.do(
        ANN.sell(1, 1, 100, until=20), BOB.sell(2, 1, 99, until=10), CID.buy(3, 1, 90, until=20), DAN.buy(4, 1, 91, until=30)
    )
    assert [event[1] for event in scene.do(clock(29))[1:]] == [2, 1, 3]


# -- post only ---------------------------------------------------------------------------------------------------------


def test_post_only_is_refused_if_any_part_would_trade() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100))
    assert scene.refuse(BOB.buy(2, 5, 100, flags=POST_ONLY)) == "POST_ONLY_WOULD_CROSS"
    assert scene.do(BOB.buy(2, 5, 99, flags=POST_ONLY)) == [("ADD", 2, 99, 5)]


@pytest.mark.parametrize(("step", "bid", "ask"), [(1, 99, 101), (5, 95, 105)])
def test_a_sliding_order_goes_one_step_behind_the_other_sides_touch(step: int, bid: int, ask: int) -> None:
    buys, sells = Scene(price_step=step), Scene(price_step=step)
    buys.do(ANN.sell(1, 2, 100))
    sells.do(ANN.buy(1, 2, 100))
    assert buys.do(BOB.buy(2, 5, 120, flags=POST_ONLY | SLIDE)) == [("ADD", 2, bid, 5)]
    assert sells.do(BOB.sell(2, 5, 80, flags=POST_ONLY | SLIDE)) == [("ADD", 2, ask, 5)]


def test_a_sliding_order_that_does_not_cross_stays_where_it_is() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100))
    assert scene.do(BOB.buy(2, 5, 90, flags=POST_ONLY | SLIDE)) == [("ADD", 2, 90, 5)]


def test_an_order_cannot_slide_below_the_lowest_price() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 1))
    assert scene.refuse(BOB.buy(2, 5, 1, flags=POST_ONLY | SLIDE)) == "POST_ONLY_WOULD_CROSS"


# -- cancels -----------------------------------------------------------------------------------------------------------


def test_a_cancel_after_a_partial_fill_takes_the_rest_and_keeps_the_fill() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 5, 100), BOB.buy(2, 2, 100))
    assert scene.do(ANN.cancel(1)) == [("CANCEL", 1, 3, 0, "BY_OWNER")]
    assert scene.position(ANN) == -2


def test_a_cancel_that_loses_the_race_against_a_fill_is_refused() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 5, 100), BOB.buy(2, 5, 100))
    assert scene.refuse(ANN.cancel(1)) == "UNKNOWN_ORDER"
    assert scene.position(ANN) == -5


def test_a_cancel_that_wins_the_race_leaves_nothing_to_fill() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 5, 100))
    assert scene.do(ANN.cancel(1)) == [("CANCEL", 1, 5, 0, "BY_OWNER")]
    assert scene.do(BOB.buy(2, 5, 100, tif=IOC)) == [("DONE", 2, 0, 5, "IOC_REMAINDER")]
    assert scene.refuse(ANN.cancel(1)) == "UNKNOWN_ORDER", "an order ends once"


def test_only_the_owner_cancels() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 5, 100))
    assert scene.refuse(BOB.cancel(1)) == "NOT_OWNER"
    assert scene.do(ANN.cancel(1)) == [("CANCEL", 1, 5, 0, "BY_OWNER")]


@pytest.mark.parametrize("tif", [TimeInForce.GTC, IOC])
def test_a_market_order_is_immediate_whether_it_says_so_or_not(tif: int) -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 2, 100))
    assert scene.do(BOB.buy(2, 3, tif=tif))[-1] == ("DONE", 2, 2, 1, "NO_LIQUIDITY")
