"""What the people behind an injected incident do in a tick. `injections.py` says when, where and how strongly."""

from __future__ import annotations

from typing import Final

from numba import njit

from engine.simulation.actions import cancel_later, equity_usd, room, send_resting, send_taker, take_slot
from engine.simulation.config import TICK_NS, TICKS_PER_SECOND
from engine.simulation.generator import below, between, exponential, uniform
from engine.simulation.injections import Incident
from engine.simulation.makers import withdraw
from engine.simulation.state import MAKERS, Scene

_LAST_POST_NS: Final = 150_000_000
"""A burst posts nothing in its last moments, so that its cancels lie inside its label."""

_TURN: Final = 5
"""Ticks from one order of a ramp's account to its next."""

_RAMP_FROM: Final = 8.0
"""Leverage at which a ramp's accounts begin to climb."""

_POSTS: Final = 0.3
"""Share of a ramp's orders that wait at the touch instead of taking."""


@njit(cache=True, nogil=True)
def act(scene: Scene, start_ns: int) -> None:
    """The tick's part of the incident under way, if there is one."""
    incident = scene.incidents[0]
    if not incident["active"]:
        return
    if incident["kind"] == _CANCELS:
        _burst_cancels(scene, start_ns)
    elif incident["kind"] == _LEVERAGE:
        _ramp_leverage(scene, start_ns)
    else:
        _makers_leave(scene, start_ns)


@njit(cache=True, nogil=True)
def end(scene: Scene) -> None:
    """Undoes what outlasts an incident: makers that left quote again, from their next look on."""
    k = scene.incidents[0]["symbol"]
    scene.markets[k]["thin"] = 1.0
    for m in range(MAKERS):
        scene.makers[k, m]["away"] = 0


@njit(cache=True, nogil=True)
def _burst_cancels(scene: Scene, start_ns: int) -> None:
    """Posts orders within three ticks of the touch that are cancelled some milliseconds later."""
    g, incident = scene.g, scene.incidents[0]
    k = incident["symbol"]
    market = scene.markets[k]
    if market["bid"] == 0 or market["ask"] == 0:
        return
    step_s = 1.0 / incident["rate"]
    at_s = exponential(g, step_s)
    while at_s < 1.0 / TICKS_PER_SECOND:
        ts_ns = start_ns + 1 + int(at_s * 1e9)
        at_s += exponential(g, step_s)
        account = incident["accounts"][below(g, incident["count"])]
        side = 0 if uniform(g) < incident["side_share"] else 1
        lots = max(1, int(between(g, 0.01, 0.04) * market["depth_usd"] / market["usd_per_lot"]))
        behind = below(g, 4)
        price = max(1, market["bid"] - behind) if side == 0 else market["ask"] + behind
        life_ns = 300_000 + int(exponential(g, incident["life_s"]) * 1e9)
        if ts_ns + _LAST_POST_NS > incident["end_ns"] or not room(scene):
            return
        slot = take_slot(scene, k)
        if slot < 0:
            return
        order_id = send_resting(scene, ts_ns, k, slot, account, side, price, lots)
        cancel_later(scene, ts_ns + min(life_ns, _LAST_POST_NS), k, order_id)


@njit(cache=True, nogil=True)
def _ramp_leverage(scene: Scene, start_ns: int) -> None:
    """Half of the accounts go long, half short, each in turn as far as its leverage lags behind a rising line."""
    g, incident = scene.g, scene.incidents[0]
    k = incident["symbol"]
    market = scene.markets[k]
    if market["bid"] == 0 or market["ask"] == 0:
        return
    progress = min(1.0, (start_ns + TICK_NS - incident["start_ns"]) / (0.9 * (incident["end_ns"] - incident["start_ns"])))
    leverage = _RAMP_FROM + (incident["leverage"] - _RAMP_FROM) * progress
    for n in range(incident["count"]):
        if (scene.heads[0]["tick"] + n) % _TURN or not room(scene):
            continue
        account = incident["accounts"][n]
        side = n % 2
        held = scene.positions[account, k] if side == 0 else -scene.positions[account, k]
        wanted = leverage * max(0.0, equity_usd(scene, account)) / market["usd_per_lot"]
        lots = min(int(wanted) - held, int(0.12 * market["depth_usd"] / market["usd_per_lot"]))
        if lots < 1 or lots * market["usd_per_lot"] < market["least_usd"]:
            continue
        ts_ns = start_ns + 1 + below(g, TICK_NS // 2)
        own, other = (market["bid"], market["ask"]) if side == 0 else (market["ask"], market["bid"])
        if uniform(g) < _POSTS:
            slot = take_slot(scene, k)
            if slot >= 0:
                order_id = send_resting(scene, ts_ns, k, slot, account, side, own, lots)
                cancel_later(scene, min(ts_ns + (_TURN - 1) * TICK_NS, incident["end_ns"] - 1), k, order_id)
        else:
            slack = 4 + other // 2000
            send_taker(scene, ts_ns, k, account, side, other + slack if side == 0 else max(1, other - slack), lots, 0)


@njit(cache=True, nogil=True)
def _makers_leave(scene: Scene, start_ns: int) -> None:
    """At the beginning the leaving makers cancel everything; the others then quote wider, the more the longer it lasts."""
    incident = scene.incidents[0]
    k = incident["symbol"]
    if start_ns == incident["start_ns"]:
        for m in range(incident["leaving"]):
            withdraw(scene, start_ns + 1 + below(scene.g, TICK_NS // 2), k, m)
    seconds = (start_ns - incident["start_ns"]) * 1e-9
    scene.markets[k]["thin"] = 1.0 + (incident["thin"] - 1.0) * min(1.0, 0.3 + seconds / 3.0)


_CANCELS: Final = int(Incident.CANCELS)
_LEVERAGE: Final = int(Incident.LEVERAGE)
