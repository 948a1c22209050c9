"""Stops and liquidation prices in a cluster, and a thin book where they lie: nothing happens yet, but a small move would do."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from engine.contract import Side
from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage
from engine.simulation.state import LEVERED, RETAIL

_ORDER: Final = 0.25
"""Largest order as a share of the market's depth."""


class ClusteredStops(Scenario):
    name: ClassVar[str] = "clustered-stops"
    family: ClassVar[str] = "depth"
    says: ClassVar[str] = (
        "longs with much leverage, all opened at one price, their stops close together, and ever less depth below them"
    )
    metrics: ClassVar[tuple[str, ...]] = ("bankruptcies_5pct_to_depth", "depth_bid_10bps_usd", "depth_bid_5_usd")
    shortest_s: ClassVar[float] = 30.0
    longest_s: ClassVar[float] = 60.0

    leverage: float = 0.0
    left: float = 1.0
    waiting: list[int] = msgspec.field(default_factory=list)

    def draw(self, stage: Stage, strength: float) -> None:
        k = self.symbol
        self.leverage = min(0.85 * stage.max_leverage(k), stage.between(28.0, 40.0))
        self.left = stage.between(0.15, 0.35) ** min(2.0, strength)
        equity = stage.equity_usd()
        # So small that the part of the depth that one of them takes is all its leverage allows.
        most_usd = _ORDER * float(stage.market(k)["depth_usd"]) / self.leverage
        able = [account for account in stage.members(k, RETAIL, LEVERED) if 50.0 < equity[account] < most_usd]
        self.accounts = stage.some(able, round(strength * stage.between(50, 80)))
        self.waiting = list(self.accounts)

    def act(self, stage: Stage) -> None:
        k = self.symbol
        market = stage.market(k)
        market["stock"] = self.left ** self.share(stage)
        if not stage.has_book(k):
            return
        ticks = max(1, (self.end_ns - self.start_ns) // 200_000_000)
        for _ in range(min(len(self.waiting), -(-len(self.accounts) // ticks))):
            account = self.waiting.pop()
            equity = max(0.0, float(stage.equity_usd()[account]))
            wanted = int(self.leverage * equity / market["usd_per_lot"]) - int(stage.scene.positions[account, k])
            lots = min(wanted, stage.lots(k, _ORDER * float(market["depth_usd"])))
            if lots * market["usd_per_lot"] < market["least_usd"]:
                continue
            ts_ns = stage.soon()
            stage.take(ts_ns, k, account, Side.BUY, lots, 10)
            # Round prices attract stops: they lie within a tenth of a per cent of each other.
            trigger = int(stage.touch(k, Side.BUY) * (1.0 - stage.between(0.0115, 0.0125)))
            stage.stop(ts_ns + 1_000, k, account, Side.SELL, trigger)
