"""The band and the stress grid of a venue's holdings, against the margin rules themselves."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from engine.banding import band_of
from engine.cascade.graph import CascadeRules, graph_of
from engine.cascade.state import new_state, standing
from engine.contract import MICRO
from engine.exact import exact
from engine.holdings import HoldingsError
from engine.instruments import load_pack
from engine.stress import contributions
from engine.stressing import grid_of, stress_venue
from tests.property.test_cascade import random_holdings
from tests.venue_kit import changed

CORE = load_pack("core")


@pytest.mark.parametrize("seed", range(12))
def test_at_the_price_of_a_step_the_unit_stands_there(seed):
    """The unit's equity over its requirement, by the kernel at that price, is the step's ratio."""
    holdings = random_holdings(seed, CORE)
    graph = graph_of(holdings, CascadeRules(rounds=1))
    found = band_of(holdings, "BTC-PERP")
    tick = exact(holdings.markets[0].instrument.tick_size)
    looked = 0
    for name, band in found.positions:
        unit = graph.units.index(name)
        if graph.arrays.portfolio[unit]:
            continue
        for step, ppm in (("liquidate", CORE.states.liquidate_ppm), ("takeover", CORE.liquidation.takeover_ppm)):
            price = band.prices[step]
            if price is None:
                continue
            graph.terms.prices[0] = round(price / tick * MICRO)
            equity, needed = standing(graph.arrays, graph.terms, new_state(graph, CascadeRules(rounds=1)), unit)
            assert equity == pytest.approx(Fraction(needed * ppm, MICRO), rel=1e-6, abs=20_000)
            looked += 1
    assert looked


def test_markets_that_have_no_band():
    holdings = random_holdings(1, CORE)
    with pytest.raises(HoldingsError, match="there is no market 'X'"):
        band_of(holdings, "X")
    bare = changed(CORE, prices={})
    market = holdings.markets[0]
    naked = market._replace(instrument=market.instrument.__class__("Y", "5", "0.001"))
    with pytest.raises(HoldingsError, match="'Y' has no margin in pack core"):
        band_of(holdings._replace(pack=bare, markets=(naked, *holdings.markets[1:])), "Y")


def test_the_grid_has_the_moves_of_the_pack_and_contributions_add_up():
    holdings = next(h for h in (random_holdings(seed, CORE) for seed in range(50)) if all(m.bids and m.asks for m in h.markets))
    markets = [
        market._replace(bids=((market.bids[0][0], 10**5),), asks=((market.asks[0][0], 10**5),)) for market in holdings.markets
    ]
    holdings = holdings._replace(markets=tuple(markets))
    grid = grid_of(CORE)
    assert {0.0, 1.0, -1.0, 400 / 1200, -800 / 1200, 1600 / 2500} <= set(grid.prices)
    found = stress_venue(holdings)
    order = found.order()
    left = (found.equity - found.loss)[order]
    assert (np.diff(left) >= 0).all()
    for u in order:
        parts = contributions(found.notionals[u], found.market, found.cell(u))
        assert parts.sum() == pytest.approx(found.loss[u])
        explained = found.explain(u)
        assert explained.loss == pytest.approx(found.loss[u])


def test_a_market_that_nobody_can_leave_is_said():
    holdings = random_holdings(1, CORE)
    empty = holdings.markets[0]._replace(bids=())
    with pytest.raises(HoldingsError, match="'BTC-PERP' has no depth within 1 % on one side"):
        stress_venue(holdings._replace(markets=(empty, *holdings.markets[1:])))
