"""A second that is a thousand times as busy as the others goes through every role: each event counted, each window once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl

from engine.book import MEDIUM
from engine.contract import EVENT_DTYPE, NO_ACCOUNT, EventKind
from engine.instruments import Instrument
from monitor.config import FilesSpec
from monitor.sources.events import write_events
from tests.recovery.runs import START_NS, Run, window_indices

SECOND = 1_000_000_000
USUAL, BURST, WINDOWS, AT = 200, 200_000, 90, 60


class Given:
    """Events as a source."""

    instruments = (Instrument(symbol="A-PERP", tick_size="0.5", lot_size="0.001", quote="USD"),)
    capabilities = frozenset(("book", "deep_book", "orders", "trades"))
    capacity, accounts, lateness_ns, step_ns = MEDIUM, 0, 0, SECOND
    notes, rejects = (), Counter()

    def __init__(self, events):
        self._events = events

    def batches(self):
        yield from np.array_split(self._events, 20)


def flow():
    """Orders that come and go at random, `USUAL` events a second and one second of `BURST`."""
    rng = np.random.default_rng(5)
    sizes = [BURST if window == AT else USUAL for window in range(WINDOWS)]
    total = sum(sizes)
    events = np.zeros(total, EVENT_DTYPE)
    starts = np.repeat(np.arange(WINDOWS) * SECOND, sizes)
    events["ts_ns"] = START_NS + starts + np.concatenate([np.arange(size) * (SECOND // size) for size in sizes])
    events["seq"] = np.arange(1, total + 1)
    pair = np.arange(total) // 2
    events["kind"] = np.where(np.arange(total) % 2 == 0, EventKind.ADD, EventKind.CANCEL)
    events["order_id"] = pair + 1
    events["side"] = pair % 2
    events["price"] = (
        np.where(events["side"] == 0, 1000, 1002) + np.where(events["side"] == 0, -1, 1) * rng.integers(0, 20, total)[pair]
    )
    events["qty"] = 1 + rng.integers(0, 9, total)[pair]
    events["account"] = events["contra_account"] = NO_ACCOUNT
    return events


def test_a_thousand_times_the_usual_is_counted_to_the_last_event(tmp_path: Path):
    events = flow()
    write_events(Given(events), tmp_path / "burst.parquet")
    with Run(tmp_path, FilesSpec((str(tmp_path / "burst.parquet"),), "events")) as run:
        assert run.wait() == (0, "")
    rows = pl.read_parquet(run.out / "metrics.parquet")
    first = START_NS // SECOND + 1
    assert window_indices(run.out) == list(range(first, first + WINDOWS))
    assert rows["messages"].to_list() == [BURST if window == AT else USUAL for window in range(WINDOWS)]
    assert rows["cancels"].sum() == len(events) // 2
    summary = json.loads((run.out / "summary.json").read_text())
    assert summary["events"] == len(events)
    (verdict,) = [
        found
        for line in (run.out / "verdicts.jsonl").read_text().splitlines()
        if (found := json.loads(line))["rule"] == "message_rate" and found["level"] == "halt"
    ]
    assert verdict["window_end_ns"] == (first + AT) * SECOND
