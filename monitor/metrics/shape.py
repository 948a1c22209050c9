"""The shape of the book as a window ends: depth within distances of mid, and whose it is, per symbol, compiled.

A known book that has lost a side has no depth there; an unknown one (see `monitor.metrics.depth`) is not measured. Shares
are of the lots displayed within 10 bps of mid, both sides, by account; lots of no known account count in the whole.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from engine.book import level_head, next_level
from monitor.metrics.catalogue import column
from monitor.metrics.depth import NEAR

TOP: Final = 5
DISTANCES: Final = (5e-4, 25e-4, 50e-4)
FAR: Final = (1e-2, 2e-2, 5e-2)
"""Distances at which the book is held against positions (see `monitor.metrics.leverage`)."""

_BID_5: Final = column("depth_bid_5bps_usd")
_ASK_5: Final = column("depth_ask_5bps_usd")
_BID_25: Final = column("depth_bid_25bps_usd")
_ASK_25: Final = column("depth_ask_25bps_usd")
_BID_50: Final = column("depth_bid_50bps_usd")
_ASK_50: Final = column("depth_ask_50bps_usd")
_TOP_SHARE: Final = column("top5_depth_share")
_HHI: Final = column("hhi_depth")


@njit(cache=True, nogil=True)
def close(book: Any, mid: float, known: bool, deep: bool, accounts: bool, lots_of: Any, value_usd: float, out: Any) -> None:
    """Writes the metrics into `out` [M]. `mid` in ticks; `lots_of` int64 [N] is zero before and after."""
    for column_ in (_BID_5, _ASK_5, _BID_25, _ASK_25, _BID_50, _ASK_50, _TOP_SHARE, _HHI):
        out[column_] = np.nan
    if not known:
        return
    if deep:
        _bands(book, 0, mid, value_usd, out)
        _bands(book, 1, mid, value_usd, out)
    if accounts:
        _shares(book, mid, lots_of, out)


@njit(cache=True, nogil=True)
def _away(side: int, price: int, mid: float) -> float:
    """How far behind mid a price lies, as a share of it; negative where the book is crossed."""
    return (mid - price) / mid if side == 0 else (price - mid) / mid


@njit(cache=True, nogil=True)
def _bands(book: Any, side: int, mid: float, value_usd: float, out: Any) -> None:
    near = 0.0
    wide = 0.0
    widest = 0.0
    price, lots = next_level(book, side, 0)
    while price != 0:
        away = _away(side, price, mid)
        if away > DISTANCES[2]:
            break
        worth = float(price) * lots * value_usd
        widest += worth
        if away <= DISTANCES[1]:
            wide += worth
            if away <= DISTANCES[0]:
                near += worth
        price, lots = next_level(book, side, price)
    out[_BID_5 if side == 0 else _ASK_5] = near
    out[_BID_25 if side == 0 else _ASK_25] = wide
    out[_BID_50 if side == 0 else _ASK_50] = widest


@njit(cache=True, nogil=True)
def reach(book: Any, mid: float, value_usd: float, out: Any) -> None:
    """Adds the value of what is displayed within each distance of `FAR` from mid to `out` [2 sides, 3]."""
    for side in range(2):
        price, lots = next_level(book, side, 0)
        while price != 0:
            away = _away(side, price, mid)
            if away > FAR[2]:
                break
            worth = float(price) * lots * value_usd
            for k in range(len(FAR)):
                if away <= FAR[k]:
                    out[side, k] += worth
            price, lots = next_level(book, side, price)


@njit(cache=True, nogil=True)
def _shares(book: Any, mid: float, lots_of: Any, out: Any) -> None:
    """Two walks over the orders near mid: one adds up, one takes each account's sum away again as it counts it."""
    total = 0
    for side in range(2):
        price, lots = next_level(book, side, 0)
        while price != 0 and _away(side, price, mid) <= NEAR:
            total += lots
            slot = level_head(book, side, price)
            while slot != 0:
                order = book["orders"][slot]
                if 0 <= order["account"] < len(lots_of):
                    lots_of[order["account"]] += order["qty"]
                slot = order["next"]
            price, lots = next_level(book, side, price)
    if total == 0:
        return
    top = np.zeros(TOP, np.int64)
    squares = 0.0
    for side in range(2):
        price, lots = next_level(book, side, 0)
        while price != 0 and _away(side, price, mid) <= NEAR:
            slot = level_head(book, side, price)
            while slot != 0:
                order = book["orders"][slot]
                if 0 <= order["account"] < len(lots_of) and lots_of[order["account"]] > 0:
                    held = lots_of[order["account"]]
                    lots_of[order["account"]] = 0
                    squares += (held / total) ** 2
                    for k in range(TOP):
                        if held > top[k]:
                            top[k], held = held, top[k]
                slot = order["next"]
            price, lots = next_level(book, side, price)
    out[_TOP_SHARE] = top.sum() / total
    out[_HHI] = squares
