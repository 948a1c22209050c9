"""Runs everything a run needs on one machine: the server, the roles, the board, the export. Imports no role.

    compile kernels → server → feed, guard, score, rank, board → … → end marker everywhere → results → stop

A role that dies is started again; it recovers by itself (`monitor.roles.follower`). One that dies again and again without
getting any further ends the run with its last words. The first Ctrl-C ends the run in order: feed publishes its end
marker, everybody finishes, results are written. The second one ends it at once. No process outlives this one, even by
kill -9 (`monitor.process`).
"""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import msgspec
from redis.exceptions import OutOfMemoryError, RedisError

from monitor.bus.client import connect
from monitor.bus.keys import Keys
from monitor.bus.position import START, Position
from monitor.bus.server import Server, ServerError, start_server
from monitor.bus.streams import StreamError
from monitor.config import ConfigError, FilesSpec, IngestSpec, LiveSpec, RunConfig, VenueSpec, parse_config, save_config
from monitor.history.export import READER, Exporter, ExportError, prepare_folder
from monitor.process import end, spawn_bound
from monitor.roles.children import STRIKES, Child
from monitor.roles.kernels import is_warm, mark_warm
from monitor.roles.progress import Progress
from monitor.roles.runtime import EXIT_FAILED, EXIT_FENCED, EXIT_INPUT, STOPPING_VARIABLE, Health
from monitor.roles.trim import trim

if TYPE_CHECKING:
    from redis import Redis

ROLES: Final = ("feed", "guard", "score", "rank")

_RANKING: Final = ("score", "rank")
"""Roles a board can be without: what they do is rank, and no guardrail waits for them."""

_INTAKES: Final[dict[type, str]] = {LiveSpec: "capture", IngestSpec: "ingest"}
"""Processes that take in what venues send and keep it for feed. They need no server, and end when no more will come."""

_BOARD_FATAL: Final = (2, 3)
"""Exit codes of the board that starting again cannot change: a wrong configuration, a taken port."""

_FULL: Final = "the server is at its memory limit; the run waits, and goes on when it has more (CONFIG SET maxmemory)"

_TURN_S: Final = 0.05
_REVIVALS_S: Final = 60.0
"""A server that ends more than STRIKES times within this time has something else the matter with it."""
_TRIM_S: Final = 2.0
_EXIT_SIGNALLED: Final = 128


class RunError(Exception):
    """A run that cannot be started or go on: what, where, what to do."""

    exit_code: Final = 2


def run(config: RunConfig, on_board: Callable[[str], None] | None = None) -> int:
    """Carries out one run, to its end or until SIGINT or SIGTERM. Call it from the main thread.

    `on_board` is called once with the board's address when it answers.

    Returns the exit code: 0 at the end of the input, or when a run without an end was stopped; 1 when a role or the server
    broke down (said on standard error); 128 + the signal's number when the run was stopped before its end.

    Raises:
        RunError: the configuration, the input, the port or the results folder cannot be used.
        ServerError: there is no usable Redis server.
    """
    config = _checked(config)
    state_dir = Path(config.state_dir)
    supervisor: _Supervisor | None = None
    signals = _Signals()
    with signals:
        try:
            if not _warm_up(config, signals):
                return signals.exit_code
            with start_server(state_dir, config.redis_url) as server:
                config = msgspec.structs.replace(config, redis_url=server.url, snapshot_key=secrets.token_hex(32))
                path = state_dir / "run.json"
                save_config(config, path)
                supervisor = _Supervisor(config, path, server, signals, on_board)
                return supervisor.run()
        except _BrokenError as error:
            print(f"perpwatch: {error}", file=sys.stderr)
            return EXIT_FAILED


def _checked(config: RunConfig) -> RunConfig:
    """`config`, after everything that can be wrong with it was looked at before anything is started."""
    try:
        config = parse_config(msgspec.json.encode(config), "run configuration")
    except ConfigError as error:
        raise RunError(str(error)) from error
    try:
        Path(config.state_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        (Path(config.state_dir) / "logs").mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"{config.state_dir}: cannot hold the run ({error.strerror}); set TMPDIR to one that can") from error
    if config.board_port is not None:
        _check_free("127.0.0.1", config.board_port, "--port")
    if isinstance(config.source, VenueSpec) and config.source.journal_dir is not None:
        kept = Path(config.source.journal_dir)
        if kept.exists() and (not kept.is_dir() or any(kept.iterdir())):
            raise RunError(f"{kept}: is not an empty folder; give another one with --journal")
    if isinstance(config.source, IngestSpec):
        _check_free(config.source.host, config.source.port, "--listen")
    # Last, because it takes an earlier run's results away.
    if config.out_dir is not None:
        try:
            prepare_folder(Path(config.out_dir))
        except ExportError as error:
            raise RunError(str(error)) from error
    return config


def _check_free(host: str, port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RunError(f"port {port} on {host} is not free ({error.strerror}); choose another with {option}") from error


def _warm_up(config: RunConfig, signals: _Signals) -> bool:
    """Compiles the kernels in a process of its own, unless that was done before. Returns False if it was told to stop."""
    if is_warm(config):
        return True
    path = Path(config.state_dir) / "warmup.json"
    log = Path(config.state_dir) / "logs" / "warmup.log"
    save_config(config, path)
    with log.open("wb") as file, Progress() as progress:
        process = spawn_bound([sys.executable, "-m", "monitor.roles.warmup", str(path)], stdout=file, stderr=file)
        try:
            while process.poll() is None:
                said = log.read_text(errors="replace").splitlines()
                progress.note(f"compiling kernels, once for this machine: {said[-1] if said else 'starting'}")
                if signals.count:
                    return False
                time.sleep(_TURN_S)
        finally:
            end(process, 1.0)
    if process.returncode == 0:
        mark_warm(config)
        return True
    words = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
    if process.returncode == EXIT_INPUT:
        raise RunError(words.splitlines()[-1])
    raise _BrokenError(f"the kernels could not be compiled; the compiler's last words:\n{words}")


class _BrokenError(Exception):
    """The run broke down; the message is for whoever started it."""


class _Signals:
    """Counts SIGINT, SIGTERM and SIGHUP (a closed terminal) while it is in force."""

    def __init__(self) -> None:
        self.count = 0
        self._number = signal.SIGINT
        self._before: dict[signal.Signals, Any] = {}

    @property
    def exit_code(self) -> int:
        return _EXIT_SIGNALLED + self._number

    def __enter__(self) -> _Signals:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._count)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _count(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self._number = signal.Signals(number)


class _Supervisor:
    """One run between the start of its roles and their end."""

    def __init__(
        self, config: RunConfig, path: Path, server: Server, signals: _Signals, on_board: Callable[[str], None] | None
    ) -> None:
        assert config.redis_url is not None
        self._config = config
        self._server = server
        self._signals = signals
        self._on_board = on_board
        self._redis: Redis = connect(config.redis_url)
        self._keys = Keys(config.run_id)
        self._stopping = False
        self._started = time.monotonic()
        self._trimmed = 0.0
        self._full = False
        self._told = START
        self._revived: list[float] = []
        self._positions: dict[str, Position] = dict.fromkeys(ROLES, START)
        logs = Path(config.state_dir) / "logs"
        self._children = [
            Child(name, [sys.executable, "-m", f"monitor.roles.{name}", str(path)], logs / f"{name}.log") for name in ROLES
        ]
        name = _INTAKES.get(type(config.source))
        if name is not None:
            argv = [sys.executable, "-m", f"monitor.roles.{name}", str(path)]
            self._children.append(Child(name, argv, logs / f"{name}.log"))
        self._board: Child | None = None
        if config.board_port is not None:
            argv = [sys.executable, "-m", "dashboards", "--config", str(path)]
            self._board = Child("board", argv, logs / "board.log")
            self._children.append(self._board)
        self._exporter: Exporter | None = None
        if config.out_dir is not None:
            spool = Path(config.state_dir) / "spool"
            self._exporter = Exporter(self._redis, self._keys, Path(config.out_dir), spool)

    def run(self) -> int:
        memory: Any = self._redis.info("memory")
        if memory.get("maxmemory") and memory.get("maxmemory_policy") != "noeviction":
            raise RunError(
                f"the server removes keys when its memory is full ({memory['maxmemory_policy']}), and with them what nobody has"
                " read; CONFIG SET maxmemory-policy noeviction"
            )
        if self._redis.exists(self._keys.role("feed")):
            raise RunError(f"run {self._config.run_id!r} is on this server already; choose another run id")
        try:
            with Progress() as progress:
                self._go(progress)
                if self._signals.count > 1:
                    if self._exporter is not None:
                        print(f"perpwatch: stopped at once; {self._config.out_dir} got no results", file=sys.stderr)
                    return self._signals.exit_code
                self._end_roles()
                progress.note("writing the results")
                summary = self._export()
            self._say_results(summary)
            self._keep_board()
        except (RedisError, StreamError) as error:
            raise _BrokenError(self._server_trouble(error)) from error
        except ExportError as error:
            raise _BrokenError(str(error)) from error
        finally:
            for child in self._children:
                child.end()
            self._forget_run()
        return self._signals.exit_code if self._stopping and not self._config.is_endless else 0

    def _go(self, progress: Progress) -> None:
        """Keeps everything going until the run's end has passed through every role, or the second signal."""
        while self._signals.count <= 1:
            try:
                if not self._server.alive():
                    self._revive_server()
                if self._turn(progress):
                    return
            except RedisError:
                if self._server.alive():  # the server answers, but not what it should; or it is somebody else's
                    raise

    def _turn(self, progress: Progress) -> bool:
        """One look at everything. Returns whether the run is at its end."""
        for child in self._children:
            self._care_for(child)
            child.start_if_due({STOPPING_VARIABLE: "1"} if self._stopping and child is self._feed else {})
        if self._signals.count and not self._stopping:
            self._stopping = True
            self._feed.signal(signal.SIGTERM)
        self._read_positions()
        busy = self._spool()
        self._trim()
        progress.show(self._config, self._health(), self._stopping)
        self._greet_board()
        if self._at_end() and not busy:
            return True
        if not busy:
            time.sleep(_TURN_S)
        return False

    def _revive_server(self) -> None:
        """Starts the run's own server again; roles that died of its end, or find it gone, come back by themselves."""
        now = time.monotonic()
        self._revived.append(now)
        if sum(now - at < _REVIVALS_S for at in self._revived) > STRIKES:
            raise _BrokenError(self._server_trouble(None))
        try:
            self._server.revive()
        except ServerError as error:
            raise _BrokenError(f"{self._server_trouble(None)} ({error})") from error

    @property
    def _feed(self) -> Child:
        return self._children[0]

    def _care_for(self, child: Child) -> None:
        code = child.ended()
        if code is None:
            return
        position = self._position_of(child.name)
        if code == 0 and (position.is_end or child.name in _INTAKES.values()):
            child.finished = True
            return
        if code == EXIT_INPUT or (child is self._board and code in _BOARD_FATAL):
            words = child.last_words(1)
            raise RunError(words or f"{child.name} ended with code {code}")
        if not child.strike(position, slowly=code == EXIT_FENCED):
            how = f"by signal {-code}" if code < 0 else f"with code {code}"
            said = f"{child.name} died {STRIKES} times without getting any further, the last time {how}"
            if self._board is not None and child.name in _RANKING:
                # Somebody is watching the guardrails, and they need no model: the board shows what is missing.
                if child.strikes == STRIKES:
                    print(f"perpwatch: {said}; the run goes on without it. Last words:\n{child.last_words()}", file=sys.stderr)
                return
            raise _BrokenError(f"{said}; the run is given up. Its last words:\n{child.last_words()}")

    def _position_of(self, role: str) -> Position:
        if role in ROLES:
            self._read_positions()
        return self._positions.get(role, START)

    def _read_positions(self) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for role in ROLES:
            pipe.hget(self._keys.role(role), "position")
        self._positions = {
            role: START if text is None else Position.parse(text) for role, text in zip(ROLES, pipe.execute(), strict=True)
        }

    def _at_end(self) -> bool:
        """Whether every role has committed the end marker, and all that stands in the streams has been spooled."""
        end_position = self._positions["feed"]
        return (
            end_position.is_end
            and all(position == end_position for position in self._positions.values())
            and (self._exporter is None or self._exporter.done)
        )

    def _spool(self) -> bool:
        if self._exporter is None:
            return False
        try:
            found = self._exporter.drain()
        except OSError as error:
            raise _BrokenError(f"{self._config.state_dir}: no room for the spool ({error.strerror})") from error
        behind = self._exporter.behind
        if behind != self._told:
            # Without room now, it is told with the next entries, or when there is room again.
            with contextlib.suppress(OutOfMemoryError):
                self._redis.hset(self._keys.role(READER), "position", str(behind))
                self._told = behind
        return found

    def _look_at_memory(self) -> None:
        """Says once that the server is full: the roles wait then (`monitor.bus.client.when_there_is_room`)."""
        memory: Any = self._redis.info("memory")
        limit = memory.get("maxmemory", 0)
        if limit and memory["used_memory"] >= limit and not self._full:
            self._full = True
            print(f"perpwatch: {_FULL}", file=sys.stderr)

    def _trim(self) -> None:
        if time.monotonic() - self._trimmed >= _TRIM_S:
            self._trimmed = time.monotonic()
            self._look_at_memory()
            trim(self._redis, self._keys, self._positions, self._exporter.position if self._exporter is not None else None)

    def _health(self) -> dict[str, Health]:
        raw: Any = self._redis.hgetall(self._keys.health)
        return {name.decode(): msgspec.json.decode(data, type=Health) for name, data in raw.items()}

    def _greet_board(self) -> None:
        """Tells the caller once that the board answers."""
        if self._board is None or self._on_board is None or self._board.pid is None:
            return
        with socket.socket() as probe:
            probe.settimeout(_TURN_S)
            if probe.connect_ex(("127.0.0.1", self._config.board_port)) != 0:
                return
        on_board, self._on_board = self._on_board, None
        on_board(self._board_url)

    @property
    def _board_url(self) -> str:
        return f"http://127.0.0.1:{self._config.board_port}/"

    def _end_roles(self) -> None:
        for child in self._children:
            if child is not self._board:
                child.end()

    def _export(self) -> dict[str, Any] | None:
        if self._exporter is None:
            return None
        facts = {
            "software": {"name": "perpwatch", "version": metadata.version("perpwatch")},
            "config_sha256": self._config.content_sha256,
            "variant": self._config.variant,
        }
        wall = {
            "run_id": self._config.run_id,
            "seconds": round(time.monotonic() - self._started, 3),
            "restarts": {**{child.name: child.restarts for child in self._children}, "server": len(self._revived)},
        }
        return self._exporter.finish(facts, wall)

    def _say_results(self, summary: dict[str, Any] | None) -> None:
        if summary is None:
            return
        wall = summary["wall"]
        print(
            f"{self._config.out_dir}: {summary['events']:,} events, {summary['windows']:,} windows, "
            f"{summary['anomalies']:,} anomalies, {summary['verdicts']:,} verdicts, {summary['late']:,} late, "
            f"in {wall['seconds']:.1f} s" + ("" if summary["complete"] else "; stopped before the end of the input")
        )

    def _keep_board(self) -> None:
        """After a recording's end its board stays up until the next signal: at full speed that is when people look at it."""
        if self._board is None or self._stopping or not isinstance(self._config.source, FilesSpec):
            return
        print(f"the run has ended; the board stays at {self._board_url} until Ctrl-C")
        while not self._signals.count:
            self._care_for(self._board)
            self._board.start_if_due({})
            time.sleep(_TURN_S)

    def _forget_run(self) -> None:
        """Leaves nothing on a server that is not ours; one of our own ends anyway."""
        if self._server.kind == "url":
            try:
                self._redis.delete(*self._keys.all((*ROLES, READER)))
            except RedisError as error:
                print(f"perpwatch: the run's keys are still on the server ({error})", file=sys.stderr)

    def _server_trouble(self, error: Exception | None) -> str:
        what = f"the run's own server ({self._server.kind}) ended" if not self._server.alive() else f"{error}"
        return f"{what}; the run is given up. Start it again; nothing of it can be taken for whole"
