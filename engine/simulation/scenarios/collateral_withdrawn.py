"""Collateral leaves before a move: accounts on one side withdraw what is free, and then the index goes against them."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
import numpy as np

from engine.simulation.config import TICK_NS
from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage
from engine.simulation.state import FUND, LEVERED, RETAIL

_WITHDRAWING: Final = 0.5
"""Share of the time in which money leaves; then the price moves."""


class CollateralWithdrawn(Scenario):
    name: ClassVar[str] = "collateral-withdrawn"
    family: ClassVar[str] = "leverage"
    says: ClassVar[str] = (
        "accounts with positions withdraw most of their free collateral, and the price then moves against them"
    )
    metrics: ClassVar[tuple[str, ...]] = ("withdrawals_usd", "leverage_weighted", "leverage_p90")
    shortest_s: ClassVar[float] = 30.0
    longest_s: ClassVar[float] = 60.0

    step: float = 0.0
    """Log units that the index moves in a tick once it moves."""
    waiting: list[int] = msgspec.field(default_factory=list)

    def draw(self, stage: Stage, strength: float) -> None:
        k = self.symbol
        sign = 1 if stage.uniform() < 0.7 else -1
        members = stage.members(k, RETAIL, LEVERED, FUND)
        held_usd = sign * stage.scene.positions[members, k] * stage.scene.markets["usd_per_lot"][k]
        largest = members[np.argsort(-held_usd, kind="stable")][: round(200 * min(2.0, strength))]
        self.accounts = [int(account) for account in largest if sign * stage.scene.positions[account, k] > 0]
        self.waiting = stage.some(self.accounts, len(self.accounts))
        moving = (1.0 - _WITHDRAWING) * (self.end_ns - self.start_ns) / TICK_NS
        self.step = -sign * strength * stage.between(0.006, 0.015) / moving

    def act(self, stage: Stage) -> None:
        market = stage.market(self.symbol)
        withdrawn = self.share(stage) / _WITHDRAWING
        market["push"] = self.step if withdrawn > 1.0 else 0.0
        left = round(max(0.0, 1.0 - 1.1 * withdrawn) * len(self.accounts))
        if len(self.waiting) > left:
            equity, notional = stage.equity_usd(), stage.notional_usd()
            while len(self.waiting) > left:
                account = self.waiting.pop()
                # What stays is a little more than the initial margin at the highest leverage.
                free_usd = float(equity[account]) - stage.between(1.3, 2.0) * float(notional[account]) / stage.max_leverage(
                    self.symbol
                )
                if free_usd > 50.0:
                    stage.transfer(stage.soon(), account, -0.9 * free_usd)
