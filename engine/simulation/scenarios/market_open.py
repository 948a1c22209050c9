"""A market open (benign): at a known hour, activity and volatility double within seconds and fade again."""

from __future__ import annotations

from typing import ClassVar

from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage


class MarketOpen(Scenario):
    name: ClassVar[str] = "market-open"
    family: ClassVar[str] = "market"
    says: ClassVar[str] = "the cash market of another place opens: order flow and volatility double everywhere, and fade"
    metrics: ClassVar[tuple[str, ...]] = ("trades", "adds", "cancels")
    benign: ClassVar[bool] = True
    shortest_s: ClassVar[float] = 60.0
    longest_s: ClassVar[float] = 90.0

    busy: float = 1.0

    def draw(self, stage: Stage, strength: float) -> None:
        self.busy = 1.0 + strength * stage.between(0.8, 1.5)

    def act(self, stage: Stage) -> None:
        risen = min(1.0, self.seconds(stage) / 5.0) * (1.0 - self.share(stage))
        stage.scene.markets["busy"] = 1.0 + (self.busy - 1.0) * risen
        stage.scene.markets["wild"] = 1.0 + 0.5 * (self.busy - 1.0) * risen

    def end(self, stage: Stage) -> None:
        for k in range(len(stage.instruments)):
            stage.calm(k)
