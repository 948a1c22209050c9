"""What the documents show of `perpwatch risk` is what it prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import main

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = [
    (name, block)
    for name in ("docs/risk.md", "docs/cascade.md")
    for block in re.findall(r"```console\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
]


def printed(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "140")
    program, *arguments = shlex.split(command)
    assert program == "perpwatch"
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return "\n".join(line.rstrip() for line in done.output.splitlines()).strip("\n")


@pytest.mark.parametrize(("name", "block"), EXAMPLES, ids=[block.split("\n")[0][2:60] for _, block in EXAMPLES])
def test_an_example_shows_what_the_command_prints(name, block, monkeypatch):
    command, _, shown = block.partition("\n")
    assert command.startswith("$ ")
    expected = printed(command[2:], monkeypatch)
    assert shown.strip("\n") == expected, f"in {name}, put this under {command}:\n\n{expected}\n"
