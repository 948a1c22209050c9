"""Baselines: what a desk would try first, on the same metric rows, to tell what the detectors add.

Five, each of one family: fixed thresholds, robust z, river's GaussianScorer and HalfSpaceTrees, scikit-learn's
IsolationForest. All are online: a window is scored by what was seen before it and learnt afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from models.baselines.columns import FAMILIES, Column, Floats
from models.baselines.forest import Forest
from models.baselines.gaussian import Gaussian
from models.baselines.robust import RobustZ
from models.baselines.static import Static
from models.baselines.trees import Trees


class Baseline(Protocol):
    """Scores one family. The same rows give the same bits however they are cut into blocks; a pickle carries on where it
    was made, so that what was learnt on a history can be given to several futures."""

    def score(self, values: Floats) -> Floats:
        """Scores float64[W, S] of the next windows, `values` float64[W, S, M] in the order of the metric names: the higher, the
        more unusual; NaN where there is none yet, or nothing to judge by. Only windows up to t decide the score of t."""
        ...


BASELINES: Final[dict[str, Callable[[str, tuple[str, ...]], Baseline]]] = {
    "static": Static,
    "robust z": RobustZ,
    "GaussianScorer": Gaussian,
    "HalfSpaceTrees": Trees,
    "IsolationForest": Forest,
}
"""By name: of a family (a key of `FAMILIES`) and the names of the metric columns, the baseline before its first window."""

__all__ = ["BASELINES", "FAMILIES", "Baseline", "Column"]
