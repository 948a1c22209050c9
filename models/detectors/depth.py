"""Thin books: less depth, a wider spread and dearer execution than an hour's level.

Three features and no more: six were worse in a study on three recordings. Depth is both sides' together, and the cost of
execution the geometric mean of both sides': where the touch lags behind the market, one side looks thin and the other thick,
and nothing is missing. The level is slow, for a fast one learns a thin book away while it lasts. Conditioning on volatility,
trades and messages explained next to nothing in that study, so there is no context.
"""

from __future__ import annotations

from typing import Final

from models.detectors.family import Family
from models.features import Feature, How, Input, Side, Transform

EMPTY: Final = 0.01
"""An empty book counts as this part of the usual depth: very thin, not missing."""
NO_COST_BPS: Final = 0.05
"""Costs below a fraction of a basis point, and none at all while a book is crossed, are all alike."""
PRIOR: Final = 0.3
FLOOR: Final = 0.1
SPREAD_FLOOR: Final = 0.2
"""The spread is one tick nearly always, and two ticks are no event."""


def _mean(metric: str) -> Input:
    return Input(metric, How.MEAN)


_DEPTH: Final = (_mean("depth_bid_5_usd"), _mean("depth_ask_5_usd"), _mean("usual_depth_usd"))
_COST: Final = (_mean("slippage_buy_bps"), _mean("slippage_sell_bps"))

DEPTH: Final = Family(
    name="depth",
    features=(
        Feature("depth_5_usd", Transform.LOG_SUM, _DEPTH, "usd", Side.LOW, EMPTY, PRIOR, FLOOR, weight=2.0),
        Feature("spread_bps", Transform.LOG, (_mean("spread_bps"),), "bps", Side.HIGH, 0.0, PRIOR, SPREAD_FLOOR),
        Feature("slippage_bps", Transform.LOG_MEAN, _COST, "bps", Side.HIGH, NO_COST_BPS, PRIOR, FLOOR),
    ),
    context=(),
    half_life_s=3600,
)
