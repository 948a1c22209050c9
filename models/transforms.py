"""Which transform a feature needs, found from its first values, whatever its unit.

The candidates compete by likelihood: each value is predicted from its entity's recent past in transformed units, the errors get
a Student law (so that tails do not decide), and the density is carried back to the raw unit by the Jacobian log|T'(x)|. A
change of unit changes all candidates alike.
"""

from __future__ import annotations

import math
from typing import Final

import numba as nb
import numpy as np

from models.frontend import COUNT, LOG, NONE, SHARE
from models.state import Floats, Ints

_DEGREES: Final = 5.0  # of the Student law
_MARGIN: Final = 2.0  # log-likelihood a transform must win by, and as much again for each 100 values
FEWEST: Final = 48  # values before anything is decided
_SMALL_COUNTS: Final = 30.0  # integers no larger than this are counts whatever the likelihood of a continuous law says
_GAIN: Final = 0.15  # of the moving level
_SCALE_GAIN: Final = 0.03  # of the moving squared scale


def choose_transform(values: Floats, owners: Ints) -> tuple[int, float]:
    """(code, floor) for one feature from raw `values` [N] in time order, owned by entities `owners` [N]; NaN is missing.

    `floor` is where a logarithm gives way to its tangent, so that zeros and a later negative value stay finite.
    """
    present = np.isfinite(values) & (np.abs(values) < 1e100)
    x, who = values[present], owners[present]
    if len(x) < FEWEST or np.ptp(x) == 0.0 or x.min() < 0.0:
        return NONE, 1.0
    positive = x[x > 0.0]
    zeros = len(positive) < len(x)
    # With zeros the tangent starts inside the data: log(1 + x) in the feature's own unit.
    floor = max(float(np.quantile(positive, 0.1)) if zeros else float(positive.min()) * 1e-6, 1e-290)
    if np.all(x == np.round(x)):
        if len(np.unique(x)) <= 2:
            return NONE, 1.0  # a flag
        if x.max() <= _SMALL_COUNTS:
            return COUNT, 1.0
        candidates = [NONE, COUNT, LOG]
    else:
        candidates = [NONE, LOG]
        if 0.3 < x.max() <= 1.0:
            candidates.append(SHARE)
    if zeros and len(positive) < 0.7 * len(x):
        x, who = positive, who[x > 0.0]  # the zeros would decide; ask the values that have a size
        if len(x) < FEWEST:
            return NONE, 1.0
    margin = _MARGIN * (1.0 + len(x) / 100.0)
    best = max(candidates, key=lambda code: _likelihood(x, who, code, floor) - (0.0 if code == NONE else margin))
    return best, floor if best == LOG else 1.0


def _likelihood(x: Floats, who: Ints, code: int, floor: float) -> float:
    """Log-likelihood of x in raw units under a Student law of the one-step errors in transformed units."""
    if code == LOG:
        above = np.maximum(x, floor)
        y, slope = np.log(above) + (np.minimum(x, floor) - floor) / floor, -np.log(above)
    elif code == COUNT:
        y, slope = 2.0 * np.sqrt(x + 0.375), -0.5 * np.log(x + 0.375)
    elif code == SHARE:
        inner = np.clip(x, 1e-3, 1.0 - 1e-3)
        y, slope = np.arcsin(np.sqrt(inner)), -np.log(2.0 * np.sqrt(inner * (1.0 - inner)))
    else:
        y, slope = x, np.zeros_like(x)
    density = 0.0
    for owner in np.unique(who):
        own = y[who == owner]
        level = float(np.median(own[:16]))
        error = own - level
        scale = max(float(np.median(np.abs(error[:16]))) * 1.4, float(np.quantile(np.abs(error), 0.95)) * 0.1, 1e-140)
        density += _prequential(own, level, scale)
    return density + float(slope.sum())


@nb.njit(cache=True, error_model="numpy")
def _prequential(y: Floats, level: float, scale: float) -> float:
    """Sum of log densities of y [N], each from the moving level and scale of those before it.

    The moving scale leaves a scale that comes and goes with the season to itself: what remains for a transform to explain is
    the skew.
    """
    total = 0.0
    # The floor keeps a feature of a few discrete values from looking infinitely likely.
    smallest = 0.02 * scale
    square = scale * scale
    for i in range(y.shape[0]):
        error = y[i] - level
        ratio = error * error / square
        total += -0.5 * math.log(square) - 0.5 * (_DEGREES + 1.0) * math.log1p(ratio / _DEGREES)
        level += _GAIN * error
        weight = (_DEGREES + 1.0) / (_DEGREES + ratio)
        square = max(square + _SCALE_GAIN * (weight * error * error - square), smallest * smallest)
    return total
