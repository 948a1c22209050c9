"""One family of anomalies: the features it looks at, and its detector at one window length."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.conditional import Conditional, run
from models.detectors.tail import Tail
from models.features import Feature, FeatureTable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Family(msgspec.Struct, frozen=True):
    """What a family looks at. `context` is regressed out of every feature; `half_life_s` is the memory of both."""

    name: str
    features: tuple[Feature, ...]
    context: tuple[Feature, ...]
    half_life_s: int


class Scored(msgspec.Struct, frozen=True):
    """A block of windows. [W, S]: `score`, `rate` (false-alarm rate) and `rarity`, NaN where there is none yet; [W, S, F]:
    the contributions to the score, the features' values and expected ranges in their units, NaN where missing."""

    score: Floats
    rate: Floats
    rarity: Floats
    contributions: Floats
    value: Floats
    low: Floats
    high: Floats


class FamilyDetector:
    """Scores a family over windows of `length` rows for S symbols, and learns them.

    The score is the mean over the family's features of z² on the side that is unusual; a feature's contribution is its own
    z²/F, so contributions are never negative and add up to the score. A missing feature contributes nothing.
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
            family.half_life_s / length,
            np.array([feature.prior for feature in family.features]),
            np.array([feature.floor for feature in family.features]),
        )
        self._tail = Tail(symbols)
        # The rows that later windows still need: length − 1 of them, and the one before the window.
        self._rows = np.empty((0, symbols, len(self._table.columns)))
        self._index = np.empty(0, np.int64)

    def process(self, window_index: Ints, values: Floats) -> Scored:
        """Rate each window by what was learnt before it, then learn it. `values` float64[W, S, M], W ≥ 1, indices rising."""
        table, state = self._table, self._state
        rows = np.concatenate([self._rows, table.pick(values)])
        index = np.concatenate([self._index, window_index])
        windows, symbols = values.shape[:2]
        score = np.empty((windows, symbols))
        contributions, value, low, high = (np.empty((windows, symbols, len(self.family.features))) for _ in range(4))
        run(
            rows, index, len(self._index), self.length,
            table.how, table.reads, table.transform, table.offset, self._side,
            state.decay, state.prior, state.floor,
            state.normal, state.target, state.slopes, state.factor, state.variance, state.weight, state.learnt,
            score, contributions, value, low, high,
        )  # fmt: skip
        self._rows, self._index = rows[-self.length :].copy(), index[-self.length :].copy()
        rate, rarity = self._tail.process(score)
        return Scored(score, rate, rarity, contributions, value, low, high)
