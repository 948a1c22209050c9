"""A drill that somebody asks for in a running venue, whose feed is killed in the drill's midst."""

from __future__ import annotations

import json

import msgspec
import polars as pl

from monitor.bus.asked import Asked
from monitor.bus.keys import Keys
from monitor.config import VenueSpec
from tests.recovery.runs import START_NS, Run

HISTORY = 20
LIVE = 60


def test_a_drill_outlives_its_feed_and_is_said_everywhere(tmp_path):
    with Run(tmp_path, VenueSpec(9, START_NS, HISTORY, LIVE), speed="4x") as run:
        run.until(lambda: run.window("feed") > START_NS // 10**9 + HISTORY + 2)
        run.redis.rpush(Keys("test").drills, msgspec.json.encode(Asked("ab" * 8, "mark-last-apart", 1.0, "XRP-PERP")))
        run.until((run.state / "drills.jsonl").exists)
        begun = run.window("feed")
        run.until(lambda: run.window("feed") > begun + 3)
        run.kill("feed")
        code, said = run.wait()
        assert code == 0, said
    labels = [json.loads(line) for line in (run.out / "labels.jsonl").read_text().splitlines()]
    (label,) = [label for label in labels if label["drill"]]
    assert (label["name"], label["symbol"]) == ("mark-last-apart", "XRP-PERP")
    rows = pl.read_parquet(run.out / "metrics.parquet", columns=["phase", "window_start_ns", "window_end_ns"])
    drill = (rows["window_end_ns"] > label["start_ns"]) & (rows["window_start_ns"] < label["end_ns"])
    assert rows.filter(drill)["phase"].unique().to_list() == ["DRILL"]
    assert "DRILL" not in rows.filter(~drill)["phase"].unique().to_list()
    summary = json.loads((run.out / "summary.json").read_text())
    assert summary["complete"]
    assert summary["wall"]["restarts"]["feed"] == 1
