"""What a scenario is: something that befalls a market, with a beginning, an end, people behind it, and a label.

Each is a module of `engine.simulation.scenarios`. Its fields are its memory: a snapshot of the simulation holds them.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.simulation.labels import Label
from engine.simulation.stage import Stage


class Scenario(msgspec.Struct, kw_only=True):
    """One occurrence.

    A class says what it is in its class variables: `name`; `family` (see `Label`); `says`, one sentence; `metrics` that it
    moves; whether it is `benign`; how many seconds it lasts, `shortest_s` to `longest_s`; and when it begins in a drill,
    `after_s` seconds behind the history. In the drills' calendar funding is settled `FUNDING_AFTER_S` behind it.

    Attributes:
        symbol: number of the market.
        start_ns: its first tick, UTC nanoseconds.
        end_ns: the tick after its last one.
        accounts: who is behind it.
        is_drill: whether somebody asked for it.
        stalls: whether the venue's engine is stuck in this tick: nothing that is sent reaches it until it goes on.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    says: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    benign: ClassVar[bool] = False
    shortest_s: ClassVar[float]
    longest_s: ClassVar[float]
    after_s: ClassVar[tuple[float, float]] = (10.0, 40.0)
    unlisted: ClassVar[str] = ""
    """A symbol whose market must not be open before."""

    symbol: int
    start_ns: int
    end_ns: int
    accounts: list[int] = []
    is_drill: bool = False
    stalls: bool = False

    def draw(self, stage: Stage, strength: float) -> None:
        """Draws who and how, in its first tick. `strength` is a factor, 1 in general."""
        raise NotImplementedError

    def act(self, stage: Stage) -> None:
        """Its part of a tick; also of the first, after `draw`."""
        raise NotImplementedError

    def end(self, stage: Stage) -> None:
        """Undoes what would outlast it, in the tick after its last one."""
        stage.calm(self.symbol)

    def symbols(self) -> list[int]:
        """The markets that it befalls."""
        return [self.symbol]

    def labels(self, stage: Stage) -> list[Label]:
        """The truth about it, once it is drawn."""
        return [
            Label(
                family=self.family,
                symbol=stage.instruments[k].symbol,
                accounts=tuple(sorted(self.accounts)),
                start_ns=self.start_ns,
                end_ns=self.end_ns,
                name=self.name,
                metrics=self.metrics,
                benign=self.benign,
                drill=self.is_drill,
            )
            for k in self.symbols()
        ]

    def seconds(self, stage: Stage) -> float:
        """How long it has lasted when the tick begins."""
        return (stage.start_ns - self.start_ns) * 1e-9

    def share(self, stage: Stage) -> float:
        """How much of it has passed at the end of the tick, 0 to 1."""
        return stage.progress(self.start_ns, self.end_ns)
