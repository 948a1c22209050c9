"""The scoreboard: every measure on drills whose figures are known, and a page that shows names as they are."""

from __future__ import annotations

import io
import json
import math
import re
import sys
import types
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sklearn.metrics import average_precision_score

from models.baselines import BASELINES
from models.detectors.reads import METRICS_OF
from monitor.evaluate_cli import evaluate as command
from monitor.metrics.catalogue import METRIC_NAMES
from monitor.scoreboard import measures
from monitor.scoreboard.page import page
from monitor.scoreboard.results import FamilyMethod, ScenarioMethod, Scoreboard, rounded, spread
from monitor.scoreboard.run import encoded, evaluate, write
from monitor.scoreboard.seeds import REPORTING_SEEDS, TUNING_SEEDS, kind_of, reporting_seeds, tuning_seeds
from monitor.scoreboard.terminal import show
from tests.drilled import LIVE, LONG, SECOND, WARM, drilled, end_ns, label, line, verdict

GRACE = 10
LASTING = range(10, 20 + GRACE)
"""Live windows of the usual label, grace and all."""


def of(board: Scoreboard, family: str = "cancels", method: str = "perpwatch") -> FamilyMethod:
    return next(one for row in board.families if row.family == family for one in row.methods if one.method == method)


def within(board: Scoreboard, scenario: str, method: str = "perpwatch") -> ScenarioMethod:
    return next(one for row in board.scenarios if row.scenario == scenario for one in row.methods if one.method == method)


# --- Measures


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60))
def test_average_precision_is_scikit_learns(rows: list[tuple[bool, int, int]]) -> None:
    positive, primary, secondary = (np.array(column) for column in zip(*rows, strict=True))
    found = measures.average_precision(positive, primary.astype(float), secondary.astype(float))
    if positive.any():
        assert found == pytest.approx(average_precision_score(positive, primary * 10 + secondary))
    else:
        assert found is None


def test_average_precision_of_rows_without_a_line() -> None:
    positive = np.array([True, True, False, False])
    silent = np.full(4, -np.inf)
    assert measures.average_precision(positive, silent, silent) == 0.5
    primary = np.array([-1e-6, -np.inf, -np.inf, -np.inf])
    assert measures.average_precision(positive, primary, primary) == pytest.approx(0.5 + 0.5 * 2 / 4)


def test_a_label_has_the_windows_it_overlaps_and_a_grace() -> None:
    ends = np.array([end_ns(live) for live in range(LIVE)])
    np.testing.assert_array_equal(np.flatnonzero(measures.inside(label(), ends, SECOND)), list(LASTING))


def test_a_matched_threshold_lets_as_many_pass() -> None:
    quiet = np.array([1.0, 5.0, 3.0, np.nan, 2.0])
    assert [int(np.sum(quiet > measures.matched_threshold(quiet, alarms))) for alarms in range(4)] == [0, 1, 2, 3]
    assert measures.matched_threshold(quiet, 4) is None
    tied = np.array([7.0, 7.0, 7.0, 1.0])
    assert np.sum(tied > measures.matched_threshold(tied, 2)) == 0


def test_alarms_close_together_are_one_event() -> None:
    ends = np.arange(1, 101) * SECOND
    alarm = np.zeros((100, 2), np.bool_)
    alarm[[5, 6, 36, 67], 0] = True
    alarm[6, 1] = True
    assert measures.events(alarm, ends) == 3


def test_the_interval_is_clopper_and_pearsons() -> None:
    # Tables give 0.0252 to 0.5561 for 2 of 10, and 1 - 0.025 ** (1 / 10) above none of 10.
    assert measures.interval(2, 10) == (pytest.approx(0.02521, abs=1e-5), pytest.approx(0.55610, abs=1e-5))
    assert measures.interval(0, 10) == (0.0, pytest.approx(1 - 0.025**0.1))
    assert measures.interval(10, 10) == (pytest.approx(0.025**0.1), 1.0)
    assert measures.interval(0, 0) == (0.0, 1.0)


def test_spreads_leave_out_what_was_not_measured() -> None:
    assert spread([None, 1.0, 4.0, 1.0]) == spread([1.0, 1.0, 4.0])
    assert (spread([1.0, 1.0, 4.0]).mean, spread([1.0, 1.0, 4.0]).median, spread([]).mean) == (2.0, 1.0, None)
    with pytest.raises(ValueError, match="nan is not a measure"):
        rounded(math.nan)


# --- Boards


def test_a_perfect_detector_scores_one() -> None:
    found = tuple(line(live) for live in LASTING)
    board = evaluate([drilled(), drilled("burst", labels=(label(),), lines=found)])
    assert of(board).average_precision.mean == 1.0
    assert within(board, "burst").average_precision == spread([1.0])
    assert (of(board).recall.hits, of(board).recall.of) == (1, 1)
    assert of(board).delay_windows.median == 0
    assert of(board).quiet.windows == 0


def test_a_missed_incident_is_not_found_by_other_symbols_families_or_times() -> None:
    found = (line(12, symbol="B"), line(12, family="depth"), line(40), line(12, rate=2e-3))
    board = evaluate([drilled(), drilled("burst", labels=(label(),), lines=found)])
    assert (of(board).recall.hits, of(board).recall.of, of(board).recall.share) == (0, 1, 0.0)
    assert of(board).delay_windows.count == 0
    assert of(board).delay_windows.median is None
    # One window of 20 has a line, in the third place; the rest tie with everything at the end.
    places = LIVE * 2
    expected = 1 / 20 * 1 / 3 + 19 / 20 * 20 / places
    assert within(board, "burst").average_precision.mean == pytest.approx(expected, rel=1e-5)


def test_delay_is_from_the_start_to_the_first_alarm_and_medians_are_over_seeds() -> None:
    runs = [
        run
        for seed, late in ((9000, 3), (9001, 5), (9002, 19))
        for run in (drilled(seed=seed), drilled("burst", seed, labels=(label(),), lines=(line(9), line(10 + late))))
    ]
    board = evaluate(runs)
    assert of(board).delay_windows == spread([3.0, 5.0, 19.0])
    assert board.families[0].seeds == 3
    assert board.seeds == (9000, 9001, 9002)
    assert board.seed_kind == "reporting"
    assert of(board).average_precision.count == 3


@pytest.mark.parametrize(("alarm", "lead"), [(12, 13.0), (27, -2.0)])
def test_lead_is_before_the_first_liquidation(alarm: int, lead: float) -> None:
    cascade = label("leverage", metrics=("liquidations",))
    run = drilled("cascade", labels=(cascade,), lines=(line(alarm, "leverage"),), liquidated=(3, 25, 26))
    assert of(evaluate([run]), "leverage").lead_s == spread([lead])


def test_there_is_no_lead_without_a_cascade_or_an_alarm() -> None:
    cascade = label("leverage", metrics=("liquidations",))
    other = label("leverage", metrics=("leverage_p90",))
    for one, lines, forced in (
        (cascade, (), (25,)),
        (cascade, (line(12, "leverage"),), ()),
        (other, (line(12, "leverage"),), (25,)),
    ):
        board = evaluate([drilled("cascade", labels=(one,), lines=lines, liquidated=forced)])
        assert of(board, "leverage").lead_s.count == 0


def test_false_alarms_of_benign_runs() -> None:
    benign = label(benign=True)
    lines = (line(12), line(13), line(55, "depth"), line(12, symbol="B", rate=5e-3))
    board = evaluate([drilled(), drilled("fair", labels=(benign,), lines=lines)])
    days = 2 * LIVE / 86_400
    got = of(board)
    assert (got.benign.windows, got.benign.events, got.benign.symbol_days) == (2, 1, rounded(days))
    assert got.benign.events_per_symbol_day == rounded(1 / days)
    assert (got.benign_alarmed.hits, got.benign_alarmed.of) == (1, 1)
    assert (of(board, "depth").benign.windows, of(board, "depth").benign_alarmed.hits) == (1, 0)
    # A benign scenario is judged by all families together, and has no precision to speak of.
    assert (within(board, "fair").false_alarms.windows, within(board, "fair").benign_alarmed.hits) == (3, 1)
    assert within(board, "fair").average_precision.count == 0
    assert board.scenarios[0].benign
    assert board.families[0].events == 0


def test_rates_are_counted_on_quiet_windows() -> None:
    lines = (line(5), line(6, rate=5e-3), line(-7, rate=5e-6), line(8, "depth"), line(-WARM - 1, rate=5e-3))
    board = evaluate([drilled(lines=lines, history=LONG), drilled("burst", labels=(label(),), lines=(line(5),), history=LONG)])
    windows = (WARM + LIVE) * 2
    rates = board.families[0].rates
    assert [(rate.stated, rate.hits) for rate in rates] == [(1e-2, 3), (1e-3, 2), (1e-4, 2)]
    assert {rate.windows for rate in rates} == {windows}
    assert rates[0].realised == rounded(3 / windows)
    assert (rates[0].low, rates[0].high) == tuple(rounded(x) for x in measures.interval(3, windows))
    assert (of(board).quiet.windows, of(board).quiet.events) == (2, 1)
    assert board.families[-1].family == "market"
    assert board.families[-1].rates == ()


def test_baselines_alarm_as_often_on_quiet_windows_and_find_a_burst() -> None:
    bursts = tuple((live, 0) for live in LASTING)
    runs = [
        drilled(lines=(line(5), line(6), line(7)), history=LONG),
        drilled("burst", labels=(label(),), bursts=bursts, history=LONG),
    ]
    board = evaluate(runs)
    for method in BASELINES:
        assert of(board, method=method).quiet.windows == 3, method
        assert of(board, method=method).recall.hits == 1, method
        assert of(board, method=method).delay_windows.median == 0, method
        assert of(board, method=method).average_precision.mean > 0.3, method
    assert of(board).recall.hits == 0


@pytest.mark.slow
def test_what_was_learnt_is_the_same_whether_kept_or_learnt_again() -> None:
    quiet, one = drilled(history=LONG), drilled("one", labels=(label(),), bursts=((12, 0),), history=LONG)
    elsewhere = drilled(seed=9001, history=LONG)
    kept = evaluate([quiet, one, elsewhere])
    again = evaluate([quiet, elsewhere, one])
    assert encoded(kept) == encoded(again)


def test_baselines_without_a_quiet_run_have_no_threshold() -> None:
    board = evaluate([drilled("burst", labels=(label(),), lines=(line(12),), history=LONG)])
    assert of(board).recall.hits == 1
    assert of(board).quiet is None
    for method in BASELINES:
        got = of(board, method=method)
        assert (got.threshold, got.recall.of, got.recall.share) == (None, 0, None)
        assert got.average_precision.count == 1


def test_a_short_history_leaves_baselines_unmeasured() -> None:
    board = evaluate([drilled(), drilled("burst", labels=(label(),), lines=(line(12),))])
    assert of(board, method="robust z").average_precision.mean is None
    assert of(board, method="robust z").recall.share is None
    assert of(board).recall.share == 1.0


@pytest.mark.parametrize(
    ("feature", "metrics", "named"),
    [
        ("cancel_to_trade_ratio", ("trades",), (1, 1)),
        ("cancels", ("trades",), (0, 1)),
        ("cancels", (), (0, 0)),
        ("top_account_cancels", ("top_cancel_share",), (1, 1)),
    ],
)
def test_the_best_line_names_a_metric(feature: str, metrics: tuple[str, ...], named: tuple[int, int]) -> None:
    lines = (line(12, rate=5e-6, feature="fleeting_cancels"), line(14, rate=1e-7, feature=feature), line(40, rate=1e-11))
    board = evaluate([drilled("burst", labels=(label(metrics=metrics),), lines=lines)])
    share = board.families[0].named_metric
    assert (share.hits, share.of) == named
    assert board.scenarios[0].named_metric == share


def test_a_missed_incident_names_nothing() -> None:
    run = drilled("burst", labels=(label(metrics=("cancels",), accounts=(7,)),), lines=(line(12, rate=5e-3, accounts=(7,)),))
    board = evaluate([run])
    assert (board.families[0].named_metric.of, board.families[0].named_account.of) == (0, 0)


@pytest.mark.parametrize(
    ("labelled", "given", "named"),
    [((7, 8), (8, 1), (1, 1)), ((7,), (1, 7), (0, 1)), ((), (7,), (0, 0)), ((7,), (), (0, 0))],
)
def test_the_first_account_is_a_labelled_one(labelled: tuple[int, ...], given: tuple[int, ...], named: tuple[int, int]) -> None:
    board = evaluate([drilled("burst", labels=(label(accounts=labelled),), lines=(line(12, accounts=given),))])
    share = board.families[0].named_account
    assert (share.hits, share.of) == named


def test_trips_of_rules_are_rises_inside_and_outside_labels() -> None:
    verdicts = (
        verdict(-5, "warn", "ok"), verdict(12, "breach", "warn"), verdict(14, "warn", "breach"), verdict(15, "ok", "warn"),
        verdict(16, "unknown", "ok"), verdict(17, "warn", "unknown"), verdict(18, "warn", "ok", "B"), verdict(50, "warn", "ok"),
    )  # fmt: skip
    labels = (label(), label("depth", 48, 52, benign=True))
    board = evaluate([drilled(verdicts=(verdict(3, "halt", "ok"),)), drilled("burst", labels=labels, verdicts=verdicts)])
    told = {(trips.rule, trips.level): (trips.inside, trips.benign, trips.outside) for trips in board.trips}
    assert told == {
        ("message_rate", "warn"): (1, 1, 1),
        ("message_rate", "breach"): (1, 0, 0),
        ("message_rate", "halt"): (0, 0, 1),
    }
    assert len(board.scenarios[0].trips) == 2


def test_an_incident_of_the_market_is_told_by_any_family() -> None:
    run = drilled(
        "crash",
        labels=(label("market", metrics=("spread_bps",)),),
        lines=(line(12, "depth", feature="spread_bps"),),
        history=LONG,
    )
    board = evaluate([drilled(history=LONG), run])
    assert of(board, "market").recall.hits == 1
    assert (board.families[-1].named_metric.hits, board.families[-1].named_metric.of) == (1, 1)
    assert all(of(board, "market", method).recall.of == 1 for method in BASELINES)


def test_a_scenario_of_two_families_has_a_row_of_each() -> None:
    labels = (label(), label("depth", 30, 40))
    board = evaluate([drilled("both", labels=labels, lines=(line(12),))])
    assert [(row.scenario, row.family, row.methods[0].recall.share) for row in board.scenarios] == [
        ("both", "cancels", 1.0), ("both", "depth", 0.0),
    ]  # fmt: skip


def test_a_label_of_an_unknown_symbol_is_refused() -> None:
    with pytest.raises(ValueError, match="label 'incident' is of 'Z', no symbol of the run"):
        evaluate([drilled("burst", labels=(label(symbol="Z"),))])


def test_every_feature_is_made_of_metrics() -> None:
    assert METRICS_OF["cancels", "top_account_cancels"] == ("top_cancel_share", "cancels")
    assert METRICS_OF["leverage", "open_interest_change_bps"] == ("open_interest_usd",)
    assert all(set(metrics) <= set(METRIC_NAMES) for metrics in METRICS_OF.values())


def test_seeds_are_apart() -> None:
    assert not set(TUNING_SEEDS) & set(REPORTING_SEEDS)
    assert (tuning_seeds(2), reporting_seeds(2)) == ((1000, 1001), (9000, 9001))
    assert [kind_of(seeds) for seeds in ((1000,), (9001, 9002), (1000, 9000), (1,), ())] == [
        "tuning", "reporting", "mixed", "other", "other",
    ]  # fmt: skip
    for count in (0, 1001):
        with pytest.raises(ValueError, match="1 to 1,000"):
            reporting_seeds(count)


# --- What is written and shown

HOSTILE = '<script>alert("x")</script>&[bold]'


@pytest.fixture(scope="module")
def board() -> Scoreboard:
    symbols = ("A", "<img src=x onerror=alert(1)>")
    found = {
        "labels": (label(symbol=symbols[1], metrics=("cancels",)),),
        "lines": (line(12, symbol=symbols[1]),),
        "verdicts": (verdict(12, "warn", "ok", rule=HOSTILE),),
    }
    runs = [
        drilled(lines=(line(5),), symbols=symbols, history=LONG),
        drilled(HOSTILE, symbols=symbols, history=LONG, **found),
        drilled("fair", labels=(label("depth", benign=True),), symbols=symbols, history=LONG),
    ]
    return evaluate(runs, {HOSTILE: HOSTILE})


def test_json_is_sorted_whole_and_always_the_same(board: Scoreboard, tmp_path: Path) -> None:
    data, shown = write(board, tmp_path / "new")
    first = data.read_bytes(), shown.read_bytes()
    assert write(board, tmp_path / "new") == (data, shown)
    assert (data.read_bytes(), shown.read_bytes()) == first
    told = json.loads(first[0], parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert list(told) == sorted(told)
    assert (told["seeds"], told["seed_kind"]) == ([9000], "reporting")
    assert told["software"].startswith("perpwatch ")
    assert {row["scenario"]: row["strengths"] for row in told["scenarios"]} == {HOSTILE: [1.0], "fair": [1.0]}


def test_hostile_names_are_escaped_on_the_page(board: Scoreboard) -> None:
    text = page(board)
    ours = text[text.index("<body>") :]
    assert "<script>alert" not in ours
    assert "alert(&quot;x&quot;)" in ours
    assert "<img" not in ours
    assert not re.search(r"""(?:src|href)=["']?https?:""", ours)


def test_the_terminal_shows_every_table_and_names_as_they_are(board: Scoreboard) -> None:
    console = Console(file=io.StringIO(), width=200)
    show(board, console)
    shown = console.file.getvalue()
    for words in (HOSTILE, "cancels: 1 incidents", "perpwatch", "HalfSpaceTrees", "fair", "realised", "guardrails"):
        assert words in shown


def test_a_board_of_nothing_can_be_shown(tmp_path: Path) -> None:
    nothing = evaluate([])
    write(nothing, tmp_path)
    show(nothing, Console(file=io.StringIO()))
    assert (nothing.seeds, nothing.seed_kind, nothing.scenarios) == ((), "other", ())


# --- The command


class _Scenario:
    says = "a burst"


@pytest.fixture
def drills(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules that the command takes its drills from."""
    scenarios, run = types.ModuleType("engine.simulation.scenarios"), types.ModuleType("monitor.drills.run")
    scenarios.SCENARIOS = {"burst": _Scenario(), "other": _Scenario()}

    def drills(names, seed, variant):
        assert variant == "standard"
        yield drilled(seed=seed)
        for name in names:
            yield drilled(name, seed, labels=(label(),), lines=(line(12),))

    run.drills = drills
    monkeypatch.setitem(sys.modules, "engine.simulation.scenarios", scenarios)
    monkeypatch.setitem(sys.modules, "monitor.drills.run", run)


@pytest.mark.usefixtures("drills")
def test_the_command_runs_what_it_was_asked_for(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["--scenarios", "burst", "--seeds", "2", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "out" / "scoreboard.json").read_bytes())
    assert told["seeds"] == [9000, 9001]
    assert [(row["scenario"], row["says"]) for row in told["scenarios"]] == [("burst", "a burst")]
    assert "seed 9001: burst" in done.stderr
    assert (tmp_path / "out" / "scoreboard.html").exists()


@pytest.mark.usefixtures("drills")
def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for arguments, says in (
        (["--scenarios", "none"], "perpwatch: there is no scenario 'none'; there are burst, other\n"),
        (["--seeds", "1", "--out", str(tmp_path / "file" / "x")], f"perpwatch: {tmp_path}/file/x: Not a directory\n"),
    ):
        done = CliRunner().invoke(command, arguments)
        assert (done.exit_code, done.stderr) == (2, says)


def test_a_line_that_was_expected_is_ranked_but_raises_no_alarm() -> None:
    lines = tuple(line(live, "depth") for live in range(12, 18))
    known = tuple(msgspec.structs.replace(one, expected="funding") for one in lines)
    plain, excused = (
        evaluate([drilled(history=LONG), drilled("dip", labels=(label("depth"),), lines=found)]) for found in (lines, known)
    )
    assert (of(plain, "depth").recall.hits, of(excused, "depth").recall.hits) == (1, 0)
    assert of(excused, "depth").average_precision == of(plain, "depth").average_precision
