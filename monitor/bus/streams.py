"""Reading a stream without losing, doubling or swapping an entry.

Every blob names the one before it (`prev`), and a reader checks that. This is what catches a read whose reply was lost:
the server then believes it delivered, and the next read would begin one blob late. The reader goes back to its pending
entries and has them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis.exceptions import ResponseError

from monitor.bus.client import when_there_is_room
from monitor.bus.position import Position

if TYPE_CHECKING:
    from redis import Redis

CONSUMER: Final = "only"
"""A group has one consumer of a fixed name, so that whoever takes a role over finds what is pending."""

_COUNT: Final = 8
"""Entries a read: enough to keep the next at hand, few enough to hold (a blob has up to some megabytes)."""


class StreamError(Exception):
    """A stream does not hold what it must: entries are missing between two positions."""


class Entry(NamedTuple):
    """One entry of a blob stream."""

    position: Position
    fields: dict[bytes, bytes]

    @property
    def prev(self) -> Position:
        return Position.parse(self.fields[b"prev"])

    @property
    def is_end(self) -> bool:
        """Whether this is the run's end marker."""
        return b"end" in self.fields


class OrderedReader:
    """One group's way through one stream of blobs, from `position` on, each exactly once and in order."""

    def __init__(self, redis: Redis, stream: str, group: str, position: Position) -> None:
        self._redis = redis
        self._stream = stream
        self._group = group
        self._position = position
        self._pending = True
        try:
            when_there_is_room(lambda: redis.xgroup_create(stream, group, id="0", mkstream=True))
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def read(self, block_ms: int) -> list[Entry]:
        """The next entries; waits up to `block_ms` for one, and returns none if none came.

        Raises:
            StreamError: entries between two that follow each other are gone.
        """
        was_pending = self._pending
        # Pending entries are asked for from the position on: those before it are acknowledged with their commit.
        since = str(self._position) if was_pending else ">"
        reply: Any = self._redis.xreadgroup(
            self._group, CONSUMER, {self._stream: since}, count=_COUNT, block=None if was_pending else block_ms
        )
        raw = reply[0][1] if reply else []
        if was_pending and not raw:
            self._pending = False
            return self.read(block_ms)
        entries: list[Entry] = []
        for id_, fields in raw:
            position = Position.parse(id_)
            if not fields:
                raise StreamError(f"{self._stream}: entry {position} was trimmed before {self._group} was done with it")
            entry = Entry(position, fields)
            if position <= self._position:
                self._redis.xack(self._stream, self._group, str(position))
                continue
            if entry.prev != self._position:
                if was_pending:
                    raise StreamError(
                        f"{self._stream}: {self._group} stands at {self._position}, the next entry is {position} after "
                        f"{entry.prev}: what lies between is gone"
                    )
                self._pending = True
                break
            self._position = position
            entries.append(entry)
        return entries


def read_between(redis: Redis, stream: str, after: Position, until: Position) -> Iterator[Entry]:
    """The entries after `after` up to and with `until`, without any group. Raises StreamError if one is missing."""
    while after < until:
        raw: Any = redis.xrange(stream, f"({after}", str(until), count=_COUNT)
        if not raw:
            raise StreamError(f"{stream}: nothing between {after} and {until}; it was trimmed too far")
        for id_, fields in raw:
            entry = Entry(Position.parse(id_), fields)
            if entry.prev != after:
                raise StreamError(f"{stream}: entry {entry.position} follows {entry.prev}, not {after}; it was trimmed too far")
            after = entry.position
            yield entry


def read_after(redis: Redis, stream: str, after: Position, count: int) -> list[Entry]:
    """Up to `count` entries after `after`, of any stream, unchecked."""
    raw: Any = redis.xrange(stream, f"({after}", "+", count=count)
    return [Entry(Position.parse(id_), fields) for id_, fields in raw]
