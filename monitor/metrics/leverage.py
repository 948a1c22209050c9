"""The leverage family: accounts' positions and wallets rebuilt from fills, and what they owe to their equity, compiled.

A fill moves the position and the cash of both its sides, and so does what the venue assigns outside the book; transfers and the
lines of the ledger (fees, funding, liquidation) move cash. An account's equity, over all symbols as in cross margin, is
cash + Σ position · price, its notional Σ |position| · price, its leverage their ratio: at most `MAX_LEVERAGE`, which is also
what equity ≤ 0 counts as. The price is the mark; without one the mid; without that the last trade's price, which there is
wherever there is a position.

Open interest is what the source reports; without a report, where accounts are known, the sum of their long positions.

Positions, cash and equity are integers; each float sum below runs in the order in which accounts came to their positions.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from monitor.metrics import accounts as account_rows
from monitor.metrics import actors, forced
from monitor.metrics.catalogue import column
from monitor.metrics.shape import FAR

MAX_LEVERAGE: Final = 125.0

HOLDER_DTYPE: Final = np.dtype([("account", "<i8"), ("listed", "<i8")])
"""Who has, or had at the last close, a position in one symbol: row i is the i-th of the list's `account`s, and `listed` whether
account i is in it. So a window's close costs what there are positions, not accounts."""

OPEN_INTEREST_DTYPE: Final = np.dtype([("closed_lots", "<i8"), ("closed", "<i8")])
"""One symbol's open interest at the previous window's end, if it was `closed` with one."""

_OPEN_INTEREST: Final = column("open_interest_usd")
_OPEN_INTEREST_CHANGE: Final = column("open_interest_change_lots")
_P50: Final = column("leverage_p50")
_P90: Final = column("leverage_p90")
_WEIGHTED: Final = column("leverage_weighted")
_NEW: Final = column("leverage_new")
_SKEW: Final = column("long_short_skew")
_POSITIONS: Final = column("positions")
_UNDERWATER: Final = column("underwater")
_TOP_SHARE: Final = column("top_position_share")
_HHI: Final = column("hhi_open_interest")
_BANKRUPTCIES: Final = column("bankruptcies_1pct_to_depth")
"""Those of 2% and 5% follow it."""


@njit(cache=True, nogil=True)
def start(state: Any) -> None:
    """The first window, or the first after windows left out: no change is measured against what was before."""
    state["closed"] = 0


@njit(cache=True, nogil=True)
def on_change(symbol: Any, positions: Any, holders: Any, cash_micro: Any, account: int, lots: int, money_micro: int) -> None:
    """`account` got `lots` (below 0: gave) for `money_micro`. `positions` int64 [N] and `holders` HOLDER_DTYPE [N] are the
    symbol's, `cash_micro` int64 [N]."""
    positions[account] += lots
    cash_micro[account] -= money_micro
    if not holders[account]["listed"]:
        holders[account]["listed"] = 1
        holders[symbol["holders"]]["account"] = account
        symbol["holders"] += 1


@njit(cache=True, nogil=True)
def value_accounts(
    symbols: Any, positions: Any, holders: Any, equity_micro: Any, lot_usd: Any, money: Any, leverage: Any, eased: Any
) -> None:
    """Fills `leverage` [N] at the prices `lot_usd` [S] of one lot; negative where equity ≤ 0, 0 without a position.

    `positions` int64 [S, N]; `equity_micro` int64 [N] holds the cash and gets the positions' value. That is rounded to whole
    micro-units of the quote, so that sums are of integers. `eased` [N] is what `leverage` would be, never negative, if what
    went out by `money` in the window, less what came in, were still there.
    """
    notional_micro = np.zeros(len(equity_micro), np.int64)
    for s in range(len(symbols)):
        lot_micro = 1e6 * lot_usd[s]
        for i in range(symbols[s]["holders"]):
            a = holders[s, i]["account"]
            value_micro = np.int64(np.rint(positions[s, a] * lot_micro))
            equity_micro[a] += value_micro
            notional_micro[a] += abs(value_micro)
    for a in range(len(leverage)):
        if notional_micro[a] == 0:
            leverage[a] = 0.0
            eased[a] = 0.0
            continue
        leverage[a] = _leverage(notional_micro[a], equity_micro[a])
        eased[a] = abs(leverage[a])
        if money[a]["withdrawals"] > 0:
            eased[a] = abs(_leverage(notional_micro[a], equity_micro[a] + forced.withdrawn(money[a])))


@njit(cache=True, nogil=True)
def _leverage(notional_micro: int, equity_micro: int) -> float:
    if equity_micro > 0:
        return float(min(notional_micro / equity_micro, MAX_LEVERAGE))
    return -MAX_LEVERAGE


@njit(cache=True, nogil=True)
def close_accounts(
    symbol: Any,
    positions: Any,
    holders: Any,
    opening: Any,
    leverage: Any,
    eased: Any,
    money: Any,
    lot_usd: float,
    s: int,
    account_flow: Any,
    window: int,
    span: Any,
    out: Any,
    accounts: Any,
    amounts: Any,
    whole: Any,
) -> int:
    """Writes the account metrics of symbol `s` into `out` [M] and makes its `positions` [N] the next window's `opening` [N].

    `leverage`, `eased` and `lot_usd` are those of `value_accounts`. Holders without a position any more leave the list. Who
    holds, grew, shrank and withdrew most goes into `accounts`, `amounts` and `whole` of `monitor.metrics.actors`, and what
    each added into its `span` of `monitor.metrics.accounts`. Returns the open interest in lots.
    """
    long_lots = 0
    short_lots = 0
    underwater = 0
    weighted = 0.0
    new_lots = 0
    new_weighted = 0.0
    kept = 0
    longs = 0
    ranks = np.empty(symbol["holders"])
    for i in range(symbol["holders"]):
        a = holders[i]["account"]
        position = positions[a]
        grown = _grown(opening[a], position)
        # Thousands hold and a few of them do anything: most must cost next to nothing here.
        if position != opening[a]:
            actors.offer(accounts, amounts, whole, actors.REDUCED, a, float(_grown(position, opening[a])))
        if money[a]["withdrawals"] > 0:
            actors.offer(accounts, amounts, whole, actors.WITHDRAWN, a, forced.withdrawn(money[a]) / 1e6)
        opening[a] = position
        if position == 0:
            holders[a]["listed"] = 0
            continue
        holders[kept]["account"] = a
        lots = abs(position)
        # Those without equity come last; they count as the highest leverage.
        ranks[kept] = leverage[a] if leverage[a] >= 0.0 else MAX_LEVERAGE + 1.0
        kept += 1
        if leverage[a] < 0.0:
            underwater += 1
        if position > 0:
            long_lots += lots
            longs += 1
        else:
            short_lots += lots
        if lots >= amounts[actors.POSITION, actors.TOP - 1]:
            actors.offer(accounts, amounts, whole, actors.POSITION, a, float(lots))
        if grown > 0 or money[a]["withdrawals"] > 0:
            # What the venue assigned, as to its fund in a takeover, is nobody's doing.
            record = account_flow[a]
            own = max(grown - record["assigned_lots"], 0) if record["window"] == window else grown
            added = own * abs(leverage[a]) + (lots - grown) * (abs(leverage[a]) - eased[a])
            actors.offer(accounts, amounts, whole, actors.EXPOSURE, a, added * lot_usd)
            account_rows.add_exposure(span, s, a, own * lot_usd, added * lot_usd)
        weighted += abs(leverage[a]) * lots
        new_lots += grown
        new_weighted += abs(leverage[a]) * grown
    symbol["holders"] = kept
    open_interest = max(long_lots, short_lots)
    whole[actors.POSITION] = open_interest
    out[_POSITIONS] = kept
    out[_UNDERWATER] = underwater
    out[_NEW] = new_weighted / new_lots if new_lots > 0 else np.nan
    if kept == 0:
        out[_P50] = np.nan
        out[_P90] = np.nan
        out[_SKEW] = np.nan
        out[_WEIGHTED] = np.nan
        out[_TOP_SHARE] = np.nan
        out[_HHI] = np.nan
        return open_interest
    out[_WEIGHTED] = weighted / (long_lots + short_lots)
    out[_TOP_SHARE] = amounts[actors.POSITION, 0] / open_interest
    out[_SKEW] = (2 * longs - kept) / kept
    long_squares = 0.0
    short_squares = 0.0
    for i in range(kept):
        position = positions[holders[i]["account"]]
        if position > 0:
            long_squares += (position / long_lots) ** 2
        else:
            short_squares += (position / short_lots) ** 2
    out[_HHI] = max(long_squares, short_squares)
    ranked = np.sort(ranks[:kept])
    out[_P50] = min(ranked[(kept + 1) // 2 - 1], MAX_LEVERAGE)
    out[_P90] = min(ranked[(9 * kept + 9) // 10 - 1], MAX_LEVERAGE)
    return open_interest


@njit(cache=True, nogil=True)
def close_bankruptcies(
    symbol: Any, positions: Any, holders: Any, equity_micro: Any, lot_usd: float, reach_usd: Any, out: Any
) -> None:
    """Writes how the positions that a move in this symbol alone would ruin compare with the book on the way.

    A long is ruined by a fall of its account's equity over its value, a short by such a rise. `equity_micro` int64 [N] and
    `lot_usd` are those of `value_accounts`; `reach_usd` [2, 3] is what is displayed within `shape.FAR` of mid. Missing while
    a side has nothing there.
    """
    ruined = np.zeros((2, len(FAR)))
    for i in range(symbol["holders"]):
        a = holders[i]["account"]
        value_usd = abs(positions[a]) * lot_usd
        if value_usd > 0.0:
            side = 0 if positions[a] > 0 else 1  # a long sells into the bids
            for k in range(len(FAR)):
                if equity_micro[a] / 1e6 <= FAR[k] * value_usd:
                    ruined[side, k] += value_usd
    for k in range(len(FAR)):
        if reach_usd[0, k] > 0.0 and reach_usd[1, k] > 0.0:
            out[_BANKRUPTCIES + k] = max(ruined[0, k] / reach_usd[0, k], ruined[1, k] / reach_usd[1, k])
        else:
            out[_BANKRUPTCIES + k] = np.nan


@njit(cache=True, nogil=True)
def close_open_interest(state: Any, lots: int, known: bool, lot_usd: float, out: Any) -> None:
    """Writes open interest of `lots` into `out` [M] (missing unless `known`) and remembers it for the next window."""
    out[_OPEN_INTEREST] = lots * lot_usd if known and lot_usd > 0.0 else np.nan
    out[_OPEN_INTEREST_CHANGE] = lots - state["closed_lots"] if known and state["closed"] else np.nan
    state["closed_lots"] = lots
    state["closed"] = known


@njit(cache=True, nogil=True)
def _grown(before: int, now: int) -> int:
    """Lots of the position `now` that were not in the position `before`: all of them if it turned."""
    if before == 0 or (before > 0) != (now > 0):
        return abs(now)
    return max(abs(now) - abs(before), 0)
