"""A leverage ramp: accounts on the crowded side climb to a multiple of their leverage, and the funding rises with it."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np

from engine.contract import Side
from engine.simulation.config import TICK_NS
from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage
from engine.simulation.state import LEVERED

_MOST: Final = 64
_LEAST: Final = 12
_LEAST_EQUITY_USD: Final = 100.0
_TURN: Final = 5
"""Ticks from one order of an account to its next."""

_FROM: Final = 8.0
"""Leverage at which the accounts begin to climb."""

_POSTS: Final = 0.3
"""Share of orders that wait at the touch instead of taking."""

_SHORTS: Final = 4
"""One of so many accounts goes short."""


class LeverageRamp(Scenario):
    name: ClassVar[str] = "leverage-ramp"
    family: ClassVar[str] = "leverage"
    says: ClassVar[str] = (
        "levered accounts climb to the leverage the ladder allows, most of them long, and the contract gets dear"
    )
    metrics: ClassVar[tuple[str, ...]] = ("leverage_weighted", "leverage_new", "open_interest_change_lots")
    shortest_s: ClassVar[float] = 10.0
    longest_s: ClassVar[float] = 20.0

    leverage: float = 0.0
    """Where it ends."""
    dear: float = 0.0
    """Log units by which the contract is worth more at the end."""

    def draw(self, stage: Stage, strength: float) -> None:
        k = self.symbol
        self.leverage = min(50.0, 0.95 * stage.max_leverage(k)) * min(1.0, strength) * stage.between(0.85, 1.0)
        self.dear = strength * stage.between(8e-4, 20e-4)
        wanted_usd = 2.0 * strength * stage.between(0.10, 0.22) * stage.open_interest_usd(k)
        equity = stage.equity_usd()
        levered = stage.members(k, LEVERED)
        chosen = stage.some(levered[equity[levered] > _LEAST_EQUITY_USD], _MOST)
        sums = np.cumsum(equity[chosen]) * self.leverage
        self.accounts = chosen[: max(_LEAST, int(np.searchsorted(sums, wanted_usd)) + 1)]

    def act(self, stage: Stage) -> None:
        k = self.symbol
        market = stage.market(k)
        market["premium"] = self.dear * self.share(stage)
        if not stage.has_book(k):
            return
        progress = stage.progress(self.start_ns, self.start_ns + (self.end_ns - self.start_ns) * 9 // 10)
        leverage = _FROM + (self.leverage - _FROM) * progress
        equity = stage.equity_usd()
        tick = int(stage.scene.heads[0]["tick"])
        for n, account in enumerate(self.accounts):
            if (tick + n) % _TURN:
                continue
            side = Side.SELL if n % _SHORTS == _SHORTS - 1 else Side.BUY
            held = int(stage.scene.positions[account, k]) * (1 if side == Side.BUY else -1)
            wanted = int(leverage * max(0.0, equity[account]) / market["usd_per_lot"])
            lots = min(wanted - held, int(0.12 * market["depth_usd"] / market["usd_per_lot"]))
            if lots < 1 or lots * market["usd_per_lot"] < market["least_usd"]:
                continue
            ts_ns = stage.start_ns + 1 + stage.below(TICK_NS // 2)
            if stage.uniform() < _POSTS:
                life_ns = min((_TURN - 1) * TICK_NS, self.end_ns - 1 - ts_ns)
                stage.rest(ts_ns, k, account, side, stage.touch(k, side), lots, life_ns)
            else:
                stage.take(ts_ns, k, account, side, lots)
