"""Whatever ops come, in whatever batches: money and positions are conserved, time and sequence run on, bytes are the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book import MEDIUM
from engine.contract import OP_DTYPE, EventKind, OpKind, Reference
from engine.instruments import load_pack
from engine.venue import Venue

ACCOUNTS = 3
PACK = load_pack("core")

OPS = st.tuples(
    st.sampled_from([OpKind.NEW] * 6 + [OpKind.CANCEL] * 2 + [OpKind.CLOCK, OpKind.REFERENCE, OpKind.TRANSFER, 0]),
    st.integers(-1, 2),  # seconds since the op before
    st.integers(1, 12),  # order
    st.integers(-1, ACCOUNTS),  # account
    st.integers(95, 105),  # price
    st.integers(-1, 20),  # quantity
    st.integers(-1, 2),  # symbol
    st.integers(0, 1),  # side
    st.sampled_from([0, 0, 0, 1]),  # IOC
)


def as_ops(drawn):
    ops = np.zeros(len(drawn), OP_DTYPE)
    now = 10**9
    for row, (kind, wait, order_id, account, price, qty, symbol, side, tif) in zip(ops, drawn, strict=True):
        now += wait * 10**9
        row["kind"], row["ts_ns"], row["account"], row["symbol"] = kind, now, account, symbol
        if kind == OpKind.REFERENCE:
            row["code"], row["price"] = Reference.INDEX, price * 10**6
        elif kind == OpKind.TRANSFER:
            row["qty"] = qty
        elif kind in (OpKind.NEW, OpKind.CANCEL):
            row["order_id"] = order_id
            if kind == OpKind.NEW:
                row["price"], row["qty"], row["side"], row["tif"] = price, qty, side, tif
    return ops


def new_venue():
    return Venue(PACK, ("BTC-PERP", "ETH-PERP"), ACCOUNTS, MEDIUM)


@settings(max_examples=100, deadline=None)
@given(st.lists(OPS, max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_conservation_sequence_and_batches(drawn, cuts):
    ops = as_ops(drawn)
    whole = new_venue()
    events = whole.apply(ops)
    assert whole.positions.sum(axis=0).tolist() == [0, 0]
    assert whole.cash.sum() == events["qty"][events["kind"] == EventKind.TRANSFER].sum()
    assert events["seq"].tolist() == list(range(1, len(events) + 1))
    assert (np.diff(events["ts_ns"]) >= 0).all()
    assert len(events) >= len(ops)
    assert whole.ops == len(ops)
    parted = new_venue()
    parts = [parted.apply(part) for part in np.split(ops, sorted(min(cut, len(ops)) for cut in cuts))]
    assert b"".join(part.tobytes() for part in parts) == events.tobytes()
    assert parted.state_hash() == whole.state_hash()


@settings(max_examples=25, deadline=None)
@given(st.lists(OPS, max_size=60), st.integers(0, 60))
def test_a_restored_venue_has_the_same_future(drawn, cut):
    ops = as_ops(drawn)
    first = new_venue()
    first.apply(ops[:cut])
    second = new_venue()
    second.restore(first.snapshot())
    assert second.state_hash() == first.state_hash()
    assert second.apply(ops[cut:]).tobytes() == first.apply(ops[cut:]).tobytes()
    assert second.state_hash() == first.state_hash()
