"""Trailing stops: when they begin to follow, how they follow, and where they stand when they fire."""

from __future__ import annotations

import pytest

from engine.contract import Reference
from tests.matching_kit import ANN, AUCTION, BOB, BUY, INDEX, LAST, MARK, OPEN, SELL, Scene, mark, reference, state

TICKS = {"trailing_in_bps": False}


def at_100(**rules: int) -> Scene:
    """All references are at 100; BOB bids 10 lots at 50 (order 1) and offers 10 at 300 (order 2)."""
    scene = Scene(**rules)
    scene.do(BOB.buy(1, 10, 50), BOB.sell(2, 10, 300), reference(INDEX, 100), reference(MARK, 100))
    scene.trade_at(100)
    return scene


@pytest.mark.parametrize("by", [INDEX, MARK, LAST], ids=lambda by: by.name)
def test_a_sellers_stop_follows_upwards_and_fires_at_its_distance_below_the_highest(by: Reference) -> None:
    scene = at_100(**TICKS)
    assert scene.do(ANN.sell(3, 4, trail=10, by=by)) == [("ARM", 3, 0, 4)]
    assert [scene.move(by, price) for price in (120, 111, 115)] == [[], [], []]
    assert scene.move(by, 110) == [
        ("TRIGGER", 3, 110, by.name),
        ("TRADE", 3, 1, 50, 4),
        ("DONE", 3, 4, 0, "FILLED"),
    ]


@pytest.mark.parametrize("by", [INDEX, MARK, LAST], ids=lambda by: by.name)
def test_a_buyers_stop_follows_downwards_and_fires_at_its_distance_above_the_lowest(by: Reference) -> None:
    scene = at_100(**TICKS)
    assert scene.do(ANN.buy(3, 4, trail=10, by=by)) == [("ARM", 3, 0, 4)]
    assert [scene.move(by, price) for price in (80, 89, 85)] == [[], [], []]
    assert scene.move(by, 90) == [
        ("TRIGGER", 3, 90, by.name),
        ("TRADE", 3, 2, 300, 4),
        ("DONE", 3, 4, 0, "FILLED"),
    ]


def test_it_may_fire_beyond_its_stop() -> None:
    scene = at_100(**TICKS)
    scene.do(ANN.sell(3, 4, trail=10))
    assert scene.move(MARK, 70)[0] == ("TRIGGER", 3, 90, "MARK")


def test_a_distance_in_basis_points_grows_with_the_highest() -> None:
    """5 % of 100 is 5, of 210 it is 10 and a half, of which half a tick is dropped."""
    scene = at_100()
    scene.do(ANN.sell(3, 4, trail=500))
    assert [scene.move(MARK, price) for price in (96, 210, 201)] == [[], [], []]
    assert scene.move(MARK, 200)[0] == ("TRIGGER", 3, 200, "MARK")


def test_a_buyers_distance_in_basis_points_shrinks_with_the_lowest() -> None:
    """5 % of 90 are 4.5, so 4 ticks."""
    scene = at_100()
    scene.do(ANN.buy(3, 4, trail=500))
    assert [scene.move(MARK, price) for price in (104, 90, 93)] == [[], [], []]
    assert scene.move(MARK, 94)[0] == ("TRIGGER", 3, 94, "MARK")


def test_the_distance_is_at_least_a_tick() -> None:
    scene = at_100()
    scene.do(ANN.sell(3, 4, trail=1))
    assert scene.move(MARK, 99)[0] == ("TRIGGER", 3, 99, "MARK")


def test_the_highest_is_in_whole_ticks_below_and_the_stop_is_reached_in_whole_ticks_above() -> None:
    scene = at_100(**TICKS)
    scene.do(ANN.sell(3, 4, trail=10), mark(120.75))
    assert scene.do(mark(110.25)) == [("REFERENCE", "MARK", 110_250_000)]
    assert scene.do(mark(110))[1] == ("TRIGGER", 3, 110, "MARK")


def test_the_lowest_is_in_whole_ticks_above() -> None:
    scene = at_100(**TICKS)
    scene.do(ANN.buy(3, 4, trail=10), mark(79.25))
    assert scene.do(mark(89.75)) == [("REFERENCE", "MARK", 89_750_000)]
    assert scene.do(mark(90.25))[1] == ("TRIGGER", 3, 90, "MARK")


@pytest.mark.parametrize(
    ("side", "activation", "path", "fires_at"),
    [
        (SELL, 110, [80, 109, 110, 101], 100),  # the fall to 80 comes before it is active; highest is 110
        (SELL, 110, [130, 125, 121], 120),  # active at 130, beyond its activation
        (BUY, 90, [120, 91, 90, 99], 100),
        (BUY, 90, [70, 75, 79], 80),
    ],
)
def test_it_follows_from_its_activation_on(side: int, activation: int, path: list[int], fires_at: int) -> None:
    scene = at_100(**TICKS)
    order = ANN.sell if side == SELL else ANN.buy
    assert scene.do(order(3, 4, trail=10, activation=activation)) == [("ARM", 3, activation, 4)]
    assert [scene.move(MARK, price) for price in path] == [[]] * len(path)
    assert scene.move(MARK, fires_at)[0] == ("TRIGGER", 3, fires_at, "MARK")


def test_an_activation_that_is_reached_already_is_no_reason_to_refuse_it() -> None:
    scene = at_100(**TICKS)
    assert scene.do(ANN.sell(3, 4, trail=10, activation=95)) == [("ARM", 3, 95, 4)]
    assert scene.move(MARK, 90)[0] == ("TRIGGER", 3, 90, "MARK")


def test_a_sellers_stop_below_the_lowest_price_is_never_reached() -> None:
    scene = at_100(**TICKS)
    scene.do(ANN.sell(3, 4, trail=100))
    assert scene.do(mark(0.25)) == [("REFERENCE", "MARK", 250_000)]


def test_it_begins_with_the_first_value_of_a_reference_that_was_not_known() -> None:
    scene = Scene(**TICKS)
    scene.do(BOB.buy(1, 10, 50), ANN.sell(3, 4, trail=10))
    assert scene.move(MARK, 70) == scene.move(MARK, 61) == []
    assert scene.move(MARK, 60)[0] == ("TRIGGER", 3, 60, "MARK")


def test_it_does_not_follow_while_the_symbol_does_not_trade() -> None:
    """150 goes unseen: at the opening the highest is 130, so the stop is 120, not 140."""
    scene = at_100(**TICKS)
    scene.do(ANN.sell(3, 4, trail=10), state(AUCTION), mark(150), mark(130))
    assert scene.do(state(OPEN)) == [("STATE", "OPEN", 0, 0)]
    assert scene.move(MARK, 121) == []
    assert scene.move(MARK, 120)[0] == ("TRIGGER", 3, 120, "MARK")


def test_of_several_the_oldest_fires_first_whatever_its_stop() -> None:
    scene = at_100(**TICKS)
    scene.do(ANN.sell(3, 1, trail=20), ANN.sell(4, 1, trail=10))
    assert [event[1] for event in scene.move(MARK, 80) if event[0] == "TRIGGER"] == [3, 4]


def test_it_closes_the_position_at_the_market() -> None:
    scene = at_100(**TICKS)
    scene.hold(ANN, 5)
    scene.do(ANN.close(3, SELL, trail=10))
    assert scene.move(MARK, 90) == [("TRIGGER", 3, 90, "MARK"), ("TRADE", 3, 1, 50, 5), ("DONE", 3, 5, 0, "FILLED")]


def test_amended_it_starts_anew() -> None:
    """The highest of 120 is forgotten: with the new distance of 5 from 115 the stop is 110."""
    scene = at_100(**TICKS)
    scene.do(ANN.sell(3, 4, trail=10), mark(120), mark(115))
    assert scene.do(ANN.amend(3, price=5)) == [("ARM", 3, 0, 4, "AMENDED")]
    assert scene.move(MARK, 111) == []
    assert scene.move(MARK, 110)[0] == ("TRIGGER", 3, 110, "MARK")


@pytest.mark.parametrize(("rules", "distance"), [(TICKS, 2**62), ({}, 10_001), ({}, -1)])
def test_a_distance_out_of_range_is_a_bad_price(rules: dict[str, int], distance: int) -> None:
    assert Scene(**rules).refuse(ANN.sell(1, 4, trail=distance)) == "BAD_PRICE"
