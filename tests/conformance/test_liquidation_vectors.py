"""Published vectors of liquidation: P29 to P40 (RISK-SPEC, public vectors)."""

from __future__ import annotations

from fractions import Fraction

import pytest

from engine.liquidation.adl import Candidate, deleverage, quintiles
from engine.liquidation.disposal import fund_fee, liquidator_fee, portion, size_for_shortage, step_size, tier_excess
from engine.liquidation.fund import covered, fund_delta
from engine.liquidation.proceeds import bankruptcy_proceeds, fillable_price
from engine.liquidation.socialise import socialise
from engine.margin.ladder import make_ladder


@pytest.mark.parametrize(("equity", "adjustment", "price"), [(499, 1, 49_999), (499, 2, 49_998), (0, 1, 49_500)])
def test_p29_the_fillable_price_follows_the_accounts_health(equity, adjustment, price):
    """Source: dydxprotocol v4-chain, liquidations_test (DY), whose spread is 10 % of the requirement."""
    found = fillable_price(5_000, "0.1", equity, 500, position_requirement=500, adjustment=adjustment, spread=Fraction(10, 100))
    assert found == price


def test_p30_bankruptcy_proceeds_in_full_and_in_half():
    """Source: dydxprotocol v4-chain, liquidations_test (DY)."""
    assert bankruptcy_proceeds(-5_000, 499, -500, 500) == 4_501
    assert bankruptcy_proceeds(-2_500, 0, -250, 500) == 2_500


@pytest.mark.parametrize(("fee", "delta"), [("0.005", "28.05"), ("0.025", "140.25"), (1, 510)])
def test_p31_what_the_fund_earns(fee, delta):
    """Source: dydxprotocol v4-chain, liquidations_test (DY)."""
    assert fund_delta(5_610, 5_100, fee) == Fraction(delta)


def test_p32_the_portion_of_a_position():
    """Source: dydxprotocol v4-chain, liquidations_test (DY)."""
    assert (portion(50_000, "0.5", 10), portion(5, "0.5", 10)) == (25_000, 5)


def test_p33_the_size_that_frees_a_shortage():
    """Source: drift-labs protocol-v2, math/liquidation (DR)."""
    assert size_for_shortage(10, 100, "0.1", 0) == 1
    assert size_for_shortage(10, 100, "0.1", "0.01") == Fraction(10, 9)


def test_p34_the_fee_that_the_fund_can_ask():
    """Source: drift-labs protocol-v2, math/liquidation (DR)."""
    assert fund_fee(20, 10, 100, "0.05", "0.01", 1) == Fraction(19, 1_000)


@pytest.mark.parametrize(("slots", "fee"), [(10, 2), (10_000, 3), (100_000, 5)])
def test_p35_the_liquidators_fee_rises_with_time(slots, fee):
    """Source: drift-labs protocol-v2, math/liquidation (DR)."""
    assert liquidator_fee("0.02", "0.05", slots) == Fraction(fee, 100)


def test_p36_the_steps_of_a_disposal():
    """Source: vegaprotocol specs 0012 (VS)."""
    left, steps = Fraction(280), []
    while left:
        steps.append(step_size(left, "0.5", 50, 10_000, "0.01"))
        left -= steps[-1]
    assert steps == [100, 90, 45, 45]


def test_p37_down_to_the_first_tier():
    """Source: OKX help centre."""
    rows = [(0, "0.01", "0.005"), (2_000, "0.02", "0.01"), (10_000, "0.04", "0.02")]
    assert tier_excess(make_ladder("okx", rows, maintenance="whole"), 15_000, tiers_down=2) == 13_000


def test_p38_the_ranks_of_adl_and_who_is_closed():
    """Source: bitmex.com, ADL pages (BM)."""
    lots = [10, 20, 30, 10, 10, 20]
    assert [20 * light for light in quintiles(lots)] == [20, 40, 60, 80, 80, 100]
    # Equal leverage, falling profit: the first in rank is the first account.
    longs = [Candidate(k, size, 650 * size, (500 + 10 * k) * size, True, 650 * size) for k, size in enumerate(lots)]
    assert deleverage(20, longs, "bitmex") == [(0, 10), (1, 10)]


def test_p39_a_loss_shared_by_gains():
    """Source: vegaprotocol vega, integration features (VC)."""
    assert socialise(3_000, [8_000, 80]) == [2_970, 30]


def test_p40_what_the_pool_does_not_cover():
    """Source: vegaprotocol specs 0012 (VS)."""
    x = Fraction(9)
    assert covered(x, x / 3) == (x / 3, 2 * x / 3)
