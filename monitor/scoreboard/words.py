"""How figures of the scoreboard are written, on the terminal and on the page alike."""

from __future__ import annotations

from typing import Final

from monitor.scoreboard.results import (
    Alarms,
    FamilyMethod,
    Rate,
    ScenarioBoard,
    Scoreboard,
    Share,
    Trips,
)

NONE: Final = "–"

FAMILY_HEAD: Final = (
    "method", "precision", "recall", "delay", "lead s", "false alarms", "benign runs", "benign alarmed",
)  # fmt: skip
SCENARIO_HEAD: Final = (
    "scenario", "family", "precision", "best baseline", "recall", "delay", "lead s", "metric", "account", "guard",
)  # fmt: skip
BENIGN_HEAD: Final = ("scenario", "alarmed", "best baseline", "false alarms", "guard")
RATES_HEAD: Final = ("family", "stated", "realised", "95% interval", "quiet windows")
TRIPS_HEAD: Final = ("rule", "level", "in incidents", "in benign events", "elsewhere")


def about(board: Scoreboard) -> str:
    """One sentence on what was run."""
    many = len(board.seeds)
    seeds = ", ".join(map(str, board.seeds[:10])) + (", …" if many > 10 else "")
    return (
        f"{board.software}; {len({row.scenario for row in board.scenarios})} scenarios on {many} "
        f"{board.seed_kind} seed{'' if many == 1 else 's'} ({seeds or 'none'})."
    )


def rules(board: Scoreboard) -> str:
    """What counts as what."""
    return (
        f"An alarm of Perpwatch is a line at a stated false-alarm rate of {board.alarm_rate:g} or less that does not say why "
        "it was to be expected; one of a baseline is a score above the threshold that lets as many quiet windows of the same "
        "seeds pass. An incident's windows go from its "
        f"start to {board.grace_s:g} s after its end, in its symbol and family. Precision is average precision, the mean over "
        "seeds. Delay (in windows) and lead are medians over detected incidents; the lead is the time before the first "
        "liquidation of a cascade, negative if late. False alarms are events (alarms no further apart than 30 s) per symbol "
        "and day, first on quiet windows. Metric and account: detected incidents whose best line names a right one first. "
        "Guard: rises of a rule's level inside the incidents. Baselines: static limits, robust z, river's GaussianScorer and "
        "HalfSpaceTrees, scikit-learn's IsolationForest."
    )


def family_row(one: FamilyMethod) -> tuple[str, ...]:
    """Cells under `FAMILY_HEAD`."""
    return (
        one.method, number(one.average_precision.mean), counted(one.recall), number(one.delay_windows.median, 1),
        number(one.lead_s.median, 1), per_day(one.quiet), per_day(one.benign), counted(one.benign_alarmed),
    )  # fmt: skip


def scenario_row(row: ScenarioBoard) -> tuple[str, ...]:
    """Cells under `SCENARIO_HEAD`: our figures, and the highest average precision of a baseline."""
    ours, *others = row.methods
    best = max((one.average_precision.mean for one in others if one.average_precision.mean is not None), default=None)
    return (
        row.scenario, row.family, number(ours.average_precision.mean), number(best), fraction(ours.recall),
        number(ours.delay_windows.median, 1), number(ours.lead_s.median, 1), fraction(row.named_metric),
        fraction(row.named_account), f"{sum(trips.inside for trips in row.trips):,}",
    )  # fmt: skip


def benign_row(row: ScenarioBoard) -> tuple[str, ...]:
    """Cells under `BENIGN_HEAD`: our figures, and the baseline that was alarmed least."""
    ours, *others = row.methods
    known = [one.benign_alarmed for one in others if one.benign_alarmed.share is not None]
    least = fraction(min(known, key=lambda share: share.share or 0.0)) if known else NONE
    trips = sum(trips.benign for trips in row.trips)
    return (row.scenario, fraction(ours.benign_alarmed), least, per_day(ours.false_alarms), f"{trips:,}")


def rate_row(family: str, rate: Rate) -> tuple[str, ...]:
    """Cells under `RATES_HEAD`."""
    realised = NONE if rate.realised is None else f"{rate.realised:.2g}"
    return (family, f"{rate.stated:g}", realised, f"{rate.low:.2g} … {rate.high:.2g}", f"{rate.hits:,} of {rate.windows:,}")


def number(x: float | None, digits: int = 3) -> str:
    """`x` with so many digits after the point."""
    return NONE if x is None else f"{x:,.{digits}f}"


def counted(share: Share) -> str:
    """A share with what it is of: 80% of 5."""
    return NONE if share.share is None else f"{share.share:.0%} of {share.of}"


def fraction(share: Share) -> str:
    """A share of few: 4/5."""
    return NONE if share.share is None else f"{share.hits}/{share.of}"


def per_day(alarms: Alarms | None) -> str:
    """Events per symbol and day, with how many there were."""
    if alarms is None or alarms.events_per_symbol_day is None:
        return NONE
    rate = alarms.events_per_symbol_day
    return f"{number(rate, 0 if rate >= 100 else 1)} ({alarms.events})"


def trips_row(trips: Trips) -> tuple[str, ...]:
    """Cells under `TRIPS_HEAD`."""
    return (trips.rule, trips.level, f"{trips.inside:,}", f"{trips.benign:,}", f"{trips.outside:,}")
