"""Runs a cascade: shock, mark, distress, disposal into the book, impact, and again, round by round (`docs/cascade.md`).

All of it is integers, so that a run has one result: money in micro-units of the quote, prices in micro-ticks, moves in parts
per thousand million.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from engine.arithmetic import mul_div_floor
from engine.cascade.ending import deleverage, fund_equity, fund_takes, observe, take_over
from engine.cascade.graph import Arrays, CascadeRules, Graph
from engine.cascade.selling import dispose_all, impact, sell_inventory
from engine.cascade.state import (
    BILLION,
    FIRST,
    NEVER,
    State,
    is_distressed,
    is_lost,
    new_state,
    rules_table,
    stand_all,
    standing,
)
from engine.contract import MICRO
from engine.instruments import Pack
from engine.margining import Terms
from engine.wallets import value_micro


class Run(NamedTuple):
    """The state at the end, rounds that were run, and whether it came to rest by itself."""

    state: State
    rounds: int
    settled: bool


def run(graph: Graph, pack: Pack, rules: CascadeRules, markets: np.ndarray, assets: np.ndarray) -> Run:
    """Propagates a shock until nothing moves any more, or the rounds are over.

    Args:
        graph: of the holdings; it is not changed.
        pack: margin, liquidation, fund and fees.
        rules: how shocks travel.
        markets, assets: see `engine.cascade.graph.shock_table`.
    """
    arrays = graph.arrays
    state = new_state(graph, rules)
    table = rules_table(pack, rules)
    terms = graph.terms._replace(prices=state.seen)
    rounds, settled = _run(arrays, terms, state, table[0], markets, assets)
    return Run(state._replace(log=state.log[:rounds]), int(rounds), bool(settled))


@njit(cache=True, nogil=True)
def _run(
    graph: Arrays, terms: Terms, state: State, rules: np.void, markets: np.ndarray, assets: np.ndarray
) -> tuple[int, bool]:
    units, symbols, positions = len(graph.cash), len(graph.mark), len(graph.pos_lots)
    memory = rules["mark_lag"] + rules["spread_lag"] + 3
    history = np.zeros((memory, 2, symbols), np.int64)  # by round: anchors, and what they would be by the shock alone
    before = graph.mark.copy()  # the shock alone as it was seen last
    impacts = np.zeros((memory, symbols), np.int64)  # own lasting impact by the round in which it arrives, micro-ticks
    spreads = np.zeros((memory, symbols), np.int64)  # the same impact, ppb, by the round in which it reaches the neighbours
    due = np.zeros(positions, np.int64)
    fund_due = np.zeros(symbols, np.int64)
    since = np.full(units, NEVER, np.int64)
    gone = np.zeros(units, np.uint8)
    fund = np.zeros(2, np.int64)  # its peak, and whether ADL stands in for it
    fund[0] = state.purses[0]
    equity = np.zeros(units, np.int64)
    needed = np.zeros(units, np.int64)
    moves, first = _whole_shock(graph, rules, markets)
    base = state.asset_price.copy()
    for c in range(len(base)):
        base[c] += mul_div_floor(base[c], assets[c], BILLION)  # collateral falls at once
    for t in range(rules["rounds"]):
        log = state.log[t]
        _arrive(graph, terms, state, rules, moves, first, impacts[t % memory], spreads[t % memory], t)
        impacts[t % memory] = 0
        spreads[t % memory] = 0
        history[t % memory, 0] = state.anchor
        history[t % memory, 1] = state.shocked
        for c in range(len(base)):
            k = graph.asset_follows[c]
            state.asset_price[c] = base[c] if k < 0 else mul_div_floor(base[c], state.anchor[k], graph.mark[k])
        _see(graph, terms, state, history[(t - rules["mark_lag"]) % memory], before, t >= rules["mark_lag"])
        equal = rules["at_equality"] != 0
        count = 0
        stand_all(graph, terms, state, equity, needed)
        for u in range(units):
            if not gone[u] and is_distressed(equity[u], needed[u], rules["liquidate"], equal):
                count += 1
                if since[u] == NEVER:
                    since[u] = t
            else:
                since[u] = NEVER
        log["distressed"] = count
        queue = _order(equity, needed, since, count)
        ended = np.zeros(count, np.int64)  # units that go to ADL in this round
        money = np.zeros(count, np.int64)
        to_close = 0
        for u in queue:
            if t < since[u] + rules["order_lag"]:
                continue
            dispose_all(graph, terms, state, rules, due, u, t, log)
            left, wanted = standing(graph, terms, state, u)
            if not is_lost(left, wanted, rules["takeover"]):
                continue
            gone[u] = 1
            if left < 0:
                log["shortfall"] -= left
                state.lost[u] = -left
            if fund_takes(graph, terms, state, rules, fund, u, left):
                log["takeovers"] += 1
                log["taken"] += take_over(graph, terms, state, u)
            else:
                ended[to_close] = u
                money[to_close] = left
                to_close += 1
        if to_close > 0:
            deleverage(graph, terms, state, rules, ended[:to_close], money[:to_close], gone, log)
        sell_inventory(graph, terms, state, rules, fund_due, t)
        for k in range(symbols):
            shift = impact(graph, state, rules, k)
            impacts[(t + 1) % memory, k] += shift
            spreads[(t + 1 + rules["spread_lag"]) % memory, k] += mul_div_floor(shift, BILLION, state.anchor[k])
        left = fund_equity(graph, terms, state)
        log["fund"] = left
        observe(fund, left, rules)
        if (
            t >= rules["shock_rounds"] + rules["spread_lag"]
            and count == 0
            and not np.any(state.fund_lots)
            and not np.any(impacts)
            and not np.any(spreads)
            and np.all(state.seen == state.anchor)
        ):
            return t + 1, True
    return rules["rounds"], False


@njit(cache=True, nogil=True)
def _whole_shock(graph: Arrays, rules: np.void, markets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(ppb, first round) of the shock in each market: its own, or else the largest that a neighbour hands on."""
    moves = markets.copy()
    first = np.zeros(len(markets), np.int64)
    for i in range(len(markets)):
        if markets[i] == 0:
            continue
        for e in range(graph.edge_first[i], graph.edge_first[i + 1]):
            k = graph.edge_to[e]
            part = mul_div_floor(markets[i], graph.edge_ppm[e], MICRO)
            if markets[k] == 0 and abs(part) > abs(moves[k]):
                moves[k] = part
                first[k] = rules["spread_lag"]
    return moves, first


@njit(cache=True, nogil=True)
def _arrive(
    graph: Arrays,
    terms: Terms,
    state: State,
    rules: np.void,
    moves: np.ndarray,
    first: np.ndarray,
    impacts: np.ndarray,
    spreads: np.ndarray,
    t: int,
) -> None:
    """What reaches each market's price in this round: a part of the shock, lasting impact of forced orders, and that of its
    neighbours."""
    open_lots = _open_lots(graph, state)
    for k in range(len(state.anchor)):
        passed = min(max(0, t + 1 - first[k]), rules["shock_rounds"])
        part = mul_div_floor(moves[k], passed, rules["shock_rounds"])
        shocked = max(MICRO, graph.mark[k] + mul_div_floor(graph.mark[k], part, BILLION))
        _move(state, k, shocked - state.shocked[k])
        state.shocked[k] = shocked
        if impacts[k] != 0:
            state.own[k] += _loss(terms, open_lots, k, _move(state, k, impacts[k]))
    for i in range(len(state.anchor)):
        if spreads[i] == 0:
            continue
        for e in range(graph.edge_first[i], graph.edge_first[i + 1]):
            k = graph.edge_to[e]
            part = mul_div_floor(spreads[i], graph.edge_impact_ppm[e], MICRO)
            state.carried[e] += _loss(terms, open_lots, k, _move(state, k, mul_div_floor(state.anchor[k], part, BILLION)))


@njit(cache=True, nogil=True)
def _move(state: State, k: int, step: int) -> int:
    """Moves a market by micro-ticks, down to one tick at most. Returns how far."""
    before = state.anchor[k]
    state.anchor[k] = max(MICRO, before + step)
    moved: int = state.anchor[k] - before
    return moved


@njit(cache=True, nogil=True)
def _open_lots(graph: Arrays, state: State) -> np.ndarray:
    """Lots of all long and all short positions of units, [S, 2]."""
    found = np.zeros((len(state.anchor), 2), np.int64)
    for p in range(len(state.lots)):
        found[graph.pos_market[p], 0 if state.lots[p] > 0 else 1] += abs(state.lots[p])
    return found


@njit(cache=True, nogil=True)
def _loss(terms: Terms, open_lots: np.ndarray, k: int, moved: int) -> int:
    """What a move of the market costs those whom it costs something."""
    cost: int = value_micro(open_lots[k, 0 if moved < 0 else 1], abs(moved), terms.units[k])
    return cost


@njit(cache=True, nogil=True)
def _see(graph: Arrays, terms: Terms, state: State, prices: np.ndarray, before: np.ndarray, is_time: bool) -> None:
    """The margin price follows. What moves beyond the shock cost open positions is written down."""
    if not is_time:
        return
    beyond = np.zeros(len(state.seen), np.int64)
    for k in range(len(state.seen)):
        beyond[k] = prices[0, k] - state.seen[k] - (prices[1, k] - before[k])
        state.seen[k] = prices[0, k]
        before[k] = prices[1, k]
    for p in range(len(state.lots)):
        k = graph.pos_market[p]
        if beyond[k] != 0 and state.lots[p] != 0:
            part = value_micro(state.lots[p], abs(beyond[k]), terms.units[k])
            state.endogenous[p] += part if beyond[k] < 0 else -part


@njit(cache=True, nogil=True)
def _order(equity: np.ndarray, needed: np.ndarray, since: np.ndarray, count: int) -> np.ndarray:
    """Units in distress: the lowest ratio first, then the larger requirement, then the number."""
    found = np.empty(count, np.int64)
    ratio = np.empty(count, np.int64)
    n = 0
    for u in range(len(since)):
        if since[u] != NEVER:
            found[n] = u
            # A unit in distress with a requirement has less than 100 times of it.
            low = equity[u] < -FIRST // MICRO
            ratio[n] = -FIRST if low else mul_div_floor(equity[u], MICRO, max(1, needed[u]))
            n += 1
    by_size = np.argsort(-needed[found], kind="mergesort")
    order: np.ndarray = found[by_size][np.argsort(ratio[by_size], kind="mergesort")]
    return order
