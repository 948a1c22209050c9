"""What a score means: its rarity, and a false-alarm rate that may be acted on. The two are kept apart.

The *rarity* is the share of all scores seen that were lower: a rank, anomalies included. The *false-alarm rate* is the
probability that an ordinary row scores as high. It rests on a generalised Pareto tail of log S, fitted between two quantiles
below the place where anomalies live, by a likelihood truncated at both ends: what lies above the upper quantile shapes
nothing, so contamination does not bend the fit. Nothing that was rejected is left out of what calibrates.
"""

from __future__ import annotations

import math
from typing import Final

import numba as nb
import numpy as np

from models.state import (
    LOG_SCORE_LOW,
    LOG_SCORE_WIDTH,
    SCORE_BINS,
    TAIL_COUNT,
    TAIL_HOLD,
    TAIL_SCALE,
    TAIL_SHAPE,
    TAIL_START,
    TAIL_WEIGHT,
    Floats,
    Pool,
)

FEWEST: Final = 200.0  # scores before a false-alarm rate is stated; 1 until then
FADE: Final = 0.5 ** (1.0 / 40_000.0)
HOLD_RATE: Final = 1e-3  # a row rarer than this is not learnt from
_LOW, _HIGH = 0.95, 0.98
_SHAPE_MEAN: Final = -0.1
_SHAPE_SD: Final = 0.05


@nb.njit(cache=True, inline="always")
def count_score(scores: Floats, seen: Floats, score: float) -> None:
    """Add a score to both histograms."""
    if score <= 0.0:
        return
    i = int((math.log(score) - LOG_SCORE_LOW) / LOG_SCORE_WIDTH)
    i = min(max(i, 0), SCORE_BINS - 1)
    scores[i] += 1.0
    seen[i] += 1.0


@nb.njit(cache=True, inline="always")
def survival(x: float, scale: float, shape: float) -> float:
    """P(X > x) of a generalised Pareto law, x >= 0."""
    if abs(shape) < 1e-6:
        return math.exp(-x / scale)
    base = 1.0 + shape * x / scale
    if base <= 0.0:
        return 0.0
    return float(base ** (-1.0 / shape))


@nb.njit(cache=True)
def survival_table(histogram: Floats, out: Floats) -> None:
    """Share of the histogram at or above each bin's lower edge [SCORE_BINS + 1]; 1 everywhere while it is empty."""
    total = 0.0
    for i in range(SCORE_BINS - 1, -1, -1):
        total += histogram[i]
        out[i] = total
    out[SCORE_BINS] = 0.0
    for i in range(SCORE_BINS):
        out[i] = out[i] / total if total > 0.0 else 1.0


@nb.njit(cache=True)
def truncated_fit(counts: Floats, first: int, last: int, width: float) -> tuple[float, float]:
    """(scale, shape) of the Pareto law whose part between bins `first` and `last` fits the counts best.

    Maximises the truncated likelihood of the binned counts times the prior of the shape, by golden section in log scale for
    each of nine shapes around the prior.
    """
    bins = last - first
    mean, total = 0.0, 0.0
    for i in range(first, last):
        mean += counts[i] * (i - first + 0.5) * width
        total += counts[i]
    best, best_scale, best_shape = -np.inf, width * bins, _SHAPE_MEAN
    if total <= 0.0:
        return best_scale, best_shape
    for trial in range(-4, 5):
        shape = _SHAPE_MEAN + 0.5 * trial * _SHAPE_SD
        for half in range(-14, 22):
            scale = width * bins * math.exp(0.125 * half)
            like = -0.5 * ((shape - _SHAPE_MEAN) / _SHAPE_SD) ** 2
            whole = 1.0 - survival(bins * width, scale, shape)
            if whole <= 0.0:
                continue
            left = 1.0
            for i in range(bins):
                right = survival((i + 1) * width, scale, shape)
                like += counts[first + i] * math.log(max(left - right, 1e-300) / whole)
                left = right
            if like > best:
                best, best_scale, best_shape = like, scale, shape
    return best_scale, best_shape


@nb.njit(cache=True)
def refresh_tail(pool: Pool) -> None:
    """Refit the tail of log S, the survival tables and the score from which learning is held (in place)."""
    survival_table(pool.scores, pool.at_or_above[0])
    survival_table(pool.seen, pool.at_or_above[1])
    total = 0.0
    for i in range(SCORE_BINS):
        total += pool.scores[i]
    pool.tail[TAIL_COUNT] = total
    if total < FEWEST:
        return
    mass, first, last = 0.0, -1, -1
    for i in range(SCORE_BINS):
        mass += pool.scores[i]
        if first < 0 and mass >= _LOW * total:
            first = i + 1
        if mass >= _HIGH * total:
            last = i + 1
            break
    last = max(last, first + 3)
    scale, shape = truncated_fit(pool.scores, first, last, LOG_SCORE_WIDTH)
    inside, above = 0.0, 0.0
    for i in range(first, SCORE_BINS):
        above += pool.scores[i]
        if i < last:
            inside += pool.scores[i]
    pool.tail[TAIL_START] = LOG_SCORE_LOW + first * LOG_SCORE_WIDTH
    pool.tail[TAIL_SCALE], pool.tail[TAIL_SHAPE] = scale, shape
    pool.tail[TAIL_WEIGHT] = (above + 1.0) / (total + 1.0)
    ratio = HOLD_RATE / pool.tail[TAIL_WEIGHT]
    excess = -scale * math.log(ratio) if abs(shape) < 1e-6 else scale / shape * (ratio ** (-shape) - 1.0)
    pool.tail[TAIL_HOLD] = math.exp(pool.tail[TAIL_START] + excess)


@nb.njit(cache=True, inline="always")
def empirical(tables: Floats, which: int, score: float) -> float:
    """Share of scores at or above `score` by one of the two tables of `survival_table`, interpolated within its bin."""
    if score <= 0.0:
        return 1.0
    position = (math.log(score) - LOG_SCORE_LOW) / LOG_SCORE_WIDTH
    if position <= 0.0:
        return 1.0
    if position >= SCORE_BINS:
        return 0.0
    i = int(position)
    return float(tables[which, i] + (position - i) * (tables[which, i + 1] - tables[which, i]))


@nb.njit(cache=True, inline="always")
def false_alarm_rate(tail: Floats, tables: Floats, score: float) -> float:
    """Probability that an ordinary row scores at least `score`; 1 until `FEWEST` scores were seen."""
    if tail[TAIL_COUNT] < FEWEST or score <= 0.0:
        return 1.0
    excess = math.log(score) - tail[TAIL_START]
    if excess <= 0.0:
        return max(empirical(tables, 0, score), tail[TAIL_WEIGHT])
    return tail[TAIL_WEIGHT] * survival(excess, tail[TAIL_SCALE], tail[TAIL_SHAPE])
