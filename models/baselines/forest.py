"""scikit-learn's IsolationForest, one a symbol, refitted on the last windows every so often."""

from __future__ import annotations

from typing import Final

import numpy as np
from sklearn.ensemble import IsolationForest

from models.baselines.columns import WARM_UP, Floats, Picker, pieces

REFIT: Final = 600
"""Windows between two fits."""
TRAIL: Final = 1200
"""Windows a fit looks back at most."""
TREES: Final = 50
"""Half of scikit-learn's default, for time: Liu, Ting and Zhou (2008) found path lengths to converge well before 100."""
SEED: Final = 1


class Forest:
    """The anomaly score of the isolation forest (Liu, Ting and Zhou 2008): 2^(−mean path length / expected).

    A metric that is missing in a row is missing for the trees, too, which know what to do with it; a metric that is missing in
    the whole trail is left out, and a row in which all are missing has no score.
    """

    def __init__(self, family: str, metric_names: tuple[str, ...]) -> None:
        self._picker = Picker(family, metric_names)
        self._seen = 0
        self._trail: Floats = np.empty((0, 0, 0))
        self._forests: list[IsolationForest | None] = []

    def score(self, values: Floats) -> Floats:
        """See `Baseline`: in (0, 1)."""
        x = self._picker.pick(values)
        out = np.full(x.shape[:2], np.nan)
        for piece in pieces(self._seen, len(x), REFIT):
            for s, forest in enumerate(self._forests):
                present = ~np.isnan(x[piece, s]).all(axis=1)
                if forest is not None and present.any():
                    out[piece.start + np.flatnonzero(present), s] = -forest.score_samples(x[piece, s][present])
            self._trail = np.concatenate([self._trail.reshape(-1, *x.shape[1:]), x[piece]])[-TRAIL:]
            self._seen += piece.stop - piece.start
            # At once, not before the next window: what is copied after a history then brings its forests along.
            if self._seen >= WARM_UP and self._seen % REFIT == 0:
                self._forests = [self._fitted(self._trail[:, s], s) for s in range(x.shape[1])]
        return out

    def _fitted(self, rows: Floats, s: int) -> IsolationForest | None:
        rows = rows[~np.isnan(rows).all(axis=1)]
        if not len(rows):
            return None
        return IsolationForest(n_estimators=TREES, random_state=SEED + s).fit(rows)
