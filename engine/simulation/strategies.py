"""Those who trade by a rule of their own: trend followers, momentum, basis and funding arbitrageurs, hedged portfolios.

Each looks at its market every few seconds, decides what it wants to hold, and takes a slice of the difference from the book.
None of them rests orders. What the arbitrageurs hold elsewhere is not ours to see.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit

from engine.contract import MICRO, OpFlag
from engine.simulation.actions import equity_usd, notional_usd, room, send_taker
from engine.simulation.config import TICK_NS
from engine.simulation.generator import below
from engine.simulation.state import BASIS, CARRY, HEDGED, MOMENTUM, TREND, Scene

_LOOK_TICKS: Final = 60
"""Ticks from one look of somebody to the next, on average."""

_SLICE: Final = 0.03
"""Largest order as a share of the market's depth."""

_TREND_S: Final = 30.0
"""Seconds over which the difference of the two averages of the mid is measured in standard deviations."""

_INTEREST_BPS: Final = 1.0
"""Funding rate at which nobody pays for anything but interest."""

_DRIFTED: Final = 0.15
"""Share by which a leg of a hedged portfolio may be off."""


@njit(cache=True, nogil=True)
def act_strategists(scene: Scene, start_ns: int, prices: np.ndarray) -> None:
    """Lets some of them look, and trade. `prices`: the venue's."""
    count = len(scene.desks)
    if count == 0:
        return
    for _ in range(1 + count // _LOOK_TICKS):
        desk = scene.desks[below(scene.g, count)]
        k = desk["symbol"]
        if scene.markets[k]["bid"] == 0 or scene.markets[k]["ask"] == 0 or scene.markets[k]["busy"] == 0.0:
            continue
        if desk["kind"] == HEDGED:
            _hedge(scene, start_ns, desk)
            continue
        held_usd = scene.positions[desk["account"], k] * scene.markets[k]["usd_per_lot"]
        _go_to(scene, start_ns, k, desk["account"], _wanted_usd(scene, desk, held_usd, prices[k]))


@njit(cache=True, nogil=True)
def _wanted_usd(scene: Scene, desk: np.void, held_usd: float, price: np.void) -> float:
    """What an account wants to hold of its market, signed USD. Between two decisions it keeps what it has."""
    market = scene.markets[desk["symbol"]]
    wanted: float = held_usd
    if desk["kind"] == TREND or desk["kind"] == MOMENTUM:
        account = scene.accounts[desk["account"]]
        limit = min(desk["limit_usd"], account["target"] * max(0.0, equity_usd(scene, desk["account"])))
        if desk["kind"] == TREND:
            signal = (market["trend_fast"] - market["trend_slow"]) / (market["vol"] * math.sqrt(_TREND_S))
        else:
            signal = (market["mid_log"] - market["trend_fast"]) / (market["vol"] * math.sqrt(2.0))
        if abs(signal) > desk["threshold"]:
            wanted = limit if signal > 0.0 else -limit
        elif signal * held_usd < 0.0:
            wanted = 0.0
    elif desk["kind"] == BASIS:
        dear_bps = 1e4 * (0.5 * (market["bid"] + market["ask"]) / market["fair"] - 1.0)
        if abs(dear_bps) > desk["threshold"]:
            share = min(1.0, abs(dear_bps) / desk["threshold"] - 1.0)
            aim = -desk["limit_usd"] * share if dear_bps > 0.0 else desk["limit_usd"] * share
            if abs(aim) > abs(held_usd) or aim * held_usd < 0.0:
                wanted = aim
        elif abs(dear_bps) < 0.25 * desk["threshold"]:
            wanted = 0.0
    elif desk["kind"] == CARRY:
        excess_bps = price["funding_rate"] / MICRO - _INTEREST_BPS
        wanted = -desk["limit_usd"] * min(1.0, max(-1.0, excess_bps / desk["threshold"]))
    return wanted


@njit(cache=True, nogil=True)
def _hedge(scene: Scene, start_ns: int, desk: np.void) -> None:
    """Keeps two legs of the same size, smaller ones where losses have raised the leverage above the account's cap."""
    account = desk["account"]
    equity = equity_usd(scene, account)
    leg = min(desk["limit_usd"], 0.5 * scene.accounts[account]["target"] * max(0.0, equity))
    if notional_usd(scene, account) > scene.accounts[account]["cap"] * max(0.0, equity):
        leg *= 0.5
    for k, wanted in ((desk["symbol"], leg), (desk["partner"], -leg)):
        held = scene.positions[account, k] * scene.markets[k]["usd_per_lot"]
        if scene.markets[k]["busy"] > 0.0 and abs(held - wanted) > _DRIFTED * desk["limit_usd"]:
            _go_to(scene, start_ns, k, account, wanted)


@njit(cache=True, nogil=True)
def _go_to(scene: Scene, start_ns: int, k: int, account: int, wanted_usd: float) -> None:
    """Takes a slice of the way from what the account holds to `wanted_usd`; first only to nothing, where the sign changes."""
    market = scene.markets[k]
    held = scene.positions[account, k]
    lots = int(wanted_usd / market["usd_per_lot"]) - held
    reduces = held != 0 and (lots > 0) != (held > 0)
    if reduces:
        lots = max(lots, -held) if held > 0 else min(lots, -held)
    most = max(1, int(_SLICE * market["depth_usd"] / market["usd_per_lot"]))
    lots = max(-most, min(most, lots))
    if lots == 0 or not room(scene):
        return
    if not reduces and abs(lots) * market["usd_per_lot"] < market["least_usd"]:
        return
    side = 0 if lots > 0 else 1
    touch = market["ask"] if side == 0 else market["bid"]
    if touch == 0:
        return
    slack = 1 + touch // 3000
    limit = touch + slack if side == 0 else max(1, touch - slack)
    ts_ns = start_ns + 1 + below(scene.g, TICK_NS - 1)
    send_taker(scene, ts_ns, k, account, side, limit, abs(lots), _REDUCE_ONLY if reduces else 0)


_REDUCE_ONLY: Final = int(OpFlag.REDUCE_ONLY)
