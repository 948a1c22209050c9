"""Drift: what does not go away is told by name, bursts and noise are not; a level is adopted in so many words."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from models.anomaly import Drift
from models.detectors import Panel
from models.drift import DriftWatch
from models.second_opinion import WINDOW, SecondOpinion
from tests.flow_rows import NAMES, SYMBOLS, column, quiet_rows

NAMED = ("a", "b", "c")


def watched(values):
    watch, found = DriftWatch(NAMED), []
    for t, row in enumerate(values):
        found += [(t, moved) for moved in watch.process(row)]
    return found


def test_a_shift_is_found_soon_and_named():
    values = np.random.default_rng(1).normal(size=(600, 3))
    values[300:, 1] += 2.0
    found = watched(values)
    assert {moved.name for _, moved in found} == {"b"}
    t, first = found[0]
    assert 300 < t < 360
    assert first.before < 0.5 < first.after


def test_noise_and_single_bursts_do_not_drift():
    for seed in range(5):
        values = np.random.default_rng(seed).normal(size=(3000, 3))
        values[1000:1003] += 20.0
        assert watched(values) == []


def test_what_is_missing_is_left_out_and_infinities_are():
    values = np.random.default_rng(2).normal(size=(400, 3))
    values[::3, 0], values[5, 1], values[:, 2] = np.nan, np.inf, np.nan
    assert watched(values) == []
    with pytest.raises(ValueError, match="expected"):
        DriftWatch(NAMED).process(np.zeros(2))


def test_a_watch_goes_on_from_a_pickle():
    values = np.random.default_rng(3).normal(size=(400, 3))
    values[200:, 0] += 2.0
    watch, found = DriftWatch(NAMED), []
    for t, row in enumerate(values):
        found += [(t, moved) for moved in watch.process(row)]
        if t % 50 == 0:
            watch = pickle.loads(pickle.dumps(watch))
    assert found == watched(values)


def shifted(windows=1600, at=1100):
    rows = quiet_rows(windows, seed=21)
    # The book of one symbol is half as deep from here on.
    for name in ("depth_bid_5_usd", "depth_ask_5_usd"):
        rows[at:, 1, column(name)] *= 0.5
    return rows


@pytest.fixture(scope="module")
def drifted():
    rows = shifted()
    panel = Panel(SYMBOLS, NAMES)
    found = panel.process(np.arange(len(rows)) + 1_700_000_000, rows)
    return panel.take_drifts(), found, panel


def test_a_book_that_stays_thin_drifts_is_adopted_and_said(drifted):
    drifts, _, panel = drifted
    depth = [one for one in drifts if one.symbol == SYMBOLS[1] and one.feature == "depth_5_usd" and one.after < one.before]
    assert depth
    first = depth[0]
    assert isinstance(first, Drift)
    assert first.adopted
    assert 0 < first.window_end_ns // 10**9 - 1_700_001_100 < 400
    assert "taken for usual from now on" in first.says
    others = [one for one in drifts if one.symbol != SYMBOLS[1] and one.feature == "depth_5_usd"]
    assert len(others) <= 1
    assert panel.take_drifts() == []


def test_after_the_new_level_is_adopted_the_book_is_usual_again(drifted):
    _, found, _ = drifted
    late = [a for a in found if a.symbol == SYMBOLS[1] and a.family == "depth" and a.window_end_ns > 1_700_001_550 * 10**9]
    assert [a for a in late if a.false_alarm_rate < 1e-4] == []


def test_drifts_are_the_same_however_the_windows_arrive(drifted):
    rows = shifted()
    index = np.arange(len(rows)) + 1_700_000_000
    panel, parts, drifts = Panel(SYMBOLS, NAMES), [], []
    for first in range(0, len(rows), 173):
        parts += panel.process(index[first : first + 173], rows[first : first + 173])
        drifts += panel.take_drifts()
        panel = pickle.loads(pickle.dumps(panel))
    assert drifts == drifted[0]
    assert parts == drifted[1]


def test_the_trees_find_what_is_far_out_and_know_nothing_at_first():
    rng = np.random.default_rng(4)
    trees = SecondOpinion(4, seed=1)
    assert trees.rank(np.zeros(4)) is None
    for _ in range(WINDOW):
        trees.learn(rng.normal(size=(5, 4)))
    usual = np.mean([trees.rank(row) for row in rng.normal(size=(50, 4))])
    assert trees.rank(np.full(4, 6.0)) > 0.99 > 0.8 > usual
    twin = pickle.loads(pickle.dumps(trees))
    row = np.array([0.0, np.nan, 8.0, -3.0])
    assert twin.rank(row) == trees.rank(row)


def test_lines_carry_the_second_opinion_and_it_changes_nothing_else(drifted):
    opinions = [a.second_opinion for a in drifted[1] if a.family != "market"]
    assert any(opinion is not None for opinion in opinions)
    assert all(opinion is None or 0.0 <= opinion <= 1.0 for opinion in opinions)
