"""Whole runs, from the command to the files it leaves: the output contract, the labelled truth, and the same bytes again."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from monitor.config import VenueSpec
from monitor.history.verify import verify
from monitor.metrics.catalogue import METRIC_NAMES
from tests.recovery.runs import START_NS, Run
from tests.shared_data import shared_data
from tests.whole.command import perpwatch

SECOND = 1_000_000_000
AMZN = ("1_l3", "lobster", "LOBSTER_SampleFile_AMZN_2012-06-21_5.zip")
FRAMES = ("2_perp_l2", "binance_raw_hftbacktest")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_contract(out):
    """What every run must leave, checked without the code that wrote it."""
    anomalies, summary = lines(out / "anomalies.jsonl"), json.loads((out / "summary.json").read_text())
    assert summary["anomalies"] == len(anomalies)
    assert summary["verdicts"] == len(lines(out / "verdicts.jsonl"))
    assert len({(a["window_end_ns"], a["symbol"], a["account"], a["family"]) for a in anomalies}) == len(anomalies)
    order = [(a["false_alarm_rate"], -a["score"]) for a in anomalies]
    assert order == sorted(order)
    for a in anomalies:
        parts = [c["contribution"] for c in a["contributions"]]
        assert parts == sorted(parts, reverse=True)
        assert math.isclose(math.fsum(parts), a["score"], rel_tol=1e-9)
        assert 0 <= a["false_alarm_rate"] <= 0.01
    rows = pl.read_parquet(out / "metrics.parquet")
    assert set(METRIC_NAMES) <= set(rows.columns)
    assert summary["windows"] == rows["window_end_ns"].n_unique()
    events = {event["event"]: event for event in lines(out / "events.jsonl")}
    assert (summary["anomaly_events"], summary["alerts"]) == (len(events), sum(event["alert"] for event in events.values()))
    said = Counter((a["event"], a["family"], a["symbol"], a["account"]) for a in anomalies)
    told = {
        (name, member["family"], member["symbol"], member["account"]): member["lines"]
        for name, event in events.items()
        for member in event["members"]
    }
    assert told == said, "every line is one of its event, and counted there"
    checker = Path(__file__).resolve().parents[3] / "shared" / "check_run.py"
    if checker.exists():
        done = subprocess.run([sys.executable, checker, out], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    return anomalies, summary


def same_results(one, other):
    """The bytes of both folders are equal but for what the wall clock decides."""
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    for name in names:
        if name != "summary.json":
            assert (one / name).read_bytes() == (other / name).read_bytes(), name
    first, second = (json.loads((folder / "summary.json").read_text()) for folder in (one, other))
    first.pop("wall"), second.pop("wall")
    assert first == second


@pytest.fixture(scope="module")
def amzn(tmp_path_factory):
    out = tmp_path_factory.mktemp("amzn")
    done = perpwatch("replay", shared_data(*AMZN), "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def test_the_known_burst_is_among_the_first_ten(amzn):
    anomalies, _ = check_contract(amzn)
    cancels = [a for a in anomalies if a["family"] == "cancels"][:10]
    burst = datetime(2012, 6, 21, 15, 4, 19, tzinfo=ZoneInfo("America/New_York")).timestamp() * SECOND
    found = [a for a in cancels if a["window_start_ns"] <= burst < a["window_end_ns"]]
    assert found
    assert found[0]["window_ms"] == 1000
    values = {c["feature"]: c["value"] for c in found[0]["contributions"]}
    assert values["cancels"] == 172
    for contribution in found[0]["contributions"]:
        if contribution["feature"] == "cancels":
            assert contribution["expected_high"] < 172


def test_a_recording_without_prices_says_unknown_and_missing(amzn):
    rows = pl.read_parquet(amzn / "metrics.parquet")
    assert rows["mark_index_bps"].null_count() == len(rows)
    assert rows["leverage_p90"].null_count() == len(rows)
    levels = {v["level"] for v in lines(amzn / "verdicts.jsonl") if v["rule"] == "mark_index_divergence"}
    assert levels == {"unknown"}


def test_its_audit_holds_and_one_changed_byte_does_not(amzn, tmp_path):
    done = perpwatch("audit", "verify", amzn)
    assert done.returncode == 0, done.stderr
    for path in amzn.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    audit = bytearray((tmp_path / "audit.jsonl").read_bytes())
    audit[len(audit) // 2] ^= 1
    (tmp_path / "audit.jsonl").write_bytes(audit)
    done = perpwatch("audit", "verify", tmp_path)
    assert done.returncode == 1
    assert "AUDIT FAILED" in done.stderr


def test_two_replays_leave_the_same_bytes(amzn, tmp_path):
    done = perpwatch("replay", shared_data(*AMZN), "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    same_results(amzn, tmp_path)


def test_two_symbols_of_frames_in_one_run_twice(tmp_path):
    files = [shared_data(*FRAMES, f"usdm_{name}_20240719.gz") for name in ("btcusdt", "ethusdt")]
    for name in ("one", "two"):
        done = perpwatch("replay", *files, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
    _, summary = check_contract(tmp_path / "one")
    assert summary["late"] == 0
    rows = pl.read_parquet(tmp_path / "one" / "metrics.parquet")
    assert rows.group_by("symbol").len().sort("symbol").rows() == [
        ("BTCUSDT", summary["windows"]),
        ("ETHUSDT", summary["windows"]),
    ]
    assert rows["lifetime_p50_ms"].null_count() == len(rows)
    verify(tmp_path / "one")
    same_results(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("seed", [20_26, pytest.param(11_22, marks=pytest.mark.slow)])
def test_each_injected_family_is_first_at_its_symbol(tmp_path, seed):
    """The demo's own run, at full speed instead of on the clock."""
    with Run(tmp_path, VenueSpec(seed=seed, start_ns=START_NS, history_seconds=1800, duration_seconds=60)) as run:
        code, said = run.wait(300)
        assert code == 0, said
    anomalies, summary = check_contract(run.out)
    assert summary["windows"] == 1860
    labels = lines(run.out / "labels.jsonl")
    assert {label["family"] for label in labels} == {"cancels", "leverage", "depth"}
    for label in labels:
        first = next(a for a in anomalies if a["family"] == label["family"])
        assert first["symbol"] == label["symbol"], label
        assert label["start_ns"] <= first["window_end_ns"] <= label["end_ns"] + 10 * SECOND, label
        assert first["phase"] == "LIVE"
    verify(run.out)


@pytest.mark.slow
def test_the_demo_on_the_clock(tmp_path):
    done = perpwatch("demo", "--headless", "--duration", 60, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    check_contract(tmp_path)
