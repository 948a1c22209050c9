"""Ops that end many orders: cancel all, the end of a session, the dead-man timer."""

from __future__ import annotations

from tests.matching_kit import (
    ANN,
    BOB,
    BUY,
    CID,
    DORMANT,
    HALTED,
    OPEN,
    REDUCE_ONLY,
    SECOND,
    SELL,
    Scene,
    clock,
    state,
)

# -- cancel all --------------------------------------------------------------------------------------------------------


def test_all_orders_of_an_account_in_a_symbol_go_the_youngest_first() -> None:
    scene = Scene(symbols=2)
    scene.do(ANN.buy(1, 1, 90), BOB.buy(2, 2, 90), ANN.sell(3, 3, 110), ANN.buy(4, 4, 90, symbol=1))
    assert scene.do(ANN.cancel_all(symbol=0)) == [
        ("CANCEL", 3, 3, 0, "MASS_CANCEL"),
        ("CANCEL", 1, 1, 0, "MASS_CANCEL"),
        ("ACK", 0, 2),
    ]
    assert (scene.levels(BUY), scene.levels(BUY, symbol=1)) == ([(90, 2)], [(90, 4)])


def test_all_orders_of_an_account_go_symbol_by_symbol() -> None:
    scene = Scene(symbols=3)
    scene.do(*(ANN.buy(i, 1, 90, symbol=symbol) for i, symbol in [(1, 2), (2, 0), (3, 2), (4, 0)]), BOB.buy(5, 1, 90))
    assert scene.do(ANN.cancel_all(symbol=-1)) == [
        ("CANCEL", 4, 1, 0, "MASS_CANCEL"),
        ("CANCEL", 2, 1, 0, "MASS_CANCEL"),
        ("CANCEL", 3, 1, 0, "MASS_CANCEL"),
        ("CANCEL", 1, 1, 0, "MASS_CANCEL"),
        ("ACK", 0, 4),
    ]
    assert scene.levels(BUY) == [(90, 1)]


def test_it_ends_waiting_and_dormant_orders_too() -> None:
    scene = Scene()
    scene.do(ANN.sell(1, 5, stop=90), ANN.sell(2, 5, stop=80, flags=DORMANT | REDUCE_ONLY), ANN.buy(3, 5, 70, show=2))
    assert scene.do(ANN.cancel_all()) == [
        ("CANCEL", 3, 2, 0, "MASS_CANCEL"),
        ("DONE", 2, 0, 5, "MASS_CANCEL"),
        ("DONE", 1, 0, 5, "MASS_CANCEL"),
        ("ACK", 0, 3),
    ]


def test_what_ends_by_consequence_is_not_counted() -> None:
    """Order 2 is the younger of the pair; it takes 1 along."""
    scene = Scene()
    scene.do(ANN.sell(1, 5, 110), ANN.sell(2, 5, stop=90, link=1), ANN.buy(3, 5, 80))
    assert scene.do(ANN.cancel_all()) == [
        ("CANCEL", 3, 5, 0, "MASS_CANCEL"),
        ("DONE", 2, 0, 5, "MASS_CANCEL"),
        ("CANCEL", 1, 5, 0, "LINKED"),
        ("ACK", 0, 2),
    ]


def test_an_order_that_lost_its_place_by_an_amendment_is_young_again() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, 5, 90), ANN.buy(2, 5, 91), ANN.buy(3, 5, 92), ANN.amend(1, price=89), ANN.amend(2, qty=4))
    assert [event[1] for event in scene.do(ANN.cancel_all())] == [1, 3, 2, 0]


def test_an_account_without_orders_gets_its_answer() -> None:
    scene = Scene(symbols=2)
    scene.do(BOB.buy(1, 5, 90))
    assert scene.do(ANN.cancel_all(symbol=0), ANN.cancel_all(symbol=-1)) == [("ACK", 0, 0), ("ACK", 0, 0)]


def test_everywhere_means_not_where_the_symbol_is_halted() -> None:
    scene = Scene(symbols=2)
    scene.do(ANN.buy(1, 1, 90), ANN.buy(2, 1, 90, symbol=1), state(HALTED))
    assert scene.do(ANN.cancel_all(symbol=-1)) == [("CANCEL", 2, 1, 0, "MASS_CANCEL"), ("ACK", 0, 1)]
    scene.do(state(OPEN))
    assert scene.do(ANN.cancel_all(symbol=-1)) == [("CANCEL", 1, 1, 0, "MASS_CANCEL"), ("ACK", 0, 1)]


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_the_end_of_a_session_that_asked_for_it_cancels_all() -> None:
    scene = Scene(symbols=2)
    assert scene.do(ANN.connect(cancel_on_disconnect=True)) == [("ACK", 0, 0)]
    scene.do(ANN.buy(1, 1, 90, symbol=1), ANN.sell(2, 5, stop=80), BOB.buy(3, 1, 90))
    assert scene.do(ANN.disconnect()) == [
        ("DONE", 2, 0, 5, "DISCONNECTED"),
        ("CANCEL", 1, 1, 0, "DISCONNECTED"),
        ("ACK", 0, 2),
    ]
    assert scene.levels(BUY) == [(90, 1)], "BOB's"


def test_the_end_of_any_other_session_cancels_nothing() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, 1, 90))
    assert scene.do(ANN.disconnect()) == [("ACK", 0, 0)], "without a beginning"
    assert scene.do(ANN.connect(cancel_on_disconnect=False), ANN.disconnect())[-1] == ("ACK", 0, 0)
    assert scene.levels(BUY) == [(90, 1)]


def test_a_session_ends_once() -> None:
    scene = Scene()
    scene.do(ANN.connect(cancel_on_disconnect=True), ANN.disconnect(), ANN.buy(1, 1, 90))
    assert scene.do(ANN.disconnect()) == [("ACK", 0, 0)]


def test_the_last_connect_says_what_the_end_means() -> None:
    scene = Scene()
    scene.do(ANN.connect(cancel_on_disconnect=True), ANN.connect(cancel_on_disconnect=False), ANN.buy(1, 1, 90))
    assert scene.do(ANN.disconnect()) == [("ACK", 0, 0)]


def test_a_disconnect_leaves_the_orders_in_halted_symbols() -> None:
    scene = Scene()
    scene.do(ANN.connect(cancel_on_disconnect=True), ANN.buy(1, 1, 90), state(HALTED))
    assert scene.do(ANN.disconnect()) == [("ACK", 0, 0)]
    assert scene.levels(BUY) == [(90, 1)]


# -- the dead-man timer ------------------------------------------------------------------------------------------------


def test_the_first_clock_at_or_after_the_deadline_cancels_all() -> None:
    scene = Scene(symbols=2)
    assert scene.do(ANN.dead_man(5 * SECOND, ts_ns=SECOND)) == [("ACK", 0, 0)]
    scene.do(ANN.buy(1, 1, 90), ANN.buy(2, 1, 90, symbol=1), BOB.buy(3, 1, 90))
    assert scene.do(clock(5)) == [("CLOCK",)]
    assert scene.do(clock(6)) == [("CLOCK",), ("CANCEL", 1, 1, 0, "DEAD_MAN"), ("CANCEL", 2, 1, 0, "DEAD_MAN")]
    scene.do(ANN.buy(4, 1, 90))
    assert scene.do(clock(4_000_000_000)) == [("CLOCK",)], "it is off then"


def test_another_dead_man_moves_the_deadline() -> None:
    scene = Scene()
    scene.do(ANN.dead_man(5 * SECOND, ts_ns=0), ANN.buy(1, 1, 90), ANN.dead_man(5 * SECOND, ts_ns=3 * SECOND))
    assert scene.do(clock(7)) == [("CLOCK",)]
    assert scene.do(clock(8))[1:] == [("CANCEL", 1, 1, 0, "DEAD_MAN")]


def test_a_dead_man_of_nothing_switches_it_off() -> None:
    scene = Scene()
    scene.do(ANN.dead_man(5 * SECOND), ANN.buy(1, 1, 90), ANN.dead_man(0))
    assert scene.do(clock(100)) == [("CLOCK",)]


def test_it_works_in_halted_symbols_too() -> None:
    scene = Scene()
    scene.do(ANN.dead_man(5 * SECOND), ANN.buy(1, 1, 90), state(HALTED))
    assert scene.do(clock(6))[1:] == [("CANCEL", 1, 1, 0, "DEAD_MAN")]


def test_the_earliest_deadline_comes_first_then_the_lowest_account() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, 1, 90), BOB.buy(2, 1, 90), CID.buy(3, 1, 90))
    scene.do(CID.dead_man(7, ts_ns=10), BOB.dead_man(7, ts_ns=10), ANN.dead_man(8, ts_ns=10))
    assert [event[1] for event in scene.do(clock(1))[1:]] == [2, 3, 1]


def test_what_expires_goes_before_what_is_cancelled() -> None:
    scene = Scene()
    scene.do(ANN.dead_man(SECOND), ANN.sell(1, 1, 110, until=1), ANN.sell(2, 1, 111), BOB.sell(3, 1, 112, until=2))
    assert scene.do(clock(2))[1:] == [
        ("CANCEL", 1, 1, 0, "EXPIRED"),
        ("CANCEL", 3, 1, 0, "EXPIRED"),
        ("CANCEL", 2, 1, 0, "DEAD_MAN"),
    ]
    assert scene.levels(SELL) == []
