"""`perpwatch doctor`: what this machine has, what it lacks, and what that means."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

import msgspec

from monitor.roles.kernels import CacheError, use_cache

Standing = Literal["ok", "note", "fault"]

PACKAGES: Final = (
    "polars",
    "numba",
    "numpy",
    "scipy",
    "river",
    "scikit-learn",
    "redis",
    "dash",
    "plotly",
    "fastapi",
    "uvicorn",
    "msgspec",
)


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. A fault keeps Perpwatch from running; a note is good to know."""

    what: str
    standing: Standing
    said: str


def examine(port: int) -> list[Finding]:
    """Looks at everything a run needs; `port` is where the board would listen."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (_python, _packages, _machine, _store, _kernels, _temporary, _browser)
    return [finding for check in checks for finding in check()] + [_port(port)]


def _python() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{sys.version.split()[0]} at {sys.executable}")


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "fault", "not installed; install Perpwatch again with the README's first command")


def _machine() -> Iterator[Finding]:
    cores = os.cpu_count() or 1
    if cores < 2:
        yield Finding("cores", "note", f"{cores}; two or more are wanted for a live run of eight symbols")
    else:
        yield Finding("cores", "ok", str(cores))


def _store() -> Iterator[Finding]:
    # Late, because a missing package is one of the things to be reported, not a crash.
    from monitor.bus.server import ServerError, describe_server

    try:
        yield Finding("redis", "ok", describe_server(os.environ.get("REDIS_URL") or None))
    except ServerError as error:
        yield Finding("redis", "fault", str(error))


def _kernels() -> Iterator[Finding]:
    try:
        folder = use_cache()
    except CacheError as error:
        yield Finding("kernel cache", "fault", str(error))
    else:
        compiled = "compiled" if any(folder.glob("warm-*")) else "to be compiled at the first start"
        yield Finding("kernel cache", "ok", f"{folder}, kernels {compiled}")


def _temporary() -> Iterator[Finding]:
    folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    standing: Standing = "ok" if free > 2**30 else "fault"
    yield Finding("temporary files", standing, f"{folder}, {free / 2**30:.1f} GiB free; a run wants 1 GiB")


def _browser() -> Iterator[Finding]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path:
        yield Finding("chromium", "ok", f"{path} (only the browser tests use it)")
    else:
        yield Finding(
            "chromium", "note", "not found; only the browser tests want it (Debian: apt install chromium, or set CHROMIUM)"
        )


def _port(port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return Finding("board port", "note", f"127.0.0.1:{port}: {error.strerror}; choose another with --port")
    return Finding("board port", "ok", f"127.0.0.1:{port} is free")
