"""Metric rows of a quiet market, drawn directly: for tests of detectors that need no venue."""

from __future__ import annotations

import numpy as np

from monitor.metrics.catalogue import METRIC_NAMES as NAMES
from monitor.metrics.catalogue import column

__all__ = ["NAMES", "SYMBOLS", "column", "quiet_rows"]

SYMBOLS = ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "AVAX", "LINK")


def quiet_rows(windows: int, seed: int) -> np.ndarray:
    """Rows float64[W, S, M]: activity that wanders, cancels that follow it, log-normal depth, leverage that hardly moves."""
    generator = np.random.default_rng(seed)
    shape = (windows, len(SYMBOLS))
    rows = np.full((*shape, len(NAMES)), np.nan)

    def wander(memory: float, size: float) -> np.ndarray:
        out, state, keep = np.empty(shape), generator.normal(0.0, size, shape[1]), np.exp(-1.0 / memory)
        for w in range(windows):
            out[w] = state
            state = keep * state + size * np.sqrt(1.0 - keep * keep) * generator.normal(size=shape[1])
        return out

    def put(name: str, values: np.ndarray) -> np.ndarray:
        rows[:, :, column(name)] = values
        return np.asarray(values, float)

    activity = np.exp(wander(120.0, 0.4) + generator.normal(0.0, 0.5, shape)) * np.linspace(1.0, 0.4, shape[1])
    trades = put("trades", generator.poisson(5.0 * activity))
    cancels = put("cancels", generator.negative_binomial(8, 8.0 / (8.0 + 13.0 * activity)))
    put("adds", generator.poisson(13.0 * activity))
    buys = put("cancels_buy", generator.binomial(cancels.astype(int), 0.5))
    put("cancels_sell", cancels - buys)
    put("fleeting_cancels", generator.binomial(cancels.astype(int), 0.1))
    put(
        "top_cancel_share",
        np.where(cancels > 0, np.minimum(1.0, generator.poisson(1.5, shape) + 1.0) / np.maximum(cancels, 1), np.nan),
    )
    move = put("return_bps", generator.standard_t(5, shape) * 0.8 * np.sqrt(activity))
    put("realised_vol_bps", np.sqrt(move**2 + 0.3 * generator.exponential(1.0, shape)))
    put("mid_usd", np.full(shape, 100.0))
    usual = 1e5 * np.linspace(4.0, 0.8, shape[1])
    put("usual_depth_usd", np.broadcast_to(usual, shape))
    common = wander(20.0, 0.2)
    for side in ("bid", "ask"):
        put(f"depth_{side}_5_usd", usual * np.exp(common + wander(5.0, 0.15)))
    put("spread_bps", 1.5 * np.exp(-0.4 * common + np.abs(wander(5.0, 0.2))))
    put("slippage_buy_bps", 3.0 * np.exp(-common + wander(5.0, 0.15)))
    put("slippage_sell_bps", 3.0 * np.exp(-common + wander(5.0, 0.15)))
    put("open_interest_usd", 1e7 * np.exp(np.cumsum(generator.normal(0.0, 2e-4, shape) + 1e-4 * move, axis=0)))
    slow = np.cumsum(generator.normal(0.0, 3e-4, shape), axis=0)
    put("leverage_weighted", 9.0 * np.exp(slow))
    put("leverage_p90", 21.0 * np.exp(slow + generator.normal(0.0, 0.002, shape)))
    put("leverage_new", np.where(trades > 0, 8.0 * np.exp(generator.normal(0.0, 0.6, shape) / np.sqrt(trades + 1.0)), np.nan))
    put("top_position_share", 0.04 * np.exp(np.cumsum(generator.normal(0.0, 4e-4, shape), axis=0)))
    basis = wander(60.0, 1.0)
    put("mark_index_bps", basis)
    put("mid_index_bps", basis + generator.normal(0.0, 0.5, shape))
    put("mark_last_bps", generator.normal(0.0, 0.8, shape))
    put("index_age_ms", generator.uniform(0.0, 1000.0, shape))
    put("mark_age_ms", generator.uniform(0.0, 1000.0, shape))
    return rows
