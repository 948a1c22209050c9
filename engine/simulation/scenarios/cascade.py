"""A full cascade: crowded longs, a falling index, liquidations into a thin book, takeovers, and ADL at the end."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from engine.contract import Side
from engine.simulation.config import TICK_NS
from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage
from engine.simulation.state import FUND, LEVERED, RETAIL

_CROWDING: Final = 0.6
"""Share of the time in which the longs crowd in; then the price begins to fall."""

_CROWD_USD: Final = 4_000_000.0
"""What they hold together at strength 1: enough for the losses beyond their margin to bring the fund to its limit."""

_CROWD_OF_INTEREST: Final = 1.2
"""... and at least so much of the open interest there is: in a large market a small crowd brings nothing down."""

_LEVERAGE: Final = (9.0, 13.0)


class Cascade(Scenario):
    name: ClassVar[str] = "cascade"
    family: ClassVar[str] = "leverage"
    says: ClassVar[str] = (
        "longs crowd in on leverage, the index falls, liquidations meet a thin book, and the fund hands on to ADL"
    )
    metrics: ClassVar[tuple[str, ...]] = (
        "open_interest_usd", "liquidations", "liquidated_lots", "takeovers", "deleveraged_lots", "realised_vol_bps",
    )  # fmt: skip
    shortest_s: ClassVar[float] = 120.0
    longest_s: ClassVar[float] = 160.0

    each_usd: float = 0.0
    sellers: list[int] = msgspec.field(default_factory=list)
    waiting: list[int] = msgspec.field(default_factory=list)
    fall: float = 0.0
    """Log units that the index falls in a tick once it falls."""

    def draw(self, stage: Stage, strength: float) -> None:
        k = self.symbol
        count = round(stage.between(70, 110))
        self.accounts = stage.some(stage.members(k, LEVERED, RETAIL), count)
        self.sellers = stage.some(stage.members(k, FUND), 12)
        self.waiting = list(self.accounts)
        crowd_usd = max(_CROWD_USD, _CROWD_OF_INTEREST * stage.open_interest_usd(k))
        self.each_usd = strength * crowd_usd / max(1, len(self.accounts))
        ticks = (1.0 - _CROWDING) * (self.end_ns - self.start_ns) / TICK_NS
        self.fall = -strength * stage.between(0.34, 0.44) / ticks

    def act(self, stage: Stage) -> None:
        k = self.symbol
        market = stage.market(k)
        crowded = self.share(stage) / _CROWDING
        if crowded > 1.0:
            market["push"] = self.fall
            market["stock"] = max(0.2, market["stock"] * 0.99)
            market["lean"] = -0.8
            return
        market["premium"] = 8e-4 * crowded
        left = round(max(0.0, 1.0 - 1.1 * crowded) * len(self.accounts))
        while len(self.waiting) > left:
            self._crowd_in(stage, self.waiting.pop())

    def _crowd_in(self, stage: Stage, account: int) -> None:
        """Pays in, and buys; somebody with means sells at the touch, so that the book bears it."""
        if not stage.has_book(self.symbol):
            return
        k = self.symbol
        seller = self.sellers[stage.below(len(self.sellers))]
        leverage = stage.between(*_LEVERAGE) * min(1.0, stage.max_leverage(k) / 50.0)
        ts_ns = stage.soon()
        stage.transfer(ts_ns, account, self.each_usd / leverage)
        stage.transfer(ts_ns, seller, 0.6 * self.each_usd)
        lots = stage.lots(k, self.each_usd)
        stage.rest(ts_ns + 1_000, k, seller, Side.SELL, stage.touch(k, Side.SELL), lots, 2_000_000_000)
        stage.take(ts_ns + 5_000_000, k, account, Side.BUY, lots, 2)
