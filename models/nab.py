"""The scoring of the Numenta Anomaly Benchmark (Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms", 2015).

Every labelled anomaly has a window. The first detection inside a window earns up to 1, the more the earlier, by a sigmoid of
its place; a window without one costs `false_negative`; a detection outside costs up to `false_positive`, less shortly after a
window. The sum over all series is set between that of a detector that says nothing (0) and of a perfect one (100). The first
15% of a series, at most 750 rows, are probation and count for nothing. One threshold for all series is chosen afterwards, as
the benchmark does for every detector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PROBATION: Final = 0.15
LONGEST_PROBATION: Final = 750
_STEEP: Final = 5.0
_FAR: Final = 3.0
"""Window lengths behind a window from which on a false positive costs all."""


class Profile(NamedTuple):
    """What a detection is worth: weights of true positives, false positives and missed windows."""

    true_positive: float
    false_positive: float
    false_negative: float


PROFILES: Final = {
    "standard": Profile(1.0, 0.11, 1.0),
    "reward_low_FP_rate": Profile(1.0, 0.22, 1.0),
    "reward_low_FN_rate": Profile(1.0, 0.11, 2.0),
}
"""The benchmark's three application profiles."""


class Series(NamedTuple):
    """Scores [N] of a series, and its labelled windows as (first, last) rows, both inside."""

    scores: Floats
    windows: tuple[tuple[int, int], ...]


class Result(NamedTuple):
    """The best threshold, the benchmark's score at it, and how many windows were found with how many false detections."""

    threshold: float
    score: float
    found: int
    windows: int
    false_detections: int


def probation(rows: int) -> int:
    """Rows at the start of a series that do not count."""
    return min(math.floor(PROBATION * rows), LONGEST_PROBATION)


def sigmoid(place: float) -> float:
    """From 1 at the start of a window (place −1) over 0 at its end (0) to −1 behind it; places are in window lengths."""
    return -1.0 if place > _FAR else 2.0 / (1.0 + math.exp(_STEEP * place)) - 1.0


def _values(series: Series, profile: Profile) -> tuple[Floats, NDArray[np.int64], int]:
    """What a detection in each row is worth [N], of which window it is [N] (−1 none, −2 probation), how many windows count."""
    rows = len(series.scores)
    worth = np.full(rows, -profile.false_positive)
    window = np.full(rows, -1, np.int64)
    first = probation(rows)
    counted = [(a, b) for a, b in sorted(series.windows) if b >= first]
    for a, b in counted:
        length = b - a + 1
        for i in range(b + 1, min(rows, b + 1 + math.ceil(_FAR * max(length - 1, 1)))):
            worth[i] = profile.false_positive * sigmoid((i - b) / max(length - 1, 1))
    for k, (a, b) in enumerate(counted):
        for i in range(max(a, 0), min(b + 1, rows)):
            worth[i] = profile.true_positive * sigmoid(-(b - i + 1) / (b - a + 1)) / sigmoid(-1.0)
            window[i] = k
    window[:first] = -2
    return worth, window, len(counted)


def score(series: Sequence[Series], profile: Profile) -> Result:
    """The benchmark's score of all series together at the best threshold. Raises ValueError without a labelled window."""
    rows: list[tuple[float, int, int, float]] = []
    total = 0
    for n, one in enumerate(series):
        worth, window, count = _values(one, profile)
        counts = window > -2
        places = np.where(window[counts] >= 0, window[counts] + total, -1)
        rows += zip(one.scores[counts].tolist(), places.tolist(), [n] * int(counts.sum()), worth[counts].tolist(), strict=True)
        total += count
    if total == 0:
        raise ValueError("no series has a labelled window behind its probation: nothing can be scored")
    nothing, perfect = -profile.false_negative * total, profile.true_positive * total
    best_of: dict[int, float] = {}
    value, wrong = nothing, 0
    best = Result(math.inf, 0.0, 0, total, 0)
    rows.sort(key=lambda row: -row[0])
    for at, (threshold, place, _, worth_of) in enumerate(rows):
        if place < 0:
            value += worth_of
            wrong += 1
        elif place not in best_of:
            best_of[place] = worth_of
            value += worth_of + profile.false_negative
        elif worth_of > best_of[place]:
            value += worth_of - best_of[place]
            best_of[place] = worth_of
        last_of_threshold = at + 1 == len(rows) or rows[at + 1][0] < threshold
        reached = 100.0 * (value - nothing) / (perfect - nothing)
        if last_of_threshold and reached > best.score:
            best = Result(threshold, reached, len(best_of), total, wrong)
    return best
