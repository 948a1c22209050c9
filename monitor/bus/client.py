"""Connections to Redis, all made alike."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

_TIMEOUT_S: Final = 10.0
_RETRIES: Final = 4

_FULL_WAIT_S: Final = 0.2

T = TypeVar("T")

log = logging.getLogger("perpwatch")

UNREACHABLE: Final = (RedisConnectionError, RedisTimeoutError)
"""What a call raises when the server is not there, after its retries."""


def when_there_is_room(write: Callable[[], T]) -> T:
    """What `write` returns, as soon as the server takes it.

    A server at its memory limit refuses every write before any of it, a script's included, so that the same one may come
    again. Waiting loses nothing: what was read is acknowledged with what is written, and the feed waits for its readers.
    """
    said = False
    while True:
        try:
            return write()
        except OutOfMemoryError as error:
            if not said:
                log.warning("the server is at its memory limit, waiting for room: %s", error)
                said = True
            time.sleep(_FULL_WAIT_S)


def connect(url: str) -> Redis:
    """A client for `url`. Raises ValueError for a URL that is none; connects when first used.

    A command is sent again when its connection breaks, so it may be carried out twice: everything that counts goes
    through `monitor.bus.commit`, which stands that, and readers of a group check that entries follow each other.
    Replies are those of protocol 2, whose shapes are the same in all versions of the client library.
    """
    return Redis.from_url(
        url,
        protocol=2,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
        socket_keepalive=True,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), _RETRIES),
        retry_on_error=list(UNREACHABLE),
    )
