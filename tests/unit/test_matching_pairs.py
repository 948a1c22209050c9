"""Pairs, of which one order ends the other (OCO), and brackets: an entry with two exits that wake when it trades."""

from __future__ import annotations

import pytest

from tests.matching_kit import (
    ANN,
    BOB,
    BUY,
    CID,
    DECREMENT,
    DORMANT,
    EXPIRE_MAKER,
    EXPIRE_TAKER,
    FOK,
    IOC,
    MARK,
    POST_ONLY,
    REDUCE_ONLY,
    SELL,
    Op,
    Scene,
    clock,
    mark,
)

EXIT = DORMANT | REDUCE_ONLY


def paired() -> Scene:
    """ANN is long 10 at a mark of 100, offers 10 at 120 (order 1), and has a stop at 90 (order 2) paired with it."""
    scene = Scene()
    scene.hold(ANN, 10)
    scene.do(mark(100), BOB.buy(9, 50, 80))
    assert scene.do(ANN.sell(1, 10, 120), ANN.sell(2, 10, stop=90, link=1)) == [("ADD", 1, 120, 10), ("ARM", 2, 90, 10)]
    return scene


def exits() -> list[Op]:
    """Sent before their entry: a take-profit at 120 (order 1) and, paired with it, a stop at 90 (order 2), both of 5 lots."""
    return [ANN.sell(1, 5, profit=120, flags=EXIT), ANN.sell(2, 5, stop=90, flags=EXIT, link=1)]


def bracket(link: int = 1, **entry: int) -> Scene:
    """A bracket around the mark of 100 whose entry (order 3) buys 5 at 95; BOB bids 50 at 80 (order 9)."""
    scene = Scene()
    scene.do(mark(100), BOB.buy(9, 50, 80))
    assert scene.do(*exits()) == [("ACK", 1, 5), ("ACK", 2, 5)]
    assert scene.do(ANN.buy(3, 5, 95, link=link, **entry)) == [("ADD", 3, 95, 5)]
    return scene


# -- one cancels the other ---------------------------------------------------------------------------------------------


def test_the_stop_that_fires_ends_the_other_before_it_trades() -> None:
    assert paired().move(MARK, 90) == [
        ("TRIGGER", 2, 90, "MARK"),
        ("CANCEL", 1, 10, 0, "LINKED"),
        ("TRADE", 2, 9, 80, 10),
        ("DONE", 2, 10, 0, "FILLED"),
    ]


@pytest.mark.parametrize("lots", [4, 10], ids=["in part", "whole"])
def test_the_order_that_trades_ends_the_stop(lots: int) -> None:
    scene = paired()
    assert scene.do(BOB.buy(3, lots, 120)) == [
        ("TRADE", 3, 1, 120, lots),
        ("DONE", 2, 0, 10, "LINKED"),
        ("DONE", 3, lots, 0, "FILLED"),
    ]
    assert scene.move(MARK, 90) == []


def test_a_second_order_that_trades_as_it_comes_ends_the_first() -> None:
    scene = Scene()
    scene.do(mark(100), BOB.buy(1, 3, 99), ANN.sell(2, 5, stop=90))
    assert scene.do(ANN.sell(3, 5, 99, link=2)) == [
        ("TRADE", 3, 1, 99, 3),
        ("DONE", 2, 0, 5, "LINKED"),
        ("ADD", 3, 99, 2),
    ]


def test_two_stops_may_be_a_pair() -> None:
    scene = Scene()
    scene.do(mark(100), ANN.buy(1, 5, stop=110), ANN.sell(2, 5, stop=90, link=1))
    assert scene.move(MARK, 110) == [
        ("TRIGGER", 1, 110, "MARK"),
        ("DONE", 2, 0, 5, "LINKED"),
        ("DONE", 1, 0, 5, "NO_LIQUIDITY"),
    ]


def test_whoever_cancels_one_ends_both() -> None:
    assert paired().do(ANN.cancel(2)) == [("DONE", 2, 0, 10, "BY_OWNER"), ("CANCEL", 1, 10, 0, "LINKED")]
    assert paired().do(ANN.cancel(1)) == [("CANCEL", 1, 10, 0, "BY_OWNER"), ("DONE", 2, 0, 10, "LINKED")]


def test_an_order_that_expires_ends_the_other() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 5, 120, until=10), ANN.sell(2, 5, stop=90, link=1))
    assert scene.do(clock(10)) == [("CLOCK",), ("CANCEL", 1, 5, 0, "EXPIRED"), ("DONE", 2, 0, 5, "LINKED")]


def test_an_order_that_self_trade_prevention_takes_away_ends_the_other() -> None:
    """CID's bid goes as it meets CID's seller; of ANN's pair half of one is taken off, which is no end."""
    scene = Scene()
    scene.do(CID.buy(1, 5, 99), CID.buy(2, 5, stop=130, link=1), ANN.sell(3, 6, 120), ANN.sell(4, 6, stop=90, link=3))
    assert scene.do(CID.sell(5, 5, 99, stp=EXPIRE_MAKER)) == [
        ("CANCEL", 1, 5, 0, "SELF_TRADE", 5),
        ("DONE", 2, 0, 5, "LINKED"),
        ("ADD", 5, 99, 5),
    ]
    assert scene.do(ANN.buy(6, 8, 120, stp=DECREMENT)) == [
        ("TRADE", 6, 5, 99, 5),
        ("CANCEL", 3, 3, 3, "SELF_TRADE_DECREMENT", 6),
        ("DONE", 6, 5, 0, "SELF_TRADE"),
    ]
    assert scene.do(ANN.cancel(4)) == [("DONE", 4, 0, 6, "BY_OWNER"), ("CANCEL", 3, 3, 0, "LINKED")]


def test_the_traded_level_is_told_before_what_follows_from_the_trade() -> None:
    assert paired().do(BOB.buy(3, 4, 120), levels=True) == [
        ("TRADE", 3, 1, 120, 4),
        ("LEVEL", "SELL", 120, 6),
        ("DONE", 2, 0, 10, "LINKED"),
        ("DONE", 3, 4, 0, "FILLED"),
    ]


def test_an_amendment_leaves_the_pair_together() -> None:
    scene = paired()
    scene.do(ANN.amend(1, price=121), ANN.amend(2, trigger=91))
    assert scene.do(ANN.cancel(1)) == [("CANCEL", 1, 10, 0, "BY_OWNER"), ("DONE", 2, 0, 10, "LINKED")]


def test_a_second_order_that_is_refused_leaves_the_first() -> None:
    scene = Scene()
    scene.do(mark(100), ANN.sell(1, 5, 120))
    assert scene.refuse(ANN.sell(2, 5, stop=100, link=1)) == "WOULD_TRIGGER"
    assert scene.levels(SELL) == [(120, 5)]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (ANN.sell(7, 1, stop=90, link=99), "no such order"),
        (BOB.sell(7, 1, stop=90, link=1), "another account's"),
        (ANN.sell(7, 1, stop=90, link=2), "in a pair"),
        (ANN.sell(7, 1, 130, link=3), "neither of the two waits"),
        (ANN.sell(7, 1, stop=90, link=6), "an entry"),
        (ANN.sell(7, 1, stop=90, flags=EXIT, link=3), "a dormant order pairs with a dormant one only"),
        (ANN.sell(7, 1, stop=90, flags=EXIT, link=4), "in a pair, dormant"),
        (ANN.buy(7, 1, 50, link=4), "has an entry"),
        (ANN.buy(7, 1, 50, link=5), "its partner has an entry"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_link_that_cannot_be_is_refused(second: Op, why: str) -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 5, 120), ANN.sell(2, 5, stop=90, link=1), ANN.sell(3, 5, 121))
    scene.do(ANN.sell(4, 5, profit=120, flags=EXIT), ANN.sell(5, 5, stop=90, flags=EXIT, link=4), ANN.buy(6, 5, 95, link=4))
    assert scene.refuse(second) == "BAD_LINK", why


# -- brackets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("link", "first", "second"), [(1, 1, 2), (2, 2, 1)])
def test_the_first_fill_of_the_entry_wakes_the_exits_the_linked_one_first(link: int, first: int, second: int) -> None:
    triggers = {1: 120, 2: 90}
    scene = bracket(link)
    assert scene.do(CID.sell(4, 2, 95)) == [
        ("TRADE", 4, 3, 95, 2),
        ("ARM", first, triggers[first], 5),
        ("ARM", second, triggers[second], 5),
        ("DONE", 4, 2, 0, "FILLED"),
    ]
    assert scene.do(CID.sell(5, 3, 95)) == [("TRADE", 5, 3, 95, 3), ("DONE", 5, 3, 0, "FILLED")], "once"


def test_until_the_entry_trades_the_exits_sleep() -> None:
    scene = bracket()
    assert scene.move(MARK, 125) == scene.move(MARK, 85) == []


def test_the_exit_that_fires_ends_the_other() -> None:
    scene = bracket()
    scene.do(CID.sell(4, 5, 95))
    assert scene.move(MARK, 90) == [
        ("TRIGGER", 2, 90, "MARK"),
        ("DONE", 1, 0, 5, "LINKED"),
        ("TRADE", 2, 9, 80, 5),
        ("DONE", 2, 5, 0, "FILLED"),
    ]
    assert scene.position(ANN) == 0


def test_an_exit_reduces_no_more_than_the_entry_bought() -> None:
    scene = bracket()
    scene.do(CID.sell(4, 2, 95))
    assert scene.move(MARK, 90)[-1] == ("DONE", 2, 2, 3, "REDUCE_ONLY_EXCESS")


def test_an_exit_whose_trigger_is_reached_when_it_wakes_fires_at_the_end_of_the_op() -> None:
    scene = bracket()
    scene.do(mark(85))
    assert scene.do(CID.sell(4, 5, 95)) == [
        ("TRADE", 4, 3, 95, 5),
        ("ARM", 1, 120, 5),
        ("ARM", 2, 90, 5),
        ("DONE", 4, 5, 0, "FILLED"),
        ("TRIGGER", 2, 90, "MARK"),
        ("DONE", 1, 0, 5, "LINKED"),
        ("TRADE", 2, 9, 80, 5),
        ("DONE", 2, 5, 0, "FILLED"),
    ]


def test_an_entry_that_trades_as_it_comes_wakes_them() -> None:
    scene = Scene()
    scene.do(mark(100), CID.sell(4, 5, 95), *exits())
    assert scene.do(ANN.buy(3, 5, link=1)) == [
        ("TRADE", 3, 4, 95, 5),
        ("ARM", 1, 120, 5),
        ("ARM", 2, 90, 5),
        ("DONE", 3, 5, 0, "FILLED"),
    ]


def test_an_entry_may_be_a_stop() -> None:
    scene = Scene()
    scene.do(mark(100), CID.sell(4, 5, 106), *exits())
    scene.do(ANN.buy(3, 5, stop=105, link=2))
    assert scene.move(MARK, 105) == [
        ("TRIGGER", 3, 105, "MARK"),
        ("TRADE", 3, 4, 106, 5),
        ("ARM", 2, 90, 5),
        ("ARM", 1, 120, 5),
        ("DONE", 3, 5, 0, "FILLED"),
    ]


def test_an_entry_that_ends_without_a_trade_ends_its_exits() -> None:
    assert bracket().do(ANN.cancel(3)) == [
        ("CANCEL", 3, 5, 0, "BY_OWNER"),
        ("DONE", 1, 0, 5, "ENTRY_ENDED"),
        ("DONE", 2, 0, 5, "ENTRY_ENDED"),
    ]


def test_an_entry_that_expires_ends_its_exits() -> None:
    scene = bracket(until=10)
    assert [event[-1] for event in scene.do(clock(10))[1:]] == ["EXPIRED", "ENTRY_ENDED", "ENTRY_ENDED"]


def test_an_entry_that_traded_in_part_leaves_its_exits_when_it_ends() -> None:
    scene = bracket()
    scene.do(CID.sell(4, 2, 95))
    assert scene.do(ANN.cancel(3)) == [("CANCEL", 3, 3, 0, "BY_OWNER")]
    assert scene.move(MARK, 90)[0] == ("TRIGGER", 2, 90, "MARK")


@pytest.mark.parametrize(
    ("entry", "answer"),
    [
        (ANN.buy(3, 5, 95, tif=IOC, link=1), ("DONE", 3, 0, 5, "IOC_REMAINDER")),
        (ANN.buy(3, 5, 95, tif=FOK, link=1), ("REJECT", 3, "FOK_NOT_FILLABLE")),
        (ANN.buy(3, 5, 130, flags=POST_ONLY, link=1), ("REJECT", 3, "POST_ONLY_WOULD_CROSS")),
        (ANN.sell(3, 5, 95, flags=REDUCE_ONLY, link=1), ("REJECT", 3, "NOT_REDUCING")),
        (ANN.buy(3, 5, stop=99, link=1), ("REJECT", 3, "WOULD_TRIGGER")),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_an_entry_that_never_comes_to_trade_ends_its_exits(entry: Op, answer: tuple[str | int, ...]) -> None:
    scene = Scene()
    scene.do(mark(100), CID.sell(4, 5, 110), *exits())
    assert scene.do(entry) == [answer, ("DONE", 1, 0, 5, "ENTRY_ENDED"), ("DONE", 2, 0, 5, "ENTRY_ENDED")]


@pytest.mark.parametrize(("wrong", "reason"), [({"price": 0}, "BAD_PRICE"), ({"qty": 0}, "BAD_QUANTITY")])
def test_an_entry_that_is_no_order_at_all_leaves_the_exits_to_the_next_one(wrong: dict[str, int], reason: str) -> None:
    scene = Scene()
    scene.do(mark(100), *exits())
    assert scene.refuse(ANN.buy(3, 5, 95, link=1) | wrong) == reason
    scene.do(ANN.buy(3, 5, 95, link=1))
    assert scene.do(CID.sell(4, 1, 95))[1] == ("ARM", 1, 120, 5)


def test_an_exit_that_is_cancelled_takes_the_other_along_and_leaves_the_entry() -> None:
    scene = bracket()
    assert scene.do(ANN.cancel(2)) == [("DONE", 2, 0, 5, "BY_OWNER"), ("DONE", 1, 0, 5, "LINKED")]
    assert scene.levels(BUY) == [(95, 5), (80, 50)]
    assert scene.do(CID.sell(4, 5, 95)) == [("TRADE", 4, 3, 95, 5), ("DONE", 4, 5, 0, "FILLED")]


def test_an_entry_may_have_one_exit_alone() -> None:
    scene = Scene()
    scene.do(mark(100), ANN.sell(2, 5, stop=90, flags=EXIT), ANN.buy(3, 5, 95, link=2))
    assert scene.do(CID.sell(4, 5, 95))[1] == ("ARM", 2, 90, 5)


def test_when_the_exits_are_awake_the_entry_may_be_paired_with_another_order() -> None:
    scene = bracket()
    scene.do(CID.sell(4, 2, 95))
    assert scene.do(ANN.buy(5, 1, stop=130, link=3)) == [("ARM", 5, 130, 1)]
    assert scene.do(CID.sell(6, 1, 95))[1] == ("DONE", 5, 0, 1, "LINKED")


def test_an_amended_entry_stays_the_entry() -> None:
    scene = bracket()
    assert scene.do(ANN.amend(3, price=96)) == [("CANCEL", 3, 5, 0, "AMENDED"), ("ADD", 3, 96, 5)]
    assert scene.do(CID.sell(4, 1, 96))[1:3] == [("ARM", 1, 120, 5), ("ARM", 2, 90, 5)]


def test_an_amendment_that_ends_the_entry_ends_its_exits() -> None:
    """Amended to 110 the entry would buy ANN's own offer."""
    scene = bracket(stp=EXPIRE_TAKER)
    scene.do(ANN.sell(4, 1, 110))
    assert scene.do(ANN.amend(3, price=110)) == [
        ("CANCEL", 3, 5, 0, "AMENDED"),
        ("DONE", 3, 0, 5, "SELF_TRADE"),
        ("DONE", 1, 0, 5, "ENTRY_ENDED"),
        ("DONE", 2, 0, 5, "ENTRY_ENDED"),
    ]


@pytest.mark.parametrize(
    "order", [ANN.sell(1, 5, 120, flags=EXIT), ANN.sell(1, 5, stop=90, flags=DORMANT)], ids=["no trigger", "may open"]
)
def test_only_a_conditional_order_that_reduces_can_sleep(order: Op) -> None:
    assert Scene().refuse(order) == "BAD_FIELD"


def test_a_link_to_oneself_is_a_bad_field() -> None:
    assert Scene().refuse(ANN.sell(1, 5, stop=90, link=1)) == "BAD_FIELD"
