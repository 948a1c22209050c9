"""Reduce-only orders and orders that close a position: they never open or turn one, whenever and however it changes."""

from __future__ import annotations

import pytest

from tests.matching_kit import ANN, BOB, BUY, CID, CLOSE_POSITION, FOK, IOC, MARK, REDUCE_ONLY, SELL, Scene

# -- as they come ------------------------------------------------------------------------------------------------------


def test_the_excess_is_cut_off_risk_spec_p45() -> None:
    """RISK-SPEC P45 in lots of 0.01: a reduce-only sell of 1.25 on a long of 1 fills 1, and 0.25 is cancelled."""
    scene = Scene()
    scene.hold(ANN, 100)
    scene.do(BOB.buy(1, 500, 90))
    assert scene.do(ANN.sell(2, 125, 90, flags=REDUCE_ONLY)) == [
        ("TRADE", 2, 1, 90, 100),
        ("DONE", 2, 100, 25, "REDUCE_ONLY_EXCESS"),
    ]
    assert scene.position(ANN) == 0


def test_a_reduce_only_order_rests_with_what_the_position_allows() -> None:
    scene = Scene()
    scene.hold(ANN, 100)
    assert scene.do(ANN.sell(1, 125, 110, flags=REDUCE_ONLY)) == [("ADD", 1, 110, 100, "REDUCE_ONLY_EXCESS")]
    assert scene.do(ANN.sell(2, 100, 111, flags=REDUCE_ONLY)) == [("ADD", 2, 111, 100)]


def test_what_does_not_trade_of_a_cut_order_ends_together_with_the_excess() -> None:
    scene = Scene()
    scene.hold(ANN, 100)
    scene.do(BOB.buy(1, 60, 90))
    assert scene.do(ANN.sell(2, 125, flags=REDUCE_ONLY)) == [("TRADE", 2, 1, 90, 60), ("DONE", 2, 60, 65, "NO_LIQUIDITY")]
    scene.do(BOB.buy(3, 10, 90))
    assert scene.do(ANN.sell(4, 50, 90, flags=REDUCE_ONLY, tif=IOC))[-1] == ("DONE", 4, 10, 40, "IOC_REMAINDER")


def test_fill_or_kill_needs_to_find_what_the_position_leaves_of_it() -> None:
    scene = Scene()
    scene.hold(ANN, 100)
    scene.do(BOB.buy(1, 99, 90))
    assert scene.refuse(ANN.sell(2, 125, 90, flags=REDUCE_ONLY, tif=FOK)) == "FOK_NOT_FILLABLE"
    scene.do(BOB.buy(3, 1, 90))
    assert scene.do(ANN.sell(2, 125, 90, flags=REDUCE_ONLY, tif=FOK))[-1] == ("DONE", 2, 100, 25, "REDUCE_ONLY_EXCESS")


def test_a_buyer_reduces_a_short() -> None:
    scene = Scene()
    scene.hold(ANN, -5)
    scene.do(BOB.sell(1, 50, 101))
    assert scene.do(ANN.buy(2, 8, flags=REDUCE_ONLY))[-1] == ("DONE", 2, 5, 3, "REDUCE_ONLY_EXCESS")
    assert scene.position(ANN) == 0


@pytest.mark.parametrize(("position", "side"), [(5, BUY), (-5, SELL), (0, BUY), (0, SELL)])
def test_without_a_position_to_reduce_it_is_refused(position: int, side: int) -> None:
    scene = Scene()
    if position:
        scene.hold(ANN, position)
    order = ANN.buy if side == BUY else ANN.sell
    assert scene.refuse(order(1, 1, 100, flags=REDUCE_ONLY)) == "NOT_REDUCING"
    assert scene.refuse(order(1, 0, flags=CLOSE_POSITION)) == "NOT_REDUCING"


def test_close_position_takes_its_quantity_from_the_position() -> None:
    scene = Scene()
    scene.hold(ANN, 7)
    scene.do(BOB.buy(1, 50, 90))
    assert scene.do(ANN.close(2, SELL)) == [("TRADE", 2, 1, 90, 7), ("DONE", 2, 7, 0, "FILLED")]
    assert scene.position(ANN) == 0


def test_close_position_leaves_what_it_could_not_trade() -> None:
    scene = Scene()
    scene.hold(ANN, -7)
    scene.do(BOB.sell(1, 3, 110))
    assert scene.do(ANN.close(2, BUY))[-1] == ("DONE", 2, 3, 4, "NO_LIQUIDITY")
    assert scene.position(ANN) == -4


def test_close_position_takes_no_quantity() -> None:
    scene = Scene()
    scene.hold(ANN, 7)
    assert scene.refuse(ANN.close(1, SELL, qty=7)) == "BAD_QUANTITY"


# -- while they rest ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["shrinks", "is cancelled"])
def resting(request: pytest.FixtureRequest) -> Scene:
    """ANN is long 10, with a reduce-only sell 1 of 8 lots; in front of it at the same price BOB's 2, behind it BOB's 3."""
    scene = Scene(shrink_reduce_only=request.param)
    scene.hold(ANN, 10)
    scene.do(BOB.sell(2, 1, 110), ANN.sell(1, 8, 110, flags=REDUCE_ONLY), BOB.sell(3, 1, 110), CID.buy(4, 20, 90))
    return scene


def test_when_the_position_shrinks_it_shrinks_or_goes(resting: Scene) -> None:
    cut = {True: ("CANCEL", 1, 2, 6, "REDUCE_ONLY_EXCESS"), False: ("CANCEL", 1, 8, 0, "REDUCE_ONLY_EXCESS")}
    shrinks = bool(resting.market.desks["rules"]["shrink_reduce_only"][0])
    assert resting.do(ANN.sell(5, 4)) == [
        ("TRADE", 5, 4, 90, 4),
        cut[shrinks],
        ("DONE", 5, 4, 0, "FILLED"),
    ]
    assert resting.levels(SELL) == [(110, 8 if shrinks else 2)]


def test_a_position_that_shrinks_no_further_than_the_order_leaves_it(resting: Scene) -> None:
    assert resting.do(ANN.sell(5, 2)) == [("TRADE", 5, 4, 90, 2), ("DONE", 5, 2, 0, "FILLED")]


def test_a_position_that_grows_leaves_it(resting: Scene) -> None:
    resting.hold(ANN, 30, price=100)
    assert resting.levels(SELL) == [(110, 10)]


def test_a_position_that_is_gone_or_turns_ends_it(resting: Scene) -> None:
    events = resting.do(ANN.sell(5, 15))
    assert events == [
        ("TRADE", 5, 4, 90, 15),
        ("CANCEL", 1, 8, 0, "REDUCE_ONLY_EXCESS"),
        ("DONE", 5, 15, 0, "FILLED"),
    ]
    assert resting.position(ANN) == -5


def test_what_shrinks_keeps_its_place() -> None:
    scene = Scene()
    scene.hold(ANN, 10)
    scene.do(ANN.sell(1, 8, 110, flags=REDUCE_ONLY), BOB.sell(2, 5, 110), CID.buy(3, 20, 90), ANN.sell(4, 4))
    assert scene.do(CID.buy(5, 7, 110)) == [
        ("TRADE", 5, 1, 110, 6),
        ("TRADE", 5, 2, 110, 1),
        ("DONE", 5, 7, 0, "FILLED"),
    ]


def test_each_order_is_held_against_the_position_by_itself_the_youngest_first() -> None:
    """A long of 10 with orders of 6, 8 and 7 lots falls to 6: the larger two are cut; three times 6 may stay."""
    scene = Scene()
    scene.hold(ANN, 10)
    scene.do(*(ANN.sell(i, lots, 110 + i, flags=REDUCE_ONLY) for i, lots in [(1, 6), (2, 8), (3, 7)]), BOB.buy(4, 4, 90))
    assert scene.do(ANN.sell(5, 4))[1:-1] == [
        ("CANCEL", 3, 1, 6, "REDUCE_ONLY_EXCESS"),
        ("CANCEL", 2, 2, 6, "REDUCE_ONLY_EXCESS"),
    ]


def test_one_sweep_over_two_of_them_reduces_no_further_than_to_nothing() -> None:
    """After the first fill the position is 1: the second order is cut before it can trade, and the taker's rest stays."""
    scene = Scene()
    scene.hold(ANN, 3)
    scene.do(ANN.sell(1, 2, 110, flags=REDUCE_ONLY), ANN.sell(2, 2, 111, flags=REDUCE_ONLY))
    assert scene.do(BOB.buy(3, 4, 111)) == [
        ("TRADE", 3, 1, 110, 2),
        ("CANCEL", 2, 1, 1, "REDUCE_ONLY_EXCESS"),
        ("TRADE", 3, 2, 111, 1),
        ("ADD", 3, 111, 1),
    ]
    assert scene.position(ANN) == 0


def test_the_makers_orders_are_cut_before_the_takers() -> None:
    """BOB is short, ANN long; ANN's plain sell fills BOB's bid, and both had reduce-only orders for all they held."""
    scene = Scene()
    scene.hold(ANN, 5)
    scene.hold(BOB, -5)
    scene.do(ANN.sell(1, 5, 120, flags=REDUCE_ONLY), BOB.buy(2, 5, 80, flags=REDUCE_ONLY), BOB.buy(3, 2, 95))
    assert scene.do(ANN.sell(4, 2, 95)) == [
        ("TRADE", 4, 3, 95, 2),
        ("CANCEL", 2, 2, 3, "REDUCE_ONLY_EXCESS"),
        ("CANCEL", 1, 2, 3, "REDUCE_ONLY_EXCESS"),
        ("DONE", 4, 2, 0, "FILLED"),
    ]


def test_positions_of_other_symbols_do_not_count() -> None:
    scene = Scene(symbols=2)
    scene.hold(ANN, 5, symbol=1)
    assert scene.refuse(ANN.sell(1, 1, 100, flags=REDUCE_ONLY)) == "NOT_REDUCING"
    assert scene.do(ANN.sell(1, 1, 110, symbol=1, flags=REDUCE_ONLY)) == [("ADD", 1, 110, 1)]


# -- as they fire ------------------------------------------------------------------------------------------------------


def test_a_stop_is_cut_to_the_position_that_it_finds_when_it_fires() -> None:
    scene = Scene()
    scene.hold(ANN, 10, price=100)
    scene.do(ANN.sell(1, 8, stop=95, flags=REDUCE_ONLY), BOB.buy(2, 20, 90), ANN.sell(3, 7))
    assert scene.move(MARK, 95) == [
        ("TRIGGER", 1, 95, "MARK"),
        ("TRADE", 1, 2, 90, 3),
        ("DONE", 1, 3, 5, "REDUCE_ONLY_EXCESS"),
    ]


def test_a_stop_that_finds_no_position_ends() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 8, stop=95, flags=REDUCE_ONLY), ANN.close(2, SELL, stop=94), BOB.buy(3, 20, 90))
    assert scene.move(MARK, 94) == [
        ("TRIGGER", 1, 95, "MARK"),
        ("DONE", 1, 0, 8, "NOT_REDUCING"),
        ("TRIGGER", 2, 94, "MARK"),
        ("DONE", 2, 0, 0, "NOT_REDUCING"),
    ]


def test_a_stop_that_closes_takes_the_position_that_it_finds_when_it_fires() -> None:
    scene = Scene()
    scene.hold(ANN, 3)
    assert scene.do(ANN.close(1, SELL, stop=95)) == [("ARM", 1, 95, 0)]
    scene.hold(ANN, 2)
    scene.do(BOB.buy(2, 20, 90))
    assert scene.move(MARK, 95) == [
        ("TRIGGER", 1, 95, "MARK"),
        ("TRADE", 1, 2, 90, 5),
        ("DONE", 1, 5, 0, "FILLED"),
    ]
