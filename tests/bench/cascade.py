"""How fast a cascade runs: `python -m tests.bench.cascade`.

All figures are of one run on one core, CPU time, median of 3; compilation is not timed. The oracle in plain Python is the
comparison; it is timed on a twentieth of the accounts, for it is slow, and both are then given by account and round.
"""

from __future__ import annotations

import statistics
import time

from rich.console import Console
from rich.table import Table

from engine.cascade import october
from engine.cascade.graph import CascadeRules, graph_of, shock_table
from engine.cascade.run import run
from tests.oracle.naive_cascade import Cascade

ACCOUNTS, SMALL, ROUNDS = 20_000, 1_000, 300
RULES = CascadeRules(rounds=ROUNDS, shock_rounds=100, liquidity_ppm=200_000)


def a_venue(accounts):
    october.ACCOUNTS = accounts
    holdings = october.eve(1)
    shocks = {market.instrument.symbol: -0.2 for market in holdings.markets}
    return holdings, graph_of(holdings, RULES), shocks


def main():
    holdings, graph, shocks = a_venue(ACCOUNTS)
    table = shock_table(graph, shocks)
    done = run(graph, holdings.pack, RULES, *table)
    seconds = []
    for _ in range(3):
        started = time.process_time()
        run(graph, holdings.pack, RULES, *table)
        seconds.append(time.process_time() - started)
    ours = statistics.median(seconds)
    log = done.state.log
    holdings, _, shocks = a_venue(SMALL)
    oracle = Cascade(holdings, RULES, shocks)
    started = time.process_time()
    rounds, _ = oracle.run()
    theirs = time.process_time() - started
    each = ours / (ACCOUNTS * done.rounds)
    naive = theirs / (SMALL * rounds)
    title = (
        f"{ACCOUNTS:,} accounts, {len(graph.arrays.pos_lots):,} positions, {len(graph.instruments)} markets, "
        f"{done.rounds} rounds, {log['orders'].sum():,} forced orders, {log['adl'].sum():,} ADL"
    )
    shown = Table("", "s", "ns an account and round", "x oracle", title=title, title_justify="left")
    shown.add_row(f"oracle in plain Python, {SMALL:,} accounts", f"{theirs:.2f}", f"{naive * 1e9:,.0f}", "1")
    shown.add_row("engine.cascade", f"{ours:.2f}", f"{each * 1e9:,.0f}", f"{naive / each:.0f}")
    Console().print(shown)


if __name__ == "__main__":
    main()
