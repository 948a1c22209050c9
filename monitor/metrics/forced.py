"""What a venue forces: trades of liquidations, takeovers, deleveraging, and the accounts that are close to it, compiled.

A venue says itself where an account stands (STANDING events) and what is forced (the flag LIQUIDATION, ASSIGN with its
reason). The monitor counts what it is told; it does not guess from prices.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from engine.contract import AccountLevel, EventFlag, Reason
from monitor.metrics.catalogue import column

FORCED_DTYPE: Final = np.dtype(
    [("liquidations", "<i8"), ("liquidated_lots", "<i8"), ("takeovers", "<i8"), ("deleveraged_lots", "<i8")]
)
"""One symbol's window."""

_LIQUIDATIONS: Final = column("liquidations")
_LIQUIDATED: Final = column("liquidated_lots")
_TAKEOVERS: Final = column("takeovers")
_DELEVERAGED: Final = column("deleveraged_lots")
_RESTRICTED: Final = column("accounts_restricted")
_LIQUIDATING: Final = column("accounts_liquidating")

_LIQUIDATION: Final = int(EventFlag.LIQUIDATION)
_TAKEOVER: Final = int(Reason.TAKEOVER)
_DELEVERAGE: Final = int(Reason.DELEVERAGED)
_REDUCE_ONLY: Final = int(AccountLevel.REDUCE_ONLY)
_LIQUIDATE: Final = int(AccountLevel.LIQUIDATE)
_CLAIM: Final = int(AccountLevel.CLAIM)


@njit(cache=True, nogil=True)
def on_trade(state: Any, flags: int, lots: int) -> None:
    """A trade that counts."""
    if flags & _LIQUIDATION:
        state["liquidations"] += 1
        state["liquidated_lots"] += lots


@njit(cache=True, nogil=True)
def on_assign(state: Any, code: int, lots: int) -> None:
    """Lots that went outside the book."""
    if code == _TAKEOVER:
        state["takeovers"] += 1
    elif code == _DELEVERAGE:
        state["deleveraged_lots"] += lots


@njit(cache=True, nogil=True)
def close(state: Any, out: Any) -> None:
    """Writes the window's counts into `out` [M] and starts the next one."""
    out[_LIQUIDATIONS] = state["liquidations"]
    out[_LIQUIDATED] = state["liquidated_lots"]
    out[_TAKEOVERS] = state["takeovers"]
    out[_DELEVERAGED] = state["deleveraged_lots"]
    state["liquidations"] = 0
    state["liquidated_lots"] = 0
    state["takeovers"] = 0
    state["deleveraged_lots"] = 0


@njit(cache=True, nogil=True)
def close_accounts(symbol: Any, positions: Any, holders: Any, levels: Any, out: Any) -> None:
    """Counts the accounts with a position here that may only reduce, and of those the ones being liquidated.

    `positions` int64 [N], `holders` of `monitor.metrics.leverage`, `levels` int64 [N] the AccountLevel of each as told last.
    """
    restricted = 0
    liquidating = 0
    for i in range(symbol["holders"]):
        a = holders[i]["account"]
        if positions[a] != 0 and levels[a] >= _REDUCE_ONLY:
            restricted += 1
            if levels[a] == _LIQUIDATE or levels[a] == _CLAIM:
                liquidating += 1
    out[_RESTRICTED] = restricted
    out[_LIQUIDATING] = liquidating
