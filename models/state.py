"""What a detector remembers: one row of arrays an entity, and the pool that entities of a group share.

Both are named tuples of NumPy arrays, so that the compiled kernels take them whole, a checkpoint is a pickle of plain arrays,
and the size is known: an entity costs `(7 + 2 K) F` floats and integers and four more, K being the number of seasonal terms.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEVER: Final = int(np.iinfo(np.int64).min)  # a window before all others
HARMONICS: Final = 3  # Fourier pairs of the season; a daily shape needs the first three, more only learn noise
BINS: Final = 200  # histogram of z, from -Z_RANGE to Z_RANGE
Z_RANGE: Final = 10.0
SCORE_BINS: Final = 1200  # histogram of log S
LOG_SCORE_LOW: Final = -10.0
LOG_SCORE_WIDTH: Final = 0.02

# Entries of Pool.clock.
CLOCK_WINDOWS, CLOCK_T, CLOCK_ROWS = range(3)


class Entities(NamedTuple):
    """State by slot. F features, K seasonal terms (0 without a season)."""

    last: Ints  # [C] window index last learnt
    group: Ints  # [C] group of the entity
    held: Ints  # [C] rejected windows in a row, those between counted back
    drifts: Ints  # [C] levels adopted
    counts: Ints  # [C, F] values learnt
    level: Floats  # [C, F] level in transformed units, beside the seasonal part
    log_scale: Floats  # [C, F] log of the scale without its season
    step: Floats  # [C, F] typical size of a change, changes of zero not counted
    previous: Floats  # [C, F] last value in transformed units
    surprise: Floats  # [C, F] fast mean of (clipped z² - 1): how far the scale is off lately
    q: Floats  # [C, F] multivariate EWMA of the clipped m
    w: Floats  # [C, F, K] seasonal coefficients of the level, in transformed units; the first is the mean
    v: Floats  # [C, F, K] the same for the log scale


class Pool(NamedTuple):
    """State shared by a group's entities (leading axis G), or by all."""

    level: Floats  # [G, F] mean level of the group's entities
    between: Floats  # [G, F] variance of their levels
    scale: Floats  # [G, F] geometric mean of their scales; 0 while nothing is known
    step: Floats  # [G, F] geometric mean of their steps
    w: Floats  # [G, F, K] mean seasonal coefficients in units of the scale, their mean 0
    v: Floats  # [G, F, K]
    histogram: Floats  # [G, F, BINS] of z
    table: Floats  # [G, F, BINS + 1] m at the bin edges
    covariance: Floats  # [G, F, F] of m
    covariance_q: Floats  # [G, F, F] of q
    precision: Floats  # [G, F, F] inverse of the ridged covariance
    precision_q: Floats  # [G, F, F]
    weight: Floats  # [G] rows the covariance rests on, faded
    quantiles: Floats  # [G, F, 2] z at 2.5% and 97.5%
    p: Floats  # [K, K] the seasonal regression's matrix, one for all entities
    phi_mean: Floats  # [K] the regressors' mean over the level's memory
    scores: Floats  # [SCORE_BINS] histogram of log S, faded
    seen: Floats  # [SCORE_BINS] histogram of log S, never faded
    at_or_above: Floats  # [2, SCORE_BINS + 1] survival tables of both, as of the last refresh
    tail: Floats  # [11] calibrated tail of the scores (see `models.calibration`)
    clock: Ints  # [3]
    misfits: Ints  # [F] negative values of a feature whose transform is the logarithm


def new_entities(slots: int, features: int, terms: int) -> Entities:
    """Empty state for `slots` entities."""
    square = (slots, features)
    arrays: list[Any] = [
        np.full(slots, NEVER, np.int64),
        *(np.zeros(slots, np.int64) for _ in range(3)),
        np.zeros(square, np.int64),
        *(np.zeros(square) for _ in range(6)),
        *(np.zeros((*square, terms)) for _ in range(2)),
    ]
    return Entities(*arrays)


def new_pool(groups: int, features: int, terms: int) -> Pool:
    """An empty pool: Gaussian marginals, unit covariance, nothing calibrated."""
    square = (groups, features)
    edges = np.linspace(-Z_RANGE, Z_RANGE, BINS + 1)
    eye = np.broadcast_to(np.eye(features), (groups, features, features))
    # Nothing fitted: the search starts at scale 1, shape 0.1, hardly any anomalies; no score is held back.
    tail = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 0.1, -5.0, 0.0, 0.0, np.inf, 0.1])
    arrays: list[Any] = [
        *(np.zeros(square) for _ in range(4)),
        *(np.zeros((*square, terms)) for _ in range(2)),
        np.zeros((*square, BINS)),
        np.broadcast_to(edges, (*square, BINS + 1)).copy(),
        eye.copy(),
        eye * 0.25,
        eye / 1.03,
        eye / (0.25 * 1.03),
        np.zeros(groups),
        np.broadcast_to(np.array([-1.96, 1.96]), (*square, 2)).copy(),
        np.eye(terms),
        np.zeros(terms),
        np.zeros(SCORE_BINS),
        np.zeros(SCORE_BINS),
        np.ones((2, SCORE_BINS + 1)),
        tail,
        np.array([0, NEVER, 0], np.int64),
        np.zeros(features, np.int64),
    ]
    return Pool(*arrays)


def grown(entities: Entities, slots: int) -> Entities:
    """The same entities with room for `slots`."""
    fresh = new_entities(slots, entities.level.shape[1], entities.w.shape[2])
    for new, old in zip(fresh, entities, strict=True):
        new[: len(old)] = old
    return fresh


def clear_slots(entities: Entities, slots: Ints) -> None:
    """Forget the entities in `slots` (in place)."""
    for array in entities:
        array[slots] = 0
    entities.last[slots] = NEVER


def widened(entities: Entities, pool: Pool, features: int) -> tuple[Entities, Pool]:
    """The same state with features added behind the present ones."""
    old, groups, terms = entities.level.shape[1], pool.level.shape[0], pool.p.shape[0]
    wide, shared = new_entities(len(entities.last), features, terms), new_pool(groups, features, terms)
    for new, array in zip(wide, entities, strict=True):
        if array.ndim == 1:
            new[:] = array
        else:
            new[:, :old] = array
    for name, new, array in zip(Pool._fields, shared, pool, strict=True):
        if name in ("covariance", "covariance_q", "precision", "precision_q"):
            new[:, :old, :old] = array
        elif name == "misfits":
            new[:old] = array
        elif name in ("p", "phi_mean", "scores", "seen", "at_or_above", "tail", "clock", "weight"):
            new[...] = array
        else:
            new[:, :old] = array
    return wide, shared


def regrouped(pool: Pool, groups: int) -> Pool:
    """The same pool with room for more groups behind the present ones."""
    more = new_pool(groups, pool.level.shape[1], pool.p.shape[0])
    old = len(pool.level)
    for name, new, array in zip(Pool._fields, more, pool, strict=True):
        if name in ("p", "phi_mean", "scores", "seen", "at_or_above", "tail", "clock", "misfits"):
            new[...] = array
        else:
            new[:old] = array
    return more
