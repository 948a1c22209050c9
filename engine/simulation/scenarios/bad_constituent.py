"""One bad constituent: a spot venue in the index prints nonsense, and the index goes with it."""

from __future__ import annotations

from typing import ClassVar

from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage


class BadConstituent(Scenario):
    name: ClassVar[str] = "bad-constituent"
    family: ClassVar[str] = "prices"
    says: ClassVar[str] = (
        "one exchange in the index is wrong and pulls the index, and the mark, away from where the contract trades"
    )
    metrics: ClassVar[tuple[str, ...]] = ("mid_index_bps",)
    shortest_s: ClassVar[float] = 6.0
    longest_s: ClassVar[float] = 20.0

    pull: float = 0.0
    """Log units at the end of its rise, which takes a third of the time."""

    def draw(self, stage: Stage, strength: float) -> None:
        self.pull = strength * stage.between(20e-4, 45e-4) * (1 if stage.uniform() < 0.5 else -1)

    def act(self, stage: Stage) -> None:
        stage.market(self.symbol)["bias"] = self.pull * min(1.0, 3.0 * self.share(stage))
