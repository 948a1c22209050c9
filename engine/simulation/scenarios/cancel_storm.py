"""A momentary cancel storm: many accounts fill the book behind the touch, and all of them take everything away at once."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
import numpy as np

from engine.contract import Side
from engine.simulation.scenario import Scenario
from engine.simulation.stage import ALL_MAKERS, Stage
from engine.simulation.state import FUND, QUOTES, RESTS, RETAIL

_POSTING: Final = 0.5
"""Share of the time in which orders come in; then they go."""


class CancelStorm(Scenario):
    name: ClassVar[str] = "cancel-storm"
    family: ClassVar[str] = "cancels"
    says: ClassVar[str] = (
        "many accounts place orders behind the touch and cancel them all within a second, and most makers follow"
    )
    metrics: ClassVar[tuple[str, ...]] = ("cancels", "adds")
    shortest_s: ClassVar[float] = 3.0
    longest_s: ClassVar[float] = 5.0

    orders: int = 0
    """How many are placed in a tick."""
    leaving: list[int] = msgspec.field(default_factory=list)
    """Makers that follow."""
    pulled: bool = False

    def draw(self, stage: Stage, strength: float) -> None:
        equity = stage.equity_usd()
        able = [account for account in stage.members(self.symbol, RETAIL, FUND) if equity[account] > 2_000.0]
        self.accounts = stage.some(able, 60 + stage.below(60))
        self.orders = round(strength * stage.between(14, 24))
        self.leaving = stage.some(ALL_MAKERS, 4 + stage.below(3))

    def act(self, stage: Stage) -> None:
        k = self.symbol
        if self.pulled or not stage.has_book(k):
            return
        if self.share(stage) < _POSTING:
            for _ in range(self.orders):
                side = stage.below(2)
                away = (-1 if side == Side.BUY else 1) * (1 + stage.below(12))
                account = self.accounts[stage.below(len(self.accounts))]
                lots = stage.lots(k, stage.between(0.004, 0.012) * float(stage.market(k)["depth_usd"]))
                stage.rest(stage.soon(), k, account, side, stage.touch(k, side) + away, lots)
            return
        self.pulled = True
        orders = stage.scene.orders[k]
        for slot in (np.flatnonzero(orders["state"][QUOTES:] == RESTS) + QUOTES).tolist():
            if int(orders["account"][slot]) in self.accounts or stage.uniform() < _POSTING:
                stage.cancel(stage.start_ns + 1 + stage.below(1_000_000_000), k, int(orders["order_id"][slot]))
        stage.send_away(k, self.leaving)
