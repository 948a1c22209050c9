"""A drill by the command line, and the same one in memory."""

from __future__ import annotations

import json
import subprocess
import sys

import msgspec
import numpy as np
import polars as pl
import pytest

from engine.simulation.scenarios import SCENARIOS
from monitor.drills.run import drills
from monitor.metrics.catalogue import METRIC_NAMES

PERPWATCH = [sys.executable, "-c", "from monitor.cli import main; main()"]


def perpwatch(*arguments, code=0):
    done = subprocess.run([*PERPWATCH, *arguments], check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == code, done.stderr
    return done


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_list_names_every_scenario():
    said = perpwatch("drill", "list").stdout
    assert all(name in said for name in SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-thing"], "is no scenario"),
        (["cascade", "--strength", "99"], "99.0 is not in the range"),
        (["cascade", "--symbol", "BTC-PERP"], "--symbol is for --live"),
        (["cascade", "--live", "--out", "x"], "leave --out away"),
        (["cascade", "--live", "--port", "1"], "start perpwatch demo"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_line(arguments, said):
    assert said in perpwatch("drill", "run", *arguments, code=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quote-stuffing", "engine-gap"])
def test_in_memory_and_through_the_whole_path_a_drill_is_the_same(tmp_path, name):
    perpwatch("drill", "run", name, "--seed", "6", "--out", str(tmp_path / "one"))
    perpwatch("drill", "run", name, "--seed", "6", "--out", str(tmp_path / "two"))
    for file in ("metrics.parquet", "anomalies.jsonl", "verdicts.jsonl", "audit.jsonl", "labels.jsonl", "report.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    (_, found) = drills((name,), 6)
    rows = pl.read_parquet(tmp_path / "one" / "metrics.parquet").sort("window_end_ns", "symbol", maintain_order=True)
    values = rows.select(METRIC_NAMES).to_numpy().reshape(len(found.window_end_ns), -1, len(METRIC_NAMES))
    order = np.argsort(found.symbols)
    assert np.array_equal(values, found.values[:, order], equal_nan=True)
    assert lines(tmp_path / "one" / "labels.jsonl") == json.loads(msgspec.json.encode(found.labels))
    in_memory = [line | {"phase": ""} for line in json.loads(msgspec.json.encode(found.anomalies))]
    assert [line | {"phase": ""} for line in lines(tmp_path / "one" / "anomalies.jsonl")] == in_memory
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    assert report["labels"][0]["name"] == name
    phases = {line["phase"] for line in lines(tmp_path / "one" / "anomalies.jsonl")}
    assert "DRILL" in phases


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_runs_by_name(tmp_path, name):
    perpwatch("drill", "run", name, "--seed", "2", "--out", str(tmp_path))
    labels = lines(tmp_path / "labels.jsonl")
    assert {label["name"] for label in labels} == {name}
    assert all(label["drill"] and label["benign"] == SCENARIOS[name].benign for label in labels)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["scenario"], report["seed"], len(report["labels"])) == (name, 2, len(labels))
