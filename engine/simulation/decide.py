"""One tick of the market, compiled: what everybody sees, decides and sends; and what they learn from the events."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit

from engine.book import best
from engine.contract import MICRO, EventFlag, EventKind, OpKind, Reference
from engine.simulation.actions import free_slot, pick_active_member, put_op, room, send_cancel
from engine.simulation.arrivals import carry_over, draw_arrivals, excite
from engine.simulation.config import TICK_NS, TICKS_PER_SECOND
from engine.simulation.generator import below
from engine.simulation.index import activity, advance_index
from engine.simulation.makers import quote
from engine.simulation.retries import forget_retry, remember_refusal, send_retries
from engine.simulation.state import BOT, NO_SLOT, ORDERS, RESTS, RETRY_SLOT, SENT, STOP_SLOT, Scene
from engine.simulation.strategies import act_strategists
from engine.simulation.traders import CROWD, cancel_any, crowding, reduce_stressed, rest, take, transfer_usd

_INDEX_EVERY: Final = 5
"""Ticks from one published index of a market to the next; markets take turns."""

_INDEX_DELAY_NS: Final = 30_000_000
_BALANCE_CHECKS: Final = 0.003
"""Share of the accounts that look at their balance in a second."""

_FAST: Final = 1.0 / (5.0 * TICKS_PER_SECOND)
_SLOW: Final = 1.0 / (60.0 * TICKS_PER_SECOND)

_PRESSURE: Final = 0.35e-4
"""What takers' net volume of one depth moves the basis by, log units."""

_DAY_MS: Final = 86_400_000
_ARRIVALS_A_TICK: Final = 256
_LIMIT_BUY: Final = 2
_CANCEL: Final = 4


@njit(cache=True, nogil=True)
def seed_books(scene: Scene, start_ns: int) -> int:
    """Fills the books as they are on an ordinary day: every maker's ladder, and the crowd. Returns how many ops."""
    head = scene.heads[0]
    head["ops"] = 0
    for k in range(len(scene.markets)):
        market = scene.markets[k]
        market["jump"] = np.inf  # everybody looks
        quote(scene, start_ns, k)
        market["jump"] = 0.0
        if market["busy"] == 0.0:
            continue
        for n in range(int(CROWD * (0.4 + 0.6 * market["activity"]))):
            rest(scene, start_ns, k, n % 2, pick_active_member(scene, k), False)
    for i in range(head["ops"]):
        scene.ops[i]["ts_ns"] = start_ns
    count: int = head["ops"]
    return count


@njit(cache=True, nogil=True)
def look(scene: Scene, start_ns: int, books: np.ndarray, prices: np.ndarray) -> None:
    """Begins the tick at `start_ns`: what everybody sees of it. `books`, `prices`: the venue's."""
    head = scene.heads[0]
    head["ops"] = 0
    if head["tick"] % TICKS_PER_SECOND == 0:
        put_op(scene, start_ns, _OP_CLOCK, -1, 0, 0)
        _look_at_balances(scene, start_ns)
    advance_index(scene.g, head, scene.markets, scene.paths, (start_ns // 1_000_000) % _DAY_MS / 1e3)
    for k in range(len(scene.markets)):
        _see(scene, start_ns, k, books[k], prices[k])


@njit(cache=True, nogil=True)
def decide(scene: Scene, start_ns: int, prices: np.ndarray) -> int:
    """Writes the ops of the tick that `look` began behind those that are there, unsorted, and returns how many there are."""
    head = scene.heads[0]
    times, kinds = np.empty(_ARRIVALS_A_TICK), np.empty(_ARRIVALS_A_TICK, np.int64)
    for k in range(len(scene.markets)):
        quote(scene, start_ns, k)
        market = scene.markets[k]
        if market["busy"] == 0.0:
            continue
        count = draw_arrivals(scene.g, market, activity(head, market), crowding(market), times, kinds)
        for i in range(count):
            _arrive(scene, start_ns + 1 + int(times[i] * 1e9), k, kinds[i])
        reduce_stressed(scene, start_ns, k)
    act_strategists(scene, start_ns, prices)
    send_retries(scene, start_ns)
    _send_pending(scene, start_ns)
    written: int = head["ops"]
    return written


@njit(cache=True, nogil=True)
def observe(scene: Scene, events: np.ndarray) -> None:
    """Follows the own orders through the events, whoever changed or ended them."""
    for i in range(len(events)):
        event = events[i]
        k, kind = event["symbol"], event["kind"]
        if not 0 <= k < len(scene.markets):
            continue
        if kind == _TRADE:
            usd = event["qty"] * scene.markets[k]["usd_per_lot"]
            scene.markets[k]["flow_usd"] += usd if event["side"] == 0 else -usd
            _take_lots(scene, k, event["contra_order_id"], event["qty"])
            if event["flags"] & _AUCTION:
                _take_lots(scene, k, event["order_id"], event["qty"])
            continue
        if event["order_id"] & NO_SLOT == STOP_SLOT and kind in (_DONE, _REJECT, _CANCEL_EVENT):
            _forget_stop(scene, k, event["account"], event["order_id"])
            continue
        if kind == _REJECT:
            remember_refusal(scene, k, event)
        elif kind == _DONE and event["order_id"] & NO_SLOT == RETRY_SLOT:
            forget_retry(scene, k, event["account"])
        slot = _slot_of(scene, k, event["order_id"])
        if slot < 0:
            continue
        if kind == _ADD:
            scene.orders[k, slot]["state"] = RESTS
            scene.orders[k, slot]["qty"] = event["leaves"]
        elif kind == _CANCEL_EVENT:
            _take_lots(scene, k, event["order_id"], event["qty"])
        elif kind == _DONE or (kind == _REJECT and scene.orders[k, slot]["state"] == SENT):
            free_slot(scene, k, slot)


@njit(cache=True, nogil=True)
def _slot_of(scene: Scene, k: int, order_id: int) -> int:
    """The slot of an order that somebody remembers, else -1: one that never rests, or that was given up earlier."""
    slot = order_id & NO_SLOT
    if order_id <= 0 or slot >= ORDERS or scene.orders[k, slot]["order_id"] != order_id:
        return -1
    return slot


@njit(cache=True, nogil=True)
def _forget_stop(scene: Scene, k: int, account: int, order_id: int) -> None:
    if 0 <= account < len(scene.stops) and abs(scene.stops[account, k]) == order_id:
        scene.stops[account, k] = 0


@njit(cache=True, nogil=True)
def _take_lots(scene: Scene, k: int, order_id: int, lots: int) -> None:
    """A resting order lost lots; without any left it is forgotten."""
    slot = _slot_of(scene, k, order_id)
    if slot >= 0:
        scene.orders[k, slot]["qty"] -= lots
        if scene.orders[k, slot]["qty"] <= 0:
            free_slot(scene, k, slot)


@njit(cache=True, nogil=True)
def _arrive(scene: Scene, ts_ns: int, k: int, kind: int) -> None:
    """Somebody comes: a taker, a resting order or a cancel, by the kinds of `arrivals`."""
    if kind < _LIMIT_BUY:
        if take(scene, ts_ns, k, kind):
            carry_over(scene.markets, k, kind)
    elif kind == _CANCEL:
        cancel_any(scene, ts_ns, k)
    else:
        account = pick_active_member(scene, k)
        rest(scene, ts_ns, k, kind - _LIMIT_BUY, account, scene.accounts[account]["kind"] == BOT)


@njit(cache=True, nogil=True)
def _look_at_balances(scene: Scene, start_ns: int) -> None:
    for _ in range(1 + int(_BALANCE_CHECKS * len(scene.accounts))):
        account = below(scene.g, len(scene.accounts))
        usd = transfer_usd(scene, account)
        if usd != 0.0 and room(scene):
            op = put_op(scene, start_ns + 1 + below(scene.g, TICK_NS - 1), _OP_TRANSFER, -1, account, 0)
            op["qty"] = int(usd * MICRO)


@njit(cache=True, nogil=True)
def _see(scene: Scene, start_ns: int, k: int, book: np.void, price: np.void) -> None:
    """What everybody knows of a market at the tick's beginning; and the index, where it is its turn."""
    market = scene.markets[k]
    market["bid"] = best(book, 0)
    market["ask"] = best(book, 1)
    market["usd_per_lot"] = (price["mark"] / MICRO if price["mark"] > 0 else market["home"]) * market["unit_usd"]
    market["basis"] += _PRESSURE * min(3.0, max(-3.0, market["flow_usd"] / market["depth_usd"]))
    market["flow_usd"] = 0.0
    if market["bid"] > 0 and market["ask"] > 0:
        log_mid = math.log(0.5 * (market["bid"] + market["ask"]))
        if market["mid_log"] == 0.0:
            market["trend_fast"] = market["trend_slow"] = log_mid
        market["mid_log"] = log_mid
        market["trend_fast"] += _FAST * (log_mid - market["trend_fast"])
        market["trend_slow"] += _SLOW * (log_mid - market["trend_slow"])
    if market["jump"] != 0.0:
        excite(market, 0 if market["jump"] > 0.0 else 1, abs(market["jump"]) * market["activity"])
    if (scene.heads[0]["tick"] + k) % _INDEX_EVERY == 0 and not market["mute"] and room(scene):
        op = put_op(scene, start_ns + 1 + below(scene.g, _INDEX_DELAY_NS), _OP_REFERENCE, k, 0, 0)
        op["code"] = _INDEX
        op["price"] = int(market["fair"] * math.exp(market["bias"]) * MICRO)


@njit(cache=True, nogil=True)
def _send_pending(scene: Scene, start_ns: int) -> None:
    """Sends the decided cancels of this tick, of orders that have not gone in the meantime."""
    head = scene.heads[0]
    i = 0
    while i < head["pending"]:
        entry = scene.pending[i]
        if entry["ts_ns"] >= start_ns + TICK_NS or not room(scene):
            i += 1
            continue
        k, slot = entry["symbol"], entry["order_id"] & NO_SLOT
        if scene.orders[k, slot]["order_id"] == entry["order_id"]:
            send_cancel(scene, max(start_ns + 1, entry["ts_ns"]), k, slot)
        head["pending"] -= 1
        scene.pending[i] = scene.pending[head["pending"]]


# Plain integers: Numba stores these into arrays without touching the enums.
_OP_CLOCK: Final = int(OpKind.CLOCK)
_OP_TRANSFER: Final = int(OpKind.TRANSFER)
_OP_REFERENCE: Final = int(OpKind.REFERENCE)
_INDEX: Final = int(Reference.INDEX)
_ADD: Final = int(EventKind.ADD)
_CANCEL_EVENT: Final = int(EventKind.CANCEL)
_TRADE: Final = int(EventKind.TRADE)
_DONE: Final = int(EventKind.DONE)
_REJECT: Final = int(EventKind.REJECT)
_AUCTION: Final = int(EventFlag.AUCTION)
