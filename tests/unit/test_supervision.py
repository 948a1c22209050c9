"""Small parts of supervision: strikes and backoff, the warm-up's stamp, who is behind an anomaly."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time

import pytest

from monitor.config import FilesSpec, RunConfig, VenueSpec
from monitor.launch import state_dir
from monitor.roles import children, kernels
from monitor.roles.children import STRIKES, Child
from monitor.roles.kernels import is_warm, mark_warm

S = 1_000_000_000


def wait_for_end(child):
    while (code := child.ended()) is None:
        time.sleep(0.01)
    return code


@pytest.fixture
def clock(monkeypatch):
    """A monotonic clock that stands still until it is moved."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(children, "time", clock)
    return clock


def test_a_child_is_started_again_after_a_growing_backoff_and_given_up_in_the_end(tmp_path, clock):
    child = Child("x", [sys.executable, "-c", "print('why'); raise SystemExit(3)"], tmp_path / "x.log")
    waits = []
    while True:
        child.start_if_due({})
        assert wait_for_end(child) == 3
        again = child.strike("stuck")
        if not again:
            break
        child.start_if_due({})
        assert child.pid is None, "started before its backoff was over"
        waits.append(0.0)
        while child.pid is None:
            clock.now += 0.05
            waits[-1] += 0.05
            child.start_if_due({})
    assert child.starts == STRIKES
    assert waits == sorted(waits)
    assert waits[-1] > 2 * waits[0]
    assert child.last_words().splitlines() == ["why"] * STRIKES


def test_a_death_after_progress_or_a_long_life_is_no_further_strike(tmp_path, clock):
    child = Child("x", ["true"], tmp_path / "x.log")
    for mark in range(3 * STRIKES):
        child.start_if_due({})
        wait_for_end(child)
        assert child.strike(mark)
        clock.now += 10
    for _ in range(3 * STRIKES):
        child.start_if_due({})
        wait_for_end(child)
        clock.now += 60
        assert child.strike("same")
        clock.now += 10


def test_a_child_that_does_not_listen_is_ended_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "_STOP_TIMEOUT_S", 0.2)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    child = Child("x", [sys.executable, "-c", code], tmp_path / "x.log")
    child.start_if_due({})
    while child.last_words() != "up":
        time.sleep(0.01)
    child.end()
    assert child.pid is None
    child.start_if_due({})
    assert child.pid is None


def test_the_stamp_goes_with_the_cache_and_the_code(tmp_path, monkeypatch):
    venue = RunConfig("r", VenueSpec(1, 0, 0), "/s")
    files = RunConfig("r", FilesSpec(paths=("a.zip",)), "/s")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    kernels.use_cache()
    assert not is_warm(venue)
    mark_warm(venue)
    assert is_warm(venue)
    assert not is_warm(files)
    with monkeypatch.context() as other:
        other.setattr(kernels.metadata, "version", lambda name: "another")
        assert not is_warm(venue)
    shutil.rmtree(tmp_path / "chosen")
    assert not is_warm(venue)


def test_changed_code_gets_a_cache_of_its_own_and_the_old_one_goes(tmp_path, monkeypatch):
    venue = RunConfig("r", VenueSpec(1, 0, 0), "/s")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)

    def folders():
        return set((tmp_path / "perpwatch").iterdir())

    kernels.use_cache()
    mark_warm(venue)
    (old,) = folders()
    monkeypatch.setattr(kernels.metadata, "version", lambda name: "another")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    kernels.use_cache()
    assert not is_warm(venue)
    mark_warm(venue)
    (new,) = folders()
    assert new != old
    assert kernels.use_cache() == new
    assert os.environ["NUMBA_CACHE_DIR"] == str(new)


def test_a_cache_is_named_by_the_kernels_and_by_what_they_import():
    code = kernels._sources()
    for used in ("engine/matching.py", "engine/contract.py", "monitor/metrics/kernel.py", "models/window.py"):
        assert (kernels._ROOT / used).read_bytes() in code
    for unused in ("monitor/cli.py", "monitor/roles/feed.py", "engine/simulation/flow.py"):
        assert (kernels._ROOT / unused).read_bytes() not in code


def test_without_a_home_kernels_go_to_the_temporary_files_and_without_those_it_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    assert kernels.use_cache().is_relative_to(tmp_path / "tmp")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "chosen"))
    with pytest.raises(kernels.CacheError, match="set NUMBA_CACHE_DIR"):
        kernels.use_cache()


def test_what_killed_runs_left_goes_and_what_running_ones_have_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "perpwatch-run-left"
    left.mkdir()
    (left / "lock").touch()
    (left / "journal").write_bytes(b"1")
    with state_dir() as first:
        assert not left.exists()
        with state_dir() as second:
            assert first.exists()
            assert first != second
    assert list(tmp_path.iterdir()) == []
