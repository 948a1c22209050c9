"""One board for all browser tests: a real server, the board's own process, a run written by `publisher`, and Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from monitor.bus.server import embedded_binary
from monitor.config import RunConfig, VenueSpec, save_config
from tests.browser.publisher import FakeRun, fill

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def within(seconds: float, check: Callable[[], Any], what: str) -> float:
    """Waits until `check` is true and returns how long it took; fails after `seconds`."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if check():
            return time.monotonic() - start
        time.sleep(0.05)
    pytest.fail(f"not within {seconds:g} s: {what}")


class Process:
    """A child process that can be killed and started again as it was."""

    def __init__(self, argv: list[str], log: Path) -> None:
        self._argv = argv
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(self._argv, stdout=log, stderr=log)

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None


class Stack:
    """Everything the tests act on."""

    def __init__(self, folder: Path) -> None:
        self.redis_port, self.port = free_port(), free_port()
        redis_url = f"redis://127.0.0.1:{self.redis_port}/0"
        binary = shutil.which("redis-server") or str(embedded_binary())
        options = {"port": self.redis_port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": folder}
        redis_argv = [binary, *(part for key, value in options.items() for part in (f"--{key}", str(value)))]
        config = RunConfig(
            run_id="fake",
            source=VenueSpec(seed=1, start_ns=0, history_seconds=0),
            state_dir=str(folder),
            board_port=self.port,
            redis_url=redis_url,
        )
        path = folder / "run.json"
        save_config(config, path)
        self.log = folder / "board.log"
        self.redis = Process(redis_argv, folder / "redis.log")
        self.board = Process([sys.executable, "-m", "dashboards", "--config", str(path)], self.log)
        self.run = FakeRun(redis_url)
        self.url = f"http://127.0.0.1:{self.port}/"

    def start_redis(self) -> None:
        self.redis.start()
        within(10, self._redis_answers, "the server answers")

    def _redis_answers(self) -> bool:
        try:
            return bool(Redis(port=self.redis_port).ping())
        except RedisError:
            return False

    def start_board(self) -> None:
        self.board.start()
        within(30, lambda: _listens(self.port), f"the board listens; its log: {self.log.read_text()}")

    def close(self) -> None:
        self.run.stop()
        self.board.kill()
        self.redis.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if CHROMIUM is None or not Path(CHROMIUM).exists():
        pytest.skip("needs Debian's chromium: apt-get install chromium, or set CHROMIUM to its path")
    made = Stack(tmp_path_factory.mktemp("board"))
    try:
        made.start_redis()
        fill(made.run)
        made.start_board()
        made.run.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def browser(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # One profile for all: what the first page load has cached, the others need not fetch again.
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")),
            executable_path=CHROMIUM,
            headless=True,
            args=FLAGS,
            viewport={"width": 1440, "height": 900},
            color_scheme="dark",
        )
        context.set_default_timeout(15_000)
        yield context
        context.close()


@pytest.fixture(scope="module")
def _opened(stack: Stack, browser: Any) -> Iterator[tuple[Any, list[str]]]:
    page, complaints = browser.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(stack.url)
    page.wait_for_selector("#ranked .ag-row")
    yield page, complaints
    page.close()


@pytest.fixture
def page(_opened: tuple[Any, list[str]]) -> Any:
    """The board, open and live, nothing chosen. One page for all tests: it must bear what a long shift brings."""
    opened, _ = _opened
    opened.mouse.move(2, 2)
    opened.evaluate("document.activeElement.blur()")
    opened.evaluate("history.pushState(null, '', '/'); dispatchEvent(new PopStateEvent('popstate'))")
    # The grid puts rows on the page a frame after it was given them.
    opened.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return opened


@pytest.fixture
def errors(_opened: tuple[Any, list[str]]) -> list[str]:
    """What the page complains of during the test."""
    _, complaints = _opened
    complaints.clear()
    return complaints
