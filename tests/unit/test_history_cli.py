"""`perpwatch history query`: SQL over what runs left."""

from __future__ import annotations

import json

import polars as pl
import pytest
from click.testing import CliRunner

from monitor.cli import main


@pytest.fixture
def runs(tmp_path):
    for number in (1, 2):
        folder = tmp_path / f"run{number}"
        folder.mkdir()
        pl.DataFrame({"symbol": ["A", "B"], "cancels": [1.0 * number, None]}).write_parquet(folder / "metrics.parquet")
        rows = [{"symbol": "A", "family": "cancels", "account": None}, {"symbol": "[red]B", "family": "depth", "account": 7}]
        (folder / "anomalies.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[: 3 - number]))
        (folder / "verdicts.jsonl").write_text("")
    return tmp_path


def ask(sql, *arguments):
    return CliRunner().invoke(main, ["history", "query", sql, *map(str, arguments)])


def test_several_runs_are_one_table(runs):
    done = ask("SELECT run, sum(cancels) AS n FROM metrics GROUP BY run ORDER BY run", runs / "run1", runs / "run2", "--json")
    rows = [json.loads(line) for line in done.output.splitlines()]
    assert [(row["run"][-4:], row["n"]) for row in rows] == [("run1", 1.0), ("run2", 2.0)]


def test_tables_can_be_joined_and_hostile_text_is_only_text(runs):
    done = ask("SELECT a.symbol, a.account FROM anomalies a ORDER BY a.symbol DESC", runs / "run1", runs / "run2")
    assert done.exit_code == 0
    assert "[red]B" in done.output
    joined = ask("SELECT m.cancels FROM anomalies a JOIN metrics m ON a.symbol = m.symbol", runs / "run1", "--json")
    assert json.loads(joined.output.splitlines()[0]) == {"cancels": 1.0}


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT nothing FROM metrics", "Tables here: anomalies, metrics"),
        ("SELECT * FROM verdicts", "Tables here"),
        ("DROP", "Tables here"),
        ("", "Tables here"),
    ],
)
def test_what_is_wrong_with_a_question_is_said(runs, sql, words):
    done = ask(sql, runs / "run1")
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())


def test_folders_without_a_run_and_damaged_files_are_said(runs, tmp_path):
    assert "holds what a run leaves" in " ".join(ask("SELECT 1", tmp_path / "none").output.split())
    (runs / "run1" / "metrics.parquet").write_bytes(b"PAR1 no")
    done = ask("SELECT * FROM metrics", runs / "run1")
    assert done.exit_code == 2
    assert "cannot be read" in done.output
