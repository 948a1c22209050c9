"""A depth dip before funding (benign): makers show less in the last half minute before a settlement, and come back after it."""

from __future__ import annotations

from typing import ClassVar

from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage


class FundingDip(Scenario):
    name: ClassVar[str] = "funding-dip"
    family: ClassVar[str] = "depth"
    says: ClassVar[str] = "makers of all markets show less shortly before funding is settled, as they do each time"
    metrics: ClassVar[tuple[str, ...]] = ("depth_bid_5_usd", "depth_ask_5_usd")
    benign: ClassVar[bool] = True
    shortest_s: ClassVar[float] = 40.0
    longest_s: ClassVar[float] = 45.0
    # Over the settlement, which is 90 s behind the history.
    after_s: ClassVar[tuple[float, float]] = (55.0, 58.0)

    left: float = 1.0

    def draw(self, stage: Stage, strength: float) -> None:
        self.left = stage.between(0.65, 0.8) ** strength

    def act(self, stage: Stage) -> None:
        share = self.share(stage)
        shown = min(1.0, share / 0.6) if share < 0.85 else (1.0 - share) / 0.15
        stage.scene.markets["stock"] = self.left**shown

    def end(self, stage: Stage) -> None:
        for k in range(len(stage.instruments)):
            stage.calm(k)
