"""The guardrails' state machine, rules, pack and audit, one rule of the book at a time."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from monitor.guardrails.engine import GuardEngine
from monitor.guardrails.pack import Horizon, PackError, load_core, parse_pack
from monitor.guardrails.rules import PriceMemory, price_bounds
from monitor.guardrails.verdict import NS_PER_S, START, Level, Thresholds, advance
from monitor.metrics.catalogue import METRIC_NAMES

AT = Thresholds(
    warn=10.0, breach=20.0, halt=40.0, halt_after_ns=0, hysteresis=0.1, dwell_ns=60 * NS_PER_S, halt_min_ns=300 * NS_PER_S
)


def walk(values, at=AT, seconds=1):
    """The levels after each of `values`, one window every `seconds`."""
    state, levels = START, []
    for i, value in enumerate(values, 1):
        state = advance(state, value, at, i * seconds * NS_PER_S)
        levels.append(state.level)
    return levels


def test_a_missing_input_is_unknown_and_never_ok():
    assert walk([None, None]) == [Level.UNKNOWN, Level.UNKNOWN]


@pytest.mark.parametrize(
    ("value", "level"),
    [(9.999, Level.OK), (10.0, Level.WARN), (20.0, Level.BREACH), (39.9, Level.BREACH), (40.0, Level.HALT), (1e9, Level.HALT)],
)
def test_a_level_is_entered_at_its_threshold_at_once(value, level):
    assert walk([0.0, value])[-1] == level


def test_a_level_is_left_only_after_the_dwell_below_the_hysteresis_band():
    assert walk([10.0] + [8.9] * 60)[-1] == Level.WARN
    assert walk([10.0] + [8.9] * 61)[-1] == Level.OK


def test_within_the_hysteresis_band_a_level_is_never_left():
    assert walk([10.0] + [9.1] * 1000)[-1] == Level.WARN


def test_one_touch_of_the_band_starts_the_dwell_anew():
    assert walk([10.0] + [8.9] * 59 + [9.5] + [8.9] * 60)[-1] == Level.WARN


def test_from_breach_one_steps_down_to_the_level_whose_band_holds():
    assert walk([20.0] + [9.5] * 61)[-1] == Level.WARN
    assert walk([20.0] + [1.0] * 61)[-1] == Level.OK


def test_a_breach_is_not_washed_away_by_an_input_that_goes_missing():
    assert walk([20.0, None, 15.0]) == [Level.BREACH, Level.UNKNOWN, Level.BREACH]


def test_a_halt_outlasts_its_timer_and_a_missing_input():
    assert walk([40.0] + [0.0] * 299)[-1] == Level.HALT
    assert walk([40.0] + [0.0] * 300)[-1] == Level.OK
    assert walk([40.0] + [None] * 1000)[-1] == Level.HALT


def test_a_breach_held_long_enough_halts_where_the_rule_says_so():
    at = msgspec.structs.replace(AT, halt=None, halt_after_ns=15 * NS_PER_S)
    assert walk([20.0] * 15, at)[-1] == Level.BREACH
    assert walk([20.0] * 16, at)[-1] == Level.HALT


def test_price_bounds_are_unknown_until_a_tenth_of_a_horizon_was_seen():
    horizons = (Horizon(seconds=60, bound=0.05),)
    memory = PriceMemory()
    for i in range(6):
        memory, used = price_bounds(horizons, memory, 100.0)
        assert used is None, i
    _, used = price_bounds(horizons, memory, 105.0)
    assert used == pytest.approx(1.0, rel=1e-12)


def test_price_bounds_take_the_horizon_that_is_used_most():
    horizons = (Horizon(seconds=10, bound=0.10), Horizon(seconds=20, bound=0.01))
    memory = PriceMemory(tuple([100 * 10**9] * 20))
    _, used = price_bounds(horizons, memory, 99.0)
    assert used == pytest.approx(1.0, rel=1e-12)


def test_the_memory_of_prices_is_bounded():
    horizons = (Horizon(seconds=10, bound=0.1), Horizon(seconds=30, bound=0.1))
    memory = PriceMemory()
    for price in range(1, 200):
        memory, _ = price_bounds(horizons, memory, float(price))
    assert len(memory.prices) == 30
    assert memory.prices[-1] == 199 * 10**9


PACK = load_core(METRIC_NAMES)
QUIET = {"index_age_ms": 100.0, "mark_age_ms": 100.0, "book_age_ms": 5.0, "crossed_ms": 0.0, "gaps": 0.0, "mark_index_bps": 2.0,
         "last_usd": 100.0, "messages": 50.0, "hhi_open_interest": 0.01}  # fmt: skip


def window(**changes):
    row = np.full(len(METRIC_NAMES), math.nan)
    for name, value in {**QUIET, **changes}.items():
        row[METRIC_NAMES.index(name)] = value
    return row


def judged(*rows):
    guard = GuardEngine(("BTC-PERP",), METRIC_NAMES, PACK)
    ends = np.arange(1, len(rows) + 1, dtype=np.int64) * NS_PER_S
    return guard.process(ends, np.stack(rows)[:, None, :])


@pytest.mark.parametrize(
    ("metric", "value", "rule", "level"),
    [
        ("index_age_ms", 5_000.0, "index_staleness", "warn"),
        ("index_age_ms", 60_000.0, "index_staleness", "breach"),
        ("mark_age_ms", 61_000.0, "mark_staleness", "breach"),
        ("mark_index_bps", -100.0, "mark_index_divergence", "warn"),
        ("mark_index_bps", 1000.0, "mark_index_divergence", "halt"),
        ("messages", 2_000.0, "message_rate", "breach"),
        ("last_usd", 110.0, "price_bounds", "breach"),
        ("crossed_ms", 500.0, "crossed_book", "breach"),
        ("gaps", 1.0, "feed_gap", "warn"),
        ("hhi_open_interest", 0.25, "open_interest_concentration", "breach"),
        ("book_age_ms", math.nan, "book_staleness", "unknown"),
    ],
)
def test_each_rule_of_the_core_pack_speaks_for_its_metric_and_no_other(metric, value, rule, level):
    output = judged(*[window()] * 40, window(**{metric: value}))
    last = [v for v in output.verdicts if v.window_end_ns == 41 * NS_PER_S]
    assert [(v.rule, v.level) for v in last] == [(rule, level)]
    assert last[0].pack_sha256 == PACK.sha256


def test_quiet_windows_end_with_every_rule_ok():
    output = judged(*[window()] * 40)
    assert {state.state for state in output.states} == {"ok"}
    assert {state.rule for state in output.states} == {rule.name for rule in PACK.rules}


def test_the_chain_starts_with_the_pack_and_holds_one_record_a_window():
    output = judged(window(), window())
    records = [msgspec.json.decode(entry.record) for entry in output.audit]
    assert [record["n"] for record in records] == [0, 1, 2]
    assert records[0]["pack_sha256"] == PACK.sha256
    assert [record["prev"] for record in records[1:]] == [record["hash"] for record in records[:-1]]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("hysteresis = 0.10", "hysteresis = 1.5", "hysteresis"),
        ("warn = 5000.0", "warn = 70000.0", "index_staleness"),
        ('input = "index_age_ms"', 'input = "no_such_metric"', "no_such_metric"),
        ('name = "mark_staleness"', 'name = "index_staleness"', "stands twice"),
        ("dwell_s = 60", "dwel_s = 60", "dwel"),
        ('kind = "price_bounds"', 'kind = "threshold"', "horizons"),
    ],
)
def test_a_wrong_pack_is_refused_with_the_key_named(old, new, named):
    from importlib import resources

    text = resources.files("monitor.guardrails").joinpath("core.toml").read_text()
    assert old in text
    with pytest.raises(PackError, match=named):
        parse_pack(text.replace(old, new, 1), METRIC_NAMES)


def test_rows_of_another_shape_are_refused():
    guard = GuardEngine(("A", "B"), METRIC_NAMES, PACK)
    with pytest.raises(ValueError, match=r"shape \(1, 1, "):
        guard.process(np.array([1]), window()[None, None, :])
