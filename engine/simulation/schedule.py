"""Which scenario comes next, and when: the demo's sequence, the one of a drill, and those that somebody asks for meanwhile.

In the first minute after the demo's quiet history each of three happens once, on three different markets, one after the other
and over by its fiftieth second. Then one of the three follows half a minute to a minute and a half after the other, anywhere.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

import msgspec

from engine.simulation.config import TICK_NS, SimulationConfig
from engine.simulation.generator import below, between, new_generator
from engine.simulation.scenario import Scenario
from engine.simulation.scenarios import SCENARIOS

QUIET: Final = "quiet"
"""Instead of a scenario's name: none."""

DEMO: Final = ("quote-stuffing", "leverage-ramp", "maker-gone")
FUNDING_AFTER_S: Final = 90.0

_SECOND_NS: Final = 1_000_000_000
_FIRST_AFTER_S: Final = 4.0
_SLOT_S: Final = 15.0
_DEMO_LONGEST_S: Final = 20.0
"""In the demo scenarios are short, so that the next one is soon to be seen."""

_STREAM: Final = 2
_REST_NS: Final = 10 * _SECOND_NS


class Request(msgspec.Struct, frozen=True):
    """A scenario that somebody asks for while the market runs: to begin at `at_ns`, or when the one under way is over."""

    name: str
    strength: float
    at_ns: int
    symbol: int = -1
    """Number of the market; -1 for any."""


class _State(msgspec.Struct):
    planned: tuple[str, bytes]
    postponed: tuple[str, bytes]
    is_active: bool
    strength: float
    done: int
    asked: list[Request]


class Schedule:
    """Draws from a stream of its own, so that the market's past does not move the timetable."""

    def __init__(self, config: SimulationConfig) -> None:
        self.generator = new_generator(config.seed, _STREAM)
        self.planned: Scenario | None = None
        """The one under way, or the next."""
        self.is_active = False
        self.strength = config.strength
        self._postponed: Scenario | None = None
        """What would have come next, had nobody asked for another."""
        self._config = config
        self._done = 0
        self._asked: list[Request] = []
        self._first_kinds = self._shuffled(len(DEMO))
        self._first_symbols = self._shuffled(len(config.markets))
        self._plan(config.history_end_ns)

    def ask(self, request: Request) -> None:
        """Takes a request for a tick that is still to come. Raises KeyError if there is no such scenario."""
        SCENARIOS[request.name]
        self._asked.append(request)

    def turn(self, now_ns: int) -> tuple[Scenario | None, Scenario | None]:
        """To be called for each tick. Returns (the scenario that is over, the one that begins)."""
        over = begins = None
        if self.is_active and self.planned is not None and now_ns >= self.planned.end_ns:
            over, self.is_active = self.planned, False
            self._follow(now_ns)
        if not self.is_active:
            due = next((request for request in self._asked if request.at_ns <= now_ns), None)
            if due is not None:
                self._asked.remove(due)
                self._postponed = self._postponed or self.planned
                self._set(due.name, now_ns, self._lasting(due.name, SCENARIOS[due.name].longest_s), due.symbol, is_drill=True)
                self.strength = due.strength
            if self.planned is not None and now_ns >= self.planned.start_ns:
                begins, self.is_active = self.planned, True
        return over, begins

    def plan_drill(self, name: str, strength: float) -> None:
        """Plans one scenario for the time behind the history. Raises KeyError if there is none of that name."""
        scenario = SCENARIOS[name]
        # Another stream for each: else all scenarios of a seed would meet the same market at the same second.
        self.generator[:] = new_generator(self._config.seed, _STREAM, crc32(name.encode()))
        start_ns = self._config.history_end_ns + int(between(self.generator, *scenario.after_s) * _SECOND_NS)
        self._set(name, start_ns, self._lasting(name, scenario.longest_s), is_drill=True)
        self.strength = strength

    def state(self) -> bytes:
        """All of it that is not the generator's."""
        planned, postponed = _pack(self.planned), _pack(self._postponed)
        return msgspec.msgpack.encode(_State(planned, postponed, self.is_active, self.strength, self._done, self._asked))

    def restore(self, state: bytes) -> None:
        """Raises ValueError for what is no such state."""
        found = msgspec.msgpack.decode(state, type=_State)
        self.planned, self._postponed = _unpack(found.planned), _unpack(found.postponed)
        self.is_active, self.strength = found.is_active, found.strength
        self._done, self._asked = found.done, found.asked

    def _follow(self, now_ns: int) -> None:
        """What comes after a scenario: the one that it had postponed, a moment later, or the next."""
        if self._postponed is None:
            self._done += 1
            self._plan(now_ns)
            return
        self.planned, self._postponed = self._postponed, None
        self.strength = self._config.strength
        late_ns = max(0, now_ns + _REST_NS - self.planned.start_ns)
        self.planned.start_ns += late_ns
        self.planned.end_ns += late_ns

    def _plan(self, now_ns: int) -> None:
        config, g, number = self._config, self.generator, self._done
        self.planned, self.strength = None, config.strength
        if config.scenario == QUIET or (config.scenario and number > 0):
            return
        if config.scenario:
            self.plan_drill(config.scenario, config.strength)
        elif number < len(DEMO):
            name = DEMO[self._first_kinds[number]]
            length_s = self._lasting(name, min(_DEMO_LONGEST_S, _SLOT_S - 1.0))
            offset_s = _FIRST_AFTER_S + _SLOT_S * number + between(g, 0.0, _SLOT_S - length_s)
            start_ns = config.history_end_ns + int(offset_s * _SECOND_NS)
            self._set(name, start_ns, length_s, self._first_symbols[number % len(config.markets)])
        else:
            name = DEMO[below(g, len(DEMO))]
            length_s = self._lasting(name, _DEMO_LONGEST_S)
            self._set(name, now_ns + int(between(g, 30.0, 90.0) * _SECOND_NS), length_s)

    def _lasting(self, name: str, longest_s: float) -> float:
        scenario = SCENARIOS[name]
        return float(between(self.generator, min(scenario.shortest_s, longest_s), min(scenario.longest_s, longest_s)))

    def _set(self, name: str, start_ns: int, length_s: float, symbol: int = -1, *, is_drill: bool = False) -> None:
        """Agents act by the tick, so both ends are whole ticks."""
        start_ns -= start_ns % TICK_NS
        end_ns = start_ns + int(length_s * 1e9) // TICK_NS * TICK_NS
        scenario = SCENARIOS[name]
        unlisted = [k for k, market in enumerate(self._config.markets) if market.symbol == self._config.unlisted]
        if symbol < 0:
            symbol = unlisted[0] if unlisted else int(below(self.generator, len(self._config.markets)))
        self.planned = scenario(symbol=symbol, start_ns=start_ns, end_ns=end_ns, is_drill=is_drill)

    def _shuffled(self, n: int) -> list[int]:
        order = list(range(n))
        for k in range(n - 1, 0, -1):
            other = int(below(self.generator, k + 1))
            order[k], order[other] = order[other], order[k]
        return order


def _pack(scenario: Scenario | None) -> tuple[str, bytes]:
    return ("", b"") if scenario is None else (scenario.name, msgspec.msgpack.encode(scenario))


def _unpack(packed: tuple[str, bytes]) -> Scenario | None:
    name, fields = packed
    return msgspec.msgpack.decode(fields, type=SCENARIOS[name]) if name else None
