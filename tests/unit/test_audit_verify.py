"""`audit verify` finds every change of one byte, and says where."""

from __future__ import annotations

import hashlib
import json
import math
import random

import msgspec
import numpy as np
import polars as pl
import pytest

from monitor.guardrails.engine import GuardEngine
from monitor.guardrails.pack import load_core
from monitor.guardrails.verdict import NS_PER_S
from monitor.history.seal import seal
from monitor.history.verify import AuditError, verify
from monitor.metrics.catalogue import METRIC_NAMES

SYMBOLS = ("A-PERP", "B-PERP")
WINDOWS = 30


def write_run(folder, mend=None):
    """A run's files as the exporter leaves them, with random metrics; `mend(rows)` may change what was judged."""
    rng = np.random.default_rng(11)
    values = rng.lognormal(3.0, 2.0, size=(WINDOWS, 2, len(METRIC_NAMES)))
    values[rng.random(values.shape) < 0.1] = math.nan
    ends = (np.arange(WINDOWS, dtype=np.int64) + 1) * NS_PER_S
    guard = GuardEngine(SYMBOLS, METRIC_NAMES, load_core(METRIC_NAMES))
    output = guard.process(ends, values)
    if mend is not None:
        mend(values)
    flat = values.reshape(-1, len(METRIC_NAMES))
    rows = pl.DataFrame({"window_end_ns": np.repeat(ends, 2), "symbol": list(SYMBOLS) * WINDOWS}).with_columns(
        pl.Series(name, flat[:, i], nan_to_null=True) for i, name in enumerate(METRIC_NAMES)
    )
    rows.write_parquet(folder / "metrics.parquet")
    encoder = msgspec.json.Encoder(order="sorted")
    (folder / "verdicts.jsonl").write_bytes(b"".join(encoder.encode(v) + b"\n" for v in output.verdicts))
    (folder / "audit.jsonl").write_bytes(b"".join(entry.record + b"\n" for entry in output.audit))
    write_summary(folder, guard.head)


def write_summary(folder, head):
    names = ("metrics.parquet", "verdicts.jsonl", "audit.jsonl")
    summary = {
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
        "audit": {"head": head[0], "count": head[1]},
        "wall": {"seconds": 1.5},
    }
    summary["seal"] = seal(summary)
    (folder / "summary.json").write_text(json.dumps(summary))


def head_of(folder):
    lines = (folder / "audit.jsonl").read_bytes().splitlines()
    return msgspec.json.decode(lines[-1])["hash"], len(lines)


def test_a_run_left_alone_holds(tmp_path):
    write_run(tmp_path)
    report = verify(tmp_path)
    assert (report.windows, report.records) == (WINDOWS, WINDOWS + 1)
    assert report.verdicts > 0


@pytest.mark.parametrize("name", ["metrics.parquet", "verdicts.jsonl", "audit.jsonl", "summary.json"])
def test_one_changed_byte_anywhere_is_found(tmp_path, name):
    write_run(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    where = random.Random(name).sample(range(len(whole)), 40)
    wall = whole.find(b'"wall"') if name == "summary.json" else len(whole)
    for at in where:
        if wall <= at < whole.find(b"}", wall):
            continue  # the wall clock's figures are not sealed
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(AuditError):
            verify(tmp_path)


def test_resealing_does_not_hide_a_changed_metric(tmp_path):
    def mend(values):
        values[17, 1, METRIC_NAMES.index("messages")] = 12_345.0

    write_run(tmp_path, mend)
    with pytest.raises(AuditError, match="ended at 18000000000"):
        verify(tmp_path)


def test_resealing_does_not_hide_a_removed_record(tmp_path):
    write_run(tmp_path)
    path = tmp_path / "audit.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:10] + lines[11:]))
    write_summary(tmp_path, head_of(tmp_path))
    with pytest.raises(AuditError, match="line 11: record 11 stands where 10 belongs"):
        verify(tmp_path)


def test_resealing_does_not_hide_a_cut_tail(tmp_path):
    write_run(tmp_path)
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    write_summary(tmp_path, head_of(tmp_path))
    with pytest.raises(AuditError, match="line 31"):
        verify(tmp_path)


def test_a_verdict_softened_in_its_own_file_is_found(tmp_path):
    write_run(tmp_path)
    path = tmp_path / "verdicts.jsonl"
    text = path.read_text()
    assert '"level":"breach"' in text
    path.write_text(text.replace('"level":"breach"', '"level":"warn"', 1))
    write_summary(tmp_path, head_of(tmp_path))
    with pytest.raises(AuditError, match=r"verdicts\.jsonl"):
        verify(tmp_path)
