"""Metric columns to features: what each number is, on the scale on which it can be compared with what is usual.

Raw order-flow numbers mislead: a count's spread grows with its mean, one cancel out of one is a share of 100%, a depth halves
as easily as it doubles. A `Feature` therefore says what its number *is* (a count, a ratio of counts, an imbalance, a
positive quantity, …), and `Transform` gives the scale on which such a number has a roughly constant spread, with its inverse:
what is expected is told in the unit people know.

Windows longer than one row are built here from the rows (`How`), so that a ten-second count is a sum, a ten-second depth a
time-weighted mean, and a ratio is taken of the sums, not averaged.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

INPUTS_MAX: Final = 3
"""A feature reads at most so many columns."""


class How(IntEnum):
    """How a window of several rows is made of their values; rows in which the value is missing are left out."""

    SUM = 0
    MEAN = 1
    ROOT_SQUARES = 2
    """√Σx²: the realised volatility of consecutive windows."""
    LAST = 3
    BEFORE = 4
    """The value of the row just before the window: what a change over the window is taken from."""


class Transform(IntEnum):
    """The scale of a feature, of inputs a, b, c and an offset k. Missing inputs make a missing feature."""

    COUNT = 0
    """2·√(a + 3/8): a Poisson count's spread becomes 1, whatever its mean (Anscombe 1948)."""
    RATIO = 1
    """log((a + k)/(b + k)): a ratio of counts, shrunk so that one against none is nothing."""
    IMBALANCE = 2
    """|a − b|/√(a + b + k): one-sidedness in standard deviations of a fair coin, shrunk likewise."""
    LOG = 3
    """log(a + k)"""
    LOG_SUM = 4
    """log(a + b + k·c): both sides of a quantity, of which the small part k of c is taken for granted."""
    LOG_MEAN = 5
    """(log(a + k) + log(b + k))/2: the two sides of a quantity, of which one may gain what the other loses."""
    LINEAR = 6
    """a"""
    ABSOLUTE = 7
    """log(|a| + k)"""
    LOG_CHANGE = 8
    """10⁴·log(a/b)"""


class Side(IntEnum):
    """Which departures from the expected value are anomalies."""

    LOW = -1
    BOTH = 0
    HIGH = 1


class Input(msgspec.Struct, frozen=True):
    """One metric column and how its rows make a window; with `times`, each row's product with that column."""

    metric: str
    how: How
    times: str = ""


class Feature(msgspec.Struct, frozen=True):
    """One feature: its name and `unit` as people read them, its scale, and which side of it is unusual.

    `prior` is the standard deviation assumed before anything was learnt and `floor` the smallest ever used, both on the
    transformed scale.
    """

    name: str
    transform: Transform
    inputs: tuple[Input, ...]
    unit: str
    side: Side = Side.BOTH
    offset: float = 0.0
    prior: float = 1.0
    floor: float = 0.3
    weight: float = 1.0
    """How much it counts beside the others of the family."""
    given: str = ""
    """An earlier feature of the family: only what it does not explain counts."""


class FeatureTable:
    """Features compiled against the columns of a metric table, as arrays that a kernel can read.

    `columns` int64[N, 2]: the metric columns of each distinct input (-2: the table has no such metric; the second is -1
    without `times`); `how` int64[N]; `reads` int64[F, 3]: the inputs of each feature (-1: none); `transform` int64[F];
    `offset` float64[F]. A metric that the table does not have makes its features missing.
    """

    def __init__(self, features: tuple[Feature, ...], metric_names: tuple[str, ...]) -> None:
        inputs: list[Input] = []
        for feature in features:
            if len(feature.inputs) > INPUTS_MAX:
                raise ValueError(f"feature {feature.name}: {len(feature.inputs)} inputs, at most {INPUTS_MAX} can be read")
            inputs.extend(one for one in feature.inputs if one not in inputs)
        where = {name: column for column, name in enumerate(metric_names)}
        columns = [(where.get(one.metric, -2), where.get(one.times, -2) if one.times else -1) for one in inputs]
        self.columns = np.array(columns, np.int64).reshape(len(inputs), 2)
        self.how = np.array([i.how for i in inputs], np.int64)
        self.reads = np.full((len(features), INPUTS_MAX), -1, np.int64)
        for f, feature in enumerate(features):
            self.reads[f, : len(feature.inputs)] = [inputs.index(one) for one in feature.inputs]
        self.weight = np.array([feature.weight for feature in features])
        names = [feature.name for feature in features]
        self.given = np.array([names.index(feature.given) if feature.given else -1 for feature in features], np.int64)
        self.transform = np.array([feature.transform for feature in features], np.int64)
        self.offset = np.array([feature.offset for feature in features], np.float64)

    def pick(self, values: Floats) -> Floats:
        """The inputs float64[W, S, N] of metric values float64[W, S, M]; a product that is no number counts as missing."""
        picked = np.full((*values.shape[:2], len(self.columns)), np.nan)
        with np.errstate(invalid="ignore", over="ignore"):
            for n, (column, times) in enumerate(self.columns):
                if column >= 0 and times != -2:
                    picked[:, :, n] = values[:, :, column] if times == -1 else values[:, :, column] * values[:, :, times]
        return picked


@njit(cache=True)
def forward(transform: int, a: float, b: float, c: float, k: float) -> float:
    """A feature on its own scale; NaN where an input is missing or the scale is not defined there."""
    if np.isnan(a + b + c):
        return np.nan
    if transform == Transform.COUNT:
        return 2.0 * np.sqrt(a + 0.375) if a >= 0.0 else np.nan
    if transform == Transform.RATIO:
        return np.log((a + k) / (b + k)) if a + k > 0.0 and b + k > 0.0 else np.nan
    if transform == Transform.IMBALANCE:
        return abs(a - b) / np.sqrt(a + b + k) if a + b + k > 0.0 else np.nan
    if transform == Transform.LOG:
        return np.log(a + k) if a + k > 0.0 else np.nan
    if transform == Transform.LOG_SUM:
        return np.log(a + b + k * c) if a + b + k * c > 0.0 else np.nan
    if transform == Transform.LOG_MEAN:
        return 0.5 * (np.log(a + k) + np.log(b + k)) if a + k > 0.0 and b + k > 0.0 else np.nan
    if transform == Transform.ABSOLUTE:
        return np.log(abs(a) + k) if abs(a) + k > 0.0 else np.nan
    if transform == Transform.LOG_CHANGE:
        return 1e4 * np.log(a / b) if a > 0.0 and b > 0.0 else np.nan
    return a


@njit(cache=True)
def backward(transform: int, y: float, a: float, b: float, c: float, k: float) -> float:
    """The value, in the feature's unit, that has `y` on the feature's scale, the inputs' denominators being as they are."""
    if transform == Transform.COUNT:
        return max(0.25 * y * y - 0.375, 0.0) if y > 0.0 else 0.0
    if transform == Transform.RATIO:
        return float(np.exp(y))
    if transform == Transform.IMBALANCE:
        return float(max(y, 0.0) * np.sqrt(a + b + k))
    if transform in (Transform.LOG, Transform.LOG_MEAN, Transform.ABSOLUTE):
        return float(max(np.exp(y) - k, 0.0))
    if transform == Transform.LOG_SUM:
        return float(max(np.exp(y) - k * c, 0.0))
    return y


@njit(cache=True)
def gather(rows: Floats, index: NDArray[np.int64], at: int, length: int, how: NDArray[np.int64], out: Floats) -> None:
    """The inputs of the window that ends with row `at`, into `out` [S, N].

    `rows` [T, S, N] with window indices `index` [T]. A window is whole only if the `length` rows up to `at` are consecutive;
    otherwise, and before there are so many, all its inputs are missing. The sums run in one fixed order, so that they are the
    same bits however the rows arrived.
    """
    first = at - length + 1
    whole = first >= 0 and index[at] - index[first] == length - 1
    for s in range(rows.shape[1]):
        for n in range(rows.shape[2]):
            out[s, n] = np.nan
            if not whole:
                continue
            if how[n] == How.LAST:
                out[s, n] = rows[at, s, n]
                continue
            if how[n] == How.BEFORE:
                if first >= 1 and index[first] - index[first - 1] == 1:
                    out[s, n] = rows[first - 1, s, n]
                continue
            total = 0.0
            present = 0
            for t in range(first, at + 1):
                x = rows[t, s, n]
                if np.isfinite(x):
                    total += x * x if how[n] == How.ROOT_SQUARES else x
                    present += 1
            if present == 0:
                continue
            if how[n] == How.MEAN:
                out[s, n] = total / present
            elif how[n] == How.ROOT_SQUARES:
                out[s, n] = np.sqrt(total)
            else:
                out[s, n] = total


@njit(cache=True)
def read(inputs: Floats, reads: NDArray[np.int64], out: Floats) -> None:
    """The up to three inputs of one feature into `out`; an input that is not finite is missing."""
    for i in range(reads.shape[0]):
        x = inputs[reads[i]] if reads[i] >= 0 else 0.0
        out[i] = x if np.isfinite(x) else np.nan
