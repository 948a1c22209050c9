"""The index from constituents: outliers, silence, exclusion, review, and what a source may not say."""

from __future__ import annotations

from fractions import Fraction

import pytest

from engine.prices.index import POLICIES, IndexPolicy, IndexState, Quote, readmit, step

S = 10**9
WEIGHTS = {"a": 1, "b": 1, "c": 1, "d": 1}


def run(policy, *rounds, weights=WEIGHTS, state=None):
    """(state, last reading) after rounds of (time in s, prices by name)."""
    state = state or IndexState()
    for at, prices in rounds:
        state, reading = step(state, POLICIES[policy], weights, {n: Quote(p, at * S) for n, p in prices.items()}, at * S)
    return state, reading


def test_a_far_source_is_dropped_and_two_make_it_the_median():
    _, one = run("binance-2019", (0, {"a": 100, "b": 101, "c": 102, "d": 120}))
    assert (one.value, one.sources["d"]) == (101, "dropped")
    _, two = run("binance-2019", (0, {"a": 100, "b": 101, "c": 120, "d": 80}))
    assert two.value == Fraction(201, 2)


def test_silence_takes_the_weight_and_all_silent_holds_the_value():
    state, reading = run("binance-2019", (0, {"a": 100, "b": 104}), (11, {"a": 102}))
    assert (reading.value, reading.sources["b"], reading.sources["c"]) == (102, "silent", "unheard")
    _, reading = run("binance-2019", (60, {}), state=state)
    assert (reading.value, reading.held) == (102, True)
    _, nothing = run("binance-2019", (0, {}))
    assert (nothing.value, nothing.held) == (None, True)


def test_an_excluded_source_comes_back_and_the_fourth_strike_waits_for_review():
    state = IndexState()
    for strike in range(4):
        state, reading = run("bingx", (strike * 301, {"a": 100, "b": 100, "c": 100, "d": 110}), state=state)
        assert reading.sources["d"] == "excluded"
        assert reading.value == 100
    state, reading = run("bingx", (4 * 301, {"a": 100, "b": 100, "c": 100, "d": 100}), state=state)
    assert reading.sources["d"] == "review"
    _, reading = run("bingx", (4 * 301, {}), state=readmit(state, "d"))
    assert reading.sources["d"] == "live"


@pytest.mark.parametrize(
    ("quote", "says"),
    [
        (Quote(float("nan"), 10 * S), "finite"),
        (Quote(0, 10 * S), "above zero"),
        (Quote(-5, 10 * S), "above zero"),
        (Quote(100, 11 * S), "future"),
        (Quote(100, 8 * S), "went back"),
    ],
)
def test_a_quote_that_cannot_be_is_refused_and_counted(quote, says):
    state, _ = run("vega", (9, {"a": 100}))
    state, reading = step(state, POLICIES["vega"], WEIGHTS, {"a": quote, "<b>": Quote(1, 0)}, 10 * S)
    assert says in reading.refused["a"]
    assert reading.refused["<b>"] == "is no source of this index"
    assert (reading.value, state.sources["a"].refused) == (100, 1)


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": float("nan")}])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="weight"):
        step(IndexState(), POLICIES["vega"], weights, {}, 0)


def test_a_policy_out_of_range_is_refused():
    with pytest.raises(ValueError, match="limit"):
        IndexPolicy("drop", Fraction(0), silent_s=1)
