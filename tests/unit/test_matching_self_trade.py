"""Self-trade prevention: what each mode does where an order meets one of its own account."""

from __future__ import annotations

import pytest

from tests.matching_kit import (
    ALLOW,
    ANN,
    BOB,
    BUY,
    CID,
    DECREMENT,
    EXPIRE_BOTH,
    EXPIRE_MAKER,
    EXPIRE_TAKER,
    IOC,
    MARK,
    POST_ONLY,
    SELL,
    Scene,
)


@pytest.fixture
def scene() -> Scene:
    """Offers of BOB's (1), then ANN's own (2), then CID's (3) at one price."""
    scene = Scene()
    scene.do(BOB.sell(1, 2, 100), ANN.sell(2, 3, 100), CID.sell(3, 4, 100))
    return scene


def test_allow_trades_with_oneself(scene: Scene) -> None:
    assert scene.do(ANN.buy(4, 6, 100, stp=ALLOW)) == [
        ("TRADE", 4, 1, 100, 2),
        ("TRADE", 4, 2, 100, 3),
        ("TRADE", 4, 3, 100, 1),
        ("DONE", 4, 6, 0, "FILLED"),
    ]
    assert scene.position(ANN) == 3, "2 from BOB and 1 from CID"


def test_expire_taker_ends_the_taker_where_it_meets_itself(scene: Scene) -> None:
    assert scene.do(ANN.buy(4, 6, 100, stp=EXPIRE_TAKER)) == [("TRADE", 4, 1, 100, 2), ("DONE", 4, 2, 4, "SELF_TRADE")]
    assert scene.levels(SELL) == [(100, 7)]


def test_expire_maker_takes_the_own_order_away_and_goes_on(scene: Scene) -> None:
    assert scene.do(ANN.buy(4, 7, 100, stp=EXPIRE_MAKER)) == [
        ("TRADE", 4, 1, 100, 2),
        ("CANCEL", 2, 3, 0, "SELF_TRADE", 4),
        ("TRADE", 4, 3, 100, 4),
        ("ADD", 4, 100, 1),
    ]


def test_expire_both_ends_both(scene: Scene) -> None:
    assert scene.do(ANN.buy(4, 6, 100, stp=EXPIRE_BOTH)) == [
        ("TRADE", 4, 1, 100, 2),
        ("CANCEL", 2, 3, 0, "SELF_TRADE", 4),
        ("DONE", 4, 2, 4, "SELF_TRADE"),
    ]
    assert scene.levels(SELL) == [(100, 4)]


def test_decrement_of_a_larger_taker_uses_up_the_own_order(scene: Scene) -> None:
    """Of 7 lots 2 are bought from BOB, 3 are taken off both own orders, 2 are bought from CID."""
    assert scene.do(ANN.buy(4, 7, 100, stp=DECREMENT)) == [
        ("TRADE", 4, 1, 100, 2),
        ("CANCEL", 2, 3, 0, "SELF_TRADE_DECREMENT", 4),
        ("TRADE", 4, 3, 100, 2),
        ("DONE", 4, 4, 0, "FILLED"),
    ]


def test_decrement_of_a_smaller_taker_leaves_the_own_order_its_place(scene: Scene) -> None:
    assert scene.do(ANN.buy(4, 4, 100, stp=DECREMENT)) == [
        ("TRADE", 4, 1, 100, 2),
        ("CANCEL", 2, 2, 1, "SELF_TRADE_DECREMENT", 4),
        ("DONE", 4, 2, 0, "SELF_TRADE"),
    ]
    assert scene.do(BOB.buy(5, 1, 100))[0] == ("TRADE", 5, 2, 100, 1)


def test_decrement_of_equal_orders_ends_both(scene: Scene) -> None:
    assert scene.do(ANN.buy(4, 5, 100, stp=DECREMENT))[1:] == [
        ("CANCEL", 2, 3, 0, "SELF_TRADE_DECREMENT", 4),
        ("DONE", 4, 2, 0, "SELF_TRADE"),
    ]


def test_levels_are_told_before_and_after_a_self_trade(scene: Scene) -> None:
    assert scene.do(ANN.buy(4, 5, 100, stp=DECREMENT), levels=True) == [
        ("TRADE", 4, 1, 100, 2),
        ("CANCEL", 2, 3, 0, "SELF_TRADE_DECREMENT", 4),
        ("LEVEL", "SELL", 100, 4),
        ("DONE", 4, 2, 0, "SELF_TRADE"),
    ]


def test_expire_maker_takes_the_hidden_lots_too() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 10, 100, show=3))
    assert scene.do(ANN.buy(2, 4, 100, stp=EXPIRE_MAKER)) == [("CANCEL", 1, 3, 0, "SELF_TRADE", 2), ("ADD", 2, 100, 4)]
    assert scene.levels(SELL) == []


def test_decrement_of_an_iceberg_brings_its_next_part() -> None:
    """It shows 3 of 10, and a taker of 5: 3 are taken off, 3 more are shown, 2 of them are taken off."""
    scene = Scene()
    scene.do(ANN.sell(1, 10, 100, show=3))
    assert scene.do(ANN.buy(2, 5, 100, stp=DECREMENT)) == [
        ("CANCEL", 1, 3, 0, "SELF_TRADE_DECREMENT", 2),
        ("ADD", 1, 100, 3, "ICEBERG_REFRESH"),
        ("CANCEL", 1, 2, 1, "SELF_TRADE_DECREMENT", 2),
        ("DONE", 2, 0, 0, "SELF_TRADE"),
    ]


def test_a_remainder_of_an_immediate_order_does_not_count_what_was_taken_off() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 3, 100), BOB.sell(2, 2, 100))
    assert scene.do(ANN.buy(3, 9, 100, tif=IOC, stp=DECREMENT))[-1] == ("DONE", 3, 2, 9 - 3 - 2, "IOC_REMAINDER")


@pytest.mark.parametrize("mode", [EXPIRE_TAKER, EXPIRE_MAKER, EXPIRE_BOTH, DECREMENT])
def test_orders_that_do_not_meet_are_left_alone(mode: int) -> None:
    scene = Scene(self_trade=mode)
    scene.do(ANN.sell(1, 3, 101), BOB.sell(2, 3, 100))
    assert scene.do(ANN.buy(3, 3, 101)) == [("TRADE", 3, 2, 100, 3), ("DONE", 3, 3, 0, "FILLED")]
    assert scene.do(ANN.buy(4, 1, 100)) == [("ADD", 4, 100, 1)]


def test_without_a_mode_the_rules_decide() -> None:
    scene = Scene(self_trade=EXPIRE_TAKER)
    scene.do(ANN.sell(1, 3, 100))
    assert scene.do(ANN.buy(2, 1, 100)) == [("DONE", 2, 0, 1, "SELF_TRADE")]


def test_without_a_mode_and_a_rule_it_is_allowed() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 3, 100))
    assert scene.do(ANN.buy(2, 1, 100)) == [("TRADE", 2, 1, 100, 1), ("DONE", 2, 1, 0, "FILLED")]


def test_the_orders_own_mode_goes_before_the_rules() -> None:
    scene = Scene(self_trade=EXPIRE_TAKER)
    scene.do(ANN.sell(1, 3, 100))
    assert scene.do(ANN.buy(2, 1, 100, stp=ALLOW))[-1] == ("DONE", 2, 1, 0, "FILLED")


def test_the_takers_mode_decides_whatever_the_makers_is() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 3, 100, stp=EXPIRE_TAKER))
    assert scene.do(ANN.buy(2, 1, 100, stp=EXPIRE_MAKER))[0] == ("CANCEL", 1, 3, 0, "SELF_TRADE", 2)


def test_a_stop_keeps_its_mode_until_it_fires() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, 3, 90), ANN.sell(2, 2, stop=95, stp=EXPIRE_BOTH))
    assert scene.move(MARK, 95) == [
        ("TRIGGER", 2, 95, "MARK"),
        ("CANCEL", 1, 3, 0, "SELF_TRADE", 2),
        ("DONE", 2, 0, 2, "SELF_TRADE"),
    ]


def test_post_only_comes_before_self_trade_prevention() -> None:
    scene = Scene(self_trade=EXPIRE_MAKER)
    scene.do(ANN.sell(1, 3, 100))
    assert scene.refuse(ANN.buy(2, 3, 100, flags=POST_ONLY)) == "POST_ONLY_WOULD_CROSS"
    assert scene.levels(BUY) == []
