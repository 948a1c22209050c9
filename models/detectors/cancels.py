"""Cancel bursts: more cancels than trading, price movement and the usual level explain.

Few cancels are not a burst, so every feature counts only above what is expected. The regressors tell stuffing from news: when
much is traded and the price moves, many cancels are nothing to report.
"""

from __future__ import annotations

from typing import Final

from models.detectors.family import Family
from models.features import Feature, How, Input, Side, Transform

SHRINK: Final = 4.0
"""Cancels and trades that a ratio takes for granted: one against none then moves it by a fifth."""


def _total(metric: str, times: str = "") -> Input:
    return Input(metric, How.SUM, times)


CANCELS: Final = Family(
    name="cancels",
    features=(
        Feature("cancels", Transform.COUNT, (_total("cancels"),), "count", Side.HIGH),
        Feature("fleeting_cancels", Transform.COUNT, (_total("fleeting_cancels"),), "count", Side.HIGH),
        Feature("cancel_to_trade_ratio", Transform.RATIO, (_total("cancels"), _total("trades")), "ratio", Side.HIGH, SHRINK),
        Feature(
            "one_sided_cancels",
            Transform.IMBALANCE,
            (_total("cancels_buy"), _total("cancels_sell")),
            "count",
            Side.HIGH,
            SHRINK,
        ),
        Feature("top_account_cancels", Transform.COUNT, (_total("top_cancel_share", "cancels"),), "count", Side.HIGH),
    ),
    context=(
        Feature("trades", Transform.COUNT, (_total("trades"),), "count"),
        Feature("realised_vol_bps", Transform.LOG, (Input("realised_vol_bps", How.ROOT_SQUARES),), "bps", offset=1.0),
        Feature("return_bps", Transform.ABSOLUTE, (_total("return_bps"),), "bps", offset=1.0),
    ),
    half_life_s=600,
)
