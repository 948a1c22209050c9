"""What a run is, for everybody who reads its streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from engine.instruments import Instrument
from monitor.bus.asked import Drill
from monitor.bus.client import when_there_is_room
from monitor.bus.keys import Keys

if TYPE_CHECKING:
    from redis import Redis

SCHEMA_VERSION = 1


class RunMeta(msgspec.Struct, frozen=True):
    """Written once by feed, before its first blob. The order of `instruments` is that of the symbols in every blob."""

    v: int
    source: Literal["venue", "files", "live"]
    instruments: tuple[Instrument, ...]
    capabilities: tuple[str, ...]
    accounts: int
    step_ns: int
    live_from_ns: int | None
    """Event time at which history ends, None where there is none."""
    until_ns: int | None
    """Event time at which the run ends, where that is known."""
    drills: tuple[Drill, ...] = ()
    """What the run can be asked for."""

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(instrument.symbol for instrument in self.instruments)


def write_meta(redis: Redis, keys: Keys, meta: RunMeta) -> None:
    when_there_is_room(lambda: redis.set(keys.meta, msgspec.json.encode(meta)))


def read_meta(redis: Redis, keys: Keys) -> RunMeta | None:
    """What feed wrote, None before it has."""
    data: Any = redis.get(keys.meta)
    return None if data is None else msgspec.json.decode(data, type=RunMeta)
