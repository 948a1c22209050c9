"""Mark and last apart: trading runs away from the index while makers are slow to believe it."""

from __future__ import annotations

from typing import ClassVar, Final

from engine.contract import Side
from engine.simulation.scenario import Scenario
from engine.simulation.stage import LARGE_MAKERS, Stage
from engine.simulation.state import FUND

_SWEEPS: Final = 1.6
"""Market orders a second."""


class MarkLastApart(Scenario):
    name: ClassVar[str] = "mark-last-apart"
    family: ClassVar[str] = "prices"
    says: ClassVar[str] = "sweeps in a thin book print far from the mark, again and again, while the index does not move"
    metrics: ClassVar[tuple[str, ...]] = ("mark_last_bps", "mid_index_bps")
    shortest_s: ClassVar[float] = 8.0
    longest_s: ClassVar[float] = 20.0

    side: int = 0
    size: float = 0.0
    off: float = 0.0
    """Log units that the contract is worth besides, in the eyes of those who quote."""

    def draw(self, stage: Stage, strength: float) -> None:
        k = self.symbol
        self.side = stage.below(2)
        self.size = strength * stage.between(0.3, 0.6)
        self.off = strength * stage.between(12e-4, 25e-4) * (1 if self.side == Side.BUY else -1)
        self.accounts = stage.some(stage.members(k, FUND), 2)
        for account in self.accounts:
            stage.transfer(stage.start_ns + 1, account, 10.0 * float(stage.market(k)["depth_usd"]))
        stage.send_away(k, LARGE_MAKERS)

    def act(self, stage: Stage) -> None:
        k = self.symbol
        market = stage.market(k)
        market["premium"] = self.off * min(1.0, 4.0 * self.share(stage))
        market["basis"] += 0.1 * (market["premium"] - market["basis"])
        for ts_ns in stage.times(_SWEEPS):
            lots = stage.lots(k, self.size * stage.between(0.5, 1.0) * float(market["depth_usd"]))
            stage.sweep(ts_ns, k, self.accounts[stage.below(len(self.accounts))], self.side, lots)

    def end(self, stage: Stage) -> None:
        super().end(stage)
        stage.market(self.symbol)["basis"] = 0.0
