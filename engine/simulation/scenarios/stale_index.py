"""A stale index: the index provider goes silent while the market goes on."""

from __future__ import annotations

from typing import ClassVar

from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage


class StaleIndex(Scenario):
    name: ClassVar[str] = "stale-index"
    family: ClassVar[str] = "prices"
    says: ClassVar[str] = "no index is published any more, so the mark that is made of it stands still"
    metrics: ClassVar[tuple[str, ...]] = ("index_age_ms", "mark_age_ms")
    shortest_s: ClassVar[float] = 8.0
    longest_s: ClassVar[float] = 30.0

    def draw(self, stage: Stage, strength: float) -> None:
        stage.market(self.symbol)["wild"] = 1.0 + 0.5 * strength * stage.uniform()

    def act(self, stage: Stage) -> None:
        stage.market(self.symbol)["mute"] = 1
