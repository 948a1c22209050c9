"""The measures: pure functions of windows, scores and labels."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from engine.simulation import Label
from models.correlation import EVENT_GAP_NS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

GRACE_NS: Final = 10_000_000_000
"""A window that ends so much after its incident still belongs to it: the longest window of the detectors covers as much."""
_CONFIDENCE: Final = 0.95


def inside(label: Label, end_ns: Ints, step_ns: int) -> Bools:
    """Which windows [end − step, end) overlap [label.start_ns, label.end_ns + grace); `end_ns` int64[W]."""
    return np.asarray((end_ns > label.start_ns) & (end_ns - step_ns < label.end_ns + GRACE_NS))


def average_precision(positive: Bools, primary: Floats, secondary: Floats) -> float | None:
    """Σ (recall_k − recall_{k−1}) · precision_k over the distinct places k of a ranking; None without a positive.

    All of one shape; the ranking is by `primary`, then `secondary`, the highest first. What ties comes at one place, so the
    order of equals gives nothing. The formula, not the code, is scikit-learn's `average_precision_score`.
    """
    positives = int(np.sum(positive))
    if positives == 0:
        return None
    order = np.lexsort((secondary.ravel(), primary.ravel()))[::-1]
    first, second = primary.ravel()[order], secondary.ravel()[order]
    last_of_place = np.append((first[1:] != first[:-1]) | (second[1:] != second[:-1]), True)
    found = np.cumsum(positive.ravel()[order])[last_of_place]
    shown = np.flatnonzero(last_of_place) + 1
    return float(np.sum(np.diff(found, prepend=0) / positives * (found / shown)))


def matched_threshold(quiet: Floats, alarms: int) -> float | None:
    """The least threshold above which at most `alarms` of the quiet scores lie (NaN: no score); None if there are not more."""
    known = np.sort(quiet[~np.isnan(quiet)])[::-1]
    return float(known[alarms]) if alarms < len(known) else None


def first_alarm(alarm: Bools, of_label: Bools) -> int | None:
    """The first window of bool[W] that raised an alarm within the label's windows bool[W]."""
    found = np.flatnonzero(alarm & of_label)
    return int(found[0]) if len(found) else None


def delay_windows(at: int, of_label: Bools) -> int:
    """Windows from the one in which the label starts (0) to the alarm's."""
    return at - int(np.flatnonzero(of_label)[0])


def lead_s(at: int, label: Label, liquidated: Bools, end_ns: Ints) -> float | None:
    """Seconds from the alarm in window `at` to the first window from the label's start on in which `liquidated` bool[W];
    negative if the alarm came after it, None if nothing was liquidated."""
    forced = np.flatnonzero(liquidated & (end_ns > label.start_ns))
    return float(end_ns[forced[0]] - end_ns[at]) / 1e9 if len(forced) else None


def events(alarm: Bools, end_ns: Ints) -> int:
    """How many events the alarms bool[W, S] are: those of a symbol no further apart than `EVENT_GAP_NS` are one."""
    count = 0
    for s in range(alarm.shape[1]):
        times = end_ns[alarm[:, s]]
        count += int(len(times) > 0) + int(np.sum(np.diff(times) > EVENT_GAP_NS))
    return count


def interval(hits: int, of: int) -> tuple[float, float]:
    """Clopper and Pearson's 95% interval of a share, 0 to 1 of nothing.

    Windows that follow each other share most of what they measure, so the truth is wider than this.
    """
    if of == 0:
        return 0.0, 1.0
    tail = (1.0 - _CONFIDENCE) / 2.0
    low = float(stats.beta.ppf(tail, hits, of - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(1.0 - tail, hits + 1, of - hits)) if hits < of else 1.0
    return low, high
