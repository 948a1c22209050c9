"""A second opinion: half-space trees over the same residuals. Shown beside the detectors' own, never mixed with it.

Half-space trees (Tan, Ting and Liu, "Fast anomaly detection for streaming data", 2011; river's) cut the space of the features
at random and count where the data lies: they know nothing of distances, distributions or covariances, so where they agree it is
not because they were built alike. They say no why, which is why they are the second.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from river.anomaly import HalfSpaceTrees

Floats = NDArray[np.float64]

TREES: Final = 15
HEIGHT: Final = 6
WINDOW: Final = 200
BINS: Final = 200


class SecondOpinion:
    """Trees over `features` residuals, of all symbols together. Seeded, so deterministic; can be pickled."""

    def __init__(self, features: int, seed: int) -> None:
        self._features = features
        self._trees = HalfSpaceTrees(n_trees=TREES, height=HEIGHT, window_size=WINDOW, seed=seed)
        self._counts = np.zeros(BINS)
        self._learnt = 0

    def learn(self, residuals: Floats) -> None:
        """Rows [S, F] of one window; NaN counts as what is expected."""
        for row in residuals:
            if np.isnan(row).all():
                continue
            x = self._scaled(row)
            if self._learnt >= WINDOW:
                self._counts[self._bin(x)] += 1.0
            self._trees.learn_one(x)  # type: ignore[no-untyped-call]
            self._learnt += 1

    def rank(self, residuals: Floats) -> float | None:
        """Which share of what was seen scored lower than this row [F]; None before a window of the trees is full."""
        total = float(self._counts.sum())
        if total < WINDOW:
            return None
        return float(self._counts[: self._bin(self._scaled(residuals))].sum() / total)

    def _scaled(self, row: Floats) -> dict[int, float]:
        """Residuals to 0 … 1, where the trees cut: half of the room for the middle standard deviation."""
        z = np.nan_to_num(row)
        return dict(enumerate((0.5 + 0.5 * z / (1.0 + np.abs(z))).tolist()))

    def _bin(self, x: dict[int, float]) -> int:
        score = float(self._trees.score_one(x))  # type: ignore[no-untyped-call]
        return min(max(int(score * BINS), 0), BINS - 1)
