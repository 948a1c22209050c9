"""Clearing vectors, DebtRank and exits: published properties and small examples that can be followed by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from engine.cascade.clearing import clear, settle_at_once
from engine.cascade.debtrank import debtrank, leverage_of
from engine.cascade.exits import orderly_exit
from engine.cascade.graph import CascadeRules, graph_of
from engine.instruments import load_pack
from tests.property.test_cascade import random_holdings

CORE = load_pack("core")

amounts = st.integers(0, 20)
tables = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(amounts, min_size=n, max_size=n), min_size=n, max_size=n), st.lists(amounts, min_size=n, max_size=n)
    )
)


def without_own(owed):
    return [[0 if i == j else amount for j, amount in enumerate(row)] for i, row in enumerate(owed)]


@settings(deadline=None, max_examples=200)
@given(tables)
def test_a_clearing_vector_keeps_liability_limited_priority_and_all_the_money(table):
    owed, assets = without_own(table[0]), table[1]
    found = clear(owed, assets)
    for i, row in enumerate(owed):
        assert 0 <= found.paid[i] <= sum(row)
        assert found.equity[i] >= 0
        assert found.equity[i] == 0 or found.paid[i] == sum(row)
        assert (i in found.defaults) == (found.paid[i] < sum(row))
    assert sum(found.equity) == sum(assets)


@settings(deadline=None, max_examples=60)
@given(tables)
def test_it_is_the_greatest_one(table):
    """Iterating the payments down from payment in full comes to the greatest fixed point (Tarski)."""
    owed, assets = without_own(table[0]), table[1]
    total = [sum(row) for row in owed]
    paid = [float(amount) for amount in total]
    for _ in range(3_000):
        has = [assets[i] + sum(paid[j] * owed[j][i] / total[j] for j in range(len(owed)) if total[j]) for i in range(len(owed))]
        paid = [min(amount, left) for amount, left in zip(total, has, strict=True)]
    assert [float(amount) for amount in clear(owed, assets).paid] == pytest.approx(paid, abs=1e-2)


def test_defaults_come_in_rounds():
    found = clear([[0, 10, 0], [0, 0, 8], [0, 0, 0]], [4, 3, 0])
    assert found.defaults == {0: 1, 1: 2}
    assert found.paid == (4, 7, 0)


def test_settling_at_once_shows_who_pays():
    """Two lose 10 and 4, one of them has only 6; one wins 12 and the others outside 2; the fund has 3 of the 4 missing."""
    found = settle_at_once([6, 20, 5], [-4, 16, 17], 3)
    assert (found.owed, found.paid, found.shortfall, found.fund_paid) == (14, 10, 4, 3)
    assert found.winners_share == Fraction(13, 14)
    assert found.cannot_pay == 1


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(-20, 80)), min_size=1, max_size=8), st.integers(0, 30))
def test_settling_at_once_is_clearing_member_by_member(units, fund):
    before, after = zip(*units, strict=True)
    count = len(units)
    owed = [[0] * (count + 2) for _ in range(count + 2)]
    for u in range(count):
        if after[u] < before[u]:
            owed[u][count] = before[u] - after[u]
        else:
            owed[count][u] = after[u] - before[u]
    rest = sum(before) - sum(after)
    if rest >= 0:
        owed[count][count + 1] = rest
    else:
        owed[count + 1][count] = -rest
    whole = clear(owed, [*before, fund, max(0, -rest)])
    found = settle_at_once(before, after, fund)
    assert found.paid == sum(whole.paid[:count])
    assert found.fund_paid == fund - whole.equity[count] if whole.equity[count] < fund else found.fund_paid == 0
    if sum(owed[count]):
        assert found.winners_share == whole.paid[count] / sum(owed[count])


@pytest.mark.parametrize(
    ("owed", "assets", "said"),
    [
        ([[0, 1]], [1, 1], "owed must be 2 x 2"),
        ([[1]], [1], "nobody owes himself"),
        ([[0, -1], [0, 0]], [1, 1], r"owed\[0\]\[1\] is -1"),
        ([[0, float("nan")], [0, 0]], [1, 1], r"owed\[0\]\[1\] is nan"),
        ([[0]], [-1], r"assets\[0\] is -1"),
    ],
)
def test_no_table_of_debts(owed, assets, said):
    with pytest.raises(ValueError, match=said):
        clear(owed, assets)


def test_distress_is_handed_on_no_further_than_all_of_it():
    ring = csr_array(np.array([[0, 0, 0.9], [0.9, 0, 0], [0, 0.9, 0]]))
    found = debtrank(ring, np.array([0.5, 0, 0]), np.ones(3))
    assert found.distress.max() <= 1
    assert 0 < found.lost_share <= 1
    assert debtrank(ring, np.zeros(3), np.ones(3)).lost_share == 0


@pytest.mark.parametrize(
    ("leverage", "shock", "weight", "said"),
    [
        (np.zeros((2, 2)), [1.0], [1.0], "leverage must be 1 x 1"),
        (np.zeros((1, 1)), [2.0], [1.0], "shock must be from 0 to 1"),
        (np.zeros((1, 1)), [np.nan], [1.0], "shock must be from 0 to 1"),
        (np.array([[0, -1.0], [0, 0]]), [1.0, 0], [1.0, 1], "leverage must be finite and not negative"),
    ],
)
def test_no_debtrank_of_nonsense(leverage, shock, weight, said):
    with pytest.raises(ValueError, match=said):
        debtrank(csr_array(leverage), np.array(shock), np.array(weight))


@pytest.mark.parametrize("seed", range(8))
def test_the_venues_factors_are_its_matrix(seed):
    graph = graph_of(random_holdings(seed, CORE), CascadeRules())
    operator, equity = leverage_of(graph)
    units = len(graph.units)
    arrays = graph.arrays
    value = arrays.mark / 1e6 * graph.terms.units / 1e6
    expected = np.zeros((units, units))
    lots = graph.exposures.toarray()
    for i in range(units):
        for j in range(units):
            for k in range(len(value)):
                if i == j or lots[i, k] * lots[j, k] <= 0 or equity[i] == 0:
                    continue
                side = 0 if lots[j, k] > 0 else 1
                depth = 0
                for n in range(arrays.levels[k, side]):
                    if arrays.away[k, side, n] <= 0.02 * arrays.mark[k]:
                        depth = arrays.depth[k, side, n] * value[k]
                sold = abs(lots[j, k]) * value[k]
                expected[i, j] += abs(lots[i, k]) * value[k] * 0.02 * (min(1, sold / depth) if depth else 1) / equity[i]
    assert np.allclose(operator @ np.eye(units), expected)


def test_above_some_leverage_there_is_no_exit():
    most = orderly_exit(10**6, 1, 10**7, "0.04").most_leverage
    assert orderly_exit(10**6, 10**6 / (most * 0.99), 10**7, "0.04").is_orderly
    assert not orderly_exit(10**6, 10**6 / (most * 1.01), 10**7, "0.04").is_orderly
    assert orderly_exit(0, 1, 1, 0).most_leverage is None
    for wrong in ({"volume": 0}, {"volatility": -1}, {"notional": Fraction(-1)}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            orderly_exit(**({"notional": 1, "equity": 1, "volume": 1, "volatility": 1} | wrong))
