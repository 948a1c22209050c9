"""The depth family: spread, depth, slippage and order-flow imbalance of a rebuilt book, per symbol, compiled.

**Spread** and time crossed are exact integrals over the window: they change only with the touch. Everything else is read
off the book at ten samples a window.

**A book is known** from the moment it has both sides, until a CLEAR; before and after, nothing is measured. A known book
that loses a side is the very thing this family is for, so it is measured, not missing: an empty side has depth 0, the
largest spread the formula can give (a bid of 0: 20,000 bps) and the largest slippage (`MAX_SLIPPAGE_BPS`), and the other
side is measured against the last mid.

**Slippage** is the cost over mid of trading `usual_depth_usd`, worth that at mid, from the book at once. What the book cannot
fill is priced as far beyond its farthest level again as that level is from mid (for a sale at no less than 0). It lies
between 0 (a crossed book) and `MAX_SLIPPAGE_BPS`: selling into nothing costs the whole price, and buying is held to the same.
The usual size is a debiased exponential mean of both sides' five-level depth over the windows before, in event time, so that
it is the same throughout a window; the first window's is the depth of its first sample.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from engine.book import best, level_qty, next_level
from monitor.metrics.catalogue import column

SAMPLES: Final = 10
"""Samples a window."""

LEVELS: Final = 5
NEAR: Final = 10e-4
"""What is near mid: 10 bps of it."""

MAX_SPREAD_BPS: Final = 20_000.0
MAX_SLIPPAGE_BPS: Final = 10_000.0
HALF_LIFE_NS: Final = 3_600_000_000_000
"""Half-life of the usual depth: shorter memories learn a thin book away within minutes (measured on real recordings)."""

_FIGURES: Final = 9
_BID: Final = 0
_ASK: Final = 1
_BID_NEAR: Final = 2
_ASK_NEAR: Final = 3
_LEVELS_NEAR: Final = 4
_BUY: Final = 5
_SELL: Final = 6
_BUY_TWICE: Final = 7
_SELL_TWICE: Final = 8

DEPTH_DTYPE: Final = np.dtype(
    [
        ("bid", "<i8"),
        ("bid_lots", "<i8"),
        ("ask", "<i8"),
        ("ask_lots", "<i8"),
        ("mid", "<f8"),
        ("known", "<i8"),
        ("settled_ns", "<i8"),
        ("known_ns", "<i8"),
        ("crossed_ns", "<i8"),
        ("spread_bps", "<f8"),
        ("spread_sum", "<f8"),
        ("sampled", "<i8"),
        ("samples", "<i8"),
        ("stale", "<i8"),
        ("figures", "<f8", (_FIGURES,)),
        ("sums", "<f8", (_FIGURES,)),
        ("usual", "<f8"),
        ("usual_sum", "<f8"),
        ("usual_weight", "<f8"),
        ("usual_window", "<i8"),
        ("ofi_lots", "<i8"),
    ]
)
"""One symbol. The touch (0 lots: an empty side; `mid` the last there was, 0: none); the integrals up to `settled_ns`; how many
samples were due and how many a known book gave, the last one's figures unless they are `stale`; the usual depth. Prices in
ticks, values in ticks · lots."""

_CROSSED: Final = column("crossed_ms")
_SPREAD: Final = column("spread_bps")
_DEPTH_BID: Final = column("depth_bid_5_usd")
_DEPTH_ASK: Final = column("depth_ask_5_usd")
_DEPTH_BID_NEAR: Final = column("depth_bid_10bps_usd")
_DEPTH_ASK_NEAR: Final = column("depth_ask_10bps_usd")
_COUNT_NEAR: Final = column("levels_10bps")
_IMBALANCE: Final = column("imbalance")
_SLIPPAGE_BUY: Final = column("slippage_buy_bps")
_SLIPPAGE_SELL: Final = column("slippage_sell_bps")
_SLIPPAGE_TWICE: Final = column("slippage_2x_bps")
_CONVEXITY: Final = column("slippage_convexity_bps")
_USUAL: Final = column("usual_depth_usd")
_OFI: Final = column("ofi_lots")


@njit(cache=True, nogil=True)
def start(depth: Any, start_ns: int) -> None:
    """Nothing before `start_ns` is measured: the first window, or the first after windows left out."""
    depth["settled_ns"] = start_ns


@njit(cache=True, nogil=True)
def two_sided(depth: Any) -> bool:
    return bool(depth["known"] and depth["bid_lots"] > 0 and depth["ask_lots"] > 0)


@njit(cache=True, nogil=True)
def on_book(depth: Any, book: Any, now_ns: int, counts: bool) -> None:
    """An event changed `book`. With `counts` what it did to the touch is order flow."""
    bid = best(book, 0)
    ask = best(book, 1)
    bid_lots = level_qty(book, 0, bid) if bid > 0 else 0
    ask_lots = level_qty(book, 1, ask) if ask > 0 else 0
    depth["stale"] = 1
    if bid == depth["bid"] and bid_lots == depth["bid_lots"] and ask == depth["ask"] and ask_lots == depth["ask_lots"]:
        return
    settle(depth, now_ns)
    if counts and depth["known"]:
        depth["ofi_lots"] += _bid_flow(depth["bid"], depth["bid_lots"], bid, bid_lots)
        depth["ofi_lots"] -= _bid_flow(-depth["ask"], depth["ask_lots"], -ask, ask_lots)
    depth["bid"] = bid
    depth["bid_lots"] = bid_lots
    depth["ask"] = ask
    depth["ask_lots"] = ask_lots
    if bid_lots > 0 and ask_lots > 0:
        depth["known"] = 1
        depth["mid"] = 0.5 * (bid + ask)
        depth["spread_bps"] = max(1e4 * (ask - bid) / depth["mid"], 0.0)
    else:
        depth["spread_bps"] = MAX_SPREAD_BPS


@njit(cache=True, nogil=True)
def on_clear(depth: Any, now_ns: int) -> None:
    """The book starts anew: what it held before says nothing about what it will show."""
    settle(depth, now_ns)
    depth["known"] = 0
    depth["bid_lots"] = 0
    depth["ask_lots"] = 0
    depth["stale"] = 1


@njit(cache=True, nogil=True)
def settle(depth: Any, now_ns: int) -> None:
    """Brings the integrals over time up to `now_ns` under the touch as it stood."""
    span_ns = now_ns - depth["settled_ns"]
    if span_ns <= 0:
        return
    depth["settled_ns"] = now_ns
    if depth["known"]:
        depth["known_ns"] += span_ns
        depth["spread_sum"] += depth["spread_bps"] * span_ns
        if two_sided(depth) and depth["bid"] >= depth["ask"]:
            depth["crossed_ns"] += span_ns


@njit(cache=True, nogil=True)
def side_value(depth: Any, side: int) -> float:
    """The side's five-level depth in the last sample, ticks · lots."""
    value: float = depth["figures"][_BID if side == 0 else _ASK]
    return value


@njit(cache=True, nogil=True)
def sample(depth: Any, book: Any, count: int, deep: bool) -> None:
    """Takes the next `count` samples, all of the book as it stands."""
    depth["sampled"] += count
    if not depth["known"]:
        return
    figures = depth["figures"]
    if depth["stale"]:
        _measure(depth, book, deep, figures)
        depth["stale"] = 0
    sums = depth["sums"]
    for i in range(_FIGURES):
        sums[i] += count * figures[i]
    depth["samples"] += count


@njit(cache=True, nogil=True)
def close(depth: Any, window: int, decay: float, value_usd: float, out: Any) -> None:
    """Writes the family's metrics into `out` [M] and starts the next window; all samples are taken, all time is settled.

    `decay` is what one window leaves of the usual depth's weights, `value_usd` the worth of one lot at one tick.
    """
    known_ns = depth["known_ns"]
    samples = depth["samples"]
    sums = depth["sums"]
    out[_CROSSED] = depth["crossed_ns"] / 1e6 if known_ns > 0 else np.nan
    out[_SPREAD] = depth["spread_sum"] / known_ns if known_ns > 0 else np.nan
    out[_OFI] = depth["ofi_lots"]
    if samples > 0:
        bid = sums[_BID] / samples
        ask = sums[_ASK] / samples
        out[_DEPTH_BID] = bid * value_usd
        out[_DEPTH_ASK] = ask * value_usd
        out[_DEPTH_BID_NEAR] = sums[_BID_NEAR] / samples * value_usd
        out[_DEPTH_ASK_NEAR] = sums[_ASK_NEAR] / samples * value_usd
        out[_COUNT_NEAR] = sums[_LEVELS_NEAR] / samples
        out[_IMBALANCE] = (bid - ask) / (bid + ask) if bid + ask > 0.0 else np.nan
        out[_SLIPPAGE_BUY] = sums[_BUY] / samples
        out[_SLIPPAGE_SELL] = sums[_SELL] / samples
        out[_SLIPPAGE_TWICE] = max(sums[_BUY_TWICE], sums[_SELL_TWICE]) / samples
        out[_CONVEXITY] = max(sums[_BUY_TWICE] - sums[_BUY], sums[_SELL_TWICE] - sums[_SELL]) / samples
        out[_USUAL] = depth["usual"] * value_usd
        kept = decay ** float(window - depth["usual_window"]) if depth["usual_weight"] > 0.0 else 0.0
        depth["usual_sum"] = kept * depth["usual_sum"] + 0.5 * (bid + ask)
        depth["usual_weight"] = kept * depth["usual_weight"] + 1.0
        depth["usual_window"] = window
        depth["usual"] = depth["usual_sum"] / depth["usual_weight"]
        depth["stale"] = 1
    else:
        for index in (_DEPTH_BID, _DEPTH_ASK, _DEPTH_BID_NEAR, _DEPTH_ASK_NEAR, _COUNT_NEAR, _IMBALANCE):
            out[index] = np.nan
        for index in (_SLIPPAGE_BUY, _SLIPPAGE_SELL, _SLIPPAGE_TWICE, _CONVEXITY, _USUAL):
            out[index] = np.nan
    depth["known_ns"] = 0
    depth["crossed_ns"] = 0
    depth["spread_sum"] = 0.0
    depth["sampled"] = 0
    depth["samples"] = 0
    depth["ofi_lots"] = 0
    sums[:] = 0.0


@njit(cache=True, nogil=True)
def _bid_flow(price_before: int, lots_before: int, price: int, lots: int) -> int:
    """e_n of Cont, Kukanov and Stoikov (2014) for the bid; the ask's is minus this of the negated prices."""
    if lots_before == 0 or (lots > 0 and price > price_before):
        return lots
    if lots == 0 or price < price_before:
        return -lots_before
    return lots - lots_before


@njit(cache=True, nogil=True)
def _measure(depth: Any, book: Any, deep: bool, figures: Any) -> None:
    mid = depth["mid"]
    size = depth["usual"] / mid
    if size == 0.0:
        # The first sample of a symbol: its own depth is the usual one.
        bid = _walk(book, 0, mid, 0.0, False)[0]
        ask = _walk(book, 1, mid, 0.0, False)[0]
        depth["usual"] = 0.5 * (bid + ask)
        size = depth["usual"] / mid
    bid, bid_near, bid_levels, sell, sell_twice = _walk(book, 0, mid, size, deep)
    ask, ask_near, ask_levels, buy, buy_twice = _walk(book, 1, mid, size, deep)
    figures[_BID] = bid
    figures[_ASK] = ask
    figures[_BID_NEAR] = bid_near
    figures[_ASK_NEAR] = ask_near
    figures[_LEVELS_NEAR] = bid_levels + ask_levels
    figures[_BUY] = buy
    figures[_SELL] = sell
    figures[_BUY_TWICE] = buy_twice
    figures[_SELL_TWICE] = sell_twice


@njit(cache=True, nogil=True)
def _walk(book: Any, side: int, mid: float, size: float, deep: bool) -> tuple[float, float, int, float, float]:
    """One side from the touch on: (value of LEVELS levels, value near mid, levels near mid, slippage of `size` lots, of twice).

    What is near mid is only looked for when `deep`. Values in ticks · lots.
    """
    near_limit = mid * (1.0 - NEAR) if side == 0 else mid * (1.0 + NEAR)
    value = 0.0
    near_value = 0.0
    near_levels = 0
    left = size
    left_twice = 2.0 * size
    paid = 0.0
    paid_twice = 0.0
    count = 0
    farthest = 0.0
    price, lots = next_level(book, side, 0)
    while price != 0:
        ticks = float(price)
        near = deep and (ticks >= near_limit if side == 0 else ticks <= near_limit)
        if count >= LEVELS and not near and left_twice <= 0.0:
            break
        if count < LEVELS:
            value += ticks * lots
        if near:
            near_value += ticks * lots
            near_levels += 1
        filled = min(left, float(lots))
        paid += filled * ticks
        left -= filled
        filled = min(left_twice, float(lots))
        paid_twice += filled * ticks
        left_twice -= filled
        farthest = ticks
        count += 1
        price, lots = next_level(book, side, price)
    if count == 0:
        return value, near_value, near_levels, MAX_SLIPPAGE_BPS, MAX_SLIPPAGE_BPS
    beyond = max(farthest - max(mid - farthest, 0.0), 0.0) if side == 0 else farthest + max(farthest - mid, 0.0)
    cost = _slippage_bps(side, mid, size, paid + left * beyond)
    cost_twice = _slippage_bps(side, mid, 2.0 * size, paid_twice + left_twice * beyond)
    return value, near_value, near_levels, cost, cost_twice


@njit(cache=True, nogil=True)
def _slippage_bps(side: int, mid: float, size: float, paid: float) -> float:
    if size <= 0.0:
        return 0.0
    over = 1e4 * (paid / (size * mid) - 1.0)
    return min(max(-over if side == 0 else over, 0.0), MAX_SLIPPAGE_BPS)
