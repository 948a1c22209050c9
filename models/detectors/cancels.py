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
UNPLACED: Final = 10.0
"""The same of cancels and adds, which come in pairs in a book that lives."""
COUNT_FLOOR: Final = 1.0
"""Chance alone spreads counts so far, however steady they were."""


def _total(metric: str, times: str = "") -> Input:
    return Input(metric, How.SUM, times)


def _count(name: str, counted: Input, given: str = "") -> Feature:
    return Feature(name, Transform.COUNT, (counted,), "count", Side.HIGH, floor=COUNT_FLOOR, given=given)


CANCELS: Final = Family(
    name="cancels",
    features=(
        _count("cancels", _total("cancels")),
        _count("fleeting_cancels", _total("fleeting_cancels"), given="cancels"),
        Feature("cancel_to_trade_ratio", Transform.RATIO, (_total("cancels"), _total("trades")), "ratio", Side.HIGH, SHRINK),
        Feature("cancel_to_add_ratio", Transform.RATIO, (_total("cancels"), _total("adds")), "ratio", Side.HIGH, UNPLACED),
        _count("cancels_after_fill", _total("cancels_after_fill"), given="cancels"),
        _count("rejects", _total("rejects")),
        _count("top_account_cancels", _total("top_cancel_share", "cancels"), given="cancels"),
    ),
    context=(
        Feature("trades", Transform.COUNT, (_total("trades"),), "count"),
        Feature("realised_vol_bps", Transform.LOG, (Input("realised_vol_bps", How.ROOT_SQUARES),), "bps", offset=1.0),
        Feature("return_bps", Transform.ABSOLUTE, (_total("return_bps"),), "bps", offset=1.0),
    ),
    half_life_s=600,
)
