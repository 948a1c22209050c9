"""From raw values to standardised residuals: transform, season, level and scale of each feature of each entity.

`z = (T(x) - level - w.phi(t)) / exp(log_scale + v.phi(t))`. The seasonal coefficients come from recursive least squares on a
constant and a few Fourier terms, with one matrix P for all entities, because they share the regressors; level and log scale
are exponentially weighted means of what the season leaves. The regressions see the value itself, not what the level leaves: a
level of 150 windows swallows half of a season of a thousand, and its coefficients would never arrive. All updates clip z at 3,
so that no single value can carry the front end away.
"""

from __future__ import annotations

import math
from typing import Final

import numba as nb
import numpy as np

from models.state import HARMONICS, Floats, Ints

NONE, LOG, COUNT, SHARE = range(4)  # transforms
TRANSFORM_NAMES: Final = ("none", "log", "sqrt", "arcsine")
_ANSCOMBE: Final = 3.0 / 8.0
LARGEST: Final = 1e100  # squares of this still fit a float: infinities and 1e300 are cut here

LEVEL_GAIN: Final = 1.0 - 0.5 ** (1.0 / 150.0)  # half-life 150 windows
SCALE_GAIN: Final = 1.0 - 0.5 ** (1.0 / 500.0)
# A scale that was far off over the last thirty windows or so has changed: it is learnt faster until it fits again.
SURPRISE_GAIN: Final = 1.0 - 0.5 ** (1.0 / 30.0)
SURPRISED: Final = 0.9
HURRY: Final = 5.0
CLIP: Final = 3.0
# E[min(z², 9)] of a Gaussian: the clipped square of a well-scaled value is this on average.
CLIPPED_SQUARE: Final = 0.9946
STEP_GAIN: Final = 0.05
# A scale below this part of a feature's typical change is the collapse of discrete and zero-inflated features.
STEP_FLOOR: Final = 0.25
# A scale this many steps wide was learnt from garbage (a first value of 1e300, say): start again.
STEP_CEILING: Final = 1e4
UNKNOWN: Final = -300.0  # log scales below this stand for none
COLD: Final = 8  # values an entity needs before its own scale is trusted where there is no pool
SEASONS_KEPT: Final = 6.0  # memory of the season, in seasons: shorter would let P wind up


@nb.njit(cache=True, error_model="numpy")
def transformed(x: float, code: int, floor: float) -> float:
    """T(x): monotone and finite for every float; `floor` is where the logarithm gives way to its tangent."""
    if code == LOG:
        y = math.log(x) if x > floor else math.log(floor) + (x - floor) / floor
    elif code == COUNT:
        y = 2.0 * math.sqrt(x + _ANSCOMBE) if x > 0.0 else 2.0 * math.sqrt(_ANSCOMBE) + x / math.sqrt(_ANSCOMBE)
    elif code == SHARE:
        y = math.asin(math.sqrt(min(max(x, 0.0), 1.0))) + (x - min(max(x, 0.0), 1.0))
    else:
        y = x
    return min(max(y, -LARGEST), LARGEST)


def inverse(y: Floats, codes: Ints, floors: Floats) -> Floats:
    """T⁻¹ by column, for expected ranges: [entities, features] -> the features' own units."""
    out = np.array(y, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for f, code in enumerate(codes):
            column = out[:, f]
            if code == LOG:
                low = math.log(floors[f])
                out[:, f] = np.where(column > low, np.exp(np.minimum(column, 700.0)), floors[f] * (1.0 + column - low))
            elif code == COUNT:
                low = 2.0 * math.sqrt(_ANSCOMBE)
                square = np.minimum(np.abs(column), LARGEST) ** 2 / 4.0 - _ANSCOMBE
                # A count is never negative, and a range that ends below nothing ends at nothing.
                out[:, f] = np.where(column > low, square, 0.0)
                out[np.isnan(column), f] = np.nan
            elif code == SHARE:
                out[:, f] = np.sin(np.clip(column, 0.0, math.pi / 2.0)) ** 2
    return out


def fourier(t: int, season: int) -> Floats:
    """phi(t) [K]: 1, cosines and sines of the first harmonics; empty without a season."""
    if season == 0:
        return np.zeros(0)
    angle = 2.0 * math.pi * (t % season) / season * np.arange(1, HARMONICS + 1)
    return np.concatenate((np.ones(1), np.cos(angle), np.sin(angle)))


@nb.njit(cache=True, error_model="numpy")
def season_gain(p: Floats, phi: Floats, phi_mean: Floats, season: int, gain: Floats) -> None:
    """One step of recursive least squares with forgetting on the shared P (in place); the gain vector goes to `gain`.

    `phi_mean` is the regressors' mean over the level's memory. P starts at 1: with 100 the coefficients diverge before the
    first season is complete.
    """
    k = phi.shape[0]
    if k == 0:
        return
    forget = 1.0 - 1.0 / (SEASONS_KEPT * season)
    total = forget
    for i in range(k):
        value = 0.0
        for j in range(k):
            value += p[i, j] * phi[j]
        gain[i] = value
        total += value * phi[i]
    for i in range(k):
        for j in range(i + 1):
            value = (p[i, j] - gain[i] * gain[j] / total) / forget
            p[i, j] = value
            p[j, i] = value
    for i in range(k):
        gain[i] /= total
        phi_mean[i] += LEVEL_GAIN * (phi[i] - phi_mean[i])


@nb.njit(cache=True, error_model="numpy")
def own_scale(log_scale: float, n: int, step: float) -> float:
    """Scale of an entity's feature from its own history of n values and the floor under it; 0 while nothing is known."""
    if log_scale < UNKNOWN:
        return STEP_FLOOR * step
    # The level and the scale of a short history are uncertain themselves.
    return max(math.exp(log_scale) * math.sqrt(1.0 + 6.0 / n), STEP_FLOOR * step)


@nb.njit(cache=True, error_model="numpy")
def moved_step(step: float, change: float, y: float) -> float:
    """The typical size of a change after a change of `change`, in multiplicative steps so that no first value can hold it."""
    if change <= 1e-12 * abs(y):
        return step
    if step == 0.0:
        return change
    if change < 1e-3 * step:
        return max(0.03 * step, 30.0 * change)  # a step learnt from garbage: down by decades, not by percents
    if change < 0.05 * step:
        return 0.8 * step
    return step * (1.0 + STEP_GAIN * min(change / step - 1.0, 3.0))


@nb.njit(cache=True, error_model="numpy")
def learned(
    n: int, y: float, z: float, scale: float, q: float, held: bool, follow: float, seasonal: bool,
    level: float, log_scale: float, step: float, surprise: float, mean: float, log_mean: float,
) -> tuple[int, float, float, float, float, float, float, float]:  # fmt: skip
    """One feature's state after the value y: (n, level, log_scale, surprise, mean, log_mean, season_error, scale_error).

    z is the residual of y, `scale` what it was divided by (0: none known), q the EWMA before it, `mean` and `log_mean` the
    seasonal constants, `follow` how far the level had followed the season. `held` keeps level and season as they are. The two
    errors are what the seasonal regressions see. Scalars in and out: arrays as arguments cost more than the arithmetic.
    """
    garbage = step > 0.0 and n > 4 * COLD and scale > STEP_CEILING * step
    if n == 0 or garbage:
        known = math.log(step) if garbage else -1000.0
        if seasonal:
            return 1, 0.0, 0.0, 0.0, y, known, 0.0, 0.0
        return 1, y, known, 0.0, 0.0, 0.0, 0.0, 0.0
    if scale == 0.0:
        # Too young for a scale: plain mean and variance, in Welford's way.
        error = y - level - mean
        level += error / (n + 1)
        known = log_mean if seasonal else log_scale
        squared = math.exp(2.0 * known) if known > UNKNOWN else 0.0
        squared += (error * error * n / (n + 1) - squared) / n
        known = 0.5 * math.log(squared) if squared > 0.0 else -1000.0
        if seasonal:
            return n + 1, level, log_scale, surprise, mean, known, 0.0, 0.0
        return n + 1, level, known, surprise, mean, log_mean, 0.0, 0.0
    young = 1.0 / (n + 1)
    season_error, scale_error = 0.0, 0.0
    if held:
        # A held window is a shift of level as far as anybody knows: only what it adds around the shift belongs to the scale.
        rest = min(abs(z - q), CLIP)
        square = 0.8 * rest * rest / CLIPPED_SQUARE - 1.0
    else:
        square = min(z * z, CLIP * CLIP * (1.0 + 32.0 * young)) / CLIPPED_SQUARE - 1.0
        error = min(max(z, -CLIP), CLIP) * scale
        if seasonal:
            season_error = level + error
            scale_error = log_scale + 0.5 * min(square, CLIP * CLIP)
            # What the season takes over leaves the level, as far as the level had followed it.
            level -= follow * season_error
            log_scale -= follow * scale_error
        level += max(LEVEL_GAIN, young) * error
    surprise += SURPRISE_GAIN * (square - surprise)
    gain = max(SCALE_GAIN * (HURRY if abs(surprise) > SURPRISED else 1.0), young)
    log_scale += 0.5 * math.log1p(gain * square) if gain > 0.01 else 0.5 * gain * square
    return n + 1, level, log_scale, surprise, mean, log_mean, season_error, scale_error


def carried(y: Floats, old: tuple[Ints, Floats], new: tuple[Ints, Floats]) -> Floats:
    """Values [N, F] in the old transforms' units carried to the new ones' (columns whose transform stayed are untouched)."""
    out = np.array(y, np.float64)
    raw = inverse(y, *old)
    for f in np.flatnonzero((old[0] != new[0]) | (old[1] != new[1])):
        for i in range(len(out)):
            if not np.isnan(raw[i, f]):
                out[i, f] = transformed(raw[i, f], new[0][f], new[1][f])
    return out
