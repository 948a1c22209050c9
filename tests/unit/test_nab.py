"""The benchmark's scoring on cases made by hand, and its order of magnitude on a published detector."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from models.nab import PROFILES, Series, probation, score, sigmoid
from monitor.cli import main
from monitor.scoreboard.nab import NabError, anomaly_scores, read
from tests.shared_data import shared_data

STANDARD = PROFILES["standard"]
ROWS = 1000
WINDOW = (500, 599)


def said(*rows):
    scores = np.zeros(ROWS)
    scores[list(rows)] = 1.0
    return Series(scores, (WINDOW,))


def test_probation_is_15_percent_and_750_rows_at_most():
    assert [probation(rows) for rows in (100, 1000, 5000, 20_000)] == [15, 150, 750, 750]


def test_the_sigmoid_is_one_at_the_start_of_a_window_and_minus_one_far_behind_it():
    assert sigmoid(-1.0) == pytest.approx(0.98661, abs=1e-5)
    assert sigmoid(0.0) == 0.0
    assert sigmoid(1.0) == pytest.approx(-0.98661, abs=1e-5)
    assert sigmoid(3.1) == -1.0


def test_at_the_start_of_its_window_a_detection_is_perfect_and_later_ones_add_nothing():
    assert score([said(500)], STANDARD).score == pytest.approx(100.0)
    assert score([said(500, 550, 599)], STANDARD) == score([said(500)], STANDARD)
    middle = score([said(550)], STANDARD)
    assert middle.score == pytest.approx(100 * (1 + sigmoid(-0.5) / sigmoid(-1.0)) / 2)
    assert (middle.found, middle.windows, middle.false_detections) == (1, 1, 0)


def test_false_detections_cost_their_weight_and_little_shortly_after_a_window():
    early = score([said(300, 500)], STANDARD)
    assert early.score == pytest.approx(100 * (2 - 0.11) / 2)
    near = score([said(500, 601)], STANDARD)
    assert near.score == pytest.approx(100 * (2 + 0.11 * sigmoid(2 / 99)) / 2)
    assert score([said(300, 500)], PROFILES["reward_low_FP_rate"]).score == pytest.approx(100 * (2 - 0.22) / 2)


def test_probation_counts_for_nothing():
    assert score([said(10, 149, 500)], STANDARD).score == pytest.approx(100.0)


def test_saying_nothing_is_the_best_of_what_is_worse_than_nothing():
    nothing = score([said(*range(150, 400))], STANDARD)
    assert (nothing.score, nothing.found, nothing.threshold) == (0.0, 0, np.inf)


def test_one_threshold_for_all_series():
    loud, quiet = said(500), said(500)
    quiet = Series(0.5 * quiet.scores, quiet.windows)
    quiet.scores[200:230] = 0.6
    best = score([loud, quiet], STANDARD)
    assert best.threshold == 1.0
    assert best.score == pytest.approx(50.0)


def test_without_a_window_there_is_no_score():
    with pytest.raises(ValueError, match="no series has a labelled window"):
        score([Series(np.zeros(10), ())], STANDARD)


@pytest.fixture
def folder(tmp_path):
    """A small benchmark: a flat noisy series with a burst, plain and gzip."""
    rng = np.random.default_rng(1)
    (tmp_path / "labels").mkdir()
    (tmp_path / "data" / "made").mkdir(parents=True)
    named = {}
    for name, pack in (("a.csv", False), ("b.csv", True)):
        values = rng.normal(10.0, 1.0, ROWS)
        values[700:720] += 9.0
        stamps = [f"2020-01-{1 + n // 288:02} {n % 288 // 12:02}:{n % 12 * 5:02}:00" for n in range(ROWS)]
        text = "timestamp,value\n" + "".join(f"{stamp},{value}\n" for stamp, value in zip(stamps, values, strict=True))
        path = tmp_path / "data" / "made" / (name + (".gz" if pack else ""))
        path.write_bytes(gzip.compress(text.encode()) if pack else text.encode())
        named[f"made/{name}"] = [[stamps[690] + ".000000", stamps[740] + ".000000"]]
    named["elsewhere/c.csv"] = []
    (tmp_path / "labels" / "combined_windows.json").write_text(json.dumps(named))
    return tmp_path


def test_the_command_scores_a_folder_and_leaves_result_files(folder, tmp_path):
    done = CliRunner().invoke(main, ["evaluate", "nab", str(folder), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "2 series" in done.output
    assert "2 of 2 windows found" in done.output
    with (tmp_path / "out/results/perpwatch/made/perpwatch_a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == ROWS
    assert [n for n, row in enumerate(rows) if row["label"] == "1"] == list(range(690, 741))
    assert max(range(ROWS), key=lambda n: float(rows[n]["anomaly_score"])) in range(698, 722)


def test_an_alarm_that_stays_on_is_one_detection():
    rng = np.random.default_rng(2)
    values = rng.normal(size=600)
    values[400:440] += 30.0
    scores = anomaly_scores(np.arange(600.0), values)
    assert 1 <= np.count_nonzero(scores[400:440] > 0.5) <= 3


@pytest.mark.parametrize(("spoil", "says"), [
    (lambda f: (f / "labels/combined_windows.json").unlink(), "give a folder with data/ and labels/"),
    (lambda f: (f / "labels/combined_windows.json").write_text("["), "is no JSON"),
    (lambda f: (f / "data/made/a.csv").write_text("time,value\n1,2\n"), "no columns timestamp and value"),
    (lambda f: (f / "data/made/a.csv").write_text("timestamp,value\n2020-01-01 00:00:00,x\n"), "line 2"),
    (lambda f: (f / "data/made/a.csv").write_text("timestamp,value\n2020-01-02,1\n2020-01-01,1\n"), "the time goes back"),
    (lambda f: (f / "data/made/b.csv.gz").write_bytes(b"no gzip"), "cannot be read"),
])  # fmt: skip
def test_a_folder_that_cannot_be_used_says_why(folder, spoil, says):
    spoil(folder)
    with pytest.raises(NabError, match=says):
        read(folder)


def test_a_published_detector_has_about_its_published_score():
    """The windowed Gaussian (39.6 on the whole benchmark, of which this is a part): tail probability of the last value under
    a normal law of the window before."""
    corpus = read(shared_data("5_labelled", "NAB"))
    series = []
    for name, values in corpus.values.items():
        scores = np.zeros(len(values))
        for first in range(0, len(values), 150):
            # Windows of 6,400 rows, moved on by 150: here all that was before, for no series is longer.
            window = values[:first] if first else values[:150]
            scores[first : first + 150] = 1 - stats.norm.sf(
                np.abs(values[first : first + 150] - window.mean()) / (window.std() or 1e-6)
            )
        series.append(Series(scores, corpus.windows[name]))
    assert 20.0 < score(series, STANDARD).score < 60.0
