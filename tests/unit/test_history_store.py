"""The lasting store of many runs: what goes in comes out, once, whatever the order; what is torn or too old is said."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.cli import main
from monitor.history import store as store_module
from monitor.history.adding import add
from monitor.history.seal import seal
from monitor.history.store import Store, StoreError, is_store, locked, make_store, part_name
from monitor.history.tables import tables
from monitor.metrics.rows import SCHEMA

DAY = 86_400_000_000_000
FIRST = 20_454  # 2026-01-01, in days since 1970
HOSTILE = ["BTC/USDT:USDT", "..", "../../etc", ".", "a%2Fb", "x=y", "é 語", "*[a]?", "null", "__HIVE_DEFAULT", "k", "K",
           "a\\b", "line\nend", "'; DROP TABLE metrics", "123", "2026-01-01", " ", "-", "_", "symbol=A", "+", "~"]  # fmt: skip


def rows_of(symbols, ends, value=1.0):
    """Metric rows, one for each window and symbol; all metrics but `cancels` are missing."""
    every = [(end, symbol) for end in ends for symbol in symbols]
    filled = {
        "window_index": [end // 1_000_000_000 for end, _ in every],
        "window_start_ns": [end - 1_000_000_000 for end, _ in every],
        "window_end_ns": [end for end, _ in every],
        "phase": ["REPLAY"] * len(every),
        "symbol": [symbol for _, symbol in every],
        "cancels": [value * n for n in range(len(every))],
    }
    return pl.DataFrame({name: filled.get(name, [None] * len(every)) for name in SCHEMA}, schema=SCHEMA)


def a_run(folder: Path, rows, *, anomalies=(), verdicts=(), labels=None, **facts):
    """What a run leaves, with its summary and its seal."""
    folder.mkdir(parents=True)
    rows.write_parquet(folder / "metrics.parquet")
    for name, found in (("anomalies", anomalies), ("verdicts", verdicts), ("labels", labels)):
        if found is not None:
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in found))
    (folder / "audit.jsonl").write_text("{}\n")
    write_summary(folder, **facts)
    return folder


def write_summary(folder, **facts):
    hashes = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "summary.json"
    }
    summary = {"v": 1, "files": hashes, "wall": {"seconds": 1.0}, **facts}
    summary["seal"] = seal(summary)
    (folder / "summary.json").write_text(json.dumps(summary))


def day_ends(day, count=2):
    return [(FIRST + day) * DAY + (n + 1) * 1_000_000_000 for n in range(count)]


def line(symbol, end, **more):
    return {"symbol": symbol, "window_end_ns": end, "account": None, "accounts": [], **more}


def perpwatch(*arguments):
    return CliRunner().invoke(main, ["history", *map(str, arguments)])


def one_line(done, code=2):
    """The error, which must be one line."""
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert len(done.output.splitlines()) == 1, done.output
    return done.output


def everything(folders, *, but=("run",)):
    """Every row of every table, in an order of its own."""
    found = {}
    for name, frame in tables(folders).items():
        rows = frame.collect()
        listed = [{key: value for key, value in row.items() if key not in but} for row in rows.iter_rows(named=True)]
        if listed:
            found[name] = sorted(json.dumps(row, default=str, sort_keys=True) for row in listed)
    return found


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def run(tmp_path):
    ends = day_ends(0) + day_ends(1)
    lines = [line("A", end, family="cancels") for end in ends]
    return a_run(tmp_path / "run", rows_of(["A", "B"], ends), anomalies=lines, verdicts=lines[:1], labels=[{"end_ns": ends[0]}])


@pytest.fixture
def root(tmp_path, run):
    root = tmp_path / "store"
    with locked(root):
        add(make_store(root), run)
    return root


def test_a_run_lies_by_day_and_symbol_and_its_record_names_every_file(root, run):
    name = json.loads((run / "summary.json").read_text())["seal"][:16]
    parts = {path for path in files(root) if path.endswith(".parquet")}
    days = ("2026-01-01", "2026-01-02")
    assert parts == {
        *(f"metrics/day={day}/symbol={symbol}/{name}.parquet" for day in days for symbol in "AB"),
        *(f"anomalies/day={day}/{name}.parquet" for day in days),
        f"verdicts/day=2026-01-01/{name}.parquet",
        f"labels/day=2026-01-01/{name}.parquet",
    }
    record = Store(root).record(name)
    assert {f"{table}/{part}/{name}.parquet" for table, of in record.tables.items() for part in of.parts} == parts
    assert record.summary["files"]["metrics.parquet"]
    assert everything([root]) == everything([run])


def test_a_window_that_ends_at_midnight_is_of_the_day_before(tmp_path):
    folder = a_run(tmp_path / "run", rows_of(["A"], [(FIRST + 1) * DAY, (FIRST + 1) * DAY + 1]))
    perpwatch("add", tmp_path / "store", folder)
    for where in (folder, tmp_path / "store"):
        found = tables([where])["metrics"].collect()
        assert found["day"].to_list() == [date(2026, 1, 1), date(2026, 1, 2)]


def test_the_same_run_again_changes_no_byte_wherever_it_lies(root, run, tmp_path):
    before = files(root)
    moved = shutil.copytree(run, tmp_path / "elsewhere")
    summary = json.loads((moved / "summary.json").read_text())
    summary["wall"] = {"seconds": 99.0}
    (moved / "summary.json").write_text(json.dumps(summary))
    done = perpwatch("add", root, run, moved)
    assert done.exit_code == 0
    assert done.output.count("already; nothing was changed") == 2
    assert files(root) == before


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_in_any_order_twice_and_in_parts_a_store_answers_as_the_folders_do(data):
    symbols = st.lists(st.sampled_from([*HOSTILE, "A", "B"]) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
                       min_size=1, max_size=3, unique=True)  # fmt: skip
    ends = st.lists(st.integers(-2 * DAY, 3 * DAY), min_size=0, max_size=5, unique=True).map(
        lambda found: [FIRST * DAY + end for end in sorted(found)]
    )
    with TemporaryDirectory() as made:
        runs = []
        for n in range(data.draw(st.integers(1, 4), "runs")):
            names, times = data.draw(symbols), data.draw(ends)
            account = data.draw(st.sampled_from([None, 7, "a wallet"]))
            lines = [line(names[0], end, account=account, score=n + end % 7) for end in times]
            runs.append(a_run(Path(made) / f"run{n}", rows_of(names, times, n + 0.5), anomalies=lines, verdicts=lines[:2], n=n))
        order = data.draw(st.permutations(runs + runs[: data.draw(st.integers(0, len(runs)))]), "order")
        root = Path(made) / "store"
        at = 0
        while at < len(order):
            step = data.draw(st.integers(1, len(order)), "step")
            done = perpwatch("add", root, *order[at : at + step])
            assert done.exit_code == 0, done.output
            at += step
        assert everything([root]) == everything(runs)
        names = {json.loads((folder / "summary.json").read_text())["seal"][:16]: str(folder) for folder in runs}
        for name, frame in tables([root]).items():
            of_run = frame.group_by("run").len().collect()
            plain = {folder: count for folder, count in tables(runs)[name].group_by("run").len().collect().iter_rows()}
            assert {names[run]: count for run, count in of_run.iter_rows()} == plain


def test_hostile_symbols_come_back_unchanged_and_stay_within_the_store(tmp_path):
    folder = a_run(tmp_path / "run", rows_of(HOSTILE, day_ends(0)))
    outside = {path for path in files(tmp_path)}
    assert perpwatch("add", tmp_path / "store", folder).exit_code == 0
    assert {path for path in files(tmp_path) if not path.startswith("store/")} == outside
    found = tables([tmp_path / "store"])["metrics"]
    assert sorted(found.collect()["symbol"].unique()) == sorted(HOSTILE)
    for symbol in HOSTILE:
        asked = found.filter(pl.col("symbol") == symbol)
        assert asked.collect().height == 2, symbol
        assert asked.explain().count(".parquet") == 1, symbol
    folded = {part_name("2026-01-01", symbol).casefold() for symbol in HOSTILE}
    assert len(folded) == len(HOSTILE), "two symbols would be one folder where the file system folds case"


@pytest.mark.parametrize(
    ("symbol", "words"), [("", "means null"), ("__HIVE_DEFAULT_PARTITION__", "means null"), ("語" * 60, "at most 240")]
)
def test_symbols_that_no_folder_can_be_named_after_are_said(tmp_path, symbol, words):
    folder = a_run(tmp_path / "run", rows_of(["A", symbol], day_ends(0)))
    assert words in one_line(perpwatch("add", tmp_path / "store", folder))
    assert everything([tmp_path / "store"]) == {}


def test_a_condition_on_day_and_symbol_opens_only_those_files(root):
    asked = pl.SQLContext(tables([root]), eager=False).execute(
        "SELECT max(cancels) AS most FROM metrics WHERE symbol = 'A' AND day >= '2026-01-02'"
    )
    plan = asked.explain()
    assert plan.count(".parquet") == 1
    assert "day=2026-01-02/symbol=A/" in plan


def test_runs_of_other_metrics_and_folders_beside_a_store_are_one_table(root, run, tmp_path):
    wider = rows_of(["A"], day_ends(5)).with_columns(pl.lit(3.0).alias("a_metric_of_tomorrow"))
    later = a_run(tmp_path / "later", wider)
    perpwatch("add", root, later)
    assert everything([root]) == everything([run, later])
    asked = perpwatch(
        "query", "SELECT run, count(*) AS n FROM metrics WHERE day > '2026-01-01' GROUP BY run", root, run, "--json"
    )
    assert sorted(json.loads(row)["n"] for row in asked.output.splitlines()) == [2, 4, 4]


# What is wrong -----------------------------------------------------------------------------------------------------------


def spoil_summary(run, **changes):
    summary = json.loads((run / "summary.json").read_text()) | changes
    summary["seal"] = seal(summary)
    (run / "summary.json").write_text(json.dumps(summary))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda run: (run / "metrics.parquet").write_bytes((run / "metrics.parquet").read_bytes()[:-9]),
            "is torn or was changed",
        ),
        (lambda run: (run / "anomalies.jsonl").write_text('{"a": '), "is torn or was changed"),
        (lambda run: (run / "verdicts.jsonl").unlink(), "is missing, but the summary has it"),
        (lambda run: (run / "metrics_10s.parquet").write_bytes(b"x"), "is of another run"),
        (lambda run: (run / "summary.json").unlink(), "no run finished here"),
        (lambda run: (run / "summary.json").write_text('{"v": 1'), "is torn"),
        (lambda run: (run / "summary.json").write_text("[]"), "is no summary"),
        (lambda run: (run / "summary.json").write_text('{"v": 1, "files": {}, "seal": "x"}'), "does not match its seal"),
        (lambda run: spoil_summary(run, v=2), "schema version 2, this perpwatch knows 1"),
        (shutil.rmtree, "no run finished here"),
    ],
)
def test_a_run_that_is_not_whole_is_refused_in_one_line_and_changes_nothing(root, run, tmp_path, spoil, words):
    before = files(root)
    other = a_run(
        tmp_path / "other", rows_of(["C"], day_ends(3)), anomalies=[line("C", day_ends(3)[0])], verdicts=[line("C", 5)]
    )
    spoil(other)
    said = one_line(perpwatch("add", root, other))
    assert words in said
    assert str(other) in said
    assert files(root) == before


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (rows_of(["A"], day_ends(0)).drop("symbol"), "has no column symbol"),
        (rows_of(["A"], day_ends(0)).drop("window_end_ns"), "has no column window_end_ns"),
        (rows_of(["A"], day_ends(0)).with_columns(window_end_ns=pl.lit(None, pl.Int64)), "is not in every row"),
    ],
)
def test_rows_without_time_or_symbol_are_refused(tmp_path, rows, words):
    said = one_line(perpwatch("add", tmp_path / "store", a_run(tmp_path / "run", rows)))
    assert words in said


def test_what_is_no_store_is_not_made_one(run, tmp_path):
    assert "is no history store and not empty" in one_line(perpwatch("add", run, run))
    assert "is no history store" in one_line(perpwatch("drop", tmp_path / "nowhere", "--older-than", "1d"))
    assert not (tmp_path / "nowhere").exists()
    assert "must not hold '='" in one_line(perpwatch("add", tmp_path / "a=b", run))
    (tmp_path / "file").write_text("")
    assert "cannot be" in one_line(perpwatch("add", tmp_path / "file" / "store", run))


def test_a_store_is_not_a_run(root, tmp_path):
    assert "is a history store, not a run" in one_line(perpwatch("add", tmp_path / "other", root))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is torn"),
        ('{"v":2}', "is of version 2, this perpwatch knows 1"),
        ("[]", "is torn"),
        ('{"v":1,"kind":"other","kept_from":""}', "is torn"),
        ('{"v":1,"kind":"perpwatch-history","kept_from":"","more":1}', "is torn"),
    ],
)
def test_a_head_of_another_version_or_torn_is_said(root, run, text, words):
    (root / "store.json").write_text(text)
    for arguments in (("add", root, run), ("drop", root, "--older-than", "1d"), ("query", "SELECT 1", root)):
        assert words in one_line(perpwatch(*arguments))


def test_torn_and_missing_files_of_a_store_are_said_and_an_add_mends_them(root, run):
    whole = files(root)
    name = next(path for path in whole if path.startswith("metrics/"))
    (root / name).write_bytes(whole[name][:-5])
    said = one_line(perpwatch("query", "SELECT 1 FROM metrics", root))
    assert f"{name}: is torn" in said
    assert "add the run" in said
    (root / name).unlink()
    assert f"{name}: is missing" in one_line(perpwatch("query", "SELECT 1 FROM metrics", root))
    assert "was added" in perpwatch("add", root, run).output
    assert files(root) == whole


def test_a_file_damaged_within_is_one_line_too(root):
    name = next(path for path in files(root) if path.startswith("metrics/"))
    (root / name).write_bytes(b"\0" * (root / name).stat().st_size)
    one_line(perpwatch("query", "SELECT max(cancels) FROM metrics", root))


@pytest.mark.parametrize("part", ["../../day=2026-01-01", "day=2026-01-01/symbol=../x", "day=x"])
def test_a_record_cannot_lead_out_of_the_store(root, part):
    path = next((root / "runs").glob("*.json"))
    record = json.loads(path.read_text())
    record["tables"]["metrics"]["parts"] = {part: [1, 1]}
    path.write_text(json.dumps(record))
    assert "is no place in a store" in one_line(perpwatch("query", "SELECT 1 FROM metrics", root))
    assert "is no place in a store" in one_line(perpwatch("drop", root, "--before", "2027-01-01"))


@pytest.mark.parametrize("fails_at", range(10))
def test_an_add_that_dies_leaves_nothing_to_see_and_can_be_done_again(run, tmp_path, monkeypatch, fails_at):
    """Kills the add before its n-th rename: the head, eight parts, the record."""
    root, calls = tmp_path / "store", iter(range(100))
    replace = Path.replace

    def dying(self, target):
        if next(calls) == fails_at:
            raise OSError(28, "No space left on device", str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    assert "No space left" in one_line(perpwatch("add", root, run))
    monkeypatch.undo()
    assert not is_store(root) or everything([root]) == {}
    assert not list(root.rglob("*.tmp"))
    assert perpwatch("add", root, run).exit_code == 0
    assert everything([root]) == everything([run])


def test_two_at_work_on_one_store_are_one_too_many(root, run):
    with locked(root):
        assert "another add or drop is at work" in one_line(perpwatch("add", root, run))
        assert "another add or drop is at work" in one_line(perpwatch("drop", root, "--older-than", "1d"))


# Retention ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forty_days(tmp_path_factory):
    """Four runs of ten days and two symbols, and a store of them."""
    root = tmp_path_factory.mktemp("forty")
    runs = [
        a_run(root / f"run{n}", rows_of(["A", "b/c"], [end for day in range(10 * n, 10 * n + 10) for end in day_ends(day)]))
        for n in range(4)
    ]
    assert perpwatch("add", root / "store", *runs).exit_code == 0
    return root


@pytest.fixture
def forty(forty_days, tmp_path):
    return shutil.copytree(forty_days / "store", tmp_path / "store")


def days_of(root):
    found = tables([root]).get("metrics")
    return [] if found is None else sorted({str(day) for day in found.collect()["day"]})


@pytest.mark.parametrize(
    ("option", "first", "count"),
    [
        (("--older-than", "30d"), "2026-01-10", 31),
        (("--older-than", "2w"), "2026-01-26", 15),
        (("--older-than", "0d"), "2026-02-09", 1),
        (("--older-than", "400w"), "2026-01-01", 40),
        (("--older-than", "99999w"), "2026-01-01", 40),
        (("--before", "2026-02-01"), "2026-02-01", 9),
    ],
)
def test_days_are_dropped_against_the_newest_day_and_what_went_is_said(forty, option, first, count):
    done = perpwatch("drop", forty, *option)
    assert done.exit_code == 0, done.output
    assert days_of(forty)[0] == first
    assert len(days_of(forty)) == count
    on_disk = {path.parts[-3] for path in forty.rglob("*.parquet")}
    assert len(on_disk) == count, "the files are gone, too"
    gone = 40 - count
    said = f"{gone * 2} files, {gone * 4} rows" if gone else "nothing was dropped"
    assert said in done.output
    assert f"{count} day" in done.output
    assert len(list((forty / "runs").glob("*.json"))) == math.ceil(count / 10)
    again = perpwatch("drop", forty, *option)
    assert "nothing was dropped" in again.output


def test_what_was_dropped_does_not_come_back_and_that_is_said(forty, forty_days, tmp_path):
    perpwatch("drop", forty, "--before", "2026-01-15")
    before = files(forty)
    done = perpwatch("add", forty, *(forty_days / f"run{n}" for n in range(4)))
    assert "10 days (2026-01-01 to 2026-01-10) left out" in done.output
    assert files(forty) == before
    fresh = a_run(tmp_path / "fresh", rows_of(["A"], day_ends(13) + day_ends(14), 9.0))
    done = perpwatch("add", forty, fresh)
    assert "1 day (2026-01-14) left out" in done.output
    assert "1 day (2026-01-15)" in done.output
    assert days_of(forty)[0] == "2026-01-15"


def test_all_days_may_go(forty):
    assert "40 days" in perpwatch("drop", forty, "--before", "2030-01-01").output
    assert days_of(forty) == []
    assert "has no rows" in perpwatch("drop", forty, "--older-than", "1d").output
    assert "holds what a run leaves" in one_line(perpwatch("query", "SELECT 1", forty))


def test_a_drop_that_dies_is_seen_as_done_and_the_next_one_sweeps(forty, monkeypatch):
    def dying(self, records):
        raise StoreError("the end")

    monkeypatch.setattr(store_module.Store, "_sweep", dying)
    one_line(perpwatch("drop", forty, "--older-than", "1w"))
    monkeypatch.undo()
    assert len(days_of(forty)) == 8
    mine = forty / "metrics" / "README"
    mine.write_text("not a file of the store")
    done = perpwatch("drop", forty, "--older-than", "1w")
    assert "64 files that interrupted work had left" in done.output
    assert len(list(forty.rglob("*.parquet"))) == 16
    assert mine.exists()


@pytest.mark.parametrize("arguments", [(), ("--older-than", "1d", "--before", "2026-01-01")])
def test_a_drop_must_say_what(forty, arguments):
    assert "give either" in one_line(perpwatch("drop", forty, *arguments))


@pytest.mark.parametrize(
    "option", [("--older-than", "30"), ("--older-than", "-1d"), ("--older-than", "1m"), ("--before", "soon")]
)
def test_an_age_or_a_day_that_cannot_be_read_is_said(forty, option):
    done = perpwatch("drop", forty, *option)
    assert done.exit_code == 2
    assert "give" in done.output
    assert len(days_of(forty)) == 40
