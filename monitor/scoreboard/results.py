"""What a scoreboard says: the fields of `scoreboard.json`. Null is what was not measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

SCHEMA_VERSION: Final = 1
_DAY_NS: Final = 86_400_000_000_000


class Spread(msgspec.Struct, frozen=True):
    """`count` values of a measure, and their mean, median, least and largest; null if there are none."""

    count: int
    mean: float | None
    median: float | None
    low: float | None
    high: float | None


class Share(msgspec.Struct, frozen=True):
    """`hits` of `of`; null of nothing."""

    hits: int
    of: int
    share: float | None


class Alarms(msgspec.Struct, frozen=True):
    """False alarms: windows, and events of windows no further apart than 30 s, each also per symbol and day."""

    symbol_days: float
    windows: int
    events: int
    windows_per_symbol_day: float | None
    events_per_symbol_day: float | None


class Rate(msgspec.Struct, frozen=True):
    """How many quiet windows (one of each symbol) had a line at or below a stated rate, and the 95% interval of that share,
    taking windows as independent, which they are not."""

    stated: float
    windows: int
    hits: int
    realised: float | None
    low: float
    high: float


class FamilyMethod(msgspec.Struct, frozen=True):
    """A method's figures in a family.

    `average_precision` is over seeds: of one list of all windows of a seed's runs with a label of the family, its benign
    runs and its quiet one. `recall` is of events; `delay_windows` and `lead_s` are over detected events, the latter of
    cascades. `threshold` is that of an alarm: a stated rate of ours, a score of a baseline; null if there was no quiet window
    to set it by, and then nothing that needs it was measured. `benign_alarmed`: benign events with an alarm of the family.
    """

    method: str
    threshold: float | None
    average_precision: Spread
    recall: Share
    delay_windows: Spread
    lead_s: Spread
    quiet: Alarms | None
    benign: Alarms | None
    benign_alarmed: Share


class FamilyBoard(msgspec.Struct, frozen=True):
    """A family: `events` labels that are not benign, over `seeds` seeds. `named_metric` and `named_account` are of our detected
    events; `rates` of our lines, empty for "market", for which no rate is stated."""

    family: str
    seeds: int
    events: int
    methods: tuple[FamilyMethod, ...]
    named_metric: Share
    named_account: Share
    rates: tuple[Rate, ...]


class ScenarioMethod(msgspec.Struct, frozen=True):
    """A method's figures in a scenario. `average_precision` is over runs, each of its own windows. `benign_alarmed`: benign
    events with an alarm of any family; `false_alarms` (of benign runs only): windows with one, anywhere in the run."""

    method: str
    average_precision: Spread
    recall: Share
    delay_windows: Spread
    lead_s: Spread
    benign_alarmed: Share
    false_alarms: Alarms | None


class Trips(msgspec.Struct, frozen=True):
    """How often a rule of the guard rose to a level: inside a label of its symbol, inside a benign one, elsewhere."""

    rule: str
    level: str
    inside: int
    benign: int
    outside: int


class ScenarioBoard(msgspec.Struct, frozen=True):
    """A scenario, in one of the families of its labels. `strengths` are those of its runs, in the order of the seeds."""

    scenario: str
    family: str
    benign: bool
    says: str
    seeds: int
    strengths: tuple[float, ...]
    methods: tuple[ScenarioMethod, ...]
    named_metric: Share
    named_account: Share
    trips: tuple[Trips, ...]


class Scoreboard(msgspec.Struct, frozen=True):
    """Everything that was measured. `seed_kind` is "reporting", "tuning", "mixed" or "other" (see `monitor.scoreboard.seeds`);
    `trips` are of all runs together."""

    software: str
    seeds: tuple[int, ...]
    seed_kind: str
    alarm_rate: float
    grace_s: float
    families: tuple[FamilyBoard, ...]
    scenarios: tuple[ScenarioBoard, ...]
    trips: tuple[Trips, ...]
    v: int = SCHEMA_VERSION


def spread(values: Sequence[float | None]) -> Spread:
    """Of the values that are there."""
    known = [value for value in values if value is not None]
    if not known:
        return Spread(0, None, None, None, None)
    figures = (float(np.mean(known)), float(np.median(known)), min(known), max(known))
    return Spread(len(known), *(rounded(figure) for figure in figures))


def share(hits: Sequence[bool | None]) -> Share:
    """Of the answers that are there."""
    known = [hit for hit in hits if hit is not None]
    return Share(sum(known), len(known), rounded(sum(known) / len(known)) if known else None)


def alarms(windows: int, events: int, symbol_windows: int, step_ns: int) -> Alarms:
    """Over `symbol_windows` windows of a step, one of each symbol."""
    days = symbol_windows * step_ns / _DAY_NS
    return Alarms(
        rounded(days),
        windows,
        events,
        rounded(windows / days) if days else None,
        rounded(events / days) if days else None,
    )


def rounded(x: float) -> float:
    """`x` to six significant digits: what lies beyond is noise, and may differ between machines. Raises ValueError for what is
    no number, which JSON cannot hold."""
    if not math.isfinite(x):
        raise ValueError(f"{x} is not a measure")
    return float(f"{x:.6g}")
