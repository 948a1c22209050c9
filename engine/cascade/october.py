"""A stylised venue on the eve of 10 October 2025, and how far a cascade on it is from what was measured on that day.

The targets are RISK-SPEC 7's. Sizes, leverages and books below are assumptions of the right order; everything else follows from
the rules of the pack. The coupling of markets and the lasting impact were made less after first runs in which every price
fell to nothing, and the shock shorter and the books thinner after one without ADL; nothing was fitted to a target. So the
distance says how much of such a day the rules explain, and nothing about a forecast.

Assumptions: 40 markets (2 majors, 8 mid caps, 30 others) whose open interest falls off as the rank to the power 1.2;
20,000 accounts with one to three positions of log-normal size; three quarters of them long at a median leverage of 6, the
others short, larger, at a median leverage of 0.5 (hedgers and desks), with entries that are mostly in profit; 20 million in
BTC's book within 1 %, the other books as their open interest, the density even out to 6 %; of that makers leave 20 %. The
shock from outside takes 12, 25 and 40 % from the three classes within ten minutes; what comes on top is the cascade's.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numba import njit

from engine.cascade.graph import CascadeRules, Graph, graph_of, shock_table
from engine.cascade.report import Report, report
from engine.cascade.run import Run, run
from engine.contract import MICRO
from engine.holdings import AccountHeld, Holdings, MarketHeld, PositionHeld
from engine.instruments import Instrument, Pack, load_pack
from engine.risk_rules import LadderRules, StressRules
from engine.simulation.generator import below, between, new_generator, normal, uniform

ACCOUNTS: Final = 20_000
_MARKETS: Final = (("major", 2), ("mid", 8), ("other", 30))
_SHOCK: Final = {"major": -0.12, "mid": -0.25, "other": -0.40}
_LEVERAGE: Final = {"major": 40, "mid": 20, "other": 5}
_EXTREMES: Final = {"major": 2_400, "mid": 3_600, "other": 5_000}
_DEPTH_USD: Final = 20_000_000.0
_LEVELS: Final = 120
_FAR: Final = 0.06
_FUND_USD: Final = 10_000_000

RULES: Final = CascadeRules(rounds=3_600, shock_rounds=600, liquidity_ppm=200_000)


class Target(NamedTuple):
    """A fact of that day, what the run shows, and how far off it is: a ratio for amounts, a difference for shares."""

    fact: str
    published: float
    found: float | None
    source: str

    @property
    def distance(self) -> float | None:
        """`ln(found / published)` where both are above zero: 0.7 is a factor of two; None without a figure."""
        if self.found is None or self.found <= 0 or self.published <= 0:
            return 0.0 if self.found == self.published else None
        return math.log(self.found / self.published)


def eve(seed: int) -> Holdings:
    """The venue of the eve; the same seed gives the same venue."""
    pack = _pack()
    names = [(kind, n) for kind, count in _MARKETS for n in range(count)]
    markets = []
    for rank, (kind, n) in enumerate(names, 1):
        instrument = Instrument(f"{kind.upper()}{n + 1}", "0.01", "0.001", ladder=kind, kind=kind)
        markets.append(_market(instrument, _DEPTH_USD * rank**-1.2))
    popularity = np.cumsum(np.arange(1, len(names) + 1, dtype=np.float64) ** -1.2)
    most = np.array([_LEVERAGE[kind] for kind, _ in names], np.float64)
    # A short ends the row of its account, so that an account is read off where the number changes.
    rows = _people(new_generator(seed, 10), ACCOUNTS, popularity / popularity[-1], most)
    accounts: list[AccountHeld] = []
    for account, group in _groups(rows):
        positions, cash = [], 0.0
        for k, notional, entry, leverage in group:
            instrument = markets[k].instrument
            lots = round(notional / (100.0 * instrument.lot))
            if lots:
                cost = round(lots * 100_00 * instrument.notional_micro * entry)
                positions.append(PositionHeld(k, lots, cost, None))
                # What stands behind it today; the balance is that less the open profit.
                cash += abs(notional) / leverage - notional * (1 - entry)
        accounts.append(AccountHeld(f"a{account}", round(cash * MICRO), False, "", (), tuple(positions)))
    return Holdings(pack, tuple(markets), (), tuple(accounts), _FUND_USD * MICRO)


def october(seed: int) -> tuple[Graph, Run, Report, list[Target]]:
    """Runs the cascade on the eve's venue and sets it beside the day's figures."""
    holdings = eve(seed)
    graph = graph_of(holdings, RULES)
    shock = {market.instrument.symbol: _SHOCK[market.instrument.kind] for market in holdings.markets}
    done = run(graph, holdings.pack, RULES, *shock_table(graph, shock))
    found = report(graph, done)
    return graph, done, found, targets(graph, done, found)


def targets(graph: Graph, done: Run, found: Report) -> list[Target]:
    """The figures that do not depend on the size of a venue, and those that do as shares of the liquidated notional."""
    log, state, arrays = done.state.log, done.state, graph.arrays
    closed = state.closed > 0
    forced = log["sold"] + log["adl_notional"]
    total = max(1, int(forced.sum()))
    busiest = max((int(forced[at : at + 2_400].sum()) for at in range(0, len(forced), 60)), default=0)
    value = arrays.pos_lots * arrays.mark[arrays.pos_market] // MICRO * graph.terms.units[arrays.pos_market]
    gain = np.where(closed, value - arrays.pos_cost + _moved(graph, done), 0)
    waited = (
        None
        if found.first_adl_s is None or found.first_liquidation_s is None
        else float(found.first_adl_s - found.first_liquidation_s)
    )
    profitable = float((gain[closed] > 0).mean()) if closed.any() else None
    liquidated = max(1.0, found.liquidated)
    return [
        Target("ADL events a liquidation", 34_983 / 63_637, found.deleveragings / max(1, found.liquidations), "HA, V"),
        Target("ADL notional over liquidated notional", 0.38, found.deleveraged / liquidated, "HA, V"),
        Target("first liquidation to first ADL, s", 61.7, waited, "HA, O"),
        Target("liquidations before the first ADL", 710.0, float(found.liquidations_before_adl), "HA, O"),
        Target("correlation of liquidations and ADL by second", 0.945, found.together, "HA, O"),
        Target("ADL outside the liquidated ticker", 0.0, float(_outside(graph, done)), "HA, O"),
        Target("share of ADL targets in profit", 0.994, profitable, "HA, O"),
        Target("median leverage of ADL targets", 0.20, found.adl_leverage, "HA, O"),
        Target(
            "accounts below zero a 1,000 liquidations", 302 / 63.637, found.bankrupt / max(1, found.liquidations) * 1e3, "HA, O"
        ),
        Target("equity below zero over liquidated notional", 23.19 / 5_511, -found.bankrupt_equity / liquidated, "HA, O"),
        Target("share of forced notional in the busiest 40 min", 0.70, busiest / total, "AM, V"),
        Target("share of longs in liquidated notional", 0.839, found.long_share, "AM, V"),
        Target("peak minute over all forced notional", 3.21 / 9.89, found.peak_minute[0] * MICRO / total, "AM, O"),
    ]


def _moved(graph: Graph, done: Run) -> np.ndarray:
    """What the market gave each position until the end, micro-units, [P]."""
    arrays = graph.arrays
    moved = (done.state.anchor - arrays.mark)[arrays.pos_market]
    gained: np.ndarray = arrays.pos_lots * (moved * graph.terms.units[arrays.pos_market] // MICRO)
    return gained


def _outside(graph: Graph, done: Run) -> int:
    """Markets with ADL in which no unit was liquidated or ended."""
    arrays, state = graph.arrays, done.state
    with_adl = set(arrays.pos_market[state.closed > 0].tolist())
    ended = (state.lots == 0) & (state.closed == 0)
    return len(with_adl - set(arrays.pos_market[ended].tolist()))


def _pack() -> Pack:
    """Hyperliquid's rules with ladders and stress classes for smaller markets (half of the initial rate, as its others)."""
    pack = load_pack("hyperliquid")
    ladders = tuple(
        LadderRules(kind, "stylised", ((0, leverage, MICRO // leverage // 2),)) for kind, leverage in _LEVERAGE.items()
    )
    stress = StressRules({kind: (bps // 2,) for kind, bps in _EXTREMES.items()}, dict(_EXTREMES))
    return msgspec.structs.replace(pack, ladders=ladders, stress=stress)


def _market(instrument: Instrument, depth_usd: float) -> MarketHeld:
    """A market at 100, with a book of even density out to `_FAR`."""
    lots = max(1, round(depth_usd * (_FAR / 0.01) / _LEVELS / (100.0 * instrument.lot)))
    steps = [max(1, round(10_000 * _FAR * (n + 0.5) / _LEVELS)) for n in range(_LEVELS)]
    bids, asks = (tuple((10_000 + sign * step, lots) for step in steps) for sign in (-1, 1))
    mark = 10_000 * MICRO
    return MarketHeld(instrument, mark, mark, mark, bids, asks)


def _groups(rows: np.ndarray) -> list[tuple[int, list[tuple[int, float, float, float]]]]:
    """(account, [(market, signed notional, entry over mark, leverage)])."""
    found: list[tuple[int, list[tuple[int, float, float, float]]]] = []
    for account, market, notional, entry, leverage in rows.tolist():
        if not found or found[-1][0] != int(account):
            found.append((int(account), []))
        found[-1][1].append((int(market), notional, entry, leverage))
    return found


@njit(cache=True, nogil=True)
def _people(g: np.ndarray, accounts: int, popularity: np.ndarray, most: np.ndarray) -> np.ndarray:
    """(account, market, signed notional, entry over mark, leverage), float64 [n, 5]; an account is in a market once."""
    rows = np.zeros((accounts * 3, 5))
    n = 0
    for a in range(accounts):
        is_long = uniform(g) < 0.75
        count = 1 + below(g, 3)
        used = np.full(3, -1)
        for i in range(count):
            k = min(np.int64(np.searchsorted(popularity, uniform(g), side="right")), np.int64(len(popularity) - 1))
            if np.any(used == k):
                continue
            used[i] = k
            spread = math.exp(2.0 * normal(g))
            if is_long:
                notional, entry = 5_000.0 * spread, between(g, 0.95, 1.05)
                leverage = min(most[k] * 0.9, 6.0 * math.exp(0.8 * normal(g)))
            else:
                notional, entry = -15_000.0 * spread, between(g, 0.98, 1.20)
                leverage = min(most[k] * 0.9, 0.5 * math.exp(0.8 * normal(g)))
            rows[n, 0], rows[n, 1], rows[n, 2], rows[n, 3], rows[n, 4] = a, k, notional, entry, leverage
            n += 1
    return rows[:n]
