"""Whatever a source gives, lines are finite, add up, and do not depend on how the windows were cut."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.detectors import Panel
from tests.flow_rows import NAMES, SYMBOLS, quiet_rows

WINDOWS = 240
GARBAGE = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-300, 1e9, 1e300)
_ROWS = quiet_rows(WINDOWS, seed=1)[:, :3]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    spoilt=st.lists(
        st.tuples(st.integers(0, WINDOWS - 1), st.integers(0, 2), st.integers(0, len(NAMES) - 1), st.sampled_from(GARBAGE)),
        max_size=60,
    ),
    dead=st.lists(st.integers(0, len(NAMES) - 1), max_size=10),
    gap=st.integers(0, 5000),
    cuts=st.lists(st.integers(1, WINDOWS - 1), max_size=6),
)
def test_any_input_gives_sound_lines(
    spoilt: list[tuple[int, int, int, float]], dead: list[int], gap: int, cuts: list[int]
) -> None:
    rows = _ROWS.copy()
    for w, s, m, value in spoilt:
        rows[w, s, m] = value
    rows[:, 1, dead] = np.nan
    index = np.arange(WINDOWS) + np.where(np.arange(WINDOWS) >= WINDOWS // 2, gap, 0)
    whole = Panel(SYMBOLS[:3], NAMES).process(index, rows)
    panel = Panel(SYMBOLS[:3], NAMES)
    parts = [
        line
        for i, v in zip(np.split(index, sorted(cuts)), np.split(rows, sorted(cuts)), strict=True)
        for line in panel.process(i, v)
    ]
    assert parts == whole
    for anomaly in whole:
        assert 0.0 < anomaly.false_alarm_rate <= 0.01
        assert 0.0 <= anomaly.rarity <= 1.0
        assert math.isfinite(anomaly.score)
        total = math.fsum(c.contribution for c in anomaly.contributions)
        assert math.isclose(total, anomaly.score, rel_tol=1e-12)
        for c in anomaly.contributions:
            assert c.contribution >= 0.0
            assert c.contribution == 0.0 or c.value is not None
