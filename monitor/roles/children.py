"""The processes a supervisor keeps: started, watched, started again, given up."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Final

from monitor.process import end, forget, spawn_bound

STRIKES: Final = 5
"""So many deaths in a row without getting any further are a crash loop."""

_FIRST_BACKOFF_S: Final = 0.1
_MOST_BACKOFF_S: Final = 5.0
_HEALTHY_S: Final = 30.0
"""A process that lived so long had got going, even if there was nothing to do."""
_STOP_TIMEOUT_S: Final = 5.0
_LAST_LINES: Final = 12


class Child:
    """One process under supervision. `mark` is how far it has got, in whatever unit: a death beyond it is no strike."""

    def __init__(self, name: str, argv: list[str], log: Path) -> None:
        self.name = name
        self.log = log
        self.finished = False
        self.starts = 0
        self.strikes = 0
        self._argv = argv
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._start_at = 0.0
        self._mark: object = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def restarts(self) -> int:
        return max(0, self.starts - 1)

    def start_if_due(self, extra_env: dict[str, str]) -> None:
        """Starts the process unless it runs, has finished, or its backoff is not over."""
        if self._process is not None or self.finished or time.monotonic() < self._start_at:
            return
        with self.log.open("ab") as log:
            self._process = spawn_bound(self._argv, stdout=log, stderr=log, env={**os.environ, **extra_env})
        self._started = time.monotonic()
        self.starts += 1

    def ended(self) -> int | None:
        """The exit code of a process that has ended since the last call (negative: by that signal), else None."""
        if self._process is None:
            return None
        code = self._process.poll()
        if code is not None:
            forget(self._process)
            self._process = None
        return code

    def strike(self, mark: object, *, slowly: bool = False) -> bool:
        """Notes a death at `mark` and sets when to start again. Returns False if that has happened too often."""
        got_going = mark != self._mark or time.monotonic() - self._started > _HEALTHY_S
        self._mark = mark
        self.strikes = 1 if got_going else self.strikes + 1
        backoff_s = _MOST_BACKOFF_S if slowly else min(_MOST_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** (self.strikes - 1))
        self._start_at = time.monotonic() + backoff_s
        return self.strikes < STRIKES

    def signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def end(self) -> None:
        """Ends the process if it runs, and waits for it."""
        self.finished = True
        if self._process is not None:
            end(self._process, _STOP_TIMEOUT_S)
            self._process = None

    def last_words(self, lines: int = _LAST_LINES) -> str:
        """The end of what the process wrote."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""
