"""A market maker gone: the large makers of a market cancel everything and stay away; the others quote wider."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage
from engine.simulation.state import DOMINANT, MAKERS


class MakerGone(Scenario):
    name: ClassVar[str] = "maker-gone"
    family: ClassVar[str] = "depth"
    says: ClassVar[str] = "the largest makers of a market leave at once, and the others quote wider the longer it lasts"
    metrics: ClassVar[tuple[str, ...]] = (
        "depth_bid_5_usd", "depth_ask_5_usd", "spread_bps", "slippage_buy_bps", "slippage_sell_bps", "depth_bid_10bps_usd",
        "depth_ask_10bps_usd",
    )  # fmt: skip
    shortest_s: ClassVar[float] = 10.0
    longest_s: ClassVar[float] = 16.0

    leaving: list[int] = msgspec.field(default_factory=list)
    wider: float = 1.0

    def draw(self, stage: Stage, strength: float) -> None:
        self.leaving = list(range(min(MAKERS - 1, DOMINANT + stage.below(3))))
        self.wider = 1.0 + strength * stage.between(1.0, 2.5)
        self.accounts = stage.makers(self.symbol, self.leaving)
        stage.send_away(self.symbol, self.leaving)

    def act(self, stage: Stage) -> None:
        stage.market(self.symbol)["thin"] = 1.0 + (self.wider - 1.0) * min(1.0, 0.3 + self.seconds(stage) / 3.0)
