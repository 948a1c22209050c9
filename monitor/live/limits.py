"""How a client keeps from being a nuisance: waits that grow after failures, and a limit of its own on what it sends."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 60.0
HEALTHY_S: Final = 30.0
"""After so long without a failure the next one is a first one again."""


class Backoff:
    """Waits after failures: exponential, with jitter, so that a thousand clients do not come back at once."""

    def __init__(self, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures = 0
        self._last = time.monotonic()

    def next_s(self, least_s: float = 0.0) -> float:
        """Notes a failure. Returns how long to wait: at least `least_s`, which is what a server asked for."""
        now = time.monotonic()
        if now - self._last > HEALTHY_S + self._longest_s:
            self._failures = 0
        self._last = now
        ceiling_s = min(self._longest_s, self._first_s * 2.0**self._failures)
        self._failures = min(self._failures + 1, 30)
        return least_s + ceiling_s * (0.1 + 0.9 * random.random())  # noqa: S311 — no secret hangs on it


class Gate:
    """Lets through at most `per_second`, evenly."""

    def __init__(self, per_second: float) -> None:
        self._step_s = 1.0 / per_second
        self._next = 0.0
        self._lock = asyncio.Lock()

    async def pass_through(self) -> None:
        """Returns when it is this caller's turn."""
        async with self._lock:
            now = time.monotonic()
            if self._next > now:
                await asyncio.sleep(self._next - now)
            self._next = max(now, self._next) + self._step_s
