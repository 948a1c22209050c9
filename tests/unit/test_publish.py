"""Closed windows into the stream: each once, in blobs of one phase, never far ahead of the readers."""

from __future__ import annotations

import numpy as np
import pytest

from engine.instruments import load_pack
from monitor.bus.meta import SCHEMA_VERSION, RunMeta
from monitor.bus.position import Position
from monitor.bus.server import start_server
from monitor.config import FilesSpec, RunConfig
from monitor.metrics.accounts import new_rows
from monitor.metrics.actors import new_actors
from monitor.metrics.catalogue import METRIC_NAMES
from monitor.metrics.rows import ROW_BYTES, decode_rows
from monitor.metrics.windows import Block
from monitor.roles import publish
from monitor.roles.publish import Publisher
from monitor.roles.runtime import Role

S = 1_000_000_000
LIVE_FROM = 100


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with start_server(tmp_path_factory.mktemp("server"), kind="embedded") as server:
        yield server


@pytest.fixture
def start(server, tmp_path):
    """Starts a feed's publisher, as often as wanted: as after a crash."""
    config = RunConfig("r", FilesSpec(paths=("x",)), str(tmp_path), redis_url=server.url, snapshot_key="00" * 32)
    roles = []

    def start(readers=(), live_from=LIVE_FROM):
        role = Role("feed", config)
        if not roles:
            role.redis.flushall()
            role = Role("feed", config)
        roles.append(role)
        instruments = (load_pack("core").instrument("BTC-PERP"),)
        live_from_ns = None if live_from is None else live_from * S
        meta = RunMeta(SCHEMA_VERSION, "venue", instruments, (), 0, S, live_from_ns, None)
        return role, Publisher(role, meta, readers, lambda event_ns: event_ns + 1, lambda: {"events": 1}, lambda end_ns: False)

    yield start
    for role in roles:
        role.redis.close()


def block(first, last):
    index = np.arange(first, last + 1)
    values = np.broadcast_to(index[:, None, None].astype(float), (len(index), 1, len(METRIC_NAMES)))
    return Block(S, index, index * S, np.ascontiguousarray(values), new_actors(len(index), 1), new_rows(0, 0), None)


def blobs(role):
    """[(first, last, phase)] of every blob, after checking that they follow each other and hold what they say."""
    found, prev = [], "0-0"
    for id_, fields in role.redis.xrange(role.keys.metrics):
        assert fields[b"prev"].decode() == prev
        prev = id_.decode()
        if b"end" in fields:
            continue
        first, last = int(fields[b"first"]), int(fields[b"last"])
        rows = decode_rows(fields[b"rows"])
        assert rows["window_index"].to_list() == list(range(first, last + 1)) == rows["messages"].to_list()
        assert set(rows["phase"]) == {fields[b"phase"].decode()}
        assert prev == f"{last}-0"
        found.append((first, last, fields[b"phase"].decode()))
    return found


def test_blobs_are_cut_at_their_size_and_where_the_phase_changes(start, monkeypatch):
    monkeypatch.setattr(publish, "BLOB_WINDOWS", 40)
    role, publisher = start()
    publisher.add(block(1, 30))
    publisher.add(block(31, 125))
    publisher.add(block(126, 130))
    publisher.end({"complete": True})
    assert blobs(role) == [(1, 40, "HISTORY"), (41, 80, "HISTORY"), (81, 100, "HISTORY"), (101, 130, "LIVE")]
    assert role.committer.position == Position(130).end()


def test_a_recording_is_a_replay(start):
    role, publisher = start(live_from=None)
    publisher.add(block(1, 3))
    publisher.flush()
    publisher.flush()
    assert blobs(role) == [(1, 3, "REPLAY")]


def test_blobs_stay_within_their_bytes(start, monkeypatch):
    monkeypatch.setattr(publish, "BLOB_BYTES", ROW_BYTES * 10)
    role, publisher = start(live_from=None)
    publisher.add(block(1, 25))
    publisher.flush()
    assert [last - first + 1 for first, last, _ in blobs(role)] == [10, 10, 5]


def test_what_was_published_before_a_crash_is_not_published_again(start):
    role, publisher = start(live_from=None)
    publisher.add(block(1, 20))
    publisher.flush()
    publisher.add(block(21, 30))  # closed, never published: the process dies here
    role, publisher = start(live_from=None)
    publisher.add(block(1, 15))
    publisher.add(block(16, 28))
    publisher.add(block(29, 35))
    publisher.end({})
    assert blobs(role) == [(1, 20, "REPLAY"), (21, 35, "REPLAY")]


def test_nothing_is_published_far_ahead_of_the_slowest_reader(start, monkeypatch):
    monkeypatch.setattr(publish, "AHEAD_BYTES", 1)
    role, publisher = start(readers=("guard", "score"), live_from=None)
    role.redis.hset(role.keys.role("guard"), "position", "1000-0")
    waits = []

    def sleep(_seconds):
        waits.append(len(blobs(role)))
        if len(waits) == 5:
            role.redis.hset(role.keys.role("score"), "position", "1-0")

    monkeypatch.setattr(publish.time, "sleep", sleep)
    for window in (1, 2):
        publisher.add(block(window, window))
        publisher.flush()
    assert waits == [1] * 5, "the second blob went out before the slower reader was done with the first"
    assert [last for _, last, _ in blobs(role)] == [1, 2]
