"""Published vectors of margin and fees: P1 to P16, P45 to P47 (RISK-SPEC, public vectors)."""

from __future__ import annotations

from fractions import Fraction

import pytest

from engine.fees import fee
from engine.margin.ladder import initial_margin, maintenance_margin, make_ladder
from engine.margin.liquidation_price import bybit, hyperliquid, in_tier, okx
from engine.margin.requirements import (
    dydx_initial,
    dydx_initial_rate,
    is_liquidatable,
    unrealised_pnl,
    vega_maintenance,
    vega_order_margin,
)
from tests.matching_kit import ANN, BOB, REDUCE_ONLY, Scene

FLOORS = (0, 50_000, 600_000, 3_000_000, 12_000_000, 70_000_000)
RATES = ("0.004", "0.005", "0.0065", "0.01", "0.02", "0.025")


def test_p1_the_deductions_of_binances_btc_ladder():
    """Source: freqtrade tests of Binance's brackets (FT)."""
    ladder = make_ladder("btc", [(floor, Fraction(rate) * 2, rate) for floor, rate in zip(FLOORS, RATES, strict=True)])
    assert [tier.deduction for tier in ladder.tiers] == [0, 50, 950, 11_450, 131_450, 481_450]


def test_p2_a_deduction_follows_from_the_one_before():
    """Source: Binance support FAQ (BN)."""
    ladder = make_ladder("x", [(0, "0.1", "0.004"), (50_000, "0.1", "0.005"), (250_000, "0.1", "0.01")])
    assert ladder.tiers[1].deduction == 50
    assert ladder.tiers[2].deduction == 1_300


def test_p3_the_liquidation_price_of_an_isolated_long():
    """Source: freqtrade test_exchange, after Binance's example (FT)."""
    price = in_tier("1535443.01", "3683.979", "1456.84", "0.1", is_long=True, deduction="135365.00")
    assert round(float(price), 2) == 1_114.78


def test_p4_the_liquidation_price_of_the_same_in_a_cross_account():
    """Source: freqtrade test_exchange, after Binance's example (FT)."""
    btc, entry, mark = Fraction("109.488"), Fraction("32481.98"), Fraction("31967.27")
    maintenance = btc * mark * Fraction("0.025") - 16_300
    pnl = unrealised_pnl(btc, entry, mark)
    assert (round(float(maintenance), 2), round(float(pnl), 2)) == (71_200.81, -56_354.57)
    price = in_tier(
        "1535443.01",
        "3683.979",
        "1456.84",
        "0.1",
        is_long=True,
        deduction=135_365,
        other_maintenance=maintenance,
        other_pnl=pnl,
    )
    assert round(float(price), 2) == 1_153.26


@pytest.mark.parametrize(("is_long", "price"), [(True, 8.0707071), (False, 11.8910891)])
def test_p5_five_times_leverage_on_ten(is_long, price):
    """Source: freqtrade test_exchange (FT)."""
    assert round(float(in_tier(2, 1, 10, "0.01", is_long=is_long, deduction="0.01")), 7) == price


def test_p6_bybits_isolated_long_and_a_short_with_extra_margin():
    """Source: Bybit help centre, by third-party copies."""
    initial, maintenance = Fraction(20_000, 50), 20_000 * Fraction("0.005")
    assert bybit(20_000, 1, initial, maintenance, is_long=True) == 19_700
    assert bybit(20_000, 1, initial, maintenance, is_long=False, extra=3_000) == 23_300


def test_p7_with_the_closing_fee_inside():
    """Source: freqtrade test_exchange, Gate and OKX (FT)."""
    assert round(float(okx(10, 1, 2, "0.01", "0.0006", is_long=True)), 7) == 8.0857085


def test_p8_hyperliquid_long_eth():
    """Source: freqtrade test_hyperliquid, a position as the venue reported it (FT)."""
    price = hyperliquid("2458.5", "0.015", "36.864593", 50, is_long=True)
    assert float(price) == pytest.approx(0.86915825, abs=5e-9)


def test_p9_hyperliquid_long_btc():
    """Source: freqtrade test_hyperliquid, a position as the venue reported it (FT)."""
    price = hyperliquid(66_930, "0.0015", "20.043862", 50, is_long=True)
    assert float(price) == pytest.approx(54_108.51043771, abs=5e-9)


def test_p10_hyperliquid_short_sol():
    """Source: freqtrade test_hyperliquid, a position as the venue reported it (FT)."""
    price = hyperliquid("155.89", "0.32", "24.924941", 20, is_long=False)
    assert float(price) == pytest.approx(228.07847866, abs=5e-9)


def test_p11_open_interest_scales_the_initial_rate():
    """Source: dydxprotocol v4-chain, liquidity_tier_test (DY)."""
    assert dydx_initial_rate("0.2", 1_500_000, 1_000_000, 2_000_000) == Fraction(60, 100)


def test_p12_initial_margin_is_rounded_up():
    """Source: dydxprotocol v4-chain, liquidity_tier_test (DY)."""
    assert dydx_initial(123_456, "0.567243") == 70_030


def test_p13_liquidatable_only_below_the_requirement():
    """Source: dydxprotocol v4-chain, liquidations_test (DY)."""
    worth = Fraction("0.1") * 50_000
    needed = worth * Fraction("0.1")
    assert not is_liquidatable(worth - 4_500, needed, at_equality=False)
    assert is_liquidatable(worth - 4_501, needed, at_equality=False)


def test_p14_marginal_initial_margin():
    """Source: WhiteBIT help centre."""
    ladder = make_ladder("w", [(0, "0.01", "0.005"), (50_000, "0.1", "0.05")], initial="marginal")
    assert initial_margin(ladder, 200_000) == 15_500


def test_p15_maintenance_with_slippage():
    """Source: vegaprotocol specs 0019 (VS)."""
    assert vega_maintenance(15_900, "0.1", "0.25") == 5_565


def test_p16_isolated_margin_of_positions_and_orders():
    """Source: vegaprotocol specs 0019 (VS)."""
    assert [15_900 * Fraction(factor) for factor in ("0.9", "0.7")] == [14_310, 11_130]
    assert vega_order_margin(1, [(15_900, 1)], [], "0.9") == 14_310
    assert vega_order_margin(1, [(15_900, 1)], [], "0.7") == 11_130
    assert vega_order_margin(1, [(15_910, 10)], [], "0.9") == 143_190
    assert vega_order_margin(10, [], [(15_910, 10)], "0.9") == 0  # it would close the position


def test_p45_the_excess_of_a_reduce_only_order_is_cancelled():
    """Source: dYdX documentation (DY). In hundredths of a unit: 1.25 sold on a long of 1."""
    scene = Scene()
    scene.hold(ANN, 100)
    scene.do(BOB.buy(1, 200, 90))
    assert scene.do(ANN.sell(2, 125, 90, flags=REDUCE_ONLY)) == [
        ("TRADE", 2, 1, 90, 100),
        ("DONE", 2, 100, 25, "REDUCE_ONLY_EXCESS"),
    ]
    assert scene.position(ANN) == 0


def test_p46_a_fee_of_three_components():
    """Source: vegaprotocol specs 0029 (VS)."""
    assert sum(fee("1.23", 100, ["0.001", "0.002", "0.05"])) == Fraction("6.519")


@pytest.mark.parametrize(("size", "pnl"), [("0.02", "0.4"), ("-0.02", "-0.4")])
def test_p47_mark_to_market(size, pnl):
    """Source: vegaprotocol specs 0003 (VS)."""
    assert unrealised_pnl(size, 100, 120) == Fraction(pnl)


def test_a_marginal_ladder_is_continuous_at_its_floors():
    """Source: RISK-SPEC section 3."""
    ladder = make_ladder("btc", [(floor, Fraction(rate) * 2, rate) for floor, rate in zip(FLOORS, RATES, strict=True)])
    for before, tier in zip(ladder.tiers, ladder.tiers[1:], strict=False):
        assert maintenance_margin(ladder, tier.floor) == tier.floor * before.maintenance_rate - before.deduction
