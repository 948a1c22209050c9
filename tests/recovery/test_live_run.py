"""A live run from end to end: `perpwatch watch` against a server on loopback, with roles killed in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl

from monitor.config import LiveSpec
from tests.live_kit import Exchange
from tests.recovery.runs import Run

SECONDS = 12


def test_a_live_run_survives_kills_and_its_recording_replays_to_the_same_rows(tmp_path):
    with Exchange("binance", per_second=100, faults={900: "drop", 1200: "close"}) as exchange:
        record = tmp_path / "frames"
        spec = LiveSpec("binance-futures", (exchange.symbol,), SECONDS, str(record), exchange.url, exchange.rest_url)
        with Run(tmp_path, spec) as run:
            first = run.until(lambda: run.window("feed"), timeout_s=200)
            run.until(lambda: run.window("feed") >= first + 3)
            for role in ("feed", "guard", "score"):
                run.kill(role)
            time.sleep(1.0)
            (capture,) = [pid for pid in run.pids() if "monitor.roles.capture" in Path(f"/proc/{pid}/cmdline").read_text()]
            os.kill(capture, signal.SIGKILL)
            assert run.wait() == (0, "")
            summary = run.result()["summary"]
    assert run.wall["restarts"]["capture"] == 1
    assert summary["complete"]
    assert summary["gaps"] >= 1  # the recorder that went; a slow machine may not come to the market's own faults
    said = " ".join(summary["notes"])
    assert "the recorder began again" in said
    assert "connection lost" in said
    rows = pl.read_parquet(run.out / "metrics.parquet")
    assert set(rows["phase"]) == {"LIVE"}
    assert rows["window_index"].to_list() == list(range(rows["window_index"][0], rows["window_index"][-1] + 1))
    assert SECONDS - 3 <= rows.height <= SECONDS + 2
    assert rows["feed_lag_ms"].drop_nulls().is_between(-1000, 1000).all()
    assert rows["messages"].sum() > 500

    again = tmp_path / "again"
    paths = [str(path) for path in sorted(record.glob("*.frames"))]
    subprocess.run(
        [Path(sys.executable).parent / "perpwatch", "replay", *paths, "--out", str(again)], check=True, capture_output=True
    )
    replayed = pl.read_parquet(again / "metrics.parquet")
    assert replayed.drop("phase").equals(rows.drop("phase"))
    for name in ("verdicts.jsonl", "anomalies.jsonl"):
        live, later = ((folder / name).read_text().replace('"REPLAY"', '"LIVE"') for folder in (run.out, again))
        assert live == later
    assert json.loads((again / "summary.json").read_text())["events"] == summary["events"]


def test_a_symbol_that_the_venue_does_not_list_ends_the_run_with_one_line(tmp_path):
    with Exchange("bybit") as exchange:
        spec = LiveSpec("bybit", ("DOGEUSDT",), 5, None, exchange.url, exchange.rest_url)
        with Run(tmp_path, spec) as run:
            code, said = run.wait(200)
    assert code == 2
    assert "lists no 'DOGEUSDT'" in said
    assert len(said.splitlines()) == 1
