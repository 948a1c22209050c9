"""What holds for any rows: finite scores, contributions that add up, scoring without a trace, one order of bits."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models import StreamDetector
from models.attribution import contributions_of, shapley_values
from models.score import inverse_ridged

_VALUES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-5.0, 5.0),
    st.sampled_from([0.0, 1.0, 2.0, 1e300, -1e300, math.inf, math.nan]),
)
_QUIET = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


@_QUIET
@given(
    rows=arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 4), st.just(3)), elements=_VALUES),
    season=st.sampled_from([None, 7]),
    sides=st.sampled_from(["both", "high", ["low", "both", "high"]]),
    gaps=st.lists(st.integers(1, 5000), min_size=40, max_size=40),
)
def test_any_rows(rows: np.ndarray, season: int | None, sides: str, gaps: list[int]) -> None:
    t = np.cumsum(gaps[: len(rows)])
    block, apart = StreamDetector(season=season, sides=sides), StreamDetector(season=season, sides=sides)
    whole = block.score_learn_block(rows, t)
    assert np.isfinite(whole.score).all()
    assert (whole.score >= 0.0).all()
    assert ((whole.rarity >= 0.0) & (whole.rarity <= 1.0)).all()
    assert ((whole.false_alarm_rate >= 0.0) & (whole.false_alarm_rate <= 1.0)).all()
    assert (whole.contributions[np.isnan(rows)] == 0.0).all()
    sums = [math.fsum(c) for c in whole.contributions.reshape(-1, 3)]
    np.testing.assert_allclose(sums, whole.score.ravel(), rtol=1e-9, atol=1e-12)
    known = ~np.isnan(whole.expected_low)
    assert (whole.expected_low[known] <= whole.expected_high[known]).all()
    for i, row in enumerate(rows):
        before = pickle.dumps(apart)
        scores = apart.score_many(row, int(t[i]))
        assert pickle.dumps(apart) == before
        apart.learn_many(row, int(t[i]))
        assert np.array_equal(scores.score, whole.score[i])
        assert np.array_equal(scores.contributions, whole.contributions[i])


@_QUIET
@given(seed=st.integers(0, 2**32 - 1), features=st.integers(1, 8))
def test_contributions_are_shapley_values(seed: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    m, q = rng.normal(scale=4.0, size=(2, features))
    precision = np.empty((2, features, features))
    for k in range(2):
        loads = rng.normal(size=(features, features + 1))
        inverse_ridged(loads @ loads.T / features, precision[k])
    out = np.empty(features)
    score = contributions_of(m, q, precision[:1], precision[1:], 0, np.empty(features), out)
    exact = shapley_values(m, q, precision[0], precision[1])
    np.testing.assert_allclose(out, exact, rtol=1e-9, atol=1e-9 * max(score, 1.0))
    assert math.fsum(out) == pytest.approx(score, rel=1e-9)


@_QUIET
@given(order=st.permutations(range(6)), seed=st.integers(0, 1000))
def test_the_order_of_rows_does_not_matter_to_an_entity_that_is_alone_in_its_group(order: list[int], seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(60, 6, 2))
    groups = {i: i for i in range(6)}
    a, b = StreamDetector(groups=groups), StreamDetector(groups=groups)
    for t in range(60):
        first = a.score_learn_many(x[t], t, ids=list(range(6)))
        second = b.score_learn_many(x[t][order], t, ids=order)
        assert np.array_equal(first.contributions[order], second.contributions)
