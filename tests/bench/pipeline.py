"""How much the whole path bears: `python -m tests.bench.pipeline [--seconds 60]`.

The built-in venue's events, copied onto 200 symbols and 10,000 accounts and so dense that each second holds some 200,000, go
from a file through the roles as `perpwatch replay` runs them: feed (books, metrics), Redis, guard, score, rank, export. Once at
full speed, which tells the throughput; once at the events' own speed, which tells how long a window takes from its close to its
ranked anomalies, and whether memory stays flat. The oracle in plain Python makes the first rows of the same events and is the
comparison. All figures are of one run; kernels are compiled before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from engine.simulation import SimulationConfig
from engine.wallets import OWN_ACCOUNTS
from monitor.bus.keys import Keys
from monitor.config import FilesSpec
from monitor.roles.kernels import use_cache
from monitor.sources import VENUE_CAPABILITIES
from monitor.sources.events import write_events
from monitor.sources.venue import VenueSource
from tests.oracle.naive_metrics import NaiveMetrics
from tests.recovery.runs import ROLES, Run

START_NS = 1_767_225_600_000_000_000
SYMBOLS, ACCOUNTS = 8, 1_000
COPIES, GROUPS = 25, 10
"""25 x 8 symbols; accounts of one group trade in two or three copies."""
FASTER = 15
"""A second of the venue's market takes a fifteenth: 8 symbols make some 540 events a second of their own time."""
ORACLE_EVENTS = 20_000
STEP_NS = 1_000_000_000


class Dense:
    """The venue's events, denser and copied, as a source to be written down."""

    def __init__(self, folder, seconds):
        config = SimulationConfig(seed=1, start_ns=START_NS, history_s=seconds * FASTER, accounts=ACCOUNTS)
        self._venue = VenueSource(config, folder, 1, START_NS + seconds * FASTER * STEP_NS)
        each = self._venue.instruments
        self.instruments = tuple(
            type(one)(**{**{name: getattr(one, name) for name in one.__struct_fields__}, "symbol": f"{one.symbol}.{n}"})
            for n in range(COPIES)
            for one in each
        )
        self.capabilities = VENUE_CAPABILITIES
        self.capacity = self._venue.capacity
        self.accounts = GROUPS * (ACCOUNTS + OWN_ACCOUNTS)
        self.lateness_ns = 0
        self.step_ns = STEP_NS
        self.notes, self.rejects = (), {}

    def batches(self):
        seq = 1
        for events in self._venue.batches():
            events["ts_ns"] = START_NS + (events["ts_ns"] - START_NS) // FASTER
            parts = []
            for n in range(COPIES):
                part = events.copy()
                for name in ("order_id", "contra_order_id"):
                    part[name] += np.where(part[name] > 0, n << 50, 0)
                part["symbol"] += np.where(part["symbol"] >= 0, n * SYMBOLS, 0).astype(np.int32)
                for name in ("account", "contra_account"):
                    part[name] += np.where(part[name] >= 0, (n % GROUPS) * (ACCOUNTS + OWN_ACCOUNTS), 0)
                # Money is told once a group, clocks once.
                told = (part["symbol"] >= 0) | (n == 0) | ((n < GROUPS) & (part["account"] >= 0))
                parts.append(part[told])
            merged = np.concatenate(parts)
            merged = merged[np.argsort(merged["ts_ns"], kind="stable")]
            merged["seq"] = np.arange(seq, seq + len(merged))
            seq += len(merged)
            yield merged


def memory_mb(pid):
    """Resident memory of a process."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def follow(run):
    """While it goes on: [(time, events of feed)], {role: [(time, MB)]}."""
    events, memory = [], {role: [] for role in ROLES}
    pids = {}
    while run.process.poll() is None:
        now = time.monotonic()
        try:
            health = run.redis.hgetall(Keys("test").health)
        except Exception:
            break
        for name, raw in health.items():
            said = json.loads(raw)
            pids[name.decode()] = said["pid"]
            if name == b"feed" and said.get("events"):
                events.append((now, said["events"]))
        for role in ROLES:
            mb = memory_mb(pids[role]) if role in pids else None
            if mb:  # 0 while it is being taken away
                memory[role].append((now, mb))
        time.sleep(0.25)
    return events, memory


def rate(points):
    """Events a second between a tenth and nine tenths of the way."""
    total = points[-1][1]
    inside = [(at, count) for at, count in points if 0.1 * total <= count <= 0.9 * total]
    return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])


def growth(points):
    """MB a minute over the second half, by least squares."""
    half = points[len(points) // 2 :]
    at, mb = np.array(half).T
    return float(np.polyfit((at - at[0]) / 60, mb, 1)[0]) if len(half) > 2 else float("nan")


def oracle_rate(path, source):
    """Events a CPU-second of the plain-Python oracle on the first events."""
    frame = pl.scan_parquet(path).head(ORACLE_EVENTS).collect()
    rows = np.zeros(frame.height, dtype=[(name, frame[name].to_numpy().dtype) for name in frame.columns])
    for name in frame.columns:
        rows[name] = frame[name].to_numpy()
    naive = NaiveMetrics(source.instruments, VENUE_CAPABILITIES, source.accounts, STEP_NS, 0)
    started = time.process_time()
    for event in rows:
        naive.push(event)
    return ORACLE_EVENTS / (time.process_time() - started)


def measure(folder, path, speed):
    with Run(folder, FilesSpec((str(path),), "events"), speed=speed) as run:
        points, memory = follow(run)
        assert run.process.wait(600) == 0, run.process.stderr.read().decode()
        summary = json.loads((run.out / "summary.json").read_text())
    return points, memory, summary


def main():
    use_cache()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="event time of the recording")
    parser.add_argument("--folder", type=Path, help="where the recording is kept and found again; else among temporary files")
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="perpwatch-bench-") as temporary:
        folder = Path(temporary)
        path = (options.folder or folder) / f"dense-{options.seconds}.parquet"
        source = Dense(folder / "journal", options.seconds)
        if not path.exists():
            write_events(source, path)
        total = pl.scan_parquet(path).select(pl.len()).collect().item()
        console.print(
            f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        )
        console.print(
            f"{total:,} events of {options.seconds} s ({total / options.seconds:,.0f} a second), "
            f"{len(source.instruments)} symbols, {source.accounts:,} accounts, {path.stat().st_size / 2**20:.0f} MB"
        )
        naive = oracle_rate(path, source)
        table = Table("", "events/s", "x oracle", "lag p50 ms", "lag p99 ms", "windows")
        table.add_row("oracle in plain Python, metrics only", f"{naive:,.0f}", "1", "", "", "")
        resident = Table("MB resident at the end (MB a minute)", *ROLES)
        for speed in ("max", "1x"):
            points, memory, summary = measure(folder / speed, path, speed)
            lags = summary["wall"].get("lag_ms") or {}
            sizes = [f"{memory[role][-1][1]:.0f} ({growth(memory[role]):+.1f})" for role in ROLES]
            resident.add_row(f"the whole path, {speed}", *sizes)
            found = rate(points)
            table.add_row(
                f"the whole path, {speed}",
                f"{found:,.0f}",
                f"{found / naive:.0f}",
                f"{lags.get('p50', float('nan')):.0f}",
                f"{lags.get('p99', float('nan')):.0f}",
                str(lags.get("windows", "")),
            )
        console.print(table)
        console.print(resident)


if __name__ == "__main__":
    main()
