"""Index paths: correlated random walks with volatility regimes, jumps, and a pull back home over hours; or recorded ones."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit

from engine.simulation.config import TICKS_PER_SECOND
from engine.simulation.generator import between, normal, uniform

_DT: Final = 1.0 / TICKS_PER_SECOND
COMMON: Final = 0.85
"""Correlation of a symbol's innovations with the common factor; between two symbols it is the square, about 0.7."""

_LIVELY: Final = 2.0
"""Volatility of the lively regime relative to the calm one."""

_TO_LIVELY: Final = _DT / 240.0
_TO_CALM: Final = _DT / 60.0
_JUMP: Final = _DT / 900.0
_COMMON_JUMP: Final = _DT / 1200.0
_HOMING: Final = _DT / (12 * 3600.0)
_MOOD_DECAY: Final = math.exp(-_DT / 300.0)
_MOOD_STEP: Final = 0.25 * math.sqrt(1.0 - _MOOD_DECAY**2)
_BASIS_DECAY: Final = math.exp(-_DT / 180.0)
_BASIS_STEP: Final = 1.0e-4 * math.sqrt(1.0 - _BASIS_DECAY**2)
_BASIS_LIMIT: Final = 20e-4


@njit(cache=True, nogil=True)
def advance_index(g: np.ndarray, head: np.void, markets: np.ndarray, paths: np.ndarray, day_s: float) -> None:
    """Moves every market by one tick: its index (`fair`, ticks), what contracts trade above it (`basis`), its mood.

    The tick is `day_s` seconds after midnight UTC; `paths` are the recorded indices (see `Scene`).

    `mood` is the log of the market's activity and volatility relative to their means, an Ornstein-Uhlenbeck process with
    a standard deviation of 0.25 and a memory of five minutes. `jump` is the tick's jump in standard deviations of a second.
    """
    head["level"] = season(head["season"], day_s)
    if uniform(g) < (_TO_CALM if head["lively"] else _TO_LIVELY):
        head["lively"] = 1 - head["lively"]
    lively = _LIVELY if head["lively"] else 1.0
    common, part = normal(g), head["common"]
    shared_jump = 0.0
    if uniform(g) < _COMMON_JUMP:
        shared_jump = _signed(g, 5.0, 11.0)
    for k in range(len(markets)):
        market = markets[k]
        market["mood"] = _MOOD_DECAY * market["mood"] + _MOOD_STEP * normal(g)
        jump = shared_jump
        if uniform(g) < _JUMP:
            jump += _signed(g, 4.0, 12.0)
        scale = market["vol"] * market["wild"] * lively * math.exp(0.8 * market["mood"]) * math.sqrt(head["level"])
        step = part * common + math.sqrt(1.0 - part * part) * normal(g)
        market["log_move"] += market["vol"] * jump + scale * math.sqrt(_DT) * step - _HOMING * market["log_move"]
        market["log_move"] += market["push"]
        market["pushed"] += market["push"]
        _follow(market, paths[k], head["tick"])
        market["jump"] = jump
        basis = market["premium"] + _BASIS_DECAY * (market["basis"] - market["premium"]) + _BASIS_STEP * normal(g)
        market["basis"] = min(market["premium"] + _BASIS_LIMIT, max(market["premium"] - _BASIS_LIMIT, basis))
        market["fair_before"] = market["fair"]
        market["fair"] = market["home"] * math.exp(market["log_move"])


@njit(cache=True, nogil=True)
def _follow(market: np.void, path: np.ndarray, tick: int) -> None:
    """Sets the market's move to the recorded one, if there is one, besides what a scenario pushed."""
    if len(path) == 0 or math.isnan(path[0]):
        return
    second = tick // TICKS_PER_SECOND
    part = (tick % TICKS_PER_SECOND) / TICKS_PER_SECOND
    here, there = path[min(second, len(path) - 1)], path[min(second + 1, len(path) - 1)]
    market["log_move"] = here + part * (there - here) + market["pushed"]


@njit(cache=True, nogil=True)
def season(amplitude: float, day_s: float) -> float:
    """Order flow at a time of the UTC day relative to the day's mean.

    It is highest at 15:00, when Europe and America trade, and rises again towards 03:00, when Asia does.
    """
    angle = 2.0 * math.pi * day_s / 86_400.0
    hour = 2.0 * math.pi / 24.0
    return 1.0 + amplitude * (0.7 * math.cos(angle - 15.0 * hour) + 0.3 * math.cos(2.0 * (angle - 3.0 * hour)))


@njit(cache=True, nogil=True)
def activity(head: np.void, market: np.void) -> float:
    """Order flow of the moment relative to the day's mean."""
    level: float = market["busy"] * head["level"] * math.exp(market["mood"]) * (1.35 if head["lively"] else 0.92)
    return level


@njit(cache=True, nogil=True)
def _signed(g: np.ndarray, low: float, high: float) -> float:
    size = between(g, low, high)
    return size if uniform(g) < 0.5 else -size
