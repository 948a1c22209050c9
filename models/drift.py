"""Drift as a signal: a level that has changed for good, found by ADWIN and told with its name.

An anomaly is a window; a drift is what does not go away. Each named series goes through an adaptive window of its own
(Bifet and Gavaldà, "Learning from time-changing data with adaptive windowing", 2007; river's ADWIN), which drops its past when
that and the present differ by more than chance allows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river.drift import ADWIN

Floats = NDArray[np.float64]

DELTA: Final = 1e-5
"""Chance of a false drift that ADWIN allows at each look."""
CLIP: Final = 4.0
"""A residual counts so much at most: ADWIN's bound is for what is bounded, and one burst is no drift."""
LEAST: Final = 0.75
"""Standard deviations by which a level must have moved to be told: less is found by patience and wakes nobody."""
HOLD: Final = 12
"""Values after ADWIN spoke that a new level must hold for: it speaks of bursts too."""
FEWEST: Final = 30
"""Values of a series before it can drift."""


class Moved(NamedTuple):
    """The series `name` moved from the mean `before` to `after`, both in units of what it is fed."""

    name: str
    before: float
    after: float


class DriftWatch:
    """Watches residuals (standard deviations from what is expected) by name. Deterministic; can be pickled."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._windows = [ADWIN(delta=DELTA, clock=1) for _ in self.names]  # type: ignore[no-untyped-call]
        self._seen = [0] * len(self.names)
        # Of each series in doubt: its mean before, and how many values have come since and their sum.
        self._waiting: dict[int, tuple[float, int, float]] = {}

    def process(self, values: Floats) -> list[Moved]:
        """The next value of each series, NaN where there is none; what has moved. Raises ValueError for another shape."""
        if values.shape != (len(self.names),):
            raise ValueError(f"values have shape {values.shape}, expected ({len(self.names)},): one for each name")
        found = []
        for k, value in enumerate(values.tolist()):
            if not math.isfinite(value):
                continue
            value = min(max(value, -CLIP), CLIP)
            window = self._windows[k]
            before = float(window.estimation)
            window.update(value)  # type: ignore[no-untyped-call]
            self._seen[k] += 1
            if k in self._waiting:
                old, count, total = self._waiting[k]
                self._waiting[k] = (old, count + 1, total + value)
                if count + 1 == HOLD:
                    del self._waiting[k]
                    after = (total + value) / HOLD
                    if abs(after - old) >= LEAST:
                        found.append(Moved(self.names[k], old, after))
            elif window.drift_detected and self._seen[k] > FEWEST:
                self._waiting[k] = (before, 0, 0.0)
        return found
