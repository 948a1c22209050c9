"""Ops that are none: fields outside the contract, combinations without a meaning, and which of several faults is the reason."""

from __future__ import annotations

import pytest

from engine.contract import OpFlag, OpKind, OrderType
from engine.market import Throttle
from tests.matching_kit import (
    ANN,
    BOB,
    BUY,
    CANCEL_ONLY,
    CLOSE_POSITION,
    DORMANT,
    FOK,
    GTD,
    HALTED,
    INDEX,
    IOC,
    OPEN,
    POST_ONLY,
    REDUCE_ONLY,
    SECOND,
    SELL,
    SLIDE,
    Op,
    Scene,
    clock,
    mark,
    state,
)

LIMIT = ANN.buy(1, 4, 100)
MARKET = ANN.buy(1, 4)
STOP = ANN.buy(1, 4, stop=110)
TRAILING = ANN.buy(1, 4, trail=10)


def refused(op: Op) -> str:
    """Why, where ANN is short 10: everything else of the ops here would be accepted."""
    scene = Scene()
    scene.hold(ANN, -10)
    return scene.refuse({"ts_ns": scene.now + 1} | op)


@pytest.mark.parametrize("op", [LIMIT, MARKET, STOP, TRAILING])
@pytest.mark.parametrize(
    "wrong",
    [
        {"order_id": 0},
        {"order_id": -5},
        {"side": 2},
        {"order_type": 7},
        {"tif": 4},
        {"stp": 6},
        {"flags": OpFlag.MORE},
        {"flags": OpFlag.CANCEL_ON_DISCONNECT},
        {"flags": 0x8000},
        {"expire_s": 5},
        {"tif": GTD, "expire_s": 0},
        {"tif": GTD, "expire_s": 5, "ts_ns": 5 * SECOND},
        {"flags": SLIDE},
        {"link": -1},
        {"link": 1},
    ],
    ids=str,
)
def test_no_order_has_such_a_field(op: Op, wrong: dict[str, int]) -> None:
    assert refused(op | wrong) == "BAD_FIELD"


@pytest.mark.parametrize(
    "op",
    [
        LIMIT | {"code": INDEX},
        LIMIT | {"trigger": 90},
        MARKET | {"code": INDEX},
        MARKET | {"trigger": 90},
        STOP | {"code": 4},
        MARKET | {"tif": GTD, "expire_s": 5},
        LIMIT | {"flags": POST_ONLY, "tif": IOC},
        LIMIT | {"flags": POST_ONLY, "tif": FOK},
        MARKET | {"flags": POST_ONLY},
        STOP | {"flags": POST_ONLY},
        LIMIT | {"flags": CLOSE_POSITION, "qty": 0},
        MARKET | {"flags": CLOSE_POSITION | REDUCE_ONLY, "qty": 0},
        STOP | {"flags": CLOSE_POSITION, "qty": 0, "order_type": OrderType.STOP_LIMIT, "price": 100},
        LIMIT | {"flags": DORMANT | REDUCE_ONLY},
        STOP | {"flags": DORMANT},
    ],
    ids=[
        "reference of a limit order", "trigger of a limit order", "reference of a market order", "trigger of a market order",
        "reference that triggers nothing", "market with an end date", "post only, immediate", "post only, fill or kill",
        "post only, market", "post only, stop", "limit that closes", "closes and reduces", "stop-limit that closes",
        "dormant limit", "dormant without reducing",
    ],
)  # fmt: skip
def test_combinations_without_a_meaning(op: Op) -> None:
    assert refused(op) == "BAD_FIELD"


UNUSED = {
    "price": 1, "qty": 1, "trigger": 1, "display": 1, "link": 1, "expire_s": 1, "side": 1, "order_type": 1, "tif": 1, "stp": 1,
    "code": 1, "flags": 1, "order_id": 1,
}  # fmt: skip

USED = [
    (ANN.cancel(1), ["order_id"]),
    (ANN.amend(1, qty=3), ["order_id", "price", "qty", "trigger"]),
    (ANN.cancel_all(), []),
    (ANN.quote(1, BUY, 1, 100), ["order_id", "price", "qty", "side", "stp", "flags"]),
    (state(HALTED), ["code"]),
    (mark(100), ["price", "code"]),
    (clock(9), []),
    (ANN.connect(cancel_on_disconnect=False), []),
    (ANN.disconnect(), []),
    (ANN.dead_man(5), ["qty"]),
]


@pytest.mark.parametrize(
    ("op", "name"),
    [
        pytest.param(op, name, id=f"{op['kind'].name} {name}")
        for op, used in USED
        for name in UNUSED
        if name not in used
    ],
)  # fmt: skip
def test_fields_that_a_kind_does_not_use_are_0(op: Op, name: str) -> None:
    assert refused(op | {name: UNUSED[name]}) == "BAD_FIELD"


@pytest.mark.parametrize(
    "op",
    [
        ANN.cancel(0),
        ANN.amend(0, qty=1),
        ANN.quote(0, BUY, 1, 100),
        ANN.quote(1, BUY, 1, 100) | {"side": 2},
        ANN.quote(1, BUY, 1, 100, stp=6),
        ANN.quote(1, BUY, 1, 100, flags=REDUCE_ONLY),
        ANN.quote(1, BUY, 1, 100, flags=SLIDE),
        ANN.connect(cancel_on_disconnect=False, flags=POST_ONLY),
        state(OPEN, code=5),
        mark(100, code=3),
        mark(100, code=0),
    ],
    ids=lambda op: f"{op['kind'].name}",
)
def test_fields_that_a_kind_uses_have_a_range(op: Op) -> None:
    assert refused(op) == "BAD_FIELD"


@pytest.mark.parametrize("kind", [0, OpKind.TRANSFER, 13, 255])
def test_a_kind_that_the_engine_does_not_know(kind: int) -> None:
    assert refused(LIMIT | {"kind": kind}) == "BAD_FIELD"


@pytest.mark.parametrize(
    "op",
    [clock(9), ANN.connect(cancel_on_disconnect=True), ANN.disconnect(), ANN.dead_man(5)],
    ids=lambda op: f"{op['kind'].name}",
)
def test_ops_of_no_symbol_name_none(op: Op) -> None:
    assert refused(op | {"symbol": 0}) == refused(op | {"symbol": 7}) == "BAD_FIELD"


def test_a_side_that_is_none_is_told_as_0() -> None:
    (event,) = Scene().events(LIMIT | {"side": 2})
    assert event["side"] == 0


def test_the_first_fault_is_the_reason_in_the_order_of_the_document() -> None:
    """An op with everything wrong is repaired fault by fault."""
    rules = {"price_step": 5, "lot_step": 2, "max_notional": 2_000, "bound_ppm": 100_000}
    scene = Scene(throttle=Throttle(interval_ns=10, burst=5), **rules)
    scene.do(mark(100, ts_ns=100), BOB.sell(7, 10, 100, ts_ns=100), state(CANCEL_ONLY, ts_ns=100))
    scene.do(*(ANN.cancel(9, ts_ns=100) for _ in range(5)))  # the bucket is empty
    op = {
        "kind": 99, "symbol": 5, "account": -1, "ts_ns": 1, "order_id": 7, "side": 7, "price": 0, "qty": 0, "link": 7,
        "flags": POST_ONLY | REDUCE_ONLY,
    }  # fmt: skip
    repairs: list[tuple[str, dict[str, int]]] = [
        ("BAD_FIELD", {"kind": OpKind.NEW}),
        ("UNKNOWN_SYMBOL", {"symbol": 0}),
        ("UNKNOWN_ACCOUNT", {"account": ANN.number}),
        ("TIME_WENT_BACK", {"ts_ns": 105}),
        ("THROTTLED", {"ts_ns": 1_000}),
        ("BAD_FIELD", {"side": BUY, "link": 99}),
        ("SYMBOL_STATE", state(OPEN)),
        ("BAD_PRICE", {"price": 101}),
        ("BAD_TICK", {"price": 200}),
        ("BAD_QUANTITY", {"qty": 11}),
        ("BAD_LOT", {"qty": 12}),
        ("DUPLICATE_ORDER_ID", {"order_id": 8}),
        ("BAD_LINK", {"link": 0}),
        ("NOT_REDUCING", {"flags": POST_ONLY}),
        ("NOTIONAL_TOO_LARGE", {"qty": 10}),
        ("PRICE_OUT_OF_BOUNDS", {"price": 110}),
        ("POST_ONLY_WOULD_CROSS", {"price": 95}),
    ]
    for reason, repair in repairs:
        assert scene.do(op)[-1][2] == reason
        if repair.get("kind") == OpKind.STATE:
            scene.do(repair | {"ts_ns": op["ts_ns"]})
        else:
            op |= repair
        if op["ts_ns"] >= 1_000:
            op["ts_ns"] += 100  # the bucket is full again
    assert scene.do(op) == [("ADD", 8, 95, 10)]


def test_a_refusal_tells_the_op_back() -> None:
    (event,) = Scene().events(ANN.sell(5, 7, -3))
    told = {name: int(event[name]) for name in ("order_id", "account", "price", "qty", "leaves", "side")}
    assert told == {"order_id": 5, "account": ANN.number, "price": -3, "qty": 7, "leaves": 0, "side": SELL}
