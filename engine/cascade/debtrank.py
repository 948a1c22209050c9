"""DebtRank: a cheap index of how much distress at one place does elsewhere, without running a cascade.

Battiston et al. (2012), in the form of Bardoscia et al. ("DebtRank: a microscopic foundation", 2015), in which distress is
handed on whenever it grows: `h_i(t+1) = min(1, h_i(t) + Σ_j L_ij · (h_j(t) - h_j(t-1)))`. `h` is the share of its equity
that a unit has lost, `L_ij` the share of i's equity that is lost when j's is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import LinearOperator

from engine.cascade.graph import CascadeRules, Graph
from engine.cascade.state import equities, new_state
from engine.contract import MICRO

_ROUNDS = 1_000
_STILL = 1e-9


class Ranked(NamedTuple):
    """`distress` [n], from 0 to 1, at the end; `lost_share`: of all equity, beyond the first round; `rounds`."""

    distress: np.ndarray
    lost_share: float
    rounds: int


def debtrank(leverage: csr_array | LinearOperator, shock: np.ndarray, weight: np.ndarray) -> Ranked:
    """Runs it until nothing grows by more than 1e-9.

    Args:
        leverage: [n, n], L, not negative, as a matrix or as what multiplies like one.
        shock: [n], share of equity that each loses at first, 0 to 1.
        weight: [n], equity of each, not negative.

    Raises:
        ValueError: shapes that differ, or values that are not finite or out of range.

    A chain: the first loses all, the second hangs on it with half its equity, the third on the second with half of that.

    >>> chain = csr_array(np.array([[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]]))
    >>> found = debtrank(chain, np.array([1.0, 0, 0]), np.ones(3))
    >>> found.distress.tolist(), found.lost_share
    ([1.0, 0.5, 0.25], 0.25)
    """
    first = np.asarray(shock, np.float64)
    equity = np.asarray(weight, np.float64)
    if leverage.shape != (len(first), len(first)) or len(equity) != len(first):
        raise ValueError(f"leverage must be {len(first)} x {len(first)}, and weight as long as shock")
    if not ((first >= 0) & (first <= 1)).all() or not (np.isfinite(equity) & (equity >= 0)).all():
        raise ValueError("shock must be from 0 to 1, and weight finite and not negative")
    if isinstance(leverage, csr_array) and not (np.isfinite(leverage.data) & (leverage.data >= 0)).all():
        raise ValueError("leverage must be finite and not negative")
    distress, grown, rounds = first.copy(), first.copy(), 0
    while rounds < _ROUNDS and grown.max(initial=0.0) > _STILL:
        after = np.minimum(1.0, distress + leverage @ grown)
        grown, distress = after - distress, after
        rounds += 1
    total = equity.sum()
    lost_share = float((distress - first) @ equity / total) if total > 0 else 0.0
    return Ranked(distress, lost_share, rounds)


def leverage_of(graph: Graph, depth_range: float = 0.02) -> tuple[LinearOperator, np.ndarray]:
    """(L [U, U], equity [U] in quote units) of a venue: who is hurt when somebody must sell all.

    If unit j sells its position in market k, the price goes, by what rests within `depth_range` of the mark, at most by that
    range: `impact = range · min(1, |N_jk| / D_k)`. Unit i on the same side loses `|N_ik| · impact` of its equity; that summed
    over markets is L_ij. Units without equity cannot lose any. L stays in factors: among ten thousand units it would not fit.
    """
    if not 0 < depth_range < 1:
        raise ValueError(f"depth_range is {depth_range}, it must be above 0 and below 1")
    arrays = graph.arrays
    unit_value = arrays.mark / MICRO * graph.terms.units / MICRO
    notionals = csr_array(graph.exposures @ diags_array(unit_value))
    equity = np.maximum(0, equities(arrays, graph.terms, new_state(graph, CascadeRules(rounds=1)))) / MICRO
    factors = []
    own = np.zeros(len(equity))
    for side in range(2):
        held = csr_array(notionals.maximum(0) if side == 0 else (-notionals).maximum(0))
        depth = np.array([_depth(graph, k, side, depth_range) for k in range(len(unit_value))]) * unit_value
        near = depth[held.indices]
        moved = csr_array(held)
        moved.data = depth_range * np.minimum(1.0, np.divide(held.data, near, out=np.ones(len(near)), where=near > 0))
        own += (held * moved).sum(axis=1)
        factors.append((held, moved))
    behind = np.where(equity > 0, 1 / np.maximum(equity, 1e-12), 0.0)

    def product(grown: np.ndarray) -> np.ndarray:
        each = grown.ravel()
        lost = -own * each
        for held, moved in factors:
            lost += held @ (moved.T @ each)
        share: np.ndarray = behind * lost
        return share

    return LinearOperator((len(equity), len(equity)), matvec=product, dtype=np.float64), equity


def _depth(graph: Graph, k: int, side: int, depth_range: float) -> int:
    """Lots that rest within the range."""
    arrays = graph.arrays
    count = arrays.levels[k, side]
    near = arrays.away[k, side, :count] <= depth_range * arrays.mark[k]
    return int(arrays.depth[k, side, :count][near].max(initial=0))
