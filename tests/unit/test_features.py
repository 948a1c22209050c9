"""Features: scales and their inverses, windows made of rows, and what is expected given the context."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.conditional import WARM_UP
from models.detectors.family import Family, FamilyDetector
from models.features import Feature, FeatureTable, How, Input, Side, Transform, backward, forward, gather


@pytest.mark.parametrize(
    ("transform", "inputs", "offset", "value"),
    [
        (Transform.COUNT, (172.0, 0.0, 0.0), 0.0, 172.0),
        (Transform.RATIO, (108.0, 0.0, 0.0), 4.0, 28.0),
        (Transform.IMBALANCE, (3.0, 10.0, 0.0), 4.0, 7.0),
        (Transform.LOG, (5.0, 0.0, 0.0), 1.0, 5.0),
        (Transform.LOG_SUM, (100.0, 400.0, 0.0), 0.0, 500.0),
        (Transform.LOG_MEAN, (2.0, 8.0, 0.0), 0.0, 4.0),
        (Transform.LINEAR, (-2.5, 0.0, 0.0), 0.0, -2.5),
        (Transform.ABSOLUTE, (-2.5, 0.0, 0.0), 1.0, 2.5),
        (Transform.LOG_CHANGE, (101.0, 100.0, 0.0), 0.0, 1e4 * math.log(1.01)),
    ],
)
def test_a_value_survives_its_scale(transform: Transform, inputs: tuple[float, ...], offset: float, value: float) -> None:
    y = forward(int(transform), *inputs, offset)
    assert backward(int(transform), y, *inputs, offset) == pytest.approx(value)


@pytest.mark.parametrize("transform", list(Transform))
def test_a_missing_input_makes_a_missing_feature(transform: Transform) -> None:
    assert math.isnan(forward(int(transform), math.nan, 1.0, 1.0, 1.0))


def test_counts_have_the_same_spread_whatever_their_mean() -> None:
    generator = np.random.default_rng(1)
    spreads = [
        np.std([forward(int(Transform.COUNT), float(x), 0.0, 0.0, 0.0) for x in generator.poisson(mean, 4000)])
        for mean in (4, 40, 400)
    ]
    assert spreads == pytest.approx([1.0, 1.0, 1.0], abs=0.06)


def test_one_out_of_one_is_nothing() -> None:
    one_of_one = forward(int(Transform.RATIO), 1.0, 0.0, 0.0, 4.0)
    many_of_many = forward(int(Transform.RATIO), 100.0, 0.0, 0.0, 4.0)
    assert one_of_one < 0.1 * many_of_many
    assert forward(int(Transform.IMBALANCE), 1.0, 0.0, 0.0, 4.0) < 0.1 * forward(int(Transform.IMBALANCE), 100.0, 0.0, 0.0, 4.0)


def test_an_empty_book_is_thin_not_missing() -> None:
    full = forward(int(Transform.LOG_SUM), 1e5, 1e5, 1e5, 0.01)
    empty = forward(int(Transform.LOG_SUM), 0.0, 0.0, 1e5, 0.01)
    assert math.isfinite(empty)
    assert full - empty > 2.0


def test_windows_are_made_of_consecutive_rows() -> None:
    rows = np.array([[1.0], [2.0], [np.nan], [4.0], [5.0]])
    rows = np.repeat(rows[:, None, :], len(How), axis=2)
    index = np.array([10, 11, 12, 13, 15])
    how = np.array(list(How), np.int64)
    out = np.empty((1, len(How)))
    gather(rows, index, 3, 3, how, out)
    assert out[0].tolist() == pytest.approx([6.0, 3.0, math.sqrt(20.0), 4.0, 1.0])
    for at in (1, 4):  # too few rows, and a hole in them
        gather(rows, index, at, 3, how, out)
        assert np.isnan(out).all()


def test_a_feature_reads_few_columns_and_may_lack_them() -> None:
    inputs = tuple(Input(name, How.SUM) for name in "abcd")
    with pytest.raises(ValueError, match="too_wide: 4 inputs, at most 3"):
        FeatureTable((Feature("too_wide", Transform.LINEAR, inputs, "count"),), ("a",))
    table = FeatureTable((Feature("x", Transform.RATIO, inputs[:2], "ratio"),), ("a",))
    assert table.pick(np.ones((1, 1, 1)))[0, 0].tolist() == pytest.approx([1.0, math.nan], nan_ok=True)


def _family(context: bool = True, half_life_s: int = 300) -> Family:
    return Family(
        name="cancels",
        features=(Feature("cancels", Transform.COUNT, (Input("cancels", How.SUM),), "count", Side.HIGH),),
        context=(Feature("trades", Transform.COUNT, (Input("trades", How.SUM),), "count"),) if context else (),
        half_life_s=half_life_s,
    )


def _news(windows: int) -> np.ndarray:
    """Cancels that follow trading: [W, 1, 2], and a last second in which both are ten times as many."""
    generator = np.random.default_rng(3)
    trades = generator.poisson(np.exp(generator.normal(1.5, 0.8, windows)))
    trades[-1] = 60
    cancels = generator.poisson(2.0 * trades + 1.0)
    cancels[-1] = 121
    return np.stack([cancels, trades], axis=1)[:, None, :].astype(float)


def test_what_trading_explains_is_no_burst() -> None:
    values, index = _news(1200), np.arange(1200)
    explained = FamilyDetector(_family(), 1, ("cancels", "trades"), 1).process(index, values)
    plain = FamilyDetector(_family(context=False), 1, ("cancels", "trades"), 1).process(index, values)
    assert plain.score[-1, 0] > 9.0
    assert explained.score[-1, 0] < 4.0
    assert explained.low[-1, 0, 0] < 121.0 < explained.high[-1, 0, 0]
    values[-1, 0] = (121.0, 1.0)
    stuffing = FamilyDetector(_family(), 1, ("cancels", "trades"), 1).process(index, values)
    assert stuffing.score[-1, 0] > 30.0


def test_a_regressor_slower_than_the_memory_does_not_wind_up() -> None:
    generator = np.random.default_rng(5)
    windows = 4000
    trades = np.full(windows, 9.0)  # constant for many half-lives, then something happens
    trades[-200:] = generator.poisson(20.0, 200)
    cancels = generator.poisson(10.0, windows).astype(float)
    values = np.stack([cancels, trades], axis=1)[:, None, :]
    scored = FamilyDetector(_family(half_life_s=60), 1, ("cancels", "trades"), 1).process(np.arange(windows), values)
    assert np.isfinite(scored.score[WARM_UP:]).all()
    assert np.mean(scored.score[-200:] > 9.0) < 0.03


def test_a_few_cancels_less_are_no_burst() -> None:
    values = np.full((400, 1, 1), 50.0)
    values[-1] = 0.0
    assert FamilyDetector(_family(context=False), 1, ("cancels",), 1).process(np.arange(400), values).score[-1, 0] == 0.0


def test_garbage_is_missing_and_does_no_harm() -> None:
    generator = np.random.default_rng(7)
    values = generator.poisson(10.0, (600, 1, 2)).astype(float)
    spoilt = values.copy()
    spoilt[300] = (np.inf, 1e300)
    spoilt[301] = (1e300, -1.0)
    spoilt[302] = np.nan
    names, index = ("cancels", "trades"), np.arange(600)
    clean = FamilyDetector(_family(), 1, names, 1).process(index, values)
    scored = FamilyDetector(_family(), 1, names, 1).process(index, spoilt)
    assert np.isnan(scored.score[300:303]).all()
    assert scored.score[400:] == pytest.approx(clean.score[400:], abs=0.2)
