"""One family of anomalies: the features it looks at, and its detector at one window length."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.conditional import STRIDE, Conditional, run
from models.detectors.tail import Tail
from models.features import Feature, FeatureTable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


ADOPTED: Final = 10.0
"""Windows that count of what was before a new level."""


class Family(msgspec.Struct, frozen=True):
    """What a family looks at. `context` is regressed out of every feature; `half_life_s` is the memory of both."""

    name: str
    features: tuple[Feature, ...]
    context: tuple[Feature, ...]
    half_life_s: int
    lengths: tuple[int, ...] = (1, 10)
    """Window lengths in rows: one second sees the flash, ten see the burst that no single second shows."""


class Scored(msgspec.Struct, frozen=True):
    """A block of windows. [W, S]: `score`, `rate` (false-alarm rate) and `rarity`, NaN where there is none yet, and `young`
    where a symbol is judged by what is usual for the others; [W, S, F]: the contributions to the score, the features' values
    and expected ranges in their units, the residuals in standard deviations, NaN where missing."""

    score: Floats
    rate: Floats
    rarity: Floats
    contributions: Floats
    value: Floats
    low: Floats
    high: Floats
    residual: Floats
    young: NDArray[np.bool_]


class FamilyDetector:
    """Scores a family over windows of `length` rows for S symbols, and learns them.

    The score is the weighted mean over the family's features of z² on the side that is unusual; a feature's contribution is its
    own part of it, so contributions are never negative and add up to the score. A missing feature contributes nothing.
    """

    def __init__(self, family: Family, symbols: int, metric_names: tuple[str, ...], length: int) -> None:
        self.family = family
        self.length = length
        self._table = FeatureTable(family.features + family.context, metric_names)
        self._side = np.array([feature.side for feature in family.features], np.int64)
        self._state = Conditional(
            symbols,
            len(family.features),
            len(family.context),
            family.half_life_s / min(length, STRIDE),
            np.array([feature.prior for feature in family.features]),
            np.array([feature.floor for feature in family.features]),
        )
        weights = self._table.weight[: len(family.features)]
        self._share = weights / weights.sum()
        self._tail = Tail(symbols, length)
        # The rows that later windows still need: length − 1 of them, and the one before the window.
        self._rows = np.empty((0, symbols, len(self._table.columns)))
        self._index = np.empty(0, np.int64)

    def forget(self, symbol: int, feature: int) -> None:
        """Gives up most of what a symbol's level and spread of a feature rest on: the next windows say what is usual."""
        state = self._state
        kept = min(1.0, ADOPTED / max(float(state.normal[symbol, feature, 0, 0]), 1e-9))
        for array in (state.normal, state.target, state.variance, state.weight, state.shared, state.explained):
            array[symbol, feature] *= kept

    def process(self, window_index: Ints, values: Floats) -> Scored:
        """Rate each window by what was learnt before it, then learn it. `values` float64[W, S, M], W ≥ 1, indices rising."""
        table, state = self._table, self._state
        rows = np.concatenate([self._rows, table.pick(values)])
        index = np.concatenate([self._index, window_index])
        windows, symbols = values.shape[:2]
        score = np.empty((windows, symbols))
        features = len(self.family.features)
        contributions, value, low, high, residual = (np.empty((windows, symbols, features)) for _ in range(5))
        young = np.zeros((windows, symbols), np.bool_)
        run(
            rows, index, len(self._index), self.length,
            table.how, table.reads, table.transform, table.offset, self._side, table.given, self._share,
            state.decay, state.prior, state.floor,
            state.normal, state.target, state.slopes, state.factor, state.variance, state.weight, state.learnt,
            state.shared, state.group_slopes, state.group_variance, state.explained, state.clock,
            score, contributions, value, low, high, residual, young,
        )  # fmt: skip
        self._rows, self._index = rows[-self.length :].copy(), index[-self.length :].copy()
        rate, rarity = self._tail.process(score)
        return Scored(score, rate, rarity, contributions, value, low, high, residual, young)
