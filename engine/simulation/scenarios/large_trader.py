"""A large honest trader (benign): a fund buys or sells several times the book's depth, in slices, and cancels nothing."""

from __future__ import annotations

from typing import ClassVar, Final

from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage
from engine.simulation.state import FUND

_SLICES_A_SECOND: Final = 2.0


class LargeTrader(Scenario):
    name: ClassVar[str] = "large-trader"
    family: ClassVar[str] = "market"
    says: ClassVar[str] = "a well funded account works a large order in many small slices over a minute"
    metrics: ClassVar[tuple[str, ...]] = ("traded_lots", "signed_lots")
    benign: ClassVar[bool] = True
    shortest_s: ClassVar[float] = 50.0
    longest_s: ClassVar[float] = 90.0

    side: int = 0
    slice_usd: float = 0.0

    def draw(self, stage: Stage, strength: float) -> None:
        depth_usd = float(stage.market(self.symbol)["depth_usd"])
        total_usd = strength * stage.between(1.0, 2.0) * depth_usd
        self.side = stage.below(2)
        self.slice_usd = total_usd / (_SLICES_A_SECOND * (self.end_ns - self.start_ns) * 1e-9)
        self.accounts = stage.some(stage.members(self.symbol, FUND), 1)
        stage.transfer(stage.start_ns + 1, self.accounts[0], total_usd)

    def act(self, stage: Stage) -> None:
        for ts_ns in stage.times(_SLICES_A_SECOND):
            lots = stage.lots(self.symbol, self.slice_usd * stage.between(0.5, 1.5))
            stage.take(ts_ns, self.symbol, self.accounts[0], self.side, lots, 1)
