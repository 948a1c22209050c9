"""Exact contributions of the features to a score, and the brute-force Shapley values that they equal.

For a quadratic form S(m) = m'Ωm with baseline zero the Shapley value of feature f is m_f (Ωm)_f (Mayrhofer and Filzmoser,
"Multivariate outlier explanations using Shapley values and Mahalanobis distances", 2023). The score is a sum of two such forms.
"""

from __future__ import annotations

import math
from itertools import combinations

import numba as nb
import numpy as np

from models.state import Floats


@nb.njit(cache=True, error_model="numpy")
def contributions_of(m: Floats, q: Floats, precision: Floats, precision_q: Floats, g: int, slow: Floats, out: Floats) -> float:
    """Write each feature's part of `S = m'Ωm + ½ q'Ω_q q` to `out` [F] and return S, their sum from left to right.

    `precision`, `precision_q` [G, F, F] are those of all groups, `slow` [F] is work space.
    """
    features = m.shape[0]
    for f in range(features):
        out[f] = 0.0
        slow[f] = 0.0
    for h in range(features):
        for f in range(features):
            out[f] += precision[g, h, f] * m[h]
            slow[f] += precision_q[g, h, f] * q[h]
    score = 0.0
    for f in range(features):
        out[f] = m[f] * out[f] + 0.5 * q[f] * slow[f]
        score += out[f]
    return score


@nb.njit(cache=True, error_model="numpy")
def distance_of(m: Floats, precision: Floats, g: int, work: Floats) -> float:
    """m'Ωm."""
    features = m.shape[0]
    for f in range(features):
        work[f] = 0.0
    for h in range(features):
        for f in range(features):
            work[f] += precision[g, h, f] * m[h]
    total = 0.0
    for f in range(features):
        total += m[f] * work[f]
    return total


def shapley_values(m: Floats, q: Floats, precision: Floats, precision_q: Floats) -> Floats:
    """Shapley values [F] of S by going through every coalition: the check of the closed form, for F up to about 12.

    A feature outside the coalition has m = q = 0.
    """
    features = len(m)

    def value(members: tuple[int, ...]) -> float:
        inside = np.zeros(features)
        inside[list(members)] = 1.0
        a, b = m * inside, q * inside
        return float(a @ precision @ a + 0.5 * (b @ precision_q @ b))

    out = np.zeros(features)
    for f in range(features):
        others = [h for h in range(features) if h != f]
        terms = []
        for size in range(features):
            weight = math.factorial(size) * math.factorial(features - size - 1) / math.factorial(features)
            terms += [weight * (value((*group, f)) - value(group)) for group in combinations(others, size)]
        out[f] = math.fsum(terms)
    return out
