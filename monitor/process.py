"""Child processes that end with their parent, also when the parent is killed with -9.

On Linux the kernel does it (PR_SET_PDEATHSIG). Elsewhere a watcher process is told of every child over a pipe and ends
them when the pipe closes. Children get a session of their own: Ctrl-C in a terminal reaches the parent alone, which then
stops them in order.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import IO, Final

_PR_SET_PDEATHSIG: Final = 1
_KERNEL_BINDS: Final = sys.platform.startswith("linux")

_watcher: subprocess.Popen[bytes] | None = None
"""One for the whole process, like the processes it watches."""


def spawn_bound(
    argv: list[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts `argv` bound to this process. Call it from the main thread: the kernel ends a child with its starting thread.

    Raises OSError when `argv` cannot be started.
    """
    process = subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=None if env is None else dict(env),
        start_new_session=True,
        # Safe beside threads: between fork and exec it does nothing that could wait for a lock.
        preexec_fn=_binder() if _KERNEL_BINDS else None,  # noqa: PLW1509
    )
    if not _KERNEL_BINDS:
        _tell_watcher(f"+{process.pid}\n")
    return process


def forget(process: subprocess.Popen[bytes]) -> None:
    """To be called once `process` has ended: its number may soon be another's."""
    if not _KERNEL_BINDS:
        _tell_watcher(f"-{process.pid}\n")


def end(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Asks `process` to end, insists after `timeout_s`, and waits until it is gone."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    forget(process)


def _binder() -> Callable[[], None]:
    # Loaded before the fork: between fork and exec the child does nothing but two system calls.
    prctl, parent = ctypes.CDLL(None, use_errno=True).prctl, os.getpid()

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)

    return bind


def _tell_watcher(line: str) -> None:
    global _watcher  # noqa: PLW0603
    if _watcher is None:
        _watcher = subprocess.Popen([sys.executable, "-m", "monitor.process"], stdin=subprocess.PIPE, start_new_session=True)
    assert _watcher.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        _watcher.stdin.write(line.encode())
        _watcher.stdin.flush()


def watch(told: IO[bytes]) -> None:
    """Reads `+pid` and `-pid` lines until the other end is closed, then ends the processes that are left."""
    pids: set[int] = set()
    for line in told:
        (pids.add if line[:1] == b"+" else pids.discard)(int(line[1:]))
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch(sys.stdin.buffer)
