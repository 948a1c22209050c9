"""The cancel family: adds, cancels, trades and lifetimes of one window, per symbol, compiled.

An order-by-order source (L3) says what a cancel is. An aggregated one (L2) only says what a level displays now, so a
decrease is told from a fill by the trades: what traded at that price and side since the level's last update explains as
many lots of a decrease, the rest is a cancel, and an increase beyond what is left after those trades is an add. The two
messages come in either order: a trade up to `EXPLAIN_NS` after the decrease takes its lots back out of the window's
cancels. A pair that straddles a window's end stays a cancel in the window that has closed, but is matched, so that the
trade does not go on to explain another decrease.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit

from monitor.metrics.catalogue import column

FLEETING_NS: Final = 100_000_000
SLOW_FLEETING_NS: Final = 2_000_000_000
AFTER_FILL_NS: Final = 1_000_000_000
"""So soon after a fill on the other side a cancel is one after it (CFTC cases: 2.3 s at the median; the fast ones count)."""
RETRY_NS: Final = 1_000_000_000
BURSTS: Final = 20
"""Parts of a window in which cancels are counted for their burstiness: 50 ms each of a second."""
EXPLAIN_NS: Final = 250_000_000
"""How far a level's decrease and the trade behind it may lie apart: feeds that publish every 100 ms, with room for jitter."""

PRINTS: Final = 1024
"""Price levels of a symbol with a recent trade or decrease that are remembered; a new one forgets the one in its place,
whose price is 512 ticks or a multiple away."""

_SUB_BITS: Final = 6
_SUB_BINS: Final = 1 << _SUB_BITS
_LONGEST_NS: Final = 1 << 52
"""Lives above 52 days count as 52 days."""
_BINS: Final = (52 - _SUB_BITS + 2) * _SUB_BINS

FLOW_DTYPE: Final = np.dtype(
    [
        ("adds", "<i8"),
        ("cancels", "<i8"),
        ("cancels_buy", "<i8"),
        ("cancels_near", "<i8"),
        ("after_fill", "<i8"),
        ("retries", "<i8"),
        ("fleeting", "<i8"),
        ("slow_fleeting", "<i8"),
        ("replaces", "<i8"),
        ("rejects", "<i8"),
        ("throttled", "<i8"),
        ("added_lots", "<i8"),
        ("cancelled_lots", "<i8"),
        ("trades", "<i8"),
        ("traded_lots", "<i8"),
        ("signed_lots", "<i8"),
        ("lives_n", "<i8"),
        ("lives_low", "<i8"),
        ("lives_high", "<i8"),
        ("lives", "<i4", (_BINS,)),
        ("bursts", "<i8", (BURSTS,)),
    ]
)
"""One symbol's window. `lives` counts lifetimes in bins of 1/64 of their octave, so a median is exact within 0.8%."""

PRINT_DTYPE: Final = np.dtype(
    [
        ("level", "<i8"),
        ("traded", "<i8"),
        ("traded_ns", "<i8"),
        ("dropped", "<i8"),
        ("dropped_ns", "<i8"),
        ("dropped_window", "<i8"),
        ("dropped_near", "<i8"),
        ("dropped_burst", "<i8"),
    ]
)
"""One price level of an L2 book: lots traded there that no update has shown yet, and its last unexplained decrease."""

_ADDS: Final = column("adds")
_CANCELS: Final = column("cancels")
_CANCELS_BUY: Final = column("cancels_buy")
_CANCELS_SELL: Final = column("cancels_sell")
_CANCELS_NEAR: Final = column("cancels_near")
_AFTER_FILL: Final = column("cancels_after_fill")
_RETRIES: Final = column("retries")
_FLEETING: Final = column("fleeting_cancels")
_SLOW_FLEETING: Final = column("slow_fleeting_cancels")
_REPLACES: Final = column("replaces")
_REJECTS: Final = column("rejects")
_THROTTLED: Final = column("throttled")
_VTR: Final = column("volume_to_trade_ratio")
_CANCEL_TO_ADD: Final = column("cancel_to_add")
_BURSTINESS: Final = column("cancel_burstiness")
_ADDED_LOTS: Final = column("added_lots")
_CANCELLED_LOTS: Final = column("cancelled_lots")
_TRADES: Final = column("trades")
_TRADED_LOTS: Final = column("traded_lots")
_SIGNED_LOTS: Final = column("signed_lots")
_OTR: Final = column("order_to_trade_ratio")
_LIFETIME: Final = column("lifetime_p50_ms")
_TOP_SHARE: Final = column("top_cancel_share")


def new_flow(symbols: int) -> np.ndarray:
    """FLOW_DTYPE [symbols], at the start of a window."""
    flow = np.zeros(symbols, FLOW_DTYPE)
    flow["lives_low"] = _BINS
    return flow


def new_prints(symbols: int, *, levels: bool) -> np.ndarray:
    """PRINT_DTYPE [symbols, PRINTS], or without columns when the source has orders and needs none."""
    prints = np.zeros((symbols, PRINTS if levels else 0), PRINT_DTYPE)
    prints["level"] = -1
    return prints


@njit(cache=True, nogil=True)
def life_bin(life_ns: int) -> int:
    """Bin of a lifetime: one nanosecond wide below 64 ns, 1/64 of the octave above."""
    life_ns = min(max(life_ns, 0), _LONGEST_NS)
    if life_ns < _SUB_BINS:
        return life_ns
    octave = math.frexp(float(life_ns))[1] - 1
    return (octave - _SUB_BITS + 1) * _SUB_BINS + ((life_ns >> (octave - _SUB_BITS)) & (_SUB_BINS - 1))


@njit(cache=True, nogil=True)
def bin_middle_ns(index: int) -> float:
    """Middle of a bin."""
    if index < _SUB_BINS:
        return float(index)
    octave = index // _SUB_BINS - 1
    return (float(_SUB_BINS + index % _SUB_BINS) + 0.5) * 2.0**octave


@njit(cache=True, nogil=True)
def on_add(flow: Any, lots: int) -> None:
    flow["adds"] += 1
    flow["added_lots"] += lots


@njit(cache=True, nogil=True)
def on_cancel(flow: Any, side: int, lots: int, near: bool, burst: int) -> None:
    """`burst` is the part of the window, 0 … BURSTS - 1."""
    flow["cancels"] += 1
    flow["bursts"][burst] += 1
    flow["cancelled_lots"] += lots
    if side == 0:
        flow["cancels_buy"] += 1
    if near:
        flow["cancels_near"] += 1


@njit(cache=True, nogil=True)
def on_reject(flow: Any, throttled: bool) -> None:
    flow["rejects"] += 1
    flow["throttled"] += throttled


@njit(cache=True, nogil=True)
def on_reject_of(flow: Any, record: Any, now_ns: int) -> None:
    """The refusal is of an op of the account with this `record` (`monitor.metrics.actors`)."""
    flow["retries"] += now_ns - record["refused_ns"] <= RETRY_NS
    record["refused_ns"] = now_ns
    record["rejects"] += 1


@njit(cache=True, nogil=True)
def on_cancelled_order(flow: Any, life_ns: int, whole: bool) -> None:
    """The life so far of the order whose cancel was just counted; `whole` when nothing of it rests any more."""
    if life_ns < FLEETING_NS:
        flow["fleeting"] += 1
    if life_ns < SLOW_FLEETING_NS:
        flow["slow_fleeting"] += 1
    if whole:
        index = life_bin(life_ns)
        flow["lives"][index] += 1
        flow["lives_n"] += 1
        flow["lives_low"] = min(flow["lives_low"], index)
        flow["lives_high"] = max(flow["lives_high"], index)


@njit(cache=True, nogil=True)
def on_cancel_by(flow: Any, record: Any, side: int, lots: int, near: bool, life_ns: int, now_ns: int) -> None:
    """Counts a cancel for the account with this `record`; `life_ns` is negative where the order's age is unknown."""
    after_fill = now_ns - record["filled_ns"][1 - side] <= AFTER_FILL_NS
    flow["after_fill"] += after_fill
    record["cancels_after_fill"] += after_fill
    record["cancels"] += 1
    if 0 <= life_ns < SLOW_FLEETING_NS:
        record["slow_fleeting_cancels"] += 1
    if near:
        record["near_cancelled_lots"] += lots


@njit(cache=True, nogil=True)
def on_trade(flow: Any, side: int, lots: int) -> None:
    """`side` is the taker's."""
    flow["trades"] += 1
    flow["traded_lots"] += lots
    flow["signed_lots"] += lots if side == 0 else -lots


@njit(cache=True, nogil=True)
def _print_of(prints: Any, side: int, price: int) -> Any:
    level = price * 2 + side
    entry = prints[level & (PRINTS - 1)]
    if entry["level"] != level:
        entry["level"] = level
        entry["traded"] = 0
        entry["dropped"] = 0
    return entry


@njit(cache=True, nogil=True)
def on_level_trade(flow: Any, prints: Any, side: int, price: int, lots: int, now_ns: int, window: int) -> None:
    """A trade took `lots` from an aggregated level of `side` (the maker's)."""
    entry = _print_of(prints, side, price)
    if entry["dropped"] > 0 and now_ns - entry["dropped_ns"] <= EXPLAIN_NS:
        explained = min(entry["dropped"], lots)
        entry["dropped"] -= explained
        lots -= explained
        if entry["dropped_window"] == window:
            flow["cancelled_lots"] -= explained
            if entry["dropped"] == 0:
                flow["cancels"] -= 1
                flow["bursts"][entry["dropped_burst"]] -= 1
                if side == 0:
                    flow["cancels_buy"] -= 1
                if entry["dropped_near"]:
                    flow["cancels_near"] -= 1
    if lots > 0:
        if now_ns - entry["traded_ns"] > EXPLAIN_NS:
            entry["traded"] = 0
        entry["traded"] += lots
        entry["traded_ns"] = now_ns


@njit(cache=True, nogil=True)
def on_level(
    flow: Any,
    prints: Any,
    side: int,
    price: int,
    before: int,
    after: int,
    near: bool,
    counts: bool,
    now_ns: int,
    window: int,
    burst: int,
) -> None:
    """An aggregated level went from `before` to `after` lots. Without `counts` it only ends what trades explain."""
    entry = _print_of(prints, side, price)
    left = before
    if entry["traded"] > 0 and now_ns - entry["traded_ns"] <= EXPLAIN_NS:
        left = max(before - entry["traded"], 0)
    entry["traded"] = 0
    if not counts:
        entry["dropped"] = 0
        return
    if after > left:
        on_add(flow, after - left)
    elif after < left:
        on_cancel(flow, side, left - after, near, burst)
        entry["dropped_burst"] = burst
        entry["dropped"] = left - after
        entry["dropped_ns"] = now_ns
        entry["dropped_window"] = window
        entry["dropped_near"] = near


@njit(cache=True, nogil=True)
def close(flow: Any, top_cancels: float, out: Any) -> None:
    """Writes the family's metrics into `out` [M] and starts the next window. `top_cancels`: of the account with the most."""
    out[_ADDS] = flow["adds"]
    out[_CANCELS] = flow["cancels"]
    out[_CANCELS_BUY] = flow["cancels_buy"]
    out[_CANCELS_SELL] = flow["cancels"] - flow["cancels_buy"]
    out[_CANCELS_NEAR] = flow["cancels_near"]
    out[_AFTER_FILL] = flow["after_fill"]
    out[_RETRIES] = flow["retries"]
    out[_FLEETING] = flow["fleeting"]
    out[_SLOW_FLEETING] = flow["slow_fleeting"]
    out[_REPLACES] = flow["replaces"]
    out[_REJECTS] = flow["rejects"]
    out[_THROTTLED] = flow["throttled"]
    out[_VTR] = (flow["added_lots"] + flow["cancelled_lots"]) / max(flow["traded_lots"], 1) - 1.0
    out[_CANCEL_TO_ADD] = flow["cancels"] / flow["adds"] if flow["adds"] > 0 else np.nan
    out[_BURSTINESS] = _fano(flow)
    out[_ADDED_LOTS] = flow["added_lots"]
    out[_CANCELLED_LOTS] = flow["cancelled_lots"]
    out[_TRADES] = flow["trades"]
    out[_TRADED_LOTS] = flow["traded_lots"]
    out[_SIGNED_LOTS] = flow["signed_lots"]
    out[_OTR] = (flow["adds"] + flow["cancels"]) / max(flow["trades"], 1) - 1.0
    out[_LIFETIME] = _median_life_ns(flow) / 1e6 if flow["lives_n"] > 0 else np.nan
    out[_TOP_SHARE] = top_cancels / flow["cancels"] if flow["cancels"] > 0 else np.nan
    flow["adds"] = 0
    flow["cancels"] = 0
    flow["cancels_buy"] = 0
    flow["cancels_near"] = 0
    flow["after_fill"] = 0
    flow["retries"] = 0
    flow["fleeting"] = 0
    flow["slow_fleeting"] = 0
    flow["replaces"] = 0
    flow["rejects"] = 0
    flow["throttled"] = 0
    for part in range(BURSTS):
        flow["bursts"][part] = 0
    flow["added_lots"] = 0
    flow["cancelled_lots"] = 0
    flow["trades"] = 0
    flow["traded_lots"] = 0
    flow["signed_lots"] = 0
    for index in range(flow["lives_low"], flow["lives_high"] + 1):
        flow["lives"][index] = 0
    flow["lives_n"] = 0
    flow["lives_low"] = _BINS
    flow["lives_high"] = 0


@njit(cache=True, nogil=True)
def _fano(flow: Any) -> float:
    """Variance over mean of the counts in the parts of the window."""
    total = 0
    squares = 0
    for part in range(BURSTS):
        count = flow["bursts"][part]
        total += count
        squares += count * count
    if total <= 0:
        return np.nan
    return squares / total - total / BURSTS


@njit(cache=True, nogil=True)
def _median_life_ns(flow: Any) -> float:
    """The lower median: the ⌈n/2⌉-th smallest."""
    rank = (flow["lives_n"] + 1) // 2
    seen = 0
    index = flow["lives_low"]
    for index in range(flow["lives_low"], flow["lives_high"] + 1):
        seen += flow["lives"][index]
        if seen >= rank:
            break
    return bin_middle_ns(index)
