"""Marks, premiums and funding against published vectors (RISK-SPEC, by id) and against exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arithmetic import mul_div_floor
from engine.prices.kernel import basis_price, funding_price, funding_rate, impact_price, mark_price, premium

I63 = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)  # the first call compiles
@given(I63, I63, st.integers(1, 2**63 - 1))
def test_mul_div_is_exact_or_refuses(a, b, c):
    exact = a * b // c
    if -(2**63) < exact < 2**63:
        assert mul_div_floor(a, b, c) == exact
    elif exact != -(2**63):
        with pytest.raises(OverflowError):
            mul_div_floor(a, b, c)


def test_mul_div_refuses_a_divisor_that_is_not_positive():
    with pytest.raises(ValueError, match="positive"):
        mul_div_floor(1, 1, 0)


def _impact(levels, usd, lot=Fraction(1, 1000)):
    """The impact price with a tick of 0.1 and a lot of 0.001, in USD micro-ticks."""
    prices = np.array([int(Fraction(price) * 10) for price, _ in levels], np.int64)
    lots = np.array([int(Fraction(size) / lot) for _, size in levels], np.int64)
    return impact_price(prices, lots, len(levels), usd * 10**6, 100)


def _premium_ppm(bids, asks, index, usd):
    value = premium(index * 10 * 10**6, _impact(bids, usd), _impact(asks, usd))
    return int(value / 10_000)  # micro-basis-points to parts per million, toward zero as dYdX rounds


def test_p18_premium_from_the_bid_side():
    assert _premium_ppm([("9999", "0.1"), ("9998", "1")], [], 9000, 5000) == 110_911


@pytest.mark.parametrize(("index", "expected"), [("9997.5", 240), ("6000", 666_650)])
def test_p19_premium_before_the_cap(index, expected):
    micro = int(Fraction(index) * 10 * 10**6)
    value = premium(micro, _impact([("9999.9", "1")], 5000), _impact([("10001", "1")], 5000))
    assert int(value / 10_000) == expected


def test_p20_a_side_too_thin_for_the_impact_notional_gives_nothing():
    assert _premium_ppm([("9999.8", "0.1")], [("10000.1", "0.1")], 10_000, 2000) == 0


def test_p22_interest_of_the_default_pack():
    interest = (600 - 300) * 10_000 // 3  # 0.06 % and 0.03 % a day, three intervals, micro-basis-points
    assert funding_rate(0, interest, 5_000_000, 28_800) == interest == 1_000_000
    assert 200 / 0.05 == 4000


def test_funding_rate_clamps_and_scales_with_the_interval():
    assert funding_rate(20_000_000, 1_000_000, 5_000_000, 28_800) == 15_000_000
    assert funding_rate(-20_000_000, 1_000_000, 5_000_000, 28_800) == -15_000_000
    assert funding_rate(0, 1_000_000, 5_000_000, 3600) == 125_000


@given(st.integers(10**6, 10**14), st.integers(-4 * 10**8, 4 * 10**8), st.integers(0, 28_800 * 10**9))
def test_funding_price_is_the_index_with_the_funding_still_to_come(index, rate, remaining):
    exact = index * (1 + Fraction(rate, 10**10) * Fraction(remaining, 28_800 * 10**9))
    assert abs(funding_price(index, rate, remaining, 28_800 * 10**9) - exact) <= 2


@given(st.integers(1, 10**14), st.integers(-(10**12), 10**12), st.integers(0, 30))
def test_basis_price_is_the_index_plus_the_mean_basis(index, total, samples):
    assert basis_price(index, total, samples) == index + (floor(Fraction(total, samples)) if samples else 0)


@given(st.tuples(*[st.integers(1, 10**14)] * 3))
def test_mark_is_the_median(candidates):
    assert mark_price(*candidates) == sorted(candidates)[1]


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=8),
    st.integers(10**6, 10**12),
    st.integers(1, 1000),
)
def test_impact_price_is_the_average_fill(levels, notional, unit):
    levels = sorted(levels, reverse=True)
    got = impact_price(
        np.array([p for p, _ in levels], np.int64), np.array([q for _, q in levels], np.int64), len(levels), notional, unit
    )
    rest = wanted = Fraction(notional // unit)
    taken = Fraction(0)
    for price, size in levels:
        part = min(Fraction(size), rest / price)
        taken, rest = taken + part, rest - part * price
    assert got == (0 if rest > 0 else floor(wanted / taken * 10**6))
