"""The stress grid of a venue: every unit's portfolio in every cell, with the pack's moves and the depth of the books.

The grid's price axis is all moves of the pack's classes, as shares of the largest of the class, both ways; depth is what rests
within 1 % of the mark on the thinner side.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from engine.cascade.graph import CascadeRules, graph_of
from engine.cascade.state import equities, new_state
from engine.contract import MICRO
from engine.holdings import Holdings, HoldingsError
from engine.instruments import Pack
from engine.stress import Cell, Grid, Market, Stressed, cell, market, stress, stress_many

_DEPTH_RANGE: Final = 0.01
_BPS: Final = 1e4


class VenueStress(NamedTuple):
    """By unit: name, equity and worst loss in quote units, number of the worst cell; notionals [U, S] behind it."""

    names: tuple[str, ...]
    equity: np.ndarray
    loss: np.ndarray
    worst: np.ndarray
    notionals: np.ndarray
    steps: np.ndarray
    market: Market
    grid: Grid
    cells: int

    def order(self) -> list[int]:
        """Units with positions, the least that is left after the worst loss first."""
        held = np.flatnonzero((self.notionals != 0).any(axis=1))
        left = (self.equity - self.loss)[held]
        return [int(u) for u in held[np.argsort(left, kind="stable")]]

    def cell(self, u: int) -> Cell:
        """The worst cell of a unit."""
        return cell(int(self.worst[u]), self.grid)

    def explain(self, u: int) -> Stressed:
        """What each position adds to a unit's worst loss, and what one lot more of each does."""
        return stress(self.notionals[u].tolist(), self.market, self.grid, self.steps.tolist())


def grid_of(pack: Pack) -> Grid:
    """The grid with a pack's price moves."""
    shares = sorted({move / max(moves) for moves in pack.stress.moves_bps.values() for move in moves})
    return Grid(prices=(*(-share for share in reversed(shares)), 0.0, *shares))


def stress_venue(holdings: Holdings) -> VenueStress:
    """Stresses all units.

    Raises:
        HoldingsError: a market without a class in the pack, or without any depth.
    """
    graph = graph_of(holdings, CascadeRules(rounds=1))
    pack = holdings.pack
    value = graph.arrays.mark / MICRO * graph.terms.units / MICRO
    depth = np.array([_depth(holdings, k) for k in range(len(value))]) * value
    for k, row in enumerate(holdings.markets):
        if depth[k] == 0:
            raise HoldingsError(f"market {row.instrument.symbol!r} has no depth within 1 % on one side: nobody could leave it")
    kinds = [row.instrument.kind for row in holdings.markets]
    known = market(
        [max(pack.stress.moves_bps[kind]) / _BPS for kind in kinds],
        [pack.stress.extreme_bps[kind] / _BPS for kind in kinds],
        depth.tolist(),
        _DEPTH_RANGE,
    )
    grid = grid_of(pack)
    notionals = graph.exposures.toarray() * value
    losses, worst = stress_many(notionals, known, grid)
    equity = equities(graph.arrays, graph.terms, new_state(graph, CascadeRules(rounds=1))) / MICRO
    count = len(grid.prices) * len(grid.volatilities) * len(grid.correlations) * len(grid.liquidities) + 2
    steps = np.array([row.instrument.lot_step for row in holdings.markets]) * value
    return VenueStress(graph.units, equity, losses, worst, notionals, steps, known, grid, count)


def _depth(holdings: Holdings, k: int) -> int:
    """Lots within the range on the thinner side."""
    row = holdings.markets[k]
    away = _DEPTH_RANGE * row.mark
    sides = [sum(lots for ticks, lots in side if abs(ticks * MICRO - row.mark) <= away) for side in (row.bids, row.asks)]
    return min(sides)
