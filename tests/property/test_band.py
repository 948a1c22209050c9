"""The liquidation band: the steps come in order, and the buckets hold what a search over prices finds."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.liquidation.disposal import DisposalRules
from engine.margin.band import STEPS, Band, aggregate, disposal_seconds, position_band
from engine.margin.ladder import maintenance_margin, make_ladder
from engine.margin.states import Thresholds

LADDER = make_ladder("x", [(0, "0.02", "0.01"), (50_000, "0.05", "0.02"), (500_000, "0.1", "0.05")])
RULES = DisposalRules("stepwise", 1, 200_000, 5_000, 20_000, 100_000, 666_667)


def band_of(wallet, size, is_long):
    return position_band(LADDER, wallet, size, 1_000, is_long=is_long, thresholds=Thresholds(), takeover_ppm=666_667)


positions = st.tuples(st.integers(1, 200_000), st.integers(1, 1_000), st.booleans())


@given(positions)
def test_the_steps_come_in_order_and_each_is_where_it_should_be(position):
    wallet, size, is_long = position
    band = band_of(wallet, size, is_long)
    sign = 1 if is_long else -1
    prices = [price for price in band.prices.values() if price is not None]
    assert prices == sorted(prices, reverse=is_long)
    shares = dict(zip(STEPS, ("1.5", "1.2", "1.05", "1", "0.666667", "0"), strict=True))
    for step, price in band.prices.items():
        if price is not None:
            equity = wallet + sign * size * (price - 1_000)
            assert equity == Fraction(shares[step]) * maintenance_margin(LADDER, size * price)


@given(st.lists(positions, max_size=15))
def test_the_buckets_hold_what_a_search_finds(drawn):
    bands = [band_of(*position) for position in drawn]
    bids = [(1_000 - 5 * k, 10) for k in range(1, 100)]
    asks = [(1_000 + 5 * k, 10) for k in range(1, 100)]
    buckets = aggregate(bands, 1_000, bids, asks, RULES, width_bps=100, buckets=50)
    for bucket in buckets:
        sign = -1 if bucket.is_long else 1
        near, far = (1_000 * (1 + sign * Fraction(bps, 10_000)) for bps in (bucket.from_bps, bucket.to_bps))
        for step in STEPS:
            expected = Fraction(0)
            for band in bands:
                price = band.prices[step]
                if price is None or band.is_long != bucket.is_long:
                    continue
                inside = far <= price < near if bucket.is_long else near < price <= far
                already = bucket.from_bps == 0 and (price >= near if bucket.is_long else price <= near)
                expected += band.size * price * (inside or already)
            assert bucket.notional[step] == expected
        levels = [p * q for p, q in (bids if bucket.is_long else asks) if (p >= far if bucket.is_long else p <= far)]
        assert bucket.depth == sum(levels)
    for side in (True, False):
        rows = [bucket for bucket in buckets if bucket.is_long == side]
        forced = sum(bucket.notional["liquidate"] for bucket in rows)
        assert rows[-1].coverage == (rows[-1].depth / forced if forced else None)


@given(st.integers(0, 10**7))
def test_the_pace_is_that_of_the_steps(notional):
    left, steps = Fraction(notional), 0
    while left > 0:
        left = Fraction(0) if left <= RULES.full_below else left * Fraction(8, 10)
        steps += 1
    assert abs(disposal_seconds(notional, RULES) - steps) <= 1


def test_what_is_no_band_is_refused():
    with pytest.raises(ValueError, match="mark is 0"):
        aggregate([], 0, [], [], RULES)
    with pytest.raises(ValueError, match="width_bps x buckets"):
        aggregate([], 1, [], [], RULES, width_bps=1_000, buckets=11)
    with pytest.raises(ValueError, match="size is -1"):
        aggregate([Band({}, Fraction(1), True)], 1_000, [(999, -1)], [], RULES)
