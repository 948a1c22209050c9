"""The equity bridge over a venue in a crash: residual zero for everybody, and what breaks it."""

from __future__ import annotations

import numpy as np
import pytest

from engine.book import MEDIUM
from engine.bridge import Position, bridge, unexpected
from engine.contract import EVENT_DTYPE, MICRO, EventKind, LedgerLine, OpKind, Reason, Side, TimeInForce
from engine.instruments import load_pack
from engine.venue import Venue
from tests.venue_kit import SECOND, T0, index, op

LONG, SHORT, MAKER, IDLE = range(4)
UNITS = np.array([5_000, 5_000], np.int64)


def now(venue):
    wallets = venue.wallets
    return Position(wallets.cash + wallets.isolated.sum(axis=1), wallets.held.copy(), venue.terms.prices.copy())


@pytest.fixture(scope="module")
def crash():
    """(events, opening, closing): funding, fees, forced trades and a takeover within them."""
    venue = Venue(load_pack("core"), ("BTC-PERP", "ETH-PERP"), 4, MEDIUM)
    venue.apply(np.concatenate([index(12_800), index(12_800, symbol=1)]))
    opening = now(venue)
    told = []
    for account, usd in ((LONG, 1_000), (SHORT, 10**6), (MAKER, 10**7), (4, 10**6)):
        told.append(venue.apply(op(OpKind.TRANSFER, account=account, qty=usd * MICRO)))
    told.append(venue.apply(op(OpKind.NEW, account=SHORT, order_id=1, side=Side.SELL, price=12_800, qty=1_000)))
    told.append(venue.apply(op(OpKind.NEW, account=LONG, order_id=2, price=12_800, qty=1_000, tif=TimeInForce.IOC)))
    told.append(venue.apply(op(OpKind.NEW, account=MAKER, order_id=3, price=12_640, qty=300)))
    for at, price in enumerate((12_800, 12_700, 12_650, 12_645, 12_500, 12_400), 1):
        for each in (index(price), index(12_800, symbol=1), op(OpKind.CLOCK)):
            each["ts_ns"] = T0 + at * SECOND if at < 6 else T0 + 8 * 3600 * SECOND
            told.append(venue.apply(each))
    return np.concatenate(told), opening, now(venue)


def test_the_residual_is_zero_for_everybody_and_the_whole(crash):
    events, opening, closing = crash
    table = bridge(events, opening, closing, UNITS)
    assert not table["residual"].any()
    assert {"TRANSFER", "TRADE", "LEDGER", "ASSIGN"} <= {EventKind(kind).name for kind in events["kind"]}
    for name in ("funding", "fees", "liquidation", "socialised"):
        assert table[name].sum() == 0  # what one pays another gets
    assert table["fees"][LONG] < 0 < table["fees"][5]
    assert table["liquidation"][LONG] != 0
    assert table["change"].sum() == table["transfers"].sum() + table["trading"].sum()
    assert not table[IDLE].tolist()[0]


def test_a_line_that_is_missing_shows_in_the_residual(crash):
    events, opening, closing = crash
    fee = np.flatnonzero((events["kind"] == EventKind.LEDGER) & (events["code"] == LedgerLine.FEE))[0]
    table = bridge(np.delete(events, fee), opening, closing, UNITS)
    assert table["residual"][LONG] == events["qty"][fee]
    assert LONG in unexpected(table)


def test_what_is_unexpected_is_one_query(crash):
    events, opening, closing = crash
    refused = np.zeros(1, EVENT_DTYPE)
    refused["kind"], refused["account"], refused["code"] = EventKind.REJECT, LONG, Reason.THROTTLED
    table = bridge(np.concatenate([events, refused]), opening, closing, UNITS)
    assert table["throttled"][LONG] == 1
    assert LONG in unexpected(table, share=1.0)
    assert IDLE not in unexpected(table)
    with pytest.raises(ValueError, match="share"):
        unexpected(table, share=0)


def test_foreign_accounts_and_layouts_are_refused(crash):
    events, opening, closing = crash
    wrong = events[events["kind"] == EventKind.TRANSFER][:1].copy()
    wrong["account"] = 9
    with pytest.raises(ValueError, match="account outside 0 to 5"):
        bridge(wrong, opening, closing, UNITS)
    with pytest.raises(ValueError, match="EVENT_DTYPE"):
        bridge(np.zeros(1), opening, closing, UNITS)
