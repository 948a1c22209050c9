"""The compiled engine and the naive book agree on every event and on the state hash, op by op.

Two sources of ops: hypothesis, which looks for the smallest disagreement, and long seeded flows. Most of them drive a capacity
so small that pool, window and far table fill up all the time, with event buffers that a single op overfills.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book import MAX_PRICE, MAX_QTY, SMALL
from engine.contract import OP_DTYPE, EventKind, OpFlag, OpKind, OrderType, Reason, TimeInForce
from tests.oracle.comparison import check_facts, compare
from tests.oracle.flows import TINY, wandering_market

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = 2

PRICES = st.one_of(
    st.integers(95, 105),
    st.integers(60, 300),
    st.sampled_from([1, 2, 10_000, 19_999_999, MAX_PRICE - 1, MAX_PRICE]),
)
QTYS = st.integers(1, 9) | st.sampled_from([1, 2**62, MAX_QTY - 1, MAX_QTY])
IDS = st.integers(1, 12) | st.sampled_from([2**31, 2**32, 2**63 - 1])
SYMBOL = st.integers(0, SYMBOLS - 1)
ACCOUNTS = st.integers(0, 2)
ORDERS = st.fixed_dictionaries({
    "kind": st.just(int(OpKind.NEW)),
    "order_id": IDS,
    "account": ACCOUNTS,
    "symbol": SYMBOL,
    "side": st.integers(0, 1),
    "price": PRICES,
    "qty": QTYS,
})  # fmt: skip
IOCS = ORDERS.map(lambda order: order | {"tif": int(TimeInForce.IOC)})
POST_ONLYS = ORDERS.map(lambda order: order | {"flags": int(OpFlag.POST_ONLY)})
MARKETS = ORDERS.map(lambda order: order | {"order_type": int(OrderType.MARKET), "price": 0})
CANCELS = st.fixed_dictionaries({"kind": st.just(int(OpKind.CANCEL)), "order_id": IDS, "account": ACCOUNTS, "symbol": SYMBOL})
WRONG_FIELDS = st.fixed_dictionaries({}, optional={
    "kind": st.integers(0, 255),
    "side": st.integers(0, 255),
    "order_type": st.integers(0, 255),
    "tif": st.integers(0, 255),
    "flags": st.integers(0, 65535),
    "code": st.integers(0, 2),
    "reserved": st.integers(0, 2),
    "symbol": st.sampled_from([-1, SYMBOLS, 2**31 - 1, -(2**31)]),
    "order_id": st.sampled_from([0, -1, -(2**63)]),
    "account": st.sampled_from([-1, -(2**63)]),
    "price": st.sampled_from([0, -1, -(2**63), MAX_PRICE + 1, 2**63 - 1]),
    "qty": st.sampled_from([0, -1, -(2**63)]),
})  # fmt: skip
WRONG = st.builds(lambda op, wrong: op | wrong, ORDERS | IOCS | POST_ONLYS | MARKETS | CANCELS, WRONG_FIELDS)


@st.composite
def op_batches(draw: st.DrawFn) -> np.ndarray:
    chosen = draw(st.lists(ORDERS | ORDERS | IOCS | POST_ONLYS | MARKETS | CANCELS | WRONG, min_size=1, max_size=60))
    ops = np.zeros(len(chosen), OP_DTYPE)
    now = 10
    for i, fields in enumerate(chosen):
        now += draw(st.sampled_from([0, 0, 1, 5, -1]))
        for name, value in (fields | {"ts_ns": now}).items():
            ops[name][i] = value
    return ops


@settings(max_examples=200, deadline=None)
@given(ops=op_batches(), buffer=st.sampled_from([1, 2, 3, 64]))
def test_engine_and_oracle_agree(ops: np.ndarray, buffer: int) -> None:
    check_facts(ops, compare(ops, TINY, buffer=buffer, symbols=SYMBOLS))


FLOWS = [
    # capacity, mean depth of an order in ticks, jumps an op, event buffer
    (TINY, 4.0, 0.002, 2),
    (TINY, 40.0, 0.01, 1),
    (TINY, 400.0, 0.01, 64),
    (SMALL, 30.0, 0.001, 7),
    (SMALL, 900.0, 0.003, 64),
]


def test_long_flows_agree_after_every_op() -> None:
    """200,000 ops, which meet every reason there is."""
    met = set()
    for capacity, spread, jump, buffer in FLOWS:
        ops = wandering_market(40_000, seed=11, spread=spread, jump=jump, symbols=SYMBOLS)
        events = compare(ops, capacity, buffer=buffer, symbols=SYMBOLS)
        ended = np.cumsum(events["kind"] != EventKind.TRADE)
        check_facts(ops[:5_000], events[: np.searchsorted(ended, 5_000) + 1])
        met |= {(EventKind(kind), Reason(code)) for kind, code in np.unique(events[["kind", "code"]]).tolist()}
    assert {code for _, code in met} == set(Reason)
    assert {(EventKind.REJECT, Reason.FAR_LEVELS_FULL), (EventKind.DONE, Reason.FAR_LEVELS_FULL)} <= met


def test_uncompiled_engine_agrees_too() -> None:
    """The kernels are plain Python with NUMBA_DISABLE_JIT=1, so that a debugger can step through them."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore:overflow encountered:RuntimeWarning"}
    command = [sys.executable, "-m", "tests.oracle.comparison", "1500", "5"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "events agree" in done.stdout
