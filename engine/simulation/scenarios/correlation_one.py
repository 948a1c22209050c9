"""Correlations jump to one: all markets move as one, and hedged portfolios find that nothing of theirs offsets any more."""

from __future__ import annotations

from typing import ClassVar

from engine.simulation.index import COMMON
from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage
from engine.simulation.state import HEDGED


class CorrelationOne(Scenario):
    name: ClassVar[str] = "correlation-one"
    family: ClassVar[str] = "prices"
    says: ClassVar[str] = (
        "all markets swing together; portfolios that were long of one and short of another are cut on both sides"
    )
    metrics: ClassVar[tuple[str, ...]] = ("realised_vol_bps",)
    shortest_s: ClassVar[float] = 30.0
    longest_s: ClassVar[float] = 60.0

    wild: float = 1.0
    common: float = 1.0
    """Correlation with the common factor."""
    others: int = 0

    def draw(self, stage: Stage, strength: float) -> None:
        self.wild = 1.0 + strength * stage.between(2.0, 4.0)
        self.common = stage.between(0.97, 0.995)
        self.others = len(stage.instruments)
        self.accounts = stage.some(stage.of_kind(HEDGED), 64)

    def symbols(self) -> list[int]:
        return list(range(self.others))

    def act(self, stage: Stage) -> None:
        stage.scene.heads[0]["common"] = self.common
        stage.scene.markets["wild"] = self.wild
        stage.scene.markets["busy"] = 1.5
        # Risk limits are cut for everybody who is hedged: half of the leverage they are used to.
        if self.seconds(stage) == 0.0:
            stage.scene.accounts["target"][self.accounts] *= 0.5
            stage.scene.accounts["cap"][self.accounts] *= 0.5

    def end(self, stage: Stage) -> None:
        stage.scene.heads[0]["common"] = COMMON
        for k in range(self.others):
            stage.calm(k)
        stage.scene.accounts["target"][self.accounts] *= 2.0
        stage.scene.accounts["cap"][self.accounts] *= 2.0
