"""A burst of honest requotes (benign): the market is fast, so makers move their quotes with every tick, and trades follow."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.simulation.scenario import Scenario
from engine.simulation.stage import ALL_MAKERS, Stage


class HonestRequotes(Scenario):
    name: ClassVar[str] = "honest-requotes"
    family: ClassVar[str] = "cancels"
    says: ClassVar[str] = "the index is fast, so all makers move their quotes again and again, and takers trade against them"
    metrics: ClassVar[tuple[str, ...]] = ("cancels", "adds", "trades")
    benign: ClassVar[bool] = True
    shortest_s: ClassVar[float] = 15.0
    longest_s: ClassVar[float] = 30.0

    wild: float = 1.0
    looks: list[float] = msgspec.field(default_factory=list)
    """How often each maker looks in quiet times."""

    def draw(self, stage: Stage, strength: float) -> None:
        self.wild = 1.0 + strength * stage.between(0.7, 1.5)
        self.looks = [float(look) for look in stage.scene.makers["look"][self.symbol]]
        self.accounts = stage.makers(self.symbol, ALL_MAKERS)

    def act(self, stage: Stage) -> None:
        market = stage.market(self.symbol)
        risen = min(1.0, self.seconds(stage) / 4.0)
        market["wild"] = 1.0 + (self.wild - 1.0) * risen
        market["busy"] = 1.0 + (self.wild - 1.0) * risen
        stage.scene.makers["look"][self.symbol] = [min(0.9, look * (1.0 + risen)) for look in self.looks]

    def end(self, stage: Stage) -> None:
        super().end(stage)
        stage.scene.makers["look"][self.symbol] = self.looks
