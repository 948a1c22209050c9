"""Combining false-alarm rates that are not independent (families, window lengths, symbols).

The Cauchy combination test (Liu and Xie, JASA 2020) holds its level in the tail under any dependence; Fisher's and Stouffer's
assume independence and reject ten to twenty times too often here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from models.state import Floats


def cauchy_combination(p: ArrayLike, axis: int = -1, weights: ArrayLike | None = None) -> Floats:
    """Combine p-values along `axis`; NaN is missing and takes no part. All missing gives 1.

    `weights` (non-negative, along `axis`) are equal when None. Raises ValueError for a p outside [0, 1].
    """
    values = np.moveaxis(np.asarray(p, np.float64), axis, -1)
    present = ~np.isnan(values)
    if np.any((values < 0.0) | (values > 1.0)):
        raise ValueError("a p-value lies outside [0, 1]: combine false-alarm rates, not scores or rarities")
    share = np.broadcast_to(np.ones(values.shape[-1]) if weights is None else np.asarray(weights, np.float64), values.shape)
    share = np.where(present, share, 0.0)
    total = share.sum(axis=-1)
    # tan((1/2 - p) pi) loses p below 1e-17; 1/(p pi) is its limit there. 1 is pulled in, or a single 1 would outvote the rest.
    safe = np.clip(np.where(present, values, 0.5), 1e-300, 0.99)
    with np.errstate(over="ignore"):
        cauchy = np.where(safe < 1e-10, 1.0 / (safe * np.pi), np.tan((0.5 - safe) * np.pi))
    mean = (share * cauchy).sum(axis=-1) / np.where(total > 0.0, total, 1.0)
    combined = np.where(mean > 1e10, 1.0 / (np.maximum(mean, 1.0) * np.pi), 0.5 - np.arctan(mean) / np.pi)
    return np.asarray(np.where(total > 0.0, combined, 1.0), np.float64)
