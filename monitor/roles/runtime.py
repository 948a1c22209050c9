"""What every role does the same way: start, say how it is, and stop.

A role is a process `python -m monitor.roles.<name> CONFIG`. Starting is recovering: a role takes its state from its last
snapshot and checkpoint, whether or not it ran before.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, Literal, NoReturn

import msgspec
from redis.exceptions import OutOfMemoryError

from engine.journal import FencedError as JournalFencedError
from monitor.bus.client import connect
from monitor.bus.commit import Committer, FencedError
from monitor.bus.keys import Keys
from monitor.bus.meta import RunMeta, read_meta
from monitor.bus.snapshots import Signer
from monitor.config import ConfigError, RunConfig, load_config

if TYPE_CHECKING:
    from redis import Redis

EXIT_FAILED: Final = 1
EXIT_INPUT: Final = 2
"""The input or the configuration cannot be used: starting again would end the same way."""
EXIT_FENCED: Final = 75
"""Another process has this role."""

STOPPING_VARIABLE: Final = "PERPWATCH_STOPPING"
"""Set for a feed that comes back while the run is already ending: it only finishes what it owes."""

_BEAT_S: Final = 0.5

State = Literal["starting", "recovering", "running", "waiting", "done", "stopped"]

log = logging.getLogger("perpwatch")


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a role is. The only message with wall-clock times; nothing is computed from them but what the board warns of."""

    pid: int
    epoch: int
    state: str
    last_window: int
    wall_ms: int
    snapshot: str = ""
    """Position of the last snapshot: what the role needs from its stream begins after it."""
    progress: float | None = None
    events: int | None = None
    event_time_ns: int | None = None
    phase: str | None = None


class Role:
    """One role in one process: its configuration, its connection and its right to commit."""

    def __init__(self, name: str, config: RunConfig) -> None:
        if config.redis_url is None:
            raise ConfigError(f"{name}: the run's configuration names no server; start roles through the supervisor")
        self.name = name
        self.config = config
        self.keys = Keys(config.run_id)
        self.redis: Redis = connect(config.redis_url)
        self.signer = Signer(config.snapshot_key, name)
        self.committer = Committer.take(self.redis, self.keys, name)
        self.stopping = bool(os.environ.get(STOPPING_VARIABLE))
        self.snapshot_position = ""
        self._beaten = 0.0
        self._state: State | None = None

    def beat(
        self,
        state: State,
        *,
        progress: float | None = None,
        events: int | None = None,
        event_time_ns: int | None = None,
        phase: str | None = None,
    ) -> None:
        """Says how the role is, at most twice a second unless `state` is new."""
        now = time.monotonic()
        if state == self._state and now - self._beaten < _BEAT_S:
            return
        self._beaten, self._state = now, state
        health = Health(
            pid=os.getpid(),
            epoch=self.committer.epoch,
            state=state,
            last_window=self.committer.position.window,
            wall_ms=time.time_ns() // 1_000_000,
            snapshot=self.snapshot_position,
            progress=progress,
            events=events,
            event_time_ns=event_time_ns,
            phase=phase,
        )
        # A server without room for it has none for the run either, and the board sees that nobody speaks.
        with contextlib.suppress(OutOfMemoryError):
            self.redis.hset(self.keys.health, self.name, msgspec.json.encode(health).decode())

    def wait_for_meta(self) -> RunMeta | None:
        """What feed says the run is; None if the role is told to stop before feed said it."""
        while not self.stopping:
            meta = read_meta(self.redis, self.keys)
            if meta is not None:
                return meta
            self.beat("waiting")
            time.sleep(0.05)
        return None


def run_role(name: str, body: Callable[[Role], None]) -> NoReturn:
    """The `main` of a role's module: runs `body` and ends the process with the exit code that the supervisor reads.

    The last line on standard error says why a role failed.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    # Ctrl-C is for the supervisor, which stops its roles in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if len(sys.argv) != 2:
            raise ConfigError(f"usage: python -m monitor.roles.{name} CONFIG")
        role = Role(name, load_config(Path(sys.argv[1])))

        def stop(_number: int, _frame: FrameType | None) -> None:
            role.stopping = True

        signal.signal(signal.SIGTERM, stop)
        log.info("%s starts at %s under epoch %d", name, role.committer.position, role.committer.epoch)
        role.beat("starting")
        body(role)
        role.beat("done" if role.committer.position.is_end else "stopped")
    except (FencedError, JournalFencedError) as error:
        _fail(EXIT_FENCED, error)
    except Exception as error:
        code = getattr(error, "exit_code", EXIT_INPUT if isinstance(error, ConfigError) else None)
        if code is None:
            log.exception("%s failed", name)
            _fail(EXIT_FAILED, error)
        _fail(code, error)
    sys.exit(0)


def _fail(code: int, error: Exception) -> NoReturn:
    print(f"{type(error).__name__}: {error}" if code == EXIT_FAILED else str(error), file=sys.stderr, flush=True)
    # Not through the interpreter's end: a thread or a lock held somewhere must not keep a failed role alive.
    os._exit(code)
