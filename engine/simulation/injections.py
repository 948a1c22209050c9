"""Incidents with labels: a burst of cancels, a leverage ramp, makers that leave a book thin. When, where, how strong, and who.

In the first minute after the quiet history each of the three happens once, on three different markets, one after the other and
over by its fiftieth second. Then one follows half a minute to a minute and a half after the other, of any kind, anywhere.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec
import numpy as np

from engine.instruments import Instrument
from engine.simulation.config import TICK_NS, SimulationConfig
from engine.simulation.generator import below, between, new_generator
from engine.simulation.state import BOT, DOMINANT, INCIDENT_ACCOUNTS, INCIDENT_DTYPE, LEVERED, MAKERS, Scene

_SECOND_NS: Final = 1_000_000_000
_LEAST_RAMPING: Final = 12
_LEAST_EQUITY_USD: Final = 100.0
_FIRST_AFTER_S: Final = 4.0
_SLOT_S: Final = 15.0
_SCHEDULE_STREAM: Final = 2


class Incident(IntEnum):
    CANCELS = 0
    LEVERAGE = 1
    DEPTH = 2


_NAMES: Final = ("cancel-burst", "leverage-ramp", "maker-leaves")
_FAMILIES: Final = ("cancels", "leverage", "depth")
_SHORTEST_S: Final = (4.0, 10.0, 10.0)
_LONGEST_S: Final = (8.0, 20.0, 16.0)


class Label(msgspec.Struct, frozen=True):
    """The truth about one incident.

    Attributes:
        family: "cancels", "depth", "leverage", "prices" or "market": which detectors should rank it first.
        symbol: the market.
        accounts: who did it.
        start_ns: time of its first op, UTC nanoseconds.
        end_ns: time after its last op.
        name: what happened.
        metrics: names of the window metrics that it moves.
        benign: whether it is ordinary business, which should raise no alarm.
    """

    family: str
    symbol: str
    accounts: tuple[int, ...]
    start_ns: int
    end_ns: int
    name: str
    metrics: tuple[str, ...] = ()
    benign: bool = False


class Schedule:
    """Which incident comes next. Draws from a stream of its own, so that the market's past does not move the timetable."""

    def __init__(self, config: SimulationConfig) -> None:
        self.generator = new_generator(config.seed, _SCHEDULE_STREAM)
        self.incidents = np.zeros(1, INCIDENT_DTYPE)
        self.done = np.zeros(1, np.int64)
        self._markets = len(config.markets)
        self._live_ns = config.history_end_ns
        self._first_kinds = self._shuffled(len(Incident))
        self._first_symbols = self._shuffled(self._markets)
        self._plan()

    def finish(self) -> None:
        """The incident under way is over: plans the next."""
        self.done[0] += 1
        self._plan()

    def _plan(self) -> None:
        g, number = self.generator, int(self.done[0])
        incident = self.incidents[0]
        if number < len(Incident):
            kind, symbol = self._first_kinds[number], self._first_symbols[number % self._markets]
            longest = min(_LONGEST_S[kind], _SLOT_S - 1.0)
            length_s = between(g, _SHORTEST_S[kind], longest)
            offset_s = _FIRST_AFTER_S + _SLOT_S * number + between(g, 0.0, _SLOT_S - length_s)
            start_ns = self._live_ns + int(offset_s * _SECOND_NS)
        else:
            kind, symbol = below(g, len(Incident)), below(g, self._markets)
            length_s = between(g, _SHORTEST_S[kind], _LONGEST_S[kind])
            start_ns = int(incident["end_ns"]) + int(between(g, 30.0, 90.0) * _SECOND_NS)
        # Whole ticks: agents act by the tick.
        start_ns -= start_ns % TICK_NS
        self.incidents[0] = np.zeros((), INCIDENT_DTYPE)
        incident = self.incidents[0]
        incident["kind"] = kind
        incident["symbol"] = symbol
        incident["start_ns"] = start_ns
        incident["end_ns"] = start_ns + int(length_s * 1e9) // TICK_NS * TICK_NS

    def _shuffled(self, n: int) -> list[int]:
        order = list(range(n))
        for k in range(n - 1, 0, -1):
            other = below(self.generator, k + 1)
            order[k], order[other] = order[other], order[k]
        return order

    def begin(
        self, instrument: Instrument, max_leverage: float, scene: Scene, equity_usd: np.ndarray, open_interest_usd: float
    ) -> Label:
        """Draws strength and accounts of the incident whose time has come, and returns its label.

        Args:
            instrument: of the incident's market.
            max_leverage: highest that its ladder grants.
            scene: the market.
            equity_usd: wallet with unrealised profit of every account.
            open_interest_usd: of the incident's market, one side.
        """
        g, incident = self.generator, self.incidents[0]
        kind = int(incident["kind"])
        k = int(incident["symbol"])
        members = scene.members[scene.starts[k] : scene.starts[k + 1]]
        kinds = scene.accounts["kind"]
        if kind == Incident.CANCELS:
            chosen = self._some(members[kinds[members] == BOT], 1 + below(g, 3))
            incident["rate"] = between(g, 200.0, 300.0) + between(g, 80.0, 200.0) * scene.markets[k]["activity"]
            incident["life_s"] = between(g, 0.004, 0.03)
            incident["side_share"] = (0.15, 0.5, 0.85)[below(g, 3)]
        elif kind == Incident.LEVERAGE:
            incident["leverage"] = min(50.0, 0.95 * max_leverage) * between(g, 0.85, 1.0)
            wanted_usd = 2.0 * between(g, 0.10, 0.22) * open_interest_usd
            levered = members[(kinds[members] == LEVERED) & (equity_usd[members] > _LEAST_EQUITY_USD)]
            chosen = self._some(levered, INCIDENT_ACCOUNTS)
            sums = np.cumsum(equity_usd[chosen]) * incident["leverage"]
            chosen = chosen[: max(_LEAST_RAMPING, int(np.searchsorted(sums, wanted_usd)) + 1)]
        else:
            incident["leaving"] = DOMINANT + below(g, 3)
            incident["thin"] = between(g, 2.0, 3.5)
            chosen = [int(account) for account in scene.makers["account"][k, : int(incident["leaving"])]]
        assert len(chosen) <= INCIDENT_ACCOUNTS
        assert incident["leaving"] < MAKERS
        incident["count"] = len(chosen)
        incident["accounts"][: len(chosen)] = chosen
        incident["active"] = 1
        return Label(
            family=_FAMILIES[kind],
            symbol=instrument.symbol,
            accounts=tuple(sorted(chosen)),
            start_ns=int(incident["start_ns"]),
            end_ns=int(incident["end_ns"]),
            name=_NAMES[kind],
        )

    def _some(self, candidates: np.ndarray, n: int) -> list[int]:
        """Up to `n` of the candidates, in random order."""
        left = candidates.tolist()
        return [left.pop(below(self.generator, len(left))) for _ in range(min(n, len(left)))]
