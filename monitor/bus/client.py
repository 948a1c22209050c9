"""Connections to Redis, all made alike."""

from __future__ import annotations

from typing import Final

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

_TIMEOUT_S: Final = 10.0
_RETRIES: Final = 4

UNREACHABLE: Final = (RedisConnectionError, RedisTimeoutError)
"""What a call raises when the server is not there, after its retries."""


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
