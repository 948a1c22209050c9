"""How fast events become metric rows: `python -m tests.bench.metrics`.

Five minutes of the built-in venue (eight symbols, 4,000 accounts), and copies of it beside each other as further symbols, or
with further accounts. All figures are of one run on one core, CPU time, median of 3; compilation is not timed. The oracle in
plain Python makes the same rows of the first part, and is the comparison.
"""

from __future__ import annotations

import statistics
import time
from contextlib import redirect_stderr
from io import StringIO

import numpy as np
from rich.console import Console
from rich.table import Table

from engine.book import MEDIUM
from engine.wallets import OWN_ACCOUNTS
from monitor.metrics.windows import WindowEngine
from monitor.risk.builtin import BuiltIn
from monitor.sources import ALL_CAPABILITIES
from tests.oracle.naive_metrics import NaiveMetrics

SECONDS, SYMBOLS, ACCOUNTS = 300, 8, 4_000
STEP_NS = 1_000_000_000
BATCH = 2**16
ORACLE_EVENTS = 20_000


def copies(events, count, *, apart):
    """`count` venues beside each other: each with symbols of its own (`apart` "symbols") or with accounts of its own."""
    parts = []
    for n in range(count):
        part = events.copy()
        part["order_id"] += np.where(part["order_id"] > 0, n << 50, 0)
        part["contra_order_id"] += np.where(part["contra_order_id"] > 0, n << 50, 0)
        part["symbol"] += np.where(part["symbol"] >= 0, n * SYMBOLS, 0).astype(np.int32)
        if apart == "accounts":
            for name in ("account", "contra_account"):
                part[name] += np.where(part[name] >= 0, n * (ACCOUNTS + OWN_ACCOUNTS), 0)
        parts.append(part)
    merged = np.concatenate(parts)
    return merged[np.argsort(merged["ts_ns"], kind="stable")]


def seconds_of(events, instruments, accounts):
    """CPU seconds for all of it, median of 3."""
    found = []
    for _ in range(3):
        engine = WindowEngine(instruments, ALL_CAPABILITIES, MEDIUM, accounts, STEP_NS, 0)
        started = time.process_time()
        for at in range(0, len(events), BATCH):
            engine.push(events[at : at + BATCH])
        engine.finish()
        found.append(time.process_time() - started)
    return statistics.median(found)


def main():
    with redirect_stderr(StringIO()):
        built = BuiltIn(1)
        events = built.advance(SECONDS)
    instruments = built.venue.instruments
    everyone = ACCOUNTS + OWN_ACCOUNTS
    seconds_of(events[:1_000], instruments, everyone)
    few = events[:ORACLE_EVENTS]
    oracle = NaiveMetrics(instruments, ALL_CAPABILITIES, everyone, STEP_NS, 0)
    started = time.process_time()
    for event in few:
        oracle.push(event)
    oracle.finish()
    naive = ORACLE_EVENTS / (time.process_time() - started)
    title = f"{len(events):,} events of {SECONDS} s, one core"
    table = Table("", "million events / CPU-s", "x oracle", title=title, title_justify="left")
    table.add_row(f"oracle in plain Python, {ORACLE_EVENTS:,} events", f"{naive / 1e6:.4f}", "1")
    for count in (1, 4, 16):
        many = copies(events, count, apart="symbols")
        each = [instrument for _ in range(count) for instrument in instruments]
        rate = len(many) / seconds_of(many, tuple(each), everyone)
        table.add_row(f"{count * SYMBOLS} symbols, {ACCOUNTS:,} accounts", f"{rate / 1e6:.2f}", f"{rate / naive:.0f}")
    for count in (2, 8):
        many = copies(events, count, apart="accounts")
        each = [instrument for _ in range(count) for instrument in instruments]
        rate = len(many) / seconds_of(many, tuple(each), count * everyone)
        table.add_row(f"{count * SYMBOLS} symbols, {count * ACCOUNTS:,} accounts", f"{rate / 1e6:.2f}", f"{rate / naive:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
