"""What the streams may forget: what everybody is done with, and what the board no longer shows.

By position, never by length: a length throws away what nobody has read yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from monitor.bus.keys import Keys
from monitor.bus.position import START, Position

if TYPE_CHECKING:
    from redis import Redis

KEPT_WINDOWS: Final = 7200
"""Windows that stay in the streams after everybody has read them: two hours, for a board that is opened late."""


def trim(redis: Redis, keys: Keys, positions: Mapping[str, Position], exported: Callable[[str], Position] | None) -> None:
    """Trims every stream of a run. `positions`: the roles' checkpoints; `exported`: how far a stream is spooled, if it is."""
    snapshots = _snapshots(redis, keys, ("guard", "score"))
    readers: dict[str, list[Position]] = {
        # A follower that comes back processes the stream again from its snapshot on.
        keys.metrics: [positions["guard"], positions["score"], *snapshots],
        keys.anomalies: [positions["rank"]],
        keys.verdicts: [positions["rank"]],
        keys.audit: [],
        keys.ranked: [],
    }
    oldest_shown = Position(max(0, positions["feed"].window - KEPT_WINDOWS))
    pipe = redis.pipeline(transaction=False)
    for stream, needed in readers.items():
        spooled = [exported(stream)] if exported is not None and stream != keys.anomalies else []
        keep_from = min([oldest_shown, *needed, *spooled])
        if keep_from > START:
            pipe.xtrim(stream, minid=str(keep_from), approximate=False)
    pipe.execute()


def _snapshots(redis: Redis, keys: Keys, roles: tuple[str, ...]) -> list[Position]:
    pipe = redis.pipeline(transaction=False)
    for role in roles:
        pipe.hget(keys.snapshot(role), "position")
    replies: list[Any] = pipe.execute()
    return [START if reply is None else Position.parse(reply) for reply in replies]
