"""The baselines: each finds what stands out, looks at no future, and goes on from a copy as it would have itself."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from models.baselines import BASELINES, FAMILIES
from models.baselines.columns import WARM_UP, Column, Scale, one_sided, pieces, quantile, widest
from models.features import Side
from monitor.metrics.catalogue import METRIC_NAMES

AT = WARM_UP + 60
WINDOWS = AT + 60
EACH = [(name, family) for name in BASELINES for family in FAMILIES]


def quiet(seed: int = 0, symbols: int = 2) -> np.ndarray:
    """Metric rows [W, S, M] that vary by a tenth around 10, those that start late or never come missing."""
    rng = np.random.default_rng(seed)
    values = 10.0 * np.exp(0.1 * rng.normal(size=(WINDOWS, symbols, len(METRIC_NAMES))))
    values[:, :, METRIC_NAMES.index("rejects")] = 0.0
    values[:, :, METRIC_NAMES.index("leverage_new")] = np.nan
    values[: WARM_UP // 2, :, METRIC_NAMES.index("mark_last_bps")] = np.nan
    return values


def spiked(family: str) -> np.ndarray:
    """The same with everything that the family reads far out on its unusual side at one window of the second symbol."""
    values = quiet()
    for column in FAMILIES[family]:
        values[AT, 1, METRIC_NAMES.index(column.metric)] *= 0.01 if column.side == Side.LOW else 100.0
    return values


@pytest.mark.parametrize(("name", "family"), EACH)
def test_a_spike_in_a_quiet_stream_scores_highest(name: str, family: str) -> None:
    scores = BASELINES[name](family, METRIC_NAMES).score(spiked(family))
    assert scores.shape == (WINDOWS, 2)
    assert np.isfinite(scores[WARM_UP:]).all()
    assert np.unravel_index(np.nanargmax(scores), scores.shape) == (AT, 1)


@pytest.mark.parametrize(("name", "family"), EACH)
def test_the_future_changes_no_score(name: str, family: str) -> None:
    values = quiet()
    other = np.concatenate([values[:AT], 1000.0 * values[AT:]])
    whole = BASELINES[name](family, METRIC_NAMES).score(values)
    np.testing.assert_array_equal(BASELINES[name](family, METRIC_NAMES).score(other)[:AT], whole[:AT])


@pytest.mark.parametrize(("name", "family"), EACH)
def test_blocks_and_copies_change_no_score(name: str, family: str) -> None:
    values = spiked(family)
    whole = BASELINES[name](family, METRIC_NAMES).score(values)
    baseline = BASELINES[name](family, METRIC_NAMES)
    parts = [baseline.score(values[:7]), baseline.score(values[7:AT])]
    copy = pickle.loads(pickle.dumps(baseline))
    for one in (baseline, copy):
        np.testing.assert_array_equal(np.concatenate([*parts, one.score(values[AT:])]), whole)


@pytest.mark.parametrize("name", BASELINES)
def test_a_family_without_metrics_has_no_score(name: str) -> None:
    values = np.full((WINDOWS, 1, len(METRIC_NAMES)), np.nan)
    assert np.isnan(BASELINES[name]("depth", METRIC_NAMES).score(values)).all()
    assert np.isnan(BASELINES[name]("depth", ("of", "none")).score(values[:, :, :2])).all()


def test_every_column_is_a_metric() -> None:
    for columns in FAMILIES.values():
        assert {column.metric for column in columns} <= set(METRIC_NAMES)


def test_quantiles_leave_out_what_is_missing() -> None:
    rows = np.array([[3.0, np.nan], [np.nan, np.nan], [1.0, np.nan], [2.0, np.nan]])
    np.testing.assert_array_equal(quantile(rows, 0.5), [2.0, np.nan])
    np.testing.assert_array_equal(quantile(rows, 1.0), [3.0, np.nan])
    np.testing.assert_array_equal(widest(rows), [3.0, np.nan, 1.0, 2.0])


def test_only_the_unusual_side_counts() -> None:
    columns = tuple(Column("x", Scale.PLAIN, side) for side in (Side.LOW, Side.BOTH, Side.HIGH))
    np.testing.assert_array_equal(one_sided(np.array([[-2.0, -2.0, -2.0], [2.0, 2.0, 2.0]]), columns), [[2, 2, 0], [0, 2, 2]])


def test_blocks_are_cut_at_the_same_windows() -> None:
    assert [(piece.start, piece.stop) for piece in pieces(5, 8, 6)] == [(0, 1), (1, 7), (7, 8)]
    assert list(pieces(5, 0, 6)) == []
