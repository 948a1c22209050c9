"""Ladders, liquidation prices, levels, funds and who pays: what must hold for any figures."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.contract import MICRO, AccountLevel
from engine.exact import round_to
from engine.liquidation.adl import Candidate, deleverage, profit_share
from engine.liquidation.disposal import DisposalRules, Distress, plan
from engine.liquidation.fund import FundState, observe
from engine.liquidation.proceeds import attributed
from engine.liquidation.socialise import socialise
from engine.margin.ladder import (
    DOWN,
    HALF_EVEN,
    UP,
    in_units,
    initial_in_units,
    initial_margin,
    initial_micro,
    ladder_table,
    maintenance_in_units,
    maintenance_margin,
    maintenance_micro,
    make_ladder,
    tier_of,
)
from engine.margin.liquidation_price import liquidation_price
from engine.margin.portfolio import Leg, portfolio_margin
from engine.margin.states import LEVEL_DTYPE, AccountState, Thresholds, limits, step, step_all
from engine.prices.funding import payment_micro
from engine.wallets import value_micro


@st.composite
def ladders(draw, charging="marginal"):
    count = draw(st.integers(1, 8))
    floors = [0, *sorted(draw(st.sets(st.integers(1, 10**7), min_size=count - 1, max_size=count - 1)))]
    rates = sorted(draw(st.lists(st.integers(1_000, 400_000), min_size=count, max_size=count)))
    rows = [(floor, Fraction(2 * rate, MICRO), Fraction(rate, MICRO)) for floor, rate in zip(floors, rates, strict=True)]
    return make_ladder("x", rows, maintenance=charging)


notionals = st.integers(0, 2 * 10**7)
money = st.integers(-(10**12), 10**12)


@given(ladders(), notionals, notionals)
def test_a_marginal_ladder_rises_is_convex_and_continuous(ladder, one, other):
    low, high = sorted((one, other))
    below, above = maintenance_margin(ladder, low), maintenance_margin(ladder, high)
    assert 0 <= below <= above <= high
    assert maintenance_margin(ladder, Fraction(low + high, 2)) <= (below + above) / 2
    for before, tier in zip(ladder.tiers, ladder.tiers[1:], strict=False):
        assert maintenance_margin(ladder, tier.floor) == tier.floor * before.maintenance_rate - before.deduction


@settings(deadline=None)  # the first call compiles
@given(
    ladders(),
    st.integers(0, 2**56),
    st.sampled_from([1, 10, 100, MICRO]),
    st.sampled_from([("up", UP), ("down", DOWN), ("half_even", HALF_EVEN)]),
)
def test_the_kernels_are_the_formulas_rounded_as_the_pack_says(ladder, micro, unit, rounding):
    row = ladder_table([ladder])[0]
    size, step = Fraction(micro, MICRO), Fraction(unit, MICRO)
    name, number = rounding
    row["unit_micro"], row["maintenance_rounding"], row["initial_rounding"] = unit, number, number
    assert maintenance_in_units(row, micro) == round_to(maintenance_margin(ladder, size), step, name) * MICRO
    assert initial_in_units(row, micro) == round_to(initial_margin(ladder, size), step, name) * MICRO
    assert maintenance_micro(row, micro) == round_to(maintenance_margin(ladder, size), Fraction(1, MICRO), "up") * MICRO
    assert initial_micro(row, micro) == round_to(initial_margin(ladder, size), Fraction(1, MICRO), "up") * MICRO


def test_a_half_goes_to_the_even_multiple():
    assert [in_units(whole, rest, 2, 1, HALF_EVEN) for whole, rest in ((2, 1), (3, 1))] == [2, 4]
    assert [in_units(whole, 0, 1, 10, HALF_EVEN) for whole in (15, 25, 24, 26)] == [20, 20, 20, 30]


@given(ladders(), st.integers(1, 10**6), st.integers(1, 1_000), st.integers(1, 10**5), st.booleans())
def test_a_liquidation_price_lies_in_its_own_tier_and_is_where_equity_meets_the_requirement(
    ladder, wallet, size, entry, is_long
):
    found = liquidation_price(ladder, wallet, size, entry, is_long=is_long)
    sign = 1 if is_long else -1

    def buffer(price):
        return wallet + sign * size * (price - entry) - maintenance_margin(ladder, size * price)

    if found is None:
        assert is_long
        assert buffer(Fraction(1, 10**9)) > -1
        return
    assert tier_of(ladder, size * found.price) == found.tier
    assert buffer(found.price) == 0
    away = found.price / 1_000
    assert buffer(found.price - sign * away) < 0 < buffer(found.price + sign * away)
    richer = liquidation_price(ladder, wallet + 1, size, entry, is_long=is_long)
    assert richer is None or sign * richer.price < sign * found.price


@given(ladders("whole"), st.integers(1, 10**6), st.integers(1, 1_000), st.integers(1, 10**5))
def test_a_short_on_a_whole_ladder_holds_until_its_price(ladder, wallet, size, entry):
    found = liquidation_price(ladder, wallet, size, entry, is_long=False)
    for share in (Fraction(1, 3), Fraction(999, 1_000)):
        price = found.price * share
        assert wallet - size * (price - entry) > maintenance_margin(ladder, size * price)
    assert wallet - size * (found.price - entry) <= maintenance_margin(ladder, size * found.price)


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.tuples(st.integers(-(10**6), 10**7), st.integers(0, 10**6), st.booleans(), st.integers(0, 50)), max_size=30))
def test_the_kernel_of_levels_is_the_step_of_one_account(observations):
    thresholds = Thresholds()
    state = AccountState()
    row = np.zeros(1, LEVEL_DTYPE)
    row["better_since_ns"] = -1
    now = 0
    for equity, needed, sure, wait in observations:
        now += wait * 10**9
        state = step(state, equity if sure else None, needed, now, thresholds)
        step_all(row, np.array([equity]), np.array([needed]), np.array([sure], np.uint8), now, limits(thresholds), True)
        assert state.shown == row["level"][0]
        if sure and needed and equity * MICRO <= thresholds.liquidate_ppm * needed:
            assert state.level >= AccountLevel.LIQUIDATE


@settings(deadline=None)  # the first call compiles
@given(st.integers(-(2**40), 2**40), st.integers(1, 2**53), st.integers(1, 2**31 - 1))
def test_values_are_exact_or_stand_still(lots, price, unit):
    exact = lots * (price * unit // MICRO) + lots * (price * unit % MICRO) // MICRO
    assert value_micro(lots, price, unit) in (exact, 2**56, -(2**56))
    if abs(exact) < 2**55:
        assert value_micro(lots, price, unit) == lots * price * unit // MICRO


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=20), st.integers(1, 10**12), st.integers(-(10**8), 10**8))
def test_funding_never_pays_out_more_than_it_takes_in(lots, mark, rate):
    lots = [*lots, -sum(lots)]
    paid = [payment_micro(each, mark, 5_000, rate) for each in lots]
    assert 0 <= sum(paid) < len(lots)


@given(st.sampled_from(["stepwise", "auction", "market"]), st.integers(1, 10**6), st.integers(1, MICRO), st.booleans())
def test_a_disposal_with_a_book_ends_and_never_turns_a_position(path, lots, fraction, is_long):
    rules = DisposalRules(path, 1, fraction, 1_000, 20_000, 100_000, 666_667)
    left = lots if is_long else -lots
    for _ in range(20_000):
        case = Distress(left, 12_800 * MICRO, 5_000, 10**7, -1, 100, 100)
        order = plan(rules, case)
        assert 0 < order.lots <= abs(left)
        assert order.ticks >= 12_544 if is_long else order.ticks <= 13_056
        left -= order.lots if is_long else -order.lots
        if left == 0:
            return
        assume(fraction > 1_000)
    raise AssertionError("the disposal did not end")


candidates = st.lists(
    st.builds(Candidate, st.integers(0, 99), st.integers(1, 1_000), st.integers(1, 10**6), st.integers(1, 10**6), st.booleans(),
              st.integers(-1_000, 10**6)),
    max_size=12, unique_by=lambda candidate: candidate.account,
)  # fmt: skip


@given(st.integers(1, 5_000), candidates, st.sampled_from(["bitmex", "hyperliquid", "pro_rata"]))
def test_adl_closes_what_is_needed_or_all_there_is(needed, candidates, rank):
    found = deleverage(needed, candidates, rank)
    winners = {candidate.account: candidate.lots for candidate in candidates if profit_share(candidate) > 0}
    assert sum(lots for _, lots in found) == min(needed, sum(winners.values()))
    assert all(0 < lots <= winners[account] for account, lots in found)
    assert len({account for account, _ in found}) == len(found)


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**9), max_size=20))
def test_a_shared_loss_is_conserved_and_nobody_pays_more_than_it_won(shortfall, gains):
    paid = socialise(shortfall, gains)
    assert sum(paid) == min(shortfall, sum(gains))
    assert all(0 <= part <= gain for part, gain in zip(paid, gains, strict=True))


@given(money, st.lists(st.integers(0, 10**12), min_size=1, max_size=8))
def test_attributed_equity_adds_up(equity, notionals):
    assume(sum(notionals) > 0)
    assert sum(attributed(equity, notionals)) == equity


@given(st.lists(st.tuples(st.integers(0, 7_200), st.integers(-100, 1_000)), min_size=1, max_size=40))
def test_the_funds_peak_is_that_of_eight_hours(observations):
    state, seen, now = FundState(), [], 0
    was = False
    for wait, equity in observations:
        now += wait * 10**9
        state = observe(state, equity, now, 300_000, 200_000)
        seen.append((now // (60 * 10**9), equity))
        peak = max(value for minute, value in seen if minute > now // (60 * 10**9) - 480)
        assert state.peaks[0][1] == peak
        if peak > 0:
            below = Fraction(peak - equity, peak)
            was = below > Fraction(2, 10) if was else below >= Fraction(3, 10)
        else:
            was = False
        assert state.deleveraging == was


@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.integers(-1_000, 1_000)), min_size=1, max_size=6),
    st.integers(-100, 100), st.integers(-100, 100), st.integers(-100, 100), st.integers(-100, 100),
)  # fmt: skip
def test_portfolio_margin_is_never_below_its_floors(legs, ab, ac, bc, stressed):
    pairs = {("A", "B"): Fraction(ab, 100), ("A", "C"): Fraction(ac, 100), ("B", "C"): Fraction(bc, 100)}
    every = {"A": "0.12", "B": "0.18", "C": "0.25"}
    extremes = {"A": "0.24", "B": "0.36", "C": "0.5"}
    basis = {"A": "0.01", "B": "0.01", "C": "0.02"}
    found = portfolio_margin([Leg(*leg) for leg in legs], every, extremes, basis, pairs, Fraction(stressed, 100))
    assert found.margin >= found.emir_floor >= 0
    assert found.margin >= found.correlation_one >= 0
    assert found.emir_floor >= found.standalone * Fraction(2, 10)
    assert found.margin == getattr(found, found.binding)
