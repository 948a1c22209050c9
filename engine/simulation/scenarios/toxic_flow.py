"""A rebate change draws toxic flow: fast takers who know where the index goes next pick off what makers have not moved yet."""

from __future__ import annotations

from typing import ClassVar, Final

from engine.contract import Side, VenueRule
from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage
from engine.simulation.state import BOT

_TAKER_PPM: Final = -150
"""Fee of takers after the change: they are paid. See `end` for what it was."""


class ToxicFlow(Scenario):
    name: ClassVar[str] = "toxic-flow"
    family: ClassVar[str] = "depth"
    says: ClassVar[str] = "takers are paid from now on; fast ones trade just before each move, and makers that lose show less"
    metrics: ClassVar[tuple[str, ...]] = ("trades", "traded_lots", "depth_bid_5_usd", "depth_ask_5_usd")
    shortest_s: ClassVar[float] = 30.0
    longest_s: ClassVar[float] = 60.0

    rate: float = 0.0
    left: float = 1.0
    before: int = 0
    """Taker fee of the first tier before, ppm."""

    def draw(self, stage: Stage, strength: float) -> None:
        k = self.symbol
        self.rate = strength * stage.between(12.0, 25.0)
        self.left = stage.between(0.3, 0.5) ** min(2.0, strength)
        self.accounts = stage.some(stage.members(k, BOT), 3)
        for account in self.accounts:
            stage.transfer(stage.start_ns + 1, account, 6.0 * float(stage.market(k)["depth_usd"]))
        self.before = int(stage.venue.wallets.rates[0, 0])
        stage.set_rule(stage.start_ns + 1, VenueRule.TAKER_FEE, _TAKER_PPM)

    def act(self, stage: Stage) -> None:
        k = self.symbol
        market = stage.market(k)
        market["stock"] = self.left ** min(1.0, 2.0 * self.share(stage))
        market["wild"] = 1.5
        if not stage.has_book(k):
            return
        worth = float(market["fair"]) * (1.0 + float(market["basis"]))
        for ts_ns in stage.times(self.rate):
            # What the index says already and slow makers do not yet.
            middle = 0.5 * (stage.touch(k, Side.BUY) + stage.touch(k, Side.SELL))
            side = Side.BUY if worth > middle else Side.SELL
            account = self.accounts[stage.below(len(self.accounts))]
            stage.take(ts_ns, k, account, side, stage.lots(k, stage.between(0.01, 0.05) * float(market["depth_usd"])), 2)

    def end(self, stage: Stage) -> None:
        super().end(stage)
        stage.set_rule(stage.start_ns + 1, VenueRule.TAKER_FEE, self.before)
