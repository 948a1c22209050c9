"""All families over all symbols: rows of metrics in, anomalies with their contributions out."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.anomaly import LAYERS, Anomaly, Contribution, Drift
from models.combine import cauchy_combination
from models.detectors.drifts import EVERY, SLOW, PanelDrifts
from models.detectors.families import FAMILIES
from models.detectors.family import Family, FamilyDetector, Scored
from models.detectors.kinds import LOOK_BACK, Rows, kind_of
from models.detectors.market import COLUMNS, MARKET, market_rows
from models.detectors.sentences import sentence
from models.detectors.variants import STANDARD, VARIANTS
from models.ranking import sort_key
from models.second_opinion import SecondOpinion

STATED: Final = 0.01
"""Windows with a combined false-alarm rate above this are not anomalies."""
STEP_NS: Final = 1_000_000_000
LEAST_MEMORY: Final = 240
"""Windows of the shortest half-life: rows of an hour must not be forgotten after one."""
MOST_DRIFTS: Final = 1000
"""Drifts that are kept until somebody asks."""
_PRICES: Final = ("mid_usd", "last_usd", "mark_usd", "index_usd")


class Panel:
    """The detectors of a run. Score, then learn: a window is rated by what was seen before it.

    The same rows give the same bits however they are cut into blocks, and a pickle carries on where it was made.

    >>> panel = Panel(("BTC", "ETH"), ("cancels", "trades"))
    >>> panel.process(np.arange(3), np.zeros((3, 2, 2)))
    []
    """

    def __init__(
        self, symbols: tuple[str, ...], metric_names: tuple[str, ...], step_ns: int = STEP_NS, variant: str = STANDARD
    ) -> None:
        self._variant = VARIANTS[variant]
        self.symbols = tuple(symbols)
        self.metric_names = tuple(metric_names)
        self._step_ns = step_ns
        self._last_index: int | None = None
        at = self._at = {name: column for column, name in enumerate(self.metric_names)}
        known = [at[name] for name in _PRICES if name in at]
        self._prices = (np.array(known), at["messages"]) if known and "messages" in at else None
        self._detectors = [
            [FamilyDetector(self._paced(family), len(self.symbols), self.metric_names, length) for length in family.lengths]
            for family in FAMILIES
        ]
        self._market = [
            [FamilyDetector(self._paced(family), 1, COLUMNS, length) for length in family.lengths] for family in MARKET
        ]
        self._drifts = PanelDrifts(
            self.symbols, tuple((family.name, tuple(one.name for one in family.features)) for family in FAMILIES)
        )
        self._opinions = [SecondOpinion(len(family.features), seed) for seed, family in enumerate(FAMILIES)]
        # What the rules of kinds look back on.
        self._drifted: list[Drift] = []
        self._recent = np.empty((0, len(self.symbols), len(self.metric_names)))

    def _paced(self, family: Family) -> Family:
        """A family's memory is told in seconds of one-second rows: it is the number of rows that counts."""
        own = self._variant.of(family)
        return msgspec.structs.replace(own, half_life_s=max(own.half_life_s * STEP_NS // self._step_ns, LEAST_MEMORY))

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
        block = self._heard_of(block)
        # Looks at drifts fall behind fixed windows, so that how the windows were cut into blocks changes nothing.
        ends = [w + 1 for w in np.flatnonzero(index % EVERY == 0).tolist() if w + 1 < len(index)]
        found: list[Anomaly] = []
        for part, rows in zip(np.split(index, ends), np.split(block, ends), strict=True):
            found += self._part(part, rows)
        return found

    def take_drifts(self) -> list[Drift]:
        """What has drifted in the windows since this was last asked, at most `MOST_DRIFTS`, the newest."""
        found, self._drifted = self._drifted[-MOST_DRIFTS:], []
        return found

    def _part(self, index: NDArray[np.int64], block: NDArray[np.float64]) -> list[Anomaly]:
        rows = np.concatenate([self._recent, block])
        found: list[Anomaly] = []
        looks: list[Scored] = []
        for detectors, opinion in zip(self._detectors, self._opinions, strict=True):
            scored = [detector.process(index, block) for detector in detectors]
            looks.append(scored[1])
            rates = np.stack([one.rate for one in scored])
            combined = cauchy_combination(rates, axis=0)
            for w, s in np.argwhere(combined <= STATED):
                length = int(np.nanargmin(rates[:, w, s]))
                line = self._anomaly(detectors[length], scored[length], int(index[w]), int(w), int(s), float(combined[w, s]))
                last = len(self._recent) + w + 1
                seen = Rows(rows[max(last - LOOK_BACK, 0) : last, s], self._at, detectors[length].length)
                kind, notes = kind_of(line.family, line.contributions, seen)
                if scored[length].young[w, s]:
                    notes = (*notes, "a new symbol: judged by what is usual for the others")
                told = {"symbol": self.symbols[s], "kind": kind, "notes": notes}
                found.append(msgspec.structs.replace(line, **told, second_opinion=opinion.rank(scored[length].residual[w, s])))
        found.extend(self._of_market(index, block))
        self._recent = rows[-LOOK_BACK:].copy()
        if index[-1] % EVERY == 0:
            self._look(int(index[-1]), looks, block[-1])
        return sorted(found, key=lambda anomaly: (anomaly.window_end_ns, sort_key(anomaly)))

    def _look(self, index: int, looks: list[Scored], values: NDArray[np.float64]) -> None:
        """Drifts of each family's windows of ten rows that end here, adopted where a level is; and what the trees learn."""
        for opinion, look in zip(self._opinions, looks, strict=True):
            opinion.learn(look.residual[-1])
        known = [self._at.get(metric) for _, metric in SLOW.values()]
        slow = [np.full(len(values), np.nan) if column is None else values[:, column] for column in known]
        drifted = self._drifts.process(
            index * self._step_ns,
            np.concatenate([look.residual[-1] for look in looks], axis=1),
            np.stack([look.score[-1] for look in looks], axis=1),
            np.stack(slow, axis=1),
        )
        for drift, place in drifted:
            self._drifted.append(drift)
            if place < 0:
                continue
            for detectors, family in zip(self._detectors, FAMILIES, strict=True):
                if place < len(family.features):
                    for detector in detectors:
                        detector.forget(self.symbols.index(drift.symbol), place)
                    break
                place -= len(family.features)
        self._drifted = self._drifted[-MOST_DRIFTS:]

    def _of_market(self, index: NDArray[np.int64], block: NDArray[np.float64]) -> list[Anomaly]:
        """What all symbols do together: one line for each symbol that is there, of the family that says most."""
        rows = market_rows(block, self.metric_names)
        scored = [[detector.process(index, rows) for detector in detectors] for detectors in self._market]
        rates = np.stack([[one.rate[:, 0] for one in lengths] for lengths in scored])
        by_family = cauchy_combination(rates, axis=1)
        combined = np.atleast_1d(cauchy_combination(by_family, axis=0))
        there = np.asarray(np.isfinite(block).any(axis=2))
        found: list[Anomaly] = []
        for w in np.flatnonzero(combined <= STATED):
            family = int(np.argmin(by_family[:, w]))
            length = int(np.nanargmin(rates[family, :, w]))
            line = self._anomaly(
                self._market[family][length], scored[family][length], int(index[w]), int(w), 0, float(combined[w])
            )
            line = msgspec.structs.replace(
                line, family="market", layer=LAYERS["market"], kind=line.family, notes=("all symbols taken together",)
            )
            found.extend(msgspec.structs.replace(line, symbol=self.symbols[s]) for s in np.flatnonzero(there[w]))
        return found

    def _heard_of(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values, all missing where a symbol had no price and no message: it is not listed, which is not quiet."""
        if self._prices is None:
            return block
        prices, messages = self._prices
        silent = np.isnan(block[:, :, prices]).all(axis=2) & ~(block[:, :, messages] > 0.0)
        return np.where(silent[:, :, None], np.nan, block) if silent.any() else block

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
                says=sentence(
                    feature.name,
                    _known(scored.value[w, s, f]),
                    _known(scored.low[w, s, f]),
                    _known(scored.high[w, s, f]),
                    feature.unit,
                    detector.length * self._step_ns / 1e9,
                    feature.side,
                ),
            )
            for f, feature in enumerate(family.features)
        ]
        contributions.sort(key=lambda one: -one.contribution)
        return Anomaly(
            window_start_ns=(index - detector.length) * self._step_ns,
            window_end_ns=index * self._step_ns,
            window_ms=detector.length * self._step_ns // 1_000_000,
            symbol="",
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
