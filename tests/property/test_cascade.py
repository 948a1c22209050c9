"""The cascade against its plain-Python oracle, to the last unit; conservation; and what must hold of any run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cascade.graph import CascadeRules, graph_of, shock_table
from engine.cascade.report import report
from engine.cascade.run import run
from engine.cascade.selling import _sell
from engine.cascade.state import new_state, rules_table
from engine.contract import MICRO
from engine.holdings import AccountHeld, Collateral, Holdings, MarketHeld, PositionHeld, read_holdings, written
from engine.instruments import load_pack
from engine.liquidation.disposal import Distress, plan
from engine.margin.portfolio import emir_floor
from engine.margining import maintenance_of, portfolio_requirement
from tests.oracle.naive_cascade import Cascade
from tests.venue_kit import changed

CORE = load_pack("core")
SYMBOLS = ("BTC-PERP", "SOL-PERP", "DOGE-PERP")
PACKS = {
    f"{path}-{rank}-{price}": changed(
        CORE,
        liquidation={"path": path},
        fund={"adl_rank": rank, "adl_price": price, "max_notional_ppm": most},
        margin={"liquidate_at_equality": path != "auction", "taker_fee_inside": path == "market"},
    )
    for path, rank, price, most in (
        ("stepwise", "bitmex", "bankruptcy", 0),
        ("stepwise", "pro_rata", "mark", 1_000_000),
        ("auction", "hyperliquid", "mark", 1_000_000),
        ("market", "pro_rata", "bankruptcy", 0),
    )
}


def random_holdings(seed, pack):
    """A small venue: deep and thin books, pools, isolated wallets, collateral, accounts from safe to bankrupt."""
    g = np.random.default_rng(seed)
    markets = []
    for symbol, ticks in zip(SYMBOLS[: g.integers(1, 4)], (12_800, 8_500, 8_000), strict=False):
        instrument = pack.instrument(symbol)
        sides = []
        for sign in (-1, 1):
            steps = np.cumsum(g.integers(1, 60, g.integers(0, 12)))
            lots = np.exp(g.normal(7, 1.5, len(steps))).astype(int) + 1
            sides.append(tuple((int(ticks + sign * step), int(size)) for step, size in zip(steps, lots, strict=True)))
        mark = ticks * MICRO + int(g.integers(-400_000, 400_000))
        markets.append(MarketHeld(instrument, mark, mark, mark, *sides))
    collateral = (Collateral("USDE", MICRO, 50_000, -1), Collateral("BTC", 64_000 * MICRO, 100_000, 0))
    accounts = []
    for a in range(int(g.integers(2, 14))):
        positions, needed = [], 0
        for k in range(len(markets)):
            if g.random() < 0.3:
                continue
            unit = markets[k].instrument.notional_micro
            lots = int(np.exp(g.normal(8, 1.5))) * (1 if g.random() < 0.6 else -1)
            value = lots * markets[k].mark * unit // MICRO
            cost = int(value * g.uniform(0.8, 1.2))
            wallet = max(0, cost - value) + int(abs(value) * np.exp(g.uniform(-5, -1.2))) if g.random() < 0.25 else None
            needed += 0 if wallet is not None else cost - value + abs(value) * np.exp(g.uniform(-5.5, -1.2))
            positions.append(PositionHeld(k, lots, cost, wallet))
        assets = tuple((c, int(abs(needed) * g.uniform(0, 0.3)) // (1, 64_000)[c]) for c in range(2) if g.random() < 0.3)
        pool = f"p{g.integers(0, 2)}" if g.random() < 0.3 else ""
        accounts.append(AccountHeld(f"a{a}", int(needed), g.random() < 0.3 and not pool, pool, assets, tuple(positions)))
    return Holdings(pack, tuple(markets), collateral, tuple(accounts), int(g.choice([0, 10**9, 10**11])))


rules = st.builds(
    CascadeRules,
    rounds=st.integers(1, 60),
    shock_rounds=st.integers(1, 20),
    refill_ppm=st.sampled_from([0, 100_000, 900_000]),
    lasting_ppm=st.sampled_from([0, 500_000, 1_000_000]),
    liquidity_ppm=st.sampled_from([100_000, 1_000_000]),
    correlation_ppm=st.sampled_from([0, 600_000, 1_000_000]),
    mark_lag=st.integers(0, 3),
    order_lag=st.integers(0, 3),
    spread_lag=st.integers(0, 3),
)


@settings(deadline=None, max_examples=120)
@given(
    seed=st.integers(0, 2**32),
    name=st.sampled_from(sorted(PACKS)),
    rules=rules,
    move=st.sampled_from([-0.3, -0.1, -0.04, -0.01, 0.02]),
    depeg=st.sampled_from([0, -0.35]),
)
def test_the_kernel_does_what_the_oracle_does(seed, name, rules, move, depeg):
    pack = PACKS[name]
    holdings = random_holdings(seed, pack)
    shocks = {SYMBOLS[0]: move} | ({"USDE": depeg} if depeg else {})
    graph = graph_of(holdings, rules)
    done = run(graph, pack, rules, *shock_table(graph, shocks))
    oracle = Cascade(holdings, rules, shocks)
    assert (done.rounds, done.settled) == oracle.run()
    state = done.state
    for t, log in enumerate(oracle.log):
        ours = {field: int(state.log[t][field]) for field in state.log.dtype.names}
        assert ours == {field: log[field] for field in ours}, f"round {t}"
    assert state.anchor.tolist() == oracle.price
    assert state.shocked.tolist() == oracle.shocked
    assert state.seen.tolist() == oracle.seen
    assert state.eaten.tolist() == oracle.eaten
    assert state.cash.tolist() == [unit.cash for unit in oracle.units]
    assert state.purses.tolist() == [oracle.fund.cash, oracle.fees, oracle.rest_cash]
    assert state.lost.tolist() == [unit.lost for unit in oracle.units]
    held = {(graph.arrays.pos_unit[p], graph.arrays.pos_market[p]): lots for p, lots in enumerate(state.lots) if lots}
    assert held == {(u, k): lots for u, unit in enumerate(oracle.units) for k, lots in unit.lots.items() if lots}
    count = len(graph.instruments)
    assert state.own.tolist() == [oracle.carried[k, k] for k in range(count)]
    edges = {(i, j): oracle.carried[i, j] for i in range(count) for j in range(count) if i != j and oracle.ppm[i, j]}
    assert state.carried.tolist() == [edges[edge] for edge in sorted(edges)]


@settings(deadline=None, max_examples=120)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(PACKS)), rules=rules, move=st.floats(-0.5, 0.5))
def test_what_holds_of_any_run(seed, name, rules, move):
    pack = PACKS[name]
    graph = graph_of(random_holdings(seed, pack), rules)
    done = run(graph, pack, rules, *shock_table(graph, {SYMBOLS[0]: move, "USDE": move}))
    found = report(graph, done)
    assert (found.residual_micro, found.residual_lots) == (0, 0)
    assert found.socialised >= 0
    assert found.uncovered >= 0
    assert abs(found.fund_after + found.socialised + found.uncovered - max(0.0, found.fund_after)) < 1e-5
    assert all(edge.carried > 0 for edge in found.edges)
    if found.liquidations == 0 and found.first_loss and all(alone == end for alone, end in found.prices.values()):
        assert found.amplification == pytest.approx(1)
    again = report(graph, run(graph, pack, rules, *shock_table(graph, {SYMBOLS[0]: move, "USDE": move})))
    assert again == found


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_holdings_are_read_as_they_were_written(seed):
    holdings = random_holdings(seed, CORE)
    found = read_holdings(written(holdings), CORE)
    assert found.markets == holdings.markets
    assert found.collateral == holdings.collateral
    assert found.fund == holdings.fund
    for ours, theirs in zip(holdings.accounts, found.accounts, strict=True):
        # Entry prices are written with 12 digits.
        assert ours._replace(positions=()) == theirs._replace(positions=())
        for before, after in zip(ours.positions, theirs.positions, strict=True):
            assert before._replace(cost=0) == after._replace(cost=0)
            assert after.cost == pytest.approx(before.cost, rel=1e-11)


@pytest.mark.parametrize("name", sorted(PACKS))
def test_the_examples_reach_every_path(name):
    seen = dict.fromkeys(("orders", "adl", "takeovers", "shortfall", "carried", "settled"), 0)
    for seed in range(60):
        rules = CascadeRules(rounds=600, shock_rounds=300, lasting_ppm=500_000)
        graph = graph_of(random_holdings(seed, PACKS[name]), rules)
        done = run(graph, PACKS[name], rules, *shock_table(graph, {SYMBOLS[0]: -0.1}))
        for field in ("orders", "adl", "takeovers", "shortfall"):
            seen[field] += int(done.state.log[field].any())
        seen["carried"] += int(done.state.carried.any())
        seen["settled"] += int(done.settled)
    assert min(seen.values()) >= 5, seen


def test_thinner_books_amplify_more():
    """Over many venues; in a single one a thin book may save an account, for its orders are smaller."""
    losses = []
    for liquidity in (1_000_000, 200_000, 50_000):
        rules = CascadeRules(rounds=600, liquidity_ppm=liquidity)
        total = 0.0
        for seed in range(60):
            graph = graph_of(random_holdings(seed, CORE), rules)
            found = report(graph, run(graph, CORE, rules, *shock_table(graph, {SYMBOLS[0]: -0.05})))
            total += 0 if found.amplification is None else found.amplification - 1
        losses.append(total)
    assert losses == sorted(losses)
    assert losses[0] > 0


@settings(deadline=None, max_examples=100)
@given(
    path=st.sampled_from(["stepwise", "auction", "market"]),
    lots=st.integers(1, 10**6),
    is_long=st.booleans(),
    depth=st.integers(1, 10**7),
    worse_ppm=st.integers(0, 1_200_000),
)
def test_a_forced_order_is_the_plan_of_the_pack(path, lots, is_long, depth, worse_ppm):
    """One level at the mark: what trades there is the size that `engine.liquidation.disposal.plan` orders."""
    pack = changed(CORE, liquidation={"path": path})
    market = MarketHeld(CORE.instrument("BTC-PERP"), 12_800 * MICRO, 0, 0, *((((12_800, depth),),) * 2))
    held = lots if is_long else -lots
    unit = market.instrument.notional_micro
    position = PositionHeld(0, held, held * 12_800 * unit, None)
    graph = graph_of(
        Holdings(pack, (market,), (), (AccountHeld("a", 0, False, "", (), (position,)),), 0), CascadeRules(rounds=1)
    )
    state = new_state(graph, CascadeRules(rounds=1))
    terms = graph.terms._replace(prices=state.seen)
    needed = int(maintenance_of(terms, 0, abs(lots * 12_800 * unit)))
    equity = needed * (1_050_000 - worse_ppm) // MICRO
    order = plan(pack.liquidation, Distress(held, 12_800 * MICRO, unit, depth, equity, needed, needed))
    done, _ = _sell(graph.arrays, terms, state, rules_table(pack, CascadeRules())[0], 0, held, equity, needed, needed)
    assert abs(done) == min(order.lots, depth)
    assert done == 0 or (done > 0) == is_long


@given(st.integers(0, 2**50), st.integers(0, 2**50))
def test_a_portfolio_requirement_is_never_below_emirs_floor_nor_correlation_one(falling, rising):
    total, combined = falling + rising, abs(falling - rising)
    needed = portfolio_requirement.py_func(total, falling, rising)
    assert needed >= emir_floor(total, combined) - 1
    assert needed >= max(falling, rising)
    assert needed <= total
