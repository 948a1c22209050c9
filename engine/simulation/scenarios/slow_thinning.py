"""Both sides thin slowly: every maker shows less from minute to minute, and nobody leaves."""

from __future__ import annotations

from typing import ClassVar

from engine.simulation.scenario import Scenario
from engine.simulation.stage import ALL_MAKERS, Stage


class SlowThinning(Scenario):
    name: ClassVar[str] = "slow-thinning"
    family: ClassVar[str] = "depth"
    says: ClassVar[str] = "all makers show less and less on both sides over a minute or two"
    metrics: ClassVar[tuple[str, ...]] = ("depth_bid_5_usd", "depth_ask_5_usd", "depth_bid_10bps_usd", "depth_ask_10bps_usd")
    shortest_s: ClassVar[float] = 60.0
    longest_s: ClassVar[float] = 120.0

    left: float = 1.0
    """Share of the usual size that is shown at the end."""

    def draw(self, stage: Stage, strength: float) -> None:
        self.left = stage.between(0.12, 0.3) ** strength
        self.accounts = stage.makers(self.symbol, ALL_MAKERS)

    def act(self, stage: Stage) -> None:
        stage.market(self.symbol)["stock"] = self.left ** self.share(stage)
        stage.market(self.symbol)["thin"] = 1.0 + 0.8 * self.share(stage)
