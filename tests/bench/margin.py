"""How fast everybody is margined: `python -m tests.bench.margin [ACCOUNTS SYMBOLS]`, by default 50,000 x 50.

All figures are of one run on one core, CPU time, median of 9; compilation is not timed. "Dense": every account has a position
in every symbol. "Usual": in five of them. The NumPy line does the same sums with whole arrays, and is the comparison.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from engine.contract import MICRO
from engine.margin.ladder import ladder_table, make_ladder
from engine.margin.states import LEVEL_DTYPE, Thresholds, limits, step_all
from engine.margining import Terms, assess
from engine.wallets import new_wallets

ROUNDS = 9
LADDER = make_ladder(
    "major",
    [(0, "1/125", "0.004"), (50_000, "1/100", "0.005"), (600_000, "1/75", "0.0065"), (3_000_000, "1/50", "0.01"),
     (12_000_000, "1/25", "0.02"), (70_000_000, "1/20", "0.025")],
)  # fmt: skip


def world(accounts, symbols, each, seed=1):
    """(wallets, terms): log-normal positions around 10,000 USD."""
    g = np.random.default_rng(seed)
    wallets = new_wallets(accounts, symbols, [(0, 500, 200)])
    lots = np.round(g.choice([-1, 1], (accounts, symbols)) * np.exp(g.normal(5, 1.5, (accounts, symbols)))).astype(np.int64)
    lots[g.random((accounts, symbols)) > each / symbols] = 0
    wallets.held[:accounts] = lots
    wallets.cash[:accounts] = g.integers(10**9, 10**12, accounts)
    prices = g.integers(5_000, 20_000, symbols) * MICRO + g.integers(0, MICRO, symbols)
    terms = Terms(
        ladders=ladder_table([LADDER] * symbols),
        units=np.full(symbols, 5_000, np.int64),
        prices=prices,
        doubtful=np.zeros(symbols, np.uint8),
        closing_ppm=np.zeros(1, np.int64),
    )
    return wallets, terms


def in_numpy(wallets, terms):
    """Equity and requirement with whole arrays of floats."""
    value = wallets.held * (terms.prices / MICRO * terms.units)
    notional = np.abs(value)
    row = terms.ladders[0]
    count = row["count"]
    tier = np.searchsorted(row["floor_micro"][1:count], notional, side="right")
    needed = notional * row["maintenance_ppm"][tier] / MICRO - row["deduction_micro"][tier]
    return wallets.cash + value.sum(axis=1), needed.sum(axis=1)


def timed(work):
    work()
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def main():
    accounts, symbols = (int(a) for a in sys.argv[1:3]) if len(sys.argv) > 2 else (50_000, 50)
    table = Table(
        "", "ms", "x NumPy", title=f"{accounts:,} accounts x {symbols} symbols margined, one core", title_justify="left"
    )
    for name, each in (("dense", symbols), ("usual", 5)):
        wallets, terms = world(accounts, symbols, each)
        everyone = len(wallets.cash)
        equity, needed, sure = np.zeros(everyone, np.int64), np.zeros(everyone, np.int64), np.zeros(everyone, np.uint8)
        levels, marks = np.zeros(everyone, LEVEL_DTYPE), limits(Thresholds())

        def tick(wallets=wallets, terms=terms, equity=equity, needed=needed, sure=sure, levels=levels, marks=marks):
            assess(wallets, terms, equity, needed, sure)
            step_all(levels, equity, needed, sure, 0, marks, True)

        ours = timed(tick)
        theirs = timed(lambda wallets=wallets, terms=terms: in_numpy(wallets, terms))
        table.add_row(f"{name}: NumPy, floats", f"{theirs * 1000:.1f}", "1")
        table.add_row(f"{name}: equity, requirement and level, integers", f"{ours * 1000:.1f}", f"{theirs / ours:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
