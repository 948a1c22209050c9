"""The score's covariance: how the features of a group move together, learnt robustly.

`S = m'Ωm + ½ q'Ω_q q` with `q <- 0.6 q + 0.4 clip(m, ±4.5)`, a multivariate EWMA (Lowry et al., 1992) that sees bursts and
ramps. Ω and Ω_q are the inverses of exponentially weighted covariances in which a row counts the less the further out it is.
"""

from __future__ import annotations

from typing import Final

import numba as nb
import numpy as np

from models.state import Floats, Pool

MEMORY: Final = 0.6
Q_CLIP: Final = 4.5
RIDGE: Final = 0.003
LEAST: Final = 1e-3  # variance: that of a constant feature fades to nothing, and its first change would score 1e14
COVARIANCE_MEMORY: Final = 2000.0  # rows a covariance rests on at most
FEWEST_WINDOWS: Final = 300.0  # ... but never fewer windows, however many entities there are
_PRIOR_ROWS: Final = 30.0  # rows of independent features that a young covariance starts with
REFRESH: Final = 20  # windows between two inversions


@nb.njit(cache=True, error_model="numpy")
def inverse_ridged(covariance: Floats, out: Floats) -> None:
    """Inverse of `covariance + RIDGE diag` by Cholesky in a fixed order, so that every machine gives the same bits."""
    n = covariance.shape[0]
    lower = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            value = covariance[i, j]
            if i == j:
                value += RIDGE * covariance[i, i] + max(LEAST - covariance[i, i], 0.0)
            for k in range(j):
                value -= lower[i, k] * lower[j, k]
            if i == j:
                lower[i, i] = np.sqrt(max(value, 1e-12))
            else:
                lower[i, j] = value / lower[j, j]
    for column in range(n):
        for i in range(column, n):
            value = 1.0 if i == column else 0.0
            for k in range(column, i):
                value -= lower[i, k] * out[k, column]
            out[i, column] = value / lower[i, i]
        for i in range(n - 1, -1, -1):
            value = out[i, column] if i >= column else 0.0
            for k in range(i + 1, n):
                value -= lower[k, i] * out[k, column]
            out[i, column] = value / lower[i, i]
    for i in range(n):
        for j in range(i):
            value = 0.5 * (out[i, j] + out[j, i])
            out[i, j] = value
            out[j, i] = value


@nb.njit(cache=True, error_model="numpy")
def fold_covariance(pool: Pool, g: int, moment: Floats, moment_q: Floats, weight: float, rows: float) -> None:
    """Fold one window's second moments, sums over `rows` rows of total weight `weight`, into the group's covariances."""
    if weight <= 0.0:
        return
    held = pool.weight[g] + _PRIOR_ROWS
    gain = weight / (held + weight)
    # The memory is counted in rows, and in windows where many entities fill it at once.
    limit = max(COVARIANCE_MEMORY, FEWEST_WINDOWS * rows)
    pool.weight[g] = min(pool.weight[g] + weight, limit)
    n = moment.shape[0]
    for i in range(n):
        for j in range(i + 1):
            a = pool.covariance[g, i, j]
            b = pool.covariance_q[g, i, j]
            a += gain * (moment[i, j] / weight - a)
            b += gain * (moment_q[i, j] / weight - b)
            pool.covariance[g, i, j] = a
            pool.covariance[g, j, i] = a
            pool.covariance_q[g, i, j] = b
            pool.covariance_q[g, j, i] = b
