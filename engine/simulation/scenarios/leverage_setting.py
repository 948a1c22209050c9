"""A sudden change of leverage settings: many accounts allow themselves several times the leverage, and use it at once."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.contract import Side
from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage
from engine.simulation.state import RETAIL


class LeverageSetting(Scenario):
    name: ClassVar[str] = "leverage-setting"
    family: ClassVar[str] = "leverage"
    says: ClassVar[str] = "many small accounts turn their leverage up at the same moment and double their positions at once"
    metrics: ClassVar[tuple[str, ...]] = ("leverage_new", "leverage_weighted", "open_interest_usd")
    shortest_s: ClassVar[float] = 8.0
    longest_s: ClassVar[float] = 15.0

    leverage: float = 0.0
    waiting: list[int] = msgspec.field(default_factory=list)
    """Who has not acted yet."""

    def draw(self, stage: Stage, strength: float) -> None:
        k = self.symbol
        self.leverage = min(0.9 * stage.max_leverage(k), strength * stage.between(25.0, 45.0))
        members = stage.members(k, RETAIL)
        equity = stage.equity_usd()
        able = members[(equity[members] > 500.0) & (equity[members] < 20_000.0)]
        self.accounts = stage.some(able, round(strength * stage.between(50, 90)))
        self.waiting = list(self.accounts)
        stage.scene.accounts["target"][self.accounts] = self.leverage
        stage.scene.accounts["cap"][self.accounts] = 2.0 * self.leverage

    def act(self, stage: Stage) -> None:
        k = self.symbol
        if not stage.has_book(k):
            return
        market = stage.market(k)
        ticks_left = max(1, (self.end_ns - stage.start_ns) // 100_000_000 - 5)
        equity, notional = stage.equity_usd(), stage.notional_usd()
        for _ in range(-(-len(self.waiting) // ticks_left)):
            account = self.waiting.pop()
            free_usd = self.leverage * stage.between(0.7, 0.95) * max(0.0, float(equity[account])) - float(notional[account])
            lots = min(int(free_usd / market["usd_per_lot"]), stage.lots(k, 0.3 * float(market["depth_usd"])))
            held = int(stage.scene.positions[account, k])
            side = Side.SELL if held < 0 or (held == 0 and stage.uniform() < 0.4) else Side.BUY
            if lots * market["usd_per_lot"] >= market["least_usd"]:
                stage.take(stage.soon(), k, account, side, lots, 12)
