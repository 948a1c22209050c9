"""How fast `engine.matching` is, beside plain Python: `python -m tests.bench.matching [OPS]`.

Flow G (`tests.bench.flow_g`). All figures are of one run, CPU time of this process with what the system does for it, median
of 5; compilation is not timed (but for the last lines), fresh memory is. "Everything" is: accounts and positions, self-trade
prevention, order rules, throttle, LEVEL events.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from engine.book import MEDIUM, BookStatus, apply_events, new_books
from engine.contract import EVENT_DTYPE, OpKind, SelfTrade
from engine.journal import Journal
from engine.market import Rules, Throttle, new_market
from engine.matching import ROOM, by_symbol, process, run
from tests.bench.flow_g import ACCOUNTS, flow_g, mixed_flow_g
from tests.bench.lean_book import LeanBook
from tests.oracle.naive_market import NaiveMarket

ROUNDS = 5
SYMBOLS = 64
TICK = 131_072
"""Ops of a tick of the mixed flow."""

RULES = Rules(self_trade=SelfTrade.EXPIRE_TAKER, min_notional=1, max_notional=2**53, bound_ppm=100_000)
THROTTLE = Throttle(interval_ns=1, burst=1_000_000)
PLAIN = Rules(deltas=False)

FIRST_CALL = """
import time; start = time.perf_counter()
import numpy as np
from engine.book import MEDIUM
from engine.contract import OP_DTYPE
from engine.market import new_market
from engine.matching import run
imported = time.perf_counter()
run(new_market(MEDIUM, symbols=1, accounts=1), np.zeros(1, OP_DTYPE))
print(time.perf_counter() - start, time.perf_counter() - imported)
"""

Work = Callable[[], object]


def cpu_seconds(work: Work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def engine(ops: np.ndarray, batch: int, rules: Rules, throttle: Throttle, symbols: int = 1) -> Work:
    """Matches `ops` in batches, as a venue does; the events go into one buffer that is used again."""
    market = new_market(MEDIUM, symbols, ACCOUNTS, rules, throttle)
    events = np.zeros(4 * min(batch, 2048) + ROOM, EVENT_DTYPE)

    def work() -> None:
        done = 0
        while done < len(ops):
            tick = ops[done : done + batch]
            if symbols > 1:
                tick = by_symbol(tick, symbols)
            while len(tick):
                consumed, _ = process(market, tick, events)
                tick = tick[consumed:]
                done += consumed

    return work


def journaled(ops: np.ndarray, batch: int, directory: Path) -> Work:
    """The same with everything, each batch in the journal before it is matched."""
    market = new_market(MEDIUM, 1, ACCOUNTS, RULES, THROTTLE)
    events = np.zeros(4 * batch + ROOM, EVENT_DTYPE)
    journal = Journal.open(directory, bytes(32), "append", epoch=1)

    def work() -> None:
        for start in range(0, len(ops), batch):
            tick = ops[start : start + batch]
            journal.append(tick)
            journal.flush()
            while len(tick):
                consumed, _ = process(market, tick, events)
                tick = tick[consumed:]

    return work


def rebuild(events: np.ndarray) -> Work:
    books = new_books(MEDIUM, 1)
    counts = np.zeros(len(BookStatus), np.int64)
    return lambda: apply_events(books, events, counts)


def lean(rows: list[tuple[bool, int, int, int, int]]) -> Work:
    book = LeanBook()

    def work() -> None:
        for is_new, order_id, side, price, qty in rows:
            if is_new:
                book.add(order_id, side, price, qty)
            else:
                book.cancel(order_id)

    return work


def oracle(rows: list[tuple[int, ...]]) -> Work:
    market = NaiveMarket(1, ACCOUNTS, MEDIUM, RULES, THROTTLE)

    def work() -> None:
        for row in rows:
            market.apply(row)

    return work


def main(n: int) -> None:
    console = Console()
    with console.status(f"writing flow G, {n:,} ops"):
        ops, mixed = flow_g(n), mixed_flow_g(n, SYMBOLS)
    short = [(bool(op["kind"] == OpKind.NEW), *(int(op[f]) for f in ("order_id", "side", "price", "qty"))) for op in ops]
    rows = ops.tolist()
    with console.status("compiling"), tempfile.TemporaryDirectory() as directory:
        market = new_market(MEDIUM, 1, ACCOUNTS, PLAIN)
        events = run(market, ops)
        rebuild(events[:1])()
        by_symbol(ops[:1], 1)
        journaled(ops[:100], 100, Path(directory))()
    with ExitStack() as stack:

        def on_disk() -> Work:
            return journaled(ops, 2048, Path(stack.enter_context(tempfile.TemporaryDirectory())))

        works: dict[str, Callable[[], Work]] = {
            "lean book in plain Python: matching only": lambda: lean(short),
            "oracle in plain Python: everything": lambda: oracle(rows),
            "engine: matching only, 2,048 ops a call": lambda: engine(ops, 2048, PLAIN, Throttle()),
            "engine: everything, 2,048 ops a call": lambda: engine(ops, 2048, RULES, THROTTLE),
            "engine: everything, 256 ops a call": lambda: engine(ops, 256, RULES, THROTTLE),
            "engine: everything, journal on disk, 2,048 ops a call": on_disk,
            f"engine: everything, {SYMBOLS} symbols, {TICK:,} ops a tick": lambda: engine(
                mixed, TICK, RULES, THROTTLE, SYMBOLS
            ),
            "book rebuilt from the orders' events": lambda: rebuild(events),
        }
        times: dict[str, list[float]] = {name: [] for name in works}
        for round_ in range(ROUNDS):
            for name, prepare in works.items():
                with console.status(f"round {round_ + 1} of {ROUNDS}: {name}"):
                    times[name].append(cpu_seconds(prepare()))
    table = Table("", "M ops / CPU-s", "ns / op", "x lean book", "x oracle", title=f"flow G, {n:,} ops, median of {ROUNDS}")
    middles = {name: statistics.median(seconds) for name, seconds in times.items()}
    base, full = list(middles.values())[:2]
    for name, middle in middles.items():
        cells = (f"{n / middle / 1e6:.2f}", f"{middle / n * 1e9:.0f}", f"{base / middle:.1f}", f"{full / middle:.1f}")
        table.add_row(name, *cells)
    console.print(table)
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        for name in ("first", "second", "third"):
            with console.status(f"{name} start"):
                done = subprocess.run(
                    [sys.executable, "-c", FIRST_CALL], env=environment, capture_output=True, text=True, check=True
                )
            whole, call = (float(seconds) for seconds in done.stdout.split())
            console.print(f"{name} start after installation: {call:.2f} s for the first call, {whole:.2f} s with imports")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
