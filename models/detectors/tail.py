"""False-alarm rates of a family's scores, pooled over the symbols.

Order flow has heavier tails than standardised features, an exact zero is a frequent score of a one-sided detector, and a run may
be minutes old when it matters. So the tail of log S is exponential (a power law in S, the heaviest that the scores of
recordings show), it is fitted to what lies between the 95% and the 98% quantile, what lies above being counted but not
measured (censored), so that single anomalies shape nothing, and the scale is not plugged in but integrated out: with little
seen the stated rate is larger, not wilder. With d scores between the quantiles and T their summed excess, the censored ones'
included, the rate of an excess x over the 95% quantile u is

    P(S > u) · (1 + x/(b + T))^−(a + d)

(the predictive law of an exponential under a Gamma(a, b) prior of its rate; Gelman et al., Bayesian Data Analysis, 2.6).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.state import LOG_SCORE_LOW, LOG_SCORE_WIDTH, SCORE_BINS

Floats = NDArray[np.float64]

FEWEST: Final = 100.0
"""Scores before a rate is stated; it is 1 until then."""
REFRESH: Final = 20
"""Windows between two fits."""
FADE: Final = 0.5 ** (REFRESH / 86_400.0)
"""What a fit leaves of the counts: scores are forgotten by half in a day of seconds."""
LOWER, UPPER = 0.95, 0.98
PRIOR_COUNT: Final = 3.0
PRIOR_SCALE: Final = 0.6
"""Log S falls by an e-fold of its tail in 0.5 (squares of Gaussians) to 0.7 (recorded order flow)."""

START, WEIGHT, SHAPE, TOTAL = range(4)


class Tail:
    """Histogram of log S (the scores of 0 in its first bin) and the tail fitted to it."""

    def __init__(self) -> None:
        self.counts = np.zeros(SCORE_BINS)
        self.survival = np.ones(SCORE_BINS + 1)
        """Share of the scores at or above each bin's lower edge, as of the last fit."""
        self.fit = np.zeros(4)
        """Start (log S), weight above it, a + d, b + T."""
        self.clock = np.zeros(1, np.int64)

    def process(self, score: Floats) -> tuple[Floats, Floats]:
        """(false_alarm_rate, rarity), both [W, S], of scores [W, S]: each window rated by those before it, then counted.

        NaN is no score: its rate and rarity are NaN. Until `FEWEST` scores were seen the rate is NaN too.
        """
        rate, rarity = np.empty_like(score), np.empty_like(score)
        _process(score, self.counts, self.survival, self.fit, self.clock, rate, rarity)
        return rate, rarity


@njit(cache=True)
def _position(score: float) -> float:
    """Where log S lies in the histogram, in bins."""
    if score <= 0.0:
        return 0.0
    return min(max((np.log(score) - LOG_SCORE_LOW) / LOG_SCORE_WIDTH, 0.0), SCORE_BINS - 1e-6)


@njit(cache=True)
def _refit(counts: Floats, survival: Floats, fit: Floats) -> None:
    total = 0.0
    for i in range(SCORE_BINS - 1, -1, -1):
        counts[i] *= FADE
        total += counts[i]
        survival[i] = total
    if total < FEWEST:
        fit[WEIGHT] = 0.0
        return
    for i in range(SCORE_BINS):
        survival[i] /= total
    first = 1
    while survival[first] > 1.0 - LOWER:
        first += 1
    last = first + 1
    while last < SCORE_BINS and survival[last] > 1.0 - UPPER:
        last += 1
    between, excess = 0.0, 0.0
    for i in range(first, last):
        between += counts[i]
        excess += counts[i] * (i - first + 0.5) * LOG_SCORE_WIDTH
    excess += survival[last] * total * (last - first) * LOG_SCORE_WIDTH
    fit[START] = LOG_SCORE_LOW + first * LOG_SCORE_WIDTH
    fit[WEIGHT] = (survival[first] * total + 1.0) / (total + 1.0)
    fit[SHAPE] = PRIOR_COUNT + between
    fit[TOTAL] = PRIOR_COUNT * PRIOR_SCALE + excess


@njit(cache=True)
def _process(
    score: Floats, counts: Floats, survival: Floats, fit: Floats, clock: NDArray[np.int64], rate: Floats, rarity: Floats
) -> None:
    windows, symbols = score.shape
    for w in range(windows):
        if clock[0] % REFRESH == 0:
            _refit(counts, survival, fit)
        for s in range(symbols):
            rate[w, s] = rarity[w, s] = np.nan
            if np.isnan(score[w, s]) or fit[WEIGHT] == 0.0:
                continue
            position = _position(score[w, s])
            i = int(position)
            above = survival[i] + (position - i) * (survival[i + 1] - survival[i])
            rarity[w, s] = 1.0 - above
            excess = np.log(score[w, s]) - fit[START] if score[w, s] > 0.0 else 0.0
            if excess > 0.0:
                rate[w, s] = fit[WEIGHT] * (1.0 + excess / fit[TOTAL]) ** -fit[SHAPE]
            else:
                rate[w, s] = max(above, fit[WEIGHT])
        for s in range(symbols):
            if not np.isnan(score[w, s]):
                counts[int(_position(score[w, s]))] += 1.0
        clock[0] += 1
