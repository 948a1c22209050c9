"""Quote stuffing: one to three bots post orders near the touch and take them away some milliseconds later."""

from __future__ import annotations

from typing import ClassVar, Final

from engine.contract import Side
from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage
from engine.simulation.state import BOT

_LAST_POST_NS: Final = 150_000_000
"""Nothing is posted in the last moments, so that all cancels lie inside the label."""


class QuoteStuffing(Scenario):
    name: ClassVar[str] = "quote-stuffing"
    family: ClassVar[str] = "cancels"
    says: ClassVar[str] = "a few bots post hundreds of orders a second and cancel each within milliseconds"
    metrics: ClassVar[tuple[str, ...]] = ("cancels", "adds", "fleeting_cancels", "order_to_trade_ratio", "cancels_near")
    shortest_s: ClassVar[float] = 4.0
    longest_s: ClassVar[float] = 8.0

    rate: float = 0.0
    """Orders a second."""
    life_s: float = 0.0
    buys: float = 0.0
    """Share of them."""

    def draw(self, stage: Stage, strength: float) -> None:
        self.accounts = stage.some(stage.members(self.symbol, BOT), 1 + stage.below(3))
        activity = float(stage.market(self.symbol)["activity"])
        self.rate = strength * (stage.between(200.0, 300.0) + stage.between(80.0, 200.0) * activity)
        self.life_s = stage.between(0.004, 0.03)
        self.buys = (0.15, 0.5, 0.85)[stage.below(3)]

    def act(self, stage: Stage) -> None:
        k = self.symbol
        if not stage.has_book(k):
            return
        depth_usd = float(stage.market(k)["depth_usd"])
        for ts_ns in stage.times(self.rate):
            account = self.accounts[stage.below(len(self.accounts))]
            side = Side.BUY if stage.uniform() < self.buys else Side.SELL
            lots = stage.lots(k, stage.between(0.01, 0.04) * depth_usd)
            behind = stage.below(4)
            price = stage.touch(k, side) + (-behind if side == Side.BUY else behind)
            life_ns = min(_LAST_POST_NS, 300_000 + int(stage.exponential(self.life_s) * 1e9))
            if ts_ns + _LAST_POST_NS > self.end_ns or not stage.rest(ts_ns, k, account, side, price, lots, life_ns):
                return
