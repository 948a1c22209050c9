"""Drifts of a panel: each feature's residual and each family's score of each symbol, and what is only watched for slow change.

A drift of a residual is told and adopted: the level that the feature is held against gives way to the new one, in so many
words, instead of creeping after it for an hour. What a family scores is watched too, for that is what all its features share.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.anomaly import Drift
from models.drift import DriftWatch

Floats = NDArray[np.float64]

EVERY: Final = 10
"""Rows between two looks: the residuals of ten-second windows that share no row."""
SLOW: Final = {
    "liquidations to depth": ("leverage", "bankruptcies_2pct_to_depth"),
    "crowding": ("leverage", "hhi_open_interest"),
    "funding times volatility": ("prices", "funding_vol"),
}
"""Leads that have no detector: what they are, their family and their metric."""
SCORE: Final = "score"
_LEVEL_GAIN: Final = 1.0 / 200.0
_SPREAD_GAIN: Final = 1.0 / 100.0
_LEAST_SPREAD: Final = 0.05


class Standardised:
    """Positive series as residuals: on the logarithm, against an exponentially weighted level and spread."""

    def __init__(self, count: int) -> None:
        self._mean = np.full(count, np.nan)
        self._spread = np.ones(count)

    def residuals(self, values: Floats) -> Floats:
        """Of the next values [N], NaN where missing; then they are learnt, clipped."""
        y = np.log1p(np.abs(np.where(np.isfinite(values), values, np.nan)))
        self._mean = np.where(np.isnan(self._mean), y, self._mean)
        z = (y - self._mean) / self._spread
        clipped = np.clip(np.nan_to_num(z), -3.0, 3.0) * self._spread
        self._mean = self._mean + _LEVEL_GAIN * clipped
        self._spread = np.maximum(np.sqrt((1 - _SPREAD_GAIN) * self._spread**2 + _SPREAD_GAIN * clipped**2), _LEAST_SPREAD)
        return np.asarray(z)


class PanelDrifts:
    """Watches one panel. `features` holds each family's name and its features', in the order in which residuals are given."""

    def __init__(self, symbols: tuple[str, ...], features: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
        self._symbols = symbols
        residuals = [(family, name) for family, names in features for name in names]
        scores = [(family, SCORE) for family, _ in features]
        self._adopted = len(residuals)
        self._named = [*residuals, *scores, *((family, name) for name, (family, _) in SLOW.items())]
        names = [f"{family} {name}" for family, name in self._named]
        self._place = {name: k for k, name in enumerate(names)}
        self._watches = [DriftWatch(names) for _ in symbols]
        self._raw = [Standardised(len(names) - len(residuals)) for _ in symbols]

    def process(self, window_end_ns: int, residuals: Floats, scores: Floats, slow: Floats) -> list[tuple[Drift, int]]:
        """One look: `residuals` [S, F], `scores` [S, families] and the leads of `SLOW` [S, L]. What drifted, each with the
        place of its feature among the residuals, or -1 for what is not adopted."""
        found = []
        for s, watch in enumerate(self._watches):
            raw = self._raw[s].residuals(np.concatenate([scores[s], slow[s]]))
            for name, before, after in watch.process(np.concatenate([residuals[s], raw])):
                place = self._place[name]
                family, feature = self._named[place]
                adopted = place < self._adopted
                way = "rose" if after > before else "fell"
                told = (
                    f"the level of {feature.replace('_', ' ')} {way} by {abs(after - before):.1f} standard deviations and stays"
                )
                says = told + ("; it is taken for usual from now on" if adopted else "")
                drift = Drift(
                    window_end_ns, self._symbols[s], family, feature, round(before, 3), round(after, 3), adopted, says
                )
                found.append((drift, place if adopted else -1))
        return found
