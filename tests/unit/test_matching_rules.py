"""The rules of a symbol: tick, lot, notional, price bounds, and what rules there can be."""

from __future__ import annotations

import msgspec
import pytest

from engine.book import MAX_PRICE
from engine.market import Rules, Throttle, new_market
from tests.matching_kit import ANN, BOB, BUY, CLOSE_POSITION, POST_ONLY, REDUCE_ONLY, SELL, SLIDE, Op, Scene, mark
from tests.oracle.flows import TINY


def answer(scene: Scene, op: Op) -> str:
    """The reason of a refusal, or the kind of the op's last event."""
    last = scene.do(op)[-1]
    return str(last[2] if last[0] == "REJECT" else last[0])


# -- tick and lot ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (ANN.buy(1, 1, 100), "ADD"),
        (ANN.buy(1, 1, 101), "BAD_TICK"),
        (ANN.buy(1, 1, bound=101), "BAD_TICK"),
        (ANN.buy(1, 1, stop=101), "BAD_TICK"),
        (ANN.buy(1, 1, 101, stop=100), "BAD_TICK"),
        (ANN.buy(1, 1, stop=100, bound=101), "BAD_TICK"),
        (ANN.buy(1, 1, 105, stop=100), "ARM"),
        (ANN.buy(1, 1, trail=10, activation=101), "BAD_TICK"),
        (ANN.buy(1, 1, trail=3, activation=100), "ARM"),  # a distance is no price
        (ANN.quote(1, BUY, 1, 101), "BAD_TICK"),
    ],
)
def test_prices_are_multiples_of_the_price_step(op: Op, expected: str) -> None:
    assert answer(Scene(price_step=5), op) == expected


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (ANN.buy(1, 6, 100), "ADD"),
        (ANN.buy(1, 7, 100), "BAD_LOT"),
        (ANN.buy(1, 7), "BAD_LOT"),
        (ANN.buy(1, 7, stop=100), "BAD_LOT"),
        (ANN.buy(1, 6, 100, show=1), "BAD_LOT"),
        (ANN.buy(1, 6, 100, show=3), "ADD"),
        (ANN.quote(1, BUY, 7, 100), "BAD_LOT"),
    ],
)
def test_quantities_are_multiples_of_the_lot_step(op: Op, expected: str) -> None:
    assert answer(Scene(lot_step=3), op) == expected


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (ANN.sell(1, 1, 1), "ADD"),
        (ANN.sell(1, 1, MAX_PRICE), "ADD"),
        (ANN.sell(1, 1, 0), "BAD_PRICE"),
        (ANN.sell(1, 1, -1), "BAD_PRICE"),
        (ANN.sell(1, 1, MAX_PRICE + 1), "BAD_PRICE"),
        (ANN.sell(1, 1, bound=-1), "BAD_PRICE"),
        (ANN.sell(1, 1, bound=MAX_PRICE + 1), "BAD_PRICE"),
        (ANN.sell(1, 1, stop=-1), "BAD_PRICE"),
        (ANN.sell(1, 1, stop=MAX_PRICE + 1), "BAD_PRICE"),
        (ANN.sell(1, 1, 0, stop=90), "BAD_PRICE"),
        (ANN.sell(1, 1, trail=5, activation=-1), "BAD_PRICE"),
        (mark(0), "BAD_PRICE"),
        (mark(0) | {"price": 2**62}, "BAD_PRICE"),
        (ANN.sell(1, 0, 100), "BAD_QUANTITY"),
        (ANN.sell(1, -1, 100), "BAD_QUANTITY"),
    ],
)
def test_prices_and_quantities_have_a_range(op: Op, expected: str) -> None:
    assert answer(Scene(), op) == expected


# -- notional ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (ANN.buy(1, 5, 100), "ADD"),
        (ANN.buy(1, 4, 124), "NOTIONAL_TOO_SMALL"),
        (ANN.buy(1, 10, 100), "ADD"),
        (ANN.buy(1, 10, 101), "NOTIONAL_TOO_LARGE"),
        (ANN.buy(1, 10, bound=101), "NOTIONAL_TOO_LARGE"),
        (ANN.buy(1, 4, bound=100), "NOTIONAL_TOO_SMALL"),
        (ANN.buy(1, 10), "DONE"),  # at the mark of 100, half a tick aside
        (ANN.buy(1, 11), "NOTIONAL_TOO_LARGE"),
        (ANN.buy(1, 4), "NOTIONAL_TOO_SMALL"),
        (ANN.buy(1, 9, 112, stop=111), "NOTIONAL_TOO_LARGE"),  # by its limit, 1,008
        (ANN.buy(1, 9, stop=111, bound=112), "ARM"),  # by its trigger, 999
        (ANN.buy(1, 9, stop=112), "NOTIONAL_TOO_LARGE"),
        (ANN.buy(1, 900, trail=100), "ARM"),  # no price to take
        (ANN.quote(1, BUY, 4, 100), "NOTIONAL_TOO_SMALL"),
    ],
)
def test_price_times_quantity_stays_within_the_smallest_and_largest_notional(op: Op, expected: str) -> None:
    """From 500 to 1,000 at a mark of 100 and a half."""
    scene = Scene(min_notional=500, max_notional=1_000)
    scene.do(mark(100.5), BOB.sell(99, 5, 130))
    assert answer(scene, op) == expected


def test_without_bound_and_mark_a_market_order_is_worth_nothing_that_could_be_tested() -> None:
    scene = Scene(min_notional=500, max_notional=1_000)
    assert answer(scene, ANN.buy(1, 1_000_000)) == answer(scene, ANN.buy(2, 1)) == "DONE"


def test_what_reduces_may_be_as_small_as_it_likes_but_not_too_large() -> None:
    scene = Scene(min_notional=500, max_notional=10_000)
    scene.hold(ANN, 60)
    scene.hold(ANN, 60)
    assert answer(scene, ANN.sell(1, 1, 110, flags=REDUCE_ONLY)) == "ADD"
    assert answer(scene, ANN.sell(2, 1, stop=90, flags=REDUCE_ONLY)) == "ARM"
    assert answer(scene, ANN.sell(3, 100, 110, flags=REDUCE_ONLY)) == "NOTIONAL_TOO_LARGE"


def test_a_reduce_only_order_is_worth_what_the_position_leaves_of_it() -> None:
    scene = Scene(max_notional=1_000)
    scene.hold(ANN, 9)
    assert answer(scene, ANN.sell(1, 500, 110, flags=REDUCE_ONLY)) == "ADD"


def test_a_conditional_order_that_closes_the_position_is_not_tested() -> None:
    scene = Scene(min_notional=500, max_notional=1_000)
    assert answer(scene, ANN.close(1, SELL, stop=5_000)) == "ARM"


def test_an_order_that_closes_the_position_at_once_is_tested_with_the_position() -> None:
    scene = Scene(max_notional=1_000)
    scene.hold(ANN, 9)
    scene.do(mark(200))
    assert scene.refuse(ANN.sell(1, 0, flags=CLOSE_POSITION)) == "NOTIONAL_TOO_LARGE"


# -- bounds around the mark --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "op", "expected"),
    [
        (100, ANN.buy(1, 1, 105), "ADD"),
        (100, ANN.buy(1, 1, 106), "PRICE_OUT_OF_BOUNDS"),
        (100, ANN.buy(1, 1, 1), "ADD"),  # one may bid as little as one likes
        (100, ANN.sell(1, 1, 95), "ADD"),
        (100, ANN.sell(1, 1, 94), "PRICE_OUT_OF_BOUNDS"),
        (100, ANN.sell(1, 1, 10_000), "ADD"),
        (99.5, ANN.buy(1, 1, 104), "ADD"),  # 104.475
        (99.5, ANN.buy(1, 1, 105), "PRICE_OUT_OF_BOUNDS"),
        (100.5, ANN.sell(1, 1, 96), "ADD"),  # 95.475
        (100.5, ANN.sell(1, 1, 95), "PRICE_OUT_OF_BOUNDS"),
        (100, ANN.buy(1, 1, 150, stop=120), "ARM"),  # tested when it fires
        (100, ANN.buy(1, 1), "DONE"),
        (100, ANN.quote(1, BUY, 1, 106), "PRICE_OUT_OF_BOUNDS"),
    ],
)
def test_limit_orders_stay_within_the_bounds(at: float, op: Op, expected: str) -> None:
    """5 % around the mark, in whole ticks within."""
    scene = Scene(bound_ppm=50_000)
    scene.do(mark(at))
    assert answer(scene, op) == expected


def test_without_a_mark_there_are_no_bounds() -> None:
    assert answer(Scene(bound_ppm=50_000), ANN.buy(1, 1, 1_000_000)) == "ADD"


def test_bounds_follow_the_mark_and_leave_what_rests() -> None:
    scene = Scene(bound_ppm=50_000)
    scene.do(mark(100), ANN.buy(1, 1, 105), mark(90))
    assert scene.levels(BUY) == [(105, 1)]
    assert scene.refuse(ANN.buy(2, 1, 95)) == "PRICE_OUT_OF_BOUNDS"
    scene.do(mark(110))
    assert answer(scene, ANN.buy(2, 1, 115)) == "ADD"


def test_a_sliding_order_is_tested_with_the_price_that_it_asks_for() -> None:
    scene = Scene(bound_ppm=50_000)
    scene.do(mark(100), BOB.sell(1, 1, 101))
    assert scene.refuse(ANN.buy(2, 1, 106, flags=POST_ONLY | SLIDE)) == "PRICE_OUT_OF_BOUNDS"
    assert scene.do(ANN.buy(2, 1, 105, flags=POST_ONLY | SLIDE)) == [("ADD", 2, 100, 1)]


# -- the rules themselves ----------------------------------------------------------------------------------------------


def test_symbols_have_rules_of_their_own() -> None:
    market = new_market(TINY, 2, 3, [Rules(price_step=5), Rules(price_step=7)])
    assert market.desks["rules"]["price_step"].tolist() == [5, 7]
    with pytest.raises(ValueError, match="1 rules for 2 symbols"):
        new_market(TINY, 2, 3, [Rules()])


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Rules, {"price_step": 0}),
        (Rules, {"price_step": MAX_PRICE + 1}),
        (Rules, {"lot_step": 0}),
        (Rules, {"min_notional": -1}),
        (Rules, {"max_notional": 2**63}),
        (Rules, {"bound_ppm": 1_000_001}),
        (Rules, {"market_bound_ppm": -1}),
        (Rules, {"self_trade": 0}),
        (Rules, {"trigger_by": 4}),
        (Throttle, {"interval_ns": -1}),
        (Throttle, {"interval_ns": 1, "burst": 3, "order": 4}),
        (Throttle, {"burst": 1_000_001}),
        (Throttle, {"ban_after": 0}),
        (Throttle, {"ban_first_ns": 0}),
        (Throttle, {"ban_longest_ns": 2**53 + 1}),
    ],
)
def test_a_rule_out_of_range_is_named(kind: type[Rules] | type[Throttle], wrong: dict[str, int]) -> None:
    name = list(wrong)[-1]
    with pytest.raises(ValueError, match=rf"{kind.__name__.lower()}\.{name} is {wrong[name]}"):
        kind(**wrong)


@pytest.mark.parametrize("kind", [Rules, Throttle])
def test_a_rule_that_is_none_is_refused(kind: type[Rules] | type[Throttle]) -> None:
    with pytest.raises(msgspec.ValidationError, match="no_such_rule"):
        msgspec.convert({"no_such_rule": 1}, kind)
