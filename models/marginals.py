"""From residuals to Gaussian scores: each feature's own distribution, pooled over a group.

`g = inverse normal of (exponentially weighted histogram + generalised Pareto tail)` and `m = (g + z)/2`, capped at 20: g alone
forgets how far an extreme value was, z alone mistakes heavy tails and discrete values for anomalies. The map is kept as a table
at the bin edges of z and interpolated.
"""

from __future__ import annotations

import math
from typing import Final

import numba as nb

from models.state import BINS, Z_RANGE, Floats

CAP: Final = 20.0
_WIDTH: Final = 2.0 * Z_RANGE / BINS
FADE: Final = 0.5 ** (1.0 / 10_000.0)  # a window; residuals are standardised already, so their shape may be remembered long
_PRIOR: Final = 150.0  # Gaussian rows that a young histogram starts with
_TAIL: Final = 0.03  # beyond this the histogram is thin and the tail is fitted


# Coefficients of Acklam's approximation, highest power first: tail numerator and denominator, then those of the middle.
_TAIL_TOP: Final = (-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783)  # fmt: skip  # noqa: E501
_TAIL_BOTTOM: Final = (7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996, 3.754408661907416, 1.0)
_TOP: Final = (-3.969683028665376e01, 2.209460984245205e02, -2.759285104469687e02, 1.383577518672690e02, -3.066479806614716e01, 2.506628277459239)  # fmt: skip  # noqa: E501
_BOTTOM: Final = (-5.447609879822406e01, 1.615858368580409e02, -1.556989798598866e02, 6.680131188771972e01, -1.328068155288572e01, 1.0)  # fmt: skip  # noqa: E501


@nb.njit(cache=True, error_model="numpy")
def normal_quantile(p: float) -> float:
    """Inverse normal distribution function for 0 < p <= 0.5 by Acklam's rational approximation (relative error 1.2e-9)."""
    top, bottom = 0.0, 0.0
    if p < 0.02425:
        r = math.sqrt(-2.0 * math.log(p))
        for c in _TAIL_TOP:
            top = top * r + c
        for c in _TAIL_BOTTOM:
            bottom = bottom * r + c
        return top / bottom
    r = p - 0.5
    for c in _TOP:
        top = top * r * r + c
    for c in _BOTTOM:
        bottom = bottom * r * r + c
    return r * top / bottom


@nb.njit(cache=True, error_model="numpy")
def gaussian_score(table: Floats, g: int, f: int, z: float) -> float:
    """m of residual z: the table between its edges, its last slope beyond, at most `CAP` either way."""
    position = (z + Z_RANGE) / _WIDTH
    if position <= 0.0:
        m = table[g, f, 0] + 0.75 * (z + Z_RANGE)
    elif position >= BINS:
        m = table[g, f, BINS] + 0.75 * (z - Z_RANGE)
    else:
        i = int(position)
        left = table[g, f, i]
        m = left + (position - i) * (table[g, f, i + 1] - left)
    return float(min(max(m, -CAP), CAP))


@nb.njit(cache=True, error_model="numpy")
def count_residual(histogram: Floats, g: int, f: int, z: float) -> None:
    """Add one residual to the histogram."""
    i = int((min(max(z, -Z_RANGE), Z_RANGE - 1e-9) + Z_RANGE) / _WIDTH)
    histogram[g, f, i] += 1.0


@nb.njit(cache=True, error_model="numpy")
def refresh_marginal(histogram: Floats, table: Floats, quantiles: Floats) -> None:
    """Rebuild one feature's table from its histogram [BINS] (in place)."""
    total = _PRIOR
    for i in range(BINS):
        total += histogram[i]
    # Cumulative mass at the edges, the prior a Gaussian.
    mass = 0.0
    for i in range(1, BINS):
        mass += histogram[i - 1]
        z = i * _WIDTH - Z_RANGE
        table[i] = (mass + _PRIOR * 0.5 * math.erfc(-z * math.sqrt(0.5))) / total
    table[0], table[BINS] = 0.0, 1.0
    low, high = 1, BINS - 1
    while table[low] < _TAIL:
        low += 1
    while table[high] > 1.0 - _TAIL:
        high -= 1
    if low >= high:
        # Everything in one bin: nothing to learn from.
        for i in range(BINS + 1):
            table[i] = i * _WIDTH - Z_RANGE
        quantiles[0], quantiles[1] = -1.96, 1.96
        return
    quantiles[0] = _edge_quantile(table, 0.025)
    quantiles[1] = _edge_quantile(table, 0.975)
    lower = _tail_scale(histogram, low, -1)
    upper = _tail_scale(histogram, high, 1)
    low_mass, high_mass = table[low], 1.0 - table[high]
    for i in range(BINS + 1):
        z = i * _WIDTH - Z_RANGE
        if i < low:
            p = low_mass * (1.0 + _SHAPE * (low - i) * _WIDTH / lower) ** (-1.0 / _SHAPE)
            gauss = normal_quantile(p)
        elif i > high:
            p = high_mass * (1.0 + _SHAPE * (i - high) * _WIDTH / upper) ** (-1.0 / _SHAPE)
            gauss = -normal_quantile(p)
        else:
            p = table[i]
            gauss = normal_quantile(p) if p <= 0.5 else -normal_quantile(1.0 - p)
        table[i] = 0.5 * (gauss + z)


_SHAPE: Final = 0.1  # of the generalised Pareto tails: a Student law with ten degrees of freedom


@nb.njit(cache=True, error_model="numpy")
def _edge_quantile(table: Floats, p: float) -> float:
    """z at which the cumulative table [BINS + 1] reaches p."""
    i = 1
    while table[i] < p and i < BINS:
        i += 1
    below = table[i - 1]
    part = (p - below) / (table[i] - below) if table[i] > below else 1.0
    return float((i - 1 + part) * _WIDTH - Z_RANGE)


@nb.njit(cache=True, error_model="numpy")
def _tail_scale(histogram: Floats, edge: int, side: int) -> float:
    """Scale of the Pareto tail beyond `edge`: the mean excess, anomalies kept from stretching it by a cap on each excess."""
    prior = 20.0
    expected = 0.37  # mean excess of a Gaussian beyond its 3% quantile
    weight, excess = prior, prior * expected
    i = edge if side > 0 else edge - 1
    while 0 <= i < BINS:
        distance = (abs(i + 0.5 - edge)) * _WIDTH
        weight += histogram[i]
        excess += histogram[i] * min(distance, 1.5)
        i += side
    return max(excess / weight, 0.05) * (1.0 - _SHAPE)
