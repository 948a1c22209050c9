"""The house keeps its own rules: who imports whom, what pure rooms may not touch, who owns the top-level names."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("engine", "models", "monitor", "dashboards")

IMPURE = {"time", "datetime", "socket", "asyncio", "threading", "subprocess", "random", "os", "redis", "secrets", "uuid"}
MAY_TOUCH_FILES = {"engine/journal.py", "engine/instruments.py", "monitor/guardrails/pack.py"}
"""The named exceptions: the journal, and the loading of packs."""

PURE = sorted(
    path
    for folder in ("engine", "models", "monitor/guardrails", "monitor/metrics")
    for path in (ROOT / folder).rglob("*.py")
    if str(path.relative_to(ROOT)) not in MAY_TOUCH_FILES
)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def test_imports_run_down_only():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_rooms_touch_no_clock_socket_or_chance(path):
    touched = {name for name in imported(path) if name.split(".")[0] in IMPURE}
    assert not touched, f"{path.relative_to(ROOT)} is in a pure room and imports {sorted(touched)}"
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"open", "np.random.seed", "np.random.random", "np.random.rand"}
    }
    assert not calls, f"{path.relative_to(ROOT)} calls {sorted(calls)}"


def test_no_other_distribution_owns_our_top_level_names():
    owners = metadata.packages_distributions()
    for room in ROOMS:
        assert set(owners.get(room, ["perpwatch"])) == {"perpwatch"}, f"{room} is also installed by {owners[room]}"


def test_every_module_says_what_it_is():
    silent = [
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent, f"modules without a docstring: {silent}"


def test_modules_can_be_read_in_one_sitting():
    long = {
        str(path.relative_to(ROOT)): lines
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 600
    }
    assert not long, f"modules that hold more than one subject, by their length: {long}"


@pytest.mark.parametrize("check", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_finds_nothing(check):
    done = subprocess.run([sys.executable, "-m", "ruff", *check, "."], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
