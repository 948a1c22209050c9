"""What a run leaves: the same bytes however it was cut into blobs, whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from monitor.bus.commit import Committer, Output
from monitor.bus.keys import Keys
from monitor.bus.position import Position
from monitor.bus.streams import StreamError
from monitor.history.export import Exporter, ExportError, prepare_folder
from monitor.history.seal import seal
from monitor.metrics.accounts import new_rows
from monitor.metrics.actors import new_actors
from monitor.metrics.catalogue import METRIC_NAMES
from monitor.metrics.rows import encode_block
from monitor.metrics.windows import Block
from tests.shared_data import shared_data

KEYS = Keys("test")
S = 1_000_000_000
SYMBOLS = ("A", "B")
WINDOWS = 40


def line(window, symbol, rate, score):
    return {
        "window_start_ns": (window - 1) * S, "window_end_ns": window * S, "window_ms": 1000, "symbol": symbol, "account": None,
        "family": "cancels", "layer": "execution", "event": f"cancels-{symbol}-{window}", "score": score, "rarity": 3.0,
        "false_alarm_rate": rate, "contributions": [
            {"feature": "f", "value": 1.0, "expected_low": None, "expected_high": 2.0, "unit": "count", "contribution": score}
        ],
    }  # fmt: skip


def events_of(lines):
    """An event a symbol, which every blob tells anew; that of B is rarer."""
    return [
        {
            "event": f"cancels-{one['symbol']}",
            "false_alarm_rate": {"A": 0.1, "B": 0.01}[one["symbol"]],
            "alert": one["symbol"] == "B",
            "last_ns": one["window_end_ns"],
        }
        for one in lines
    ]


def run_through(redis, sizes, drain, phase="LIVE", labels=None):
    """A run of WINDOWS windows in blobs of these sizes, as the roles would leave it. Calls `drain` after every blob."""
    redis.flushall()
    feed, guard, rank = (Committer.take(redis, KEYS, name) for name in ("feed", "guard", "rank"))
    rng = np.random.default_rng(3)
    values = rng.random((WINDOWS, len(SYMBOLS), len(METRIC_NAMES)))
    values[rng.random(values.shape) < 0.1] = np.nan
    start = 0
    for size in sizes:
        stop = min(start + size, WINDOWS)
        if stop == start:
            break
        index = np.arange(start + 1, stop + 1)
        at = Position(stop)
        block = Block(S, index, index * S, values[start:stop], new_actors(stop - start, len(SYMBOLS)), new_rows(0, 0), None)
        counters = json.dumps({"events": stop * 10, "windows": stop, "late": 1, "gaps": 0, "rejects": {}})
        rows = encode_block([block], SYMBOLS, phase)
        walls = {"closed_wall_ns": stop * S}
        fields = {"first": start + 1, "last": stop, "phase": phase, "counters": counters, "rows": rows, **walls}
        feed.commit(at, [Output(KEYS.metrics, at, {"prev": str(feed.position), **fields})])
        # Rates fall with every window, so the file's order is not that of time; two lines tie in all but their symbol.
        lines = [line(int(w), s, 0.01 / int(w), 5.0) for w in index if w % 3 == 0 for s in reversed(SYMBOLS)]
        verdicts = [{"rule": "r", "window_end_ns": int(w) * S} for w in index if w % 10 == 0]
        audit = [Output(KEYS.audit, Position(int(w)), {"record": json.dumps({"n": int(w), "hash": f"h{w}"})}) for w in index]
        judged = Output(KEYS.verdicts, at, {"prev": str(guard.position), "items": json.dumps(verdicts)})
        guard.commit(at, [judged, *audit])
        done = {"prev": str(rank.position), "items": json.dumps(lines), "events": json.dumps(events_of(lines))}
        done |= {"done_wall_ns": stop * S + 5_000_000, **walls}
        rank.commit(at, [Output(KEYS.ranked, at, done)])
        drain()
        start = stop
    end = feed.position.end()
    counters = json.dumps({"events": WINDOWS * 10, "windows": WINDOWS, "late": 1, "gaps": 0, "rejects": {}})
    closing = json.dumps({"complete": True, "labels": labels, "notes": ["a note"]})
    for committer, stream in ((feed, KEYS.metrics), (guard, KEYS.verdicts), (rank, KEYS.ranked)):
        fields = {"prev": str(committer.position), "end": 1, "counters": counters, "closing": closing}
        committer.commit(end, [Output(stream, end, fields)])


def export(redis, folder, sizes, **more):
    folder.mkdir(exist_ok=True, parents=True)
    exporter = Exporter(redis, KEYS, folder, folder.with_suffix(".spool"))
    run_through(redis, sizes, exporter.drain, **more)
    while exporter.drain():
        pass
    assert exporter.done
    return exporter.finish({"config_sha256": "c"}, {"seconds": 2.0, "run_id": "x"})


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_files_are_the_same_however_the_run_was_cut_into_blobs(redis, tmp_path):
    export(redis, tmp_path / "one", [WINDOWS], labels=[{"family": "cancels"}])
    export(redis, tmp_path / "many", [1, 7, 3, 20, 9], labels=[{"family": "cancels"}])
    one, many = files(tmp_path / "one"), files(tmp_path / "many")
    assert set(one) == {
        "metrics.parquet", "metrics_10s.parquet", "metrics_60s.parquet",
        "anomalies.jsonl", "events.jsonl", "verdicts.jsonl", "audit.jsonl", "labels.jsonl", "summary.json"
    }  # fmt: skip
    summaries = [json.loads(found.pop("summary.json")) for found in (one, many)]
    assert one == many
    events = [json.loads(event) for event in one["events.jsonl"].splitlines()]
    assert [(event["event"], event["last_ns"]) for event in events] == [("cancels-B", 39 * S), ("cancels-A", 39 * S)]
    for summary in summaries:
        assert (summary["anomaly_events"], summary["alerts"]) == (2, 1)
        assert summary.pop("wall")["events_per_second"] == 200.0
    assert summaries[0] == summaries[1]


def test_the_summary_counts_and_seals_what_is_there(redis, tmp_path):
    summary = export(redis, tmp_path / "out", [9] * 5)
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert written == summary
    assert written["seal"] == seal(written)
    counts = {name: written[name] for name in ("events", "windows", "late", "anomalies", "verdicts", "audit", "complete")}
    assert counts.pop("audit") == {"head": "h40", "count": 40}
    assert counts == {"events": 400, "windows": 40, "late": 1, "anomalies": 26, "verdicts": 4, "complete": True}
    assert written["wall"]["lag_ms"] == {"windows": 40, "p50": 5.0, "p90": 5.0, "p99": 5.0, "max": 5.0}
    assert "labels.jsonl" not in files(tmp_path / "out")
    rows = pl.read_parquet(tmp_path / "out" / "metrics.parquet")
    assert rows.height == WINDOWS * len(SYMBOLS)
    assert rows[METRIC_NAMES[0]].null_count() > 0


def test_anomalies_are_in_their_order_and_the_contract_holds(redis, tmp_path):
    export(redis, tmp_path / "out", [5] * 8)
    lines = [json.loads(text) for text in (tmp_path / "out" / "anomalies.jsonl").read_text().splitlines()]
    assert [(one["window_end_ns"] // S, one["symbol"]) for one in lines[:4]] == [(39, "A"), (39, "B"), (36, "A"), (36, "B")]
    check = shared_data().parent / "check_run.py"
    said = subprocess.run([sys.executable, str(check), str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout


def test_a_later_run_replaces_our_files_and_no_others(redis, tmp_path):
    folder = tmp_path / "out"
    export(redis, folder, [WINDOWS], labels=[])
    (folder / "mine.txt").write_text("keep")
    prepare_folder(folder)
    assert list(files(folder)) == ["mine.txt"], "an earlier run's results could be taken for this run's"
    export(redis, folder, [WINDOWS])
    assert files(folder)["mine.txt"] == b"keep"
    assert not [name for name in files(folder) if name.endswith(".tmp")]


def test_a_run_stopped_early_says_so(redis, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    exporter = Exporter(redis, KEYS, folder, tmp_path / "spool")
    run_through(redis, [WINDOWS], lambda: None)
    redis.xdel(KEYS.ranked, f"{WINDOWS}-1")
    while exporter.drain():
        pass
    assert not exporter.done
    assert exporter.finish({}, {"seconds": 1.0})["complete"] is False


def test_an_entry_that_was_trimmed_before_it_was_spooled_is_an_error(redis, tmp_path):
    exporter = Exporter(redis, KEYS, tmp_path, tmp_path / "spool")
    run_through(redis, [10] * 4, lambda: None)
    redis.xdel(KEYS.metrics, "20-0")
    with pytest.raises(StreamError, match="entry 30-0 follows 20-0, exported was 10-0"):
        exporter.drain()


def test_results_that_cannot_be_written_leave_no_summary(redis, tmp_path):
    folder = tmp_path / "out"
    prepare_folder(folder)
    (folder / "anomalies.jsonl").mkdir()
    with pytest.raises(ExportError, match=r"cannot be written .*choose another --out"):
        export(redis, folder, [WINDOWS])
    assert "summary.json" not in {path.name for path in Path(folder).iterdir()}


def test_a_folder_is_made_with_its_parents(tmp_path):
    prepare_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "f").write_text("")
    with pytest.raises(ExportError, match="f: cannot be written"):
        prepare_folder(tmp_path / "f")
