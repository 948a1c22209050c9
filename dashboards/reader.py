"""The one reader of a board process: Redis streams and hashes into the read model, at most four times a second.

Any number of viewers share it. It reads what is new, in order, and notices when Redis went away, came back, or came back
empty (then a new epoch begins and clients start anew).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Final, TypeVar

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from dashboards.readmodel import SERIES, SERIES_POINTS, ReadModel
from monitor.bus.keys import Keys
from monitor.bus.position import Position
from monitor.metrics.rows import decode_rows

log = logging.getLogger(__name__)

TURN_S: Final = 0.25
"""Least time between two frames with content: a replay at full speed must not drown the browser."""

BEAT_S: Final = 1.0
"""Most time between two frames of any kind."""

SETTLE_S: Final = 0.03
"""Wait after the first news of a turn, so that guard's and rank's part of the same window comes in the same frame."""

BLOBS_A_TURN: Final = 40
"""Most entries read from one stream in one turn: a backlog is shown as it is worked off, and beats never starve."""

TIMEOUT_S: Final = 2.0
"""A server that leaves a command unanswered for so long counts as lost."""

_COLUMNS: Final = ("window_index", "window_start_ns", "window_end_ns", "phase", "symbol", *SERIES)

Entries = Sequence[tuple[bytes, Mapping[bytes, bytes]]]
T = TypeVar("T")


class Reader:
    """Fills `model` until cancelled and calls `publish(model, frame)` for every frame. A new epoch brings a new `model`."""

    def __init__(self, redis_url: str, run_id: str, publish: Callable[[ReadModel, dict[str, Any]], None]) -> None:
        # No retries and no back-off: a lost server must show at once, and the next turn tries again anyway.
        self._redis = Redis.from_url(
            redis_url,
            protocol=2,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._keys = Keys(run_id)
        self._publish = publish
        self._process = f"{time.time_ns():x}"
        self._epochs = count(1)
        self._server: str | None = None
        self._connected = False
        self._down_since: float | None = time.monotonic()
        self._start()

    def _start(self) -> None:
        """Begin a new epoch: forget everything."""
        self.model = ReadModel(self._keys.run_id, f"{self._process}.{next(self._epochs)}")
        self._at: dict[str, str] = {}
        self._books: dict[bytes, bytes] = {}

    async def run(self) -> None:
        """Read for ever."""
        beat_at = content_at = -TURN_S
        try:
            while True:
                try:
                    await self._turn()
                    self._down_since = None
                except (RedisError, OSError, TimeoutError) as error:
                    await self._lost(error)
                now = time.monotonic()
                self.model.judge(now, self._down_since)
                if self.model.changed:
                    self._publish(self.model, self.model.take_delta())
                    beat_at = content_at = now
                elif now - beat_at >= BEAT_S - TURN_S / 2:
                    self._publish(self.model, self.model.beat())
                    beat_at = now
                # A lost server answers (with a refusal) at once: without the floor this would spin.
                pause = content_at + TURN_S - time.monotonic()
                await asyncio.sleep(max(pause, TURN_S if self._down_since is not None else 0.0))
        finally:
            await self._redis.aclose()

    async def _lost(self, error: Exception) -> None:
        if self._down_since is None:
            log.warning("the data store does not answer: %s", error)
            self._down_since = time.monotonic()
        self._connected = False
        await self._redis.connection_pool.disconnect()

    async def _turn(self) -> None:
        """Read what is new, once."""
        if not self._connected:
            await self._greet()
        if not self._at:
            await self._place()
        places: dict[Any, Any] = dict(self._at)
        reply: Any = await self._redis.xread(places, count=BLOBS_A_TURN, block=int(TURN_S * 1e3))
        if reply:
            await asyncio.sleep(SETTLE_S)
        news: dict[str, Entries] = {name.decode(): entries for name, entries in reply}
        # Decoding a backlog takes a while; the event loop serves the viewers meanwhile.
        shown = _last_windows(news.get(self._keys.metrics, ()))
        blobs = await asyncio.to_thread(lambda: [_guarded(_blob, fields) for fields in shown])
        now = time.monotonic()
        for blob in blobs:
            if blob is None:
                self.model.unreadable()
            else:
                self.model.metrics(*blob, now)
        for id_, fields in news.get(self._keys.ranked, ()):
            if _guarded(self._rank, id_, fields, now) is None:
                self.model.unreadable()
        for name, entries in news.items():
            self._at[name] = entries[-1][0].decode()
        await self._hashes()

    async def _greet(self) -> None:
        """After a connect: a server that restarted has forgotten what we hold, or is being told it again."""
        info: Any = await self._redis.info("server")
        if self._server not in (None, info["run_id"]):
            log.info("the data store was restarted: the board starts anew")
            self._start()
        self._server = info["run_id"]
        self._connected = True

    async def _place(self) -> None:
        """Where to begin: all of `ranked`, but only the last ten minutes of `metrics`. Ids are window indices."""
        last: Any = await self._redis.hget(self._keys.role("feed"), "position")
        window = Position.parse(last).window if last else 0
        self._at = {self._keys.metrics: str(Position(max(0, window - SERIES_POINTS))), self._keys.ranked: "0-0"}

    async def _hashes(self) -> None:
        pipe = self._redis.pipeline(transaction=False)
        pipe.hgetall(self._keys.guard_states)
        pipe.hgetall(self._keys.books)
        pipe.hgetall(self._keys.health)
        pipe.hget(self._keys.role("feed"), "position")
        states, books, health, position = await pipe.execute()
        # Feed's checkpoint moves in the commit that writes the blob: it can be behind what we read only if the data is gone.
        checkpoint = -1 if position is None else Position.parse(position).window
        if self.model.feed_window is not None and checkpoint < self.model.feed_window:
            log.info("the data store has lost this run's data: the board starts anew")
            self._start()
            return
        changed = {name: raw for name, raw in books.items() if self._books.get(name) != raw}
        self._books = books
        self.model.verdicts([_json(raw) for raw in states.values()])
        self.model.books({name.decode("utf-8", "replace"): _json(raw) for name, raw in changed.items()})
        self.model.health({role.decode(): _json(raw) for role, raw in health.items()}, time.monotonic())

    def _rank(self, id_: bytes, fields: Mapping[bytes, bytes], now: float) -> bool:
        position = Position.parse(id_)
        if position.is_end:
            self.model.end()
        else:
            lines, events, drifts = (_json(fields.get(name, b"[]")) for name in (b"items", b"events", b"drifts"))
            self.model.ranked(position.window, lines, events, drifts, int(fields[b"done_wall_ns"]) / 1e6, now)
        return True


def _guarded(read: Callable[..., T], *args: Any) -> T | None:
    """What `read` gives, None when the entry is not what it should be: one bad entry must not take the board away."""
    try:
        return read(*args)
    except (ValueError, KeyError, TypeError):
        log.exception("an entry cannot be read and is left out")
        return None


def _last_windows(entries: Entries) -> list[Mapping[bytes, bytes]]:
    """Of a backlog of `metrics` the entries that hold the last ten minutes: earlier ones would be drawn by nobody."""
    if not entries:
        return []
    oldest = Position.parse(entries[-1][0]).window - SERIES_POINTS
    return [fields for id_, fields in entries if Position.parse(id_).window > oldest]


def _json(raw: bytes) -> Any:
    return msgspec.json.decode(raw)


def _blob(fields: Mapping[bytes, bytes]) -> tuple[list[dict[str, Any]], dict[str, Any], float | None]:
    """Rows, counters and closing time (UTC ms) of one entry of `metrics`; the end marker has no rows and no time."""
    if b"rows" not in fields:
        return [], {}, None
    rows = decode_rows(fields[b"rows"]).select(_COLUMNS).to_dicts()
    return rows, _json(fields[b"counters"]), int(fields[b"closed_wall_ns"]) / 1e6
