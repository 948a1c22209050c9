"""The compiled engine and the oracle agree on every event and on the state hash, op by op.

Two sources of ops: hypothesis, which looks for the smallest disagreement, and long seeded flows. Most of them drive a capacity
so small that pool, window, far table and waiting room fill up all the time, with event buffers that a single op overfills.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book import MAX_PRICE, MAX_QTY, MEDIUM, Capacity
from engine.contract import MICRO, OP_DTYPE, EventKind, OpFlag, OpKind, OrderType, Reason, Reference, SelfTrade, TimeInForce
from tests.oracle.comparison import Comparison
from tests.oracle.flows import TINY, everything, parts_of, wandering_market
from tests.oracle.naive_market import NO_RULES, NO_THROTTLE, NaiveRules, NaiveThrottle

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = 2
ACCOUNTS = 6
SECOND_NS = 10**9

# -- hypothesis ----------------------------------------------------------------------------------------------------------

BATCH_RULES = [
    NO_RULES,
    NaiveRules(self_trade=SelfTrade.EXPIRE_MAKER, trigger_by=Reference.LAST, trailing_in_bps=False, shrink_reduce_only=False),
    NaiveRules(
        price_step=2, min_notional=300, max_notional=900, bound_ppm=30_000, market_bound_ppm=20_000,
        self_trade=SelfTrade.DECREMENT, trigger_by=Reference.INDEX, deltas=False,
    ),
]  # fmt: skip
BATCH_THROTTLES = [
    NO_THROTTLE,
    NaiveThrottle(
        interval_ns=2, burst=4, order=2, reduce_only=0, cancel=1, ban_after=2, ban_first_ns=3, ban_longest_ns=SECOND_NS
    ),
]

PRICES = st.one_of(
    st.integers(97, 103),
    st.integers(60, 300),
    st.sampled_from([1, 2, 10_000, 19_999_999, MAX_PRICE - 1, MAX_PRICE]),
)
NEAR = st.integers(96, 104)
QTYS = st.integers(1, 9) | st.sampled_from([1, 2**62, MAX_QTY - 1, MAX_QTY])
LOTS = st.integers(1, 9)
IDS = st.integers(1, 12) | st.sampled_from([2**31, 2**32, 2**63 - 1])
OWN = {"account": st.integers(0, 2), "symbol": st.integers(0, SYMBOLS - 1)}
MODES = st.sampled_from([0, 0, *map(int, SelfTrade)])
STEPS = st.sampled_from([0, 0, 0, 0, 0, 1, 1, 5, SECOND_NS // 2])
BACK = st.integers(1, 12)
"""How many ops ago the order was sent that an op is about (`about`) or linked to (`linked`)."""
CODES = st.integers(0, Reference.LAST)


def ops(kind: OpKind, **fields: st.SearchStrategy[int] | int) -> st.SearchStrategy[dict[str, int]]:
    """Ops of a kind: each field a strategy or a value."""
    drawn = {name: st.just(int(x)) if isinstance(x, int) else x for name, x in fields.items()}
    return st.fixed_dictionaries({"kind": st.just(int(kind)), **drawn})


def orders(**fields: st.SearchStrategy[int] | int) -> st.SearchStrategy[dict[str, int]]:
    return ops(OpKind.NEW, **({**OWN, "side": st.integers(0, 1), "price": PRICES, "qty": LOTS} | fields))


GTD = {"tif": TimeInForce.GTD, "expire_s": st.integers(1, 3)}
REDUCE_ONLY, CLOSE_POSITION, DORMANT = int(OpFlag.REDUCE_ONLY), int(OpFlag.CLOSE_POSITION), int(OpFlag.DORMANT)
LIMITS = st.one_of(
    orders(order_id=IDS, qty=QTYS),
    orders(price=NEAR, stp=MODES),
    orders(price=NEAR, stp=MODES, tif=st.sampled_from([TimeInForce.IOC, TimeInForce.FOK])),
    orders(price=NEAR, **GTD),
    orders(price=NEAR, stp=MODES, flags=st.sampled_from([OpFlag.POST_ONLY, OpFlag.POST_ONLY | OpFlag.SLIDE])),
    orders(price=NEAR, stp=MODES, display=st.integers(1, 4), qty=st.integers(4, 9)),
    orders(price=NEAR, flags=REDUCE_ONLY),
)
MARKETS = st.one_of(
    orders(order_type=OrderType.MARKET, price=0, qty=QTYS, stp=MODES),
    orders(order_type=OrderType.MARKET, price=NEAR, tif=st.integers(0, 2)),
    orders(order_type=OrderType.MARKET, price=0, qty=0, flags=CLOSE_POSITION),
)
CONDITIONALS = st.one_of(
    orders(order_type=st.sampled_from([2, 4]), price=NEAR, trigger=NEAR, code=CODES, tif=st.integers(0, 2)),
    orders(
        order_type=st.sampled_from([3, 5]), price=st.just(0) | NEAR, trigger=NEAR, code=CODES, flags=st.sampled_from([0, 4])
    ),
    orders(order_type=st.sampled_from([3, 5]), price=0, qty=0, trigger=NEAR, code=CODES, flags=CLOSE_POSITION),
    orders(order_type=6, price=st.integers(1, 300), trigger=st.just(0) | NEAR, code=CODES),
    orders(order_type=st.sampled_from([2, 4]), price=NEAR, trigger=NEAR, code=CODES, qty=QTYS, **GTD),
)
LINKED = st.builds(lambda op, back: op | {"linked": back}, LIMITS | CONDITIONALS, BACK)
DORMANTS = orders(
    order_type=st.sampled_from([2, 4]), price=NEAR, trigger=NEAR, code=CODES, flags=DORMANT | REDUCE_ONLY,
)  # fmt: skip
EXITS = DORMANTS | st.builds(lambda op, back: op | {"linked": back}, DORMANTS, BACK)
KEEP = st.just(0)
AMENDS = ops(OpKind.AMEND, about=BACK, price=KEEP | NEAR, qty=KEEP | LOTS | QTYS, trigger=KEEP | KEEP | NEAR)
CANCELS = ops(OpKind.CANCEL, about=BACK)
QUOTES = ops(
    OpKind.QUOTE, **(OWN | {"account": st.integers(0, 1)}), side=st.integers(0, 1), price=NEAR,
    qty=st.integers(0, 5), stp=MODES, flags=st.sampled_from([0, 1, 3, 32, 32, 33, 35]),
)  # fmt: skip
REFERENCES = ops(
    OpKind.REFERENCE,
    symbol=OWN["symbol"],
    code=st.sampled_from([Reference.INDEX, Reference.MARK]),
    price=st.builds(lambda ticks, rest: ticks * MICRO + rest, st.integers(95, 105), st.sampled_from([0, 1, -1, 500_000])),
)
STATES = ops(OpKind.STATE, symbol=OWN["symbol"], code=st.sampled_from([0, 0, 0, 0, 0, 1, 2, 3, 4, 4]))
OF_ACCOUNTS = st.one_of(
    ops(OpKind.CANCEL_ALL, account=OWN["account"], symbol=st.integers(-1, SYMBOLS - 1)),
    ops(OpKind.CONNECT, account=OWN["account"], symbol=-1, flags=st.sampled_from([0, OpFlag.CANCEL_ON_DISCONNECT])),
    ops(OpKind.DISCONNECT, account=OWN["account"], symbol=-1),
    ops(OpKind.DEAD_MAN, account=OWN["account"], symbol=-1, qty=st.sampled_from([0, 1, 3, SECOND_NS])),
    ops(OpKind.CLOCK, symbol=-1),
)
RIGHT = st.one_of(
    LIMITS, LIMITS, LIMITS, MARKETS, CONDITIONALS, CONDITIONALS, LINKED, EXITS, AMENDS, CANCELS, QUOTES, REFERENCES, STATES,
    OF_ACCOUNTS,
)  # fmt: skip
WRONG_FIELDS = st.fixed_dictionaries({}, optional={
    "kind": st.integers(0, 255),
    "side": st.integers(0, 255),
    "order_type": st.integers(0, 255),
    "tif": st.integers(0, 255),
    "stp": st.integers(0, 255),
    "flags": st.integers(0, 65535),
    "code": st.integers(0, 255),
    "expire_s": st.sampled_from([1, 2**32 - 1]),
    "trigger": st.sampled_from([0, 1, -1, MAX_PRICE, MAX_PRICE + 1, -(2**63)]),
    "display": st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)]),
    "link": st.sampled_from([0, 1, 2, -1, -(2**63)]),
    "symbol": st.sampled_from([-1, -2, SYMBOLS, 2**31 - 1, -(2**31)]),
    "order_id": st.sampled_from([0, -1, -(2**63)]),
    "account": st.sampled_from([-1, ACCOUNTS, -(2**63), 2**63 - 1]),
    "price": st.sampled_from([0, -1, -(2**63), MAX_PRICE + 1, 2**63 - 1]),
    "qty": st.sampled_from([0, -1, -(2**63)]),
})  # fmt: skip
WRONG = st.builds(lambda op, wrong: op | wrong, RIGHT, WRONG_FIELDS)


@st.composite
def op_batches(draw: st.DrawFn) -> np.ndarray:
    chosen = draw(st.lists(st.tuples(RIGHT | RIGHT | RIGHT | WRONG, STEPS), min_size=20, max_size=80))
    late = draw(st.sets(st.integers(0, 79), max_size=2))
    batch = np.zeros(len(chosen), OP_DTYPE)
    now = 10
    for i, (fields, step) in enumerate(chosen):
        now += step
        op = {"ts_ns": now - (i in late)} | fields
        if op["kind"] in (OpKind.NEW, OpKind.QUOTE):
            op.setdefault("order_id", i + 1)
        for relation, name in (("about", "order_id"), ("linked", "link")):
            if relation in op:
                other = batch[max(i - op.pop(relation), 0)]
                op |= {name: other["order_id"], "account": other["account"], "symbol": other["symbol"]}
        for name, value in op.items():
            batch[name][i] = value
    return batch


@settings(max_examples=300, deadline=None)
@given(
    batch=op_batches(),
    room=st.sampled_from([0, 1, 2, 64]),
    rules=st.sampled_from(BATCH_RULES),
    throttle=st.sampled_from(BATCH_THROTTLES),
)
def test_engine_and_oracle_agree(batch: np.ndarray, room: int, rules: NaiveRules, throttle: NaiveThrottle) -> None:
    compared(TINY, room, rules, throttle).apply(batch)


def compared(capacity: Capacity, room: int, rules: NaiveRules, throttle: NaiveThrottle) -> Comparison:
    return Comparison(capacity, room=room, symbols=SYMBOLS, accounts=ACCOUNTS, rules=rules, throttle=throttle)


# -- long flows ------------------------------------------------------------------------------------------------------------

STRICT = NaiveRules(
    price_step=5, lot_step=3, min_notional=60_000, max_notional=12_000_000, bound_ppm=5_000, market_bound_ppm=2_000,
    self_trade=SelfTrade.EXPIRE_MAKER, trigger_by=Reference.LAST, trailing_in_bps=False, shrink_reduce_only=False, deltas=False,
)  # fmt: skip
LOOSE = NaiveRules(price_step=1, bound_ppm=50_000, self_trade=SelfTrade.EXPIRE_BOTH, trigger_by=Reference.INDEX)
IMPATIENT = NaiveThrottle(
    interval_ns=40_000_000, burst=25, reduce_only=0, ban_after=3, ban_first_ns=50_000_000, ban_longest_ns=1_500_000_000
)
FLOWS = [
    # capacity, event rows beyond those needed, rules, throttle, mean depth of an order in ticks, jumps an op
    (TINY, 0, NO_RULES, NO_THROTTLE, 4.0, 0.002),
    (TINY, 1, STRICT, IMPATIENT, 40.0, 0.01),
    (TINY, 2, LOOSE, NO_THROTTLE, 400.0, 0.01),
    (MEDIUM, 7, NO_RULES, IMPATIENT, 30.0, 0.001),
    (MEDIUM, 64, STRICT, NO_THROTTLE, 300.0, 0.003),
]
NEVER = {EventKind.CLEAR, EventKind.TRANSFER, EventKind.GAP, EventKind.LEDGER, EventKind.ASSIGN, EventKind.STANDING}
NO_REASON = {EventKind.REFERENCE, EventKind.TRIGGER, EventKind.STATE}  # their code is something else
RARE = {
    (EventKind.REJECT, Reason.FAR_LEVELS_FULL),
    (EventKind.DONE, Reason.FAR_LEVELS_FULL),
    (EventKind.ADD, Reason.REDUCE_ONLY_EXCESS),
    (EventKind.CANCEL, Reason.LINKED),
    (EventKind.ACK, Reason.AMENDED),
    *((EventKind.DONE, reason) for reason in (Reason.SYMBOL_STATE, Reason.PRICE_OUT_OF_BOUNDS, Reason.FOK_NOT_FILLABLE)),
    *((EventKind.DONE, reason) for reason in (Reason.NOT_REDUCING, Reason.BAD_QUANTITY, Reason.REDUCE_ONLY_EXCESS)),
}


def test_long_flows_agree_after_every_op() -> None:
    """Flows of 24,000 ops, which together meet every kind of event and every reason there is."""
    met = set()
    for capacity, room, rules, throttle, spread, jump in FLOWS:
        flow = everything(24_000, seed=11, spread=spread, jump=jump, symbols=SYMBOLS, accounts=ACCOUNTS, rules=rules)
        events = compared(capacity, room, rules, throttle).apply(flow)
        met |= {(EventKind(kind), code) for kind, code in np.unique(events[["kind", "code"]]).tolist()}
    flow = wandering_market(8_000, seed=11, spread=30.0, jump=0.001, symbols=SYMBOLS, accounts=ACCOUNTS)
    compared(MEDIUM, 7, NO_RULES, NO_THROTTLE).apply(flow)
    assert {kind for kind, _ in met} == set(EventKind) - NEVER
    assert {Reason(code) for kind, code in met if kind not in NO_REASON} == {
        reason for reason in Reason if reason <= Reason.BANNED
    }  # later ones are the venue's
    assert met >= RARE


@pytest.mark.slow
@pytest.mark.parametrize("capacity", [TINY, MEDIUM], ids=lambda capacity: capacity.name)
def test_ten_million_ops_agree(capacity: Capacity) -> None:
    """5,000,000 ops for each capacity, 300,000 and more for each setting."""
    chosen = itertools.product((NO_RULES, STRICT, LOOSE, *BATCH_RULES[1:2]), (NO_THROTTLE, IMPATIENT), (6.0, 200.0))
    for seed, (rules, throttle, spread) in enumerate(chosen):
        comparison = compared(capacity, seed % 4, rules, throttle)
        shape = {"spread": spread, "jump": 0.003, "symbols": SYMBOLS, "accounts": ACCOUNTS, "rules": rules}
        for flow in parts_of(315_000, 45_000, 100 + seed, **shape):
            comparison.apply(flow)


def test_uncompiled_engine_agrees_too() -> None:
    """The kernels are plain Python with NUMBA_DISABLE_JIT=1, so that a debugger can step through them."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore:overflow encountered:RuntimeWarning"}
    command = [sys.executable, "-m", "tests.oracle.comparison", "1500", "5"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "events agree" in done.stdout
