"""Which variant of the detectors is the champion: a person's decision, on record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from models.detectors.variants import STANDARD, VARIANTS
from monitor.incidents.register import Register, RegisterError

SUBJECT: Final = "promotions"


def champion() -> str:
    """The name of the variant that runs use. Raises `RegisterError`, also for one that this version does not have."""
    register = Register(SUBJECT)
    records = register.records()
    name = str(records[-1]["variant"]) if records else STANDARD
    if name not in VARIANTS:
        raise RegisterError(f"{register.path}: the champion {name!r} is no variant of this version: promote one that it has")
    return name


def promote(variant: str, by: str, why: str) -> dict[str, Any]:
    """Makes `variant` the champion of later runs; returns the record. Raises KeyError for one there is not, `RegisterError`."""
    VARIANTS[variant]
    records = Register(SUBJECT).records()
    before = str(records[-1]["variant"]) if records else STANDARD
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Register(SUBJECT).add({"variant": variant, "before": before, "by": by, "why": why, "at": at})
