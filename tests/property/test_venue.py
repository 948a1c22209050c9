"""Whatever ops come, in whatever batches: money and positions are conserved, each op has one reply, bytes are the same."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book import MEDIUM
from engine.contract import EVENT_DTYPE, OP_DTYPE, EventFlag, EventKind, OpFlag, OpKind, Reference
from engine.instruments import load_pack
from engine.matching import ROOM
from engine.venue import Venue
from tests.venue_kit import check_books, without_margin

ACCOUNTS = 3
SECOND = 10**9
CORE = without_margin(load_pack("core"))
# Tight enough that the throttle is met, too.
PACK = msgspec.structs.replace(CORE, throttle=msgspec.structs.replace(CORE.throttle, tokens_per_s=2, burst=20, ban_after=3))

accounts = st.integers(-1, ACCOUNTS)
symbols = st.integers(-1, 2)
orders = st.integers(1, 12)
prices = st.integers(95, 105)
lots = st.integers(-1, 40)


def ops_of(kind, **fields):
    return st.fixed_dictionaries({"kind": st.just(kind), "wait": st.integers(-1, 2)} | fields)


limits = ops_of(
    OpKind.NEW, order_id=orders, account=accounts, symbol=symbols, side=st.integers(0, 1), price=prices, qty=lots,
    tif=st.sampled_from([0, 0, 0, 1, 2]), stp=st.integers(0, 5), flags=st.sampled_from([0, 0, 0, 1, 3, 4]),
)  # fmt: skip
timed = ops_of(
    OpKind.NEW, order_id=orders, account=accounts, symbol=symbols, side=st.integers(0, 1), price=prices, qty=st.just(20),
    tif=st.just(3), expire_s=st.integers(0, 20), display=st.sampled_from([0, 7]),
)  # fmt: skip
conditional = ops_of(
    OpKind.NEW, order_id=orders, account=accounts, symbol=symbols, side=st.integers(0, 1), price=st.sampled_from([0, 98, 102]),
    qty=st.just(20), order_type=st.integers(2, 6), trigger=prices, code=st.integers(0, 3), link=st.sampled_from([0, 0, 0, 5]),
    flags=st.sampled_from([0, 0, 4, 20]),
)  # fmt: skip
quotes = ops_of(
    OpKind.QUOTE, order_id=orders, account=accounts, symbol=symbols, side=st.integers(0, 1), price=prices, qty=lots,
    flags=st.sampled_from([0, OpFlag.MORE]),
)  # fmt: skip
of_an_order = ops_of(OpKind.CANCEL, order_id=orders, account=accounts, symbol=symbols)
amendments = ops_of(
    OpKind.AMEND, order_id=orders, account=accounts, symbol=symbols, price=st.one_of(st.just(0), prices), qty=lots
)
of_an_account = st.one_of(
    ops_of(OpKind.CANCEL_ALL, account=accounts, symbol=symbols),
    ops_of(OpKind.CONNECT, account=accounts, symbol=st.just(-1), flags=st.sampled_from([0, OpFlag.CANCEL_ON_DISCONNECT])),
    ops_of(OpKind.DISCONNECT, account=accounts, symbol=st.just(-1)),
    ops_of(OpKind.DEAD_MAN, account=accounts, symbol=st.just(-1), qty=st.sampled_from([0, SECOND, 3 * SECOND])),
    ops_of(OpKind.TRANSFER, account=accounts, symbol=st.sampled_from([-1, -1, -1, 0]), qty=lots),
)
of_the_venue = st.one_of(
    ops_of(OpKind.CLOCK, symbol=st.sampled_from([-1, -1, -1, 0])),
    ops_of(OpKind.REFERENCE, symbol=symbols, code=st.sampled_from([1, 1, 1, 2]), price=prices.map(lambda price: price * 10**6)),
    ops_of(OpKind.STATE, symbol=symbols, code=st.sampled_from([0, 0, 1, 2, 3, 4, 4, 5])),
)
nonsense = ops_of(99, account=accounts, symbol=symbols)
sequences = st.lists(
    st.one_of(limits, limits, limits, limits, timed, conditional, quotes, of_an_order, amendments, of_an_account, of_the_venue,
              of_the_venue, nonsense),
    max_size=60,
)  # fmt: skip


def as_ops(drawn):
    """The drawn ops, and at the end two that break off mass quotes which were never finished: these wait for their replies."""
    ops = np.zeros(len(drawn) + 2, OP_DTYPE)
    now = SECOND
    for row, fields in zip(ops, drawn, strict=False):
        now += fields["wait"] * SECOND
        row["ts_ns"] = now
        for name, value in fields.items():
            if name != "wait":
                row[name] = value
    for row in ops[len(drawn) :]:
        row["kind"], row["ts_ns"] = OpKind.REFERENCE, now + 200 * SECOND
        row["code"], row["price"] = Reference.INDEX, 100 * 10**6
    ops[-1]["symbol"] = 1
    return ops


def new_venue(rows=None):
    venue = Venue(PACK, ("BTC-PERP", "ETH-PERP"), ACCOUNTS, MEDIUM)
    if rows is not None:
        venue._buffer = np.zeros(rows, EVENT_DTYPE)
    return venue


@settings(max_examples=90, deadline=None)
@given(sequences, st.lists(st.integers(0, 60), max_size=5), st.integers(ROOM, 2 * ROOM))
def test_conservation_replies_and_batches(drawn, cuts, rows):
    ops = as_ops(drawn)
    whole = new_venue()
    events = whole.apply(ops)
    assert whole.positions.sum(axis=0).tolist() == [0, 0]
    transferred = int(events["qty"][events["kind"] == EventKind.TRANSFER].sum())  # the insurance fund's deposits, too
    check_books(whole, transferred)
    assert events["seq"].tolist() == list(range(1, len(events) + 1))
    assert np.count_nonzero(events["flags"] & EventFlag.REPLY) == len(ops) == whole.ops
    for symbol in (-1, 0, 1):
        # What is refused before its time is looked at carries the time that it came with.
        of_symbol = events[(events["symbol"] == symbol) & (events["kind"] != EventKind.REJECT)]
        assert (np.diff(of_symbol["ts_ns"]) >= 0).all()
    parted = new_venue(rows)
    parts = [parted.apply(part) for part in np.split(ops, sorted(min(cut, len(ops)) for cut in cuts))]
    assert b"".join(part.tobytes() for part in parts) == events.tobytes()
    assert parted.state_hash() == whole.state_hash()


@settings(max_examples=40, deadline=None)
@given(sequences)
def test_each_op_is_answered_before_the_next_but_for_legs_of_a_mass_quote(drawn):
    venue = new_venue()
    held = 0
    for op in as_ops(drawn):
        replies = np.count_nonzero(venue.apply(op.reshape(1))["flags"] & EventFlag.REPLY)
        held += 1 - replies
        assert held >= 0
        assert replies > 0 or op["kind"] == OpKind.QUOTE
    assert held == 0


@settings(max_examples=30, deadline=None)
@given(sequences, st.integers(0, 60))
def test_a_restored_venue_has_the_same_future(drawn, cut):
    ops = as_ops(drawn)
    first = new_venue()
    first.apply(ops[:cut])
    second = new_venue()
    second.restore(first.snapshot())
    assert second.state_hash() == first.state_hash()
    assert second.apply(ops[cut:]).tobytes() == first.apply(ops[cut:]).tobytes()
    assert second.state_hash() == first.state_hash()
