"""Icebergs: what they show, how they come back, and where they stand then."""

from __future__ import annotations

import pytest

from tests.matching_kit import ANN, BOB, BUY, CID, DAN, IOC, POST_ONLY, REDUCE_ONLY, SELL, Scene


def test_an_iceberg_shows_a_part_of_itself() -> None:
    scene = Scene()
    assert scene.do(ANN.sell(1, 10, 100, show=3), levels=True) == [("ADD", 1, 100, 3), ("LEVEL", "SELL", 100, 3)]
    assert scene.levels(SELL) == [(100, 3)]


def test_it_comes_back_behind_those_that_waited_longer() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 6, 100, show=2), BOB.sell(2, 3, 100))
    assert scene.do(CID.buy(3, 2, 100)) == [
        ("TRADE", 3, 1, 100, 2),
        ("ADD", 1, 100, 2, "ICEBERG_REFRESH"),
        ("DONE", 3, 2, 0, "FILLED"),
    ]
    assert scene.do(CID.buy(4, 4, 100)) == [
        ("TRADE", 4, 2, 100, 3),
        ("TRADE", 4, 1, 100, 1),
        ("DONE", 4, 4, 0, "FILLED"),
    ]


def test_one_taker_meets_it_again_and_again() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 6, 100, show=2), BOB.sell(2, 3, 100), CID.sell(3, 1, 101))
    assert scene.do(DAN.buy(4, 10, 101)) == [
        ("TRADE", 4, 1, 100, 2),
        ("ADD", 1, 100, 2, "ICEBERG_REFRESH"),
        ("TRADE", 4, 2, 100, 3),
        ("TRADE", 4, 1, 100, 2),
        ("ADD", 1, 100, 2, "ICEBERG_REFRESH"),
        ("TRADE", 4, 1, 100, 2),
        ("TRADE", 4, 3, 101, 1),
        ("DONE", 4, 10, 0, "FILLED"),
    ]


def test_the_last_part_is_what_is_left() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 5, 100, show=3))
    assert scene.do(BOB.buy(2, 3, 100))[1] == ("ADD", 1, 100, 2, "ICEBERG_REFRESH")
    assert scene.do(BOB.buy(3, 2, 100)) == [("TRADE", 3, 1, 100, 2), ("DONE", 3, 2, 0, "FILLED")]
    assert scene.levels(SELL) == []


def test_a_part_that_is_not_used_up_is_not_topped_up() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 10, 100, show=3))
    assert scene.do(BOB.buy(2, 2, 100)) == [("TRADE", 2, 1, 100, 2), ("DONE", 2, 2, 0, "FILLED")]
    assert scene.levels(SELL) == [(100, 1)]


def test_a_fresh_part_has_the_time_of_the_op_that_brought_it() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 4, 100, show=2, ts_ns=10), BOB.buy(2, 1, 100, ts_ns=20))
    assert scene.entered_ns(1) == 10
    scene.do(BOB.buy(3, 1, 100, ts_ns=30))
    assert scene.entered_ns(1) == 30


def test_a_level_is_told_once_after_the_refresh() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 6, 100, show=2), BOB.sell(2, 3, 100))
    assert scene.do(CID.buy(3, 7, 100), levels=True) == [
        ("TRADE", 3, 1, 100, 2),
        ("ADD", 1, 100, 2, "ICEBERG_REFRESH"),
        ("TRADE", 3, 2, 100, 3),
        ("TRADE", 3, 1, 100, 2),
        ("ADD", 1, 100, 2, "ICEBERG_REFRESH"),
        ("LEVEL", "SELL", 100, 2),
        ("DONE", 3, 7, 0, "FILLED"),
    ]


@pytest.mark.parametrize(("traded", "shown"), [(4, 3), (8, 2)], ids=["a part", "all that is left"])
def test_a_remainder_rests_as_an_iceberg(traded: int, shown: int) -> None:
    scene = Scene()
    scene.do(BOB.sell(1, traded, 100))
    assert scene.do(ANN.buy(2, 10, 100, show=3)) == [("TRADE", 2, 1, 100, traded), ("ADD", 2, 100, shown)]
    assert scene.do(CID.sell(3, 10, 100))[-1] == ("ADD", 3, 100, traded), "all 10 - traded lots were there"


def test_an_iceberg_that_shows_all_is_an_ordinary_order() -> None:
    scene = Scene()
    assert scene.do(ANN.sell(1, 5, 100, show=5)) == [("ADD", 1, 100, 5)]
    assert scene.do(ANN.amend(1, qty=9)) == [("CANCEL", 1, 5, 0, "AMENDED"), ("ADD", 1, 100, 9)]


def test_a_cancel_takes_the_hidden_lots_too() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 10, 100, show=3))
    assert scene.do(ANN.cancel(1)) == [("CANCEL", 1, 3, 0, "BY_OWNER")]
    assert scene.do(BOB.buy(2, 1, 100, tif=IOC)) == [("DONE", 2, 0, 1, "IOC_REMAINDER")]


def test_an_iceberg_may_have_an_end_date() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, 10, 100, show=3, until=5))
    assert scene.levels(BUY) == [(100, 3)]


@pytest.mark.parametrize(
    "fields",
    [{"flags": POST_ONLY}, {"flags": REDUCE_ONLY}, {"tif": IOC}, {"price": None}, {"stop": 90}],
    ids=["post only", "reduce only", "immediate", "market", "stop"],
)
def test_an_order_that_cannot_hide_lots_is_refused(fields: dict[str, int]) -> None:
    scene = Scene()
    scene.hold(ANN, 10)
    assert scene.refuse(ANN.sell(1, 10, **({"price": 110, "show": 3} | fields))) == "BAD_FIELD"


@pytest.mark.parametrize("shown", [-1, 11])
def test_an_iceberg_shows_no_more_than_it_has(shown: int) -> None:
    assert Scene().refuse(ANN.sell(1, 10, 100, show=shown)) == "BAD_QUANTITY"
