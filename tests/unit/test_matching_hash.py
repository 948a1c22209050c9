"""The state hash: everything that the market's future depends on is in it, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from engine.market import Throttle, state_hash
from tests.matching_kit import (
    ANN,
    BOB,
    BUY,
    DECREMENT,
    DORMANT,
    HALTED,
    INDEX,
    POST_ONLY,
    REDUCE_ONLY,
    SELL,
    SLIDE,
    Op,
    Scene,
    clock,
    mark,
    reference,
    state,
)

MARGIN = {"throttle": Throttle(interval_ns=1, burst=100), "symbols": 2}


def base() -> Scene:
    """Something of everything: positions, a bid, an iceberg, a pair, a bracket without entry, a timed order, a mark."""
    scene = Scene(**MARGIN)
    scene.hold(ANN, 10)
    scene.do(mark(100), ANN.buy(1, 5, 90), BOB.sell(2, 9, 110, show=3), ANN.sell(3, 5, stop=80, link=1))
    scene.do(ANN.sell(4, 5, stop=70, flags=DORMANT | REDUCE_ONLY), BOB.buy(5, 1, 60, until=5))
    return scene


CHANGES = [
    ("an order", ANN.buy(9, 1, 50)),
    ("its lots", ANN.buy(9, 2, 50)),
    ("its price", ANN.buy(9, 1, 51)),
    ("its side", ANN.sell(9, 1, 150)),
    ("its account", BOB.buy(9, 1, 50)),
    ("its symbol", ANN.buy(9, 1, 50, symbol=1)),
    ("post only", ANN.buy(9, 1, 50, flags=POST_ONLY)),
    ("sliding", ANN.buy(9, 1, 50, flags=POST_ONLY | SLIDE)),
    ("its self-trade mode", ANN.buy(9, 1, 50, stp=DECREMENT)),
    ("its end", ANN.buy(9, 1, 50, until=8)),
    ("another end", ANN.buy(9, 1, 50, until=9)),
    ("a quote", ANN.quote(9, BUY, 1, 50)),
    ("a quote held back", ANN.quote(9, BUY, 1, 50, more=True)),
    ("hidden lots", ANN.buy(9, 3, 50, show=1)),
    ("more hidden lots", ANN.buy(9, 4, 50, show=1)),
    ("fewer hidden lots", BOB.amend(2, qty=8)),
    ("a stop", ANN.buy(9, 1, stop=150)),
    ("its trigger", ANN.buy(9, 1, stop=151)),
    ("its reference", ANN.buy(9, 1, stop=150, by=INDEX)),
    ("its type", ANN.buy(9, 1, 160, stop=150)),
    ("a trailing stop", ANN.sell(9, 1, trail=50)),
    ("a trailing stop that sleeps", ANN.sell(9, 1, trail=50, activation=140)),
    ("a dormant stop", ANN.sell(9, 1, stop=70, flags=DORMANT | REDUCE_ONLY)),
    ("a dormant pair", ANN.sell(9, 1, stop=70, flags=DORMANT | REDUCE_ONLY, link=4)),
    ("an entry", ANN.buy(9, 1, 50, link=4)),
    ("a cancel", ANN.cancel(1)),
    ("a trade", BOB.sell(9, 1, 90)),
    ("a state", state(HALTED)),
    ("a mark", mark(101)),
    ("an index", reference(INDEX, 101)),
    ("a session", ANN.connect(cancel_on_disconnect=True)),
    ("a timer", ANN.dead_man(77)),
    ("a timer of another length", ANN.dead_man(78)),
    ("a token of ANN's", ANN.cancel(99)),
    ("a token of BOB's", BOB.cancel(99)),
]


def test_every_change_gives_another_hash() -> None:
    hashes = {"nothing": base().hash_but_clocks()}
    for name, op in CHANGES:
        scene = base()
        scene.do(op)
        hashes[name] = scene.hash_but_clocks()
    assert len(set(hashes.values())) == len(hashes)


@pytest.mark.parametrize("op", [clock(1), reference(INDEX, 100, ts_ns=9), ANN.buy(9, 0, 50)], ids=["clock", "time", "number"])
def test_the_clocks_are_in_it(op: Op) -> None:
    """Whatever else they are: two scenes that differ in their times or in how many events there were differ in the hash."""
    scene, later = Scene(), Scene()
    scene.do(reference(INDEX, 100))
    later.do(op, reference(INDEX, 100, ts_ns=10**9))
    assert scene.hash_but_clocks() == later.hash_but_clocks()
    assert state_hash(scene.market) != state_hash(later.market)


def test_the_way_to_a_state_is_not_in_it() -> None:
    """The same orders in other places of the pool, after others that came and went."""
    scene, other = Scene(), Scene()
    scene.do(ANN.buy(1, 5, 90, ts_ns=50), BOB.buy(2, 5, 90, ts_ns=50), ANN.sell(3, 5, 110, ts_ns=50))
    other.do(BOB.sell(7, 1, 130), BOB.buy(8, 1, 80), BOB.buy(9, 1, 5), BOB.cancel(8), BOB.cancel(7))
    other.do(ANN.sell(3, 5, 110, ts_ns=50), ANN.buy(1, 5, 90, ts_ns=50), BOB.buy(2, 5, 90, ts_ns=50), BOB.cancel(9, ts_ns=50))
    assert not np.array_equal(scene.market.books["orders"]["order_id"], other.market.books["orders"]["order_id"])
    assert scene.hash_but_clocks() == other.hash_but_clocks()
    assert scene.levels(SELL) == other.levels(SELL)


def test_the_queue_is_in_it() -> None:
    scene, other = Scene(), Scene()
    scene.do(ANN.buy(1, 5, 90, ts_ns=50), BOB.buy(2, 5, 90, ts_ns=50))
    other.do(BOB.buy(2, 5, 90, ts_ns=50), ANN.buy(1, 5, 90, ts_ns=50))
    assert scene.hash_but_clocks() != other.hash_but_clocks()
