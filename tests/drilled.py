"""Drills made by hand, for the scoreboard's tests: quiet rows, and what detectors might have said about them."""

from __future__ import annotations

import numpy as np

from engine.simulation import Label
from models.anomaly import Contribution
from models.baselines.columns import WARM_UP
from monitor.drills.result import Drilled
from monitor.guardrails.engine import Verdict
from monitor.incidents.evidence import Account, RankedAnomaly
from monitor.metrics.catalogue import METRIC_NAMES, column

SECOND = 1_000_000_000
SHORT = 20
LONG = 700
"""Windows of history: too few for the baselines, which saves seconds; and enough for them."""
WARM = LONG - WARM_UP
"""Of the long history, those that count as quiet."""
LIVE = 60
START = 1_700_000_000
SYMBOLS = ("A", "B")


def end_ns(live: int) -> int:
    """The end of the window `live` after the history."""
    return (START + live + 1) * SECOND


def label(family: str = "cancels", start: int = 10, stop: int = 20, symbol: str = "A", **fields: object) -> Label:
    """An incident of the live windows `start` to `stop` (exclusive)."""
    told = {"accounts": (), "name": "incident", **fields}
    return Label(family=family, symbol=symbol, start_ns=end_ns(start) - SECOND, end_ns=end_ns(stop) - SECOND, **told)


def line(
    live: int,
    family: str = "cancels",
    symbol: str = "A",
    rate: float = 1e-6,
    score: float = 5.0,
    feature: str = "cancels",
    accounts: tuple[int, ...] = (),
) -> RankedAnomaly:
    """A line of the live window `live`."""
    return RankedAnomaly(
        window_start_ns=end_ns(live) - SECOND, window_end_ns=end_ns(live), window_ms=1000, symbol=symbol, account=None,
        family=family, layer="execution", event="", score=score, rarity=1.0, false_alarm_rate=rate,
        contributions=(Contribution(feature, 1.0, 0.0, 1.0, "count", score),),
        accounts=tuple(Account(account, "cancels", 0.5) for account in accounts),
    )  # fmt: skip


def verdict(live: int, level: str, previous: str, symbol: str = "A", rule: str = "message_rate") -> Verdict:
    """A change of a rule's level."""
    return Verdict(end_ns(live), symbol, "execution", rule, level, previous, 1.0, 1.0, "count", "", "")


def drilled(
    scenario: str = "",
    seed: int = 9000,
    labels: tuple[Label, ...] = (),
    lines: tuple[RankedAnomaly, ...] = (),
    verdicts: tuple[Verdict, ...] = (),
    liquidated: tuple[int, ...] = (),
    bursts: tuple[tuple[int, int], ...] = (),
    symbols: tuple[str, ...] = SYMBOLS,
    history: int = SHORT,
) -> Drilled:
    """A run whose rows vary by a tenth around 10; `bursts` (live window, symbol) multiply what the family cancels reads, and
    `liquidated` are live windows in which there were liquidations in the first symbol."""
    rng = np.random.default_rng(seed)
    values = 10.0 * np.exp(0.1 * rng.normal(size=(history + LIVE, len(symbols), len(METRIC_NAMES))))
    values[:, :, column("liquidations")] = 0.0
    for window in liquidated:
        values[history + window, 0, column("liquidations")] = 3.0
    for window, symbol in bursts:
        values[history + window, symbol, [column(name) for name in ("messages", "cancels", "fleeting_cancels")]] *= 500.0
    ends = (START + 1 + np.arange(history + LIVE) - history) * SECOND
    return Drilled(scenario, seed, 1.0, symbols, SECOND, history, ends, values, labels, lines, verdicts)
