"""Stress grid of portfolios of perpetuals: price x volatility x correlation x liquidity, and the row in which correlations
are one.

The loss of a portfolio in a cell, with `N_i` signed notionals and `m_i` the move of each underlying's class:

    common   = -x · v · ρ · Σ N_i·m_i                          all prices move together by x of their move
    own      = |x| · v · √(1 - ρ²) · √(Σ (N_i·m_i)²)           what each price does for itself, at the same number of sigmas
    exit     = Σ |N_i| · r · √(|N_i| / (λ · D_i))              closing it all into a depth D_i within the range r, thinned to λ

`x` is the price axis, `v` scales moves in a regime of volatility (perpetuals have no vega), `ρ` is the correlation with the
common factor, `λ` the liquidity. The exit is the square-root law of impact (RISK-SPEC 10): twice the size costs more than
twice. In the correlation-one row every underlying moves by its own extreme, the same way, and no gain of one is set against
another's loss; it stands in every grid, at the thinnest liquidity of the grid.

These are estimates in floating point, summed in one fixed order; nothing is decided by them. A cell's loss is the sum of its
positions' contributions: the common and exit parts are each position's own, the `own` part is divided by its squares (Euler).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numba import njit


class Grid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Axes of the grid.

    Attributes:
        prices: shares of each class's move, both signs.
        volatilities: factors of the moves, above 0.
        correlations: 0 to 1.
        liquidities: shares of the usual depth, above 0.

    Raises:
        ValueError: an empty axis, or a value out of range or not finite; names the axis.
    """

    prices: tuple[float, ...] = (-1.0, -2 / 3, -1 / 3, 0.0, 1 / 3, 2 / 3, 1.0)
    volatilities: tuple[float, ...] = (1.0, 1.5, 2.0)
    correlations: tuple[float, ...] = (0.5, 0.8, 1.0)
    liquidities: tuple[float, ...] = (1.0, 0.5, 0.2)

    def __post_init__(self) -> None:
        ranges = {
            "prices": (-10.0, 10.0),
            "volatilities": (1e-9, 100.0),
            "correlations": (0.0, 1.0),
            "liquidities": (1e-9, 1.0),
        }
        for name, (low, high) in ranges.items():
            axis = getattr(self, name)
            if not axis or not all(low <= value <= high for value in axis):
                raise ValueError(f"grid.{name} is {axis}, it must have values from {low:g} to {high:g}")


class Market(NamedTuple):
    """What the grid knows of each underlying, float64 [S]: move and extreme as shares, usual depth in quote units within
    `depth_range`."""

    moves: np.ndarray
    extremes: np.ndarray
    depth: np.ndarray
    depth_range: float


class Cell(NamedTuple):
    """One cell; `row` is "grid" or "correlation one"."""

    row: str
    price: float
    volatility: float
    correlation: float
    liquidity: float


class Stressed(NamedTuple):
    """The worst of one portfolio: the loss (quote units), its cell, what each position adds to it, and what a unit more of
    each does.

    `more` is the change of the worst loss over the whole grid if the position grows by the given step, for the cell may change.
    """

    loss: float
    cell: Cell
    contributions: np.ndarray
    more: np.ndarray


ROW: Final = "correlation one"


def market(moves: Sequence[float], extremes: Sequence[float], depth: Sequence[float], depth_range: float = 0.01) -> Market:
    """Checks and packs what the grid knows of each underlying.

    Raises:
        ValueError: lengths that differ, or a value that is not finite or not above zero; names it.
    """
    packed = {}
    for name, values in (("moves", moves), ("extremes", extremes), ("depth", depth)):
        array = np.asarray(values, np.float64)
        if array.ndim != 1 or not np.isfinite(array).all() or (array <= 0).any():
            raise ValueError(f"{name} must be finite numbers above zero")
        packed[name] = array
    if len({len(array) for array in packed.values()}) != 1:
        raise ValueError("moves, extremes and depth must have one value for each underlying")
    if not 0 < depth_range < 1:
        raise ValueError(f"depth_range is {depth_range}, it must be above 0 and below 1")
    return Market(packed["moves"], packed["extremes"], packed["depth"], depth_range)


def stress_many(notionals: np.ndarray, known: Market, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """(worst loss float64 [P], number of the worst cell int64 [P]) of portfolios float64 [P, S] of signed notionals.

    Cells are numbered as `cell` says. A portfolio that only gains has a loss of its exit, or 0 without positions.

    Raises:
        ValueError: notionals that are not finite or of another number of underlyings.
    """
    portfolios = np.ascontiguousarray(notionals, np.float64)
    if portfolios.ndim != 2 or portfolios.shape[1] != len(known.moves):
        raise ValueError(f"notionals must be [portfolios, {len(known.moves)}], not {portfolios.shape}")
    if not np.isfinite(portfolios).all():
        raise ValueError("notionals must be finite numbers")
    worst = np.empty(len(portfolios))
    cells = np.empty(len(portfolios), np.int64)
    _stress(
        portfolios,
        known.moves,
        known.extremes,
        known.depth,
        known.depth_range,
        np.array(grid.prices),
        np.array(grid.volatilities),
        np.array(grid.correlations),
        np.array(grid.liquidities),
        worst,
        cells,
    )
    return worst, cells


def cell(number: int, grid: Grid) -> Cell:
    """The cell of a number: prices outermost, liquidities innermost; behind them the correlation-one row, down and up."""
    shape = (len(grid.prices), len(grid.volatilities), len(grid.correlations), len(grid.liquidities))
    count = int(np.prod(shape))
    if number >= count:
        return Cell(ROW, -1.0 if number == count else 1.0, 1.0, 1.0, min(grid.liquidities))
    i, j, k, n = (int(index) for index in np.unravel_index(number, shape))
    return Cell("grid", grid.prices[i], grid.volatilities[j], grid.correlations[k], grid.liquidities[n])


def stress(notionals: Sequence[float], known: Market, grid: Grid, step: Sequence[float]) -> Stressed:
    """The worst cell of one portfolio, explained.

    Args:
        notionals: signed, quote units, one for each underlying.
        known, grid: see `Market` and `Grid`.
        step: notional of one more lot of each, above 0; a short grows downwards.
    """
    portfolio = np.asarray(notionals, np.float64)
    sizes = np.asarray(step, np.float64)
    if sizes.shape != portfolio.shape or not (sizes > 0).all():
        raise ValueError("step must have a number above zero for each underlying")
    grown = np.tile(portfolio, (len(portfolio) + 1, 1))
    for i in range(len(portfolio)):
        grown[i + 1, i] += sizes[i] if portfolio[i] >= 0 else -sizes[i]
    losses, cells = stress_many(grown, known, grid)
    found = cell(int(cells[0]), grid)
    return Stressed(float(losses[0]), found, contributions(portfolio, known, found), losses[1:] - losses[0])


def contributions(portfolio: np.ndarray, known: Market, at: Cell) -> np.ndarray:
    """What each position adds to the loss of a cell, float64 [S]; they add up to it."""
    size = np.abs(portfolio)
    leaving = size * known.depth_range * np.sqrt(size / (at.liquidity * known.depth))
    if at.row == ROW:
        lost: np.ndarray = np.maximum(0.0, -at.price * portfolio * known.extremes) + leaving
        return lost
    moved = portfolio * known.moves
    common = -at.price * at.volatility * at.correlation * moved
    norm = np.sqrt((moved**2).sum())
    own = moved**2 / norm if norm > 0 else np.zeros_like(moved)
    alone = abs(at.price) * at.volatility * np.sqrt(1 - at.correlation**2) * own
    parts: np.ndarray = common + alone + leaving
    return parts


@njit(cache=True, nogil=True)
def _stress(
    portfolios: np.ndarray,
    moves: np.ndarray,
    extremes: np.ndarray,
    depth: np.ndarray,
    depth_range: float,
    prices: np.ndarray,
    volatilities: np.ndarray,
    correlations: np.ndarray,
    liquidities: np.ndarray,
    worst: np.ndarray,
    cells: np.ndarray,
) -> None:
    for p in range(len(portfolios)):
        total = squares = leaving = falling = rising = 0.0
        for i in range(len(moves)):
            notional = portfolios[p, i]
            moved = notional * moves[i]
            total += moved
            squares += moved * moved
            size = abs(notional)
            leaving += size * depth_range * np.sqrt(size / depth[i])
            if notional > 0:
                falling += notional * extremes[i]
            else:
                rising -= notional * extremes[i]
        norm = np.sqrt(squares)
        best = -np.inf
        number = 0
        for x in prices:
            for v in volatilities:
                for rho in correlations:
                    moved = -x * v * rho * total + abs(x) * v * np.sqrt(1.0 - rho * rho) * norm
                    for share in liquidities:
                        loss = moved + leaving / np.sqrt(share)
                        if loss > best:
                            best = loss
                            cells[p] = number
                        number += 1
        thin = leaving / np.sqrt(liquidities.min())
        for loss in (falling + thin, rising + thin):
            if loss > best:
                best = loss
                cells[p] = number
            number += 1
        worst[p] = best
