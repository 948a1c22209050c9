"""Rows of many entities, each judged by a level of its own and by the spread of all: for those that have few rows each.

An entity that is seen now and then never has rows enough for a scale, let alone a tail, of its own. So only its level is its
own, shrunk towards its class's by `SHRINK` rows (an empirical-Bayes mean; Efron and Morris 1975), and what a residual means is
read from all residuals of the class: what they have in common in this window, which is taken out; their spread; and their
distribution as a map to Gaussian scores (`models.marginals`). Residuals from the class's own level are read likewise, and a
feature counts by the smaller of the two scores: as unusual for the entity, and for all.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numba as nb
import numpy as np

from models.marginals import count_residual, gaussian_score, refresh_marginal
from models.state import BINS, Floats, Ints, new_pool

SHRINK: Final = 4.0
LONGEST: Final = 60
"""Rows that a level remembers."""
CLIP: Final = 3.0
"""Residuals beyond so many spreads pull a level and the spread no further."""
REFRESH: Final = 5
"""Windows between two readings of the distributions."""
FADE: Final = 0.5 ** (REFRESH / 4_000.0)
SETTLED: Final = 200.0
"""Rows of a class before its spread is trusted, and residuals are counted in it."""
JUDGED: Final = 8_000.0
"""Rows of a class before a row of it is judged: the first rows make a poor distribution, and what they would score would be
remembered as usual. No other class stands in until then: a maker among all others would be far out, for ever remembered."""
COMMON: Final = 10
"""Rows of a class in one window whose median says what is common to them."""
SLOW: Final = 1.0 / 5_000.0
"""Weight of a row then."""


class Pooled(NamedTuple):
    """State of C entities and G classes on F features; of 2 F residuals the first are those from an entity's level, the others
    those from its class's."""

    rows: Ints  # [C] rows learnt
    mean: Floats  # [C, F] of an entity's own rows
    level: Floats  # [G, F] mean over the rows of the class
    variance: Floats  # [G, 2 F] of the residuals, clipped
    weight: Floats  # [G] rows of the class
    histogram: Floats  # [G, 2 F, BINS] of the residuals in spreads
    table: Floats  # [G, 2 F, BINS + 1] their map to Gaussian scores
    quantiles: Floats  # [G, 2 F, 2] residuals in spreads at 2.5% and 97.5%
    clock: Ints  # [1] windows


class Judged(NamedTuple):
    """Of E rows and F features: `score` [E], the mean over features of m² where m > 0; `contributions` [E, F], which add up to
    it, NaN while too little is known; the range that was expected of each feature, `low` and `high` [E, F], NaN likewise."""

    score: Floats
    contributions: Floats
    low: Floats
    high: Floats


def new_pooled(entities: int, classes: int, features: int) -> Pooled:
    """Nothing is known."""
    blank = new_pool(classes, 2 * features, 0)
    return Pooled(
        np.zeros(entities, np.int64), np.zeros((entities, features)), np.zeros((classes, features)),
        np.ones((classes, 2 * features)), np.zeros(classes), np.zeros((classes, 2 * features, BINS)), blank.table,
        blank.quantiles, np.zeros(1, np.int64),
    )  # fmt: skip


def judge(x: Floats, slots: Ints, classes: Ints, floor: Floats, state: Pooled) -> Judged:
    """Judges the rows `x` [E, F] of one window, each by what was before the window, and then learns them.

    `slots` [E], each once, and `classes` [E] say whose they are; `floor` [F] is the least spread of each feature.
    """
    out = Judged(np.full(len(x), np.nan), np.zeros(x.shape), np.full(x.shape, np.nan), np.full(x.shape, np.nan))
    _judge(x, slots, classes, floor, state, out)
    return out


@nb.njit(cache=True, error_model="numpy")
def _take_out_common(residual: Floats, classes: Ints, count: int) -> None:
    """Takes from each residual what is common to its class in this window: when a market is busy, all of its makers are."""
    for g in range(count):
        of_class = np.flatnonzero(classes == g)
        if len(of_class) < COMMON:
            continue
        for f in range(residual.shape[1]):
            middle = np.median(residual[of_class, f])
            for e in of_class:
                residual[e, f] -= middle


@nb.njit(cache=True, error_model="numpy")
def _judge(x: Floats, slots: Ints, classes: Ints, floor: Floats, state: Any, out: Any) -> None:
    entities, features = x.shape
    residual = _residuals(x, slots, classes, state)
    for e in range(entities):
        g = classes[e]
        if state.weight[g] < JUDGED:
            continue
        out.score[e] = 0.0
        for f in range(features):
            m = np.inf
            for view in (f, features + f):
                spread = _spread(state, g, view, floor[f])
                m = min(m, gaussian_score(state.table, g, view, residual[e, view] / spread))
            m = max(m, 0.0)
            out.contributions[e, f] = m * m / features
            out.score[e] += m * m / features
            spread = _spread(state, g, f, floor[f])
            expected = x[e, f] - residual[e, f]
            out.low[e, f] = expected + state.quantiles[g, f, 0] * spread
            out.high[e, f] = expected + state.quantiles[g, f, 1] * spread
    for e in range(entities):
        slot, g = slots[e], classes[e]
        state.weight[g] += 1.0
        gain = max(1.0 / state.weight[g], SLOW)
        settled = state.weight[g] > SETTLED
        n = min(state.rows[slot], LONGEST)
        for f in range(features):
            for view in (f, features + f):
                spread = _spread(state, g, view, floor[f])
                if settled:
                    count_residual(state.histogram, g, view, residual[e, view] / spread)
                away = _clipped(residual[e, view], spread, settled)
                state.variance[g, view] += gain * (away * away - state.variance[g, view])
            spread = _spread(state, g, f, floor[f])
            state.level[g, f] += gain * _clipped(
                x[e, f] - state.level[g, f], _spread(state, g, features + f, floor[f]), settled
            )
            # What is common comes and goes: it is part of a level.
            state.mean[slot, f] += _clipped(x[e, f] - state.mean[slot, f], spread, settled and n > 0) / (n + 1.0)
        state.rows[slot] += 1
    state.clock[0] += 1
    if state.clock[0] % REFRESH == 0:
        state.histogram[:] *= FADE
        for g in range(state.level.shape[0]):
            for view in range(2 * features):
                refresh_marginal(state.histogram[g, view], state.table[g, view], state.quantiles[g, view])


@nb.njit(cache=True, error_model="numpy")
def _residuals(x: Floats, slots: Ints, classes: Ints, state: Any) -> Any:
    """[E, 2 F]: of each row from its entity's level and from its class's, less what is common to the class in this window."""
    entities, features = x.shape
    residual = np.zeros((entities, 2 * features))
    for e in range(entities):
        slot, g = slots[e], classes[e]
        n = float(min(state.rows[slot], LONGEST))
        for f in range(features):
            own = (n * state.mean[slot, f] + SHRINK * state.level[g, f]) / (n + SHRINK)
            residual[e, f] = x[e, f] - own
            residual[e, features + f] = x[e, f] - state.level[g, f]
    _take_out_common(residual, classes, state.level.shape[0])
    return residual


@nb.njit(cache=True, error_model="numpy")
def _spread(state: Any, g: int, view: int, floor: float) -> float:
    return float(max(math.sqrt(state.variance[g, view]), floor))


@nb.njit(cache=True, error_model="numpy")
def _clipped(away: float, spread: float, clips: bool) -> float:
    return float(min(max(away, -CLIP * spread), CLIP * spread)) if clips else away
