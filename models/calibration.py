"""What a score means: its rarity, and a false-alarm rate that may be acted on. The two are kept apart.

The *rarity* is the share of all scores seen that were lower: a rank, anomalies included. The *false-alarm rate* is the
probability that an ordinary row scores as high. Ordinary scores are close to a gamma law, whose cube root is close to normal
(Wilson and Hilferty, 1931): a normal law matched to the middle of the cube roots gives a reference, and in the reference's
exponent `h = -log P(more)` what ordinary rows add is a generalised Pareto tail with a shape near 0. It is fitted above the 90%
quantile together with a share of anomalies that lie anywhere above the 98% quantile, log-uniform over `SPAN`, so that
contamination is explained by its own term instead of bending the tail. Nothing that was rejected is left out.
"""

from __future__ import annotations

import math
from typing import Final

import numba as nb
import numpy as np

from models.state import LOG_SCORE_LOW, LOG_SCORE_WIDTH, SCORE_BINS, Floats, Pool

# Entries of Pool.tail.
START, FIRST_H, MIDDLE, SPREAD, SCALE, SHAPE, SHARE, WEIGHT, COUNT, HOLD, FITTED_SHAPE = range(11)

FEWEST: Final = 200.0  # scores before a false-alarm rate is stated; 1 until then
FADE: Final = 0.5 ** (1.0 / 40_000.0)
HOLD_RATE: Final = 1e-2  # a row rarer than this is not learnt from
_TAIL: Final = 0.90
_ANOMALIES: Final = 0.98
SPAN: Final = 4.0
_FINE, _FINE_BINS, _COARSE_BINS = 34, 3, 25  # the tail is fitted on groups of bins: narrow ones first
_PRIOR_SHAPE: Final = (0.15, 0.10)
_PRIOR_SHARE: Final = (-5.0, 2.0)  # logit of the anomalies' share of the tail
# A young fit is unsure: its tail is taken for heavier by so much over the root of what it saw.
_YOUNG_CAUTION: Final = 0.15


@nb.njit(cache=True, error_model="numpy")
def count_score(scores: Floats, seen: Floats, score: float) -> None:
    """Add a score to both histograms."""
    if score <= 0.0:
        return
    i = int((math.log(score) - LOG_SCORE_LOW) / LOG_SCORE_WIDTH)
    i = min(max(i, 0), SCORE_BINS - 1)
    scores[i] += 1.0
    seen[i] += 1.0


@nb.njit(cache=True, error_model="numpy")
def exponent(log_score: float, middle: float, spread: float) -> float:
    """h = -log P(an ordinary score is higher) by the normal law of the cube root."""
    z = (math.exp(log_score / 3.0) - middle) / spread
    if z > 20.0:
        return 0.5 * z * z + math.log(z * math.sqrt(2.0 * math.pi))
    return -math.log(0.5 * math.erfc(z * math.sqrt(0.5)))


@nb.njit(cache=True, error_model="numpy")
def survival(x: float, scale: float, shape: float) -> float:
    """P(X > x) of a generalised Pareto law, x >= 0."""
    if abs(shape) < 1e-6:
        return math.exp(-x / scale)
    base = 1.0 + shape * x / scale
    return 0.0 if base <= 0.0 else base ** (-1.0 / shape)


@nb.njit(cache=True, error_model="numpy")
def survival_table(histogram: Floats, out: Floats) -> None:
    """Share of the histogram at or above each bin's lower edge [SCORE_BINS + 1]; 1 everywhere while it is empty."""
    total = 0.0
    for i in range(SCORE_BINS - 1, -1, -1):
        total += histogram[i]
        out[i] = total
    out[SCORE_BINS] = 0.0
    for i in range(SCORE_BINS):
        out[i] = out[i] / total if total > 0.0 else 1.0


@nb.njit(cache=True, error_model="numpy")
def bin_at(table: Floats, share: float) -> int:
    """The first bin whose lower edge has at most `share` of the scores above it."""
    for i in range(SCORE_BINS):
        if table[i] <= share:
            return i
    return SCORE_BINS


@nb.njit(cache=True, error_model="numpy")
def likelihood(counts: Floats, h: Floats, spread_out: Floats, log_scale: float, shape: float, logit: float) -> float:
    """Log posterior of tail scale, shape and the logit of the anomalies' share.

    `counts` [B] of the groups, `h` [B + 1] exponents at their edges above the tail's start, `spread_out` [B] the law of
    the anomalies.
    """
    scale, share = math.exp(log_scale), 1.0 / (1.0 + math.exp(-logit))
    total = -0.5 * ((shape - _PRIOR_SHAPE[0]) / _PRIOR_SHAPE[1]) ** 2
    total -= 0.5 * ((logit - _PRIOR_SHARE[0]) / _PRIOR_SHARE[1]) ** 2
    total -= 2.0 * log_scale * log_scale
    left = 1.0
    for i in range(counts.shape[0]):
        right = survival(h[i + 1], scale, shape) if i + 1 < counts.shape[0] else 0.0
        if counts[i] > 0.0:
            total += counts[i] * math.log(max((1.0 - share) * (left - right) + share * spread_out[i], 1e-300))
        left = right
    return total


@nb.njit(cache=True, error_model="numpy")
def refresh_tail(pool: Pool) -> None:
    """Refit the tail, the survival tables and the score from which learning is held (in place)."""
    tail, table = pool.tail, pool.at_or_above[0]
    survival_table(pool.scores, table)
    survival_table(pool.seen, pool.at_or_above[1])
    total = pool.scores.sum()
    tail[COUNT] = total
    if total < FEWEST:
        return
    # The reference: cube roots at the 50% and 85% quantiles, 1.0364 standard deviations apart.
    half = math.exp((LOG_SCORE_LOW + bin_at(table, 0.5) * LOG_SCORE_WIDTH) / 3.0)
    upper = math.exp((LOG_SCORE_LOW + bin_at(table, 0.15) * LOG_SCORE_WIDTH) / 3.0)
    tail[MIDDLE], tail[SPREAD] = half, max((upper - half) / 1.0364, 1e-3 * half)
    first = min(bin_at(table, 1.0 - _TAIL), SCORE_BINS - 1)
    tail[START] = LOG_SCORE_LOW + first * LOG_SCORE_WIDTH
    tail[FIRST_H] = exponent(tail[START], tail[MIDDLE], tail[SPREAD])
    tail[WEIGHT] = (table[first] * total + 1.0) / (total + 1.0)
    anomalies = LOG_SCORE_LOW + bin_at(table, 1.0 - _ANOMALIES) * LOG_SCORE_WIDTH

    rest = max(SCORE_BINS - first - _FINE * _FINE_BINS, 0)
    groups = _FINE + (rest + _COARSE_BINS - 1) // _COARSE_BINS
    counts, h, spread_out = np.zeros(groups), np.zeros(groups + 1), np.zeros(groups)
    before = 0.0
    at = first
    for group in range(groups):
        stop = min(at + (_FINE_BINS if group < _FINE else _COARSE_BINS), SCORE_BINS)
        for i in range(at, stop):
            counts[group] += pool.scores[i]
        edge = LOG_SCORE_LOW + stop * LOG_SCORE_WIDTH
        h[group + 1] = exponent(edge, tail[MIDDLE], tail[SPREAD]) - tail[FIRST_H]
        part = min(max((edge - anomalies) / SPAN, 0.0), 1.0)
        spread_out[group] = part - before
        before = part
        at = stop
    # A search over a shrinking cross, from the last fit: the same steps on every machine.
    log_scale, shape, logit = math.log(tail[SCALE]), tail[FITTED_SHAPE], tail[SHARE]
    best = likelihood(counts, h, spread_out, log_scale, shape, logit)
    stride = 0.2
    while stride > 0.004:
        moved = False
        for side in (-stride, stride):
            trial = likelihood(counts, h, spread_out, log_scale + side, shape, logit)
            if trial > best:
                best, log_scale, moved = trial, log_scale + side, True
            trial = likelihood(counts, h, spread_out, log_scale, shape + 0.5 * side, logit)
            if trial > best:
                best, shape, moved = trial, shape + 0.5 * side, True
            trial = likelihood(counts, h, spread_out, log_scale, shape, logit + 2.0 * side)
            if trial > best:
                best, logit, moved = trial, logit + 2.0 * side, True
        if not moved:
            stride *= 0.5
    tail[SCALE], tail[FITTED_SHAPE], tail[SHARE] = math.exp(log_scale), shape, logit
    # A negative shape has an end, beyond which the rate would be stated as 0: no row is impossible.
    tail[SHAPE] = max(max(shape, -0.05) + _YOUNG_CAUTION / math.sqrt((1.0 - _TAIL) * total), 0.0)

    low, high = tail[START], tail[START] + 12.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        if rate_beyond(tail, middle) > HOLD_RATE:
            low = middle
        else:
            high = middle
    tail[HOLD] = math.exp(high)


@nb.njit(cache=True, error_model="numpy")
def rate_beyond(tail: Floats, log_score: float) -> float:
    """False-alarm rate of a log score above the tail's start."""
    h = exponent(log_score, tail[MIDDLE], tail[SPREAD]) - tail[FIRST_H]
    return float(tail[WEIGHT] * survival(h, tail[SCALE], tail[SHAPE]))


@nb.njit(cache=True, error_model="numpy")
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


@nb.njit(cache=True, error_model="numpy")
def false_alarm_rate(tail: Floats, tables: Floats, score: float) -> float:
    """Probability that an ordinary row scores at least `score`; 1 until `FEWEST` scores were seen."""
    if tail[COUNT] < FEWEST or score <= 0.0:
        return 1.0
    log_score = math.log(score)
    if log_score <= tail[START]:
        return float(max(empirical(tables, 0, score), tail[WEIGHT]))
    return float(max(min(rate_beyond(tail, log_score), tail[WEIGHT]), 1e-300))
