"""What one drill left: the metric rows, what was found in them, and the labels that say what was there to be found."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.simulation import Label
from models.correlation import Event
from monitor.guardrails.engine import Verdict
from monitor.incidents.evidence import RankedAnomaly


class Drilled(NamedTuple):
    """One run of a scenario, in memory.

    `scenario` is its name ("" for a quiet market), `strength` a factor on what its seed draws. `window_end_ns` int64 [W] and
    `values` float64 [W, S, M] (columns `METRIC_NAMES`, NaN is missing) hold the windows, those of the quiet history included,
    which are the first `history`. `anomalies` are the lines of all windows, in the order of `models.ranking`; `verdicts` are
    changes of a rule's level, in the order of windows; `events` what became of each event, in the order in which they began.
    """

    scenario: str
    seed: int
    strength: float
    symbols: tuple[str, ...]
    step_ns: int
    history: int
    window_end_ns: np.ndarray
    values: np.ndarray
    labels: tuple[Label, ...]
    anomalies: tuple[RankedAnomaly, ...]
    verdicts: tuple[Verdict, ...]
    events: tuple[Event, ...] = ()
