"""Seeds of drills: those that thresholds and features may be tuned on, and those that figures are reported on. Never both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

TUNING_SEEDS: Final = range(1000, 2000)
REPORTING_SEEDS: Final = range(9000, 10_000)


def tuning_seeds(count: int) -> tuple[int, ...]:
    """The first `count` seeds that may be looked at while something is changed. Raises ValueError beyond 1 to 1,000."""
    return _first(TUNING_SEEDS, count)


def reporting_seeds(count: int) -> tuple[int, ...]:
    """The first `count` seeds whose figures may be told. Raises ValueError beyond 1 to 1,000."""
    return _first(REPORTING_SEEDS, count)


def kind_of(seeds: Iterable[int]) -> str:
    """ "tuning" or "reporting" if all are of one kind, "other" if none is of either, else "mixed"."""
    kinds = {"tuning" if seed in TUNING_SEEDS else "reporting" if seed in REPORTING_SEEDS else "other" for seed in seeds}
    return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "other"


def _first(seeds: range, count: int) -> tuple[int, ...]:
    if not 1 <= count <= len(seeds):
        raise ValueError(f"{count} seeds: there must be 1 to {len(seeds):,}")
    return tuple(seeds[:count])
