"""What a venue forces: trades of liquidations, takeovers, deleveraging, and the accounts that are close to it, compiled.

A venue says itself where an account stands (STANDING events) and what is forced (the flag LIQUIDATION, ASSIGN with its
reason). The monitor counts what it is told; it does not guess from prices.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from engine.contract import AccountLevel, EventFlag, LedgerLine, Reason
from monitor.metrics.catalogue import column

FORCED_DTYPE: Final = np.dtype(
    [
        ("liquidations", "<i8"),
        ("liquidated_lots", "<i8"),
        ("long_value", "<f8"),
        ("short_value", "<f8"),
        ("takeovers", "<i8"),
        ("deleveraged_lots", "<i8"),
    ]
)
"""One symbol's window; values in ticks · lots."""

MONEY_DTYPE: Final = np.dtype(
    [("deposits", "<i8"), ("withdrawals", "<i8"), ("funding", "<i8"), ("fees", "<i8"), ("liquidation", "<i8")]
)
"""What went through one account's wallet in the window, micro-units; all but withdrawals as seen by the account."""

_LIQUIDATIONS: Final = column("liquidations")
_LIQUIDATED: Final = column("liquidated_lots")
_LIQUIDATED_LONG: Final = column("liquidated_long_usd")
_LIQUIDATED_SHORT: Final = column("liquidated_short_usd")
_TAKEOVERS: Final = column("takeovers")
_DELEVERAGED: Final = column("deleveraged_lots")
_REMINDED: Final = column("accounts_reminded")
_RESTRICTED: Final = column("accounts_restricted")
_LIQUIDATING: Final = column("accounts_liquidating")
_DEPOSITS: Final = column("deposits_usd")
_WITHDRAWALS: Final = column("withdrawals_usd")
_FUNDING_PAID: Final = column("funding_paid_usd")
_FEES_PAID: Final = column("fees_paid_usd")
_LIQUIDATION_COST: Final = column("liquidation_cost_usd")

_LIQUIDATION: Final = int(EventFlag.LIQUIDATION)
_TAKEOVER: Final = int(Reason.TAKEOVER)
_DELEVERAGE: Final = int(Reason.DELEVERAGED)
_REMIND: Final = int(AccountLevel.REMIND)
_REDUCE_ONLY: Final = int(AccountLevel.REDUCE_ONLY)
_LIQUIDATE: Final = int(AccountLevel.LIQUIDATE)
_CLAIM: Final = int(AccountLevel.CLAIM)
_LINE_FUNDING: Final = int(LedgerLine.FUNDING)
_LINE_FEE: Final = int(LedgerLine.FEE)
_LINE_MAKER_FEE: Final = int(LedgerLine.MAKER_FEE)
_LINE_LIQUIDATION_FEE: Final = int(LedgerLine.LIQUIDATION_FEE)


@njit(cache=True, nogil=True)
def on_trade(state: Any, flags: int, side: int, price: int, lots: int) -> None:
    """A trade that counts; `side` is the taker's: whoever is liquidated takes."""
    if flags & _LIQUIDATION:
        state["liquidations"] += 1
        state["liquidated_lots"] += lots
        if side == 0:
            state["short_value"] += float(price) * lots
        else:
            state["long_value"] += float(price) * lots


@njit(cache=True, nogil=True)
def on_transfer(money: Any, amount_micro: int) -> None:
    """A deposit to (above 0) or a withdrawal from one account's wallet."""
    if amount_micro > 0:
        money["deposits"] += amount_micro
    else:
        money["withdrawals"] -= amount_micro


@njit(cache=True, nogil=True)
def on_ledger(money: Any, line: int, amount_micro: int) -> None:
    """A line of the ledger that changed one account's wallet."""
    if line == _LINE_FUNDING:
        money["funding"] += amount_micro
    elif line in (_LINE_FEE, _LINE_MAKER_FEE):
        money["fees"] += amount_micro
    elif line == _LINE_LIQUIDATION_FEE:
        money["liquidation"] += amount_micro


@njit(cache=True, nogil=True)
def withdrawn(money: Any) -> int:
    """What one account took out of its wallet in the window beyond what it paid in, micro-units, at least 0."""
    return int(max(money["withdrawals"] - money["deposits"], 0))


@njit(cache=True, nogil=True)
def on_assign(state: Any, code: int, lots: int) -> None:
    """Lots that went outside the book."""
    if code == _TAKEOVER:
        state["takeovers"] += 1
    elif code == _DELEVERAGE:
        state["deleveraged_lots"] += lots


@njit(cache=True, nogil=True)
def start_money(money: Any) -> None:
    """Starts the next window of every account's wallet."""
    for a in range(len(money)):
        money[a]["deposits"] = 0
        money[a]["withdrawals"] = 0
        money[a]["funding"] = 0
        money[a]["fees"] = 0
        money[a]["liquidation"] = 0


@njit(cache=True, nogil=True)
def close(state: Any, value_usd: float, out: Any) -> None:
    """Writes the window's counts into `out` [M] and starts the next one. `value_usd`: what a lot at one tick is worth."""
    out[_LIQUIDATIONS] = state["liquidations"]
    out[_LIQUIDATED] = state["liquidated_lots"]
    out[_LIQUIDATED_LONG] = state["long_value"] * value_usd
    out[_LIQUIDATED_SHORT] = state["short_value"] * value_usd
    out[_TAKEOVERS] = state["takeovers"]
    out[_DELEVERAGED] = state["deleveraged_lots"]
    state["liquidations"] = 0
    state["liquidated_lots"] = 0
    state["long_value"] = 0.0
    state["short_value"] = 0.0
    state["takeovers"] = 0
    state["deleveraged_lots"] = 0


@njit(cache=True, nogil=True)
def close_accounts(symbol: Any, positions: Any, holders: Any, levels: Any, money: Any, out: Any) -> None:
    """Counts the accounts with a position here that were reminded, may only reduce, are liquidated; and adds up `money`.

    `positions` int64 [N], `holders` of `monitor.metrics.leverage`, `levels` int64 [N] the AccountLevel of each as told last,
    `money` MONEY_DTYPE [N]. Money is that of every account that had a position here in the window.
    """
    reminded = 0
    restricted = 0
    liquidating = 0
    sums = np.zeros(5, np.int64)
    for i in range(symbol["holders"]):
        a = holders[i]["account"]
        sums[0] += money[a]["deposits"]
        sums[1] += money[a]["withdrawals"]
        sums[2] -= money[a]["funding"]
        sums[3] -= money[a]["fees"]
        sums[4] -= money[a]["liquidation"]
        if positions[a] != 0 and levels[a] >= _REMIND:
            reminded += 1
        if positions[a] != 0 and levels[a] >= _REDUCE_ONLY:
            restricted += 1
            if levels[a] == _LIQUIDATE or levels[a] == _CLAIM:
                liquidating += 1
    out[_REMINDED] = reminded
    out[_RESTRICTED] = restricted
    out[_LIQUIDATING] = liquidating
    out[_DEPOSITS] = sums[0] / 1e6
    out[_WITHDRAWALS] = sums[1] / 1e6
    out[_FUNDING_PAID] = sums[2] / 1e6
    out[_FEES_PAID] = sums[3] / 1e6
    out[_LIQUIDATION_COST] = sums[4] / 1e6
