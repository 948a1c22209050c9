"""Stylised facts: known answers on series made by hand, and on simulated and recorded markets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engine.contract import EVENT_DTYPE, EventFlag, EventKind
from monitor.drills.facts import FACTS, Signs, correlation, facts, hill, kurtosis, returns
from monitor.drills.run import drills
from monitor.metrics.catalogue import METRIC_NAMES, column


def rows(windows, symbols=1, **metrics):
    values = np.full((windows, symbols, len(METRIC_NAMES)), np.nan)
    for name, series in metrics.items():
        values[:, :, column(name)] = np.asarray(series, float).reshape(windows, -1)
    return values


def trades(*signs, order_ids=None, ts=None):
    events = np.zeros(len(signs), EVENT_DTYPE)
    events["kind"], events["side"] = EventKind.TRADE, [0 if sign > 0 else 1 for sign in signs]
    events["ts_ns"] = np.arange(len(signs)) if ts is None else ts
    events["order_id"] = np.arange(1, len(signs) + 1) if order_ids is None else order_ids
    return events


def test_ratios_and_medians_are_what_they_say():
    found = facts(
        rows(
            4,
            cancels=[10, 0, 20, 10],
            trades=[2, 2, 2, 2],
            adds=[5, 15, 20, 40],
            fleeting_cancels=[1, 0, 2, 1],
            lifetime_p50_ms=[1000, np.nan, 3000, 5000],
            spread_bps=[1, 2, 3, 4],
            depth_bid_5bps_usd=np.ones(4),
            depth_ask_5bps_usd=np.ones(4),
            depth_bid_10bps_usd=3 * np.ones(4),
            depth_ask_10bps_usd=np.ones(4),
        ),
        0,
    )
    assert found.keys() == FACTS.keys()
    assert found["cancels a trade"] == 5
    assert found["cancels an add"] == 0.5
    assert found["gone within 100 ms"] == 0.1
    assert found["median life, s"] == 3
    assert found["spread, bps"] == 2.5
    assert found["depth 5 to 10 bps"] == 0.5
    for missing in (
        "gone within 2 s",
        "depth 25 to 10 bps",
        "kurtosis, 1 s",
        "sign of trades, lag 1",
        "cross-correlation, 1 s",
    ):
        assert np.isnan(found[missing]), missing


def test_tails_know_their_distributions():
    generator = np.random.default_rng(1)
    assert kurtosis(generator.normal(size=200_000)) == pytest.approx(0, abs=0.05)
    assert kurtosis(generator.laplace(size=400_000)) == pytest.approx(3, rel=0.1)
    pareto = generator.pareto(3.0, 400_000) + 1.0
    assert hill(pareto * generator.choice([-1, 1], 400_000)) == pytest.approx(3.0, rel=0.05)
    assert np.isnan(kurtosis(np.ones(10)))
    assert np.isnan(hill(np.zeros(1000)))


def test_correlations_know_their_processes():
    generator = np.random.default_rng(2)
    noise, series = generator.normal(size=100_000), np.zeros(100_000)
    for i in range(1, len(series)):
        series[i] = 0.6 * series[i - 1] + noise[i]
    assert correlation(series, 1) == pytest.approx(0.6, abs=0.02)
    assert correlation(series, 3) == pytest.approx(0.216, abs=0.02)
    common, own = generator.normal(size=20_000), generator.normal(size=(20_000, 3))
    mids = 100 * np.exp(1e-4 * np.cumsum(common[:, None] + own, axis=0))
    found = facts(rows(20_000, 3, mid_usd=mids, trades=np.ones((20_000, 3))), 0)
    assert found["cross-correlation, 1 s"] == pytest.approx(0.5, abs=0.03)
    assert found["cross-correlation, 10 s"] == pytest.approx(0.5, abs=0.05)


def test_returns_span_whole_windows_and_leave_out_what_is_missing():
    values = rows(5, mid_usd=[100, 101, np.nan, 103, 104])
    assert np.isfinite(returns(values, 0, 1)).tolist() == [True, False, False, True]
    assert returns(values, 0, 4).tolist() == pytest.approx([1e4 * np.log(1.04)])


def test_fills_of_one_order_are_one_sign():
    signs = Signs(0)
    # Three fills of one order, two of one moment and side without ids, and one on the other side.
    signs.push(trades(1, 1, 1, -1, -1, 1, order_ids=[7, 7, 7, 0, 0, 0], ts=[1, 2, 3, 9, 9, 9]))
    assert np.concatenate(signs._signs).tolist() == [1, -1, 1]
    ignored = trades(1, 1)
    ignored["flags"] = [EventFlag.LIQUIDATION, EventFlag.AUCTION]
    other = trades(1)
    other["symbol"] = 3
    signs.push(np.concatenate([ignored, other]))
    assert len(signs._signs) == 1
    assert np.isnan(signs.autocorrelation(1))
    signs.push(trades(*([1, -1] * 100)))
    assert signs.autocorrelation(1) < -0.95
    assert signs.autocorrelation(2) > 0.95


@given(arrays.arrays(float, st.integers(60, 300), elements=st.integers(-1000, 1000)), st.integers(1, 20), st.floats(0.01, 100))
def test_correlation_and_kurtosis_know_no_unit(series, lag, factor):
    for measure in (lambda moves: correlation(moves, lag), kurtosis):
        one, other = measure(series), measure(factor * series)
        assert one == pytest.approx(other, rel=1e-3, abs=1e-3) or (np.isnan(one) and np.isnan(other))
    assert not abs(correlation(series, lag)) > 1 + 1e-9


@pytest.mark.slow
def test_the_simulated_market_has_the_facts_of_markets():
    (quiet,) = drills((), seed=31, history_s=1500)
    clustering = [facts(quiet.values[60:], symbol)["clustering, 10 s"] for symbol in range(8)]
    assert np.mean(clustering) > 0.02
    for symbol in (0, 3, 7):
        found = facts(quiet.values[60:], symbol)
        assert 1 < found["cancels a trade"] < 50
        assert 0.7 < found["cancels an add"] < 1.1
        assert 0.3 < found["depth 5 to 10 bps"] < 0.8
        assert 1.3 < found["depth 25 to 10 bps"] < 4
        assert found["kurtosis, 1 s"] > 1
        assert found["tail index, 1 s"] > 1.5  # where the tick is large, the largest moves are all one tick
        assert found["burstiness of trades"] > 2
        assert 0.2 < found["cross-correlation, 1 s"] < found["cross-correlation, 10 s"] < 0.95
