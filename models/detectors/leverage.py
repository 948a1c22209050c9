"""Leverage shifts: positions grow on less equity than before, or gather in few hands.

Open interest in the quote currency contains the price, and so does leverage through unrealised profit: the return of the window
is regressed out. Changes over the window show a ramp at once; the levels show what a slow build-up has added to the hour.
"""

from __future__ import annotations

from typing import Final

from models.detectors.family import Family
from models.features import Feature, How, Input, Side, Transform

# Accounts come and go one at a time, so these metrics leap now and then, and lie still in between. What is smaller than the
# floors is no event, however still a market usually is.
INTEREST_FLOOR_BPS: Final = 50.0
LEVERAGE_FLOOR_BPS: Final = 200.0
LEVEL_FLOOR: Final = 0.3
"""Log units: a third more leverage than an hour's level is one standard deviation at least."""


def _change(name: str, metric: str, side: Side, floor: float) -> Feature:
    inputs = (Input(metric, How.LAST), Input(metric, How.BEFORE))
    return Feature(name, Transform.LOG_CHANGE, inputs, "bps", side, prior=floor, floor=floor)


def _level(metric: str, unit: str) -> Feature:
    return Feature(metric, Transform.LOG, (Input(metric, How.MEAN),), unit, Side.HIGH, prior=LEVEL_FLOOR, floor=LEVEL_FLOOR)


LEVERAGE: Final = Family(
    name="leverage",
    features=(
        _change("open_interest_change_bps", "open_interest_usd", Side.BOTH, INTEREST_FLOOR_BPS),
        _change("leverage_weighted_change_bps", "leverage_weighted", Side.HIGH, LEVERAGE_FLOOR_BPS),
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
    # A minute sees the crowd that comes in one by one.
    lengths=(1, 10, 60),
)
