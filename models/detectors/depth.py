"""Thin books: less depth, a wider spread and dearer execution than an hour's level.

Three features and no more: six were worse in a study on three recordings. The level is slow, for a fast one learns a thin book
away while it lasts. Conditioning on volatility, trades and messages explained next to nothing there, so there is no context.
"""

from __future__ import annotations

from typing import Final

from models.detectors.family import Family
from models.features import Feature, How, Input, Side, Transform

EMPTY: Final = 0.01
"""An empty book counts as this part of the usual depth: very thin, not missing."""


def _mean(metric: str) -> Input:
    return Input(metric, How.MEAN)


DEPTH: Final = Family(
    name="depth",
    features=(
        Feature(
            "depth_5_usd",
            Transform.LOG_SUM,
            (_mean("depth_bid_5_usd"), _mean("depth_ask_5_usd"), _mean("usual_depth_usd")),
            "usd",
            Side.LOW,
            EMPTY,
            prior=0.3,
            floor=0.1,
        ),
        Feature("spread_bps", Transform.LOG, (_mean("spread_bps"),), "bps", Side.HIGH, prior=0.3, floor=0.2),
        Feature(
            "slippage_bps",
            Transform.LOG_LARGER,
            (_mean("slippage_buy_bps"), _mean("slippage_sell_bps")),
            "bps",
            Side.HIGH,
            prior=0.3,
            floor=0.1,
        ),
    ),
    context=(),
    half_life_s=3600,
)
