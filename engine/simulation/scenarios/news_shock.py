"""A news shock with real trading (benign): the index jumps, everybody trades, and the book follows."""

from __future__ import annotations

from typing import ClassVar

from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage


class NewsShock(Scenario):
    name: ClassVar[str] = "news-shock"
    family: ClassVar[str] = "prices"
    says: ClassVar[str] = "news moves the index within seconds, takers follow it, makers requote; nobody is in trouble"
    metrics: ClassVar[tuple[str, ...]] = ("trades", "realised_vol_bps")
    benign: ClassVar[bool] = True
    shortest_s: ClassVar[float] = 20.0
    longest_s: ClassVar[float] = 40.0

    move: float = 0.0
    """Log units that the index goes, most of it in the first three seconds."""
    busy: float = 1.0

    def draw(self, stage: Stage, strength: float) -> None:
        self.move = strength * stage.between(12.0, 22.0) * float(stage.market(self.symbol)["vol"])
        self.move *= 1 if stage.uniform() < 0.5 else -1
        self.busy = 1.0 + strength * stage.between(1.5, 3.0)

    def act(self, stage: Stage) -> None:
        market = stage.market(self.symbol)
        seconds = self.seconds(stage)
        market["push"] = self.move / 30.0 if seconds < 3.0 else 0.0
        market["busy"] = 1.0 + (self.busy - 1.0) * (1.0 - self.share(stage))
        market["lean"] = (0.5 if self.move > 0 else -0.5) * (1.0 - self.share(stage))
