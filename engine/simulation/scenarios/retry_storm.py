"""A retry storm: the throttle is tightened, and bots that do not back off send the same orders again and again."""

from __future__ import annotations

from typing import ClassVar, Final

from engine.contract import Side, VenueRule
from engine.simulation.scenario import Scenario
from engine.simulation.stage import SECOND_NS, Stage
from engine.simulation.state import BOT

_USUAL: Final = 1000
"""Tokens a second where the rules have no throttle: what they are set back to."""


class RetryStorm(Scenario):
    name: ClassVar[str] = "retry-storm"
    family: ClassVar[str] = "cancels"
    says: ClassVar[str] = (
        "the throttle is tightened without notice; bots without backoff answer each refusal with the same order again"
    )
    metrics: ClassVar[tuple[str, ...]] = ("throttled", "rejects", "messages")
    shortest_s: ClassVar[float] = 10.0
    longest_s: ClassVar[float] = 25.0

    tokens: int = 0
    rate: float = 0.0
    """Orders that a bot wants to send in a second, more than it may."""
    before: int = 0

    def draw(self, stage: Stage, strength: float) -> None:
        self.accounts = [int(account) for account in stage.members(self.symbol, BOT)]
        self.tokens = max(1, round(stage.between(25.0, 40.0)))
        self.rate = self.tokens * (1.0 + strength * stage.between(0.5, 1.5))
        interval_ns = int(stage.venue.market.heads[0]["throttle"]["interval_ns"])
        self.before = SECOND_NS // interval_ns if interval_ns else _USUAL
        stage.set_rule(stage.start_ns + 1, VenueRule.THROTTLE, self.tokens)

    def act(self, stage: Stage) -> None:
        k = self.symbol
        if not stage.has_book(k):
            return
        for account in self.accounts:
            for ts_ns in stage.times(self.rate):
                side = stage.below(2)
                price = stage.touch(k, side) + (-1 if side == Side.BUY else 1) * stage.below(3)
                lots = stage.lots(k, stage.between(0.005, 0.02) * float(stage.market(k)["depth_usd"]))
                stage.rest(ts_ns, k, account, side, price, lots, 400_000_000)

    def end(self, stage: Stage) -> None:
        super().end(stage)
        stage.set_rule(stage.start_ns + 1, VenueRule.THROTTLE, self.before)
