"""Stylised facts of a market, by which a simulated one is held against recorded ones.

All but the signs of trades come from the metric rows of one-second windows, so a recording and the simulation are measured by
the same code. A fact that a source cannot give is NaN.

R. Cont, "Empirical properties of asset returns: stylized facts and statistical issues", Quantitative Finance 1, 2001 (tails,
clustering); F. Lillo and J. D. Farmer, "The long memory of the efficient market", Studies in Nonlinear Dynamics & Econometrics
8, 2004 (signs); B. M. Hill, "A simple general approach to inference about the tail of a distribution", Annals of Statistics 3,
1975.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.contract import EventFlag, EventKind
from monitor.metrics.catalogue import column

Floats = npt.NDArray[np.float64]

FACTS: Final = {
    "cancels a trade": "cancels over trades",
    "cancels an add": "cancels over adds",
    "gone within 100 ms": "share of cancels of orders younger than 100 ms",
    "gone within 2 s": "share of cancels of orders younger than 2 s",
    "median life, s": "median over windows of the cancelled orders' median life",
    "spread, bps": "median of the time-weighted spread",
    "depth 5 to 10 bps": "median depth within 5 bps of the mid over that within 10 bps",
    "depth 25 to 10 bps": "the same of 25 bps",
    "kurtosis, 1 s": "excess kurtosis of returns over 1 s",
    "kurtosis, 10 s": "excess kurtosis of returns over 10 s",
    "tail index, 1 s": "Hill's estimate from the largest 2 % of absolute returns over 1 s",
    "clustering, 10 s": "autocorrelation of absolute returns over 1 s, mean of lags 5 to 15",
    "clustering, 60 s": "the same, mean of lags 50 to 70",
    "sign of trades, lag 1": "autocorrelation of the signs of successive market orders",
    "sign of trades, lag 10": "the same at lag 10",
    "burstiness of trades": "variance over mean of trades in a second",
    "cross-correlation, 1 s": "median correlation of two symbols' returns over 1 s",
    "cross-correlation, 10 s": "the same over 10 s",
}
"""Names of the facts in their order, and what each is."""

_TAIL: Final = 0.02
_LEAST_RETURNS: Final = 200
_LEAST_SIGNS: Final = 100


class Signs:
    """The signs of one symbol's market orders, from its trades: fills of one order, or of one moment and side, are one."""

    def __init__(self, symbol: int) -> None:
        self._symbol = symbol
        self._signs: list[np.ndarray] = []

    def push(self, events: np.ndarray) -> None:
        """Takes EVENT_DTYPE in order."""
        ordinary = (events["flags"] & (EventFlag.SNAPSHOT | EventFlag.AUCTION | EventFlag.LIQUIDATION)) == 0
        trades = events[(events["kind"] == EventKind.TRADE) & (events["symbol"] == self._symbol) & ordinary]
        if len(trades):
            same = np.zeros(len(trades), bool)
            same[1:] = (np.diff(trades["ts_ns"]) == 0) & (trades["side"][1:] == trades["side"][:-1])
            known = trades["order_id"][1:] > 0
            same[1:] |= known & (trades["order_id"][1:] == trades["order_id"][:-1])
            self._signs.append(1.0 - 2.0 * trades["side"][~same])

    def autocorrelation(self, lag: int) -> float:
        """NaN with fewer than a hundred orders."""
        signs = np.concatenate(self._signs) if self._signs else np.zeros(0)
        return correlation(signs, lag) if len(signs) >= _LEAST_SIGNS + lag else float("nan")


def facts(values: Floats, symbol: int, signs: Signs | None = None) -> dict[str, float]:
    """The facts of one symbol from the rows of its windows: `values` float64 [W, S, M] of one-second windows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # medians of what a source cannot give
        return _facts(values, symbol, signs)


def _facts(values: Floats, symbol: int, signs: Signs | None) -> dict[str, float]:
    def of(name: str) -> Floats:
        return values[:, symbol, column(name)]

    cancels = of("cancels")
    within = {bps: of(f"depth_bid_{bps}bps_usd") + of(f"depth_ask_{bps}bps_usd") for bps in (5, 10, 25)}
    one = returns(values, symbol, 1)
    ten = returns(values, symbol, 10)
    sizes = np.abs(one)
    trades = of("trades")
    busy = [returns(values, k, seconds) for seconds in (1, 10) for k in range(values.shape[1])]
    count = values.shape[1]
    return {
        "cancels a trade": _ratio(cancels, trades),
        "cancels an add": _ratio(cancels, of("adds")),
        "gone within 100 ms": _ratio(of("fleeting_cancels"), cancels),
        "gone within 2 s": _ratio(of("slow_fleeting_cancels"), cancels),
        "median life, s": float(np.nanmedian(of("lifetime_p50_ms"))) / 1e3,
        "spread, bps": float(np.nanmedian(of("spread_bps"))),
        "depth 5 to 10 bps": float(np.nanmedian(within[5] / within[10])),
        "depth 25 to 10 bps": float(np.nanmedian(within[25] / within[10])),
        "kurtosis, 1 s": kurtosis(one),
        "kurtosis, 10 s": kurtosis(ten),
        "tail index, 1 s": hill(one),
        "clustering, 10 s": float(np.mean([correlation(sizes, lag) for lag in range(5, 16)])),
        "clustering, 60 s": float(np.mean([correlation(sizes, lag) for lag in range(50, 71)])),
        "sign of trades, lag 1": float("nan") if signs is None else signs.autocorrelation(1),
        "sign of trades, lag 10": float("nan") if signs is None else signs.autocorrelation(10),
        "burstiness of trades": float(np.nanvar(trades) / np.nanmean(trades)),
        "cross-correlation, 1 s": _between(busy[:count]),
        "cross-correlation, 10 s": _between(busy[count:]),
    }


def returns(values: Floats, symbol: int, seconds: int) -> Floats:
    """Returns of the mid over whole, not overlapping spans of so many windows, bps; those over a missing price are left out."""
    mid = values[:: seconds or 1, symbol, column("mid_usd")]
    moves: Floats = 1e4 * np.diff(np.log(mid))
    return moves


def kurtosis(moves: Floats) -> float:
    """Excess kurtosis: the fourth central moment over the squared variance, less 3. NaN with fewer than 200 returns."""
    known = moves[np.isfinite(moves)]
    if len(known) < _LEAST_RETURNS or _is_constant(known):
        return float("nan")
    centred = known - known.mean()
    return float((centred**4).mean() / (centred**2).mean() ** 2 - 3.0)


def hill(moves: Floats) -> float:
    """Hill's tail index: one over the mean log excess of the largest absolute returns over the next one. NaN where too few."""
    sizes = np.sort(np.abs(moves[np.isfinite(moves)]))[::-1]
    count = int(_TAIL * len(sizes))
    if len(sizes) < _LEAST_RETURNS or count < 4 or sizes[count] <= 0:
        return float("nan")
    return float(1.0 / np.mean(np.log(sizes[:count] / sizes[count])))


def correlation(series: Floats, lag: int) -> float:
    """Autocorrelation at a lag, over pairs of which both are known."""
    return _pearson(series[:-lag], series[lag:])


def _between(moves: Iterable[Floats]) -> float:
    """Median of all pairs' correlation; NaN of one symbol."""
    series = list(moves)
    pairs = [_pearson(series[a], series[b]) for a in range(len(series)) for b in range(a)]
    return float(np.nanmedian(pairs)) if pairs else float("nan")


def _pearson(one: Floats, other: Floats) -> float:
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    if len(one) < 30 or _is_constant(one) or _is_constant(other):
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def _is_constant(series: Floats) -> bool:
    """But for what rounding leaves."""
    return bool(series.std() <= 1e-9 * np.abs(series).max())


def _ratio(part: Floats, whole: Floats) -> float:
    total = np.nansum(whole)
    return float(np.nansum(part) / total) if total and np.isfinite(part).any() else float("nan")
