"""The built-in venue for a command: simulated without a journal, a board or a clock, at full speed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from engine.contract import OP_DTYPE, OpKind
from engine.simulation import Simulation, SimulationConfig

if TYPE_CHECKING:
    from engine.instruments import Pack

_START_NS = 1_717_200_000_000_000_000  # 2024-06-01, so that a seed gives the same market on any day
_SECOND_NS = 1_000_000_000


class BuiltIn:
    """A venue that was opened; `advance` lets it trade."""

    def __init__(self, seed: int) -> None:
        self._simulation = Simulation(SimulationConfig(seed=seed, start_ns=_START_NS, history_s=86_400))
        self.pack: Pack = self._simulation.pack
        self.venue = self._simulation.new_venue()
        self._rest = np.zeros(0, OP_DTYPE)

    def advance(self, seconds: int) -> np.ndarray:
        """Trades so many seconds and returns the events, EVENT_DTYPE [n]; ends right behind the tick of a whole second."""
        print(f"the built-in venue trades {seconds} s (the first time it is compiled, a minute or two)", file=sys.stderr)
        simulation = self._simulation
        end_ns = simulation.next_ns // _SECOND_NS * _SECOND_NS + seconds * _SECOND_NS
        parts = [self._apply(self._rest)]
        while True:
            ops = simulation.step(self.venue)
            ticks = np.flatnonzero((ops["kind"] == OpKind.CLOCK) & (ops["ts_ns"] >= end_ns))
            if len(ticks):
                # At a tick all charges are told; what comes after it in this step waits for the next call.
                parts.append(self._apply(ops[: ticks[0] + 1]))
                self._rest = ops[ticks[0] + 1 :].copy()
                return np.concatenate(parts)
            parts.append(self._apply(ops))

    def _apply(self, ops: np.ndarray) -> np.ndarray:
        events = self.venue.apply(ops.copy())
        self._simulation.observe(events)
        return events
