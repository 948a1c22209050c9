"""Forced orders of a cascade: what goes in a step, what the book gives for it, and what it does to the price."""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.arithmetic import mul_div_floor
from engine.cascade.graph import Arrays
from engine.cascade.state import MARKET, STEPWISE, State, is_distressed, is_lost, standing
from engine.contract import MICRO
from engine.margin.states import at_ppm
from engine.margining import Terms, maintenance_of
from engine.wallets import value_micro


@njit(cache=True, nogil=True)
def dispose_all(
    graph: Arrays, terms: Terms, state: State, rules: np.void, due: np.ndarray, u: int, t: int, log: np.void
) -> None:
    """The next step of each of a unit's positions, the largest requirement first, until it is out of distress or lost."""
    first, end = graph.unit_first[u], graph.unit_first[u + 1]
    sizes = np.zeros(end - first, np.int64)
    for p in range(first, end):
        k = graph.pos_market[p]
        sizes[p - first] = maintenance_of(terms, k, abs(value_micro(state.lots[p], terms.prices[k], terms.units[k])))
    for n in np.argsort(-sizes, kind="mergesort"):
        p = first + n
        equity, needed = standing(graph, terms, state, u)
        if not is_distressed(equity, needed, rules["liquidate"], rules["at_equality"] != 0):
            break
        if is_lost(equity, needed, rules["takeover"]):
            break
        if state.lots[p] == 0 or t < due[p]:
            continue
        due[p] = t + rules["step"]
        k = graph.pos_market[p]
        done, money = _sell(graph, terms, state, rules, k, state.lots[p], equity, needed, sizes[n])
        if done == 0:
            continue
        state.lots[p] -= done
        state.cash[u] += money
        state.rest_lots[k] += done
        state.purses[2] -= money
        fee = _part(abs(money), rules["taker"])
        extra = _part(abs(money), rules["extra"])
        state.cash[u] -= fee + extra
        state.purses[1] += fee
        state.purses[0] += extra
        state.extra[0] += extra
        state.sold[p] += abs(money)
        state.sold_lots[p] += done
        state.slipped[p] += value_micro(done, terms.prices[k], terms.units[k]) - money
        log["orders"] += 1
        log["sold"] += abs(money)


@njit(cache=True, nogil=True)
def sell_inventory(graph: Arrays, terms: Terms, state: State, rules: np.void, fund_due: np.ndarray, t: int) -> None:
    """The fund's positions go on the same path, in an auction at its last price, without fees."""
    for k in range(len(state.fund_lots)):
        lots = state.fund_lots[k]
        if lots == 0 or t < fund_due[k]:
            continue
        fund_due[k] = t + rules["step"]
        own = maintenance_of(terms, k, abs(value_micro(lots, terms.prices[k], terms.units[k])))
        done, money = _sell(graph, terms, state, rules, k, lots, 0, 1, own)
        state.fund_lots[k] -= done
        state.purses[0] += money
        state.rest_lots[k] += done
        state.purses[2] -= money


@njit(cache=True, nogil=True)
def _part(notional: int, ppm: int) -> int:
    """A fee, rounded up."""
    return -mul_div_floor(-notional, ppm, MICRO)


@njit(cache=True, nogil=True)
def _sell(
    graph: Arrays,
    terms: Terms,
    state: State,
    rules: np.void,
    k: int,
    lots: int,
    equity: int,
    needed: int,
    own_needed: int,
) -> tuple[int, int]:
    """One forced order into the book, against a position of `lots`. Returns the lots that the position loses (signed as it is)
    and what its owner gets for them.

    The order is that of `engine.liquidation.disposal.plan`, with the auction's price to a millionth.
    """
    price, unit, size = terms.prices[k], terms.units[k], abs(lots)
    side = 0 if lots > 0 else 1  # of the book: longs are sold into the bids
    limit = price - at_ppm(price, rules["range"]) if side == 0 else price + at_ppm(price, rules["range"])
    wanted = size
    if rules["path"] != MARKET:
        whole = abs(value_micro(lots, price, unit)) <= rules["full_below"]
        wanted = size if whole else max(1, at_ppm(size, rules["fraction"]))
        if rules["path"] == STEPWISE:
            within = _within(graph, state, k, side, limit)
            share = at_ppm(within, rules["depth_share"])
            wanted = min(wanted, max(share, min(1, within)))
        else:
            worse = mul_div_floor(rules["adjustment"], max(0, needed - equity), max(1, needed))
            worse = min(MICRO, worse)
            offer = mul_div_floor(at_ppm(own_needed, rules["spread"]), worse, unit) // size
            limit = max(limit, price - offer) if side == 0 else min(limit, price + offer)
    if wanted < size:
        wanted -= wanted % graph.lot_step[k]
    done, money = 0, 0
    eaten = state.eaten[k, side]
    for n in range(graph.levels[k, side]):
        there = graph.depth[k, side, n] - eaten
        if there <= 0:
            continue
        at = state.anchor[k] - graph.away[k, side, n] if side == 0 else state.anchor[k] + graph.away[k, side, n]
        if done == wanted or at < MICRO or (at < limit if side == 0 else at > limit):
            break
        taken = min(wanted - done, there)
        money += value_micro(taken if side == 0 else -taken, at, unit)
        done += taken
        eaten += taken
    state.eaten[k, side] = eaten
    return (done if side == 0 else -done), money


@njit(cache=True, nogil=True)
def _within(graph: Arrays, state: State, k: int, side: int, limit: int) -> int:
    """Lots that stand in the book up to a price."""
    found = 0
    for n in range(graph.levels[k, side]):
        at = state.anchor[k] - graph.away[k, side, n] if side == 0 else state.anchor[k] + graph.away[k, side, n]
        if at < MICRO or (at < limit if side == 0 else at > limit):
            break
        found = graph.depth[k, side, n]
    left: int = max(0, found - state.eaten[k, side])
    return left


@njit(cache=True, nogil=True)
def impact(graph: Arrays, state: State, rules: np.void, k: int) -> int:
    """How far the market's price goes for good, micro-ticks; and the books fill up again."""
    shift = 0
    for side in range(2):
        eaten = state.eaten[k, side]
        count = graph.levels[k, side]
        if eaten == 0 or count == 0:
            continue
        away = graph.away[k, side]
        depth = graph.depth[k, side]
        at = 0
        while at < count - 1 and depth[at] <= eaten:
            at += 1
        pushed = away[at] - away[0]
        stays = at_ppm(pushed, rules["lasting"])
        # The best price stays where it is while the rest of the book comes nearer: less of it counts as eaten.
        n = 0
        while n < count and away[n] - away[0] < pushed - stays:
            n += 1
        eaten = min(eaten, depth[n - 1] if n > 0 else 0)
        state.eaten[k, side] = at_ppm(eaten, MICRO - rules["refill"])
        shift += -stays if side == 0 else stays
    return shift
