"""Whatever happens to a venue with margin: money and lots are conserved, the events tell all of it, and bytes are the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book import MEDIUM
from engine.contract import MICRO, OP_DTYPE, EventFlag, EventKind, OpKind, Reason, Reference
from engine.instruments import load_pack
from engine.venue import Venue
from tests.venue_kit import SECOND, T0, changed, check_books, replayed

ACCOUNTS = 6
CORE = load_pack("core")
PACKS = {
    f"{path}-{rank}-{price}": changed(
        CORE,
        liquidation={"path": path},
        fund={"adl_rank": rank, "adl_price": price},
        margin={"liquidate_at_equality": path != "auction"},
    )
    for path, rank, price in (
        ("stepwise", "bitmex", "bankruptcy"),
        ("auction", "hyperliquid", "mark"),
        ("market", "pro_rata", "bankruptcy"),
    )
}

acts = st.one_of(
    st.tuples(
        st.just("order"), st.integers(0, 5), st.integers(0, 1), st.integers(-30, 30), st.integers(1, 2_000), st.integers(0, 1)
    ),
    st.tuples(
        st.just("order"), st.integers(0, 5), st.integers(0, 1), st.integers(-30, 30), st.integers(1, 2_000), st.integers(0, 1)
    ),
    st.tuples(st.just("move"), st.integers(0, 1), st.integers(-400, 400)),
    st.tuples(st.just("tick"), st.integers(1, 3)),
    st.tuples(st.just("tick"), st.integers(1, 3)),
    st.tuples(st.just("wallet"), st.integers(0, 6), st.integers(-2_000, 2_000), st.sampled_from([-1, -1, 0])),
    st.tuples(st.just("mode"), st.integers(0, 5), st.sampled_from([(0, 1), (0, 0), (-1, 2), (-1, 0)])),
    st.tuples(st.just("state"), st.sampled_from([0, 0, 0, 1, 4])),
    st.tuples(st.just("funding")),
    st.tuples(st.just("delist")),
)


def as_ops(drawn, wallets):
    """The drawn acts as ops of two symbols around 12,800 ticks; every tick is an index of both and a clock."""
    rows = []
    now, order_id = T0, 0
    price = [12_800, 12_800]

    def add(kind, **fields):
        rows.append({"kind": kind, "ts_ns": now, "symbol": -1} | fields)

    def tick():
        for symbol in range(2):
            add(OpKind.REFERENCE, symbol=symbol, code=Reference.INDEX, price=price[symbol] * MICRO)
        add(OpKind.CLOCK)

    for account, usd in enumerate(wallets):
        add(OpKind.TRANSFER, account=account, qty=usd * MICRO)
    tick()
    for act, *how in drawn:
        if act == "order":
            account, side, away, lots, symbol = how
            order_id += 1
            add(OpKind.NEW, account=account, side=side, price=price[symbol] + away, qty=lots, symbol=symbol, order_id=order_id)
        elif act == "move":
            price[how[0]] = max(100, price[how[0]] + how[1])
        elif act == "tick":
            for _ in range(how[0]):
                now += SECOND
                tick()
        elif act == "wallet":
            add(OpKind.TRANSFER, account=how[0], qty=how[1] * MICRO, symbol=how[2])
        elif act == "mode":
            symbol, code = how[1]
            add(OpKind.MARGIN, account=how[0], symbol=symbol, code=code)
        elif act == "state":
            add(OpKind.STATE, symbol=0, code=how[0])
        elif act == "funding":
            now = (now // (8 * 3600 * SECOND) + 1) * 8 * 3600 * SECOND
            tick()
        else:
            add(OpKind.DELIST, symbol=1)
    ops = np.zeros(len(rows), OP_DTYPE)
    for row, fields in zip(ops, rows, strict=True):
        for name, value in fields.items():
            row[name] = value
    return ops


def new_venue(pack):
    return Venue(pack, ("BTC-PERP", "ETH-PERP"), ACCOUNTS, MEDIUM)


wallets = st.lists(st.sampled_from([300, 1_000, 5_000, 200_000]), min_size=ACCOUNTS, max_size=ACCOUNTS + 1)


@pytest.mark.parametrize("name", PACKS)
@settings(max_examples=60, deadline=None)
@given(st.lists(acts, max_size=50), wallets, st.lists(st.integers(0, 300), max_size=4))
def test_money_lots_events_and_bytes(name, drawn, wallets, cuts):
    ops = as_ops(drawn, wallets)
    venue = new_venue(PACKS[name])
    events = venue.apply(ops)
    check_books(venue, int(events["qty"][events["kind"] == EventKind.TRANSFER].sum()))
    money, lots = replayed(events, ACCOUNTS + 2, [instrument.notional_micro for instrument in venue.instruments])
    untold = venue.wallets.charged.sum(axis=1)
    untold[-1] -= untold.sum()
    assert (money - untold == venue.wallets.cash + venue.wallets.isolated.sum(axis=1)).all()
    assert np.array_equal(lots, venue.wallets.held)
    assert np.count_nonzero(events["flags"] & EventFlag.REPLY) == len(ops)
    assert events["seq"].tolist() == list(range(1, len(events) + 1))
    parted = new_venue(PACKS[name])
    parts = [parted.apply(part) for part in np.split(ops, sorted(min(cut, len(ops)) for cut in cuts))]
    assert b"".join(part.tobytes() for part in parts) == events.tobytes()
    assert parted.state_hash() == venue.state_hash()


@settings(max_examples=25, deadline=None)
@given(st.lists(acts, max_size=40), wallets, st.integers(0, 200))
def test_a_restored_venue_has_the_same_future(drawn, wallets, cut):
    ops = as_ops(drawn, wallets)
    first, second = new_venue(CORE), new_venue(CORE)
    first.apply(ops[:cut])
    second.restore(first.snapshot())
    assert second.apply(ops[cut:]).tobytes() == first.apply(ops[cut:]).tobytes()
    assert second.state_hash() == first.state_hash()


@pytest.mark.parametrize("name", PACKS)
def test_a_crash_is_worked_off_and_all_of_it_is_met(name):
    """Fifty levered longs against one short, through a fall of 8 %: disposal, takeover, ADL and socialised loss all happen."""
    accounts = 52
    venue = Venue(PACKS[name], ("BTC-PERP",), accounts, MEDIUM)
    rows = [(OpKind.TRANSFER, {"account": a, "qty": 1_000 * MICRO, "symbol": -1}) for a in range(50)]
    rows += [(OpKind.TRANSFER, {"account": a, "qty": 10_000_000 * MICRO, "symbol": -1}) for a in (50, 51)]
    rows += [(OpKind.TRANSFER, {"account": accounts, "qty": 1_500 * MICRO, "symbol": -1})]
    rows += [(OpKind.REFERENCE, {"code": Reference.INDEX, "price": 12_800 * MICRO})]
    for a in range(50):
        rows.append((OpKind.NEW, {"account": 50, "order_id": 2 * a + 1, "side": 1, "price": 12_800, "qty": 200 + 15 * a}))
        rows.append((OpKind.NEW, {"account": a, "order_id": 2 * a + 2, "price": 12_800, "qty": 200 + 15 * a, "tif": 1}))
    ops = np.zeros(len(rows), OP_DTYPE)
    for row, (kind, fields) in zip(ops, rows, strict=True):
        row["kind"], row["ts_ns"] = kind, T0
        for key, value in fields.items():
            row[key] = value
    parts = [venue.apply(ops)]
    for second in range(1, 120):
        bid = 12_800 - 10 * min(second, 100) - 20
        tick = np.zeros(4, OP_DTYPE)
        tick["ts_ns"] = T0 + second * SECOND
        tick["kind"] = [OpKind.CANCEL_ALL, OpKind.NEW, OpKind.REFERENCE, OpKind.CLOCK]
        tick["account"] = [51, 51, 0, 0]
        tick["order_id"][1], tick["price"][1], tick["qty"][1] = 10_000 + second, bid, 60
        tick["code"][2], tick["price"][2] = Reference.INDEX, (bid + 20) * MICRO
        tick["symbol"][3] = -1
        parts.append(venue.apply(tick))
    events = np.concatenate(parts)
    check_books(venue, int(events["qty"][events["kind"] == EventKind.TRANSFER].sum()))
    codes = set(events["code"][events["kind"] == EventKind.ASSIGN].tolist())
    assert {Reason.TAKEOVER, Reason.DELEVERAGED} <= codes
    forced = events[(events["kind"] == EventKind.TRADE) & (events["flags"] & EventFlag.LIQUIDATION > 0)]
    assert len(forced)
    out = venue.wallets.held[:50, 0] == 0
    assert out.sum() >= 45
    assert (venue.cash[:50][out] >= 0).all()  # nobody owes anything
