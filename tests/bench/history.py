"""How fast a history store takes runs in and answers: `python -m tests.bench.history [DAYS SYMBOLS SECONDS]`, 3 5 3600 without.

Synthetic 1 s windows of the full schema, of which twelve metrics have values (random, to four digits) and the others are
missing. Rows come into the store through the parts that `perpwatch history add` writes; adding itself is measured on one run of
all symbols and at most 100,000 rows. A question is timed in a process of its own, start of Python and polars included, and
once more after it (files in the page cache); 30 50 86400 is what a question must answer in seconds. All is wall-clock time.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from monitor.history.adding import add
from monitor.history.seal import seal
from monitor.history.store import Part, Record, locked, make_store, part_name
from monitor.history.store import Table as Stored
from monitor.metrics.catalogue import METRIC_NAMES
from monitor.metrics.rows import SCHEMA

FIRST_DAY, DAY_NS, STEP_NS = 20_454, 86_400_000_000_000, 1_000_000_000
FILLED = METRIC_NAMES[:: len(METRIC_NAMES) // 11][:12]
ADDED_ROWS = 100_000
RUN = "0" * 16


def rows(symbols, day, seconds, chance):
    """Rows of one day, windows first and then symbols."""
    ends = np.repeat(np.arange(1, seconds + 1) * STEP_NS + day * DAY_NS, len(symbols))
    count = len(ends)
    frame = pl.DataFrame(
        {
            "window_index": ends // STEP_NS,
            "window_start_ns": ends - STEP_NS,
            "window_end_ns": ends,
            "symbol": pl.Series(symbols * seconds, dtype=pl.String),
            **{name: chance.lognormal(size=count).round(4) for name in FILLED},
        }
    )
    missing = [pl.lit(None, kind).alias(name) for name, kind in SCHEMA.items() if name not in frame.columns and name != "phase"]
    return frame.with_columns(*missing, phase=pl.lit("LIVE")).select(*SCHEMA)


def fill(store, symbols, days, seconds, chance):
    """One run of many days, written part by part, because it would not fit into memory. Returns its bytes."""
    parts = {}
    for day in range(FIRST_DAY, FIRST_DAY + days):
        for symbol in symbols:
            frame = rows([symbol], day, seconds, chance).with_columns(run=pl.lit(RUN))
            part = part_name(str(np.datetime64(day, "D")), symbol)
            size = store.write_part(
                "metrics",
                part,
                RUN,
                lambda file, frame=frame: frame.write_parquet(file, compression="zstd", compression_level=3),
            )
            parts[part] = Part(frame.height, size)
    store.write_record(Record(RUN, {}, {"metrics": Stored("bench", parts)}))
    return sum(part.size for part in parts.values())


def left(folder, frame):
    """A folder as a run leaves it."""
    folder.mkdir()
    frame.write_parquet(folder / "metrics.parquet", compression="zstd", compression_level=3)
    summary = {"v": 1, "files": {"metrics.parquet": hashlib.sha256((folder / "metrics.parquet").read_bytes()).hexdigest()}}
    (folder / "summary.json").write_text(json.dumps(summary | {"seal": seal(summary)}))
    return folder


def seconds_of(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ask(root, sql):
    call = [sys.executable, "-c", "from monitor.cli import main; main()", "history", "query", sql, str(root), "--json"]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.splitlines()


def questions(symbols, days):
    last = np.datetime64(FIRST_DAY + days - 1, "D")
    a, b = FILLED[0], FILLED[1]
    one = f"symbol = '{symbols[0]}'"
    return [
        ("one day of one symbol", f"SELECT max({a}) AS a, avg({b}) AS b FROM metrics WHERE day = '{last}' AND {one}"),
        (
            "one day, by symbol",
            f"SELECT symbol, max({a}) AS a, avg({b}) AS b FROM metrics WHERE day = '{last}' GROUP BY symbol",
        ),
        ("all days of one symbol, by day", f"SELECT day, max({a}) AS a, avg({b}) AS b FROM metrics WHERE {one} GROUP BY day"),
        (
            "everything, by day and symbol",
            f"SELECT day, symbol, max({a}) AS a, avg({b}) AS b FROM metrics GROUP BY day, symbol",
        ),
        ("the twenty largest of everything", f"SELECT day, symbol, window_end_ns, {a} FROM metrics ORDER BY {a} DESC LIMIT 20"),
        ("count of everything", "SELECT count(*) AS n FROM metrics"),
    ]


def main(days=3, count=5, seconds=3600):
    chance = np.random.default_rng(1)
    symbols = [f"SYM{n:02}-PERP" for n in range(count)]
    table = Table("what", "first, s", "again, s", title=f"{days} days x {count} symbols x {seconds:,} rows")
    with TemporaryDirectory() as made:
        folder = left(Path(made) / "run", rows(symbols, FIRST_DAY, min(seconds, ADDED_ROWS // count), chance))
        small = Path(made) / "small"
        with locked(small):
            took = [seconds_of(lambda: add(make_store(small), folder)) for _ in range(2)]
        table.add_row(f"add a run of {min(seconds, ADDED_ROWS // count) * count:,} rows", *(f"{s:.2f}" for s in took))

        root = Path(made) / "store"
        store = make_store(root)
        sizes = []
        took = seconds_of(lambda: sizes.append(fill(store, symbols, days, seconds, chance)))
        name = f"write {days * count * seconds / 1e6:,.1f} million rows, {sizes[0] / 1e6:,.0f} MB, {days * count:,} files"
        table.add_row(name, f"{took:.1f}", "-")
        for name, sql in questions(symbols, days):
            table.add_row(name, *(f"{seconds_of(lambda sql=sql: ask(root, sql)):.2f}" for _ in range(2)))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        drop = np.datetime64(FIRST_DAY + days // 2, "D").item()
        table.add_row("drop half of the days", f"{seconds_of(lambda: store.drop(drop)):.2f}", "-")
    Console(width=120).print(table)
    print(f"largest question: {peak / 1024:,.0f} MB of memory" if sys.platform == "linux" else "")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
