"""What fees attract and what they add: how prices went on after trades, by account and role, and what forced execution cost.

Of a trade of `q` at `p` with the mark `m` at its time and `m'` at the horizon, `d` = 1 where the taker buys:

    effective half-spread  d · (p - m) · q        what the taker paid beyond the mark, and the maker earned
    impact                 d · (m' - m) · q       what the price went on for the taker: the maker's adverse selection
    realised half-spread   d · (p - m') · q       what of it the maker kept, before fees: effective less impact

A maker whose realised half-spread is negative and who lives on the rebate makes markets for toxic flow; a taker whose impact is
above what it pays is that flow. Half-spreads as in Huang and Stoll (1996); the mark stands for the mid.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from engine.contract import EVENT_DTYPE, MICRO, EventFlag, EventKind, LedgerLine, Reference

MARKOUT_DTYPE: Final = np.dtype(
    [("account", "<i8"), ("trades", "<i8")]
    + [
        (name, "<f8")
        for name in ("notional", "effective", "impact", "realised", "fees", "effective_bps", "impact_bps", "net_bps")
    ]
)
"""One account in one role. Money in quote units; `fees` are paid (a rebate is negative); the maker's `net_bps` is
(realised - fees) over notional in basis points, the taker's (impact - effective - fees)."""

_BPS: Final = 1e4


class Toxicity(NamedTuple):
    """MARKOUT_DTYPE by role, the largest notional first, and how many trades had no mark at their time or at the horizon."""

    makers: np.ndarray
    takers: np.ndarray
    unmarked: int


class Forced(NamedTuple):
    """What forced execution cost, quote units: number of `trades`, `notional`, `slippage` beyond the mark at the time,
    `taker_fees` and `extra` cost; `fee_share`: of all three, what the fees are; None without a cost."""

    trades: int
    notional: float
    slippage: float
    taker_fees: float
    extra: float
    fee_share: float | None


def toxicity(events: np.ndarray, units: np.ndarray, horizon_ns: int) -> Toxicity:
    """Measures every trade of the book against the marks before it and `horizon_ns` later.

    Args:
        events: EVENT_DTYPE [n] in the order of the venue.
        units: int64 [S], micro-units of the quote that a lot is worth at a tick.
        horizon_ns: above 0; a minute is usual.

    Raises:
        ValueError: events of another layout, or a horizon that is none.
    """
    _check(events)
    if horizon_ns <= 0:
        raise ValueError(f"horizon_ns is {horizon_ns}, it must be above zero")
    trades = events[events["kind"] == EventKind.TRADE]
    before, after = _marks(events, trades, 0), _marks(events, trades, horizon_ns)
    known = (before > 0) & (after > 0)
    trades, before, after = trades[known], before[known], after[known]
    buys = np.where(trades["side"] == 0, 1.0, -1.0)
    size = trades["qty"] * units[trades["symbol"]] / MICRO
    price = trades["price"].astype(np.float64)
    rows = {
        "notional": price * size,
        "effective": buys * (price - before) * size,
        "impact": buys * (after - before) * size,
    }
    makers = _by_account(trades["contra_account"], rows, _fees(events, LedgerLine.MAKER_FEE))
    takers = _by_account(trades["account"], rows, _fees(events, LedgerLine.FEE))
    for table, gained in ((makers, makers["realised"]), (takers, -takers["realised"])):
        table["net_bps"] = (gained - table["fees"]) / table["notional"] * _BPS
    return Toxicity(makers, takers, int((~known).sum()))


def forced_execution(events: np.ndarray, units: np.ndarray, taker_ppm: int) -> Forced:
    """What liquidations paid beyond the mark, by what it went to (trades with the flag LIQUIDATION, and their ledger lines).

    `taker_ppm` is the fee rate of forced orders. Arguments else as in `toxicity`.
    """
    _check(events)
    trades = events[(events["kind"] == EventKind.TRADE) & ((events["flags"] & EventFlag.LIQUIDATION) != 0)]
    marks = _marks(events, trades, 0)
    buys = np.where(trades["side"] == 0, 1.0, -1.0)
    size = trades["qty"] * units[trades["symbol"]] / MICRO
    notional = float((trades["price"] * size).sum())
    slipped = float(np.where(marks > 0, buys * (trades["price"] - marks) * size, 0.0).sum())
    fees = notional * taker_ppm / MICRO
    lines = events[(events["kind"] == EventKind.LEDGER) & (events["code"] == LedgerLine.LIQUIDATION_FEE) & (events["qty"] < 0)]
    extra = float(np.abs(lines["qty"]).sum()) / MICRO
    cost = slipped + fees + extra
    return Forced(len(trades), notional, slipped, fees, extra, (fees + extra) / cost if cost > 0 else None)


def _check(events: np.ndarray) -> None:
    if events.dtype != EVENT_DTYPE:
        raise ValueError(f"events must be EVENT_DTYPE, not {events.dtype}")


def _marks(events: np.ndarray, trades: np.ndarray, later_ns: int) -> np.ndarray:
    """The last mark at the trade's time plus `later_ns`, ticks; 0 where there is none, or where the events end before."""
    found = np.zeros(len(trades))
    told = events[(events["kind"] == EventKind.REFERENCE) & (events["code"] == Reference.MARK)]
    end = events["ts_ns"].max(initial=0)
    for symbol in np.unique(trades["symbol"]):
        mine = trades["symbol"] == symbol
        marks = told[told["symbol"] == symbol]
        when = trades["ts_ns"][mine] + later_ns
        # Of a mark and a trade at the same time the sequence decides; at the horizon any at that time counts.
        if later_ns:
            at = np.searchsorted(marks["ts_ns"], when, side="right") - 1
        else:
            at = np.searchsorted(marks["seq"], trades["seq"][mine]) - 1
        prices = np.where(at >= 0, marks["price"][np.maximum(at, 0)] / MICRO, 0.0) if len(marks) else np.zeros(len(when))
        found[mine] = np.where(when <= end, prices, 0.0)
    return found


def _fees(events: np.ndarray, line: LedgerLine) -> dict[int, float]:
    """Paid by account, quote units; what the account of the fees gets is not paid."""
    lines = events[(events["kind"] == EventKind.LEDGER) & (events["code"] == line)]
    accounts, place = np.unique(lines["account"], return_inverse=True)
    paid = -np.bincount(place, weights=lines["qty"].astype(np.float64), minlength=len(accounts)) / MICRO
    return dict(zip(accounts.tolist(), paid.tolist(), strict=True))


def _by_account(who: np.ndarray, rows: dict[str, np.ndarray], fees: dict[int, float]) -> np.ndarray:
    accounts, place, trades = np.unique(who, return_inverse=True, return_counts=True)
    table = np.zeros(len(accounts), MARKOUT_DTYPE)
    table["account"], table["trades"] = accounts, trades
    for name, values in rows.items():
        table[name] = np.bincount(place, weights=values, minlength=len(accounts))
    table["realised"] = table["effective"] - table["impact"]
    table["fees"] = [fees.get(int(account), 0.0) for account in accounts]
    for name in ("effective", "impact"):
        table[f"{name}_bps"] = table[name] / table["notional"] * _BPS
    return table[np.argsort(-table["notional"], kind="stable")]
