"""A server at its memory limit, and a disk without room: the run waits, or ends with one line; nothing is lost or doubled."""

from __future__ import annotations

import time

import pytest

from monitor.bus.client import connect
from monitor.bus.server import start_server
from monitor.config import VenueSpec
from tests.recovery.runs import START_NS, Run, window_indices

FIRST = START_NS // 1_000_000_000 + 1
HISTORY, LIVE = 60, 8
VENUE = VenueSpec(seed=8, start_ns=START_NS, history_seconds=HISTORY, duration_seconds=LIVE)


def test_a_server_at_its_memory_limit_makes_the_run_wait_and_nothing_is_lost(tmp_path):
    with Run(tmp_path / "plain", VENUE) as plain:
        assert plain.wait() == (0, "")
        undisturbed = plain.result()
    with Run(tmp_path / "full", VENUE, speed="1x") as run:
        run.until(lambda: run.window("rank") > FIRST + HISTORY)
        used = run.redis.info("memory")["used_memory"]
        run.redis.config_set("maxmemory", used // 2)
        before = run.window("feed")
        time.sleep(2.5)
        assert run.window("feed") <= before + 1
        assert run.process.poll() is None
        run.kill("guard")  # one that starts while there is no room waits, too
        time.sleep(1.5)
        run.redis.config_set("maxmemory", 0)
        code, said = run.wait()
        assert code == 0
        assert said.count("memory limit") == 1
        assert len(said.splitlines()) == 1
        assert window_indices(run.out) == list(range(FIRST, FIRST + HISTORY + LIVE))
        assert run.result() == undisturbed


@pytest.mark.redis_server
def test_a_server_that_would_drop_keys_is_refused(tmp_path):
    (tmp_path / "server").mkdir()
    with start_server(tmp_path / "server", None) as server:
        redis = connect(server.url)
        redis.config_set("maxmemory", 10**9)
        redis.config_set("maxmemory-policy", "allkeys-lru")
        with Run(tmp_path, VENUE, redis_url=server.url) as run:
            code, said = run.wait()
    assert (code, len(said.splitlines())) == (2, 1)
    assert "maxmemory-policy noeviction" in said
