"""Market makers: ladders of post-only quotes around what the contract is worth, skewed by inventory, moved when off."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit

from engine.simulation.actions import room, send_cancel, send_resting
from engine.simulation.config import TICK_NS
from engine.simulation.generator import between, exponential, normal, uniform
from engine.simulation.state import DOMINANT, EMPTY, LEVELS, MAKERS, RESTS, Scene

_SKEW: Final = 2.5
"""Half-spreads by which quotes are moved at the inventory limit."""

_TOLERANCE: Final = 0.45
"""Share of a level's distance by which its price may be off before it is moved."""

_REFILL: Final = 0.2
"""A quote filled down to this share of its full size is replaced."""

_TOO_MUCH: Final = 2.5
"""A quote of more than so many full sizes is replaced: its maker wants less in the market than it did."""

_SPREADING: Final = 1.7
"""Power of its number by which a level is away: half of what makers show lies beyond ten basis points."""

_GROWTH: Final = 0.3
"""By how much of the first level's size each further level is larger."""

_REQUOTE_ALL: Final = 0.003
"""Chance that a look ends in moving the whole ladder (new parameters, a hedge, a restart)."""

_ALARM: Final = 3.0
"""A jump of this many standard deviations of a second makes every maker look at once."""


@njit(cache=True, nogil=True)
def quote(scene: Scene, start_ns: int, k: int) -> None:
    """Lets each maker of market k look at it, perhaps, and send what it takes to bring its ladder up to date."""
    g = scene.g
    alarmed = abs(scene.markets[k]["jump"]) > _ALARM
    for m in range(MAKERS):
        maker = scene.makers[k, m]
        if maker["away"] or not (alarmed or uniform(g) < maker["look"]):
            continue
        delay_ns = min(0.9 * TICK_NS, 1.0 + exponential(g, maker["delay_ns"]))
        _update_ladder(scene, start_ns + int(delay_ns), k, m)


@njit(cache=True, nogil=True)
def _update_ladder(scene: Scene, ts_ns: int, k: int, m: int) -> None:
    g, market, maker = scene.g, scene.markets[k], scene.makers[k, m]
    seen = market["fair_before"] if maker["slow"] else market["fair"]
    inventory = scene.positions[maker["account"], k] * market["usd_per_lot"] / maker["limit_usd"]
    inventory = min(1.0, max(-1.0, inventory))
    worth = math.log(seen) + market["basis"] - _SKEW * inventory * maker["half"]
    thin = 1.0 if m < DOMINANT else market["thin"]
    everything = uniform(g) < _REQUOTE_ALL
    for side in range(2):
        sign = 1.0 if side == 0 else -1.0
        # Full on one side, a maker shows less of what would fill it further.
        appetite = max(0.2, 1.0 - max(0.0, sign * inventory))
        for level in range(LEVELS):
            if not room(scene):
                return
            slot = (m * 2 + side) * LEVELS + level
            order = scene.orders[k, slot]
            distance = (maker["half"] + maker["step"] * level**_SPREADING) * thin
            aim = math.exp(worth - sign * distance)
            full = (
                maker["size_usd"]
                * (1.0 + _GROWTH * level)
                * appetite
                * market["stock"]
                / math.sqrt(thin)
                / market["usd_per_lot"]
            )
            if order["state"] == RESTS:
                tolerance = max(0.6, _TOLERANCE * (distance + 0.6 * maker["step"]) * aim)
                if (
                    not everything
                    and abs(order["price"] - aim) <= tolerance
                    and _REFILL * full < order["qty"] < _TOO_MUCH * full
                ):
                    continue
                send_cancel(scene, ts_ns, k, slot)
            elif order["state"] != EMPTY:
                continue
            price = _passive(market, side, aim * (1.0 + 0.1 * distance * normal(g)))
            qty = max(1, int(full * between(g, 0.7, 1.3)))
            send_resting(scene, ts_ns, k, slot, maker["account"], side, price, qty)


@njit(cache=True, nogil=True)
def _passive(market: np.void, side: int, aim: float) -> int:
    """The price in whole ticks, rounded away from the touch and kept off the other side as it was seen."""
    price = math.floor(aim + 0.25) if side == 0 else math.ceil(aim - 0.25)
    if side == 1:
        price = max(price, market["bid"] + 1)
    elif market["ask"] > 0:
        price = min(price, market["ask"] - 1)
    return max(1, price)


@njit(cache=True, nogil=True)
def withdraw(scene: Scene, ts_ns: int, k: int, m: int) -> None:
    """Cancels a maker's whole ladder, level by level, and marks it away. Comes before anybody quotes in the tick."""
    scene.makers[k, m]["away"] = 1
    for slot in range(m * 2 * LEVELS, (m + 1) * 2 * LEVELS):
        if scene.orders[k, slot]["state"] == RESTS:
            ts_ns += 20_000
            send_cancel(scene, ts_ns, k, slot)
