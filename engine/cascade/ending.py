"""How a unit ends in a cascade: the fund takes it over, or winners on the other side close its positions (ADL)."""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.arithmetic import mul_div_floor
from engine.cascade.graph import Arrays
from engine.cascade.state import FIRST, HYPERLIQUID, NEVER, PRO_RATA, State, standing
from engine.contract import MICRO
from engine.margin.states import at_ppm
from engine.margining import Terms
from engine.wallets import value_micro


@njit(cache=True, nogil=True)
def fund_equity(graph: Arrays, terms: Terms, state: State) -> int:
    equity: int = state.purses[0]
    for k in range(len(state.fund_lots)):
        if state.fund_lots[k] != 0:
            equity += value_micro(state.fund_lots[k], terms.prices[k], terms.units[k])
    for c in range(len(state.fund_assets)):
        worth = mul_div_floor(state.fund_assets[c], state.asset_price[c], MICRO)
        equity += mul_div_floor(worth, graph.asset_counted[c], MICRO)
    return equity


@njit(cache=True, nogil=True)
def observe(fund: np.ndarray, equity: int, rules: np.void) -> None:
    """Whether ADL stands in for the fund: `engine.liquidation.fund.observe`, for runs shorter than its window."""
    fund[0] = max(fund[0], equity)
    below = fund[0] - equity
    if rules["drawdown"] == 0 or fund[0] <= 0:
        fund[1] = 0
    elif fund[1]:
        fund[1] = below > at_ppm(fund[0], rules["resume"])
    else:
        fund[1] = below >= -mul_div_floor(-fund[0], rules["drawdown"], MICRO)


@njit(cache=True, nogil=True)
def fund_takes(graph: Arrays, terms: Terms, state: State, rules: np.void, fund: np.ndarray, u: int, equity: int) -> bool:
    """`engine.liquidation.fund.may_take`; what has no position it takes anyhow."""
    notional = 0
    for p in range(graph.unit_first[u], graph.unit_first[u + 1]):
        k = graph.pos_market[p]
        notional += abs(value_micro(state.lots[p], terms.prices[k], terms.units[k]))
    if notional == 0:
        return True
    own = fund_equity(graph, terms, state)
    if fund[1] or own + equity < 0:
        return False
    held = 0
    for k in range(len(state.fund_lots)):
        held += abs(value_micro(state.fund_lots[k], terms.prices[k], terms.units[k]))
    within: bool = rules["max_notional"] == 0 or held + notional <= at_ppm(max(0, own), rules["max_notional"])
    return within


@njit(cache=True, nogil=True)
def take_over(graph: Arrays, terms: Terms, state: State, u: int) -> int:
    """The fund gets all that a unit has, and owes. Returns the notional."""
    notional = 0
    for p in range(graph.unit_first[u], graph.unit_first[u + 1]):
        k = graph.pos_market[p]
        notional += abs(value_micro(state.lots[p], terms.prices[k], terms.units[k]))
        state.fund_lots[k] += state.lots[p]
        state.lots[p] = 0
    _hand_over(graph, state, u)
    return notional


@njit(cache=True, nogil=True)
def _hand_over(graph: Arrays, state: State, u: int) -> None:
    """The fund gets a unit's cash, be it negative, and its collateral."""
    state.purses[0] += state.cash[u]
    state.cash[u] = 0
    for n in range(graph.pledge_first[u], graph.pledge_first[u + 1]):
        state.fund_assets[graph.pledge_asset[n]] += state.pledged[n]
        state.pledged[n] = 0


@njit(cache=True, nogil=True)
def deleverage(
    graph: Arrays,
    terms: Terms,
    state: State,
    rules: np.void,
    ended: np.ndarray,
    equities: np.ndarray,
    gone: np.ndarray,
    log: np.void,
) -> None:
    """Winners on the other side close the positions of the units that ended, market by market; the fund has what is left."""
    symbols = len(state.fund_lots)
    shares = np.zeros(len(state.lots), np.int64)
    for n in range(len(ended)):
        _divide(graph, terms, state, ended[n], 0 if rules["at_mark"] else equities[n], shares)
    wanted = np.zeros((symbols, 2), np.int64)
    for u in ended:
        for p in range(graph.unit_first[u], graph.unit_first[u + 1]):
            wanted[graph.pos_market[p], 1 if state.lots[p] > 0 else 0] += abs(state.lots[p])
    for k in range(symbols):
        for side in range(2):  # 0: longs are deleveraged, against shorts that ended; 1: shorts
            if wanted[k, side] == 0:
                continue
            winners, sizes = _winners(graph, terms, state, rules, k, side, wanted[k, side], gone)
            w = 0
            for u in ended:
                for p in range(graph.unit_first[u], graph.unit_first[u + 1]):
                    if graph.pos_market[p] == k and state.lots[p] != 0 and (state.lots[p] > 0) == (side == 1):
                        w = _close(graph, terms, state, p, u, shares[p], winners, sizes, w, log)
    for u in ended:
        _hand_over(graph, state, u)


@njit(cache=True, nogil=True)
def _divide(graph: Arrays, terms: Terms, state: State, u: int, equity: int, shares: np.ndarray) -> None:
    """A unit's equity over its positions by notional, rounded down, the last one has the rest: what takes each to its
    bankruptcy price."""
    total = 0
    last = NEVER
    for p in range(graph.unit_first[u], graph.unit_first[u + 1]):
        k = graph.pos_market[p]
        total += abs(value_micro(state.lots[p], terms.prices[k], terms.units[k]))
        if state.lots[p] != 0:
            last = p
    left = equity
    for p in range(graph.unit_first[u], graph.unit_first[u + 1]):
        if state.lots[p] == 0 or total == 0:
            continue
        k = graph.pos_market[p]
        part = mul_div_floor(equity, abs(value_micro(state.lots[p], terms.prices[k], terms.units[k])), total)
        shares[p] = left if p == last else part
        left -= part


@njit(cache=True, nogil=True)
def _winners(
    graph: Arrays,
    terms: Terms,
    state: State,
    rules: np.void,
    k: int,
    side: int,
    wanted: int,
    gone: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(positions, lots to close of each), in the order in which they are closed: `engine.liquidation.adl.deleverage`, with
    scores rounded down to a millionth. Notes the leverage of each."""
    first, end = graph.market_first[k], graph.market_first[k + 1]
    found = np.zeros(end - first, np.int64)
    score = np.zeros(end - first, np.int64)
    count = 0
    total = 0
    for n in range(first, end):
        p = graph.market_pos[n]
        u = graph.pos_unit[p]
        lots = state.lots[p]
        if lots == 0 or gone[u] or (lots > 0) != (side == 0):
            continue
        value = value_micro(lots, terms.prices[k], terms.units[k])
        if value <= _cost_left(graph, state, p):
            continue
        equity, _ = standing(graph, terms, state, u)
        found[count] = p
        score[count] = _score(rules["rank"], abs(value), abs(_cost_left(graph, state, p)), side == 0, equity)
        if state.closed_leverage[p] <= 0:
            state.closed_leverage[p] = -_leverage(abs(value), equity)  # negative: not closed yet
        count += 1
        total += abs(lots)
    found = found[:count]
    order = np.argsort(-score[:count], kind="mergesort")
    if rules["rank"] == PRO_RATA:
        order = np.argsort(found, kind="mergesort")
    found = found[order]
    sizes = np.zeros(count, np.int64)
    left = min(wanted, total)
    if rules["rank"] == PRO_RATA:
        _pro_rata(state, found, sizes, left, total)
        return found, sizes
    for n in range(count):
        sizes[n] = min(left, abs(state.lots[found[n]]))
        left -= sizes[n]
    return found, sizes


@njit(cache=True, nogil=True)
def _pro_rata(state: State, found: np.ndarray, sizes: np.ndarray, wanted: int, total: int) -> None:
    """By largest remainder, ties to the earlier."""
    if total == 0:
        return
    rests = np.zeros(len(found), np.int64)
    left = wanted
    for n in range(len(found)):
        lots = abs(state.lots[found[n]])
        sizes[n] = mul_div_floor(wanted, lots, total)
        rests[n] = wanted * lots - sizes[n] * total  # modulo 2**64 on both sides: the difference is right
        left -= sizes[n]
    for n in np.argsort(-rests, kind="mergesort")[:left]:
        sizes[n] += 1


@njit(cache=True, nogil=True)
def _cost_left(graph: Arrays, state: State, p: int) -> int:
    """What was paid for what is left of a position."""
    if state.lots[p] == graph.pos_lots[p]:
        whole: int = graph.pos_cost[p]
        return whole
    cost: int = mul_div_floor(graph.pos_cost[p], abs(state.lots[p]), abs(graph.pos_lots[p]))
    return cost


@njit(cache=True, nogil=True)
def _leverage(value: int, equity: int) -> int:
    """Notional over equity in ppm, at least 1."""
    if equity <= 0 or value >= FIRST // MICRO:
        return FIRST
    return max(1, mul_div_floor(value, MICRO, equity))


@njit(cache=True, nogil=True)
def _score(rank: int, value: int, cost: int, is_long: bool, equity: int) -> int:
    """A winner's place in the queue, in millionths, at most 2**62."""
    if rank == HYPERLIQUID:
        above, below = (value, cost) if is_long else (cost, value)
    else:
        above, below = (value - cost if is_long else cost - value), cost
    share = _bounded(above, MICRO, max(1, below))
    return FIRST if equity <= 0 else _bounded(share, value, equity)


@njit(cache=True, nogil=True)
def _bounded(a: int, b: int, c: int) -> int:
    """`floor(a * b / c)`, at most 2**62."""
    return FIRST if float(a) * float(b) / float(c) > 4e18 else min(FIRST, mul_div_floor(a, b, c))


@njit(cache=True, nogil=True)
def _close(
    graph: Arrays,
    terms: Terms,
    state: State,
    p: int,
    u: int,
    share: int,
    winners: np.ndarray,
    sizes: np.ndarray,
    w: int,
    log: np.void,
) -> int:
    """Closes one position that ended against the winners from number `w` on; the fund has the rest. Returns the next number."""
    k = graph.pos_market[p]
    lots = state.lots[p]
    sign = 1 if lots > 0 else -1
    left = abs(lots)
    unpaid = value_micro(lots, terms.prices[k], terms.units[k]) - share
    while left > 0 and w < len(winners):
        if sizes[w] == 0:
            w += 1
            continue
        q = winners[w]
        size = min(left, sizes[w])
        money = unpaid if size == left else mul_div_floor(unpaid, size, left)
        worth = abs(value_micro(size, terms.prices[k], terms.units[k]))
        state.lots[q] += sign * size
        state.cash[graph.pos_unit[q]] -= money
        if state.closed_leverage[q] < 0:
            state.closed_leverage[q] = -state.closed_leverage[q]
        state.closed[q] += worth
        log["adl"] += 1
        log["adl_notional"] += worth
        state.cash[u] += money
        sizes[w] -= size
        left -= size
        unpaid -= money
    state.fund_lots[k] += sign * left
    if left > 0:
        state.purses[0] -= unpaid
        state.cash[u] += unpaid
    state.lots[p] = 0
    return w
