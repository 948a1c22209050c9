"""One commit of one role: all of it once, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from monitor.bus.client import connect
from monitor.bus.commit import Ack, Committer, FencedError, OutOfOrderError, Output, SetValue, read_position
from monitor.bus.keys import Keys
from monitor.bus.position import START, Position

KEYS = Keys("test")


def everything(redis):
    """Every key with its content."""
    read = {
        b"string": redis.get,
        b"hash": lambda key: sorted(redis.hgetall(key).items()),
        b"stream": lambda key: (redis.xrange(key), redis.xinfo_groups(key)),
    }
    return {key: read[redis.type(key)](key) for key in redis.keys("*")}


def test_a_commit_writes_checkpoint_outputs_sets_and_acknowledgements(redis):
    redis.xadd(KEYS.metrics, {"rows": b"1"}, id="7-0")
    redis.xgroup_create(KEYS.metrics, "score", id="0")
    redis.xreadgroup("score", "only", {KEYS.metrics: ">"})
    committer = Committer.take(redis, KEYS, "score")
    at = Position(7)
    committer.commit(
        at,
        [Output(KEYS.anomalies, at, {"items": b"[\x00]", "v": 1}), Output(KEYS.audit, at, {"record": "a"})],
        [SetValue(KEYS.books, "BTC", b"{}"), SetValue(KEYS.meta, "", "m")],
        [Ack(KEYS.metrics, "score", at)],
    )
    assert redis.xrange(KEYS.anomalies) == [(b"7-0", {b"items": b"[\x00]", b"v": b"1"})]
    assert redis.xrange(KEYS.audit) == [(b"7-0", {b"record": b"a"})]
    assert (redis.hget(KEYS.books, "BTC"), redis.get(KEYS.meta)) == (b"{}", b"m")
    assert redis.xpending(KEYS.metrics, "score")["pending"] == 0
    assert committer.position == read_position(redis, KEYS, "score") == at


def test_a_commit_whose_reply_was_lost_is_not_done_twice(redis):
    committer = Committer.take(redis, KEYS, "score")
    at = Position(7)
    outputs = [Output(KEYS.anomalies, at, {"items": "[]"})]
    committer.commit(at, outputs)
    before = everything(redis)
    committer.position = START  # as if the reply had not come
    committer.commit(at, outputs)
    assert everything(redis) == before
    assert committer.position == at


def test_a_connection_that_breaks_after_the_script_ran_leads_to_one_entry(redis, server, monkeypatch):
    broken = connect(server.url)
    committer = Committer.take(broken, KEYS, "score")
    committer.commit(Position(1), [Output(KEYS.anomalies, Position(1), {"items": "[]"})])  # the script is loaded now
    connection_class = broken.connection_pool.connection_class
    real = connection_class.read_response
    cuts = []

    def cut(self, *args, **kwargs):
        answer = real(self, *args, **kwargs)
        if not cuts:
            cuts.append(answer)
            self.disconnect()
            raise RedisConnectionError("cut for the test")
        return answer

    monkeypatch.setattr(connection_class, "read_response", cut)
    committer.commit(Position(2), [Output(KEYS.anomalies, Position(2), {"items": "[]"})])
    monkeypatch.undo()
    assert cuts == [[b"OK"]]
    assert [id_ for id_, _ in redis.xrange(KEYS.anomalies)] == [b"1-0", b"2-0"]
    broken.close()


def test_whoever_was_replaced_is_fenced_and_writes_nothing(redis):
    old = Committer.take(redis, KEYS, "score")
    old.commit(Position(1), [Output(KEYS.anomalies, Position(1), {"items": "[]"})])
    new = Committer.take(redis, KEYS, "score")
    assert new.position == Position(1)
    before = everything(redis)
    with pytest.raises(FencedError, match="epoch 1 is over, 2 has begun"):
        old.commit(Position(2), [Output(KEYS.anomalies, Position(2), {"items": "[]"})])
    old.position = START
    with pytest.raises(FencedError):  # not even what it had done before counts as done by it
        old.commit(Position(1))
    assert everything(redis) == before
    new.commit(Position(2), [Output(KEYS.anomalies, Position(2), {"items": "[]"})])


AT = Position(9)
GOOD = Output(KEYS.anomalies, AT, {"items": "[]"})
REFUSED = {
    "a position that is not after the checkpoint": (Position(5), [], [], []),
    "an entry that is not after its stream's last": (AT, [GOOD, Output(KEYS.anomalies, AT, {"items": "[]"})], [], []),
    "an entry before what the stream holds": (AT, [GOOD, Output(KEYS.audit, Position(3), {"record": "x"})], [], []),
    "an output into a hash": (AT, [GOOD, Output(KEYS.books, AT, {"x": 1})], [], []),
    "an entry without fields": (AT, [GOOD, Output(KEYS.verdicts, AT, {})], [], []),
    "a field set in a stream": (AT, [GOOD], [SetValue(KEYS.audit, "x", "y")], []),
    "a string set over a hash": (AT, [GOOD], [SetValue(KEYS.books, "", "y")], []),
    "an acknowledgement in a hash": (AT, [GOOD], [], [Ack(KEYS.books, "score", AT)]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refused_commit_writes_nothing(redis, what):
    committer = Committer.take(redis, KEYS, "score")
    committer.commit(Position(5), [Output(KEYS.audit, Position(5), {"record": "x"})], [SetValue(KEYS.books, "BTC", "{}")])
    before = everything(redis)
    with pytest.raises((OutOfOrderError, ResponseError)):
        committer.commit(*REFUSED[what])
    assert everything(redis) == before
    assert committer.position == Position(5)


def test_a_checkpoint_that_moved_refuses_a_commit_from_the_old_one(redis):
    committer = Committer.take(redis, KEYS, "score")
    committer.commit(Position(1))
    committer.commit(Position(2))
    committer.position = START
    with pytest.raises(OutOfOrderError, match="refused at checkpoint 2-0"):
        committer.commit(Position(1))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["commit", "again", "restart", "zombie"]), min_size=1, max_size=25))
def test_whatever_happens_every_window_is_there_once_and_in_order(redis, steps):
    redis.flushall()
    committer = Committer.take(redis, KEYS, "score")
    zombies, done = [], []
    for step in steps:
        window = Position(len(done) + 1)
        outputs = [Output(KEYS.anomalies, window, {"items": str(committer.epoch)})]
        if step == "commit":
            committer.commit(window, outputs)
            done.append(window)
        elif step == "again" and done:
            committer.position = done[-2] if len(done) > 1 else START
            last_by = redis.hget(KEYS.role("score"), "prev")
            assert last_by == str(committer.position).encode()
            committer.commit(done[-1], [Output(KEYS.anomalies, done[-1], {"items": "twice"})])
        elif step == "restart":
            zombies.append(committer)
            committer = Committer.take(redis, KEYS, "score")
        elif step == "zombie" and zombies:
            with pytest.raises(FencedError):
                zombies[-1].commit(window, outputs)
    assert [Position.parse(id_) for id_, _ in redis.xrange(KEYS.anomalies)] == done
    assert b"twice" not in {fields[b"items"] for _, fields in redis.xrange(KEYS.anomalies)}
    assert read_position(redis, KEYS, "score") == (done[-1] if done else START)
