"""Starting, stopping and giving up: what whoever started a run gets to see, and that nothing stays behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from monitor.bus.client import connect
from monitor.bus.keys import Keys
from monitor.bus.server import start_server
from monitor.config import FilesSpec, RunConfig, VenueSpec
from monitor.history.export import ExportError, prepare_folder
from monitor.history.verify import verify
from monitor.roles import supervisor
from monitor.roles.children import STRIKES
from monitor.roles.supervisor import RunError, run
from tests.recovery.runs import START_NS, Run, window_indices
from tests.unit.test_bus_server import gone

FIRST = START_NS // 1_000_000_000 + 1
NOBODY = 65_534
ENDLESS = VenueSpec(seed=4, start_ns=START_NS, history_seconds=20)


def config(tmp_path, **more):
    settings = {"source": ENDLESS, "state_dir": str(tmp_path / "state"), "out_dir": str(tmp_path / "out")}
    return RunConfig(run_id="test", **(settings | more))


def assert_secrets_are_kept(live):
    """They stand in one file that only its owner can read, and in no process's arguments or environment."""
    written = json.loads((live.state / "run.json").read_text())
    password = written["redis_url"].split("@")[0].rpartition(":")[2]
    assert (live.state / "run.json").stat().st_mode & 0o077 == 0
    assert live.state.stat().st_mode & 0o077 == 0
    for pid in live.pids() if Path("/proc").exists() else ():
        shown = Path(f"/proc/{pid}/cmdline").read_text() + Path(f"/proc/{pid}/environ").read_text()
        assert password not in shown
        assert written["snapshot_key"] not in shown


def test_ctrl_c_ends_a_run_without_an_end_in_order(tmp_path):
    with Run(tmp_path, ENDLESS, speed="1x") as live:
        live.until(lambda: live.window("rank") > FIRST + 21)
        pids = live.pids()
        assert_secrets_are_kept(live)
        live.process.send_signal(signal.SIGINT)
        assert live.wait(30) == (0, "")
        assert all(gone(pid) for pid in pids)
        indices = window_indices(live.out)
        assert indices == list(range(FIRST, indices[-1] + 1))
        assert live.result()["summary"]["complete"] is True
        assert verify(live.out).windows == len(indices)


def test_ctrl_c_in_a_run_with_an_end_leaves_what_was_done_and_says_so(tmp_path):
    with Run(tmp_path, VenueSpec(seed=4, start_ns=START_NS, history_seconds=20, duration_seconds=600), speed="1x") as live:
        live.until(lambda: live.window("rank") > FIRST + 20)
        live.kill("feed")  # it comes back to finish, even so
        live.process.send_signal(signal.SIGINT)
        assert live.wait(30) == (130, "")
        assert live.result()["summary"]["complete"] is False
        assert verify(live.out).windows == len(window_indices(live.out)) >= 20


def test_a_run_that_fails_leaves_no_older_results_to_be_taken_for_its_own(tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("summary.json", "audit.jsonl", "notes.txt"):
        (tmp_path / "out" / name).write_text("of yesterday")
    (tmp_path / "diary.txt").write_text("dear diary\n")
    with Run(tmp_path, FilesSpec(paths=(str(tmp_path / "diary.txt"),))) as failed:
        assert failed.wait(60)[0] == 2
    assert [path.name for path in failed.out.iterdir()] == ["notes.txt"]


def test_a_run_without_an_end_that_never_went_live_is_not_complete(tmp_path):
    with Run(tmp_path, VenueSpec(seed=4, start_ns=START_NS, history_seconds=80_000)) as early:
        early.until(lambda: early.window("rank") > FIRST)
        early.process.send_signal(signal.SIGHUP)
        early.wait(60)
        assert early.result()["summary"]["complete"] is False


def test_a_second_ctrl_c_ends_it_at_once(tmp_path):
    with Run(tmp_path, ENDLESS, speed="1x") as live:
        live.until(lambda: live.window("rank") > FIRST + 20)
        os.kill(live.pid("score"), signal.SIGSTOP)  # so that it cannot end in order
        pids = live.pids()
        live.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert live.process.poll() is None
        live.process.send_signal(signal.SIGTERM)
        code, said = live.wait(15)
        assert code == 143
        assert "stopped at once" in said
        assert all(gone(pid) for pid in pids)
        assert not (live.out / "summary.json").exists()


def test_a_role_that_dies_again_and_again_ends_the_run_with_its_last_words(tmp_path):
    with start_server(tmp_path, kind="embedded") as server:
        redis = connect(server.url)
        keys = Keys("test")
        redis.set(keys.guard_states, "not a hash")
        with Run(tmp_path, ENDLESS, redis_url=server.url) as broken:
            code, said = broken.wait(60)
        assert code == 1
        assert "guard died 5 times without getting any further" in said
        assert "is a string, not a hash" in said
        # A server that is not ours is left as it was.
        assert redis.keys("*") == []
        redis.close()


def test_on_a_board_the_guard_goes_on_when_the_models_cannot(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with start_server(tmp_path, kind="embedded") as server:
        redis = connect(server.url)
        redis.set(Keys("test").anomalies, "not a stream")
        with Run(tmp_path, ENDLESS, redis_url=server.url, speed="1x", board_port=port) as crippled:
            log = tmp_path / "state" / "logs" / "score.log"
            # Each death leaves one line of its own that begins with the error's class.
            deaths = re.compile(r"^redis\.exceptions\.ResponseError: .*is a string, not a stream", re.M)
            crippled.until(lambda: log.exists() and len(deaths.findall(log.read_text())) > STRIKES)
            judged = crippled.window("guard")
            crippled.until(lambda: crippled.window("guard") > judged + 2, 10)
            crippled.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            crippled.process.send_signal(signal.SIGTERM)
            code, said = crippled.wait(30)
        assert code == 143
        assert said.count(f"score died {STRIKES} times without getting any further") == 1
        assert "the run goes on without it" in said
        redis.close()


def test_a_lost_server_is_started_again_and_the_run_goes_on(tmp_path):
    with Run(tmp_path, ENDLESS, speed="1x") as live:
        live.until(lambda: live.window("rank") > FIRST + 5)
        first = live.kill_server()
        reached = live.until(lambda: live.process_of_server() not in (None, first) and live.window("rank"))
        assert reached >= FIRST + 5
        live.until(lambda: live.window("rank") > reached + 2)
        live.process.send_signal(signal.SIGTERM)
        code, said = live.wait(60)
        assert code == 0  # a run without an end that was asked to stop
        assert "given up" not in said
        assert live.result()["summary"]["windows"] > 5
        assert live.wall["restarts"]["server"] == 1


def test_a_server_that_ends_again_and_again_ends_the_run_with_a_message(tmp_path):
    with Run(tmp_path, ENDLESS, speed="1x") as live:
        live.until(lambda: live.window("rank") > FIRST + 5)
        pids = live.pids()
        while live.process.poll() is None:
            live.kill_server()
        code, said = live.wait(30)
        assert code == 1
        assert "the run is given up" in said
        assert all(gone(pid) for pid in pids)


def test_a_run_id_that_is_in_use_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "is_warm", lambda config: True)
    with start_server(tmp_path, kind="embedded") as server:
        redis = connect(server.url)
        redis.hset(Keys("test").role("feed"), "epoch", 1)
        with pytest.raises(RunError, match="'test' is on this server already"):
            run(config(tmp_path, redis_url=server.url))
        assert redis.hgetall(Keys("test").role("feed")) == {b"epoch": b"1"}, "another's run was touched"
        redis.close()


def test_a_folder_that_cannot_be_written_is_said_before_anything_starts(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(RunError, match="out: cannot be written"):
        run(config(tmp_path))
    assert not list((tmp_path / "state").glob("*.json"))


def test_a_folder_without_permission_is_said(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    before = os.geteuid()
    try:
        if before == 0:  # root may write anywhere
            os.seteuid(NOBODY)
        with pytest.raises(ExportError, match="Permission denied"):
            prepare_folder(tmp_path / "closed" / "out")
    finally:
        os.seteuid(before)


def test_a_port_in_use_is_said_before_anything_starts(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=f"port {port} on 127.0.0.1 is not free .*choose another with --port"):
            run(config(tmp_path, board_port=port))


@pytest.mark.parametrize("warm", [True, False])
def test_an_input_that_cannot_be_read_is_said_in_one_line(tmp_path, monkeypatch, warm):
    monkeypatch.setattr(supervisor, "is_warm", lambda config: warm)
    missing = tmp_path / "missing.zip"
    with pytest.raises(RunError, match=r"missing\.zip") as caught:
        run(config(tmp_path, source=FilesSpec(paths=(str(missing),))))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_configuration_that_makes_no_sense_is_said(tmp_path):
    with pytest.raises(RunError, match="speed"):
        run(config(tmp_path, speed="fast"))
    with pytest.raises(RunError, match="0x' never ends"):
        run(config(tmp_path, speed="0x"))
