"""What holds for guardrails whatever the windows hold."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.guardrails.engine import GuardEngine
from monitor.guardrails.pack import load_core
from monitor.guardrails.verdict import NS_PER_S, START, Level, Thresholds, advance
from monitor.metrics.catalogue import METRIC_NAMES

VALUES = st.one_of(st.none(), st.floats(0.0, 100.0, allow_nan=False))
PACK = load_core(METRIC_NAMES)


@st.composite
def thresholds(draw):
    warn = draw(st.floats(1.0, 30.0))
    breach = warn + draw(st.floats(0.0, 30.0))
    return Thresholds(
        warn=warn,
        breach=breach,
        halt=draw(st.one_of(st.none(), st.floats(0.0, 30.0).map(lambda more: breach + more))),
        halt_after_ns=draw(st.sampled_from([0, 5 * NS_PER_S])),
        hysteresis=draw(st.floats(0.0, 0.5)),
        dwell_ns=draw(st.integers(0, 20)) * NS_PER_S,
        halt_min_ns=draw(st.integers(0, 40)) * NS_PER_S,
    )


@given(thresholds(), st.lists(VALUES, max_size=80))
@settings(max_examples=200)
def test_the_shown_level_is_never_below_what_the_value_enters_and_missing_is_never_ok(at, values):
    state = START
    for i, value in enumerate(values, 1):
        before = state
        state = advance(state, value, at, i * NS_PER_S)
        if value is None:
            assert state.level in (Level.UNKNOWN, Level.HALT)
        else:
            assert state.level >= at.entered(value)
        # No step down without the dwell: the level before was held at least that long, below its band.
        if value is not None and state.held < before.held:
            assert before.calm_since_ns is not None or at.dwell_ns == 0
            assert i * NS_PER_S - before.held_since_ns >= at.dwell_ns
            if before.held == Level.HALT:
                assert i * NS_PER_S - before.held_since_ns >= at.halt_min_ns


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 30), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_bytes_do_not_depend_on_how_windows_are_split_nor_on_a_restart(seed, pieces):
    rng = np.random.default_rng(seed)
    n = sum(pieces)
    symbols = ("A-PERP", "B-PERP")
    values = rng.lognormal(3.0, 3.0, size=(n, 2, len(METRIC_NAMES)))
    values[rng.random(values.shape) < 0.1] = math.nan
    ends = (np.arange(n, dtype=np.int64) + 1) * NS_PER_S

    whole = GuardEngine(symbols, METRIC_NAMES, PACK).process(ends, values)
    verdicts, audit, start, guard = [], [], 0, GuardEngine(symbols, METRIC_NAMES, PACK)
    for piece in pieces:
        output = guard.process(ends[start : start + piece], values[start : start + piece])
        verdicts += output.verdicts
        audit += output.audit
        start += piece
        snapshot = guard.snapshot()
        guard = GuardEngine(symbols, METRIC_NAMES, PACK)
        guard.restore(snapshot)
    assert verdicts == whole.verdicts
    assert audit == whole.audit
    assert output.states == whole.states
    assert guard.head == (msgspec.json.decode(whole.audit[-1].record)["hash"], n + 1)
