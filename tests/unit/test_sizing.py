"""Sizes that survive: an example by hand, every size tried one by one, and what cannot be asked."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract import MICRO
from engine.holdings import AccountHeld, Holdings, HoldingsError, MarketHeld, PositionHeld
from engine.instruments import load_pack
from engine.sizing import BOUNDS, Stress, _Desk, largest_cross, largest_isolated, stress_of

CORE = load_pack("core")
BTC = CORE.instrument("BTC-PERP")


def a_venue(bids, asks, accounts=()):
    """BTC at 64,000: 12,800 ticks of 5; a lot is a thousandth."""
    markets = [MarketHeld(BTC, 12_800 * MICRO, 0, 0, tuple(bids), tuple(asks))]
    if accounts:
        markets.append(MarketHeld(CORE.instrument("ETH-PERP"), 6_800 * MICRO, 0, 0, ((6_799, 10**6),), ((6_801, 10**6),)))
    return Holdings(CORE, tuple(markets), (), tuple(accounts), 0)


def test_an_example_by_hand():
    """A wallet of 1,000, a fall of 5 %, a deep book one tick off the mark.

    A lot is worth 64, enters at 64.005 with a fee of 0.0320025, and loses 3.2. After the fall it is worth 60.8, and the
    ratio of liquidation needs 1.05 x 0.4 % of it: 0.25536. So n lots survive while
    1,000 >= n (0.005 + 0.0320025 + 3.2 + 0.25536), within the first tier: n <= 286.3.
    """
    found = largest_isolated(
        a_venue([(12_799, 10**6)], [(12_801, 10**6)]), "BTC-PERP", 1_000 * MICRO, stress_of("0.05"), is_long=True
    )
    assert found.lots == 286
    assert found.beyond.bound == "maintenance after the stress"
    assert found.at.notional == 286 * 64 * MICRO
    assert found.at.entry_cost == pytest.approx(286 * (5_000 + 32_002.5), abs=2)


@pytest.mark.parametrize(
    ("bids", "asks", "stress", "bound"),
    [
        ([(12_799, 10**6)], [(12_801, 50)], ("0.05",), "depth to enter"),
        ([(12_799, 50)], [(12_801, 10**6)], ("0.05",), "depth to leave"),
        ([(12_799, 10**6)], [(12_801, 10**6)], ("0.05", "0.0001"), "depth to leave"),
        ([(12_799, 10**6)], [(12_801, 10**6)], ("0.0001",), "initial margin"),
        ([(12_799, 10), (12_000, 10**6)], [(12_801, 10**6)], ("0.03",), "cost of leaving"),
    ],
)
def test_each_bound_can_bind(bids, asks, stress, bound):
    found = largest_isolated(a_venue(bids, asks), "BTC-PERP", 1_000 * MICRO, stress_of(*stress), is_long=True)
    assert found.beyond.bound == bound


def test_a_thin_book_costs_more_than_twice_for_twice():
    thin = [(12_799 - 20 * n, 40) for n in range(100)]
    venue = a_venue(thin, [(12_801, 10**6)])
    desk = _Desk(venue, 0, AccountHeld("", 10**12, False, "", (), ()), stress_of("0.02"), is_long=True)
    assert desk.outcome(1_000).exit_cost > 2 * desk.outcome(500).exit_cost > 0


levels = st.lists(st.tuples(st.integers(1, 80), st.integers(1, 30)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=80)
@given(
    bids=levels,
    asks=levels,
    wallet=st.integers(1, 400),
    move=st.sampled_from(["0.001", "0.02", "0.2"]),
    liquidity=st.sampled_from(["0.1", "0.5", "1"]),
    is_long=st.booleans(),
    held=st.integers(-40, 40),
    eth=st.integers(-50, 50),
    is_portfolio=st.booleans(),
)
def test_it_is_the_largest_of_all_sizes_that_survive(bids, asks, wallet, move, liquidity, is_long, held, eth, is_portfolio):
    positions = [PositionHeld(0, held, held * 64 * MICRO, None)] if held else []
    positions += [PositionHeld(1, eth, eth * 34 * MICRO, None)] if eth else []
    account = AccountHeld("a", wallet * MICRO, is_portfolio, "", (), tuple(positions))
    ticks = [sorted({step for step, _ in side}) for side in (bids, asks)]
    sizes = [dict(side) for side in (bids, asks)]
    venue = a_venue(
        [(12_800 - step, sizes[0][step]) for step in ticks[0]],
        [(12_800 + step, sizes[1][step]) for step in ticks[1]],
        [account],
    )
    stress = stress_of(move, liquidity)
    found = largest_cross(venue, "BTC-PERP", "a", stress, is_long=is_long)
    desk = _Desk(venue, 0, account, stress, is_long=is_long)
    start = max(0, -held if is_long else held)
    survives = [not desk.outcome(n).bound for n in range(131)]
    if survives[start]:
        largest = survives.index(False, start) - 1
        assert not any(survives[largest + 1 :]), "the bounds are monotone"
    elif survives[0]:
        largest = survives.index(False) - 1  # part of a hedge
    else:
        assert (found.lots, found.at.bound in BOUNDS) == (0, True)
        return
    assert found.lots == largest
    assert found.at.bound == ""
    assert found.beyond.bound in BOUNDS


def test_what_cannot_be_asked():
    venue = a_venue([(12_799, 1)], [(12_801, 1)])
    with pytest.raises(HoldingsError, match="there is no market 'DOGE'"):
        largest_isolated(venue, "DOGE", 1, stress_of(1), is_long=False)
    with pytest.raises(HoldingsError, match="there is no account 'b'"):
        largest_cross(venue, "BTC-PERP", "b", stress_of("0.1"), is_long=True)
    with pytest.raises(HoldingsError, match="a price cannot fall by all of it"):
        largest_isolated(venue, "BTC-PERP", 1, stress_of(1), is_long=True)
    for wrong, said in (
        (("nan",), "move is 'nan'"),
        ((0,), "move is 0"),
        ((1, 2), "liquidity is 2"),
        ((1, 1, -1), "correlation is -1"),
    ):
        with pytest.raises(ValueError, match=said):
            stress_of(*wrong)
    with pytest.raises(ValueError, match="liquidity is 0"):
        Stress(Fraction(1), Fraction(0))
