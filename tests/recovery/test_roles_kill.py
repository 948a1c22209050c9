"""kill -9 of every role, in history and live: nothing is lost, nothing is there twice, nothing differs."""

from __future__ import annotations

import os
import signal

import pytest

from monitor.bus.commit import Committer
from monitor.bus.keys import Keys
from monitor.config import VenueSpec
from tests.recovery.runs import ROLES, START_NS, Run, window_indices
from tests.unit.test_bus_server import gone

FIRST = START_NS // 1_000_000_000 + 1
HISTORY, LIVE = 660, 8  # more than the windows between two snapshots
VENUE = VenueSpec(seed=4, start_ns=START_NS, history_seconds=HISTORY, duration_seconds=LIVE)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with Run(tmp_path_factory.mktemp("undisturbed"), VENUE) as run:
        assert run.wait() == (0, "")
        assert window_indices(run.out) == list(range(FIRST, FIRST + HISTORY + LIVE))
        return run.result()


def test_every_role_killed_twice_leaves_the_same_bytes(tmp_path, undisturbed):
    with Run(tmp_path, VENUE, speed="1x") as run:
        for role, windows in zip(ROLES, (100, 200, 300, 620), strict=True):
            run.until(lambda role=role, windows=windows: run.window(role) >= FIRST + windows)
            run.kill(role)
        run.until(lambda: all(run.window(role) > FIRST + HISTORY for role in ROLES))
        for role in ROLES:
            run.kill(role)
        assert run.wait() == (0, "")
        assert window_indices(run.out) == list(range(FIRST, FIRST + HISTORY + LIVE))
        assert run.result() == undisturbed
        assert all(run.wall["restarts"][role] >= 2 for role in ROLES), "a kill came too late to count"


def test_roles_stopped_like_zombies_and_replaced_end_fenced_and_write_nothing_more(tmp_path, undisturbed):
    """SIGSTOP, replaced, SIGCONT."""
    with Run(tmp_path, VENUE) as run:
        for role in ("feed", "score"):
            run.until(lambda role=role: run.window(role) >= FIRST + 50)
            os.kill(run.pid(role), signal.SIGSTOP)
            Committer.take(run.redis, Keys("test"), role)
            os.kill(run.pid(role), signal.SIGCONT)
        assert run.wait() == (0, "")
        assert run.result() == undisturbed
        for role in ("feed", "score"):
            assert "another process runs this role" in (run.state / "logs" / f"{role}.log").read_text()


def test_kill_9_of_the_supervisor_leaves_no_process(tmp_path):
    with Run(tmp_path, VenueSpec(seed=4, start_ns=START_NS, history_seconds=5), speed="1x") as run:
        run.until(lambda: all(run.window(role) > FIRST + 5 for role in ROLES))
        pids = run.pids()
        assert len(pids) == len(ROLES) + 1  # and the server
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
        assert all(gone(pid) for pid in pids)
