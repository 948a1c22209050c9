"""What a cascade did, in figures that people ask for: amplification, rounds, fund, ADL, and the edges that carried it."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from engine.cascade.graph import Graph
from engine.cascade.run import Run
from engine.cascade.state import equities
from engine.contract import MICRO
from engine.liquidation.socialise import socialise

KINDS: Final = ("shock", "impact", "correlation", "exposure", "pressure", "adl")


class Edge(NamedTuple):
    """An edge and what it carried, quote units.

    kind:
        shock: outside → market, losses of open positions by the shock;
        impact: market → itself, by the lasting impact of forced orders;
        correlation: market → market, by moves that were handed on;
        exposure: market → unit, what the unit lost in it beyond the shock;
        pressure: unit → market, notional of its forced orders;
        adl: market → unit, notional of the winner's position that was closed.
    """

    kind: str
    source: str
    target: str
    carried: float


class Report(NamedTuple):
    """Of one run. Money in quote units, ratios as they are.

    Attributes:
        rounds, settled: how many rounds, and whether it came to rest within them.
        first_loss: of those who lose, by the shock alone, positions as they were.
        total_loss: of the same positions at the prices of the end, whoever has them by then, with what forced orders fetched
            less than those prices, and their fees.
        amplification: total over first; 1 where nobody is liquidated; None without a loss.
        account_loss: what the units themselves lost: sold or closed early, a position loses no further.
        slippage, fees: what forced orders fetched less than the margin price of the time, and what they paid.
        liquidated, liquidations: notional and number of forced orders.
        taken, takeovers: what the fund took over.
        deleveraged, deleveragings: notional and number of positions closed by ADL on the winning side.
        adl_share: deleveraged / (liquidated + deleveraged).
        first_liquidation_s, first_adl_s: rounds; None where there was none.
        liquidations_before_adl: forced orders before the round of the first ADL.
        together: correlation of forced orders and ADL by round; None where one of them does not vary.
        adl_leverage: median leverage of the positions that ADL closed; None without.
        bankrupt, bankrupt_equity: units that left equity below zero, and how much.
        long_share: share of forced notional that was long.
        peak_minute: largest forced notional (ADL included) of a minute, and its first round.
        fund_before, fund_after, fund_use: equity of the fund, and what it lost.
        socialised, uncovered: what winners had to pay for a fund below zero, and what nobody could.
        residual_micro, residual_lots: of conservation: zero.
        prices: by symbol, the move by the shock alone and at the end.
        edges: largest first within each kind.
    """

    rounds: int
    settled: bool
    first_loss: float
    total_loss: float
    amplification: float | None
    account_loss: float
    slippage: float
    fees: float
    liquidated: float
    liquidations: int
    taken: float
    takeovers: int
    deleveraged: float
    deleveragings: int
    adl_share: float
    first_liquidation_s: int | None
    first_adl_s: int | None
    liquidations_before_adl: int
    together: float | None
    adl_leverage: float | None
    bankrupt: int
    bankrupt_equity: float
    long_share: float
    peak_minute: tuple[float, int]
    fund_before: float
    fund_after: float
    fund_use: float
    socialised: float
    uncovered: float
    residual_micro: int
    residual_lots: int
    prices: dict[str, tuple[float, float]]
    edges: tuple[Edge, ...]


def report(graph: Graph, done: Run, most_edges: int = 10) -> Report:
    """The report of a run on this graph, with at most `most_edges` edges of each kind."""
    arrays, state, log = graph.arrays, done.state, done.state.log
    before = _equities(graph, done, arrays.pos_lots, arrays.cash, arrays.pledge_amount, arrays.mark, arrays.asset_price)
    alone = _equities(
        graph, done, arrays.pos_lots, arrays.cash, arrays.pledge_amount, state.shocked, _assets_alone(graph, done)
    )
    after = _equities(graph, done, state.lots, state.cash, state.pledged, state.anchor, state.asset_price)
    fund_before = int(arrays.fund[0])
    fund_after = _fund_after(graph, done)
    gains = np.maximum(0, after - before)
    paid = socialise(max(0, -fund_after), [int(gain) for gain in gains])
    first = int(np.maximum(0, before - alone).sum())
    held = _equities(graph, done, arrays.pos_lots, arrays.cash, arrays.pledge_amount, state.anchor, state.asset_price)
    fees = int(state.purses[1]) + int(state.extra[0])
    total = int(np.maximum(0, before - held).sum()) + _missed(graph, done) + fees
    liquidated, deleveraged = int(log["sold"].sum()), int(log["adl_notional"].sum())
    adl_rounds = np.flatnonzero(log["adl"])
    order_rounds = np.flatnonzero(log["orders"])
    before_adl = log["orders"][: adl_rounds[0]].sum() if len(adl_rounds) else log["orders"].sum()
    closed = state.closed > 0
    is_long = arrays.pos_lots > 0
    started, ended = _owned(graph, done)
    minutes = np.add.reduceat(log["sold"] + log["adl_notional"], np.arange(0, len(log), 60))
    return Report(
        rounds=done.rounds,
        settled=done.settled,
        first_loss=first / MICRO,
        total_loss=total / MICRO,
        amplification=total / first if first else None,
        account_loss=int(np.maximum(0, before - after).sum()) / MICRO,
        slippage=int(state.slipped.sum()) / MICRO,
        fees=fees / MICRO,
        liquidated=liquidated / MICRO,
        liquidations=int(log["orders"].sum()),
        taken=int(log["taken"].sum()) / MICRO,
        takeovers=int(log["takeovers"].sum()),
        deleveraged=deleveraged / MICRO,
        deleveragings=int(log["adl"].sum()),
        adl_share=deleveraged / max(1, liquidated + deleveraged),
        first_liquidation_s=int(order_rounds[0]) if len(order_rounds) else None,
        first_adl_s=int(adl_rounds[0]) if len(adl_rounds) else None,
        liquidations_before_adl=int(before_adl),
        together=_correlation(log["orders"], log["adl"]),
        adl_leverage=float(np.median(state.closed_leverage[closed])) / MICRO if closed.any() else None,
        bankrupt=int((state.lost > 0).sum()),
        bankrupt_equity=-int(state.lost.sum()) / MICRO,
        long_share=float(state.sold[is_long].sum() / max(1, state.sold.sum())),
        peak_minute=(int(minutes.max()) / MICRO, int(minutes.argmax()) * 60),
        fund_before=fund_before / MICRO,
        fund_after=fund_after / MICRO,
        fund_use=max(0, fund_before - fund_after) / MICRO,
        socialised=sum(paid) / MICRO,
        uncovered=(max(0, -fund_after) - sum(paid)) / MICRO,
        residual_micro=int(ended[0] - started[0]),
        residual_lots=int(np.abs(ended[1]).sum() + np.abs(ended[2] - started[2]).sum()),
        prices={
            instrument.symbol: (
                float(state.shocked[k] / arrays.mark[k] - 1),
                float(state.anchor[k] / arrays.mark[k] - 1),
            )
            for k, instrument in enumerate(graph.instruments)
        },
        edges=tuple(_edges(graph, done, most_edges)),
    )


def equities_around(graph: Graph, done: Run) -> tuple[np.ndarray, np.ndarray]:
    """Equity of every unit before the shock and by the shock alone, positions as they were, int64 [U], micro-units."""
    arrays = graph.arrays
    owned = (arrays.pos_lots, arrays.cash, arrays.pledge_amount)
    before = _equities(graph, done, *owned, arrays.mark, arrays.asset_price)
    return before, _equities(graph, done, *owned, done.state.shocked, _assets_alone(graph, done))


def _equities(
    graph: Graph,
    done: Run,
    lots: np.ndarray,
    cash: np.ndarray,
    pledged: np.ndarray,
    prices: np.ndarray,
    assets: np.ndarray,
) -> np.ndarray:
    """Equity of every unit, int64 [U]."""
    state = done.state._replace(lots=lots, cash=cash, pledged=pledged, asset_price=assets)
    terms = graph.terms._replace(prices=prices)
    found: np.ndarray = equities(graph.arrays, terms, state)
    return found


def _missed(graph: Graph, done: Run) -> int:
    """What forced orders fetched less than the prices of the end, position by position."""
    arrays, state = graph.arrays, done.state
    missed = 0
    for p in np.flatnonzero(state.sold_lots):
        k = arrays.pos_market[p]
        lots, sold = int(state.sold_lots[p]), int(state.sold[p])
        worth = lots * int(state.anchor[k]) * int(graph.terms.units[k]) // MICRO
        missed += max(0, worth - (sold if lots > 0 else -sold))
    return missed


def _assets_alone(graph: Graph, done: Run) -> np.ndarray:
    """Prices of the collateral by the shock alone."""
    arrays, state = graph.arrays, done.state
    prices = state.asset_price.copy()
    for c, k in enumerate(arrays.asset_follows):
        if k >= 0:
            prices[c] = int(prices[c]) * int(state.shocked[k]) // int(state.anchor[k])
    return prices


def _fund_after(graph: Graph, done: Run) -> int:
    arrays, state = graph.arrays, done.state
    equity = int(state.purses[0])
    for k in np.flatnonzero(state.fund_lots):
        equity += int(state.fund_lots[k]) * int(state.anchor[k]) * int(graph.terms.units[k]) // MICRO
    for c in np.flatnonzero(state.fund_assets):
        equity += int(state.fund_assets[c]) * int(state.asset_price[c]) // MICRO * int(arrays.asset_counted[c]) // MICRO
    return equity


def _owned(graph: Graph, done: Run) -> tuple[tuple[int, np.ndarray, np.ndarray], tuple[int, np.ndarray, np.ndarray]]:
    """(cash of everybody, lots of everybody by market, amounts of collateral) before and after."""
    arrays, state = graph.arrays, done.state
    symbols, assets = len(arrays.mark), len(arrays.asset_price)
    lots = state.fund_lots + state.rest_lots
    np.add.at(lots, arrays.pos_market, state.lots)
    amounts = [np.zeros(assets, np.int64), state.fund_assets.copy()]
    np.add.at(amounts[0], arrays.pledge_asset[: len(arrays.pledge_amount)], arrays.pledge_amount)
    np.add.at(amounts[1], arrays.pledge_asset[: len(state.pledged)], state.pledged)
    cash_before = sum(int(money) for money in arrays.cash) + int(arrays.fund[0])
    cash_after = sum(int(money) for money in state.cash) + sum(int(money) for money in state.purses)
    return (cash_before, np.zeros(symbols, np.int64), amounts[0]), (cash_after, lots, amounts[1])


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Of two counts by round, over the rounds from the first to the last in which there is any."""
    some = np.flatnonzero(a + b)
    if not len(some):
        return None
    a, b = a[some[0] : some[-1] + 1], b[some[0] : some[-1] + 1]
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _edges(graph: Graph, done: Run, most: int) -> list[Edge]:
    arrays, state = graph.arrays, done.state
    names = [instrument.symbol for instrument in graph.instruments]
    units = [graph.units[u] for u in arrays.pos_unit]
    markets = [names[k] for k in arrays.pos_market]
    moved = state.shocked - arrays.mark
    values = arrays.pos_lots * (moved / MICRO * graph.terms.units)[arrays.pos_market]
    by_shock = np.zeros(len(names))
    np.add.at(by_shock, arrays.pos_market, np.maximum(0, -values))
    sources = np.repeat(np.arange(len(names)), np.diff(arrays.edge_first))
    found: list[list[Edge]] = [
        [Edge("shock", "outside", names[k], float(by_shock[k]) / MICRO) for k in range(len(names))],
        [Edge("impact", names[k], names[k], float(state.own[k]) / MICRO) for k in range(len(names))],
        [
            Edge("correlation", names[sources[e]], names[arrays.edge_to[e]], float(state.carried[e]) / MICRO)
            for e in np.flatnonzero(state.carried)
        ],
        [
            Edge("exposure", markets[p], units[p], float(state.endogenous[p]) / MICRO)
            for p in np.flatnonzero(state.endogenous > 0)
        ],
        [Edge("pressure", units[p], markets[p], float(state.sold[p]) / MICRO) for p in np.flatnonzero(state.sold)],
        [Edge("adl", markets[p], units[p], float(state.closed[p]) / MICRO) for p in np.flatnonzero(state.closed)],
    ]
    kept = []
    for rows in found:
        rows = sorted((row for row in rows if row.carried > 0), key=lambda row: (-row.carried, row.source, row.target))
        kept.extend(rows[:most])
    return kept
