"""Runs of the whole path in a process of their own, for tests that cut pieces of it off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from redis.exceptions import RedisError

from monitor.bus.client import connect
from monitor.bus.commit import read_position
from monitor.bus.keys import Keys
from monitor.config import FilesSpec, RunConfig, VenueSpec, load_config

START_NS = 1_767_225_600_000_000_000
ROLES = ("feed", "guard", "score", "rank")
TABLES = ("metrics.parquet", "metrics_10s.parquet", "metrics_60s.parquet")
RESULTS = (*TABLES, "anomalies.jsonl", "verdicts.jsonl", "audit.jsonl", "labels.jsonl")

_MAIN = """
import sys, msgspec
from monitor.config import RunConfig
from monitor.roles.supervisor import RunError, run
try:
    sys.exit(run(msgspec.json.decode(sys.argv[1], type=RunConfig)))
except RunError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


class Run:
    """One run under a supervisor of its own."""

    def __init__(self, folder: Path, source: VenueSpec | FilesSpec, **more: Any) -> None:
        self.out = folder / "out"
        self.state = folder / "state"
        self.config = RunConfig(run_id="test", source=source, state_dir=str(self.state), out_dir=str(self.out), **more)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, msgspec.json.encode(self.config).decode()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={key: value for key, value in os.environ.items() if key != "REDIS_URL"},
        )
        self._redis: Any = None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
        self.process.wait()

    def wait(self, timeout_s: float = 300) -> tuple[int, str]:
        """(exit code, what it said on standard error)."""
        _, said = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, said.decode()

    @property
    def redis(self) -> Any:
        if self._redis is None:
            path = self.state / "run.json"
            self.until(lambda: path.exists() and path.stat().st_size > 0)
            self._redis = connect(load_config(path).redis_url)
        return self._redis

    def until(self, condition: Callable[[], Any], timeout_s: float = 240) -> Any:
        """What `condition` returns, as soon as it is true. Fails if the run ends before."""
        deadline = time.monotonic() + timeout_s
        while not (found := condition()):
            assert self.process.poll() is None, f"the run ended: {self.process.stderr.read().decode()}"
            assert time.monotonic() < deadline, "it did not come to that in time"
            time.sleep(0.01)
        return found

    def window(self, role: str) -> int:
        """Index of the last window that `role` has committed."""
        return read_position(self.redis, Keys("test"), role).window

    def pid(self, role: str) -> int:
        """Process id of `role` as it says itself."""
        raw = self.until(lambda: self.redis.hget(Keys("test").health, role))
        return json.loads(raw)["pid"]

    def pids(self) -> list[int]:
        """All processes of the run but its supervisor: the children it has now."""
        found = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = [line.split() for line in found.splitlines()]
        return [int(pid) for pid, parent in pairs if int(parent) == self.process.pid]

    def kill(self, role: str) -> bool:
        """Kills `role`'s process. False if it had ended already."""
        try:
            os.kill(self.pid(role), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def process_of_server(self) -> int | None:
        """Process id of the run's own server, None while there is none that answers."""
        try:
            return int(self.redis.info("server")["process_id"])
        except RedisError:
            return None

    def kill_server(self) -> int | None:
        """Kills the run's own server, as soon as there is one; returns its process id, None where the run has ended."""
        while (pid := self.process_of_server()) is None and self.process.poll() is None:
            time.sleep(0.01)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return pid

    def result(self) -> dict[str, Any]:
        """Every result file's bytes, and the summary without what the clock decides."""
        found: dict[str, Any] = {name: (self.out / name).read_bytes() for name in RESULTS if (self.out / name).exists()}
        summary = json.loads((self.out / "summary.json").read_text())
        self.wall = summary.pop("wall")
        return {**found, "summary": summary}


def window_indices(out: Path) -> list[int]:
    """The window index of every row of one symbol, in the order of the file."""
    rows = pl.read_parquet(out / "metrics.parquet")
    return rows.filter(pl.col("symbol") == rows["symbol"][0])["window_index"].to_list()
