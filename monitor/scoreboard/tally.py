"""All runs of an evaluation, tallied: every measure by family and by scenario, for the detectors and each baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib import metadata
from typing import Final, NamedTuple

import numpy as np

from engine.simulation import Label
from models.baselines import BASELINES
from models.ranking import ALARM_RATE
from monitor.guardrails.verdict import Level
from monitor.scoreboard import measures
from monitor.scoreboard.measures import GRACE_NS, Bools
from monitor.scoreboard.methods import Key
from monitor.scoreboard.reduce import ALL_FAMILIES, FAMILIES, FORCED, OURS, Named, Reduced, Trip
from monitor.scoreboard.results import (
    Alarms,
    FamilyBoard,
    FamilyMethod,
    Rate,
    ScenarioBoard,
    ScenarioMethod,
    Scoreboard,
    Trips,
    alarms,
    rounded,
    share,
    spread,
)
from monitor.scoreboard.seeds import kind_of

METHODS: Final = (OURS, *BASELINES)
STATED_RATES: Final = (1e-2, 1e-3, 1e-4)


class Outcome(NamedTuple):
    """What a method made of a label: None is not measured, or not there to be measured."""

    detected: bool | None
    delay_windows: int | None
    lead_s: float | None


class Tally:
    """All runs of an evaluation, and the threshold of each method in each family.

    A baseline's threshold lets pass as many quiet windows as our alarms did, all seeds together, so that all methods are
    compared at the same number of false alarms.
    """

    def __init__(self, runs: list[Reduced]) -> None:
        self.quiet = [run for run in runs if run.scenario == ""]
        self.drills = [run for run in runs if run.scenario != ""]
        self.benign = [run for run in self.drills if run.benign]
        self.seeds = tuple(sorted({run.seed for run in runs}))
        self.thresholds: dict[Key, float | None] = {}
        for family in ALL_FAMILIES:
            self.thresholds[OURS, family] = ALARM_RATE
            quiet = [self._ours(run, family, ALARM_RATE) & ~run.expected[family] for run in self.quiet]
            budget = sum(int(np.sum(alarm)) for alarm in quiet)
            for method in BASELINES:
                scores = [run.rankings[method, family].primary.ravel() for run in self.quiet]
                pooled = np.concatenate(scores) if scores else np.empty(0)
                self.thresholds[method, family] = measures.matched_threshold(
                    np.where(np.isneginf(pooled), np.nan, pooled), budget
                )

    def board(self, says: Mapping[str, str]) -> Scoreboard:
        """Every figure; `says` tells of each scenario by its name."""
        rows = {
            (all(run.benign for run in self._named(name)), ALL_FAMILIES.index(family), name)
            for name in {run.scenario for run in self.drills}
            for family in self._families(name)
        }
        return Scoreboard(
            software=f"perpwatch {metadata.version('perpwatch')}",
            seeds=self.seeds,
            seed_kind=kind_of(self.seeds),
            alarm_rate=ALARM_RATE,
            grace_s=GRACE_NS / 1e9,
            families=tuple(self._family(family) for family in ALL_FAMILIES),
            scenarios=tuple(
                self._scenario(name, ALL_FAMILIES[family], benign, says.get(name, "")) for benign, family, name in sorted(rows)
            ),
            trips=_trips([*self.quiet, *self.drills]),
        )

    def _named(self, scenario: str) -> list[Reduced]:
        return sorted((run for run in self.drills if run.scenario == scenario), key=lambda run: (run.seed, run.strength))

    def _families(self, scenario: str) -> set[str]:
        """Those of the labels that are not benign; of a benign scenario its labels', or "market" if it has none."""
        labels = [label for run in self._named(scenario) for label in run.labels]
        return {x.family for x in labels if not x.benign} or {x.family for x in labels} or {ALL_FAMILIES[-1]}

    def _family(self, family: str) -> FamilyBoard:
        runs = [run for run in self.drills if _labels(run, family)]
        return FamilyBoard(
            family=family,
            seeds=len({run.seed for run in runs}),
            events=sum(len(_labels(run, family)) for run in runs),
            methods=tuple(self._family_method(method, family, runs) for method in METHODS),
            named_metric=share([named.metric for run in runs for named in _named(run, family)]),
            named_account=share([named.account for run in runs for named in _named(run, family)]),
            rates=tuple(self._rate(family, stated) for stated in STATED_RATES) if family in FAMILIES else (),
        )

    def _family_method(self, method: str, family: str, runs: list[Reduced]) -> FamilyMethod:
        key = (method, family)
        outcomes = self._outcomes(method, family, runs)
        precisions = [
            self._average_precision(key, [run for run in (*runs, *self.benign, *self.quiet) if run.seed == seed])
            for seed in sorted({run.seed for run in runs})
        ]
        return FamilyMethod(
            method=method,
            threshold=None if (threshold := self.thresholds[key]) is None else rounded(threshold),
            average_precision=spread(precisions),
            recall=share([outcome.detected for outcome in outcomes]),
            delay_windows=spread([outcome.delay_windows for outcome in outcomes]),
            lead_s=spread([outcome.lead_s for outcome in outcomes]),
            quiet=self._false_alarms(method, (family,), self.quiet),
            benign=self._false_alarms(method, (family,), self.benign),
            benign_alarmed=share(self._benign_alarmed(method, (family,), self.drills)),
        )

    def _scenario(self, scenario: str, family: str, benign: bool, says: str) -> ScenarioBoard:
        runs = self._named(scenario)
        return ScenarioBoard(
            scenario=scenario,
            family=family,
            benign=benign,
            says=says,
            seeds=len({run.seed for run in runs}),
            strengths=tuple(rounded(run.strength) for run in runs),
            methods=tuple(self._scenario_method(method, family, benign, runs) for method in METHODS),
            named_metric=share([named.metric for run in runs for named in _named(run, family)]),
            named_account=share([named.account for run in runs for named in _named(run, family)]),
            trips=_trips(runs),
        )

    def _scenario_method(self, method: str, family: str, benign: bool, runs: list[Reduced]) -> ScenarioMethod:
        outcomes = self._outcomes(method, family, runs)
        return ScenarioMethod(
            method=method,
            average_precision=spread(
                [self._average_precision((method, family), [run]) for run in runs if _labels(run, family)]
            ),
            recall=share([outcome.detected for outcome in outcomes]),
            delay_windows=spread([outcome.delay_windows for outcome in outcomes]),
            lead_s=spread([outcome.lead_s for outcome in outcomes]),
            benign_alarmed=share(self._benign_alarmed(method, FAMILIES, runs)),
            false_alarms=self._false_alarms(method, FAMILIES, runs) if benign else None,
        )

    def _average_precision(self, key: Key, runs: list[Reduced]) -> float | None:
        """Of one list of all windows of the runs."""
        positive = np.concatenate([run.positive(key[1]).ravel() for run in runs])
        rankings = [run.rankings[key] for run in runs]
        primary = np.concatenate([ranking.primary.ravel() for ranking in rankings])
        if np.isneginf(primary).all() and key[0] != OURS:
            return None  # a baseline that never had its warm-up
        secondary = np.concatenate([ranking.secondary.ravel() for ranking in rankings])
        return measures.average_precision(positive, primary, secondary)

    @staticmethod
    def _ours(run: Reduced, family: str, rate: float) -> Bools:
        return np.asarray(run.rankings[OURS, family].primary >= -rate)

    def _alarm(self, run: Reduced, method: str, families: tuple[str, ...]) -> Bools | None:
        """bool[W, S]: the windows with an alarm in any of the families; None if one of them has no threshold."""
        found = np.zeros((len(run.end_ns), len(run.symbols)), np.bool_)
        for family in families:
            threshold = self.thresholds[method, family]
            if threshold is None:
                return None
            if method == OURS:
                found |= self._ours(run, family, threshold) & ~run.expected[family]
            else:
                found |= run.rankings[method, family].primary > threshold
        return found

    def _outcomes(self, method: str, family: str, runs: list[Reduced]) -> list[Outcome]:
        found: list[Outcome] = []
        for run in runs:
            labels = _labels(run, family)
            alarm = self._alarm(run, method, (family,)) if labels else None
            found.extend(_outcome(run, label, alarm) for label in labels)
        return found

    def _false_alarms(self, method: str, families: tuple[str, ...], runs: list[Reduced]) -> Alarms | None:
        windows = events = symbol_windows = 0
        for run in runs:
            alarm = self._alarm(run, method, families)
            if alarm is None:
                return None
            windows += int(np.sum(alarm))
            events += measures.events(alarm, run.end_ns)
            symbol_windows += alarm.size
        return alarms(windows, events, symbol_windows, runs[0].step_ns) if symbol_windows else None

    def _benign_alarmed(self, method: str, families: tuple[str, ...], runs: list[Reduced]) -> list[bool | None]:
        found: list[bool | None] = []
        for run in runs:
            labels = [label for label in run.labels if label.benign]
            alarm = self._alarm(run, method, families) if labels else None
            for label in labels:
                of_label, s = run.of(label)
                found.append(None if alarm is None else bool(alarm[of_label, s].any()))
        return found

    def _rate(self, family: str, stated: float) -> Rate:
        windows = sum(run.liquidated.size for run in self.quiet)
        hits = sum(int(np.sum(self._ours(run, family, stated))) for run in self.quiet)
        low, high = measures.interval(hits, windows)
        return Rate(stated, windows, hits, rounded(hits / windows) if windows else None, rounded(low), rounded(high))


def _labels(run: Reduced, family: str) -> list[Label]:
    return [label for label in run.labels if label.family == family and not label.benign]


def _named(run: Reduced, family: str) -> list[Named]:
    return [named for label, named in zip(run.labels, run.named, strict=True) if label.family == family and not label.benign]


def _outcome(run: Reduced, label: Label, alarm: Bools | None) -> Outcome:
    if alarm is None:
        return Outcome(None, None, None)
    of_label, s = run.of(label)
    at = measures.first_alarm(alarm[:, s], of_label)
    if at is None:
        return Outcome(False, None, None)
    forced = not FORCED.isdisjoint(label.metrics)
    lead = measures.lead_s(at, label, run.liquidated[:, s], run.end_ns) if forced else None
    return Outcome(True, measures.delay_windows(at, of_label), lead)


def _trips(runs: list[Reduced]) -> tuple[Trips, ...]:
    counted = Counter(trip for run in runs for trip in run.trips)
    rules = sorted({(trip.rule, Level[trip.level.upper()]) for trip in counted})
    return tuple(
        Trips(rule, level.word, *(counted[Trip(rule, level.word, where)] for where in ("inside", "benign", "outside")))
        for rule, level in rules
    )
