"""The detectors on real and simulated order flow, through sources and metrics: what is known to have happened comes first."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from engine.simulation import SimulationConfig
from models.anomaly import Anomaly
from models.detectors import Panel
from models.ranking import ranked
from monitor.metrics.catalogue import METRIC_NAMES, column
from monitor.metrics.windows import WindowEngine
from monitor.sources import Source
from monitor.sources.detect import open_source
from monitor.sources.venue import VenueSource
from tests.shared_data import shared_data

SECOND = 1_000_000_000


def _anomalies(source: Source) -> tuple[list[Anomaly], np.ndarray, np.ndarray]:
    engine = WindowEngine(
        source.instruments,
        source.capabilities,
        source.capacity,
        source.accounts,
        step_ns=SECOND,
        lateness_ns=source.lateness_ns,
    )
    blocks = [engine.push(batch) for batch in source.batches()]
    blocks.append(engine.finish())
    known = [block for block in blocks if block is not None]
    index = np.concatenate([block.window_index for block in known])
    values = np.concatenate([block.values for block in known])
    symbols = tuple(instrument.symbol for instrument in source.instruments)
    return Panel(symbols, METRIC_NAMES).process(index, values), index, values


def _of(found: list[Anomaly], family: str) -> list[Anomaly]:
    return ranked(anomaly for anomaly in found if anomaly.family == family)


@pytest.fixture(scope="module")
def amzn() -> tuple[list[Anomaly], np.ndarray, np.ndarray]:
    return _anomalies(open_source([shared_data("1_l3", "lobster", "LOBSTER_SampleFile_AMZN_2012-06-21_5.zip")], "lobster"))


def _eastern(hour: int, minute: int, second: int) -> int:
    return int(datetime(2012, 6, 21, hour, minute, second, tzinfo=ZoneInfo("US/Eastern")).timestamp()) * SECOND


def test_the_known_burst_of_cancels_comes_first(amzn: tuple[list[Anomaly], np.ndarray, np.ndarray]) -> None:
    found, index, values = amzn
    cancels = _of(found, "cancels")
    places = [k for k, anomaly in enumerate(cancels[:10]) if anomaly.window_end_ns == _eastern(15, 4, 20)]
    assert places, "15:04:19, 172 cancels and 1 execution, is not among the first ten"
    assert cancels[places[0]].window_ms == 1000
    # What else comes first is of its kind: many cancels, next to no trade.
    for anomaly in cancels[:20]:
        last = int(np.searchsorted(index, anomaly.window_end_ns // SECOND))
        rows = values[last + 1 - anomaly.window_ms // 1000 : last + 1, 0]
        assert rows[:, column("cancels")].sum() > 40.0
        assert rows[:, column("trades")].sum() < 0.1 * rows[:, column("cancels")].sum()


def test_the_known_thin_book_is_high(amzn: tuple[list[Anomaly], np.ndarray, np.ndarray]) -> None:
    start, end = _eastern(14, 42, 30), _eastern(14, 43, 5)
    assert any(start < anomaly.window_end_ns <= end for anomaly in _of(amzn[0], "depth")[:10])


def test_stated_rates_hold_on_a_recorded_day(amzn: tuple[list[Anomaly], np.ndarray, np.ndarray]) -> None:
    found, index, _ = amzn
    for family in ("cancels", "depth"):
        rates = np.array([anomaly.false_alarm_rate for anomaly in _of(found, family)])
        assert 0.005 < len(rates) / len(index) < 0.015
        assert np.sum(rates <= 1e-3) / len(index) < 2e-3
    assert {anomaly.family for anomaly in found} == {"cancels", "depth"}


@pytest.mark.parametrize("seed", [101, pytest.param(202, marks=pytest.mark.slow)])
def test_each_injection_comes_first_in_its_family(seed: int, tmp_path: Path) -> None:
    config = SimulationConfig(seed=seed, start_ns=1_700_000_000 * SECOND)
    source = VenueSource(config, tmp_path, 1, config.history_end_ns + 60 * SECOND)
    found, index, _ = _anomalies(source)
    labels = source.labels()
    assert {label.family for label in labels} == {"cancels", "depth", "leverage"}
    for label in labels:
        first = _of(found, label.family)[0]
        assert first.symbol == label.symbol
        assert label.start_ns < first.window_end_ns <= label.end_ns + 10 * SECOND
    quiet = [anomaly for anomaly in found if anomaly.window_end_ns <= config.history_end_ns]
    lines = len(index) * len(source.instruments)
    for family in ("cancels", "depth", "leverage", "prices"):
        rates = np.array([anomaly.false_alarm_rate for anomaly in _of(quiet, family)])
        assert 0.003 < len(rates) / lines < 0.02, family
        assert np.sum(rates <= 1e-3) / lines < 4e-3, family
