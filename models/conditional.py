"""What is expected of a feature, given what explains it: a slow level, a regression on context, and a scale.

Cancels follow trading and price movement; only the part that those do not explain is of interest. Each feature is predicted
by recursive least squares on a constant (its slow level) and a few regressors,

    A ← λA + r·rᵀ,   b ← λb + r·x,   β = (A + ridge)⁻¹ b,

in information form: the covariance form winds up when the regressors move more slowly than its memory. The ridge counts as
`RIDGE` observations that say "no slope"; the level is not shrunk. What is left over has a variance with a prior, and

    z = (x − β·r) / (s·√(1 + h)),   h = rᵀ(A + ridge)⁻¹ r,

so that a prediction far outside what was seen, or from too few windows, is not trusted (Hoff and Harvey's, and any textbook's,
prediction variance). Learning clips z at ±3: one burst does not become the level.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.features import INPUTS_MAX, Side, backward, forward, gather, read

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RIDGE = 20.0
PRIOR_WEIGHT = 20.0
"""The prior scale counts as so many windows."""
CLIP = 3.0
RANGE = 2.0
"""The expected range is told as ± so many standard deviations."""
LARGEST = 1e6
"""A feature or a regressor larger than this, on its own scale, is garbage and counts as missing."""
WARM_UP = 30
"""Windows of an entity that are learnt before its scores mean anything."""


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


@njit(cache=True)
def factorise(normal: Floats, ridge: float, out: Floats) -> None:
    """Cholesky factor of A + ridge. The ridge of a regressor is in units of its own variance, so units do not matter."""
    k = normal.shape[0]
    for i in range(k):
        for j in range(i + 1):
            total = normal[i, j]
            if i == j and i > 0:
                mean = normal[0, i] / normal[0, 0]
                total += ridge * max(normal[i, i] / normal[0, 0] - mean * mean, 0.0) + 1e-9 * (1.0 + normal[i, i])
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
    score: Floats,
    contributions: Floats,
    value: Floats,
    low: Floats,
    high: Floats,
) -> None:
    """Score, then learn the windows that end with the rows `first`, `first` + 1, … of `rows` [T, S, N].

    Writes the score [T − first, S]: the mean over the features of z² on the side that is unusual, NaN before `WARM_UP` windows
    were learnt and where every feature is missing; and, each [T − first, S, F], its contributions, the values and the expected
    ranges in the features' units (NaN: missing). Every row ends a window that is scored; only those whose index is a multiple
    of `length` are learnt, so that no row is learnt twice.
    """
    entities, features, k = rows.shape[1], prior.shape[0], slopes.shape[2]
    inputs = np.empty((entities, rows.shape[2]))
    abc = np.empty(INPUTS_MAX)
    context = np.empty(k)
    r = np.empty(k)
    solved = np.empty(k)
    for at in range(first, rows.shape[0]):
        w = at - first
        gather(rows, index, at, length, how, inputs)
        learning = index[at] % length == 0
        for s in range(entities):
            context[0] = 1.0
            for j in range(1, k):
                f = features + j - 1
                read(inputs[s], reads[f], abc)
                context[j] = forward(transform[f], abc[0], abc[1], abc[2], offset[f])
                if not abs(context[j]) <= LARGEST:
                    context[j] = np.nan
            present = 0
            total = 0.0
            for f in range(features):
                read(inputs[s], reads[f], abc)
                x = forward(transform[f], abc[0], abc[1], abc[2], offset[f])
                if not abs(x) <= LARGEST:
                    contributions[w, s, f] = 0.0
                    value[w, s, f] = low[w, s, f] = high[w, s, f] = np.nan
                    continue
                present += 1
                known = normal[s, f, 0, 0] > 0.0
                for j in range(k):
                    r[j] = context[j]
                    if np.isnan(r[j]):
                        r[j] = normal[s, f, 0, j] / normal[s, f, 0, 0] if known else 0.0
                expected, spread = 0.0, 1.0
                if known:
                    solve(factor[s, f], r, solved)
                    for j in range(k):
                        expected += slopes[s, f, j] * r[j]
                        spread += r[j] * solved[j]
                else:
                    expected = x
                usual = (PRIOR_WEIGHT * prior[f] * prior[f] + variance[s, f]) / (PRIOR_WEIGHT + weight[s, f])
                deviation = max(np.sqrt(usual), floor[f])
                scale = deviation * np.sqrt(spread)
                z = (x - expected) / scale
                unusual = z
                if side[f] == Side.HIGH:
                    unusual = max(z, 0.0)
                elif side[f] == Side.LOW:
                    unusual = min(z, 0.0)
                contributions[w, s, f] = unusual * unusual / features
                total += contributions[w, s, f]
                value[w, s, f] = backward(transform[f], x, abc[0], abc[1], abc[2], offset[f])
                low[w, s, f] = backward(transform[f], expected - RANGE * scale, abc[0], abc[1], abc[2], offset[f])
                high[w, s, f] = backward(transform[f], expected + RANGE * scale, abc[0], abc[1], abc[2], offset[f])
                if learning:
                    clipped = min(max(z, -CLIP), CLIP) * scale
                    # While a prediction rests on fewer windows than it has parameters its error says nothing of the spread.
                    if known and spread < 2.0:
                        variance[s, f] = decay * variance[s, f] + clipped * clipped / spread
                        weight[s, f] = decay * weight[s, f] + 1.0
                    for i in range(k):
                        target[s, f, i] = decay * target[s, f, i] + r[i] * (expected + clipped)
                        for j in range(k):
                            normal[s, f, i, j] = decay * normal[s, f, i, j] + r[i] * r[j]
                    factorise(normal[s, f], RIDGE, factor[s, f])
                    solve(factor[s, f], target[s, f], slopes[s, f])
            score[w, s] = total if present > 0 and learnt[s] >= WARM_UP else np.nan
            if learning and present > 0:
                learnt[s] += 1
