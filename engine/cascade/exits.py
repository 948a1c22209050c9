"""Whether a position has an orderly exit: its value after the impact of selling it.

Caccioli, Bouchaud and Farmer, "Impact-adjusted valuation and the criticality of leverage", 2012.

With the square-root law a sale of notional N in a market with daily volume V and daily volatility s fetches on average
`N · (1 - 2/3 · Y · s · √(N / V))`: the last unit is sold at the full impact `I = Y · s · √(N / V)`, the average at two
thirds of it. A position whose equity is below what the sale costs has no orderly exit: above the leverage `1 / (2/3 · I)`
marked-to-market equity is an illusion.
"""

from __future__ import annotations

from math import sqrt
from typing import Final, NamedTuple

import numpy as np

from engine.cascade.graph import CascadeRules, Graph
from engine.cascade.state import equities, new_state
from engine.contract import MICRO
from engine.exact import Number, exact, not_negative, positive

_AVERAGE: Final = 2 / 3  # of √x from 0 to 1


class Exit(NamedTuple):
    """`impact`: share that the price has gone at the end of the sale. `cost`: what the sale costs, quote units. `equity`: what
    is left to the owner after it. `most_leverage`: above which nothing is left; None without an impact.
    """

    impact: float
    cost: float
    equity: float
    most_leverage: float | None

    @property
    def is_orderly(self) -> bool:
        """Something is left."""
        return self.equity > 0


def orderly_exit(notional: Number, equity: Number, volume: Number, volatility: Number, *, impact_factor: Number = 1) -> Exit:
    """What leaving a position costs.

    Args:
        notional: of the position, quote units, not negative.
        equity: behind it, at the mark.
        volume: traded in a day, quote units, above 0.
        volatility: of a day's return, not negative.
        impact_factor: Y; measured near 1 in most markets (RISK-SPEC 10).

    A tenth of a day's volume at 4 % volatility moves the price by 1.26 %, and costs 0.84 % on average:

    >>> found = orderly_exit(1_000_000, 20_000, 10_000_000, "0.04")
    >>> round(found.impact, 4), round(found.cost), round(found.equity), round(found.most_leverage)
    (0.0126, 8433, 11567, 119)
    """
    size = float(not_negative(notional, "notional"))
    factor = float(not_negative(impact_factor, "impact_factor")) * float(not_negative(volatility, "volatility"))
    impact = factor * sqrt(size / float(positive(volume, "volume")))
    share = _AVERAGE * impact
    cost = size * min(1.0, share)
    left = float(exact(equity, "equity")) - cost
    return Exit(impact, cost, left, 1 / share if share > 0 else None)


def orderly_exits(graph: Graph) -> list[dict[str, object]]:
    """Positions of a venue that have no orderly exit, the largest cost first: selling them into the book that is there costs
    more than the unit's equity. Where the book ends, what is left is sold at its last level.
    """
    arrays = graph.arrays
    equity = equities(arrays, graph.terms, new_state(graph, CascadeRules(rounds=1))) / MICRO
    value = arrays.mark / MICRO * graph.terms.units / MICRO
    found: list[dict[str, object]] = []
    for p in range(len(arrays.pos_lots)):
        u, k, lots = arrays.pos_unit[p], arrays.pos_market[p], int(arrays.pos_lots[p])
        side = 0 if lots > 0 else 1
        count = arrays.levels[k, side]
        if count == 0:
            continue
        upto = np.minimum(arrays.depth[k, side, :count], abs(lots))
        sold = np.diff(upto, prepend=0)
        away = arrays.away[k, side, :count] / arrays.mark[k]
        beyond = abs(lots) - int(upto[-1])
        cost = float((sold * away).sum() + beyond * away[-1]) * value[k]
        if cost > equity[u]:
            found.append(
                {
                    "account": graph.units[u],
                    "what": graph.instruments[k].symbol,
                    "notional": float(abs(lots) * value[k]),
                    "equity": float(equity[u]),
                    "cost": cost,
                    "beyond_the_book": float(beyond * value[k]),
                }
            )
    return sorted(found, key=lambda row: -float(str(row["cost"])))
