"""Published vectors of prices, funding and bounds: P17 to P26, P41 to P44 (RISK-SPEC, public vectors)."""

from __future__ import annotations

from fractions import Fraction

import pytest

from engine.bounds import Trigger, band, bounds, breached, extended
from engine.prices.funding import dydx_cap, gmx_rates, impact_notional, in_ppm, interest, premium, twap, vega_rate
from engine.prices.index import POLICIES, IndexState, Quote, step, throttled

SECOND = 10**9


def test_p17_a_source_above_the_cap_is_clamped():
    """Source: Binance support FAQ (BN)."""
    quotes = {"a": Quote(19_990, 0), "b": Quote(20_000, 0), "c": Quote(20_000 * Fraction(107, 100), 0)}
    _, reading = step(IndexState(), POLICIES["binance-2025"], {"a": 0, "b": 0, "c": 1}, quotes, 0)
    assert (reading.value, reading.sources["c"]) == (20_600, "clamped")


def test_p18_the_premium_of_a_bid_far_above_the_index():
    """Source: dydxprotocol v4-chain, memclob_get_premium_price_test (DY)."""
    assert in_ppm(premium(9_000, [(9_999, "0.1"), (9_998, 1)], [], 5_000)) == 110_911


@pytest.mark.parametrize(("index", "cap", "ppm"), [("9997.5", None, 240), (6_000, "0.1", 100_000)])
def test_p19_the_premium_is_capped(index, cap, ppm):
    """Source: dydxprotocol v4-chain, memclob_get_premium_price_test (DY)."""
    assert in_ppm(premium(index, [("9999.9", 1)], [(10_001, 1)], 5_000), cap) == ppm


def test_p20_a_book_too_thin_has_no_premium():
    """Source: dydxprotocol v4-chain, memclob_get_premium_price_test (DY)."""
    assert premium(10_000, [("10000.1", "0.1")], [("9999.8", "0.1")], 2_000) == 0


def test_p21_the_cap_of_the_rate():
    """Source: dydxprotocol v4-chain (DY)."""
    assert dydx_cap("0.15", "0.8") == Fraction(18, 100)


def test_p22_interest_and_impact_notional():
    """Source: Binance support FAQ (BN)."""
    assert interest("0.0006", "0.0003", 3) == Fraction(1, 10_000)
    assert impact_notional("0.05") == 4_000


def test_p23_time_weighted_prices():
    """Source: vegaprotocol specs 0053 (VS)."""
    mark = [(0, 10), (1, 11), (3, 10), (5, 9), (7, 8), (9, 7)]
    spot = [(0, 11), (1, 9), (3, 10), (5, 12), (6, 11), (7, 8), (9, 14)]
    assert (twap(0, mark, 10), twap(0, spot, 10)) == (Fraction("9.3"), Fraction("10.2"))


def test_p24_the_rate_is_scaled_or_bounded():
    """Source: vegaprotocol specs 0053 (VS)."""
    assert vega_rate(99, 100, scale="2.5") == Fraction("-0.025")
    assert vega_rate(99, 100, floor="-0.005") == Fraction("-0.005")


def test_p25_a_mark_is_updated_at_most_once_a_period():
    """Source: vegaprotocol specs 0003 (VS)."""
    price, at = throttled(Fraction(900), 0, 1_100, 12 * SECOND, 10 * SECOND)
    price, at = throttled(price, at, 1_200, 12 * SECOND, 10 * SECOND)  # the same time stamp
    assert price == 1_200
    assert throttled(price, at, 1_400, at + 8 * SECOND, 10 * SECOND) == (1_200, at)
    assert throttled(price, at, 1_500, at + 10_100_000_000, 10 * SECOND) == (1_500, at + 10_100_000_000)


def test_p26_the_larger_side_pays_by_imbalance():
    """Source: gmx-io gmx-synthetics README (GX)."""
    assert gmx_rates(150_000, 50_000, "1/50000") == (Fraction(1, 100_000), Fraction(-3, 100_000))


def test_p41_bounds_follow_their_reference():
    """Source: vegaprotocol specs 0032 (VS)."""
    assert bounds(100, "0.95", "1.1") == (95, 110)
    assert bounds(90, "0.95", "1.1") == (Fraction("85.5"), 99)


def test_p42_triggers_make_the_auction_longer():
    """Source: vegaprotocol specs 0032 (VS)."""
    triggers = [Trigger("0.01", 600, 300), Trigger("0.02", 1_800, 900), Trigger("0.05", 7_200, 3_600)]
    ends = [breached([move] * 3, triggers) // 60 for move in ("0.009", "0.015", "0.03", "0.06")]
    assert ends == [0, 5, 15, 60]


def test_p43_the_later_end_holds_and_both_triggers_are_kept():
    """Source: vegaprotocol specs 0026 (VS)."""
    hour = 3_600
    auction = extended(extended(None, "price", 9 * hour, hour), "liquidity", 9 * hour, 2 * hour)
    assert (auction.end_s, auction.trigger, auction.extended_by) == (11 * hour, "price", ("liquidity",))


def test_p44_the_limit_up_limit_down_band():
    """Source: luldplan.com."""
    assert band(100, "0.05") == (95, 105)
