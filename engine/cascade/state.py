"""State of a cascade while it runs, its rules in numbers, and how its units stand."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from engine.arithmetic import mul_div_floor
from engine.cascade.graph import Arrays, CascadeRules, Graph
from engine.contract import MICRO
from engine.instruments import Pack
from engine.margin.states import at_ppm
from engine.margining import Terms, maintenance_by, portfolio_requirement
from engine.wallets import value_micro

BILLION: Final = 1_000_000_000
NEVER: Final = -1
FIRST: Final = 2**62
"""Beyond every score and ratio."""

PATHS: Final = ("stepwise", "auction", "market")
RANKS: Final = ("bitmex", "hyperliquid", "pro_rata")
STEPWISE: Final = PATHS.index("stepwise")
MARKET: Final = PATHS.index("market")
HYPERLIQUID: Final = RANKS.index("hyperliquid")
PRO_RATA: Final = RANKS.index("pro_rata")

ROUND_DTYPE: Final = np.dtype(
    [
        (name, "<i8")
        for name in ("distressed", "orders", "sold", "adl", "adl_notional", "takeovers", "taken", "shortfall", "fund")
    ]
)
"""What a round did: units in distress; forced orders that traded, and their notional; positions closed by ADL on the winning
side, and their notional; units that the fund took over, and their notional; equity below zero of the units that ended in the
round; the fund's equity after it."""

RULES_DTYPE: Final = np.dtype(
    [
        (name, "<i8")
        for name in (
            "rounds", "shock_rounds", "refill", "lasting", "mark_lag", "order_lag", "spread_lag", "path", "step", "fraction",
            "full_below", "range", "depth_share", "takeover", "adjustment", "spread", "liquidate", "at_equality",
            "max_notional", "drawdown", "resume", "rank", "at_mark", "taker", "extra",
        )
    ]
)  # fmt: skip


class State(NamedTuple):
    """What a run changes. Owners besides the units: the fund, the account of fees, and the others (`rest`), whose the books
    are."""

    lots: np.ndarray
    """[P]"""
    cash: np.ndarray
    """[U]"""
    pledged: np.ndarray
    """Amounts of collateral, as the graph's."""
    fund_lots: np.ndarray
    rest_lots: np.ndarray
    """[S]"""
    fund_assets: np.ndarray
    """[C]"""
    purses: np.ndarray
    """[3]: cash of fund, fees and rest."""
    extra: np.ndarray
    """[1]: the part of the fund's cash that is the extra cost of forced orders."""
    anchor: np.ndarray
    """[S]: price that the books stand around, micro-ticks."""
    shocked: np.ndarray
    """[S]: what it would be by the shock alone."""
    seen: np.ndarray
    """[S]: the margin price."""
    asset_price: np.ndarray
    """[C]"""
    eaten: np.ndarray
    """[S, 2]: lots that forced orders took and that are not back yet."""
    log: np.ndarray
    """ROUND_DTYPE [rounds]"""
    sold: np.ndarray
    """[P]: notional of the position's forced trades."""
    sold_lots: np.ndarray
    """[P]: signed as the position was."""
    slipped: np.ndarray
    """[P]: what they fetched less than the margin price."""
    endogenous: np.ndarray
    """[P]: what price moves beyond the shock took from the position while it was open (below 0: gave)."""
    closed: np.ndarray
    """[P]: notional that ADL closed of it."""
    closed_leverage: np.ndarray
    """[P]: its notional over the unit's equity in ppm when ADL closed it first."""
    lost: np.ndarray
    """[U]: equity below zero that it left behind."""
    carried: np.ndarray
    """[E]: losses of open positions by moves that came over this edge between two markets."""
    own: np.ndarray
    """[S]: losses of open positions by the lasting impact of forced orders in the market itself."""


def rules_table(pack: Pack, rules: CascadeRules) -> np.ndarray:
    """What the kernel needs of both, RULES_DTYPE [1]."""
    table = np.zeros(1, RULES_DTYPE)
    values = {
        "rounds": rules.rounds, "shock_rounds": rules.shock_rounds, "refill": rules.refill_ppm, "lasting": rules.lasting_ppm,
        "mark_lag": rules.mark_lag, "order_lag": rules.order_lag, "spread_lag": rules.spread_lag,
        "path": PATHS.index(pack.liquidation.path), "step": pack.liquidation.step_s, "fraction": pack.liquidation.fraction_ppm,
        "full_below": pack.liquidation.full_below * MICRO, "range": pack.liquidation.range_ppm,
        "depth_share": pack.liquidation.depth_share_ppm, "takeover": pack.liquidation.takeover_ppm,
        "adjustment": pack.liquidation.adjustment_ppm, "spread": pack.liquidation.spread_ppm,
        "liquidate": pack.states.liquidate_ppm, "at_equality": int(pack.margin.liquidate_at_equality),
        "max_notional": pack.fund.max_notional_ppm, "drawdown": pack.fund.drawdown_ppm, "resume": pack.fund.resume_ppm,
        "rank": RANKS.index(pack.fund.adl_rank), "at_mark": int(pack.fund.adl_price == "mark"),
        "taker": pack.fees.tiers[0][1], "extra": pack.fees.liquidation_ppm,
    }  # fmt: skip
    for name, value in values.items():
        table[name] = value
    return table


def new_state(graph: Graph, rules: CascadeRules) -> State:
    arrays = graph.arrays
    units, symbols = graph.exposures.shape
    positions = len(arrays.pos_lots)
    held = np.zeros(symbols, np.int64)
    np.add.at(held, arrays.pos_market, arrays.pos_lots)
    return State(
        lots=arrays.pos_lots.copy(),
        cash=arrays.cash.copy(),
        pledged=arrays.pledge_amount.copy(),
        fund_lots=np.zeros(symbols, np.int64),
        rest_lots=-held,
        fund_assets=np.zeros(len(arrays.asset_price), np.int64),
        purses=np.array([arrays.fund[0], 0, 0], np.int64),
        extra=np.zeros(1, np.int64),
        anchor=arrays.mark.copy(),
        shocked=arrays.mark.copy(),
        seen=arrays.mark.copy(),
        asset_price=arrays.asset_price.copy(),
        eaten=np.zeros((symbols, 2), np.int64),
        log=np.zeros(rules.rounds, ROUND_DTYPE),
        sold=np.zeros(positions, np.int64),
        sold_lots=np.zeros(positions, np.int64),
        slipped=np.zeros(positions, np.int64),
        endogenous=np.zeros(positions, np.int64),
        closed=np.zeros(positions, np.int64),
        closed_leverage=np.zeros(positions, np.int64),
        lost=np.zeros(units, np.int64),
        carried=np.zeros(len(arrays.edge_to), np.int64),
        own=np.zeros(symbols, np.int64),
    )


@njit(cache=True, nogil=True)
def standing(graph: Arrays, terms: Terms, state: State, u: int) -> tuple[int, int]:
    """(equity, maintenance margin) of a unit."""
    positions = (graph.pos_market, state.lots, terms.ladders, terms.prices, terms.units)
    return _stand(
        state.cash[u] + _collateral(graph, state, u),
        graph.unit_first[u],
        graph.unit_first[u + 1],
        positions,
        terms.closing_ppm[0],
        graph.portfolio[u],
    )


@njit(cache=True, nogil=True)
def stand_all(graph: Arrays, terms: Terms, state: State, equity: np.ndarray, needed: np.ndarray) -> None:
    """The same of every unit: int64 [U] each, which it fills."""
    positions = (graph.pos_market, state.lots, terms.ladders, terms.prices, terms.units)
    fee_ppm = terms.closing_ppm[0]
    for u in range(len(equity)):
        money = state.cash[u]
        if graph.pledge_first[u] != graph.pledge_first[u + 1]:
            money += _collateral(graph, state, u)
        first, end = graph.unit_first[u], graph.unit_first[u + 1]
        equity[u], needed[u] = _stand(money, first, end, positions, fee_ppm, graph.portfolio[u])


@njit(cache=True, nogil=True)
def _collateral(graph: Arrays, state: State, u: int) -> int:
    total = 0
    for n in range(graph.pledge_first[u], graph.pledge_first[u + 1]):
        c = graph.pledge_asset[n]
        worth = mul_div_floor(state.pledged[n], state.asset_price[c], MICRO)
        total += mul_div_floor(worth, graph.asset_counted[c], MICRO)
    return total


@njit(cache=True, nogil=True)
def _stand(
    money: int, first: int, end: int, positions: tuple[np.ndarray, ...], fee_ppm: int, is_portfolio: int
) -> tuple[int, int]:
    """Handed few arrays, for each costs a reference count at every call."""
    markets, held, ladders, prices, units = positions
    equity = money
    total = rising = falling = 0
    for p in range(first, end):
        lots = held[p]
        if lots == 0:
            continue
        k = markets[p]
        value = value_micro(lots, prices[k], units[k])
        equity += value
        part = maintenance_by(ladders[k], fee_ppm, abs(value))
        total += part
        if lots > 0:
            falling += part
        else:
            rising += part
    if is_portfolio != 0:
        total = portfolio_requirement(total, falling, rising)
    return equity, total


@njit(cache=True, nogil=True)
def equities(graph: Arrays, terms: Terms, state: State) -> np.ndarray:
    """Equity of every unit, int64 [U]."""
    found = np.empty(len(state.cash), np.int64)
    stand_all(graph, terms, state, found, np.empty(len(found), np.int64))
    return found


@njit(cache=True, nogil=True)
def is_distressed(equity: int, needed: int, liquidate_ppm: int, at_equality: bool) -> bool:
    """Whether a unit must be relieved: its ratio is at or below that of liquidation."""
    if needed == 0:
        return equity < 0
    limit = at_ppm(needed, liquidate_ppm)
    return equity < limit or (at_equality and equity == limit)


@njit(cache=True, nogil=True)
def is_lost(equity: int, needed: int, takeover_ppm: int) -> bool:
    return equity < 0 or (needed > 0 and equity < at_ppm(needed, takeover_ppm))
