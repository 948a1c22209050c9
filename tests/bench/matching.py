"""How fast `engine.matching` is, beside the naive book in plain Python: `python -m tests.bench.matching`.

Flow G: one symbol, 60% passive adds (distance from the opposite touch exponential with mean 12 ticks; one in ten of 8x size;
1 to 100 lots), 35% cancels of a uniformly random live order, 5% marketable and fully filled, 1,000 accounts, about 4,000
resting. All figures are of one run, CPU time of this process, median of 5; compilation is not timed, fresh memory is.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from engine.book import MEDIUM, BookStatus, apply_events, new_books
from engine.contract import EVENT_DTYPE, OP_DTYPE, EventKind, OpKind, Side
from engine.matching import process, run
from tests.oracle.naive_book import NaiveBook, NaiveVenue

ROUNDS = 5
RESTING = 4_000
START_PRICE = 1_000_000
MEAN_MAKERS = 5  # makers that an average marketable order uses up: the 60% added less the 35% cancelled, over 5%
MEAN_LOTS = 50.5 * 1.7


def naive_book() -> NaiveBook:
    return NaiveBook(MEDIUM.ladder_ticks, MEDIUM.orders, MEDIUM.far_levels)


def flow_g(n: int, seed: int = 7) -> np.ndarray:
    """OP_DTYPE [n]. The naive book is the generator's model of the market."""
    rng = np.random.default_rng(seed)
    book = naive_book()
    live: list[int] = []
    place: dict[int, int] = {}
    dice = rng.random(n)
    picks = rng.random(n)
    distances = rng.exponential(12.0, n).astype(np.int64) + 1
    lots = rng.integers(1, 101, n) * np.where(rng.random(n) < 0.1, 8, 1)
    accounts = rng.integers(0, 1000, n)
    sides = rng.integers(0, 2, n)
    ids = rng.permutation(np.arange(1, n + 1, dtype=np.int64)) * 0x1_0000_01B3 + 1

    def drop(order_id: int) -> None:
        at = place.pop(order_id)
        last = live.pop()
        if last != order_id:
            live[at] = last
            place[last] = at

    rows = []
    for i in range(n):
        side = int(sides[i])
        kind, order_id, account, price, qty = int(OpKind.NEW), int(ids[i]), int(accounts[i]), 0, int(lots[i])
        other = book.levels[1 - side]
        towards = 1 if side == Side.BUY else -1
        touch = other.peekitem(0)[1].price if other else START_PRICE
        if dice[i] < 0.60 or len(live) < RESTING // 10:
            price = touch - towards * int(distances[i])
        elif dice[i] < 0.95:
            kind, order_id, qty, side = int(OpKind.CANCEL), live[int(picks[i] * len(live))], 0, 0
            account = book.orders[order_id].account
        else:
            qty = 1 + int(picks[i] * 2 * MEAN_MAKERS * MEAN_LOTS * len(live) / RESTING)
            qty = min(qty, book.lots[1 - side])
            price = other.peekitem(-1)[1].price
        row = (i + 1, order_id, account, price, qty, 0, kind, side, 0, 0, 0, 0, 0)
        rows.append(row)
        for _, _, _, maker_id, *_, leaves, _, event_kind, _, _, _ in book.apply(row, 1):
            if event_kind == EventKind.ADD:
                place[order_id] = len(live)
                live.append(order_id)
            elif event_kind == EventKind.CANCEL:
                drop(order_id)
            elif event_kind == EventKind.TRADE and leaves == 0:
                drop(maker_id)
    return np.array(rows, OP_DTYPE)


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def run_engine(ops: np.ndarray, batch: int) -> Callable[[], int]:
    """Matches `ops` in batches, as a venue does; the events go into one buffer that is used again."""
    books = new_books(MEDIUM, 1)
    events = np.zeros(2 * batch, EVENT_DTYPE)

    def work() -> int:
        done = seq = 0
        while done < len(ops):
            consumed, written = process(books, ops[done : done + batch], events, seq + 1)
            done += consumed
            seq += written
        return seq

    return work


def run_rebuild(events: np.ndarray) -> Callable[[], None]:
    books = new_books(MEDIUM, 1)
    counts = np.zeros(len(BookStatus), np.int64)
    return lambda: apply_events(books, events, counts)


def run_naive(rows: list[tuple[int, ...]]) -> Callable[[], None]:
    venue = NaiveVenue([naive_book()])

    def work() -> None:
        for row in rows:
            venue.apply(row)

    return work


def main(n: int) -> None:
    console = Console()
    with console.status(f"writing flow G, {n:,} ops"):
        ops = flow_g(n)
    rows = ops.tolist()
    with console.status("compiling"):
        events = run(new_books(MEDIUM, 1), ops)
        run_rebuild(events[:1])()

    works: dict[str, Callable[[], Callable[[], object]]] = {
        "naive book": lambda: run_naive(rows),
        "engine, 2,048 ops a call": lambda: run_engine(ops, 2048),
        "engine, 256 ops a call": lambda: run_engine(ops, 256),
        "book rebuilt from the events": lambda: run_rebuild(events),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(ROUNDS):
        for name, prepare in works.items():
            with console.status(f"round {round_ + 1} of {ROUNDS}: {name}"):
                times[name].append(cpu_seconds(prepare()))
    table = Table(
        "", "M ops / CPU-s", "ns / op", "ratio", title=f"flow G, {n:,} ops, {len(events):,} events, median of {ROUNDS}"
    )
    naive = statistics.median(times["naive book"])
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        table.add_row(name, f"{n / middle / 1e6:.2f}", f"{middle / n * 1e9:.0f}", f"{naive / middle:.1f}x")
    console.print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
