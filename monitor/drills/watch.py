"""Everything between events and ranked lines in one process: what the roles of a run do, without the server between them.

For drills in memory, many of which begin from the same history: a watch can be copied. What it finds is what a run finds
(a test holds the two against each other).
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.correlation import Correlator, Event
from models.detectors import AccountPanel, Panel
from models.detectors.variants import STANDARD
from models.ranking import sort_key
from monitor.config import ALERT_BUDGET, STEP_NS
from monitor.guardrails.engine import GuardEngine, Verdict
from monitor.guardrails.pack import load_core
from monitor.incidents.evidence import LONGEST_WINDOWS, Evidence, RankedAnomaly
from monitor.incidents.expected import Calendar
from monitor.metrics.accounts import COLUMNS, SPAN
from monitor.metrics.catalogue import METRIC_NAMES
from monitor.metrics.windows import Block, WindowEngine

if TYPE_CHECKING:
    from engine.book import Capacity
    from engine.instruments import Instrument


class Seen(NamedTuple):
    """What some windows held and what was found in them: see `monitor.drills.result.Drilled`."""

    window_end_ns: np.ndarray
    values: np.ndarray
    anomalies: list[RankedAnomaly]
    verdicts: list[Verdict]
    events: list[Event]


class Watch:
    """Windows, detectors, evidence, events and guardrails over the events of one venue."""

    def __init__(
        self,
        instruments: tuple[Instrument, ...],
        capabilities: frozenset[str],
        capacity: Capacity,
        accounts: int,
        variant: str = STANDARD,
    ) -> None:
        self._arguments = (instruments, capabilities, capacity, accounts, variant)
        symbols = tuple(instrument.symbol for instrument in instruments)
        self._windows = WindowEngine(instruments, capabilities, capacity, accounts, STEP_NS, 0)
        self._guard = GuardEngine(symbols, METRIC_NAMES, load_core(METRIC_NAMES))
        self._panel = Panel(symbols, METRIC_NAMES, STEP_NS, variant)
        self._accounts = AccountPanel(symbols, tuple(COLUMNS), STEP_NS, SPAN)
        self._evidence = Evidence(symbols, LONGEST_WINDOWS, Calendar(instruments))
        self._correlator = Correlator(len(symbols), STEP_NS, ALERT_BUDGET)

    def copy(self) -> Watch:
        """Another one that stands where this one does."""
        other = Watch(*self._arguments)
        other._windows.restore(self._windows.snapshot())
        other._guard.restore(self._guard.snapshot())
        state = (self._panel, self._accounts, self._evidence, self._correlator)
        learnt = pickle.dumps(state, protocol=pickle.HIGHEST_PROTOCOL)
        other._panel, other._accounts, other._evidence, other._correlator = pickle.loads(learnt)  # noqa: S301 — from this process
        return other

    def push(self, events: np.ndarray, phase: str) -> Seen | None:
        """Takes events (EVENT_DTYPE) in order; what the windows that they closed held. `phase` is HISTORY or LIVE."""
        return self._look(self._windows.push(events), phase)

    def finish(self, phase: str) -> Seen | None:
        """No more will come."""
        return self._look(self._windows.finish(), phase)

    def _look(self, block: Block | None, phase: str) -> Seen | None:
        if block is None:
            return None
        verdicts = self._guard.process(block.window_end_ns, block.values).verdicts
        found = self._panel.process(block.window_index, block.values) + self._accounts.process(*block.accounts)
        found.sort(key=lambda line: (line.window_end_ns, sort_key(line)))
        lines = self._evidence.explain(found, block, phase)
        lines.sort(key=lambda line: (line.window_end_ns, sort_key(line)))
        assigned, events = self._correlator.assign(lines)
        return Seen(block.window_end_ns, block.values, assigned, verdicts, events)
