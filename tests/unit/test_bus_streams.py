"""Readers of a stream: each entry once, in order, whatever happens to a reply."""

from __future__ import annotations

import pytest

from monitor.bus.commit import Ack, Committer, Output
from monitor.bus.keys import Keys
from monitor.bus.position import START, Position
from monitor.bus.snapshots import Signer, Snapshot, SnapshotError, from_redis, to_sets
from monitor.bus.streams import CONSUMER, OrderedReader, StreamError, read_after, read_between

KEYS = Keys("test")
SECRET = "ab" * 32


def fill(redis, windows):
    feed = Committer.take(redis, KEYS, "feed")
    for window in windows:
        at = Position(window)
        feed.commit(at, [Output(KEYS.metrics, at, {"prev": str(feed.position), "rows": f"{window}"})])
    return feed


def read_all(reader):
    found = []
    while entries := reader.read(1):
        found += [entry.position.window for entry in entries]
    return found


def test_entries_come_once_and_in_order(redis):
    fill(redis, range(1, 30))
    assert read_all(OrderedReader(redis, KEYS.metrics, "score", START)) == list(range(1, 30))


def test_two_groups_each_get_everything(redis):
    readers = [OrderedReader(redis, KEYS.metrics, group, START) for group in ("guard", "score")]
    fill(redis, [3, 4])
    assert [read_all(reader) for reader in readers] == [[3, 4], [3, 4]]


def test_what_was_read_but_not_committed_comes_again_after_a_restart(redis):
    fill(redis, range(1, 6))
    score = Committer.take(redis, KEYS, "score")
    first = OrderedReader(redis, KEYS.metrics, "score", START)
    assert first.read(1)
    score.commit(Position(1), acks=[Ack(KEYS.metrics, "score", Position(1))])
    score.commit(Position(2), acks=[Ack(KEYS.metrics, "score", Position(2))])
    assert read_all(OrderedReader(redis, KEYS.metrics, "score", score.position)) == [3, 4, 5]


def test_a_read_whose_reply_was_lost_loses_nothing(redis):
    fill(redis, range(1, 4))
    reader = OrderedReader(redis, KEYS.metrics, "score", START)
    assert read_all(reader) == [1, 2, 3]
    fill(redis, [4, 5])
    # The server delivers to the consumer, and the reply never arrives.
    redis.xreadgroup("score", CONSUMER, {KEYS.metrics: ">"}, count=1)
    assert read_all(reader) == []  # 5 came without 4 before it: back to what is pending
    assert read_all(reader) == [4, 5]


def test_a_committed_entry_left_pending_is_not_given_again(redis):
    fill(redis, [1, 2])
    OrderedReader(redis, KEYS.metrics, "score", START).read(1)
    assert read_all(OrderedReader(redis, KEYS.metrics, "score", Position(1))) == [2]


def test_a_hole_in_a_stream_is_an_error(redis):
    fill(redis, [1, 2, 3])
    redis.xdel(KEYS.metrics, "2-0")
    reader = OrderedReader(redis, KEYS.metrics, "score", START)
    reader.read(1)
    with pytest.raises(StreamError, match="score stands at 1-0, the next entry is 3-0 after 2-0"):
        read_all(reader), read_all(reader)
    with pytest.raises(StreamError, match="follows 2-0, not 1-0"):
        list(read_between(redis, KEYS.metrics, START, Position(3)))


def test_entries_between_two_positions(redis):
    fill(redis, range(1, 40))
    assert [e.position.window for e in read_between(redis, KEYS.metrics, Position(5), Position(30))] == list(range(6, 31))
    assert list(read_between(redis, KEYS.metrics, Position(39), Position(39))) == []
    with pytest.raises(StreamError, match="nothing between"):
        list(read_between(redis, KEYS.metrics, Position(39), Position(41)))
    assert [e.position.window for e in read_after(redis, KEYS.metrics, Position(36), 2)] == [37, 38]


def test_positions_order_as_ids_do():
    assert START < Position(1) < Position(1).end() < Position(2)
    assert Position.parse(b"12-1") == Position(12).end()
    assert Position(12).end().is_end


def test_a_snapshot_is_opened_only_with_the_runs_key_by_its_role_at_its_place(redis):
    signer = Signer(SECRET, "score")
    snapshot = Snapshot(Position(8), b"state \x00")
    committer = Committer.take(redis, KEYS, "score")
    assert from_redis(redis, KEYS, "score", signer) is None
    committer.commit(Position(8), sets=to_sets(KEYS, "score", signer, snapshot))
    assert from_redis(redis, KEYS, "score", signer) == snapshot
    with pytest.raises(SnapshotError, match="not signed by score"):
        from_redis(redis, KEYS, "score", Signer("cd" * 32, "score"))
    with pytest.raises(SnapshotError):
        from_redis(redis, KEYS, "score", Signer(SECRET, "guard"))
    redis.hset(KEYS.snapshot("score"), "position", "9-0")
    with pytest.raises(SnapshotError):
        from_redis(redis, KEYS, "score", signer)
