"""False-alarm rates of a family's scores, pooled over the symbols.

A one-sided detector often scores exactly 0, order flow has heavier tails than standardised features (jumps and sweeps come on
top of the ordinary), and a run may be minutes old when it matters. So the tail of log S is made of two exponential pieces, one
from the 95% quantile and one from the 98% quantile on (an exponential tail of log S is a power law of S). Each piece is fitted
to what lies between its start and an upper quantile, the 98% and the 99.5%; what lies above is counted but not measured
(censored), so that no single anomaly shapes a rate, however high. The second piece starts from what the first one found.

The scale of a piece is not plugged in but integrated out: with little seen the stated rate is larger, not wilder. With d scores
measured and T their summed excess, the censored ones' included, the rate of an excess x over the start u is

    P(S > u) · (1 + x/(b + T))^−(a + d)

(the predictive law of an exponential under a Gamma(a, b) prior of its rate; Gelman et al., Bayesian Data Analysis, 2.6). What
makes a window unusual lasts for a while, and windows of several rows overlap, so that high scores come in clusters: evidence
is counted in clusters rather than in scores (the runs estimator of the extremal index; Coles, Statistical Modeling of Extreme
Values, 5.4), but for a part (`TELLING`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.state import LOG_SCORE_LOW, LOG_SCORE_WIDTH, SCORE_BINS

Floats = NDArray[np.float64]

FEWEST: Final = 100.0
"""Scores before a rate is stated."""
FEWEST_INDEPENDENT: Final = 20.0
"""The same, of clusters of scores."""
REFRESH: Final = 20
"""Windows between two fits."""
FADE: Final = 0.5 ** (REFRESH / 86_400.0)
"""What a fit leaves of the counts: scores are forgotten by half in a day of seconds."""
LEAST_RATE: Final = 1e-12
"""Nothing is rarer: what a tail says beyond that has no evidence of any kind behind it."""
RUN: Final = 10
"""Windows without a high score of the symbol that end a cluster; at least as many as a window has rows."""
DELAY: Final = 300
"""Windows before a score counts: what is going on must not become the measure of itself."""
SETTLED: Final = 1000.0
"""Independent scores from which on they are so delayed. Before, scales are still being learnt, and old scores mislead more."""
TELLING: Final = 0.85
"""Power of the share of independent scores with which scores count as evidence."""
PRIOR_CLUSTERS, PRIOR_HIGH = 1.0, 10.0
QUANTILES: Final = (0.95, 0.98, 0.995)
PRIOR_COUNT: Final = 3.0
LIGHTER: Final = -0.125
"""Power of the window's length by which the prior's scale falls: what is added up over many rows has fewer surprises."""
PRIOR_SCALE: Final = 0.6
"""Log S falls by an e-fold of its tail in 0.5 (squares of Gaussians) to 0.7 (recorded order flow)."""

START, WEIGHT, SHAPE, TOTAL = range(4)


class Tail:
    """Histogram of log S (the scores of 0 in its first bin) and the tail fitted to it."""

    def __init__(self, symbols: int, length: int, delay: int = DELAY) -> None:
        self._prior_scale = PRIOR_SCALE * length**LIGHTER
        self.run = max(RUN, length)
        self.counts = np.zeros(SCORE_BINS)
        self.survival = np.ones(SCORE_BINS + 1)
        """Share of the scores at or above each bin's lower edge, as of the last fit."""
        self.pieces = np.zeros((2, 4))
        """Of each piece: start (log S), weight above it, a + d, b + T."""
        self.evidence = np.zeros(1)
        """How many independent scores there were, as of the last fit; 0 while they are too few."""
        self.clusters = np.zeros(2)
        """How many clusters of scores above the 95% quantile there were, and how many such scores."""
        self.last_high = np.full(symbols, -self.run - 1, np.int64)
        self.clock = np.zeros(1, np.int64)
        self.waiting = np.full((delay, symbols), np.nan)
        """The last scores, which do not count yet, by the clock modulo their number."""

    def process(self, score: Floats) -> tuple[Floats, Floats]:
        """(false_alarm_rate, rarity), both [W, S], of scores [W, S]: each window rated by those before it, then counted.

        NaN is no score: its rate and rarity are NaN. Until `FEWEST` scores were seen both are NaN too.
        """
        rate, rarity = np.full_like(score, np.nan), np.full_like(score, np.nan)
        _process(
            score,
            self.counts,
            self.survival,
            self.pieces,
            self.evidence,
            self.clusters,
            self.last_high,
            self.clock,
            self.waiting,
            self.run,
            self._prior_scale,
            rate,
            rarity,
        )
        return rate, rarity


@njit(cache=True)
def _position(score: float) -> float:
    """Where log S lies in the histogram, in bins."""
    if score <= 0.0:
        return 0.0
    return float(min(max((np.log(score) - LOG_SCORE_LOW) / LOG_SCORE_WIDTH, 0.0), SCORE_BINS - 1e-6))


@njit(cache=True)
def _refit(counts: Floats, survival: Floats, pieces: Floats, evidence: Floats, clusters: Floats, prior_scale: float) -> None:
    total = 0.0
    for i in range(SCORE_BINS - 1, -1, -1):
        counts[i] *= FADE
        total += counts[i]
        survival[i] = total
    if total < FEWEST:
        evidence[0] = 0.0
        return
    clusters *= FADE
    independent = (PRIOR_CLUSTERS + clusters[0]) / (PRIOR_HIGH + clusters[1])
    # What is rarer than anything seen cannot be told from little: one symbol's first minutes state nothing.
    evidence[0] = independent * total if independent * total >= FEWEST_INDEPENDENT else 0.0
    for i in range(SCORE_BINS):
        survival[i] /= total
    scale = prior_scale
    first = 1
    while first < SCORE_BINS - 2 and survival[first] > 1.0 - QUANTILES[0]:
        first += 1
    # Scores of one cluster are not copies of one another: each says a little more of how the tail falls.
    telling = independent**TELLING
    for piece in range(2):
        last = first + 1
        while last < SCORE_BINS - 1 + piece and survival[last] > 1.0 - QUANTILES[piece + 1]:
            last += 1
        measured = 0.0
        excess = survival[last] * total * (last - first) * LOG_SCORE_WIDTH
        for i in range(first, last):
            measured += counts[i]
            excess += counts[i] * (i - first + 0.5) * LOG_SCORE_WIDTH
        pieces[piece, START] = LOG_SCORE_LOW + first * LOG_SCORE_WIDTH
        pieces[piece, WEIGHT] = (survival[first] * total + 1.0) / (total + 1.0)
        pieces[piece, SHAPE] = PRIOR_COUNT + measured * telling
        pieces[piece, TOTAL] = PRIOR_COUNT * scale + excess * telling
        scale = pieces[piece, TOTAL] / pieces[piece, SHAPE]
        first = last


@njit(cache=True)
def _rate(score: float, above: float, pieces: Floats) -> float:
    """The false-alarm rate of a score that the share `above` of all scores reached."""
    log_score = np.log(score) if score > 0.0 else -np.inf
    if log_score <= pieces[0, START]:
        return float(max(above, pieces[0, WEIGHT]))
    piece = 1 if log_score > pieces[1, START] else 0
    start, weight, shape, total = pieces[piece]
    rate = weight * (1.0 + (log_score - start) / total) ** -shape
    if piece == 0:
        rate = max(rate, pieces[1, WEIGHT])
    return float(max(rate, LEAST_RATE))


@njit(cache=True)
def _process(
    score: Floats,
    counts: Floats,
    survival: Floats,
    pieces: Floats,
    evidence: Floats,
    clusters: Floats,
    last_high: NDArray[np.int64],
    clock: NDArray[np.int64],
    waiting: Floats,
    run: int,
    prior_scale: float,
    rate: Floats,
    rarity: Floats,
) -> None:
    windows, symbols = score.shape
    for w in range(windows):
        if clock[0] % REFRESH == 0:
            _refit(counts, survival, pieces, evidence, clusters, prior_scale)
        place = clock[0] % len(waiting)
        clock[0] += 1
        for s in range(symbols):
            if not np.isnan(score[w, s]) and evidence[0] > 0.0:
                position = _position(score[w, s])
                i = int(position)
                above = survival[i] + (position - i) * (survival[i + 1] - survival[i])
                rarity[w, s] = 1.0 - above
                rate[w, s] = _rate(score[w, s], above, pieces)
                if score[w, s] > 0.0 and np.log(score[w, s]) > pieces[0, START]:
                    clusters[0] += 1.0 if clock[0] - last_high[s] > run else 0.0
                    clusters[1] += 1.0
                    last_high[s] = clock[0]
        for s in range(symbols):
            # While there is little to go by, everything counts at once.
            at_once = evidence[0] < SETTLED
            due = score[w, s] if at_once else waiting[place, s]
            waiting[place, s] = np.nan if at_once else score[w, s]
            if not np.isnan(due):
                counts[int(_position(due))] += 1.0
