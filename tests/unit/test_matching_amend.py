"""AMEND: what keeps its place and what loses it, and what an amendment may not do."""

from __future__ import annotations

import pytest

from tests.matching_kit import (
    ANN,
    BOB,
    BUY,
    CID,
    DORMANT,
    EXPIRE_TAKER,
    MARK,
    POST_ONLY,
    REDUCE_ONLY,
    SELL,
    SLIDE,
    Scene,
    clock,
    mark,
)


@pytest.fixture
def scene() -> Scene:
    """ANN's 5 lots (order 1) before BOB's 5 (order 2) at a bid of 100; CID offers 4 at 105 (order 3)."""
    scene = Scene()
    scene.do(ANN.buy(1, 5, 100), BOB.buy(2, 5, 100), CID.sell(3, 4, 105))
    return scene


def first_to_trade(scene: Scene) -> int:
    """The id of the bid that a seller meets first."""
    return int(scene.do(CID.sell(99, 1, 100))[0][2])


# -- resting orders ----------------------------------------------------------------------------------------------------


def test_fewer_lots_at_the_same_price_keep_the_place(scene: Scene) -> None:
    assert scene.do(ANN.amend(1, qty=2)) == [("CANCEL", 1, 3, 2, "AMENDED")]
    assert first_to_trade(scene) == 1


def test_the_same_price_may_be_said_again(scene: Scene) -> None:
    assert scene.do(ANN.amend(1, qty=2, price=100)) == [("CANCEL", 1, 3, 2, "AMENDED")]


def test_more_lots_lose_the_place(scene: Scene) -> None:
    assert scene.do(ANN.amend(1, qty=6)) == [("CANCEL", 1, 5, 0, "AMENDED"), ("ADD", 1, 100, 6)]
    assert first_to_trade(scene) == 2


def test_another_price_loses_the_place_even_if_it_comes_back(scene: Scene) -> None:
    assert scene.do(ANN.amend(1, price=99)) == [("CANCEL", 1, 5, 0, "AMENDED"), ("ADD", 1, 99, 5)]
    assert scene.do(ANN.amend(1, price=100)) == [("CANCEL", 1, 5, 0, "AMENDED"), ("ADD", 1, 100, 5)]
    assert first_to_trade(scene) == 2


def test_fewer_lots_at_another_price_enter_anew(scene: Scene) -> None:
    assert scene.do(ANN.amend(1, price=101, qty=3)) == [("CANCEL", 1, 5, 0, "AMENDED"), ("ADD", 1, 101, 3)]


def test_both_levels_are_told(scene: Scene) -> None:
    assert scene.do(ANN.amend(1, price=101), levels=True) == [
        ("CANCEL", 1, 5, 0, "AMENDED"),
        ("LEVEL", "BUY", 100, 5),
        ("ADD", 1, 101, 5),
        ("LEVEL", "BUY", 101, 5),
    ]


def test_an_amendment_that_crosses_trades(scene: Scene) -> None:
    assert scene.do(ANN.amend(1, price=105)) == [
        ("CANCEL", 1, 5, 0, "AMENDED"),
        ("TRADE", 1, 3, 105, 4),
        ("ADD", 1, 105, 1),
    ]
    assert scene.do(CID.sell(4, 9, 106), BOB.amend(2, price=106))[1:] == [
        ("CANCEL", 2, 5, 0, "AMENDED"),
        ("TRADE", 2, 4, 106, 5),
        ("DONE", 2, 5, 0, "FILLED"),
    ]


def test_the_quantity_is_what_is_left_from_now_on(scene: Scene) -> None:
    scene.do(CID.sell(4, 2, 100))
    assert scene.refuse(ANN.amend(1, qty=3)) == "NO_CHANGE"
    assert scene.do(ANN.amend(1, qty=5)) == [("CANCEL", 1, 3, 0, "AMENDED"), ("ADD", 1, 100, 5)]


def test_an_amended_order_keeps_its_end_date() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, 5, 100, until=10), ANN.amend(1, price=99))
    assert scene.do(clock(10)) == [("CLOCK",), ("CANCEL", 1, 5, 0, "EXPIRED")]


def test_an_amended_order_keeps_its_self_trade_mode() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, 5, 100, stp=EXPIRE_TAKER), ANN.sell(2, 5, 105))
    assert scene.do(ANN.amend(1, price=105)) == [("CANCEL", 1, 5, 0, "AMENDED"), ("DONE", 1, 0, 5, "SELF_TRADE")]


def test_post_only_orders_do_not_cross_by_an_amendment(scene: Scene) -> None:
    scene.do(ANN.buy(4, 5, 98, flags=POST_ONLY), ANN.buy(5, 5, 98, flags=POST_ONLY | SLIDE))
    assert scene.refuse(ANN.amend(4, price=105)) == "POST_ONLY_WOULD_CROSS"
    assert scene.do(ANN.amend(5, price=107)) == [("CANCEL", 5, 5, 0, "AMENDED"), ("ADD", 5, 104, 5)]


def test_fewer_lots_at_a_price_that_slides_back_to_where_the_order_is_keep_the_place(scene: Scene) -> None:
    scene.do(ANN.buy(4, 5, 104, flags=POST_ONLY | SLIDE), BOB.buy(5, 5, 104))
    assert scene.do(ANN.amend(4, price=107, qty=2)) == [("CANCEL", 4, 3, 2, "AMENDED")]
    assert scene.do(ANN.amend(4, price=107)) == [("CANCEL", 4, 2, 0, "AMENDED"), ("ADD", 4, 104, 2)], "as many lose it"


def test_an_order_that_lost_its_place_expires_after_those_that_kept_theirs() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, 5, 100, until=10), ANN.buy(2, 5, 100, until=10), ANN.buy(3, 5, 100, until=10))
    scene.do(ANN.amend(1, price=99), ANN.amend(2, qty=4))
    assert [event[1] for event in scene.do(clock(10))[1:]] == [2, 3, 1]


def test_more_lots_of_a_reduce_only_order_are_cut_to_the_position() -> None:
    scene = Scene()
    scene.hold(ANN, 8)
    scene.do(ANN.sell(1, 5, 110, flags=REDUCE_ONLY))
    assert scene.do(ANN.amend(1, qty=20)) == [("CANCEL", 1, 5, 0, "AMENDED"), ("ADD", 1, 110, 8, "REDUCE_ONLY_EXCESS")]


# -- icebergs ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def iceberg() -> Scene:
    """ANN bids 10 lots at 100 (order 1), of which she shows 3, before BOB's 5 (order 2)."""
    scene = Scene()
    scene.do(ANN.buy(1, 10, 100, show=3), BOB.buy(2, 5, 100))
    return scene


def test_of_an_iceberg_the_hidden_lots_go_first(iceberg: Scene) -> None:
    assert iceberg.do(ANN.amend(1, qty=4)) == [("ACK", 1, 0, "AMENDED")]
    assert iceberg.levels(BUY) == [(100, 8)]
    assert iceberg.do(ANN.amend(1, qty=2)) == [("CANCEL", 1, 1, 2, "AMENDED")]
    assert first_to_trade(iceberg) == 1


def test_an_iceberg_that_enters_anew_shows_as_much_as_before(iceberg: Scene) -> None:
    assert iceberg.do(ANN.amend(1, qty=12)) == [("CANCEL", 1, 3, 0, "AMENDED"), ("ADD", 1, 100, 3)]
    assert iceberg.do(CID.sell(3, 20, 100))[-1] == ("ADD", 3, 100, 20 - 5 - 12)


def test_what_an_iceberg_has_left_is_shown_and_hidden(iceberg: Scene) -> None:
    assert iceberg.refuse(ANN.amend(1, qty=10)) == "NO_CHANGE"


# -- waiting orders ----------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting() -> Scene:
    """At a mark of 100: ANN's stop at 90 (order 1) and then BOB's (order 2), ANN's stop-limit at 89 (order 3)."""
    scene = Scene()
    scene.do(mark(100), ANN.sell(1, 5, stop=90), BOB.sell(2, 5, stop=90), ANN.sell(3, 5, 88, stop=89))
    return scene


def test_a_waiting_order_gets_another_trigger(waiting: Scene) -> None:
    assert waiting.do(ANN.amend(1, trigger=95)) == [("ARM", 1, 95, 5, "AMENDED")]
    assert waiting.move(MARK, 95)[0] == ("TRIGGER", 1, 95, "MARK")


def test_a_waiting_order_gets_another_quantity_and_waits_as_the_youngest(waiting: Scene) -> None:
    assert waiting.do(ANN.amend(1, qty=3)) == [("ARM", 1, 90, 3, "AMENDED")]
    assert [event[1] for event in waiting.move(MARK, 90) if event[0] == "TRIGGER"] == [2, 1]


def test_a_waiting_order_gets_another_limit(waiting: Scene) -> None:
    assert waiting.do(ANN.amend(3, price=87)) == [("ARM", 3, 89, 5, "AMENDED")]
    assert waiting.move(MARK, 89)[-1] == ("ADD", 3, 87, 5)


def test_a_waiting_market_order_gets_another_bound(waiting: Scene) -> None:
    waiting.do(CID.buy(4, 1, 86), CID.buy(5, 9, 85), ANN.amend(1, price=86, trigger=95))
    assert waiting.move(MARK, 95)[1:] == [("TRADE", 1, 4, 86, 1), ("DONE", 1, 1, 4, "BOUND_REACHED")]


def test_a_waiting_order_is_not_amended_to_where_it_would_fire(waiting: Scene) -> None:
    assert waiting.refuse(ANN.amend(1, trigger=100)) == "WOULD_TRIGGER"


def test_an_order_that_closes_the_position_takes_no_quantity() -> None:
    scene = Scene()
    scene.do(ANN.close(1, SELL, stop=90))
    assert scene.refuse(ANN.amend(1, qty=5)) == "BAD_QUANTITY"
    assert scene.do(ANN.amend(1, trigger=91)) == [("ARM", 1, 91, 0, "AMENDED")]


def test_a_dormant_order_is_amended_in_its_sleep_and_may_be_given_a_reached_trigger() -> None:
    scene = Scene()
    scene.do(mark(100), ANN.sell(1, 5, stop=90, flags=DORMANT | REDUCE_ONLY))
    assert scene.do(ANN.amend(1, trigger=105, qty=4)) == [("ACK", 1, 4, "AMENDED")]
    assert scene.do(ANN.buy(2, 9, 95, link=1), CID.sell(3, 9, 95))[2:4] == [("ARM", 1, 105, 4), ("DONE", 3, 9, 0, "FILLED")]


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amendment", "reason"),
    [
        (ANN.amend(9, qty=1), "UNKNOWN_ORDER"),
        (BOB.amend(1, qty=1), "NOT_OWNER"),
        (ANN.amend(1), "NO_CHANGE"),
        (ANN.amend(1, qty=10, price=100), "NO_CHANGE"),
        (ANN.amend(1, trigger=90), "BAD_FIELD"),
        (ANN.amend(1, price=-1), "BAD_PRICE"),
        (ANN.amend(1, qty=-1), "BAD_QUANTITY"),
        (ANN.amend(1, price=98), "BAD_TICK"),
        (ANN.amend(1, qty=3), "BAD_LOT"),
        (ANN.amend(1, qty=4), "NOTIONAL_TOO_SMALL"),  # 4 x 100 < 500
        (ANN.amend(1, qty=52), "NOTIONAL_TOO_LARGE"),  # 52 x 100 > 5,000
        (ANN.amend(1, price=120), "PRICE_OUT_OF_BOUNDS"),  # more than 10 % above the mark of 100
        (ANN.amend(2), "NO_CHANGE"),
        (ANN.amend(2, trigger=-5), "BAD_PRICE"),
        (ANN.amend(2, trigger=93), "BAD_TICK"),
        (ANN.amend(2, qty=3), "BAD_LOT"),
    ],
)
def test_a_refused_amendment_changes_nothing(amendment: dict[str, int], reason: str) -> None:
    scene = Scene(price_step=5, lot_step=2, min_notional=500, max_notional=5_000, bound_ppm=100_000)
    scene.do(mark(100), ANN.buy(1, 10, 100), ANN.sell(2, 10, stop=90))
    assert scene.refuse(amendment) == reason


def test_bounds_that_moved_away_do_not_hinder_an_amendment_of_the_quantity() -> None:
    scene = Scene(bound_ppm=100_000)
    scene.do(mark(100), ANN.buy(1, 10, 110), mark(90))
    assert scene.do(ANN.amend(1, qty=12))[-1] == ("ADD", 1, 110, 12)
    assert scene.refuse(ANN.amend(1, price=109)) == "PRICE_OUT_OF_BOUNDS"
