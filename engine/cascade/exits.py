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
