"""Drills that people ask for while a venue runs: from the board into the simulation, each at a tick that is written down.

board → list `drills` → accepted: a line in `drills.jsonl` with the tick → `Simulation.ask`

The line is on the disk before the simulation knows of it. A feed that comes back therefore lets the same drills begin at the
same ticks, and its ops are those of the journal.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.simulation import Request
from engine.simulation.scenarios import SCENARIOS
from monitor.bus.asked import Asked, Drill
from monitor.roles.runtime import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from monitor.bus.keys import Keys

OFFERED = tuple(Drill(name, scenario.says, scenario.benign) for name, scenario in SCENARIOS.items() if not scenario.unlisted)
"""What a venue that runs can be asked for: a market cannot be made unknown any more."""


class _Accepted(msgspec.Struct, frozen=True):
    id: str
    request: Request


class Drills:
    """The drills of one feed.

    Args:
        redis: the run's.
        keys: the run's.
        folder: where what was accepted is kept.
        symbols: names of the markets.
        ask: of the source.
    """

    def __init__(
        self, redis: Redis, keys: Keys, folder: Path, symbols: tuple[str, ...], ask: Callable[[Request], None]
    ) -> None:
        self._redis = redis
        self._key = keys.drills
        self._path = folder / "drills.jsonl"
        self._symbols = symbols
        self._ask = ask
        self._known: set[str] = set()

    def restore(self, next_ns: int) -> None:
        """Asks again for what was accepted and is not in the source's snapshot, which stands at `next_ns`."""
        if not self._path.exists():
            return
        for line in self._path.read_bytes().splitlines():
            try:
                accepted = msgspec.json.decode(line, type=_Accepted)
            except msgspec.MsgspecError:
                continue  # the last line of a process that was killed: nothing was asked for yet
            self._known.add(accepted.id)
            if accepted.request.at_ns >= next_ns:
                self._ask(accepted.request)

    def look(self, next_ns: int) -> None:
        """Takes what was asked for since the last look; it begins at `next_ns`, or when the drill under way is over."""
        found: Any = self._redis.lrange(self._key, 0, -1)
        for raw in found:
            try:
                asked = msgspec.json.decode(raw, type=Asked)
            except msgspec.MsgspecError as error:
                log.warning("a drill that cannot be read: %s", error)
            else:
                self._take(asked, next_ns)
            self._redis.lrem(self._key, 1, raw)

    def _take(self, asked: Asked, next_ns: int) -> None:
        if asked.id in self._known:
            return
        scenario = SCENARIOS.get(asked.name)
        if scenario is None or scenario.unlisted or (asked.symbol and asked.symbol not in self._symbols):
            log.warning("a drill that cannot be run here: %s in %r", asked.name, asked.symbol)
            return
        symbol = self._symbols.index(asked.symbol) if asked.symbol else -1
        request = Request(asked.name, asked.strength, next_ns, symbol)
        with self._path.open("ab") as file:
            # A line before that a killed process left torn must not swallow this one.
            file.write(b"\n" + msgspec.json.encode(_Accepted(asked.id, request)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._known.add(asked.id)
        self._ask(request)
        log.info("a drill begins: %s", asked.name)
