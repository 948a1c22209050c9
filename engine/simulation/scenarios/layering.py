"""Layering: large orders on one side give an impression; a small one on the other side fills, and the layers are pulled."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from engine.contract import Side
from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage
from engine.simulation.state import BOT

_CYCLE_TICKS: Final = 8
"""Ticks from one show to the next: layers stand for five, then the fill, then the cancels."""

_SHOWN_TICKS: Final = 5


class Layering(Scenario):
    name: ClassVar[str] = "layering"
    family: ClassVar[str] = "cancels"
    says: ClassVar[str] = "one account stacks orders on one side, trades on the other, and pulls the stack right after the fill"
    metrics: ClassVar[tuple[str, ...]] = ("cancels", "cancelled_lots", "cancels_after_fill")
    shortest_s: ClassVar[float] = 10.0
    longest_s: ClassVar[float] = 25.0

    side: int = 0
    layers: int = 0
    size: float = 0.0
    """Of a layer, in the market's depth."""
    turn: int = 0
    shown: list[int] = msgspec.field(default_factory=list)

    def draw(self, stage: Stage, strength: float) -> None:
        self.accounts = stage.some(stage.members(self.symbol, BOT), 1)
        stage.transfer(stage.start_ns + 1, self.accounts[0], 8.0 * float(stage.market(self.symbol)["depth_usd"]))
        self.side = stage.below(2)
        self.layers = round(strength * stage.between(45, 75))
        self.size = strength * stage.between(0.08, 0.16)

    def act(self, stage: Stage) -> None:
        k, account = self.symbol, self.accounts[0]
        place, self.turn = self.turn % _CYCLE_TICKS, self.turn + 1
        if not stage.has_book(k) or (place == 0 and stage.progress(self.start_ns, self.end_ns - 1_200_000_000) >= 1.0):
            return
        depth_usd = float(stage.market(k)["depth_usd"])
        if place == 0:
            away = -1 if self.side == Side.BUY else 1
            for n in range(self.layers):
                price = stage.touch(k, self.side) + away * (1 + n // 4)
                lots = stage.lots(k, self.size * depth_usd * stage.between(0.7, 1.3))
                self.shown.append(stage.rest(stage.soon(), k, account, self.side, price, lots))
        elif place == _SHOWN_TICKS:
            fill_ns = stage.start_ns + 5_000_000
            stage.take(fill_ns, k, account, 1 - self.side, stage.lots(k, 0.02 * depth_usd))
            for n, order_id in enumerate(self.shown):
                stage.cancel(fill_ns + 2_000_000 + 150_000 * n, k, order_id)
            self.shown = []
