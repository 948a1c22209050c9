"""Drills in memory: one quiet history a seed, and from its end as many scenarios as are asked for, each on its own.

The simulated market, its venue and the watch are copied at the end of the history, so every scenario meets the same market,
and the quiet run beside them is that market without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from engine.book import MEDIUM
from engine.simulation import QUIET, Simulation, SimulationConfig
from engine.simulation.scenarios import SCENARIOS
from engine.wallets import OWN_ACCOUNTS
from models.detectors.variants import STANDARD
from models.ranking import sort_key
from monitor.config import STEP_NS
from monitor.drills.result import Drilled
from monitor.drills.timing import HISTORY_S, config_of, until_ns
from monitor.drills.watch import Seen, Watch
from monitor.sources import VENUE_CAPABILITIES
from monitor.sources.venue import mark_opening

_BATCH_TICKS: Final = 50


def drills(
    names: tuple[str, ...], seed: int, strength: float = 1.0, history_s: int = HISTORY_S, variant: str = STANDARD
) -> Iterator[Drilled]:
    """First the quiet market of that seed (scenario ""), then each scenario. Raises KeyError for a name there is not."""
    for name in names:
        SCENARIOS[name]
    quiet = _Run(config_of(QUIET, seed, strength, history_s), variant)
    yield quiet.copy().drilled("", seed, strength)
    for name in names:
        if SCENARIOS[name].unlisted:
            yield _Run(config_of(name, seed, strength, history_s), variant).drilled(name, seed, strength)
        else:
            yield quiet.copy(name, strength).drilled(name, seed, strength)


class _Run:
    """A market that is watched; after construction it stands at the end of its history."""

    def __init__(self, config: SimulationConfig, variant: str, origin: _Run | None = None) -> None:
        self._config = config
        self._variant = variant
        self._simulation = Simulation(config)
        self._venue = self._simulation.new_venue()
        self._seen: list[Seen] = []
        if origin is not None:
            return
        instruments = self._simulation.instruments
        self._watch = Watch(instruments, VENUE_CAPABILITIES, MEDIUM, self._venue.accounts + OWN_ACCOUNTS, self._variant)
        self._push([mark_opening(self._step())], "HISTORY")
        self._advance(config.history_end_ns, "HISTORY")

    def copy(self, name: str = QUIET, strength: float = 1.0) -> _Run:
        """The same market, at the same moment, with a scenario to come."""
        other = _Run(msgspec.structs.replace(self._config, strength=strength), self._variant, origin=self)
        other._venue.restore(self._venue.snapshot())
        other._simulation.restore(self._simulation.snapshot())
        if name != QUIET:
            other._simulation.drill(name, strength)
        other._watch = self._watch.copy()
        other._seen = list(self._seen)
        return other

    def drilled(self, name: str, seed: int, strength: float) -> Drilled:
        """Goes to the drill's end, and tells."""
        history = sum(len(seen.window_end_ns) for seen in self._seen)
        self._advance(until_ns(self._config, self._simulation.planned_end_ns), "LIVE")
        self._keep(self._watch.finish("LIVE"))
        lines = sorted((line for seen in self._seen for line in seen.anomalies), key=sort_key)
        return Drilled(
            scenario=name,
            seed=seed,
            strength=strength,
            symbols=tuple(instrument.symbol for instrument in self._simulation.instruments),
            step_ns=STEP_NS,
            history=history,
            window_end_ns=np.concatenate([seen.window_end_ns for seen in self._seen]),
            values=np.concatenate([seen.values for seen in self._seen]),
            labels=self._simulation.labels,
            anomalies=tuple(lines),
            verdicts=tuple(verdict for seen in self._seen for verdict in seen.verdicts),
            events=tuple({event.event: event for seen in self._seen for event in seen.events}.values()),
        )

    def _advance(self, until_ns: int, phase: str) -> None:
        parts: list[np.ndarray] = []
        while self._simulation.next_ns < until_ns:
            parts.append(self._step())
            if len(parts) == _BATCH_TICKS:
                self._push(parts, phase)
                parts = []
        if parts:
            self._push(parts, phase)

    def _step(self) -> np.ndarray:
        events = self._venue.apply(self._simulation.step(self._venue))
        self._simulation.observe(events)
        return events

    def _push(self, parts: list[np.ndarray], phase: str) -> None:
        self._keep(self._watch.push(np.concatenate(parts), phase))

    def _keep(self, seen: Seen | None) -> None:
        if seen is not None:
            self._seen.append(seen)
