"""The stress grid: equal to a search cell by cell, explained to the last cent, and never without the correlation-one row."""

from __future__ import annotations

from itertools import product
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.stress import ROW, Grid, contributions, market, stress, stress_many

KNOWN = market([0.12, 0.18, 0.25], [0.24, 0.36, 0.5], [2e7, 5e6, 4e5])
GRID = Grid()

portfolios = st.lists(st.floats(-1e7, 1e7, allow_subnormal=False), min_size=3, max_size=3)


def reference(portfolio, grid):
    """The losses of all cells, one by one."""
    leaving = [abs(n) * KNOWN.depth_range * sqrt(abs(n) / d) for n, d in zip(portfolio, KNOWN.depth, strict=True)]
    moved = [n * m for n, m in zip(portfolio, KNOWN.moves, strict=True)]
    losses = []
    for x, v, rho, share in product(grid.prices, grid.volatilities, grid.correlations, grid.liquidities):
        own = abs(x) * v * sqrt(1 - rho**2) * sqrt(sum(part**2 for part in moved))
        losses.append(-x * v * rho * sum(moved) + own + sum(part / sqrt(share) for part in leaving))
    thin = sum(part / sqrt(min(grid.liquidities)) for part in leaving)
    for sign in (-1, 1):
        losses.append(sum(max(0.0, -sign * n * e) for n, e in zip(portfolio, KNOWN.extremes, strict=True)) + thin)
    return losses


@settings(deadline=None)  # the first call compiles
@given(st.lists(portfolios, min_size=1, max_size=5))
def test_the_kernel_is_the_search_cell_by_cell(drawn):
    worst, cells = stress_many(np.array(drawn), KNOWN, GRID)
    for portfolio, loss, number in zip(drawn, worst, cells, strict=True):
        losses = reference(portfolio, GRID)
        assert loss == pytest.approx(max(losses), rel=1e-12, abs=1e-6)
        assert losses[number] == pytest.approx(loss, rel=1e-12, abs=1e-6)


@settings(deadline=None)
@given(portfolios)
def test_contributions_add_up_and_one_lot_more_is_the_difference(portfolio):
    step = [100.0, 50.0, 10.0]
    found = stress(portfolio, KNOWN, GRID, step)
    assert found.contributions.sum() == pytest.approx(found.loss, rel=1e-9, abs=1e-6)
    for i, size in enumerate(step):
        grown = list(portfolio)
        grown[i] += size if grown[i] >= 0 else -size
        assert found.more[i] == pytest.approx(max(reference(grown, GRID)) - max(reference(portfolio, GRID)), rel=1e-6, abs=1e-5)


@settings(deadline=None)
@given(portfolios)
def test_the_worst_loss_is_at_least_that_of_the_correlation_one_row(portfolio):
    worst, _ = stress_many(np.array([portfolio]), KNOWN, Grid(prices=(0.0,)))
    assert worst[0] == pytest.approx(max(reference(portfolio, Grid(prices=(0.0,)))[-2:]), rel=1e-12, abs=1e-6)


def test_a_hedge_across_underlyings_does_not_help_in_the_correlation_one_row():
    calm = Grid(volatilities=(1.0,), correlations=(1.0,))
    found = stress([1e6, -1e6, 0.0], KNOWN, calm, [1.0, 1.0, 1.0])
    assert (found.cell.row, found.cell.price) == (ROW, 1.0)
    # The short of the more volatile underlying is what hurts; of the long's gain nothing counts, only what leaving it costs.
    assert found.contributions[1] > 0.36 * 1e6
    assert found.contributions[0] == contributions(np.array([1e6, 0.0, 0.0]), KNOWN, found.cell)[0] > 0


def test_twice_the_size_costs_more_than_twice():
    one, two = stress_many(np.array([[1e6, 0, 0], [2e6, 0, 0]]), KNOWN, GRID)[0]
    assert two > 2 * one


@pytest.mark.parametrize(
    ("work", "says"),
    [
        (lambda: Grid(prices=()), "grid.prices"),
        (lambda: Grid(correlations=(1.5,)), "grid.correlations"),
        (lambda: Grid(liquidities=(0.0,)), "grid.liquidities"),
        (lambda: Grid(volatilities=(float("nan"),)), "grid.volatilities"),
        (lambda: market([0.1], [0.2], [0.0]), "depth must be finite numbers above zero"),
        (lambda: market([0.1], [0.2, 0.3], [1.0]), "one value for each underlying"),
        (lambda: stress_many(np.array([[np.nan, 0, 0]]), KNOWN, GRID), "notionals must be finite"),
        (lambda: stress_many(np.zeros((1, 2)), KNOWN, GRID), r"notionals must be \[portfolios, 3\]"),
        (lambda: stress([1, 1, 1], KNOWN, GRID, [1, 0, 1]), "step must have"),
    ],
)
def test_what_is_no_grid_or_portfolio_is_refused(work, says):
    with pytest.raises(ValueError, match=says):
        work()
