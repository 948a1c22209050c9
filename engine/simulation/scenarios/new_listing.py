"""A new listing (benign): a market that nobody knew opens with an auction, fills with quotes, and draws a crowd."""

from __future__ import annotations

from typing import ClassVar, Final

from engine.contract import SymbolState
from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage

_AUCTION_S: Final = 5.0


class NewListing(Scenario):
    name: ClassVar[str] = "new-listing"
    family: ClassVar[str] = "market"
    says: ClassVar[str] = "a symbol is listed: its first index, an opening auction, and trading that settles down"
    metrics: ClassVar[tuple[str, ...]] = ("messages", "trades", "open_interest_usd")
    benign: ClassVar[bool] = True
    shortest_s: ClassVar[float] = 60.0
    longest_s: ClassVar[float] = 90.0
    unlisted: ClassVar[str] = "LINK-PERP"

    opened: bool = False
    busy: float = 1.0

    def draw(self, stage: Stage, strength: float) -> None:
        self.busy = 1.0 + strength * stage.between(0.5, 1.5)
        stage.market(self.symbol)["mute"] = 0
        stage.scene.makers["away"][self.symbol] = 0
        stage.set_state(stage.start_ns + 1, self.symbol, SymbolState.AUCTION)

    def act(self, stage: Stage) -> None:
        k = self.symbol
        if self.seconds(stage) >= _AUCTION_S:
            stage.market(k)["busy"] = 1.0 + (self.busy - 1.0) * (1.0 - self.share(stage))
            if not self.opened:
                self.opened = True
                stage.set_state(stage.start_ns + 1, k, SymbolState.OPEN)
