"""How fast many portfolios are stressed: `python -m tests.bench.stress`: 10,000 portfolios x 10 positions x the full grid.

All figures are of one run on one core, CPU time, median of 9; compilation is not timed. The NumPy line makes the same losses
with whole arrays, and is the comparison.
"""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.table import Table

from engine.stress import Grid, market, stress_many
from tests.bench.margin import timed

PORTFOLIOS, POSITIONS = 10_000, 10


def in_numpy(notionals, known, grid):
    """The worst losses with one array of all cells."""
    moved = notionals * known.moves
    total, norm = moved.sum(axis=1), np.sqrt((moved**2).sum(axis=1))
    size = np.abs(notionals)
    leaving = (size * known.depth_range * np.sqrt(size / known.depth)).sum(axis=1)
    x, v, rho, share = np.meshgrid(grid.prices, grid.volatilities, grid.correlations, grid.liquidities, indexing="ij")
    x, v, rho, share = (axis.ravel() for axis in (x, v, rho, share))
    cells = np.outer(total, -x * v * rho) + np.outer(norm, np.abs(x) * v * np.sqrt(1 - rho**2)) + np.outer(leaving, share**-0.5)
    thin = leaving / np.sqrt(min(grid.liquidities))
    falling = (np.maximum(notionals, 0) * known.extremes).sum(axis=1) + thin
    rising = (np.maximum(-notionals, 0) * known.extremes).sum(axis=1) + thin
    return np.maximum(cells.max(axis=1), np.maximum(falling, rising))


def main():
    g = np.random.default_rng(1)
    notionals = g.choice([-1, 1], (PORTFOLIOS, POSITIONS)) * np.exp(g.normal(9, 1.5, (PORTFOLIOS, POSITIONS)))
    known = market(g.uniform(0.1, 0.25, POSITIONS), g.uniform(0.24, 0.5, POSITIONS), np.exp(g.normal(15, 1, POSITIONS)))
    grid = Grid()
    cells = len(grid.prices) * len(grid.volatilities) * len(grid.correlations) * len(grid.liquidities) + 2
    ours = timed(lambda: stress_many(notionals, known, grid))
    theirs = timed(lambda: in_numpy(notionals, known, grid))
    title = f"{PORTFOLIOS:,} portfolios x {POSITIONS} positions x {cells} cells, one core"
    table = Table("", "ms", "x NumPy", title=title, title_justify="left")
    table.add_row("NumPy, whole arrays", f"{theirs * 1000:.1f}", "1")
    table.add_row("engine.stress", f"{ours * 1000:.1f}", f"{theirs / ours:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
