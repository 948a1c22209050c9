"""river's HalfSpaceTrees, one forest a symbol, over a family's metrics scaled to [0, 1]."""

from __future__ import annotations

from math import isnan
from typing import Any, Final

import numpy as np
from river import anomaly

from models.baselines.columns import WARM_UP, Floats, Picker, quantile

LOW, HIGH = 0.01, 0.99
TREES: Final = 25
"""As in the paper (Tan, Ting and Liu 2011)."""
HEIGHT: Final = 6
"""Nodes are not followed to where less than a tenth of a window lies, which at 250 rows is seldom below the sixth level."""
SEED: Final = 1


class Trees:
    """One minus the mass that lies where a window's metrics lie, as river gives it.

    The first `WARM_UP` windows tell the scale: their 1% and 99% quantiles come to ⅓ and ⅔, so that there is room on either
    side for what was never seen, and what lies beyond is clipped to 0 or 1. They are learnt then; scoring starts after them.
    """

    def __init__(self, family: str, metric_names: tuple[str, ...]) -> None:
        self._picker = Picker(family, metric_names)
        self._floor = np.array([column.floor for column in self._picker.columns])
        self._warming: Floats | None = None
        self._low = self._width = np.zeros(0)
        self._trees: list[Any] = []  # river comes without types

    def score(self, values: Floats) -> Floats:
        """See `Baseline`: in [0, 1]. A metric that is missing is left out, as river does; if all are, there is no score."""
        x = self._picker.pick(values)
        out = np.full(x.shape[:2], np.nan)
        start = 0
        if not self._trees:
            warming = x if self._warming is None else np.concatenate([self._warming, x])
            if len(warming) < WARM_UP:
                self._warming = warming
                return out
            start = len(x) - (len(warming) - WARM_UP)
            self._warm(warming[:WARM_UP])
        for s, trees in enumerate(self._trees):
            for w, row in enumerate(self._scaled(x[start:], s), start):
                if row:
                    out[w, s] = trees.score_one(row)
                    trees.learn_one(row)
        return out

    def _warm(self, rows: Floats) -> None:
        self._warming = None
        low, high = quantile(rows, LOW), quantile(rows, HIGH)
        # A metric that was never there is in the middle if it comes.
        width = np.maximum(np.nan_to_num(high - low), self._floor)
        self._low, self._width = np.nan_to_num(low) - width, 3.0 * width
        features = len(self._floor)
        for s in range(rows.shape[1]):
            trees: Any = anomaly.HalfSpaceTrees(n_trees=TREES, height=HEIGHT, seed=SEED + s)
            # The first row decides which metrics the trees know; a whole one that lies in the middle tells all of them.
            trees.learn_one(dict.fromkeys(range(features), 0.5))
            for row in self._scaled(rows, s):
                if row:
                    trees.learn_one(row)
            self._trees.append(trees)

    def _scaled(self, x: Floats, s: int) -> list[dict[int, float]]:
        scaled = np.clip((x[:, s] - self._low[s]) / self._width[s], 0.0, 1.0)
        return [{f: y for f, y in enumerate(row) if not isnan(y)} for row in scaled.tolist()]
