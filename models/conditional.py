"""What is expected of a feature, given what explains it: a slow level, a regression on context, the other symbols, and a scale.

Cancels follow trading and price movement; only the part that those do not explain is of interest. Each feature is predicted
by recursive least squares on a constant (its slow level) and a few regressors,

    A ← λA + r·rᵀ,   b ← λb + r·x,   β = (A + ridge)⁻¹ b,

in information form: the covariance form winds up when the regressors move more slowly than its memory. The ridge counts as
`RIDGE` observations that say "no slope"; the level is not shrunk. What is left over has a variance with a prior, and

    z = (x − β·r) / (s·√(1 + h)),   h = rᵀ(A + ridge)⁻¹ r,

so that a prediction far outside what was seen, or from too few windows, is not trusted (Hoff and Harvey's, and any textbook's,
prediction variance). Learning clips z at ±3: one burst does not become the level.

Where a panel has enough symbols, z is split in two. What moves all symbols together explains part of each,

    own = (z − γ·z̄₋)/√v,   z̄₋ the mean of the others' z,

with γ and v learnt for each symbol and feature; what all do together is the market's (`models.detectors.market`). A book that
thins with all others before a settlement is not thin by itself. What one feature explains of another (`given`) is taken off in
the same way: many cancels bring many fleeting ones, which is no news twice.

A symbol that is new has little to go by. It borrows from the others: their slopes instead of none, and their spread instead of
the prior's (`YOUNG`, `GROUP`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.features import INPUTS_MAX, Side, backward, forward, gather, read

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RIDGE = 20.0
PRIOR_WEIGHT = 6.0
"""The prior scale counts as so many windows: more would be with us for the first hour of ten-second windows."""
DOUBT = 20.0
"""That others, or another feature, explain anything is believed as if so many windows had said that they do not."""
CLIP = 3.0
RANGE = 2.0
"""The expected range is told as ± so many standard deviations."""
LARGEST = 1e6
"""A feature or a regressor larger than this, on its own scale, is garbage and counts as missing."""
STRIDE = 10
"""Longer windows are learnt every so many rows, though they share rows then: with one a minute, an hour would teach nothing."""
WARM_UP = 30
"""Windows of an entity that are learnt before its scores mean anything."""
YOUNG = 300
"""Windows of an entity that are learnt before it is judged by itself."""
GROUP = 60
"""Windows between two looks at what the entities of a panel have in common."""
FEWEST_OTHERS = 3
"""Other entities that have the feature before what they do explains anything."""
_WIDEST = 4.0
"""A z counts so much in the mean of the others at most, or one of them would be all of them."""
_LEAST_OWN = 0.25
"""What is left of the variance of z, at least, however much the others explain."""


class Conditional:
    """State of F features on K regressors for S entities, as arrays; `memory` is the half-life in learnt windows."""

    def __init__(self, entities: int, features: int, regressors: int, memory: float, prior: Floats, floor: Floats) -> None:
        k = regressors + 1
        self.decay = 0.5 ** (1.0 / memory)
        self.prior = prior
        self.floor = floor
        self.normal = np.zeros((entities, features, k, k))
        self.target = np.zeros((entities, features, k))
        self.slopes = np.zeros((entities, features, k))
        self.factor = np.zeros((entities, features, k, k))
        self.variance = np.zeros((entities, features))
        self.weight = np.zeros((entities, features))
        self.learnt = np.zeros(entities, np.int64)
        self.shared = np.zeros((entities, features, 3))
        """Of each symbol and feature: Σ z̄₋², Σ z̄₋·z, Σ (z − γ·z̄₋)², all fading."""
        self.group_slopes = np.zeros((features, k))
        self.group_variance = np.zeros(features)
        """The mean over the entities that are no longer `YOUNG`; 0 while there are too few."""
        self.explained = np.zeros((entities, features, 2))
        """Of each symbol and feature and the feature that it is given: Σ z_g², Σ z_g·z."""
        self.clock = np.zeros(1, np.int64)


@njit(cache=True)
def factorise(normal: Floats, ridge: float, out: Floats, ridges: Floats) -> None:
    """Cholesky factor of A + ridge; `ridges` [K] gets what was added to the diagonal.

    The ridge of a regressor is in units of its own variance, so units do not matter.
    """
    k = normal.shape[0]
    for i in range(k):
        for j in range(i + 1):
            total = normal[i, j]
            if i == j:
                ridges[i] = 0.0
                if i > 0:
                    mean = normal[0, i] / normal[0, 0]
                    ridges[i] = ridge * max(normal[i, i] / normal[0, 0] - mean * mean, 0.0) + 1e-9 * (1.0 + normal[i, i])
                total += ridges[i]
            for m in range(j):
                total -= out[i, m] * out[j, m]
            if i == j:
                out[i, i] = np.sqrt(max(total, 1e-12))
            else:
                out[i, j] = total / out[j, j]


@njit(cache=True)
def solve(factor: Floats, right: Floats, out: Floats) -> None:
    """`out` = (L·Lᵀ)⁻¹ `right`."""
    k = right.shape[0]
    for i in range(k):
        total = right[i]
        for m in range(i):
            total -= factor[i, m] * out[m]
        out[i] = total / factor[i, i]
    for i in range(k - 1, -1, -1):
        total = out[i]
        for m in range(i + 1, k):
            total -= factor[m, i] * out[m]
        out[i] = total / factor[i, i]


@njit(cache=True)
def sided(z: float, side: int) -> float:
    """z, or 0 where it is on a side that nobody asks for."""
    if side == Side.HIGH:
        return float(max(z, 0.0))
    if side == Side.LOW:
        return float(min(z, 0.0))
    return z


@njit(cache=True)
def run(
    rows: Floats,
    index: Ints,
    first: int,
    length: int,
    how: Ints,
    reads: Ints,
    transform: Ints,
    offset: Floats,
    side: Ints,
    given: Ints,
    share_of_score: Floats,
    decay: float,
    prior: Floats,
    floor: Floats,
    normal: Floats,
    target: Floats,
    slopes: Floats,
    factor: Floats,
    variance: Floats,
    weight: Floats,
    learnt: Ints,
    shared: Floats,
    group_slopes: Floats,
    group_variance: Floats,
    explained: Floats,
    clock: Ints,
    score: Floats,
    contributions: Floats,
    value: Floats,
    low: Floats,
    high: Floats,
    residual: Floats,
    young: Any,
) -> None:
    """Score, then learn the windows that end with the rows `first`, `first` + 1, … of `rows` [T, S, N].

    Writes the score [T − first, S]: the mean over the features of z² on the side that is unusual, by `share_of_score` [F], NaN
    before `WARM_UP` windows were learnt and where every feature is missing; and, each [T − first, S, F], its contributions, the
    values and the expected ranges in the features' units, and the residuals in standard deviations (NaN: missing). `given` [F]
    is the earlier feature that explains one, or -1. `young` bool [T − first, S] where a symbol is judged by what is usual for
    the others. Every row ends a window that is scored; only those whose index is a multiple of `length`, at most of `STRIDE`,
    are learnt.
    """
    entities, features, k = rows.shape[1], prior.shape[0], slopes.shape[2]
    inputs = np.empty((entities, rows.shape[2]))
    abc = np.empty((entities, features, INPUTS_MAX))
    read_into = np.empty(INPUTS_MAX)
    r = np.empty((entities, features, k))
    x = np.empty((entities, features))
    expected = np.empty((entities, features))
    scale = np.empty((entities, features))
    spread = np.empty((entities, features))
    z = np.empty((entities, features))
    context = np.empty(k)
    solved = np.empty(k)
    ridges = np.zeros(k)
    right = np.empty(k)
    for at in range(first, rows.shape[0]):
        w = at - first
        gather(rows, index, at, length, how, inputs)
        learning = index[at] % min(length, STRIDE) == 0
        for s in range(entities):
            context[0] = 1.0
            for j in range(1, k):
                f = features + j - 1
                read(inputs[s], reads[f], read_into)
                context[j] = forward(transform[f], read_into[0], read_into[1], read_into[2], offset[f])
                if not abs(context[j]) <= LARGEST:
                    context[j] = np.nan
            young[w, s] = learnt[s] < YOUNG and group_variance.max() > 0.0
            for f in range(features):
                read(inputs[s], reads[f], abc[s, f])
                x[s, f] = forward(transform[f], abc[s, f, 0], abc[s, f, 1], abc[s, f, 2], offset[f])
                if not abs(x[s, f]) <= LARGEST:
                    x[s, f] = z[s, f] = np.nan
                    continue
                known = normal[s, f, 0, 0] > 0.0
                for j in range(k):
                    r[s, f, j] = context[j]
                    if np.isnan(context[j]):
                        r[s, f, j] = normal[s, f, 0, j] / normal[s, f, 0, 0] if known else 0.0
                expected[s, f], spread[s, f] = 0.0, 1.0
                if known:
                    solve(factor[s, f], r[s, f], solved)
                    for j in range(k):
                        expected[s, f] += slopes[s, f, j] * r[s, f, j]
                        spread[s, f] += r[s, f, j] * solved[j]
                else:
                    expected[s, f] = x[s, f]
                before = max(prior[f] * prior[f], group_variance[f]) if young[w, s] else prior[f] * prior[f]
                usual = (PRIOR_WEIGHT * before + variance[s, f]) / (PRIOR_WEIGHT + weight[s, f])
                scale[s, f] = max(np.sqrt(usual), floor[f]) * np.sqrt(spread[s, f])
                z[s, f] = (x[s, f] - expected[s, f]) / scale[s, f]
                if given[f] >= 0 and not np.isnan(z[s, given[f]]):
                    by = z[s, given[f]]
                    seen = explained[s, f]
                    part = seen[1] / (seen[0] + DOUBT) * by
                    if learning and spread[s, f] < 2.0:
                        by = min(max(by, -CLIP), CLIP)
                        seen[0] = decay * seen[0] + by * by
                        seen[1] = decay * seen[1] + by * min(max(z[s, f], -CLIP), CLIP)
                    expected[s, f] += part * scale[s, f]
                    z[s, f] -= part
        for s in range(entities):
            present = 0
            total = 0.0
            for f in range(features):
                residual[w, s, f] = z[s, f]
                if np.isnan(z[s, f]):
                    contributions[w, s, f] = 0.0
                    value[w, s, f] = low[w, s, f] = high[w, s, f] = np.nan
                    continue
                present += 1
                count, others = 0, 0.0
                for other in range(entities):
                    if other != s and not np.isnan(z[other, f]) and learnt[other] >= WARM_UP:
                        count += 1
                        others += min(max(z[other, f], -_WIDEST), _WIDEST)
                moved, left = 0.0, 1.0
                if count >= FEWEST_OTHERS:
                    others /= count
                    share = shared[s, f]
                    follows = min(max(share[1] / (share[0] + DOUBT / count), 0.0), 1.5)
                    moved = follows * others
                    left = min(max((DOUBT + share[2]) / (DOUBT + weight[s, f]), _LEAST_OWN), 1.0)
                    if learning and spread[s, f] < 2.0:
                        rest = min(max(z[s, f] - moved, -CLIP), CLIP)
                        share[0] = decay * share[0] + others * others
                        share[1] = decay * share[1] + others * min(max(z[s, f], -CLIP), CLIP)
                        share[2] = decay * share[2] + rest * rest
                residual[w, s, f] = (z[s, f] - moved) / np.sqrt(left)
                unusual = sided(residual[w, s, f], side[f])
                contributions[w, s, f] = share_of_score[f] * unusual * unusual
                total += contributions[w, s, f]
                a, b, c = abc[s, f, 0], abc[s, f, 1], abc[s, f, 2]
                centre, reach = expected[s, f] + moved * scale[s, f], RANGE * np.sqrt(left) * scale[s, f]
                value[w, s, f] = backward(transform[f], x[s, f], a, b, c, offset[f])
                low[w, s, f] = backward(transform[f], centre - reach, a, b, c, offset[f])
                high[w, s, f] = backward(transform[f], centre + reach, a, b, c, offset[f])
                if learning:
                    clipped = min(max(z[s, f], -CLIP), CLIP) * scale[s, f]
                    # While a prediction rests on fewer windows than it has parameters its error says nothing of the spread.
                    if normal[s, f, 0, 0] > 0.0 and spread[s, f] < 2.0:
                        variance[s, f] = decay * variance[s, f] + clipped * clipped / spread[s, f]
                        weight[s, f] = decay * weight[s, f] + 1.0
                    for i in range(k):
                        target[s, f, i] = decay * target[s, f, i] + r[s, f, i] * (expected[s, f] + clipped)
                        for j in range(k):
                            normal[s, f, i, j] = decay * normal[s, f, i, j] + r[s, f, i] * r[s, f, j]
                    factorise(normal[s, f], RIDGE, factor[s, f], ridges)
                    for i in range(k):
                        right[i] = target[s, f, i] + ridges[i] * group_slopes[f, i]
                    solve(factor[s, f], right, slopes[s, f])
            score[w, s] = total if present > 0 and learnt[s] >= WARM_UP else np.nan
            if learning and present > 0:
                learnt[s] += 1
        if learning:
            clock[0] += 1
            if clock[0] % GROUP == 0:
                _look_at_group(slopes, variance, weight, learnt, group_slopes, group_variance)


@njit(cache=True)
def _look_at_group(
    slopes: Floats, variance: Floats, weight: Floats, learnt: Ints, group_slopes: Floats, group_variance: Floats
) -> None:
    old = 0
    for s in range(len(learnt)):
        old += learnt[s] >= YOUNG
    if old <= FEWEST_OTHERS:
        return
    for f in range(len(group_variance)):
        count, total = 0, 0.0
        group_slopes[f] = 0.0
        for s in range(len(learnt)):
            if learnt[s] >= YOUNG and weight[s, f] > 0.0:
                count += 1
                total += variance[s, f] / weight[s, f]
                for i in range(1, slopes.shape[2]):
                    group_slopes[f, i] += slopes[s, f, i]
        if count > FEWEST_OTHERS:
            group_variance[f] = total / count
            group_slopes[f] /= count
        else:
            group_variance[f] = 0.0
            group_slopes[f] = 0.0
