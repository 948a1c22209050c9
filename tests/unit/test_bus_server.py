"""The server of a run: which one, how it is locked, and that it does not outlive who started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from monitor.bus import server as servers
from monitor.bus.client import connect
from monitor.bus.server import ServerError, describe_server, start_server
from tests.servers import KINDS


def gone(pid, within_s=10.0):
    """Whether process `pid` ends (a zombie that nobody reaped has ended)."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_a_started_server_wants_the_password_and_listens_on_loopback_only(kind, tmp_path):
    with start_server(tmp_path, kind=kind) as server:
        redis = connect(server.url)
        assert redis.ping()
        info = redis.connection_pool.connection_kwargs
        assert redis.config_get("bind")["bind"] == "127.0.0.1"
        assert redis.config_get("save")["save"] == ""
        stranger = Redis(port=info["port"], retry=Retry(NoBackoff(), 0))
        with pytest.raises(AuthenticationError):
            stranger.ping()
        stranger.close()
        redis.close()
        password = info["password"]
        if Path("/proc").exists():
            assert password not in Path(f"/proc/{server.pid}/cmdline").read_text()
        assert all(password.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert server.alive()
    assert not server.alive()
    assert gone(server.pid)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_dies_with_its_parent_even_by_kill_9(kind, tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from monitor.bus.server import start_server\n"
        "print(start_server(Path(sys.argv[1]), kind=sys.argv[2]).pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), kind], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert gone(pid)


def test_the_watcher_ends_what_is_left_when_its_pipe_closes():
    """What does the kernel's work where the kernel does not (macOS)."""
    left, ended = (subprocess.Popen(["sleep", "60"]) for _ in range(2))
    watcher = subprocess.Popen([sys.executable, "-m", "monitor.process"], stdin=subprocess.PIPE)
    watcher.stdin.write(f"+{left.pid}\n+{ended.pid}\n-{ended.pid}\n".encode())
    watcher.stdin.close()
    assert watcher.wait(10) == 0
    assert left.wait(10) == -signal.SIGKILL
    assert ended.poll() is None
    ended.kill()
    ended.wait()


def test_a_url_is_used_and_left_alone(tmp_path):
    with start_server(tmp_path, kind="embedded") as ours:
        with start_server(tmp_path, url=ours.url) as given:
            assert (given.kind, given.url, given.pid) == ("url", ours.url, None)
        redis = connect(ours.url)
        assert redis.ping()
        redis.close()
        said = describe_server(ours.url)
        assert "REDIS_URL" in said
        assert "127.0.0.1" in said
        assert connect(ours.url).connection_pool.connection_kwargs["password"] not in said


def test_a_url_that_cannot_be_used_is_an_error_that_says_what_to_do(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"REDIS_URL redis://127\.0\.0\.1:{port}/0: cannot be used .*unset it") as caught:
            start_server(tmp_path, url=f"redis://:secret@127.0.0.1:{port}/0")
        assert "secret" not in str(caught.value)
    with pytest.raises(ServerError, match="write it as redis://"):
        start_server(tmp_path, url="127.0.0.1:6379")


def test_a_wrong_password_is_told(tmp_path):
    with start_server(tmp_path, kind="embedded") as ours, pytest.raises(ServerError, match="cannot be used"):
        start_server(tmp_path, url=ours.url.replace("redis://:", "redis://:not"))


def test_the_embedded_server_is_taken_where_there_is_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(servers.shutil, "which", lambda name: None)
    assert "Valkey" in describe_server()
    with start_server(tmp_path) as server:
        assert server.kind == "embedded"
    monkeypatch.setattr(servers, "embedded_binary", lambda: None)
    with pytest.raises(ServerError, match="no Redis server: REDIS_URL is not set, no redis-server is on PATH"):
        start_server(tmp_path)


def test_a_server_that_does_not_start_is_told_with_its_log(tmp_path, monkeypatch):
    broken = tmp_path / "redis-server"
    broken.write_text('#!/bin/sh\necho \'no memory\' > "$(dirname "$0")/redis.log"\nexit 1\n')
    broken.chmod(0o755)
    monkeypatch.setattr(servers.shutil, "which", lambda name: str(broken))
    with pytest.raises(ServerError, match="did not start; its log: no memory"):
        start_server(tmp_path)
