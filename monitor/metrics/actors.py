"""Who did most of what a family is about: for each measure the accounts of a window that did most of it, compiled.

A window keeps `TOP` accounts a measure and what all did together, so that the sums over several windows still name who did
most of an event, with a lower bound of the share. What an account does is counted in the window of its own record, which is
begun anew at its first act of a window; a list of who acted makes the closing of a window cost what there was done, not what
there are accounts.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from monitor.metrics.accounts import add_flow

NEVER: Final = -(2**62)
TOP: Final = 4
"""Accounts a measure, symbol and window."""

MEASURES: Final[dict[str, str]] = {
    "cancels": "orders cancelled, full or partial",
    "slow_fleeting_cancels": "of those, of orders that had rested < 2 s (RISK-SPEC 10, fleeting)",
    "rejects": "ops refused",
    "taken_lots": "lots traded as taker",
    "near_cancelled_lots": "lots cancelled within 10 bps of mid: what left the book untraded where it is needed",
    "forced_lots": "lots traded in liquidation, or lost to a takeover",
    "position_lots": "size of the position at the window's end; all: open interest (one side)",
    "reduced_lots": "lots of the position at the window's start that are gone at its end",
    "exposure_usd": (
        "leverage-weighted exposure added: value of new lots, but those assigned outside the book, × the account's leverage,"
        " and its old lots' value × what withdrawals of the window, less deposits, added to that leverage"
    ),
    "withdrawn_usd": "withdrawals of an account with a position here, less its deposits",
}
"""What accounts are ranked by, in the order of the columns."""

CANCELS, FLEETING, REJECTS, TAKEN, NEAR_CANCELLED, FORCED, POSITION, REDUCED, EXPOSURE, WITHDRAWN = range(len(MEASURES))


class Actors(NamedTuple):
    """Of W windows, S symbols and the measures Q: `accounts` int64 [W, S, Q, TOP], most first, the lowest number among equals,
    -1 where fewer did anything; `amounts` float64 of the same shape; `whole` float64 [W, S, Q], what all accounts did."""

    accounts: npt.NDArray[np.int64]
    amounts: npt.NDArray[np.float64]
    whole: npt.NDArray[np.float64]

    def at(self, windows: slice | int) -> Actors:
        """Those of some windows, as views; of a single one without an axis of windows."""
        return Actors(self.accounts[windows], self.amounts[windows], self.whole[windows])

    def then(self, rest: Actors) -> Actors:
        """These and those of the windows that follow."""
        return Actors(
            np.concatenate([self.accounts, rest.accounts]),
            np.concatenate([self.amounts, rest.amounts]),
            np.concatenate([self.whole, rest.whole]),
        )


ACCOUNT_FLOW_DTYPE: Final = np.dtype(
    [
        ("window", "<i8"),
        ("adds", "<i8"),
        ("cancels", "<i8"),
        ("slow_fleeting_cancels", "<i8"),
        ("cancels_after_fill", "<i8"),
        ("rejects", "<i8"),
        ("fills", "<i8"),
        ("taken_lots", "<i8"),
        ("near_cancelled_lots", "<i8"),
        ("forced_lots", "<i8"),
        ("assigned_lots", "<i8"),
        ("filled_ns", "<i8", (2,)),
        ("refused_ns", "<i8"),
    ]
)
"""One account in one symbol: what it did in `window`, and nothing in any later one, so that nothing needs clearing; when it
last bought and sold, and was last refused."""


def new_account_flow(symbols: int, accounts: int) -> np.ndarray:
    """ACCOUNT_FLOW_DTYPE [symbols, accounts] that have done nothing."""
    state = np.zeros((symbols, accounts), ACCOUNT_FLOW_DTYPE)
    state["filled_ns"] = state["refused_ns"] = NEVER
    return state


def new_actors(windows: int, symbols: int) -> Actors:
    """Nobody did anything."""
    shape = (windows, symbols, len(MEASURES))
    return Actors(np.full((*shape, TOP), -1, np.int64), np.zeros((*shape, TOP)), np.zeros(shape))


@njit(cache=True, nogil=True)
def acting(symbol: Any, account_flow: Any, active: Any, account: int, window: int) -> Any:
    """The record of an account that does something in `window`. `account_flow` [N] and `active` int64 [N] are the symbol's."""
    record = account_flow[account]
    if record["window"] != window:
        record["window"] = window
        record["adds"] = 0
        record["cancels"] = 0
        record["slow_fleeting_cancels"] = 0
        record["cancels_after_fill"] = 0
        record["rejects"] = 0
        record["fills"] = 0
        record["taken_lots"] = 0
        record["near_cancelled_lots"] = 0
        record["forced_lots"] = 0
        record["assigned_lots"] = 0
        active[symbol["active"]] = account
        symbol["active"] += 1
    return record


@njit(cache=True, nogil=True)
def offer(accounts: Any, amounts: Any, whole: Any, measure: int, account: int, amount: float) -> None:
    """Counts what an account did of a measure. The arrays are one symbol's: [Q, TOP], [Q, TOP] and [Q]."""
    if amount <= 0.0:
        return
    whole[measure] += amount
    place = TOP
    while place > 0:
        other = amounts[measure, place - 1]
        if other > amount or (other == amount and accounts[measure, place - 1] < account):
            break
        place -= 1
    for k in range(TOP - 1, place, -1):
        accounts[measure, k] = accounts[measure, k - 1]
        amounts[measure, k] = amounts[measure, k - 1]
    if place < TOP:
        accounts[measure, place] = account
        amounts[measure, place] = amount


@njit(cache=True, nogil=True)
def close(
    symbol: Any, s: int, account_flow: Any, active: Any, lot_usd: float, span: Any, accounts: Any, amounts: Any, whole: Any
) -> None:
    """Ranks who acted in the window of symbol `s` that ends, counts it for their `span`, and starts the next window."""
    for i in range(symbol["active"]):
        a = active[i]
        record = account_flow[a]
        offer(accounts, amounts, whole, CANCELS, a, float(record["cancels"]))
        offer(accounts, amounts, whole, FLEETING, a, float(record["slow_fleeting_cancels"]))
        offer(accounts, amounts, whole, REJECTS, a, float(record["rejects"]))
        offer(accounts, amounts, whole, TAKEN, a, float(record["taken_lots"]))
        offer(accounts, amounts, whole, NEAR_CANCELLED, a, float(record["near_cancelled_lots"]))
        offer(accounts, amounts, whole, FORCED, a, float(record["forced_lots"]))
        add_flow(span, s, a, record, lot_usd)
    symbol["active"] = 0
