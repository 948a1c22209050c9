"""Stops and take-profits: what reaches their triggers, in which order they fire, and what becomes of them then."""

from __future__ import annotations

import pytest

from engine.contract import Reference, Side
from tests.matching_kit import (
    ANN,
    BOB,
    BUY,
    CID,
    DAN,
    FOK,
    INDEX,
    IOC,
    LAST,
    MARK,
    SELL,
    Scene,
    clock,
    mark,
    reference,
)

REFERENCES = pytest.mark.parametrize("by", [INDEX, MARK, LAST], ids=lambda by: by.name)

CASES = pytest.mark.parametrize(
    ("side", "kind", "trigger", "before"),
    [
        pytest.param(SELL, "stop", 95, 96, id="stop of a seller: at or below"),
        pytest.param(BUY, "stop", 105, 104, id="stop of a buyer: at or above"),
        pytest.param(SELL, "profit", 105, 104, id="take-profit of a seller: at or above"),
        pytest.param(BUY, "profit", 95, 96, id="take-profit of a buyer: at or below"),
    ],
)


def at_100(**rules: int) -> Scene:
    """All references are at 100; BOB bids 10 lots at 90 (order 1) and offers 10 at 110 (order 2)."""
    scene = Scene(**rules)
    scene.do(BOB.buy(1, 10, 90), BOB.sell(2, 10, 110), reference(INDEX, 100), reference(MARK, 100))
    scene.trade_at(100)
    return scene


def order(side: Side, *args: int, **how: int) -> dict[str, int]:
    return (ANN.buy if side == BUY else ANN.sell)(*args, **how)


def triggered(events: list[tuple[str | int, ...]]) -> list[str | int]:
    return [event[1] for event in events if event[0] == "TRIGGER"]


# -- what reaches a trigger --------------------------------------------------------------------------------------------


@REFERENCES
@CASES
def test_at_the_trigger_it_becomes_a_market_order(by: Reference, side: Side, kind: str, trigger: int, before: int) -> None:
    scene = at_100()
    assert scene.do(order(side, 3, 4, by=by, **{kind: trigger})) == [("ARM", 3, trigger, 4)]
    assert scene.move(by, before) == []
    maker, price = (1, 90) if side == SELL else (2, 110)
    assert scene.move(by, trigger) == [
        ("TRIGGER", 3, trigger, by.name),
        ("TRADE", 3, maker, price, 4),
        ("DONE", 3, 4, 0, "FILLED"),
    ]


@REFERENCES
@CASES
def test_at_the_trigger_it_becomes_a_limit_order(by: Reference, side: Side, kind: str, trigger: int, before: int) -> None:
    scene = at_100()
    price = 93 if side == SELL else 107
    scene.do(order(side, 3, 4, price, by=by, **{kind: trigger}))
    assert scene.move(by, before) == []
    assert scene.move(by, trigger) == [("TRIGGER", 3, trigger, by.name), ("ADD", 3, price, 4)]


@REFERENCES
@CASES
def test_it_is_refused_where_the_trigger_is_reached_already(
    by: Reference, side: Side, kind: str, trigger: int, before: int
) -> None:
    scene = at_100()
    scene.move(by, trigger)
    assert scene.refuse(order(side, 3, 4, by=by, **{kind: trigger})) == "WOULD_TRIGGER"
    scene.move(by, before)
    assert scene.do(order(side, 3, 4, by=by, **{kind: trigger}))[0][0] == "ARM"


@REFERENCES
def test_the_other_references_do_not_fire_it(by: Reference) -> None:
    scene = at_100()
    scene.do(ANN.sell(3, 4, stop=95, by=by))
    assert [scene.move(other, 94) for other in (INDEX, MARK, LAST) if other != by] == [[], []]


@REFERENCES
def test_a_reference_that_is_not_known_reaches_nothing(by: Reference) -> None:
    scene = Scene()
    assert scene.do(ANN.sell(1, 4, stop=95, by=by), ANN.sell(2, 4, profit=1, by=by)) == [("ARM", 1, 95, 4), ("ARM", 2, 1, 4)]


@REFERENCES
def test_without_a_reference_of_its_own_it_follows_that_of_the_rules(by: Reference) -> None:
    scene = at_100(trigger_by=by)
    scene.do(ANN.sell(3, 4, stop=95))
    assert scene.move(by, 95)[0] == ("TRIGGER", 3, 95, by.name)


def test_the_rules_say_mark_if_they_do_not_say() -> None:
    scene = at_100()
    scene.do(ANN.sell(3, 4, stop=95))
    assert scene.move(INDEX, 95) == scene.move(LAST, 95) == []
    assert scene.move(MARK, 95)[0] == ("TRIGGER", 3, 95, "MARK")


def test_a_part_of_a_tick_is_not_enough() -> None:
    scene = at_100()
    scene.do(ANN.buy(3, 1, stop=105), ANN.sell(4, 1, stop=95))
    assert scene.do(mark(104.75), mark(95.25)) == [("REFERENCE", "MARK", 104_750_000), ("REFERENCE", "MARK", 95_250_000)]
    assert triggered(scene.do(mark(105.25), mark(94.75))) == [3, 4]


def test_nor_is_it_reason_enough_to_refuse_it() -> None:
    scene = at_100()
    assert scene.do(mark(104.75), ANN.buy(3, 1, stop=105))[1] == ("ARM", 3, 105, 1)
    assert scene.do(mark(95.25), ANN.sell(4, 1, stop=95))[1] == ("ARM", 4, 95, 1)


# -- the order in which they fire --------------------------------------------------------------------------------------


def test_upwards_the_lowest_trigger_fires_first_then_the_oldest() -> None:
    scene = at_100()
    scene.do(ANN.buy(3, 1, stop=103), ANN.buy(4, 1, stop=101), CID.buy(5, 1, stop=101), CID.sell(6, 1, profit=102))
    assert triggered(scene.move(MARK, 104)) == [4, 5, 6, 3]


def test_downwards_the_highest_trigger_fires_first_then_the_oldest() -> None:
    scene = at_100()
    scene.do(ANN.sell(3, 1, stop=97), ANN.sell(4, 1, stop=99), CID.sell(5, 1, stop=99), CID.buy(6, 1, profit=98))
    assert triggered(scene.move(MARK, 96)) == [4, 5, 6, 3]


def test_one_has_come_to_its_end_before_the_next_one_fires() -> None:
    scene = at_100()
    scene.do(ANN.sell(3, 7, stop=97), CID.sell(4, 7, stop=96))
    assert scene.move(MARK, 95) == [
        ("TRIGGER", 3, 97, "MARK"),
        ("TRADE", 3, 1, 90, 7),
        ("DONE", 3, 7, 0, "FILLED"),
        ("TRIGGER", 4, 96, "MARK"),
        ("TRADE", 4, 1, 90, 3),
        ("DONE", 4, 3, 4, "NO_LIQUIDITY"),
    ]


def test_the_trade_of_one_fires_the_next() -> None:
    """A cascade: the mark fires ANN's stop, whose trade at 90 fires CID's, whose trade at 85 fires DAN's."""
    scene = at_100()
    scene.do(BOB.buy(3, 10, 85), ANN.sell(4, 10, stop=95), CID.sell(5, 2, stop=92, by=LAST), DAN.sell(6, 1, stop=88, by=LAST))
    assert scene.move(MARK, 95) == [
        ("TRIGGER", 4, 95, "MARK"),
        ("TRADE", 4, 1, 90, 10),
        ("DONE", 4, 10, 0, "FILLED"),
        ("TRIGGER", 5, 92, "LAST"),
        ("TRADE", 5, 3, 85, 2),
        ("DONE", 5, 2, 0, "FILLED"),
        ("TRIGGER", 6, 88, "LAST"),
        ("TRADE", 6, 3, 85, 1),
        ("DONE", 6, 1, 0, "FILLED"),
    ]


def test_what_fires_comes_after_the_reply_of_the_op_that_fired_it() -> None:
    scene = at_100()
    scene.do(ANN.sell(3, 1, stop=95, by=LAST))
    assert scene.do(CID.sell(4, 2, 90)) == [
        ("TRADE", 4, 1, 90, 2),
        ("DONE", 4, 2, 0, "FILLED"),
        ("TRIGGER", 3, 95, "LAST"),
        ("TRADE", 3, 1, 90, 1),
        ("DONE", 3, 1, 0, "FILLED"),
    ]


def test_a_stop_fires_once() -> None:
    scene = at_100()
    scene.do(ANN.sell(3, 1, stop=95))
    assert triggered(scene.move(MARK, 95)) == [3]
    assert scene.move(MARK, 94) == []


# -- while it waits ----------------------------------------------------------------------------------------------------


def test_a_waiting_order_is_in_no_level() -> None:
    scene = at_100()
    before = scene.levels(BUY), scene.levels(SELL)
    assert scene.do(ANN.buy(3, 4, 106, stop=105), levels=True) == [("ARM", 3, 105, 4)]
    assert (scene.levels(BUY), scene.levels(SELL)) == before


def test_a_waiting_order_can_be_cancelled() -> None:
    scene = at_100()
    scene.do(ANN.sell(3, 4, stop=95))
    assert scene.do(ANN.cancel(3)) == [("DONE", 3, 0, 4, "BY_OWNER")]
    assert scene.move(MARK, 95) == []


def test_a_waiting_order_may_have_an_end_date() -> None:
    scene = at_100()
    scene.do(ANN.sell(3, 4, stop=95, until=10))
    assert scene.do(clock(10)) == [("CLOCK",), ("DONE", 3, 0, 4, "EXPIRED")]


def test_the_end_date_holds_for_what_rests_after_it_fired() -> None:
    scene = at_100()
    scene.do(ANN.sell(3, 4, 93, stop=95, until=10))
    assert scene.move(MARK, 95)[-1] == ("ADD", 3, 93, 4)
    assert scene.do(clock(10)) == [("CLOCK",), ("CANCEL", 3, 4, 0, "EXPIRED")]


# -- when it fires -----------------------------------------------------------------------------------------------------


def test_a_fired_market_order_stops_at_its_bound() -> None:
    scene = at_100()
    scene.do(BOB.buy(3, 2, 93), ANN.sell(4, 5, stop=95, bound=92))
    assert scene.move(MARK, 95)[1:] == [("TRADE", 4, 3, 93, 2), ("DONE", 4, 2, 3, "BOUND_REACHED")]


def test_a_fired_limit_order_may_be_immediate() -> None:
    scene = at_100()
    scene.do(BOB.buy(3, 2, 94), ANN.sell(4, 5, 92, stop=95, tif=IOC))
    assert scene.move(MARK, 95)[1:] == [("TRADE", 4, 3, 94, 2), ("DONE", 4, 2, 3, "IOC_REMAINDER")]


@pytest.mark.parametrize(
    ("rules", "how", "reason"),
    [
        ({}, {"price": 92, "tif": FOK}, "FOK_NOT_FILLABLE"),
        ({"bound_ppm": 50_000}, {"price": 90}, "PRICE_OUT_OF_BOUNDS"),  # 95 - 5 % = 90.25, so no sell below 91
    ],
)
def test_what_would_be_refused_ends_when_it_fires(rules: dict[str, int], how: dict[str, int], reason: str) -> None:
    scene = at_100(**rules)
    scene.do(ANN.sell(3, 5, stop=95, **how))
    assert scene.move(MARK, 95) == [("TRIGGER", 3, 95, "MARK"), ("DONE", 3, 0, 5, reason)]
