"""guard, score and rank in one process, cut off at any commit: what they leave is what they leave undisturbed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine.instruments import load_pack
from monitor.bus.commit import Committer, Output
from monitor.bus.keys import Keys
from monitor.bus.meta import SCHEMA_VERSION, RunMeta, write_meta
from monitor.bus.position import START, Position
from monitor.bus.server import start_server
from monitor.config import FilesSpec, RunConfig
from monitor.metrics.accounts import new_rows
from monitor.metrics.actors import new_actors
from monitor.metrics.catalogue import METRIC_NAMES
from monitor.metrics.rows import encode_block
from monitor.metrics.windows import Block
from monitor.roles import follower, guard, rank, score
from monitor.roles.runtime import Role

STEP_NS = 1_000_000_000
SYMBOLS = ("BTC-PERP", "ETH-PERP")
WINDOWS = 240
MAINS = {"guard": guard.main, "score": score.main, "rank": rank.main}


class CutError(Exception):
    """The process ended here, as far as the test is concerned."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with start_server(tmp_path_factory.mktemp("server"), kind="embedded") as server:
        yield server


@pytest.fixture
def config(server, tmp_path):
    made = RunConfig(
        run_id="r", source=FilesSpec(paths=("x",)), state_dir=str(tmp_path), redis_url=server.url, snapshot_key="0f" * 32
    )
    role = Role("feed", made)
    role.redis.flushall()
    yield made
    role.redis.close()


def rows():
    """Metric values that trip rules and detectors here and there."""
    rng = np.random.default_rng(5)
    values = rng.lognormal(3.0, 0.3, (WINDOWS, len(SYMBOLS), len(METRIC_NAMES)))
    values[rng.random(values.shape) < 0.02] = np.nan
    at = {name: k for k, name in enumerate(METRIC_NAMES)}
    values[:, :, at["mark_index_bps"]] = rng.normal(0, 1, (WINDOWS, len(SYMBOLS)))
    values[150:160, 0, at["mark_index_bps"]] = 400.0
    values[150:156, 1, at["cancels"]] *= 40.0
    values[:, :, at["top_cancel_share"]] = 0.5
    return values


def publish(config, values, pieces):
    """What feed would leave: windows 1 … W in blobs of the given sizes, and the end marker."""
    role = Role("feed", config)
    keys = Keys(config.run_id)
    instruments = tuple(load_pack("core").instrument(symbol) for symbol in SYMBOLS)
    write_meta(role.redis, keys, RunMeta(SCHEMA_VERSION, "files", instruments, ("book",), 8, STEP_NS, None, None))
    actors = new_actors(*values.shape[:2])
    actors.accounts[:, :, :, 0] = 7
    cancels = np.nan_to_num(values[:, :, METRIC_NAMES.index("cancels"), None])
    actors.amounts[:, :, :, 0], actors.whole[:] = 0.5 * cancels, cancels
    start = 0
    for size in pieces:
        index = np.arange(start + 1, min(start + size, len(values)) + 1)
        if len(index) == 0:
            break
        cut = slice(start, start + len(index))
        block = Block(STEP_NS, index, index * STEP_NS, values[cut], actors.at(cut), new_rows(0, 0), None)
        at = Position(int(index[-1]))
        fields = {
            "prev": str(role.committer.position),
            "phase": "REPLAY",
            "closed_wall_ns": 0,
            "rows": encode_block([block], SYMBOLS, "REPLAY"),
        }
        role.committer.commit(at, [Output(keys.metrics, at, fields)])
        start += len(index)
    end = role.committer.position.end()
    role.committer.commit(end, [Output(keys.metrics, end, {"prev": str(role.committer.position), "end": 1})])
    role.redis.close()


def work(config, name, *, cut_at=None, applied=False):
    """One process of a role. With `cut_at` it is cut off at that commit, before it or right after it was applied."""
    role = Role(name, config)
    commit, count = role.committer.commit, iter(range(10**6))

    def cut(*args, **kwargs):
        if next(count) == cut_at:
            if applied:
                commit(*args, **kwargs)
            raise CutError
        commit(*args, **kwargs)

    role.committer.commit = cut
    try:
        MAINS[name](role)
    finally:
        role.redis.close()
    return role


def left(config):
    """Everything that counts: the outputs in order, without how they were cut into blobs and without wall-clock times."""
    role = Role("reader", config)
    keys = role.keys
    items = {}
    for name in ("verdicts", "anomalies", "ranked"):
        entries = role.redis.xrange(getattr(keys, name))
        items[name] = [item for _, fields in entries if b"items" in fields for item in json.loads(fields[b"items"])]
        assert entries[-1][1][b"end"] == b"1"
    audit = [(id_, fields[b"record"]) for id_, fields in role.redis.xrange(keys.audit)]
    states = role.redis.hgetall(keys.guard_states)
    role.redis.close()
    return items, audit, states


@pytest.fixture(scope="module")
def values():
    return rows()


@pytest.fixture
def undisturbed(config, values):
    publish(config, values, [WINDOWS])
    for name in MAINS:
        work(config, name)
    found = left(config)
    role = Role("feed", config)
    role.redis.flushall()
    role.redis.close()
    return found


def test_the_rows_make_every_role_speak(undisturbed):
    items, audit, states = undisturbed
    assert items["verdicts"]
    assert states
    assert items["ranked"], "the detectors found nothing: the comparison below would show nothing"
    assert all(item["event"] for item in items["ranked"])
    assert len(audit) == WINDOWS + 1
    assert len({id_ for id_, _ in audit}) == len(audit)


@pytest.mark.parametrize("seed", range(4))
def test_cut_off_anywhere_and_started_again_they_leave_the_same(config, values, undisturbed, seed, monkeypatch):
    monkeypatch.setattr(follower, "SNAPSHOT_WINDOWS", 50)
    rng = np.random.default_rng(seed)
    publish(config, values, rng.integers(1, 30, WINDOWS).tolist())
    for name in MAINS:
        for _ in range(12):
            try:
                work(config, name, cut_at=int(rng.integers(0, 4)), applied=bool(rng.random() < 0.5))
            except CutError:
                continue
            break
        else:
            work(config, name)
    assert left(config) == undisturbed


def test_a_role_that_ended_has_nothing_to_do_when_started_again(config, values):
    publish(config, values, [100] * 3)
    for name in MAINS:
        work(config, name)
    before = left(config)
    for name in MAINS:
        assert work(config, name).committer.position == Position(WINDOWS).end()
    assert left(config) == before


def test_the_first_blob_may_be_the_end(config):
    publish(config, rows()[:0], [])
    for name in MAINS:
        work(config, name)
    assert left(config) == ({"verdicts": [], "anomalies": [], "ranked": []}, [], {})


def test_accounts_behind_a_burst_go_with_the_line(undisturbed):
    burst = [line for line in undisturbed[0]["ranked"] if line["family"] == "cancels" and line["symbol"] == "ETH-PERP"]
    assert burst
    assert burst[0]["accounts"][0]["account"] == 7
    assert burst[0]["accounts"][0]["share"] == pytest.approx(0.5)


def test_a_replaced_role_is_fenced_at_its_next_commit(config, values):
    publish(config, values, [100] * 3)
    old = Role("guard", config)
    assert Committer.take(old.redis, old.keys, "guard").position == START
    with pytest.raises(Exception, match="epoch 1 is over"):
        guard.main(old)
    assert old.redis.xlen(old.keys.audit) == 0
    old.redis.close()
