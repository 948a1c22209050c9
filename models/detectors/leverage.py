"""Leverage shifts: positions grow on less equity than before, or gather in few hands.

Open interest in the quote currency contains the price, and so does leverage through unrealised profit: the return of the window
is regressed out. Changes over the window show a ramp at once; the levels show what a slow build-up has added to the hour.
"""

from __future__ import annotations

from typing import Final

from models.detectors.family import Family
from models.features import Feature, How, Input, Side, Transform


def _change(name: str, metric: str, side: Side) -> Feature:
    inputs = (Input(metric, How.LAST), Input(metric, How.BEFORE))
    return Feature(name, Transform.LOG_CHANGE, inputs, "bps", side, prior=10.0, floor=1.0)


def _level(metric: str, unit: str) -> Feature:
    return Feature(metric, Transform.LOG, (Input(metric, How.MEAN),), unit, Side.HIGH, prior=0.3, floor=0.05)


LEVERAGE: Final = Family(
    name="leverage",
    features=(
        _change("open_interest_change_bps", "open_interest_usd", Side.BOTH),
        _change("leverage_weighted_change_bps", "leverage_weighted", Side.HIGH),
        _level("leverage_weighted", "x"),
        _level("leverage_p90", "x"),
        _level("leverage_new", "x"),
        _level("top_position_share", "share"),
    ),
    context=(
        Feature("return_bps", Transform.LINEAR, (Input("return_bps", How.SUM),), "bps"),
        Feature("realised_vol_bps", Transform.LOG, (Input("realised_vol_bps", How.ROOT_SQUARES),), "bps", offset=1.0),
    ),
    half_life_s=3600,
)
