"""The compiled engine and the naive book agree on every event and on the state hash, op by op.

Two sources of ops: hypothesis, which looks for the smallest disagreement, and a long seeded run through several kinds of market. Both
drive a capacity so small that pool, window and far table fill up all the time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book import SMALL, Capacity, apply_events, best, new_books, state_hash
from engine.contract import EVENT_DTYPE, OP_DTYPE, EventKind, OpFlag, OpKind, OrderType, Side, TimeInForce
from engine.matching import process
from tests.oracle.naive_book import MAX_PRICE, MAX_QTY, NaiveBook, NaiveVenue

ROOT = Path(__file__).resolve().parents[2]
TINY = Capacity("tiny", ladder_ticks=64, orders=24, ids=64, far_levels=5)
SYMBOLS = 2


def naive_venue(capacity: Capacity, symbols: int = SYMBOLS) -> NaiveVenue:
    return NaiveVenue([NaiveBook(capacity.ladder_ticks, capacity.orders, capacity.far_levels) for _ in range(symbols)])


def compare(ops: np.ndarray, capacity: Capacity, buffer: int, symbols: int = SYMBOLS) -> np.ndarray:
    """Run both op by op, with an event buffer of `buffer` rows; returns all events."""
    venue = naive_venue(capacity, symbols)
    books = new_books(capacity, symbols)
    events = np.zeros(buffer, EVENT_DTYPE)
    everything: list[tuple[int, ...]] = []
    for i, row in enumerate(ops.tolist()):
        expected = venue.apply(row)
        got: list[tuple[int, ...]] = []
        seq = expected[0][1]
        consumed = 0
        while not consumed:
            events.view(np.uint8)[:] = 0xAA
            consumed, written = process(books, ops[i : i + 1], events, seq + len(got))
            got += events[:written].tolist()
        assert got == expected, f"op {i}: {row}"
        if 0 <= row[5] < symbols:
            book = row[5]
            assert state_hash(books[book]) == venue.books[book].state_hash(), f"state after op {i}: {row}"
        everything += got
    return np.array(everything, EVENT_DTYPE)


def check_invariants(ops: np.ndarray, events: np.ndarray) -> None:
    """Facts about the events alone, whoever produced them."""
    assert (np.diff(events["seq"]) == 1).all()
    assert events["seq"][0] == 1
    resting: dict[tuple[int, int], list[int]] = {}  # (symbol, id) -> side, price, left, arrival
    terminal = 0
    for e in events:
        symbol, side, price = int(e["symbol"]), int(e["side"]), int(e["price"])
        match EventKind(int(e["kind"])):
            case EventKind.ADD:
                assert e["qty"] == e["leaves"] > 0
                resting[symbol, int(e["order_id"])] = [side, price, int(e["qty"]), int(e["seq"])]
                bids = [o[1] for (s, _), o in resting.items() if s == symbol and o[0] == Side.BUY]
                asks = [o[1] for (s, _), o in resting.items() if s == symbol and o[0] == Side.SELL]
                assert not bids or not asks or max(bids) < min(asks), "crossed book"
                terminal += 1
            case EventKind.TRADE:
                maker = resting[symbol, int(e["contra_order_id"])]
                assert maker[0] == 1 - side
                assert maker[1] == price
                maker[2] -= int(e["qty"])
                assert maker[2] == e["leaves"] >= 0
                better = [o for (s, _), o in resting.items() if s == symbol and o[0] == maker[0] and o is not maker]
                sign = 1 if maker[0] == Side.BUY else -1
                assert all((o[1] * sign, -o[3]) < (price * sign, -maker[3]) for o in better), "price-time priority"
                if not maker[2]:
                    del resting[symbol, int(e["contra_order_id"])]
            case EventKind.CANCEL:
                assert resting.pop((symbol, int(e["order_id"])))[2] == e["qty"]
                terminal += 1
            case _:
                terminal += 1
    assert terminal == len(ops), "each op has exactly one terminal event"


def check_rebuild(events: np.ndarray, capacity: Capacity, hashes: list[int]) -> None:
    """The events rebuild the very books that they came from."""
    books = new_books(capacity, len(hashes))
    counts = np.zeros(16, np.int64)
    apply_events(books, events, counts)
    assert counts[2:8].sum() == 0
    assert [int(state_hash(book)) for book in books] == hashes


# -- hypothesis --------------------------------------------------------------------------------------------------------

PRICES = st.one_of(
    st.integers(95, 105),
    st.integers(60, 300),
    st.sampled_from([1, 2, 10_000, 19_999_999, MAX_PRICE - 1, MAX_PRICE]),
)
QTYS = st.one_of(st.integers(1, 9), st.sampled_from([1, 2**62, MAX_QTY - 1, MAX_QTY]))
IDS = st.integers(1, 12) | st.sampled_from([2**31, 2**32, 2**63 - 1])


def op(**fields: int) -> dict[str, int]:
    return fields


ORDERS = st.builds(
    op,
    kind=st.just(int(OpKind.NEW)),
    order_id=IDS,
    account=st.integers(0, 2),
    symbol=st.integers(0, SYMBOLS - 1),
    price=PRICES,
    qty=QTYS,
    side=st.integers(0, 1),
    tif=st.sampled_from([int(TimeInForce.GTC)] * 3 + [int(TimeInForce.IOC)]),
)
POST_ONLY = st.builds(lambda o: o | {"flags": int(OpFlag.POST_ONLY), "tif": 0}, ORDERS)
MARKET = st.builds(lambda o: o | {"order_type": int(OrderType.MARKET), "price": 0}, ORDERS)
CANCELS = st.builds(
    op, kind=st.just(int(OpKind.CANCEL)), order_id=IDS, account=st.integers(0, 2), symbol=st.integers(0, SYMBOLS - 1)
)
SPOILERS = st.fixed_dictionaries({}, optional={
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
SPOILT = st.builds(lambda o, s: o | s, ORDERS | CANCELS, SPOILERS)
STEPS = st.sampled_from([0, 0, 1, 5, -1])


@st.composite
def op_batches(draw: st.DrawFn) -> np.ndarray:
    chosen = draw(st.lists(ORDERS | ORDERS | POST_ONLY | MARKET | CANCELS | SPOILT, min_size=1, max_size=60))
    ops = np.zeros(len(chosen), OP_DTYPE)
    now = 10
    for row, fields in zip(ops, chosen, strict=True):
        now += draw(STEPS)
        row["ts_ns"] = now
        for name, value in fields.items():
            row[name] = value
    return ops


@settings(max_examples=300, deadline=None)
@given(ops=op_batches(), buffer=st.sampled_from([1, 2, 3, 64]))
def test_engine_and_oracle_agree(ops: np.ndarray, buffer: int) -> None:
    events = compare(ops, TINY, buffer)
    check_invariants(ops, events)


# -- a long seeded run -------------------------------------------------------------------------------------------------


def random_market(n: int, seed: int, *, spread: float, jump: float, symbols: int = SYMBOLS) -> np.ndarray:
    """A market that wanders and sometimes jumps, with stub quotes, mass cancels and a few spoilt ops."""
    rng = np.random.default_rng(seed)
    ops = np.zeros(n, OP_DTYPE)
    ops["ts_ns"] = np.cumsum(rng.integers(0, 3, n)) + 1
    ops["order_id"] = rng.permutation(n) * 0x1_0001 + 1
    ops["account"] = rng.integers(0, 4, n)
    ops["symbol"] = rng.integers(0, symbols, n)
    middle = 20_000 + np.cumsum(rng.normal(0, 0.3, n) + np.where(rng.random(n) < jump, rng.normal(0, 300, n), 0))
    ops["side"] = rng.integers(0, 2, n)
    away = np.where(ops["side"] == Side.BUY, -1, 1)
    ops["price"] = np.maximum(middle + away * rng.exponential(spread, n) - away * spread / 3, 1)
    ops["qty"] = rng.integers(1, 20, n)
    ops["kind"] = OpKind.NEW
    stubs = rng.random(n) < 0.01
    ops["price"][stubs] = rng.choice([1, 2, 3, 19_999_999, MAX_PRICE], stubs.sum())
    ops["flags"][rng.random(n) < 0.1] = OpFlag.POST_ONLY
    ops["tif"][(rng.random(n) < 0.1) & (ops["flags"] == 0)] = TimeInForce.IOC
    market = (rng.random(n) < 0.04) & (ops["flags"] == 0)
    ops["order_type"][market] = OrderType.MARKET
    ops["price"][market] = 0
    ops["qty"][rng.random(n) < 0.01] *= 40
    cancels = np.flatnonzero(rng.random(n) < 0.38 + 0.3 * np.sin(np.arange(n) / 700))
    cancels = cancels[cancels > 200]
    victims = cancels - rng.integers(1, 200, len(cancels))
    kept = ops.copy()
    for name in OP_DTYPE.names:
        if name not in ("ts_ns", "kind"):
            ops[name][cancels] = 0
    for name in ("order_id", "account", "symbol"):
        ops[name][cancels] = kept[name][victims]
    ops["kind"][cancels] = OpKind.CANCEL
    wrong = rng.random(n) < 0.005
    ops["account"][wrong] += 1
    again = np.flatnonzero(rng.random(n) < 0.005)
    again = again[again > 0]
    ops["order_id"][again] = ops["order_id"][again - 1]
    ops["ts_ns"][rng.random(n) < 0.002] -= 2
    return ops


@pytest.mark.parametrize(
    ("capacity", "spread", "jump", "buffer"),
    [(TINY, 4.0, 0.002, 2), (TINY, 40.0, 0.01, 1), (TINY, 400.0, 0.01, 64), (SMALL, 30.0, 0.001, 7), (SMALL, 900.0, 0.003, 64)],
)
def test_long_run_agrees_after_every_op(capacity: Capacity, spread: float, jump: float, buffer: int) -> None:
    ops = random_market(20_000, seed=11, spread=spread, jump=jump)
    events = compare(ops, capacity, buffer)
    assert len(np.unique(events["kind"])) == 5
