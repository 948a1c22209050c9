"""The board as a process: how it refuses to start, what it serves to whom, and that it stops when told."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from monitor.bus.server import start_server
from monitor.config import RunConfig, VenueSpec, save_config


def argv(folder: Path, port: int | None, redis_url: str | None = "redis://127.0.0.1:1/0") -> list[str]:
    source = VenueSpec(seed=1, start_ns=0, history_seconds=0)
    config = RunConfig(run_id="r", source=source, state_dir=str(folder), board_port=port, redis_url=redis_url)
    save_config(config, folder / "run.json")
    return [sys.executable, "-m", "dashboards", "--config", str(folder / "run.json")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_taken_port_is_said_and_ends_it(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = subprocess.run(argv(tmp_path, port), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert f"port {port} on 127.0.0.1 cannot be used" in ended.stderr
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_configuration_without_a_port_is_refused(tmp_path: Path) -> None:
    ended = subprocess.run(argv(tmp_path, None), capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "names no server or no port" in ended.stderr


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    folder = tmp_path_factory.mktemp("board")
    port = free_port()
    with start_server(folder) as server:
        process = subprocess.Popen(argv(folder, port, server.url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield process, port
        process.kill()
        process.wait()


def get(port: int, path: str, host: str | None = None) -> tuple[int, dict[str, str], str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
    reply = connection.getresponse()
    body = reply.read().decode("utf-8", "replace")
    connection.close()
    return reply.status, {name.lower(): value for name, value in reply.getheaders()}, body


def test_the_page_runs_only_our_scripts_and_is_nobody_elses_frame(served: tuple[subprocess.Popen[bytes], int]) -> None:
    _, port = served
    status, headers, body = get(port, "/")
    assert status == 200
    assert '<html lang="en">' in body
    policy = headers["content-security-policy"]
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "unsafe" not in scripts
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_no_interface_description_is_served(served: tuple[subprocess.Popen[bytes], int], path: str) -> None:
    _, _, body = get(served[1], path)
    assert "/api/" not in body
    assert "swagger" not in body.lower()


def test_another_host_name_is_turned_away(served: tuple[subprocess.Popen[bytes], int]) -> None:
    status, _, body = get(served[1], "/api/frame", host="rebound.example")
    assert status == 400
    assert "epoch" not in body


def test_before_the_first_window_nothing_is_claimed(served: tuple[subprocess.Popen[bytes], int]) -> None:
    _, port = served
    deadline = time.monotonic() + 10
    body = "[]"
    while body == "[]" and time.monotonic() < deadline:
        status, headers, body = get(port, "/api/frame")
        time.sleep(0.05)
    assert status == 200
    assert headers["cache-control"] == "no-store"
    assert '"state":"unknown"' in body
    assert '"state":"ok"' not in body


def test_it_stops_when_told_though_a_stream_is_open(served: tuple[subprocess.Popen[bytes], int]) -> None:
    process, port = served
    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.sendall(f"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert b"text/event-stream" in stream.recv(4096)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) in (0, -signal.SIGTERM)
