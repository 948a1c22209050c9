"""Robust z: how many robust standard deviations each metric lies from the median of the last minutes."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.baselines.columns import WARM_UP, Floats, Picker, one_sided, pieces, quantile, widest

REFRESH: Final = 20
"""Windows between two medians."""
MAD_TO_SD: Final = 1.4826
"""A Gaussian's standard deviation over its median absolute deviation."""


class RobustZ:
    """max over a family's metrics of (x − median) / max(1.4826 · MAD, floor), on the side that is unusual.

    Median and MAD are of the symbol's last `WARM_UP` windows, taken anew every `REFRESH`.
    """

    def __init__(self, family: str, metric_names: tuple[str, ...]) -> None:
        self._picker = Picker(family, metric_names)
        self._floor = np.array([column.floor for column in self._picker.columns])
        self._seen = 0
        self._trail: Floats = np.empty((0, 0, len(self._floor)))
        self._median = self._spread = np.full((1, len(self._floor)), np.nan)

    def score(self, values: Floats) -> Floats:
        """See `Baseline`: in standard deviations, at least 0."""
        x = self._picker.pick(values)
        out = np.full(x.shape[:2], np.nan)
        for piece in pieces(self._seen, len(x), REFRESH):
            out[piece] = widest(one_sided((x[piece] - self._median) / self._spread, self._picker.columns))
            self._trail = np.concatenate([self._trail.reshape(-1, *x.shape[1:]), x[piece]])[-WARM_UP:]
            self._seen += piece.stop - piece.start
            if self._seen >= WARM_UP and self._seen % REFRESH == 0:
                self._median = quantile(self._trail, 0.5)
                spread = MAD_TO_SD * quantile(np.abs(self._trail - self._median), 0.5)
                self._spread = np.maximum(spread, self._floor)
        return out
