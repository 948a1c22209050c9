"""Everybody but the makers: takers with a leverage of their own, resting orders of the crowd, and accounts that must reduce."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit

from engine.contract import OpFlag
from engine.simulation.actions import (
    cancel_later,
    equity_usd,
    notional_usd,
    pick_active_member,
    pick_any_member,
    room,
    send_cancel,
    send_resting,
    send_stop,
    send_taker,
    take_slot,
)
from engine.simulation.config import TICK_NS
from engine.simulation.generator import below, between, exponential, normal, uniform
from engine.simulation.state import LEVERED, MAKER, RESTS, RETAIL, Scene

_TRIES: Final = 6
"""Accounts that are asked before a market order is given up."""

_TAKER_SHARE: Final = 0.006
"""Median size of a market order as a share of the market's depth; the mean is about three times that."""

_TAKER_SIGMA: Final = 1.5
_TAKER_LARGEST: Final = 0.7
_CROWD_SHARE: Final = 0.004
_CROWD_SIGMA: Final = 1.2
_CROWD_LARGEST: Final = 0.3
_CROWD_STAKE: Final = 0.3
"""Largest limit order as a share of what the account may still take on at its target leverage: several may be filled."""

_CROWD_DISTANCE: Final = 7.0e-4
"""Mean distance of the crowd's limit orders behind the touch, log units."""

_DEEP: Final = 0.25
"""Share of the crowd's orders that wait far away; how large they are, in ordinary ones, and how far away on average."""

_DEEP_SIZE: Final = 6.0
_DEEP_DISTANCE: Final = 2.5e-3

CROWD: Final = 130.0
"""Resting orders of the crowd around which cancels balance new ones, in the busiest market."""

_FLEETING: Final = 0.15
"""Share of limit orders that are meant to be gone again within a tick or so."""

_WITH_STOP: Final = 0.3
"""Share of retail traders who protect what they opened with a stop."""

_WIDEST_STOP: Final = 0.08

_CHECKS: Final = 3
"""Members whose leverage is looked at, each tick and market."""

_STOP_OUT: Final = 60.0
"""Leverage at which an account closes at once instead of bit by bit."""


@njit(cache=True, nogil=True)
def take(scene: Scene, ts_ns: int, k: int, side: int) -> bool:
    """A market order of an account that wants it: to open or add while its leverage is below its target, or to close.

    The nearer an account is to its target, the less it adds and the more it closes; that keeps open interest and leverage
    where they are. Returns whether anybody came.
    """
    g, market = scene.g, scene.markets[k]
    touch = market["ask"] if side == 0 else market["bid"]
    if touch == 0 or not room(scene):
        return False
    usd = min(_TAKER_LARGEST, _TAKER_SHARE * math.exp(_TAKER_SIGMA * normal(g))) * market["depth_usd"]
    for _ in range(_TRIES):
        account = pick_active_member(scene, k)
        target = scene.accounts[account]["target"]
        held = scene.positions[account, k] if side == 0 else -scene.positions[account, k]
        equity = equity_usd(scene, account)
        if equity <= 0.0:
            continue  # left to `reduce_stressed`
        stretch = notional_usd(scene, account) / equity / target
        if held < 0:
            if uniform(g) >= 0.25 + 0.6 * min(1.0, stretch):
                continue
            lots = -held if uniform(g) < 0.5 else int(-held * uniform(g))
            lots = min(lots, int(4.0 * usd / market["usd_per_lot"]))
        else:
            if uniform(g) >= 1.0 - stretch:
                continue
            wish_usd = min(usd, (1.0 - stretch) * target * equity * between(g, 0.2, 0.9))
            lots = int(wish_usd / market["usd_per_lot"])
        if lots < 1 or (held >= 0 and lots * market["usd_per_lot"] < market["least_usd"]):
            continue
        limit = 0
        if uniform(g) < 0.6:
            slack = 1 + int(touch * between(g, 1e-4, 8e-4))
            limit = touch + slack if side == 0 else max(1, touch - slack)
        send_taker(scene, ts_ns, k, account, side, limit, lots, _REDUCE_ONLY if held < 0 else 0)
        kind = scene.accounts[account]["kind"]
        if held >= 0 and kind in (RETAIL, LEVERED) and uniform(g) < _WITH_STOP:
            # The closer to ruin, the tighter: half of what the leverage leaves, at most a few per cent.
            away = between(g, 0.3, 0.6) * min(_WIDEST_STOP, 1.0 / target)
            trigger = int(touch * (1.0 - away)) if side == 0 else int(touch * (1.0 + away)) + 1
            send_stop(scene, ts_ns, k, account, 1 - side, max(1, trigger))
        return True
    return False


@njit(cache=True, nogil=True)
def rest(scene: Scene, ts_ns: int, k: int, side: int, account: int, fleeting: bool) -> None:
    """A limit order of the crowd near the touch, or somewhat behind it; some fleeting ones are gone within a tick or so."""
    g, market, target = scene.g, scene.markets[k], scene.accounts[account]["target"]
    usd = min(_CROWD_LARGEST, _CROWD_SHARE * math.exp(_CROWD_SIGMA * normal(g))) * market["depth_usd"]
    # Who waits for a bargain waits with more, and farther away: books are deeper there than near the touch.
    is_deep = not fleeting and uniform(g) < _DEEP
    if is_deep:
        usd *= _DEEP_SIZE
    held = scene.positions[account, k] if side == 0 else -scene.positions[account, k]
    means_usd = target * equity_usd(scene, account)
    if held >= 0:
        means_usd -= notional_usd(scene, account)
    lots = int(min(usd, _CROWD_STAKE * means_usd) / market["usd_per_lot"])
    if lots < 1 or lots * market["usd_per_lot"] < market["least_usd"] or not room(scene):
        return
    slot = take_slot(scene, k)
    if slot < 0:
        return
    order_id = send_resting(scene, ts_ns, k, slot, account, side, _crowd_price(g, market, side, is_deep), lots)
    if fleeting and uniform(g) < _FLEETING:
        life_s = min(2.0, 0.04 * math.exp(0.9 * normal(g)))
        cancel_later(scene, ts_ns + max(200_000, int(life_s * 1e9)), k, order_id)


@njit(cache=True, nogil=True)
def _crowd_price(g: np.ndarray, market: np.void, side: int, is_deep: bool) -> int:
    bid, ask = market["bid"], market["ask"]
    worth = market["fair"] * (1.0 + market["basis"])
    if bid == 0:
        bid = int(worth * 0.9999)
    if ask == 0:
        ask = int(worth * 1.0001) + 1
    behind = int(exponential(g, _DEEP_DISTANCE if is_deep else _CROWD_DISTANCE) * worth)
    if behind == 0 and ask - bid > 1 and uniform(g) < 0.3:
        behind = -1
    price: int = max(1, bid - behind) if side == 0 else ask + behind
    return price


@njit(cache=True, nogil=True)
def cancel_any(scene: Scene, ts_ns: int, k: int) -> None:
    """Cancels an order of the crowd that is drawn at random; of two drawn, the younger, as most cancels are of young orders."""
    g, resting = scene.g, scene.markets[k]["resting"]
    if resting == 0 or not room(scene):
        return
    orders = scene.orders[k]
    slot, other = scene.pools[k, below(g, resting)], scene.pools[k, below(g, resting)]
    if orders[other]["order_id"] > orders[slot]["order_id"]:
        slot = other
    if orders[slot]["state"] == RESTS:
        send_cancel(scene, ts_ns, k, slot)


@njit(cache=True, nogil=True)
def crowding(market: np.void) -> float:
    """How much likelier cancels are than in balance."""
    factor: float = market["resting"] / (CROWD * (0.4 + 0.6 * market["activity"]))
    return factor


@njit(cache=True, nogil=True)
def reduce_stressed(scene: Scene, start_ns: int, k: int) -> None:
    """Looks at some members' leverage; who is above the own cap sells a part, who is near ruin everything."""
    g, market = scene.g, scene.markets[k]
    for _ in range(_CHECKS):
        account = pick_any_member(scene, k)
        trader = scene.accounts[account]
        held = scene.positions[account, k]
        if held == 0 or trader["kind"] == MAKER or not room(scene):
            continue
        equity = equity_usd(scene, account)
        notional = notional_usd(scene, account)
        if equity > 0.0 and notional <= trader["cap"] * equity:
            continue
        lots = abs(held)
        if equity > 0.0 and notional < _STOP_OUT * equity:
            lots = max(1, int(0.15 * lots))
        lots = min(lots, max(1, int(0.15 * market["depth_usd"] / market["usd_per_lot"])))
        send_taker(scene, start_ns + 1 + below(g, TICK_NS - 1), k, account, 1 if held > 0 else 0, 0, lots, _REDUCE_ONLY)


@njit(cache=True, nogil=True)
def transfer_usd(scene: Scene, account: int) -> float:
    """What an account pays in or takes out when it looks at its balance, USD; mostly 0.

    The ruined come back with new money and winners take profits, so that wallets keep their distribution for days.
    """
    trader = scene.accounts[account]
    if trader["kind"] == MAKER:
        return 0.0
    equity = equity_usd(scene, account)
    usd: float = 0.0
    if equity < 0.2 * trader["wallet_usd"]:
        usd = trader["wallet_usd"] * between(scene.g, 0.6, 1.0) - min(0.0, equity)
    elif equity > 3.0 * trader["wallet_usd"] and notional_usd(scene, account) < equity:
        usd = -0.5 * (equity - trader["wallet_usd"])
    return usd


_REDUCE_ONLY: Final = int(OpFlag.REDUCE_ONLY)
