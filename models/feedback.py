"""What reviewers taught: which anomalies are worth showing first. It re-orders what is shown, and touches nothing else.

A logistic regression (river's, learnt in the order of the verdicts) on how rare a line is, how high it scored, and which share
of the score each feature of its family had. Its probability that a reviewer says "right" is the line's *priority*. Rates,
scores, alerts and guardrails never see it. One event in twenty keeps the place that its rate gives it: what is never shown is
never judged, and a reviewer's taste would become the truth.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Final, Protocol, TypeVar

from river import linear_model, optim

from models.anomaly import Contribution

AUDIT_SHARE: Final = 0.05
"""Share of the events that keep their plain place."""
_RATE: Final = 0.1
_L2: Final = 1e-3
_SCALE: Final = 10.0
"""Orders of magnitude of a rate, and e-folds of a score, that count like a whole share."""


class Told(Protocol):
    """What is read of a line."""

    @property
    def event(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def false_alarm_rate(self) -> float: ...
    @property
    def score(self) -> float: ...
    @property
    def contributions(self) -> tuple[Contribution, ...]: ...


T = TypeVar("T", bound=Told)


def features_of(line: Told) -> dict[str, float]:
    """The regressors of a line by name: all between about 0 and 2, so that none drowns the others."""
    found = {
        "rarity: orders of magnitude": min(-math.log10(max(line.false_alarm_rate, 1e-20)), 20.0) / _SCALE,
        "score: logarithm": math.log(max(line.score, 1e-9)) / _SCALE,
        f"family: {line.family}": 1.0,
    }
    total = sum(abs(part.contribution) for part in line.contributions)
    for part in line.contributions:
        if part.contribution > 0.0 and total > 0.0:
            found[f"share: {line.family} {part.feature}"] = part.contribution / total
    return found


class Feedback:
    """Learns from verdicts in their order; the same verdicts give the same weights."""

    def __init__(self) -> None:
        self._model = linear_model.LogisticRegression(optimizer=optim.SGD(_RATE), l2=_L2, intercept_lr=_RATE)
        self.verdicts = 0

    def learn(self, features: Mapping[str, float], right: bool) -> None:
        """One verdict on a line with these `features_of`. Late ones are as good as early ones."""
        self._model.learn_one(dict(features), right)
        self.verdicts += 1

    def priority(self, line: Told) -> float:
        """The probability that a reviewer calls the line right; one half before anybody has said anything."""
        if not self.verdicts:
            return 0.5
        return float(self._model.predict_proba_one(features_of(line))[True])  # type: ignore[no-untyped-call]

    @property
    def weights(self) -> dict[str, float]:
        """Every learnt weight by name, the largest first, and the constant."""
        learnt = {name: float(weight) for name, weight in self._model.weights.items() if weight}
        ordered = dict(sorted(learnt.items(), key=lambda item: (-abs(item[1]), item[0])))
        return {**ordered, "constant": float(self._model.intercept)}

    def ordered(self, lines: Iterable[T]) -> list[T]:
        """The lines, given by their rank, in the order of their priority; audited ones keep their places."""
        ranked = list(lines)
        moving = sorted(
            (place for place, line in enumerate(ranked) if not is_audited(line.event)),
            key=lambda place: (-self.priority(ranked[place]), place),
        )
        free = iter(moving)
        return [line if is_audited(line.event) else ranked[next(free)] for line in ranked]


def is_audited(event: str) -> bool:
    """Whether an event is one of those that keep their place: drawn by its name, so that nobody can choose."""
    draw = int.from_bytes(hashlib.sha256(event.encode()).digest()[:8], "big") / 2**64
    return draw < AUDIT_SHARE
