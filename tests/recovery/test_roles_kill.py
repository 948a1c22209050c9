"""kill -9 of every role, in history and live: nothing is lost, nothing is there twice, nothing differs."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

import msgspec
import pytest
from redis.exceptions import RedisError

from monitor.bus.commit import Committer
from monitor.bus.keys import Keys
from monitor.config import VenueSpec
from monitor.roles.children import STRIKES
from tests.recovery.checker import check
from tests.recovery.runs import ROLES, START_NS, Run, window_indices
from tests.unit.test_bus_server import gone

FIRST = START_NS // 1_000_000_000 + 1
LOADED = 720
HISTORY, LIVE = 660, 10  # more than the windows between two snapshots
VENUE = VenueSpec(seed=4, start_ns=START_NS, history_seconds=HISTORY, duration_seconds=LIVE)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with Run(tmp_path_factory.mktemp("undisturbed"), VENUE) as run:
        assert run.wait() == (0, "")
        assert window_indices(run.out) == list(range(FIRST, FIRST + HISTORY + LIVE))
        return run.result()


def test_every_role_killed_and_two_replaced_leaves_the_same_bytes(tmp_path, undisturbed):
    with Run(tmp_path, VENUE, speed="1x") as run:
        for role, windows in zip(ROLES, (100, 200, 300, 400), strict=True):
            run.until(lambda role=role, windows=windows: run.window(role) >= FIRST + windows)
            run.kill(role)
        for role in ("score", "feed"):
            # A zombie: stopped, replaced, and running again. It must end as fenced and not write a thing.
            run.until(lambda role=role: run.window(role) >= FIRST + 620)
            os.kill(run.pid(role), signal.SIGSTOP)
            Committer.take(run.redis, Keys("test"), role)
            os.kill(run.pid(role), signal.SIGCONT)
        for role in ("guard", "rank", "score", "feed"):
            run.until(lambda role=role: run.window(role) > FIRST + HISTORY)
            run.kill(role)
        assert run.wait() == (0, "")
        assert window_indices(run.out) == list(range(FIRST, FIRST + HISTORY + LIVE))
        assert run.result() == undisturbed
        for role in ("score", "feed"):
            assert "another process runs this role" in (run.state / "logs" / f"{role}.log").read_text()
        restarts = {role: run.wall["restarts"][role] for role in ROLES}
        assert min(restarts.values()) >= 1
        assert sum(restarts.values()) >= 6, "too many kills came too late to count"


def kill_at_random(run, kills, seed, pause_s):
    """Kills roles and the server at random moments while the run goes on; returns how many kills hit."""
    rng = random.Random(seed)
    hit = Counter()
    last_server = 0.0
    at, stuck = {}, Counter()
    while sum(hit.values()) < kills and run.process.poll() is None:
        time.sleep(rng.uniform(*pause_s))
        victim = rng.choice((*ROLES, "server"))
        try:
            if victim == "server":
                # The server is given time: too many deaths in a minute are taken for a fault of the machine.
                if time.monotonic() - last_server < 15:
                    continue
                hit["server"] += run.kill_server() is not None
                last_server = time.monotonic()
            else:
                window = run.window(victim)
                stuck[victim] = stuck[victim] + 1 if at.get(victim) == window else 0
                at[victim] = window
                if stuck[victim] < STRIKES - 2:  # a role that dies more often without getting further is given up by design
                    hit[victim] += run.kill(victim)
        except RedisError:
            continue  # the server is just coming back
    return hit


def same_as_undisturbed(run, undisturbed, windows):
    assert run.wait(600) == (0, "")
    assert window_indices(run.out) == list(range(FIRST, FIRST + windows))
    assert run.result() == undisturbed
    compared = check(run.state / "journal", run.out)
    assert compared["windows"] == windows
    assert compared["prices"] > 7 * windows


def test_ten_random_kills_of_roles_and_server_leave_the_same_bytes(tmp_path, undisturbed):
    with Run(tmp_path, VENUE, speed="1x") as run:
        run.until(lambda: run.window("rank") > FIRST)
        hit = kill_at_random(run, 10, seed=5, pause_s=(0.1, 0.6))
        assert sum(hit.values()) == 10, hit
        assert hit["server"] >= 1
        same_as_undisturbed(run, undisturbed, HISTORY + LIVE)


@pytest.mark.slow
def test_200_random_kills_under_load_leave_the_same_bytes(tmp_path):
    long = msgspec.structs.replace(VENUE, duration_seconds=LOADED)
    with Run(tmp_path / "plain", long) as plain:
        assert plain.wait(600) == (0, "")
        undisturbed = plain.result()
    with Run(tmp_path / "killed", long, speed="1x") as run:
        run.until(lambda: run.window("rank") > FIRST)
        hit = kill_at_random(run, 200, seed=int(os.environ.get("PERPWATCH_KILL_SEED", "1")), pause_s=(0.5, 4.0))
        assert sum(hit.values()) == 200, (hit, run.wait())
        print(f"kills: {dict(hit)}")
        same_as_undisturbed(run, undisturbed, HISTORY + LOADED)


def test_kill_9_of_the_supervisor_leaves_no_process(tmp_path):
    with Run(tmp_path, VenueSpec(seed=4, start_ns=START_NS, history_seconds=5), speed="1x") as run:
        run.until(lambda: all(run.window(role) > FIRST + 5 for role in ROLES))
        pids = run.pids()
        assert len(pids) == len(ROLES) + 1  # and the server
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
        assert all(gone(pid) for pid in pids)
