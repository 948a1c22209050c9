"""A planned halt (benign): nothing for a while, then an auction, then open again, as announced."""

from __future__ import annotations

from typing import ClassVar, Final

from engine.contract import SymbolState
from engine.simulation.scenario import Scenario
from engine.simulation.stage import Stage

_PLAN: Final = ((0.0, SymbolState.HALTED), (0.6, SymbolState.AUCTION), (0.85, SymbolState.OPEN))
"""From which share of the time the market is in which state. What rests stays."""


class PlannedHalt(Scenario):
    name: ClassVar[str] = "planned-halt"
    family: ClassVar[str] = "market"
    says: ClassVar[str] = "the venue halts a market as announced, collects orders in an auction, and opens it again"
    metrics: ClassVar[tuple[str, ...]] = ("messages", "trades")
    benign: ClassVar[bool] = True
    shortest_s: ClassVar[float] = 40.0
    longest_s: ClassVar[float] = 70.0

    steps: int = 0
    """How many of the plan are done."""

    def draw(self, stage: Stage, strength: float) -> None:
        # Everybody knows that nothing is accepted.
        stage.scene.makers["away"][self.symbol] = 1

    def act(self, stage: Stage) -> None:
        k = self.symbol
        share = (stage.start_ns - self.start_ns) / (self.end_ns - self.start_ns)
        while self.steps < len(_PLAN) and share >= _PLAN[self.steps][0]:
            state = _PLAN[self.steps][1]
            self.steps += 1
            stage.set_state(stage.start_ns + 1, k, state)
            stage.market(k)["busy"] = 0.0 if state == SymbolState.HALTED else 0.6
            if state == SymbolState.AUCTION:
                stage.scene.makers["away"][k] = 0
