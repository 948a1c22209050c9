"""Mass quotes: a ladder replaces the one before it at once, or not at all."""

from __future__ import annotations

import pytest

from tests.matching_kit import ANN, BOB, BUY, CID, HALTED, IOC, LAST, POST_ONLY, SELL, Account, Op, Scene, mark, state

LADDER = [(1, BUY, 5, 99), (2, BUY, 5, 98), (3, SELL, 5, 101), (4, SELL, 5, 102)]
NEXT = [(11, BUY, 4, 98), (12, SELL, 4, 100)]


@pytest.fixture
def scene() -> Scene:
    """ANN quotes 5 lots at 98, 99, 101 and 102."""
    scene = Scene(symbols=2)
    scene.do(ANN.quotes(*LADDER))
    return scene


def test_legs_are_held_back_until_the_last_one_comes() -> None:
    scene = Scene()
    first, second, third = ANN.quotes((1, BUY, 5, 99), (2, BUY, 5, 98), (3, SELL, 5, 101))
    assert scene.do(first, second) == []
    assert scene.do(third) == [("ADD", 1, 99, 5), ("ADD", 2, 98, 5), ("ADD", 3, 101, 5)]


def test_a_group_replaces_the_one_before_the_youngest_first(scene: Scene) -> None:
    assert scene.do(ANN.quotes(*NEXT)) == [
        ("CANCEL", 4, 5, 0, "REPLACED"),
        ("CANCEL", 3, 5, 0, "REPLACED"),
        ("CANCEL", 2, 5, 0, "REPLACED"),
        ("CANCEL", 1, 5, 0, "REPLACED"),
        ("ADD", 11, 98, 4),
        ("ADD", 12, 100, 4),
    ]
    assert (scene.levels(BUY), scene.levels(SELL)) == ([(98, 4)], [(100, 4)])


def test_one_leg_may_be_the_whole_group(scene: Scene) -> None:
    scene.do(ANN.quote(11, BUY, 4, 98))
    assert (scene.levels(BUY), scene.levels(SELL)) == ([(98, 4)], [])


def test_a_leg_without_lots_makes_no_order(scene: Scene) -> None:
    assert scene.do(ANN.quotes((11, BUY, 0, 98), (12, SELL, 0, 100)))[-2:] == [("ACK", 11, 0), ("ACK", 12, 0)]
    assert (scene.levels(BUY), scene.levels(SELL)) == ([], [])


def test_a_leg_may_take_the_id_of_one_that_it_replaces(scene: Scene) -> None:
    assert scene.do(ANN.quotes((1, BUY, 4, 97)))[-1] == ("ADD", 1, 97, 4)


def test_only_the_accounts_quotes_in_the_symbol_are_replaced(scene: Scene) -> None:
    scene.do(ANN.buy(5, 1, 90), BOB.quotes((6, BUY, 1, 91)), ANN.quotes((7, BUY, 1, 92), symbol=1))
    scene.do(ANN.quotes((11, BUY, 1, 93)))
    assert scene.levels(BUY) == [(93, 1), (91, 1), (90, 1)]
    assert scene.levels(BUY, symbol=1) == [(92, 1)]


def test_legs_trade_as_they_enter_one_after_the_other(scene: Scene) -> None:
    scene.do(BOB.sell(5, 3, 100))
    assert scene.do(ANN.quotes((11, BUY, 5, 100), (12, SELL, 5, 103)))[4:] == [
        ("TRADE", 11, 5, 100, 3),
        ("ADD", 11, 100, 2),
        ("ADD", 12, 103, 5),
    ]


def test_stops_fire_after_the_last_leg() -> None:
    scene = Scene()
    scene.do(BOB.sell(1, 3, 100), CID.buy(2, 1, stop=100, by=LAST))
    assert scene.do(ANN.quotes((11, BUY, 3, 100), (12, SELL, 5, 103))) == [
        ("TRADE", 11, 1, 100, 3),
        ("DONE", 11, 3, 0, "FILLED"),
        ("ADD", 12, 103, 5),
        ("TRIGGER", 2, 100, "LAST"),
        ("TRADE", 2, 12, 103, 1),
        ("DONE", 2, 1, 0, "FILLED"),
    ]


@pytest.mark.parametrize(
    ("leg", "reason"),
    [
        ((12, SELL, 4, 110), "POST_ONLY_WOULD_CROSS"),
        ((11, SELL, 4, 130), "DUPLICATE_ORDER_ID"),
        ((12, SELL, 4, 50), "PRICE_OUT_OF_BOUNDS"),
        ((12, SELL, 1, 120), "NOTIONAL_TOO_SMALL"),
        ((12, SELL, 9, 130), "NOTIONAL_TOO_LARGE"),
    ],
)
def test_what_the_book_refuses_of_a_whole_group_is_refused_alone(leg: tuple[int, int, int, int], reason: str) -> None:
    """The old ladder is gone then, and the other legs rest."""
    scene = Scene(bound_ppm=400_000, min_notional=200, max_notional=1_000)
    scene.do(mark(100), BOB.buy(9, 2, 110), ANN.quotes((1, BUY, 2, 100)))
    assert scene.do(ANN.quotes((11, BUY, 4, 98), leg, (13, SELL, 4, 131), flags=POST_ONLY)) == [
        ("CANCEL", 1, 2, 0, "REPLACED"),
        ("ADD", 11, 98, 4),
        ("REJECT", leg[0], reason),
        ("ADD", 13, 131, 4),
    ]


# -- broken groups -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"price": 0}, "BAD_PRICE"),
        ({"qty": -1}, "BAD_QUANTITY"),
        ({"order_id": 0}, "BAD_FIELD"),
        ({"tif": IOC}, "BAD_FIELD"),
    ],
)
def test_a_wrong_leg_breaks_the_group_and_the_old_ladder_stays(scene: Scene, wrong: dict[str, int], reason: str) -> None:
    first, second, third, last = ANN.quotes((11, BUY, 4, 98), (12, BUY, 4, 97), (13, SELL, 4, 100), (14, SELL, 4, 101))
    before = scene.levels(BUY), scene.levels(SELL)
    assert scene.do(first, second) == []
    assert scene.do(third | wrong) == [
        ("REJECT", 11, "QUOTE_BROKEN"),
        ("REJECT", 12, "QUOTE_BROKEN"),
        ("REJECT", wrong.get("order_id", 13), reason),
    ]
    assert scene.do(last) == [("REJECT", 14, "QUOTE_BROKEN")]
    assert (scene.levels(BUY), scene.levels(SELL)) == before
    assert scene.do(ANN.quotes(*NEXT))[-1] == ("ADD", 12, 100, 4), "the next group is a new one"


def test_another_op_ends_the_broken_group_too(scene: Scene) -> None:
    legs = ANN.quotes((11, BUY, 4, 98), (12, BUY, 4, 97), (13, SELL, 4, 100))
    assert scene.do(legs[0] | {"price": 0}, legs[1]) == [("REJECT", 11, "BAD_PRICE"), ("REJECT", 12, "QUOTE_BROKEN")]
    assert scene.do(BOB.buy(50, 1, 90), legs[2])[-1] == ("ADD", 13, 100, 4), "a group of one leg"


def test_a_wrong_last_leg_ends_the_group(scene: Scene) -> None:
    first, last = ANN.quotes(*NEXT)
    assert scene.do(first, last | {"price": 0}) == [("REJECT", 11, "QUOTE_BROKEN"), ("REJECT", 12, "BAD_PRICE")]
    assert scene.do(ANN.quotes(*NEXT))[-1] == ("ADD", 12, 100, 4)


@pytest.mark.parametrize(
    ("other", "answer"),
    [
        (ANN.buy(50, 1, 90), [("ADD", 50, 90, 1)]),
        (ANN.cancel(1), [("CANCEL", 1, 5, 0, "BY_OWNER")]),
        (BOB.cancel(77), [("REJECT", 77, "UNKNOWN_ORDER")]),
        (state(HALTED), [("STATE", "HALTED", 0, 0)]),
        (BOB.quote(50, BUY, 1, 90), [("ADD", 50, 90, 1)]),
    ],
    ids=["an order", "a cancel", "a refused op", "a state", "a quote of another account"],
)
def test_another_op_of_the_symbol_breaks_the_group_off(scene: Scene, other: Op, answer: list[tuple[str | int, ...]]) -> None:
    first = ANN.quotes(*NEXT)[0]
    assert scene.do(first, other) == [("REJECT", 11, "QUOTE_BROKEN"), *answer]
    assert (98, 5) in scene.levels(BUY), "the old ladder stays"


@pytest.mark.parametrize(
    "other",
    [
        ANN.buy(50, 1, 90, symbol=1),
        ANN.dead_man(0),
        ANN.connect(cancel_on_disconnect=False),
        ANN.buy(50, 1, 90, symbol=7),
        Account(77).buy(50, 1, 90),
        BOB.buy(50, 1, 90, ts_ns=0),
    ],
    ids=["another symbol", "dead man", "connect", "unknown symbol", "unknown account", "too early"],
)
def test_what_is_not_of_the_symbol_breaks_nothing(scene: Scene, other: Op) -> None:
    first, last = ANN.quotes(*NEXT)
    now = scene.now + 1
    assert scene.do(first | {"ts_ns": now}) == []
    assert len(scene.do(other)) == 1
    assert scene.do(last | {"ts_ns": now + 10})[-2:] == [("ADD", 11, 98, 4), ("ADD", 12, 100, 4)]


def test_a_leg_that_comes_too_early_is_refused_alone(scene: Scene) -> None:
    first, last = ANN.quotes(*NEXT)
    now = scene.now + 1
    assert scene.do(first | {"ts_ns": now}, last | {"ts_ns": now - 1}) == [("REJECT", 12, "TIME_WENT_BACK")]
    assert scene.do(last | {"ts_ns": now})[-2:] == [("ADD", 11, 98, 4), ("ADD", 12, 100, 4)]


def test_a_group_has_at_most_32_legs(scene: Scene) -> None:
    """The 33rd leg breaks it, and what follows up to the last is refused with it."""
    legs = ANN.quotes(*((100 + i, BUY, 1, 50 + i) for i in range(34)))
    events = scene.do(legs)
    assert events[:32] == [("REJECT", 100 + i, "QUOTE_BROKEN") for i in range(32)]
    assert events[32:] == [("REJECT", 132, "BAD_QUANTITY"), ("REJECT", 133, "QUOTE_BROKEN")]
    assert scene.levels(BUY) == [(99, 5), (98, 5)]


def test_refused_legs_carry_the_time_of_the_op_that_broke_them(scene: Scene) -> None:
    events = scene.events(ANN.quotes(*NEXT)[0] | {"ts_ns": 50}, ANN.buy(50, 1, 90, ts_ns=60))
    assert events["ts_ns"].tolist()[:2] == [60, 60]


# -- a quote is an order like any other --------------------------------------------------------------------------------


def test_quotes_can_be_cancelled_one_by_one_and_all_together(scene: Scene) -> None:
    assert scene.do(ANN.cancel(3)) == [("CANCEL", 3, 5, 0, "BY_OWNER")]
    assert scene.do(ANN.cancel_all())[-1] == ("ACK", 0, 3)


def test_an_amended_quote_remains_a_quote(scene: Scene) -> None:
    scene.do(ANN.amend(1, price=97), ANN.quotes(*NEXT))
    assert scene.levels(BUY) == [(98, 4)]
