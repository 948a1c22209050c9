"""Markouts and the cost of forced execution, by hand; and what must hold of a simulated venue."""

from __future__ import annotations

import numpy as np
import pytest

from engine.contract import EVENT_DTYPE, MICRO, EventFlag, EventKind, LedgerLine, Reference
from engine.toxicity import forced_execution, toxicity

SECOND = 10**9
UNITS = np.array([MICRO], np.int64)  # a lot at a tick is worth 1


def an_event(**fields):
    row = np.zeros(1, EVENT_DTYPE)
    for name, value in fields.items():
        row[name] = value
    return row


def mark(ts, seq, ticks):
    return an_event(ts_ns=ts * SECOND, seq=seq, kind=EventKind.REFERENCE, code=Reference.MARK, price=ticks * MICRO)


def trade(ts, seq, taker, maker, side, price, qty, flags=0):
    return an_event(
        ts_ns=ts * SECOND,
        seq=seq,
        kind=EventKind.TRADE,
        account=taker,
        contra_account=maker,
        side=side,
        price=price,
        qty=qty,
        flags=flags,
    )


def fee(seq, account, money, code=LedgerLine.FEE):
    return an_event(ts_ns=SECOND, seq=seq, kind=EventKind.LEDGER, code=code, account=account, qty=money * MICRO)


def test_markouts_by_hand():
    """Account 1 buys 10 at 101 of 2 with the mark at 100; a minute later it is 104. Then 2 sells 5 at 103 to 3, which stays."""
    events = np.concatenate(
        [
            mark(0, 1, 100), trade(1, 2, 1, 2, 0, 101, 10), fee(3, 1, -5), fee(4, 2, 2, LedgerLine.MAKER_FEE),
            mark(30, 5, 104), trade(40, 6, 2, 3, 1, 103, 5), mark(200, 7, 104),
        ]
    )  # fmt: skip
    found = toxicity(events, UNITS, 60 * SECOND)
    assert found.unmarked == 0
    first = found.makers[found.makers["account"] == 2][0]
    assert (first["trades"], first["notional"], first["effective"], first["impact"], first["realised"]) == (
        1,
        1_010,
        10,
        40,
        -30,
    )
    assert first["fees"] == -2
    assert first["net_bps"] == pytest.approx((-30 + 2) / 1_010 * 1e4)
    taker = found.takers[found.takers["account"] == 1][0]
    assert taker["net_bps"] == pytest.approx((30 - 5) / 1_010 * 1e4)
    second = found.makers[found.makers["account"] == 3][0]
    assert (second["effective"], second["impact"], second["realised"]) == (5, 0, 5)


def test_trades_without_a_mark_are_counted():
    events = np.concatenate([trade(0, 1, 1, 2, 0, 101, 1), mark(1, 2, 100), trade(2, 3, 1, 2, 0, 101, 1), mark(3, 4, 100)])
    assert toxicity(events, UNITS, SECOND).unmarked == 1
    assert toxicity(events, UNITS, 60 * SECOND).unmarked == 2  # the events end before the horizon
    assert len(toxicity(events, UNITS, 60 * SECOND).makers) == 0


def test_forced_execution_by_hand():
    events = np.concatenate(
        [
            mark(0, 1, 100), trade(1, 2, 1, 2, 1, 98, 10, EventFlag.LIQUIDATION), trade(1, 3, 1, 2, 1, 99, 10),
            fee(4, 1, -1, LedgerLine.LIQUIDATION_FEE), fee(5, 9, 1, LedgerLine.LIQUIDATION_FEE),
        ]
    )  # fmt: skip
    found = forced_execution(events, UNITS, 1_000)
    assert (found.trades, found.notional, found.slippage, found.extra) == (1, 980, 20, 1)
    assert found.taker_fees == pytest.approx(0.98)
    assert found.fee_share == pytest.approx(1.98 / 21.98)
    assert forced_execution(events[:1], UNITS, 1_000).fee_share is None


def test_what_cannot_be_asked():
    with pytest.raises(ValueError, match="events must be EVENT_DTYPE"):
        toxicity(np.zeros(1), UNITS, 1)
    with pytest.raises(ValueError, match="horizon_ns is 0"):
        toxicity(np.zeros(0, EVENT_DTYPE), UNITS, 0)
