"""Two test processes beside each other (pytest-xdist), of which no two compile the same kernel at the same time.

A run with an empty cache spends minutes on compiling. Whoever wants a kernel that another process is compiling waits for it,
and then finds it in the cache. The tests that compile most come first, so that both processes are busy to the end.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

_FIRST = (
    "tests/unit/test_simulation.py",
    "tests/unit/test_matching_fields.py",
    "tests/unit/test_metrics_windows.py",
    "tests/property/test_stream_detector.py",
    "tests/property/test_cascade.py",
)
_held: Counter[str] = Counter()


def place(nodeid: str) -> int:
    """Where a test comes: the smaller the sooner."""
    file = nodeid.partition("::")[0]
    return _FIRST.index(file) if file in _FIRST else len(_FIRST)


def compile_apart() -> None:
    """Makes every compilation of this process wait for the same one in another."""
    from numba.core.dispatcher import Dispatcher  # the cache's place must be known by now

    compile_ = Dispatcher.compile

    def compile_alone(self, sig):
        with _lock(f"{self.py_func.__module__}.{self.py_func.__qualname__} {sig}"):
            return compile_(self, sig)

    Dispatcher.compile = compile_alone


@contextmanager
def _lock(name: str):
    """Held by one process at a time, which may take it again. Kernels call each other in no circle, so nobody waits in one."""
    _held[name] += 1
    try:
        if _held[name] > 1:
            yield
            return
        folder = Path(os.environ["NUMBA_CACHE_DIR"]) / "compiling"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / hashlib.sha256(name.encode()).hexdigest()[:16]).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    finally:
        _held[name] -= 1
