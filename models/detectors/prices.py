"""Prices that part: mark, index, last and mid away from their usual distance, or a reference that has gone stale."""

from __future__ import annotations

from typing import Final

from models.detectors.family import Family
from models.features import Feature, How, Input, Side, Transform

BASIS_FLOOR_BPS: Final = 2.0
"""A basis that moves by less than a few basis points is no event, however still it usually is."""
AGE_OFFSET_MS: Final = 1000.0
"""Ages under the usual second between updates are all alike."""
AGE_FLOOR: Final = 0.12
"""Log units: half a second more than usual is four standard deviations."""
FUNDING_FLOOR_BPS: Final = 1.0
"""Funding stands at its default of 1 bp nearly half of the time, so its usual spread may be nothing."""


def _basis(metric: str, weight: float = 1.0) -> Feature:
    inputs, floor = (Input(metric, How.MEAN),), BASIS_FLOOR_BPS
    return Feature(metric, Transform.LINEAR, inputs, "bps", Side.BOTH, prior=floor, floor=floor, weight=weight)


def _age(metric: str) -> Feature:
    return Feature(
        metric, Transform.LOG, (Input(metric, How.LAST),), "ms", Side.HIGH, AGE_OFFSET_MS, prior=0.3, floor=AGE_FLOOR
    )


PRICES: Final = Family(
    name="prices",
    features=(
        _basis("mark_index_bps"),
        _basis("mark_last_bps"),
        # The mark is made of the index: between what is traded and the index nothing of ours stands.
        _basis("mid_index_bps", 1.5),
        _age("index_age_ms"),
        _age("mark_age_ms"),
        Feature(
            "funding_rate_bps",
            Transform.LINEAR,
            (Input("funding_rate_bps", How.LAST),),
            "bps",
            Side.BOTH,
            prior=FUNDING_FLOOR_BPS,
            floor=FUNDING_FLOOR_BPS,
            weight=2.0,
        ),
    ),
    context=(),
    half_life_s=3600,
)
