"""The states of a symbol: what each of them accepts, and what waits for it to trade again."""

from __future__ import annotations

import itertools

import pytest

from engine.contract import SymbolState
from tests.matching_kit import (
    ANN,
    AUCTION,
    BOB,
    BUY,
    CANCEL_ONLY,
    CID,
    DAN,
    FOK,
    HALTED,
    INDEX,
    IOC,
    LAST,
    MARK,
    OPEN,
    POST_ONLY,
    REDUCE_ONLY,
    REDUCE_ONLY_STATE,
    SELL,
    Op,
    Scene,
    clock,
    mark,
    reference,
    state,
)

STATES = (OPEN, HALTED, CANCEL_ONLY, REDUCE_ONLY_STATE, AUCTION)
YES, no = True, False

# fmt: off
ACCEPTED = [
    #                                                                    open  halted cancel reduce auction
    ("limit",               ANN.buy(10, 1, 90),                          (YES, no,    no,    no,    YES)),
    ("post only",           ANN.buy(10, 1, 90, flags=POST_ONLY),         (YES, no,    no,    no,    YES)),
    ("iceberg",             ANN.buy(10, 4, 90, show=1),                  (YES, no,    no,    no,    YES)),
    ("good till date",      ANN.buy(10, 1, 90, until=9),                 (YES, no,    no,    no,    YES)),
    ("market",              ANN.buy(10, 1),                              (YES, no,    no,    no,    no)),
    ("immediate",           ANN.buy(10, 1, 130, tif=IOC),                (YES, no,    no,    no,    no)),
    ("fill or kill",        ANN.buy(10, 1, 130, tif=FOK),                (YES, no,    no,    no,    no)),
    ("stop",                ANN.buy(10, 1, stop=110),                    (YES, no,    no,    no,    YES)),
    ("immediate stop",      ANN.buy(10, 1, 111, stop=110, tif=IOC),      (YES, no,    no,    no,    YES)),
    ("trailing stop",       ANN.buy(10, 1, trail=10),                    (YES, no,    no,    no,    YES)),
    ("reducing limit",      ANN.sell(10, 1, 110, flags=REDUCE_ONLY),     (YES, no,    no,    YES,   YES)),
    ("reducing market",     ANN.sell(10, 1, flags=REDUCE_ONLY),          (YES, no,    no,    YES,   no)),
    ("reducing stop",       ANN.sell(10, 1, stop=90, flags=REDUCE_ONLY), (YES, no,    no,    YES,   YES)),
    ("close position",      ANN.close(10, SELL),                         (YES, no,    no,    YES,   no)),
    ("closing stop",        ANN.close(10, SELL, stop=90),                (YES, no,    no,    YES,   YES)),
    ("quote",               ANN.quote(10, BUY, 1, 90),                   (YES, no,    no,    no,    YES)),
    ("amend",               ANN.amend(1, qty=4),                         (YES, no,    no,    no,    YES)),
    ("amend reduce only",   ANN.amend(2, qty=4),                         (YES, no,    no,    YES,   YES)),
    ("cancel",              ANN.cancel(1),                               (YES, no,    YES,   YES,   YES)),
    ("cancel all here",     ANN.cancel_all(symbol=0),                    (YES, no,    YES,   YES,   YES)),
    ("cancel all",          ANN.cancel_all(symbol=-1),                   (YES, YES,   YES,   YES,   YES)),
    ("disconnect",          ANN.disconnect(),                            (YES, YES,   YES,   YES,   YES)),
    ("dead man",            ANN.dead_man(5),                             (YES, YES,   YES,   YES,   YES)),
    ("mark",                mark(101),                                   (YES, YES,   YES,   YES,   YES)),
    ("state",               state(OPEN),                                 (YES, YES,   YES,   YES,   YES)),
    ("clock",               clock(1),                                    (YES, YES,   YES,   YES,   YES)),
]
# fmt: on


def standing(of: SymbolState) -> Scene:
    """ANN is long 10, bids 5 (order 1) and offers 5 reduce-only (order 2); BOB is on both sides; the mark is 100."""
    scene = Scene()
    scene.hold(ANN, 10)
    scene.do(ANN.buy(1, 5, 80), ANN.sell(2, 5, 120, flags=REDUCE_ONLY), BOB.buy(3, 5, 70), BOB.sell(4, 5, 130), mark(100))
    assert scene.do(state(of)) == [("STATE", of.name, 0, 0)]
    return scene


@pytest.mark.parametrize(
    ("op", "of", "accepted"),
    [
        pytest.param(op, of, accepted, id=f"{name} - {of.name}")
        for name, op, row in ACCEPTED
        for of, accepted in zip(STATES, row, strict=True)
    ],
)
def test_what_a_state_accepts(op: Op, of: SymbolState, accepted: bool) -> None:
    scene = standing(of)
    if accepted:
        assert "REJECT" not in [event[0] for event in scene.do(op)]
    else:
        assert scene.refuse(op) == "SYMBOL_STATE"


@pytest.mark.parametrize(("before", "after"), list(itertools.product(STATES, STATES)), ids=lambda of: of.name)
def test_any_state_may_follow_any(before: SymbolState, after: SymbolState) -> None:
    assert standing(before).do(state(after)) == [("STATE", after.name, 0, 0)]


def test_whose_order_it_is_goes_before_what_the_reduce_only_state_allows() -> None:
    scene = standing(REDUCE_ONLY_STATE)
    assert scene.refuse(BOB.amend(1, qty=4)) == "NOT_OWNER"
    assert scene.refuse(ANN.amend(1, qty=4)) == "SYMBOL_STATE"


def test_every_symbol_has_its_own_state() -> None:
    scene = Scene(symbols=2)
    scene.do(state(HALTED, symbol=1))
    assert scene.do(ANN.buy(1, 5, 80)) == [("ADD", 1, 80, 5)]
    assert scene.refuse(ANN.buy(2, 5, 80, symbol=1)) == "SYMBOL_STATE"


def test_time_is_over_in_a_halted_symbol_too() -> None:
    scene = Scene()
    scene.do(ANN.buy(1, 5, 80, until=5), state(HALTED))
    assert scene.do(clock(5)) == [("CLOCK",), ("CANCEL", 1, 5, 0, "EXPIRED")]


# -- stops in states that do not trade ---------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [HALTED, CANCEL_ONLY, AUCTION], ids=lambda of: of.name)
def test_no_stop_fires_before_the_symbol_trades(of: SymbolState) -> None:
    scene = standing(OPEN)
    scene.do(ANN.cancel(1), ANN.sell(5, 1, stop=95), state(of))
    assert scene.move(MARK, 90) == []
    assert scene.do(state(OPEN)) == [
        ("STATE", "OPEN", 0, 0),
        ("TRIGGER", 5, 95, "MARK"),
        ("TRADE", 5, 3, 70, 1),
        ("DONE", 5, 1, 0, "FILLED"),
    ]


def test_a_stop_whose_trigger_was_only_touched_in_a_halt_does_not_fire() -> None:
    scene = standing(OPEN)
    scene.do(ANN.sell(5, 1, stop=95), state(HALTED), mark(90), mark(99))
    assert scene.do(state(OPEN)) == [("STATE", "OPEN", 0, 0)]


def test_in_the_reduce_only_state_only_reducing_stops_trade() -> None:
    scene = standing(OPEN)
    scene.do(ANN.cancel(1), CID.sell(5, 1, stop=95), ANN.sell(6, 2, stop=94, flags=REDUCE_ONLY), ANN.close(7, SELL, stop=93))
    scene.do(state(REDUCE_ONLY_STATE))
    assert scene.move(MARK, 93) == [
        ("TRIGGER", 5, 95, "MARK"),
        ("DONE", 5, 0, 1, "SYMBOL_STATE"),
        ("TRIGGER", 6, 94, "MARK"),
        ("TRADE", 6, 3, 70, 2),
        ("DONE", 6, 2, 0, "FILLED"),
        ("TRIGGER", 7, 93, "MARK"),
        ("TRADE", 7, 3, 70, 3),
        ("DONE", 7, 3, 5, "NO_LIQUIDITY"),
    ]


def test_index_fires_before_mark_before_last_upwards_before_downwards_before_trailing() -> None:
    """All five come into reach while the symbol is in auction. BOB buys and sells whatever they bring."""
    scene = Scene(trailing_in_bps=False)
    scene.do(BOB.buy(1, 50, 90), BOB.sell(2, 50, 110), mark(100))
    scene.do(ANN.sell(3, 1, trail=2))  # stop at 98
    scene.do(state(AUCTION))
    scene.do(CID.buy(8, 1, 100), DAN.sell(9, 1, 100))  # makes LAST 100 at the opening
    scene.do(ANN.sell(4, 1, stop=100, by=LAST))
    scene.do(ANN.sell(5, 1, stop=98))  # the mark is 100 now,
    scene.do(mark(97), ANN.buy(6, 1, stop=98))  # 97 now,
    scene.do(mark(98))  # and 98 reaches both
    scene.do(ANN.sell(7, 1, stop=96, by=INDEX), reference(INDEX, 96))
    fired = [event for event in scene.do(state(OPEN)) if event[0] == "TRIGGER"]
    assert fired == [
        ("TRIGGER", 7, 96, "INDEX"),
        ("TRIGGER", 6, 98, "MARK"),
        ("TRIGGER", 5, 98, "MARK"),
        ("TRIGGER", 3, 98, "MARK"),
        ("TRIGGER", 4, 100, "LAST"),
    ]
