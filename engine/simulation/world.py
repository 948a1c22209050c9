"""The world as it is when the venue opens: who there is, what they own, and the ops that bring them there."""

from __future__ import annotations

from math import ceil, exp, log
from typing import Final

import numpy as np

from engine.contract import MICRO, OP_DTYPE, MarginMode, OpKind, OrderType, Reference, Side, SymbolState, TimeInForce
from engine.instruments import Instrument
from engine.simulation.arrivals import base_rates
from engine.simulation.config import SimulationConfig
from engine.simulation.generator import below, between, new_generator, normal, uniform
from engine.simulation.index import COMMON
from engine.simulation.state import (
    ACCOUNT_DTYPE,
    BASIS,
    BOT,
    CALM,
    CARRY,
    DESK_DTYPE,
    DOMINANT,
    FUND,
    HEAD_DTYPE,
    HEDGED,
    LEVERED,
    MAKER,
    MAKER_DTYPE,
    MAKERS,
    MARKET_DTYPE,
    MOMENTUM,
    NO_SLOT,
    OPS,
    ORDER_DTYPE,
    ORDERS,
    PENDING,
    PENDING_DTYPE,
    QUOTES,
    RETAIL,
    RETRIES,
    RETRY_DTYPE,
    SLOT_BITS,
    TREND,
    Scene,
)

_WORLD_STREAM: Final = 0
_FLOW_STREAM: Final = 1
_LARGE_MAKERS: Final = 5
_SMALL_MAKERS_A_MARKET: Final = 2
_BOTS_A_MARKET: Final = 4
_LEVERED_SHARE: Final = 0.10
_FUND_SHARE: Final = 0.04
_STRATEGIST_SHARES: Final = {TREND: 0.02, MOMENTUM: 0.01, HEDGED: 0.01}
"""Kinds that trade by a rule, as a share of all accounts."""

_ARBITRAGEURS_A_MARKET: Final = 2
"""Of each of the kinds BASIS and CARRY."""

_LARGEST_DESK: Final = 0.25
"""Largest position of somebody who trades by a rule, in depths of the market."""

_DOMINANT_SHARE: Final = 0.68
"""Share of the makers' depth that the dominant ones show."""

_HOLDERS: Final = 0.9
"""Share of an account's markets in which it has a position when the venue opens."""

_LARGEST_HELD: Final = 0.4
"""Largest first position in depths of its market: nobody has built up more than the market bears."""

_INSURANCE_USD: Final = 500_000
"""What the insurance fund starts with: about two per cent of the open interest."""

_LEAST_OVER: Final = 1.05
"""The smallest orders over the venue's minimum: it tests them at their own price, agents see the mark."""

_PROFILES: Final = {
    # median wallet, sigma of its log, lowest and highest target leverage, cap over target
    RETAIL: (3_000.0, 1.2, 2.0, 7.0, 2.0),
    LEVERED: (1_200.0, 0.7, 8.0, 13.0, 1.7),
    FUND: (80_000.0, 0.8, 1.0, 3.0, 2.0),
    BOT: (60_000.0, 0.5, 1.0, 2.0, 3.0),
    MAKER: (6_000_000.0, 0.3, 1.0, 2.0, 3.0),
    TREND: (4_000.0, 0.8, 4.0, 10.0, 2.0),
    MOMENTUM: (15_000.0, 0.6, 1.0, 2.0, 2.0),
    BASIS: (300_000.0, 0.4, 1.0, 2.0, 3.0),
    CARRY: (300_000.0, 0.4, 1.0, 2.0, 3.0),
    HEDGED: (60_000.0, 0.6, 2.0, 4.0, 1.7),
}


def build_world(config: SimulationConfig, instruments: tuple[Instrument, ...]) -> Scene:
    """Draws accounts, makers and memberships from the seed. Nobody has a wallet or a position yet."""
    g = new_generator(config.seed, _WORLD_STREAM)
    count = len(config.markets)
    accounts = _accounts(g, config)
    members, weights, starts = _members(g, config, accounts)
    markets = np.zeros(count, MARKET_DTYPE)
    for row, market, instrument in zip(markets, config.markets, instruments, strict=True):
        row["unit_usd"] = instrument.notional_micro / MICRO
        row["home"] = market.price_usd / instrument.tick
        row["vol"] = market.vol_bps * 1e-4
        row["activity"] = market.activity
        row["depth_usd"] = market.depth_usd
        row["least_usd"] = _LEAST_OVER * instrument.min_notional_micro / MICRO
        row["base_rate"] = base_rates(market.activity)
        row["mood"] = 0.25 * normal(g)
        begins = {series.symbol: series.prices[0] for series in config.index}.get(market.symbol, market.price_usd)
        row["log_move"] = log(begins / market.price_usd)
        row["fair"] = row["fair_before"] = row["home"] * exp(row["log_move"])
        row["usd_per_lot"] = row["fair"] * row["unit_usd"]
        for name, value in CALM.items():
            row[name] = value
    heads = np.zeros(1, HEAD_DTYPE)
    heads["common"] = COMMON
    heads["season"] = config.season
    heads["level"] = 1.0
    return Scene(
        g=new_generator(config.seed, _FLOW_STREAM),
        heads=heads,
        markets=markets,
        makers=_makers(g, markets, accounts),
        orders=np.zeros((count, ORDERS), ORDER_DTYPE),
        pools=np.tile(np.arange(QUOTES, ORDERS), (count, 1)),
        pending=np.zeros(PENDING, PENDING_DTYPE),
        retries=np.zeros(RETRIES, RETRY_DTYPE),
        stops=np.zeros((config.accounts, count), np.int64),
        desks=_desks(g, markets, accounts),
        paths=_paths(config),
        accounts=accounts,
        members=members,
        weights=weights,
        starts=starts,
        ops=np.zeros(OPS, OP_DTYPE),
        cash=np.zeros(config.accounts, np.int64),
        positions=np.zeros((config.accounts, count), np.int64),
    )


def opening_ops(config: SimulationConfig, scene: Scene, *, has_portfolio: bool) -> np.ndarray:
    """The ops that come before any order flow, all at `start_ns`: clock, deposits, indices, and positions.

    Positions come about by trades at the index between pairs of accounts, so that the venue's books balance. `has_portfolio`:
    the venue's rules have portfolio margin. A market that is not listed yet is halted, and nobody has a position there.
    """
    g = scene.g
    ops: list[dict[str, int]] = [{"kind": OpKind.CLOCK, "symbol": -1}]
    for account, row in enumerate(scene.accounts):
        ops.append({"kind": OpKind.TRANSFER, "account": account, "qty": round(float(row["wallet_usd"]) * MICRO), "symbol": -1})
        if row["kind"] == HEDGED and has_portfolio:
            ops.append({"kind": OpKind.MARGIN, "account": account, "symbol": -1, "code": MarginMode.PORTFOLIO})
    # Behind all accounts is the insurance fund's: see engine.venue.
    ops.append({"kind": OpKind.TRANSFER, "account": config.accounts, "qty": _INSURANCE_USD * MICRO, "symbol": -1})
    for k, market in enumerate(scene.markets):
        price = int(market["fair"] * MICRO)
        if config.markets[k].symbol == config.unlisted:
            market["busy"], market["mute"] = 0.0, 1
            scene.makers["away"][k] = 1
            ops.append({"kind": OpKind.STATE, "symbol": k, "code": SymbolState.HALTED})
            continue
        ops.append({"kind": OpKind.REFERENCE, "code": Reference.INDEX, "symbol": k, "price": price})
        ops += _first_positions(g, scene, k)
    array = np.zeros(len(ops), OP_DTYPE)
    for row, op in zip(array, ops, strict=True):
        for name, value in op.items():
            row[name] = value
    array["ts_ns"] = config.start_ns
    return array


def _paths(config: SimulationConfig) -> np.ndarray:
    """float64 [markets, seconds]: see `Scene`. As long as the longest series."""
    seconds = max((int(np.ceil(series.seconds[-1])) + 1 for series in config.index), default=0)
    paths = np.full((len(config.markets), seconds), np.nan)
    for k, market in enumerate(config.markets):
        for series in config.index:
            if series.symbol == market.symbol:
                moves = np.log(np.array(series.prices) / market.price_usd)
                paths[k] = np.interp(np.arange(seconds), series.seconds, moves)
    return paths


def _accounts(g: np.ndarray, config: SimulationConfig) -> np.ndarray:
    """ACCOUNT_DTYPE [accounts]; the kinds lie scattered over the numbers."""
    count = len(config.markets)
    kinds = [MAKER] * (_LARGE_MAKERS + max(MAKERS, _SMALL_MAKERS_A_MARKET * count))
    kinds += [BOT] * (_BOTS_A_MARKET * count) + [BASIS, CARRY] * (_ARBITRAGEURS_A_MARKET * count)
    for kind, share in _STRATEGIST_SHARES.items():
        kinds += [kind] * int(share * config.accounts)
    kinds += [LEVERED] * int(_LEVERED_SHARE * config.accounts) + [FUND] * int(_FUND_SHARE * config.accounts)
    kinds += [RETAIL] * (config.accounts - len(kinds))
    _shuffle(g, kinds)
    accounts = np.zeros(config.accounts, ACCOUNT_DTYPE)
    for row, kind in zip(accounts, kinds, strict=True):
        wallet, sigma, low, high, cap = _PROFILES[kind]
        row["kind"] = kind
        row["wallet_usd"] = wallet * exp(sigma * normal(g))
        row["target"] = between(g, low, high)
        row["cap"] = row["target"] * cap
        row["home"] = -1
    return accounts


def _members(g: np.ndarray, config: SimulationConfig, accounts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which accounts trade where: (members, cumulative weights, starts), one run a market."""
    popularity = np.cumsum([market.popularity for market in config.markets])
    count = len(config.markets)
    trades: list[list[int]] = [[] for _ in range(count)]
    bots = 0
    for account, row in enumerate(accounts):
        if row["kind"] >= MAKER:
            continue  # they trade by rules of their own
        if row["kind"] == BOT:
            # Bots are dealt out evenly: every market has some.
            trades[bots % count].append(account)
            bots += 1
            continue
        first = int(np.searchsorted(popularity, uniform(g) * popularity[-1], side="right"))
        trades[first].append(account)
        if row["kind"] == LEVERED:
            row["home"] = first
            continue
        for _ in range(2):
            other = int(np.searchsorted(popularity, uniform(g) * popularity[-1], side="right"))
            if uniform(g) < 0.25 and trades[other][-1:] != [account]:
                trades[other].append(account)
    weights = [np.cumsum(accounts["wallet_usd"][list(chosen)] ** 0.4) for chosen in trades]
    starts = np.cumsum([0] + [len(chosen) for chosen in trades]).astype(np.int64)
    return np.concatenate([np.array(chosen, np.int64) for chosen in trades]), np.concatenate(weights), starts


def _makers(g: np.ndarray, markets: np.ndarray, accounts: np.ndarray) -> np.ndarray:
    """MAKER_DTYPE [markets, MAKERS]; the first `DOMINANT` of a market are large makers."""
    everyone = [account for account, row in enumerate(accounts) if row["kind"] == MAKER]
    large, small = everyone[:_LARGE_MAKERS], everyone[_LARGE_MAKERS:]
    makers = np.zeros((len(markets), MAKERS), MAKER_DTYPE)
    for row, market in zip(makers, markets, strict=True):
        chosen = _some(g, large, DOMINANT) + _some(g, small, MAKERS - DOMINANT)
        unit = max(0.75 / market["home"], 0.7 * market["vol"])
        pace = 0.4 + 0.6 * market["activity"]
        for m, maker in enumerate(row):
            dominant = m < DOMINANT
            share = _DOMINANT_SHARE / DOMINANT if dominant else (1.0 - _DOMINANT_SHARE) / (MAKERS - DOMINANT)
            maker["account"] = chosen[m]
            maker["half"] = unit * (between(g, 0.9, 1.15) if dominant else between(g, 1.2, 2.2))
            maker["step"] = unit * (between(g, 1.0, 1.3) if dominant else between(g, 1.2, 1.8))
            maker["size_usd"] = market["depth_usd"] * share * (0.26 if dominant else 0.36)
            maker["look"] = pace * (between(g, 0.3, 0.45) if dominant else between(g, 0.06, 0.16))
            maker["delay_ns"] = between(g, 2e6, 5e6) if dominant else between(g, 1e7, 4e7)
            maker["limit_usd"] = market["depth_usd"] * (8.0 if dominant else 2.0)
            maker["slow"] = 0 if dominant else below(g, 2)
    return makers


def _desks(g: np.ndarray, markets: np.ndarray, accounts: np.ndarray) -> np.ndarray:
    """DESK_DTYPE [desks]: who trades what by a rule. Arbitrageurs are dealt out evenly, the others by activity."""
    count = len(markets)
    busy = np.cumsum(markets["activity"])
    chosen = np.flatnonzero((accounts["kind"] > MAKER) & ((accounts["kind"] != HEDGED) | (count > 1)))
    desks = np.zeros(len(chosen), DESK_DTYPE)
    for n, (desk, account) in enumerate(zip(desks, chosen, strict=True)):
        kind = int(accounts[account]["kind"])
        k = n % count if kind in (BASIS, CARRY) else int(np.searchsorted(busy, uniform(g) * busy[-1], side="right"))
        desk["account"], desk["kind"], desk["symbol"], desk["partner"] = account, kind, k, -1
        desk["threshold"] = {BASIS: between(g, 5.0, 12.0), CARRY: between(g, 2.0, 6.0)}.get(kind, between(g, 0.9, 2.2))
        desk["limit_usd"] = _LARGEST_DESK * markets[k]["depth_usd"]
        if kind == HEDGED:
            desk["partner"] = (k + 1 + below(g, count - 1)) % count
            desk["limit_usd"] = _LARGEST_DESK * min(markets[k]["depth_usd"], markets[desk["partner"]]["depth_usd"])
    return desks


def _first_positions(g: np.ndarray, scene: Scene, symbol: int) -> list[dict[str, int]]:
    """Orders that give most of a market's members a position, longs against shorts at the index."""
    market = scene.markets[symbol]
    least = max(1, ceil(market["least_usd"] / market["usd_per_lot"]))
    longs: list[list[int]] = []
    shorts: list[list[int]] = []
    for account in scene.members[scene.starts[symbol] : scene.starts[symbol + 1]]:
        row = scene.accounts[account]
        if uniform(g) >= _HOLDERS:
            continue
        stretch = 0.02 + 0.9 * uniform(g) ** 2
        usd = min(row["wallet_usd"] * row["target"] * stretch, _LARGEST_HELD * market["depth_usd"])
        lots = int(usd / market["usd_per_lot"])
        if lots >= least:
            (longs if uniform(g) < 0.5 else shorts).append([int(account), lots])
    ops: list[dict[str, int]] = []
    price = round(float(market["fair"]))
    while longs and shorts:
        lots = min(longs[-1][1], shorts[-1][1])
        for side, kind in ((Side.SELL, shorts), (Side.BUY, longs)):
            scene.heads[0]["orders_sent"] += 1
            order_id = int(scene.heads[0]["orders_sent"]) << SLOT_BITS | NO_SLOT
            ops.append({
                "kind": OpKind.NEW, "symbol": symbol, "account": kind[-1][0], "order_id": order_id, "side": side,
                "price": price, "qty": lots, "order_type": OrderType.LIMIT,
                "tif": TimeInForce.IOC if side == Side.BUY else TimeInForce.GTC,
            })  # fmt: skip
            kind[-1][1] -= lots
            if kind[-1][1] < least:
                kind.pop()
    return ops


def _some(g: np.ndarray, candidates: list[int], n: int) -> list[int]:
    left = list(candidates)
    return [left.pop(below(g, len(left))) for _ in range(n)]


def _shuffle(g: np.ndarray, items: list[int]) -> None:
    for k in range(len(items) - 1, 0, -1):
        other = below(g, k + 1)
        items[k], items[other] = items[other], items[k]
