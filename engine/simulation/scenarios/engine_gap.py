"""An engine latency gap: the venue's engine is stuck for seconds, again and again, and then works off what has piled up."""

from __future__ import annotations

from typing import ClassVar

from engine.simulation.config import TICK_NS
from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage


class EngineGap(Scenario):
    name: ClassVar[str] = "engine-gap"
    family: ClassVar[str] = "prices"
    says: ClassVar[str] = "the matching engine is stuck for seconds at a time; what was sent meanwhile arrives all at once"
    metrics: ClassVar[tuple[str, ...]] = ("index_age_ms", "mark_age_ms")
    shortest_s: ClassVar[float] = 15.0
    longest_s: ClassVar[float] = 30.0

    others: int = 0

    until_ns: int = 0
    """When the present pause ends."""
    next_ns: int = 0
    """When the next one begins."""
    pause_s: float = 0.0

    def draw(self, stage: Stage, strength: float) -> None:
        self.pause_s = strength * stage.between(2.5, 5.0)
        self.next_ns = stage.start_ns
        self.others = len(stage.instruments)

    def symbols(self) -> list[int]:
        # One engine serves all markets.
        return list(range(self.others))

    def act(self, stage: Stage) -> None:
        if stage.start_ns >= self.next_ns:
            self.until_ns = stage.start_ns + int(self.pause_s * stage.between(0.7, 1.3) * 1e9)
            self.next_ns = self.until_ns + int(stage.between(2.0, 4.0) * 1e9)
        # The last tick lets everything go.
        self.stalls = stage.start_ns < self.until_ns and stage.start_ns + 2 * TICK_NS < self.end_ns
