"""river's GaussianScorer, one a symbol and metric, over a rolling window."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np
from river import anomaly

from models.baselines.columns import WARM_UP, Floats, Picker, widest


class Gaussian:
    """max over a family's metrics of |x − μ| / max(σ, floor), μ and σ of the symbol's last `WARM_UP` windows.

    `GaussianScorer.score_one` is 2·|Φ(z) − ½|, which in floating point is 1 for all |z| above 8.3: what is far out would
    tie. |z| of the scorer's own Gaussian has the same order without the ties.
    """

    def __init__(self, family: str, metric_names: tuple[str, ...]) -> None:
        self._picker = Picker(family, metric_names)
        self._scorers: list[list[Any]] = []  # river comes without types

    def score(self, values: Floats) -> Floats:
        """See `Baseline`: in standard deviations."""
        x = self._picker.pick(values)
        windows, symbols, features = x.shape
        if not self._scorers:
            new: Any = anomaly.GaussianScorer
            self._scorers = [[new(window_size=WARM_UP) for _ in range(features)] for _ in range(symbols)]
        z = np.full_like(x, np.nan)
        for s, scorers in enumerate(self._scorers):
            for f, scorer in enumerate(scorers):
                floor, series = self._picker.columns[f].floor, x[:, s, f].tolist()
                for w in range(windows):
                    y = series[w]
                    if isnan(y):
                        continue
                    gaussian = scorer.gaussian
                    if gaussian.n_samples >= WARM_UP:
                        z[w, s, f] = abs(y - gaussian.mu) / max(gaussian.sigma, floor)
                    scorer.learn_one(None, y)
        return widest(z)
