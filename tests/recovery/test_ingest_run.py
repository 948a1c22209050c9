"""A venue sends its events to a run of its own while processes are killed: the results are those of a replay."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from engine.contract import SCHEMA_VERSION
from engine.simulation import SimulationConfig
from monitor.config import FilesSpec, IngestSpec
from monitor.ingest.client import TOKEN_VARIABLE, Client
from monitor.sources import VENUE_CAPABILITIES
from monitor.sources.events import write_events
from monitor.sources.venue import VenueSource
from tests.recovery.runs import START_NS, Run

TOKEN = "0123456789abcdef0123"
SECONDS = 90


def test_sent_in_batches_with_kills_in_between_the_results_are_those_of_a_replay(tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    config = SimulationConfig(seed=6, start_ns=START_NS, history_s=SECONDS)
    source = VenueSource(config, tmp_path / "journal", 1, START_NS + SECONDS * 10**9)
    write_events(source, tmp_path / "events.parquet")
    with Run(tmp_path / "replay", FilesSpec((str(tmp_path / "events.parquet"),), "events")) as run:
        assert run.wait(200) == (0, "")
        expected = run.result()

    description = tmp_path / "feed.toml"
    description.write_text(described(source))
    events = np.concatenate(list(VenueSource(config, tmp_path / "again", 1, source.end_ns).batches()))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Run(tmp_path / "sent", IngestSpec(str(description), port=port)) as run:
        run.until(lambda: listening(port), timeout_s=200)
        failed = []

        def send():
            try:
                with Client(f"http://127.0.0.1:{port}", TOKEN) as client:
                    for part in np.array_split(events, 60):
                        client.send(part)
                        time.sleep(0.12)
                    client.end()
            except Exception as error:
                failed.append(error)

        sending = threading.Thread(target=send)
        sending.start()
        for name in ("feed", "ingest", "guard", "ingest", "score"):
            time.sleep(1.2)
            pids = [pid for pid in run.pids() if f"monitor.roles.{name}" in Path(f"/proc/{pid}/cmdline").read_text()]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        sending.join(60)
        assert not failed
        assert run.wait(60) == (0, "")
        found = run.result()
    assert run.wall["restarts"]["ingest"] == 2
    rows, replayed = (pl.read_parquet(tmp_path / name / "out" / "metrics.parquet") for name in ("sent", "replay"))
    # What silence added (the machine was slow, a process was away) closes windows sooner, and changes nothing in them.
    assert rows.drop("phase").equals(replayed.drop("phase"))
    for name in ("verdicts.jsonl", "anomalies.jsonl"):
        assert found[name].replace(b'"LIVE"', b'"REPLAY"') == expected[name]


def described(source):
    head = f'contract = {SCHEMA_VERSION}\naccounts = {source.accounts}\nbooks = "medium"\n'
    head += f"capabilities = {sorted(VENUE_CAPABILITIES)}\n"
    for instrument in source.instruments:
        fields = msgspec.to_builtins(instrument)
        head += "[[instruments]]\n" + "".join(f"{name} = {value!r}\n" for name, value in fields.items())
    return head


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
