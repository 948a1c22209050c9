"""Those who trade by a rule, those who protect themselves, and those who do not take no for an answer."""

from __future__ import annotations

import numpy as np
import pytest

from engine.contract import MICRO, EventKind, OpKind, Reason
from engine.simulation import MARKETS, QUIET, Simulation, SimulationConfig
from engine.simulation.retries import is_patient
from engine.simulation.state import BASIS, BOT, CARRY, HEDGED, LEVERED, MOMENTUM, RETAIL, TREND

SECOND = 10**9
T0 = 1_767_225_600 * SECOND


class Place:
    """A quiet market of three symbols whose dials a test may turn."""

    def __init__(self, seed=1, accounts=1500):
        self.simulation = Simulation(
            SimulationConfig(seed=seed, start_ns=T0, scenario=QUIET, markets=MARKETS[:3], accounts=accounts)
        )
        self.venue = self.simulation.new_venue()
        self.events = []
        self.tick()
        self.scene = self.simulation._scene

    def tick(self):
        ops = self.simulation.step(self.venue)
        events = self.venue.apply(ops)
        self.simulation.observe(events)
        self.events.append(events)
        return ops

    def go(self, seconds, each=lambda: None):
        for _ in range(int(10 * seconds)):
            each()
            self.tick()

    def held_usd(self, kind, k):
        """Net and gross of all positions of a kind in a market."""
        scene = self.simulation._scene
        lots = self.venue.positions[scene.accounts["kind"] == kind, k] * scene.markets["usd_per_lot"][k]
        return lots.sum(), np.abs(lots).sum()


def test_every_kind_is_there_and_acts():
    place = Place()
    place.go(90)
    for kind in (TREND, MOMENTUM, HEDGED):
        assert sum(place.held_usd(kind, k)[1] for k in range(3)) > 0, kind
    kinds = place.scene.accounts["kind"]
    assert {int(kind) for kind in kinds} == set(range(10))


@pytest.mark.parametrize("sign", [1, -1])
def test_basis_arbitrageurs_sell_what_is_dear_and_buy_what_is_cheap(sign):
    place = Place()

    def dear():
        place.scene.markets["premium"][0] = place.scene.markets["basis"][0] = sign * 30e-4

    place.go(60, dear)
    net, gross = place.held_usd(BASIS, 0)
    assert gross > 10_000
    assert net == pytest.approx(-sign * gross)
    place.scene.markets["premium"][0] = 0.0
    place.go(90, lambda: place.scene.markets["basis"].__setitem__(0, 0.0))
    assert place.held_usd(BASIS, 0)[1] < 0.5 * gross


@pytest.mark.parametrize("sign", [1, -1])
def test_carry_holds_the_side_that_gets_funding(sign):
    place = Place()

    def funding():
        place.venue.prices["funding_rate"][1] = (1 + sign * 20) * MICRO

    place.go(60, funding)
    net, gross = place.held_usd(CARRY, 1)
    assert gross > 10_000
    assert net == pytest.approx(-sign * gross)


@pytest.mark.parametrize("sign", [1, -1])
def test_trend_followers_follow(sign):
    place = Place()

    def pushed():
        place.scene.markets["push"][2] = sign * 1e-5

    before = place.held_usd(TREND, 2)[0]
    place.go(60, pushed)
    net, gross = place.held_usd(TREND, 2)
    assert sign * (net - before) > 5_000
    assert sign * net > 0.8 * gross


def test_hedged_portfolios_are_long_and_short_the_same_under_portfolio_margin():
    place = Place()
    place.go(120)
    scene = place.scene
    hedged = np.flatnonzero(scene.accounts["kind"] == HEDGED)
    assert place.venue.wallets.portfolio[hedged].all()
    usd = place.venue.positions[hedged] * scene.markets["usd_per_lot"]
    both = ((usd > 0).any(axis=1)) & ((usd < 0).any(axis=1))
    assert both.sum() > 5
    net, gross = usd[both].sum(axis=1), np.abs(usd[both]).sum(axis=1)
    assert np.median(np.abs(net) / gross) < 0.3


def test_retail_stops_close_what_they_protect():
    place = Place()
    place.go(120)
    stops = place.scene.stops
    who, where = np.nonzero(stops > 0)
    assert set(place.scene.accounts["kind"][who]) <= {RETAIL, LEVERED}
    assert (where == 0).sum() > 5
    place.go(60, lambda: place.scene.markets["push"].__setitem__(0, -2e-4))
    events = np.concatenate(place.events)
    fired = events[(events["kind"] == EventKind.TRIGGER) & (events["symbol"] == 0)]
    assert len(fired) > 5
    assert not np.isin(fired["order_id"], np.abs(place.scene.stops)).any()
    long_ones = [account for account in np.unique(fired["account"]) if place.scene.stops[account, 0] == 0]
    assert len(long_ones) > 3


def attempts(ops, account):
    mine = ops[(ops["kind"] == OpKind.NEW) & (ops["account"] == account)]
    return len(mine)


def test_refused_bots_storm_if_they_are_eager_and_wait_if_they_are_patient():
    place = Place()
    bots = np.flatnonzero(place.scene.accounts["kind"] == BOT).tolist()
    place.venue.market.accounts["banned_until_ns"][bots] = T0 + 3600 * SECOND
    tried = dict.fromkeys(bots, 0)
    for _ in range(300):
        ops = place.tick()
        for bot in bots:
            tried[bot] += attempts(ops, bot)
    events = np.concatenate(place.events)
    assert (events["code"][events["kind"] == EventKind.REJECT] == Reason.BANNED).sum() > 200
    eager = [tried[bot] for bot in bots if not is_patient(bot)]
    patient = [tried[bot] for bot in bots if is_patient(bot)]
    assert max(eager) > 20 * max(patient) > 0
    # Taken at last: nobody tries any more.
    place.venue.market.accounts["banned_until_ns"] = 0
    place.go(15)
    assert place.scene.heads[0]["retries"] == 0
