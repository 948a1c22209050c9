"""Event time against the wall clock: when a replayed or simulated event is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from monitor.bus.client import when_there_is_room
from monitor.metrics.watermark import LATEST_NS, LONGEST_STEP_NS

if TYPE_CHECKING:
    from redis import Redis

    from monitor.bus.keys import Keys

_LEAST_WAIT_S: Final = 0.02
"""Events due within this are passed on together: a push costs the same for one event as for a thousand."""
_MOST_WAIT_S: Final = 0.2
"""How long a wait may last before the caller is asked again whether to go on."""


class _Origin(msgspec.Struct, frozen=True):
    """At `wall_ns` it was `event_ns`."""

    event_ns: int
    wall_ns: int


class Pace:
    """Lets events through when they are due: at once up to `from_ns`, from there at `rate` event seconds a second.

    The origin of the clock is kept in Redis, so that a feed that comes back goes on in the same time
    and does not start the clock anew. `rate` None lets everything through at once.
    """

    def __init__(self, redis: Redis, keys: Keys, rate: float | None, from_ns: int | None) -> None:
        self._redis = redis
        self._key = keys.pace
        self._rate = rate
        self._from_ns = from_ns
        self._newest_ns = -1
        stored: Any = redis.get(self._key)
        self._origin = None if stored is None else msgspec.json.decode(stored, type=_Origin)

    def pieces(self, batch: np.ndarray, waiting: Callable[[], bool]) -> Iterator[np.ndarray]:
        """The events of `batch` in order, in pieces, each when it is due.

        `waiting` is called before every wait; it returns False to give up, and then no more pieces come. An event is due
        with the newest one before it, since the order of arrival is kept.
        """
        if self._rate is None or len(batch) == 0:
            yield batch
            return
        newest = np.maximum.accumulate(np.maximum(self._believed(batch["ts_ns"]), self._newest_ns))
        self._newest_ns = int(newest[-1])
        at = 0
        while at < len(batch):
            due = int(np.searchsorted(newest, self._event_now(int(newest[at])), side="right"))
            if due > at:
                yield batch[at:due]
                at = due
            else:
                if not waiting():
                    return
                wait_s = (self.wall_ns(int(newest[at])) - time.time_ns()) / 1e9
                time.sleep(min(max(wait_s, _LEAST_WAIT_S), _MOST_WAIT_S))

    def _believed(self, ts_ns: np.ndarray) -> np.ndarray:
        """`ts_ns` (int64 [N]) without times that one event alone claims: nobody waits until next year for a wrong clock."""
        times = np.clip(ts_ns, 0, LATEST_NS)
        following = np.append(
            times[1:], times[-1] if self._newest_ns < 0 else max(self._newest_ns, int(times[:-1].max(initial=0)))
        )
        return np.where(times - following > LONGEST_STEP_NS, following, times)

    def wall_ns(self, event_ns: int) -> int:
        """When `event_ns` is due on the wall clock; now, if nothing is paced (yet)."""
        if self._rate is None or self._origin is None:
            return time.time_ns()
        return self._origin.wall_ns + int((event_ns - self._origin.event_ns) / self._rate)

    def _event_now(self, next_ns: int) -> int:
        """Event time of now. The clock starts with the first event at or after `from_ns`."""
        assert self._rate is not None
        if self._origin is None:
            start_ns = next_ns if self._from_ns is None else self._from_ns
            if next_ns < start_ns:
                return start_ns - 1
            self._origin = _Origin(start_ns, time.time_ns())
            origin = msgspec.json.encode(self._origin)
            when_there_is_room(lambda: self._redis.set(self._key, origin))
        now_ns = self._origin.event_ns + int((time.time_ns() - self._origin.wall_ns) * self._rate)
        return max(now_ns, self._origin.event_ns - 1)
