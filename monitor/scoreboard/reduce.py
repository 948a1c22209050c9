"""One drill, reduced to what the measures read: rankings of its windows, its labels, and what was said about each."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from engine.simulation import Label
from models.baselines.columns import WARM_UP
from models.detectors.kinds import CONTEXT
from models.detectors.reads import METRICS_OF
from models.ranking import ALARM_RATE, sort_key
from monitor.drills.result import Drilled
from monitor.guardrails.engine import Verdict
from monitor.guardrails.verdict import Level
from monitor.incidents.evidence import RankedAnomaly
from monitor.metrics.catalogue import column
from monitor.scoreboard.measures import Bools, Floats, Ints, inside
from monitor.scoreboard.methods import Baselines, Key

OURS: Final = "perpwatch"
FAMILIES: Final = ("cancels", "depth", "leverage", "prices")
"""The families that have a detector."""
MARKET: Final = "market"
"""Labels of this family are of the whole market: any family's line tells of them."""
ALL_FAMILIES: Final = (*FAMILIES, MARKET)
FORCED: Final = frozenset((
    "liquidations", "liquidated_lots", "liquidated_long_usd", "liquidated_short_usd", "takeovers", "deleveraged_lots",
))  # fmt: skip
"""Metrics of forced selling: a label that names one of them is of a cascade, and warning of it has a lead."""


class Ranking(NamedTuple):
    """Both float64[W, S]: the higher `primary`, then `secondary`, the more unusual; −inf where nothing was said."""

    primary: Floats
    secondary: Floats


class Named(NamedTuple):
    """Whether the best line of a label, if that is an alarm, named a metric and an account of the label; None: not asked."""

    metric: bool | None
    account: bool | None


class Trip(NamedTuple):
    """A rule's level rose above OK: where it stood is "inside" a label of its symbol, "benign" or "outside"."""

    rule: str
    level: str
    where: str


class Reduced(NamedTuple):
    """A drill's windows that count: those after the history; of a quiet run, all after `WARM_UP`.

    `end_ns` int64[W]; `liquidated` bool[W, S]; `rankings` by method and family; `expected` bool[W, S] by family, where our
    best line says why it was to be expected; `named` for each label.
    """

    scenario: str
    seed: int
    strength: float
    symbols: tuple[str, ...]
    step_ns: int
    end_ns: Ints
    labels: tuple[Label, ...]
    rankings: dict[Key, Ranking]
    expected: dict[str, Bools]
    liquidated: Bools
    named: tuple[Named, ...]
    trips: tuple[Trip, ...]

    @property
    def benign(self) -> bool:
        """Whether the run is of a scenario in which nothing happened that an alarm should tell."""
        return self.scenario != "" and all(label.benign for label in self.labels)

    def of(self, label: Label) -> tuple[Bools, int]:
        """The label's windows bool[W] and the place of its symbol. Raises ValueError for a symbol that is none of the run's."""
        if label.symbol not in self.symbols:
            raise ValueError(f"scenario {self.scenario!r}: label {label.name!r} is of {label.symbol!r}, no symbol of the run")
        return inside(label, self.end_ns, self.step_ns), self.symbols.index(label.symbol)

    def positive(self, family: str) -> Bools:
        """bool[W, S]: the windows of the family's labels that are not benign."""
        found = np.zeros((len(self.end_ns), len(self.symbols)), np.bool_)
        for label in self.labels:
            if label.family == family and not label.benign:
                of_label, s = self.of(label)
                found[:, s] |= of_label
        return found


def reduced(run: Drilled, baselines: Baselines) -> Reduced:
    """`run`, with the baselines' scores of the families that its measures ask for.

    Where nothing happened, or a benign label is, all families are asked, for any of them may raise a false alarm; else those
    of the labels.
    """
    first = min(WARM_UP, run.history) if run.scenario == "" else run.history
    only = {label.family for label in run.labels}
    quiet = not run.labels or any(label.benign for label in run.labels)
    asked = tuple(family for family in ALL_FAMILIES if quiet or family in only)
    end_ns = run.window_end_ns[first:]
    rankings = {
        key: Ranking(np.where(np.isnan(score), -np.inf, score), np.zeros_like(score))
        for key, score in baselines.score(run, asked, first).items()
    }
    expected = {}
    for family in ALL_FAMILIES:
        rankings[OURS, family], expected[family] = _ranking(run, end_ns, family)
    done = Reduced(
        run.scenario, run.seed, run.strength, run.symbols, run.step_ns, end_ns, run.labels, rankings, expected,
        np.nan_to_num(run.values[first:, :, column("liquidations")]) > 0.0, (), (),
    )  # fmt: skip
    return done._replace(
        named=tuple(_named(run, done, label) for label in run.labels),
        trips=tuple(_trip(done, verdict) for verdict in run.verdicts if _rose(verdict) and verdict.window_end_ns >= end_ns[0])
        if len(end_ns)
        else (),
    )


def tells(line: RankedAnomaly, family: str) -> bool:
    """Whether a line speaks of the family: a line of the market as a whole, of the one that its kind names."""
    return family in (line.family, MARKET) or (line.family == MARKET and line.kind == family)


def _is_context(line: RankedAnomaly) -> bool:
    """Whether a line is no alarm, however rare."""
    return bool(line.expected) or line.kind in CONTEXT


def _ranking(run: Drilled, end_ns: Ints, family: str) -> tuple[Ranking, Bools]:
    """By the best line of each window: the lower its rate, then the higher its score; and whether that line was expected."""
    primary = np.full((len(end_ns), len(run.symbols)), -np.inf)
    secondary = np.full_like(primary, -np.inf)
    expected = np.zeros(primary.shape, np.bool_)
    row = {int(end): w for w, end in enumerate(end_ns)}
    place = {symbol: s for s, symbol in enumerate(run.symbols)}
    for line in run.anomalies:
        w = row.get(line.window_end_ns)
        if w is None or not tells(line, family):
            continue
        s = place[line.symbol]
        if (-line.false_alarm_rate, line.score) > (primary[w, s], secondary[w, s]):
            primary[w, s], secondary[w, s], expected[w, s] = -line.false_alarm_rate, line.score, _is_context(line)
    return Ranking(primary, secondary), expected


def _named(run: Drilled, done: Reduced, label: Label) -> Named:
    of_label, _ = done.of(label)
    ends = {int(end) for end in done.end_ns[of_label]}
    lines = [
        line
        for line in run.anomalies
        if line.symbol == label.symbol
        and line.window_end_ns in ends
        and line.false_alarm_rate <= ALARM_RATE
        and not _is_context(line)
        and tells(line, label.family)
    ]
    if not lines or label.benign:
        return Named(None, None)
    best = min(lines, key=sort_key)
    metric: bool | None = None
    if label.metrics and best.contributions:
        feature = best.contributions[0].feature
        metric = not set(METRICS_OF.get((best.family, feature), (feature,))).isdisjoint(label.metrics)
    account: bool | None = None
    if label.accounts and any(line.accounts for line in run.anomalies if line.family == best.family):
        account = bool(best.accounts) and best.accounts[0].account in label.accounts
    return Named(metric, account)


def _rose(verdict: Verdict) -> bool:
    return Level[verdict.level.upper()] > max(Level[verdict.previous.upper()], Level.OK)


def _trip(done: Reduced, verdict: Verdict) -> Trip:
    at = np.array([verdict.window_end_ns], np.int64)
    met = [label for label in done.labels if label.symbol == verdict.symbol and inside(label, at, done.step_ns)[0]]
    where = "outside" if not met else "benign" if all(label.benign for label in met) else "inside"
    return Trip(verdict.rule, verdict.level, where)
