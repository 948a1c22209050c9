"""The graph that a cascade runs on: who is exposed to which market, which market moves which, who shares which collateral, and
how long each takes.

Nodes are markets, assets of collateral, and what is margined together ("units": the cross positions of an account, of a pool
of accounts that share collateral, or one isolated position). Edges are sparse matrices (scipy), whose rows the kernel walks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from scipy.sparse import coo_array, csr_array

from engine.contract import MICRO
from engine.holdings import LEVELS, Holdings, HoldingsError, MarketHeld, units_of
from engine.instruments import Instrument
from engine.margining import Terms
from engine.rules import risk_terms

_Ppm = Annotated[int, Meta(ge=0, le=MICRO)]
_Lag = Annotated[int, Meta(ge=0, le=60)]

_NEAR_SHARE: Final = 50  # one fiftieth: 2 %


class CascadeRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How shocks travel. A round is a second.

    Attributes:
        rounds: a run ends after so many.
        shock_rounds: the shock comes in as many equal parts.
        refill_ppm: share of what forced orders ate of a book that comes back in a round.
        lasting_ppm: share of the distance that forced orders pushed the best price which stays, because the index follows. The
            default is what makes sales of a day's scale agree with the square-root law (docs/cascade.md).
        liquidity_ppm: share of the book that makers leave standing in the stress.
        correlation_ppm: stressed correlation of any two markets, where the holdings say no higher one (RISK-SPEC 5).
        mark_lag: rounds until a price is the margin price.
        order_lag: rounds from distress to the first order of a disposal.
        spread_lag: rounds from a market's move to that of those correlated with it.
    """

    rounds: Annotated[int, Meta(ge=1, le=86_400)] = 3_600
    shock_rounds: Annotated[int, Meta(ge=1, le=3_600)] = 60
    refill_ppm: _Ppm = 100_000
    lasting_ppm: _Ppm = 60_000
    liquidity_ppm: Annotated[int, Meta(ge=1, le=MICRO)] = MICRO
    correlation_ppm: _Ppm = 800_000
    mark_lag: _Lag = 1
    order_lag: _Lag = 1
    spread_lag: _Lag = 1


class Graph(NamedTuple):
    """The graph. U units, S markets, C assets, P positions, E edges between markets, L levels. Money in micro-units, prices in
    micro-ticks.

    `exposures` [U, S] holds lots (P of them, in row order), `couplings` [S, S] the ppm of a shock that one market hands on to
    another (E of them), `pledged` [U, C] millionths of an asset.
    """

    units: tuple[str, ...]
    instruments: tuple[Instrument, ...]
    assets: tuple[str, ...]
    exposures: csr_array
    couplings: csr_array
    pledged: csr_array
    terms: Terms
    arrays: Arrays


class Arrays(NamedTuple):
    """What the kernel walks; int64 throughout."""

    unit_first: np.ndarray
    """[U + 1]: the positions of unit u are unit_first[u] … unit_first[u + 1]."""
    pos_unit: np.ndarray
    pos_market: np.ndarray
    pos_lots: np.ndarray
    pos_cost: np.ndarray
    """[P]: what was paid; only ranks look at it."""
    market_first: np.ndarray
    market_pos: np.ndarray
    """The positions by market: market_pos[market_first[k] : market_first[k + 1]], by unit."""
    edge_first: np.ndarray
    edge_to: np.ndarray
    edge_ppm: np.ndarray
    """[E]: of a shock."""
    edge_impact_ppm: np.ndarray
    """[E]: of the lasting impact of forced orders: a market follows the mean of all, weighted by depth."""
    pledge_first: np.ndarray
    pledge_asset: np.ndarray
    pledge_amount: np.ndarray
    cash: np.ndarray
    """[U]: after positions were paid for: equity is cash + collateral + value of positions."""
    portfolio: np.ndarray
    mark: np.ndarray
    """[S]"""
    away: np.ndarray
    """[S, 2, L]: distance of the levels of bids (0) and asks (1) from the mark, micro-ticks, the nearest first."""
    depth: np.ndarray
    """[S, 2, L]: lots up to and with the level."""
    levels: np.ndarray
    """[S, 2]: how many there are."""
    lot_step: np.ndarray
    asset_price: np.ndarray
    """[C]: micro-units of the quote for one."""
    asset_counted: np.ndarray
    """[C]: ppm of it that counts after the haircut."""
    asset_follows: np.ndarray
    """[C]: market whose moves its price follows, or -1."""
    fund: np.ndarray
    """[1]: equity of the insurance fund."""


def graph_of(holdings: Holdings, rules: CascadeRules, correlations: Sequence[Sequence[float]] | None = None) -> Graph:
    """The graph of a venue's holdings.

    A shock of market i moves j by `max(rho, stressed) · extreme_j / extreme_i` of it: as many of its own extreme moves
    (`stress.extreme_bps` of the pack), times the correlation. Of the impact of forced orders goes that times the market's
    share of all depth, which is what rests within 2 % of the marks on both sides: a small market's fall moves no large one.

    Args:
        holdings: see `engine.holdings`.
        rules: liquidity and stressed correlation are used here.
        correlations: [S][S], -1 to 1, of the markets in the order of the holdings; none: the stressed one for all.

    Raises:
        HoldingsError: no market or account at all, a market without a class in the pack, or correlations that are none.
    """
    if not holdings.markets or not holdings.accounts:
        raise HoldingsError("a cascade needs at least one market and one account")
    units = units_of(holdings)
    names = units.names
    count, symbols = len(names), len(holdings.markets)
    pos = sorted(units.positions)
    pos_unit = np.array([unit for unit, *_ in pos], np.int64)
    pos_market = np.array([market for _, market, *_ in pos], np.int64)
    pos_lots = np.array([lots for *_, lots, _ in pos], np.int64)
    exposures = csr_array((pos_lots, (pos_unit, pos_market)), shape=(count, symbols), dtype=np.int64)
    by_market = np.lexsort((pos_unit, pos_market))
    couplings = _couplings(holdings, rules, correlations)
    deep = [_near(market) for market in holdings.markets]
    sources = np.repeat(np.arange(symbols), np.diff(couplings.indptr))
    pledged = _pledged(holdings, units.homes, count)
    away, depth, levels = _books(holdings, rules.liquidity_ppm)
    instruments = tuple(market.instrument for market in holdings.markets)
    terms = risk_terms(holdings.pack, instruments)
    marks = np.array([market.mark for market in holdings.markets], np.int64)
    terms.prices[:] = marks
    terms.doubtful[:] = 0
    arrays = Arrays(
        unit_first=np.searchsorted(pos_unit, np.arange(count + 1)).astype(np.int64),
        pos_unit=pos_unit,
        pos_market=pos_market,
        pos_lots=pos_lots,
        pos_cost=np.array([cost for *_, cost in pos], np.int64),
        market_first=np.searchsorted(pos_market[by_market], np.arange(symbols + 1)).astype(np.int64),
        market_pos=by_market.astype(np.int64),
        edge_first=couplings.indptr.astype(np.int64),
        edge_to=couplings.indices.astype(np.int64),
        edge_ppm=couplings.data.astype(np.int64),
        edge_impact_ppm=np.array(
            [ppm * deep[i] // max(1, sum(deep)) for i, ppm in zip(sources.tolist(), couplings.data.tolist(), strict=True)],
            np.int64,
        ),
        pledge_first=pledged.indptr.astype(np.int64),
        pledge_asset=pledged.indices.astype(np.int64),
        pledge_amount=pledged.data.astype(np.int64),
        cash=np.array(units.cash, np.int64),
        portfolio=np.array(units.portfolio, np.int64),
        mark=marks,
        away=away,
        depth=depth,
        levels=levels,
        lot_step=np.array([instrument.lot_step for instrument in instruments], np.int64),
        asset_price=np.array([asset.price for asset in holdings.collateral], np.int64),
        asset_counted=np.array([MICRO - asset.haircut_ppm for asset in holdings.collateral], np.int64),
        asset_follows=np.array([asset.follows for asset in holdings.collateral], np.int64),
        fund=np.array([holdings.fund], np.int64),
    )
    assets = tuple(asset.asset for asset in holdings.collateral)
    return Graph(names, instruments, assets, exposures, couplings, pledged, terms, arrays)


def shock_table(graph: Graph, shocks: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """What a shock by name moves, in parts per thousand million: of markets int64 [S], of assets int64 [C]. 0: not named.

    Raises:
        HoldingsError: a name that is neither market nor asset, or a move that is none, at or below -1, or above 10.
    """
    symbols = [instrument.symbol for instrument in graph.instruments]
    markets, assets = np.zeros(len(symbols), np.int64), np.zeros(len(graph.assets), np.int64)
    for name, move in shocks.items():
        if not -1 < move <= 10:
            raise HoldingsError(f"the shock of {name!r} is {move}, it must be above -1 and at most 10")
        if name in symbols:
            markets[symbols.index(name)] = round(move * 1e9)
        elif name in graph.assets:
            assets[graph.assets.index(name)] = round(move * 1e9)
        else:
            raise HoldingsError(f"the shock names {name!r}, which is neither a market nor collateral of the holdings")
    return markets, assets


def _couplings(holdings: Holdings, rules: CascadeRules, correlations: Sequence[Sequence[float]] | None) -> csr_array:
    count = len(holdings.markets)
    rho = np.zeros((count, count)) if correlations is None else np.asarray(correlations, np.float64)
    if rho.shape != (count, count) or not (np.abs(rho) <= 1).all():
        raise HoldingsError(f"correlations must be {count} x {count} numbers from -1 to 1")
    extremes = np.empty(count)
    for k, market in enumerate(holdings.markets):
        try:
            extremes[k] = holdings.pack.stress.extreme_bps[market.instrument.kind]
        except KeyError:
            raise HoldingsError(f"market {market.instrument.symbol!r} has no class in pack {holdings.pack.name}") from None
    stressed = np.maximum(rho, rules.correlation_ppm / MICRO)
    ppm = np.round(stressed * extremes[None, :] / extremes[:, None] * MICRO).astype(np.int64)
    np.fill_diagonal(ppm, 0)
    return csr_array(ppm)


def _near(market: MarketHeld) -> int:
    """Micro-units of the quote that rest within 2 % of the mark, both sides."""
    lots = [
        size for ticks, size in (*market.bids, *market.asks) if abs(ticks * MICRO - market.mark) * _NEAR_SHARE <= market.mark
    ]
    return sum(lots) * market.mark * market.instrument.notional_micro // MICRO


def _pledged(holdings: Holdings, homes: Mapping[str, int], units: int) -> csr_array:
    cells = [
        (amount, homes[account.account], asset)
        for account in holdings.accounts
        for asset, amount in account.collateral
        if amount
    ]
    shape = (units, len(holdings.collateral))
    amounts = np.array([cell[0] for cell in cells], np.int64)
    where = (np.array([cell[1] for cell in cells], np.int64), np.array([cell[2] for cell in cells], np.int64))
    return csr_array(coo_array((amounts, where), shape=shape)) if min(shape) else csr_array((shape[0], 1), dtype=np.int64)


def _books(holdings: Holdings, liquidity_ppm: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levels by their distance from the mark; a level on the wrong side of it is at the mark."""
    count = len(holdings.markets)
    most = max([1, *(len(side) for market in holdings.markets for side in (market.bids, market.asks))])
    away = np.zeros((count, 2, min(most, LEVELS)), np.int64)
    depth = np.zeros_like(away)
    levels = np.zeros((count, 2), np.int64)
    for k, market in enumerate(holdings.markets):
        for side, book in enumerate((market.bids, market.asks)):
            total = 0
            for n, (ticks, lots) in enumerate(book):
                total += lots
                distance = market.mark - ticks * MICRO if side == 0 else ticks * MICRO - market.mark
                away[k, side, n] = max(0, distance)
                depth[k, side, n] = total * liquidity_ppm // MICRO
            levels[k, side] = len(book)
    return away, depth, levels
