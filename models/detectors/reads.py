"""Which metrics each feature is made of, so that what an anomaly names can be held against what an incident moved."""

from __future__ import annotations

from typing import Final

from models.detectors.accounts import FAMILIES as ACCOUNT_FAMILIES
from models.detectors.families import FAMILIES
from models.detectors.market import READS

METRICS_OF: Final[dict[tuple[str, str], tuple[str, ...]]] = (
    {
        (family.name, feature.name): tuple(
            dict.fromkeys(metric for one in feature.inputs for metric in (one.metric, one.times) if metric)
        )
        for family in FAMILIES
        for feature in family.features
    }
    | {("market", feature): metrics for feature, metrics in READS.items()}
    | {(family.name, feature.name): feature.metrics for family in ACCOUNT_FAMILIES for feature in family.features}
)
"""By family and feature, in the order in which the feature reads them."""
