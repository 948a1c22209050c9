"""Bots whose orders the throttle refused, and what they do then: half of them wait twice as long each time, half do not wait.

The first kind gives up after some attempts. The second sends the same order again every few milliseconds until it is taken,
which is what turns a throttle that was tightened into a storm.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from engine.contract import Reason
from engine.simulation.actions import new_order_id, put_op, room
from engine.simulation.config import TICK_NS
from engine.simulation.generator import below
from engine.simulation.state import BOT, NO_SLOT, ORDERS, RETRY_SLOT, Scene

_EAGER_NS: Final = 12_000_000
_PATIENT_NS: Final = 100_000_000
_PATIENT_TRIES: Final = 7
_EAGER_TRIES: Final = 400


@njit(cache=True, nogil=True)
def is_patient(account: int) -> bool:
    """Whether a bot backs off. Which does is a matter of its number."""
    return account % 2 == 0


@njit(cache=True, nogil=True)
def remember_refusal(scene: Scene, k: int, event: np.void) -> None:
    """Plans the next attempt of an order that the throttle refused: a bot's new one, or one that was an attempt already."""
    account = event["account"]
    if event["code"] not in (_THROTTLED, _BANNED) or not 0 <= account < len(scene.accounts):
        return
    if scene.accounts[account]["kind"] != BOT:
        return
    slot = event["order_id"] & NO_SLOT
    if slot == RETRY_SLOT:
        for i in range(scene.heads[0]["retries"]):
            entry = scene.retries[i]
            if entry["account"] == account and entry["symbol"] == k and entry["ts_ns"] < 0:
                _plan(scene, entry, event["ts_ns"])
                return
    elif slot < ORDERS and scene.orders[k, slot]["order_id"] == event["order_id"]:
        head = scene.heads[0]
        if head["retries"] == len(scene.retries):
            return
        entry = scene.retries[head["retries"]]
        head["retries"] += 1
        order = scene.orders[k, slot]
        entry["symbol"] = k
        entry["account"] = account
        entry["price"] = order["price"]
        entry["qty"] = order["qty"]
        entry["side"] = order["side"]
        entry["wait_ns"] = _PATIENT_NS if is_patient(account) else _EAGER_NS
        entry["left"] = _PATIENT_TRIES if is_patient(account) else _EAGER_TRIES
        _plan(scene, entry, event["ts_ns"])


@njit(cache=True, nogil=True)
def forget_retry(scene: Scene, k: int, account: int) -> None:
    """One of the attempts was taken: no more are needed."""
    for i in range(scene.heads[0]["retries"]):
        entry = scene.retries[i]
        if entry["account"] == account and entry["symbol"] == k:
            entry["left"] = 0


@njit(cache=True, nogil=True)
def send_retries(scene: Scene, start_ns: int) -> None:
    """Sends the attempts that are due in this tick; drops those that were taken or given up.

    An attempt whose answer is not known yet has a time below 0. An eager bot does not wait for answers within a tick.
    """
    head = scene.heads[0]
    i = 0
    while i < head["retries"]:
        entry = scene.retries[i]
        if entry["ts_ns"] < 0 or entry["left"] <= 0:
            # Nothing was refused since the last attempt, or it is over.
            head["retries"] -= 1
            scene.retries[i] = scene.retries[head["retries"]]
            continue
        ts_ns = max(entry["ts_ns"], start_ns + 1 + below(scene.g, _EAGER_NS))
        sent = False
        while ts_ns < start_ns + TICK_NS and entry["left"] > 0 and room(scene):
            op = put_op(scene, ts_ns, _OP_NEW, entry["symbol"], entry["account"], new_order_id(scene, RETRY_SLOT))
            op["side"] = entry["side"]
            op["price"] = entry["price"]
            op["qty"] = entry["qty"]
            op["order_type"] = _LIMIT
            op["tif"] = _IOC
            entry["left"] -= 1
            sent = True
            if is_patient(entry["account"]):
                break
            ts_ns += _EAGER_NS
        if sent:
            entry["ts_ns"] = -1
        i += 1


@njit(cache=True, nogil=True)
def _plan(scene: Scene, entry: np.void, now_ns: int) -> None:
    entry["ts_ns"] = now_ns + entry["wait_ns"]
    if is_patient(entry["account"]):
        entry["wait_ns"] *= 2


_OP_NEW: Final = 1
_LIMIT: Final = 0
_IOC: Final = 1
_THROTTLED: Final = int(Reason.THROTTLED)
_BANNED: Final = int(Reason.BANNED)
