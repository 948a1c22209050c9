"""What agents share: sending orders and cancels, remembering them in slots, choosing an account, looking at wallets."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from engine.contract import OpFlag, OpKind, OrderType, TimeInForce
from engine.simulation.generator import below, uniform
from engine.simulation.state import EMPTY, NO_SLOT, POOL, QUOTES, SENT, SLOT_BITS, STOP_SLOT, Scene


@njit(cache=True, nogil=True)
def new_order_id(scene: Scene, slot: int) -> int:
    """The next id, which carries `slot` in its low bits."""
    head = scene.heads[0]
    head["orders_sent"] += 1
    order_id: int = (head["orders_sent"] << SLOT_BITS) | slot
    return order_id


@njit(cache=True, nogil=True)
def take_slot(scene: Scene, k: int) -> int:
    """A free slot of market k's pool, or -1."""
    market = scene.markets[k]
    place = market["resting"]
    if place == POOL:
        return -1
    slot: int = scene.pools[k, place]
    scene.orders[k, slot]["place"] = place
    market["resting"] += 1
    return slot


@njit(cache=True, nogil=True)
def free_slot(scene: Scene, k: int, slot: int) -> None:
    """Gives a slot back; one of a quote just becomes empty."""
    orders, pool = scene.orders[k], scene.pools[k]
    orders[slot]["state"] = EMPTY
    orders[slot]["order_id"] = 0
    if slot >= QUOTES:
        market = scene.markets[k]
        market["resting"] -= 1
        place, last = orders[slot]["place"], pool[market["resting"]]
        pool[place] = last
        orders[last]["place"] = place
        pool[market["resting"]] = slot


@njit(cache=True, nogil=True)
def room(scene: Scene) -> bool:
    """Whether a few more ops fit. Agents that find none stay silent for the tick, as if throttled."""
    fits: bool = scene.heads[0]["ops"] + 8 < len(scene.ops)
    return fits


@njit(cache=True, nogil=True)
def put_op(scene: Scene, ts_ns: int, kind: int, k: int, account: int, order_id: int) -> np.void:
    """A fresh op with all other fields zero. The caller has checked that there is `room`."""
    head = scene.heads[0]
    op: np.void = scene.ops[head["ops"]]
    head["ops"] += 1
    op["ts_ns"] = ts_ns
    op["order_id"] = order_id
    op["account"] = account
    op["price"] = 0
    op["qty"] = 0
    op["trigger"] = 0
    op["display"] = 0
    op["link"] = 0
    op["symbol"] = k
    op["expire_s"] = 0
    op["kind"] = kind
    op["side"] = 0
    op["order_type"] = 0
    op["tif"] = 0
    op["stp"] = 0
    op["code"] = 0
    op["flags"] = 0
    return op


@njit(cache=True, nogil=True)
def send_resting(scene: Scene, ts_ns: int, k: int, slot: int, account: int, side: int, price: int, qty: int) -> int:
    """A post-only order, remembered in `slot`. Returns its id."""
    order_id: int = new_order_id(scene, slot)
    op = put_op(scene, ts_ns, _NEW, k, account, order_id)
    op["side"] = side
    op["price"] = price
    op["qty"] = qty
    op["flags"] = _POST_ONLY
    order = scene.orders[k, slot]
    order["order_id"] = order_id
    order["account"] = account
    order["price"] = price
    order["qty"] = qty
    order["side"] = side
    order["state"] = SENT
    return order_id


@njit(cache=True, nogil=True)
def send_taker(scene: Scene, ts_ns: int, k: int, account: int, side: int, limit: int, qty: int, flags: int) -> None:
    """An order that never rests: IOC at `limit`, or a market order where that is 0. `flags`: REDUCE_ONLY, or 0."""
    op = put_op(scene, ts_ns, _NEW, k, account, new_order_id(scene, NO_SLOT))
    op["side"] = side
    op["price"] = limit
    op["qty"] = qty
    op["order_type"] = _LIMIT if limit > 0 else _MARKET
    op["tif"] = _IOC
    op["flags"] = flags


@njit(cache=True, nogil=True)
def send_stop(scene: Scene, ts_ns: int, k: int, account: int, side: int, trigger: int) -> None:
    """A stop that closes the account's position at the market once the mark reaches `trigger`, instead of the one it has."""
    old = scene.stops[account, k]
    if old != 0:
        put_op(scene, ts_ns, _CANCEL, k, account, abs(old))
    op = put_op(scene, ts_ns + 1, _NEW, k, account, new_order_id(scene, STOP_SLOT))
    op["side"] = side
    op["trigger"] = trigger
    op["order_type"] = _STOP
    op["tif"] = _IOC
    op["flags"] = _CLOSE_POSITION
    scene.stops[account, k] = op["order_id"] if side == 1 else -op["order_id"]


@njit(cache=True, nogil=True)
def send_cancel(scene: Scene, ts_ns: int, k: int, slot: int) -> None:
    """Cancels the order in `slot` and forgets it."""
    order = scene.orders[k, slot]
    put_op(scene, ts_ns, _CANCEL, k, order["account"], order["order_id"])
    free_slot(scene, k, slot)


@njit(cache=True, nogil=True)
def cancel_later(scene: Scene, ts_ns: int, k: int, order_id: int) -> None:
    """Decides now on a cancel at `ts_ns`. With no room for it the order stays until somebody cancels it by chance."""
    head = scene.heads[0]
    if head["pending"] < len(scene.pending):
        entry = scene.pending[head["pending"]]
        head["pending"] += 1
        entry["ts_ns"] = ts_ns
        entry["order_id"] = order_id
        entry["symbol"] = k


@njit(cache=True, nogil=True)
def pick_active_member(scene: Scene, k: int) -> int:
    """A member of market k; those who trade more are likelier."""
    low, high = scene.starts[k], scene.starts[k + 1] - 1
    target = uniform(scene.g) * scene.weights[high]
    while low < high:
        middle = (low + high) // 2
        if scene.weights[middle] > target:
            high = middle
        else:
            low = middle + 1
    account: int = scene.members[low]
    return account


@njit(cache=True, nogil=True)
def pick_any_member(scene: Scene, k: int) -> int:
    """A member of market k, all equally likely."""
    account: int = scene.members[scene.starts[k] + below(scene.g, scene.starts[k + 1] - scene.starts[k])]
    return account


@njit(cache=True, nogil=True)
def equity_usd(scene: Scene, account: int) -> float:
    """Wallet with unrealised profit at the marks, USD."""
    total: float = scene.cash[account] * 1e-6
    for k in range(len(scene.markets)):
        total += scene.positions[account, k] * scene.markets[k]["usd_per_lot"]
    return total


@njit(cache=True, nogil=True)
def notional_usd(scene: Scene, account: int) -> float:
    """Absolute value of all positions at the marks, USD."""
    total: float = 0.0
    for k in range(len(scene.markets)):
        total += abs(scene.positions[account, k]) * scene.markets[k]["usd_per_lot"]
    return total


# Plain integers: Numba stores these into arrays without touching the enums.
_NEW: Final = int(OpKind.NEW)
_CANCEL: Final = int(OpKind.CANCEL)
_LIMIT: Final = int(OrderType.LIMIT)
_MARKET: Final = int(OrderType.MARKET)
_IOC: Final = int(TimeInForce.IOC)
_STOP: Final = int(OrderType.STOP_MARKET)
_POST_ONLY: Final = int(OpFlag.POST_ONLY)
_CLOSE_POSITION: Final = int(OpFlag.CLOSE_POSITION)
