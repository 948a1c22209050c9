"""How figures of the scoreboard are written, on the terminal and on the page alike."""

from __future__ import annotations

from typing import Final

from monitor.scoreboard.results import (
    Alarms,
    FamilyMethod,
    Rate,
    ScenarioBoard,
    ScenarioMethod,
    Scoreboard,
    Share,
    Spread,
    Trips,
)

NONE: Final = "–"

FAMILY_HEAD: Final = (
    "method", "average precision", "(least … most)", "recall", "delay, windows", "lead, s",
    "quiet false alarms", "benign false alarms", "benign alarmed",
)  # fmt: skip
SCENARIO_HEAD: Final = (
    "scenario", "family", "average precision", "best baseline", "recall", "delay, windows", "lead, s", "metric named",
    "account named",
)  # fmt: skip
BENIGN_HEAD: Final = ("benign scenario", "alarmed", "best baseline alarmed", "false alarms")
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
        f"An alarm of Perpwatch is a line at a stated false-alarm rate of {board.alarm_rate:g} or less; one of a baseline is a "
        "score above the threshold that lets as many quiet windows of the same seeds pass. An incident's windows go from its "
        f"start to {board.grace_s:g} s after its end, in its symbol and family. Average precision is the mean over seeds; "
        "delay and lead are medians over detected incidents, the lead being the time before the first liquidation of a "
        "cascade, negative if late. False alarms are events (alarms no further apart than 30 s) per symbol and day."
    )


def family_row(one: FamilyMethod) -> tuple[str, ...]:
    """Cells under `FAMILY_HEAD`."""
    precision = one.average_precision
    return (
        one.method, number(precision.mean), least_most(precision), counted(one.recall), number(one.delay_windows.median, 1),
        number(one.lead_s.median, 1), per_day(one.quiet), per_day(one.benign), counted(one.benign_alarmed),
    )  # fmt: skip


def scenario_row(row: ScenarioBoard) -> tuple[str, ...]:
    """Cells under `SCENARIO_HEAD`: our figures, and the baseline of the highest average precision."""
    ours = row.methods[0]
    return (
        row.scenario, row.family, number(ours.average_precision.mean), _best(row.methods[1:]), counted(ours.recall),
        number(ours.delay_windows.median, 1), number(ours.lead_s.median, 1), counted(row.named_metric),
        counted(row.named_account),
    )  # fmt: skip


def benign_row(row: ScenarioBoard) -> tuple[str, ...]:
    """Cells under `BENIGN_HEAD`."""
    ours, *others = row.methods
    least = min(others, key=lambda one: (one.benign_alarmed.share is None, one.benign_alarmed.share or 0.0), default=None)
    told = NONE if least is None or least.benign_alarmed.share is None else f"{counted(least.benign_alarmed)} {least.method}"
    return (row.scenario, counted(ours.benign_alarmed), told, per_day(ours.false_alarms))


def rate_row(family: str, rate: Rate) -> tuple[str, ...]:
    """Cells under `RATES_HEAD`."""
    realised = NONE if rate.realised is None else f"{rate.realised:.2g}"
    return (family, f"{rate.stated:g}", realised, f"{rate.low:.2g} … {rate.high:.2g}", f"{rate.hits:,} of {rate.windows:,}")


def number(x: float | None, digits: int = 3) -> str:
    """`x` with so many digits after the point."""
    return NONE if x is None else f"{x:,.{digits}f}"


def counted(share: Share) -> str:
    """A share with what it is of: 0.80 (4/5)."""
    return NONE if share.share is None else f"{share.share:.2f} ({share.hits}/{share.of})"


def least_most(spread: Spread) -> str:
    """The range, if there is more than one value."""
    return NONE if spread.count < 2 else f"{number(spread.low)} … {number(spread.high)}"


def per_day(alarms: Alarms | None) -> str:
    """Events per symbol and day, with how many there were."""
    if alarms is None or alarms.events_per_symbol_day is None:
        return NONE
    return f"{alarms.events_per_symbol_day:,.1f} ({alarms.events})"


def _best(methods: tuple[ScenarioMethod, ...]) -> str:
    known = [(one.average_precision.mean, one.method) for one in methods if one.average_precision.mean is not None]
    if not known:
        return NONE
    value, name = max(known, key=lambda one: one[0])
    return f"{number(value)} {name}"


def trips_row(trips: Trips) -> tuple[str, ...]:
    """Cells under `TRIPS_HEAD`."""
    return (trips.rule, trips.level, f"{trips.inside:,}", f"{trips.benign:,}", f"{trips.outside:,}")
