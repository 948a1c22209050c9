"""Funding and realised volatility rise together: the contract gets dear right after a settlement, and the index shakes."""

from __future__ import annotations

from typing import ClassVar

from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage


class FundingVolatility(Scenario):
    name: ClassVar[str] = "funding-volatility"
    family: ClassVar[str] = "prices"
    says: ClassVar[str] = "the contract trades far above its index while the index swings: funding and volatility rise together"
    metrics: ClassVar[tuple[str, ...]] = ("funding_rate_bps", "realised_vol_bps", "funding_vol")
    shortest_s: ClassVar[float] = 40.0
    longest_s: ClassVar[float] = 90.0
    # Behind the settlement, when the mean premium of the interval is of a few seconds only.
    after_s: ClassVar[tuple[float, float]] = (95.0, 110.0)

    dear: float = 0.0
    wild: float = 1.0

    def draw(self, stage: Stage, strength: float) -> None:
        self.dear = strength * stage.between(25e-4, 50e-4)
        self.wild = 1.0 + strength * stage.between(2.0, 3.5)

    def act(self, stage: Stage) -> None:
        market = stage.market(self.symbol)
        risen = min(1.0, 4.0 * self.share(stage))
        market["premium"] = self.dear * risen
        market["basis"] += 0.02 * (market["premium"] - market["basis"])
        market["wild"] = 1.0 + (self.wild - 1.0) * risen
        market["busy"] = 1.0 + risen

    def end(self, stage: Stage) -> None:
        super().end(stage)
        stage.market(self.symbol)["basis"] = 0.0
