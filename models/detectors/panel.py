"""All families over all symbols: rows of metrics in, anomalies with their contributions out."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.anomaly import LAYERS, Anomaly, Contribution
from models.combine import cauchy_combination
from models.detectors.cancels import CANCELS
from models.detectors.depth import DEPTH
from models.detectors.family import FamilyDetector, Scored
from models.detectors.leverage import LEVERAGE
from models.detectors.prices import PRICES
from models.ranking import sort_key

FAMILIES: Final = (CANCELS, DEPTH, LEVERAGE, PRICES)
LENGTHS: Final = (1, 10)
"""Window lengths in rows: one second sees the flash, ten see the burst that no single second shows."""
STATED: Final = 0.01
"""Windows with a combined false-alarm rate above this are not anomalies."""
STEP_NS: Final = 1_000_000_000
LEAST_MEMORY: Final = 240
"""Windows of the shortest half-life: rows of an hour must not be forgotten after one."""


class Panel:
    """The detectors of a run. Score, then learn: a window is rated by what was seen before it.

    The same rows give the same bits however they are cut into blocks, and a pickle carries on where it was made.

    >>> panel = Panel(("BTC", "ETH"), ("cancels", "trades"))
    >>> panel.process(np.arange(3), np.zeros((3, 2, 2)))
    []
    """

    def __init__(self, symbols: tuple[str, ...], metric_names: tuple[str, ...], step_ns: int = STEP_NS) -> None:
        self.symbols = tuple(symbols)
        self.metric_names = tuple(metric_names)
        self._step_ns = step_ns
        self._last_index: int | None = None
        # A family's memory is told in seconds of one-second rows: it is the number of rows that counts.
        families = [
            msgspec.structs.replace(family, half_life_s=max(family.half_life_s * STEP_NS // step_ns, LEAST_MEMORY))
            for family in FAMILIES
        ]
        self._detectors = [
            [FamilyDetector(family, len(self.symbols), self.metric_names, length) for length in LENGTHS] for family in families
        ]

    def process(self, window_index: NDArray[np.int64], values: NDArray[np.float64]) -> list[Anomaly]:
        """The anomalies of a block of windows, in the order of their windows, within a window the likeliest first.

        `window_index` int64[W], strictly rising over all calls; window k ends at k steps. `values` float64[W, S, M] in the
        order of the symbols and the metric names, NaN where missing; infinities count as missing. Raises ValueError for other
        shapes or an index that does not rise.
        """
        index = np.asarray(window_index, np.int64)
        block = np.asarray(values, np.float64)
        expected = (len(index), len(self.symbols), len(self.metric_names))
        if block.shape != expected:
            raise ValueError(f"values have shape {block.shape}, expected {expected} (windows, symbols, metrics)")
        if len(index) == 0:
            return []
        before = np.concatenate([[index[0] - 1 if self._last_index is None else self._last_index], index[:-1]])
        if np.any(index <= before):
            at = int(np.argmax(index <= before))
            raise ValueError(f"window index {index[at]} does not rise above {before[at]}: give each window once, in order")
        self._last_index = int(index[-1])
        found: list[Anomaly] = []
        for detectors in self._detectors:
            scored = [detector.process(index, block) for detector in detectors]
            rates = np.stack([one.rate for one in scored])
            combined = cauchy_combination(rates, axis=0)
            for w, s in np.argwhere(combined <= STATED):
                length = int(np.nanargmin(rates[:, w, s]))
                found.append(
                    self._anomaly(detectors[length], scored[length], int(index[w]), int(w), int(s), float(combined[w, s]))
                )
        return sorted(found, key=lambda anomaly: (anomaly.window_end_ns, sort_key(anomaly)))

    def _anomaly(self, detector: FamilyDetector, scored: Scored, index: int, w: int, s: int, rate: float) -> Anomaly:
        family = detector.family
        contributions = [
            Contribution(
                feature=feature.name,
                value=_known(scored.value[w, s, f]),
                expected_low=_known(scored.low[w, s, f]),
                expected_high=_known(scored.high[w, s, f]),
                unit=feature.unit,
                contribution=float(scored.contributions[w, s, f]),
            )
            for f, feature in enumerate(family.features)
        ]
        contributions.sort(key=lambda one: -one.contribution)
        return Anomaly(
            window_start_ns=(index - detector.length) * self._step_ns,
            window_end_ns=index * self._step_ns,
            window_ms=detector.length * self._step_ns // 1_000_000,
            symbol=self.symbols[s],
            account=None,
            family=family.name,
            layer=LAYERS[family.name],
            event="",
            score=float(scored.score[w, s]),
            rarity=float(scored.rarity[w, s]),
            false_alarm_rate=rate,
            contributions=tuple(contributions),
        )


def _known(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None
