"""Orders that wait: the tables of triggers, trailing stops and expiries of one symbol.

The life of a conditional order, all of it:

                  entry trades              reference reaches trigger
    NEW ──▶ DORMANT ─────▶ WAITING ────────────────────────────────────▶ fires ──▶ an order like any other
      └──────────────────────▲                                            (engine.matching)
    a pair's other order trades, fires or ends, the owner cancels, time is over ──▶ ends

`arm` puts an order into its table (WAITING), `disarm` takes it out, `next_reached` says which one fires next: the whole of
triggering is these three. `engine.matching` calls `next_reached` after every op until it says none, and lets that order enter
the book.

A table is sorted by key, the first to fire last: orders that fire on "reference ≥ trigger" have the key -trigger, those on
"≤" the trigger, a timed order minus its expiry. Among equal keys the oldest is last. Trailing stops, whose triggers move, are
listed in order of their arrival.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.contract import MICRO, OrderType, Reference, Side
from engine.kernel import constant, inner, wide
from engine.market import WAITING, is_conditional

NONE_REACHED: Final = 0

_BPS: Final = constant(10_000)
_BUY: Final = constant(Side.BUY)
_INDEX: Final = constant(Reference.INDEX)
_MARK: Final = constant(Reference.MARK)
_STOP_LIMIT: Final = constant(OrderType.STOP_LIMIT)
_STOP_MARKET: Final = constant(OrderType.STOP_MARKET)
_TRAILING_STOP: Final = constant(OrderType.TRAILING_STOP)


@inner
def floor_ticks(desk: np.void, reference: int) -> int:
    """A reference in the whole ticks below it; 0 while it is not known."""
    ticks: int = desk["last"]
    if reference == _INDEX:
        ticks = desk["index"] // MICRO
    elif reference == _MARK:
        ticks = desk["mark"] // MICRO
    return ticks


@inner
def ceil_ticks(desk: np.void, reference: int) -> int:
    """A reference in the whole ticks above it; 0 while it is not known."""
    ticks: int = desk["last"]
    if reference == _INDEX:
        ticks = -(-desk["index"] // MICRO)
    elif reference == _MARK:
        ticks = -(-desk["mark"] // MICRO)
    return ticks


@inner
def is_reached(desk: np.void, reference: int, upwards: bool, trigger: int) -> bool:
    """Whether the reference is at or above the trigger (`upwards`), or at or below it. An unknown one reaches nothing."""
    ceiling = ceil_ticks(desk, reference)
    if ceiling == 0:
        return False
    return floor_ticks(desk, reference) >= trigger if upwards else ceiling <= trigger


@inner
def fires_upwards(order_type: int, side: int) -> bool:
    """Whether an order of this type and side fires on "reference ≥ trigger": stops of buyers, profits of sellers."""
    is_stop = order_type in (_STOP_LIMIT, _STOP_MARKET, _TRAILING_STOP)
    return is_stop == (side == _BUY)


@inner
def arm(desk: np.void, order: np.void, slot: np.uint64) -> None:
    """Lets an order wait for its trigger, as the youngest. Its record in `extras` is complete; the tables have room."""
    extra = desk["extras"][slot]
    order["state"] = WAITING
    extra["extreme"] = 0
    extra["active"] = 0
    desk["arrivals"] += 1
    extra["arrival"] = desk["arrivals"]
    desk["waiting"] += 1
    desk["moved"] = 1
    if extra["order_type"] == _TRAILING_STOP:
        table = desk["trailing"][extra["reference"] - 1]
        table["slots"][table["count"]] = slot
        table["count"] += 1
    else:
        upwards = fires_upwards(extra["order_type"], order["side"])
        _put(_trigger_table(desk, extra["reference"], upwards), -extra["trigger"] if upwards else extra["trigger"], slot)


@inner
def disarm(desk: np.void, order: np.void, slot: np.uint64) -> None:
    """Takes a waiting order out of its table."""
    extra = desk["extras"][slot]
    desk["waiting"] -= 1
    if extra["order_type"] == _TRAILING_STOP:
        _take_at(desk["trailing"][extra["reference"] - 1], 0, slot)
    else:
        upwards = fires_upwards(extra["order_type"], order["side"])
        _take(_trigger_table(desk, extra["reference"], upwards), -extra["trigger"] if upwards else extra["trigger"], slot)


@inner
def next_reached(book: np.void, desk: np.void) -> np.uint64:
    """Lets trailing stops follow, then gives the slot of the order that fires next, or 0.

    Index before mark before last; of each, those on "≥", lowest trigger first, those on "≤", highest first, then trailing
    stops, oldest first.
    """
    for reference in range(_INDEX, _INDEX + 3):
        _follow(book, desk, reference)
    for reference in range(_INDEX, _INDEX + 3):
        ceiling = ceil_ticks(desk, reference)
        if ceiling == 0:
            continue
        rising = _trigger_table(desk, reference, True)
        if rising["count"] and -rising["keys"][rising["count"] - 1] <= floor_ticks(desk, reference):
            return np.uint64(rising["slots"][rising["count"] - 1])
        falling = _trigger_table(desk, reference, False)
        if falling["count"] and falling["keys"][falling["count"] - 1] >= ceiling:
            return np.uint64(falling["slots"][falling["count"] - 1])
        trailing = desk["trailing"][reference - 1]
        for i in range(trailing["count"]):
            slot = np.uint64(trailing["slots"][i])
            if desk["extras"][slot]["active"]:
                side = book["orders"][slot]["side"]
                stop = trailing_stop(desk, book["orders"][slot], desk["extras"][slot])
                if is_reached(desk, reference, side == _BUY, stop):
                    return slot
    return np.uint64(NONE_REACHED)


@inner
def trailing_stop(desk: np.void, order: np.void, extra: np.void) -> int:
    """Where an active trailing stop is now, ticks. Below 1 it is never reached."""
    extreme = extra["extreme"]
    distance = order["price"]
    if desk["rules"]["trailing_in_bps"]:
        # extreme * distance may not fit into 64 bits.
        distance = max(1, extreme // _BPS * distance + extreme % _BPS * distance // _BPS)
    stop: int = extreme + distance if order["side"] == _BUY else extreme - distance
    return stop


@inner
def _follow(book: np.void, desk: np.void, reference: int) -> None:
    floor, ceiling = floor_ticks(desk, reference), ceil_ticks(desk, reference)
    table = desk["trailing"][reference - 1]
    if ceiling == 0:
        return
    for i in range(table["count"]):
        slot = table["slots"][i]
        extra = desk["extras"][slot]
        buys = book["orders"][slot]["side"] == _BUY
        if not extra["active"]:
            if extra["trigger"] and not is_reached(desk, reference, not buys, extra["trigger"]):
                continue
            extra["active"] = 1
            extra["extreme"] = ceiling if buys else floor
        elif buys:
            extra["extreme"] = min(extra["extreme"], ceiling)
        else:
            extra["extreme"] = max(extra["extreme"], floor)


@inner
def start_timer(desk: np.void, slot: np.uint64) -> None:
    """Lets a timed order expire. Its `expire_s` is set; the table has room."""
    _put(desk["timers"], -wide(desk["extras"][slot]["expire_s"]), slot)


@inner
def stop_timer(desk: np.void, slot: np.uint64) -> None:
    """Takes a timed order's expiry back."""
    _take(desk["timers"], -wide(desk["extras"][slot]["expire_s"]), slot)


@inner
def next_expired(desk: np.void, now_ns: int) -> np.uint64:
    """The slot of the timed order whose time was over first, or 0."""
    table = desk["timers"]
    if table["count"] == 0 or -table["keys"][table["count"] - 1] > now_ns // 1_000_000_000:
        return np.uint64(0)
    return np.uint64(table["slots"][table["count"] - 1])


@inner
def counts_as_held(order_type: int, expire_s: int) -> bool:
    """Whether an order takes one of the capacity's places for conditional and timed orders."""
    return is_conditional(order_type) or expire_s != 0


@inner
def has_room(desk: np.void) -> bool:
    """Whether another conditional or timed order may come."""
    room: bool = desk["held"] < desk["timers"]["keys"].shape[0]
    return room


@inner
def _trigger_table(desk: np.void, reference: int, upwards: bool) -> np.void:
    table: np.void = desk["triggers"][2 * (reference - 1) + (0 if upwards else 1)]
    return table


@inner
def _position(table: np.void, key: int) -> int:
    """How many entries have a smaller key."""
    low, high = 0, table["count"]
    while low < high:
        middle = (low + high) // 2
        if table["keys"][middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@inner
def _put(table: np.void, key: int, slot: np.uint64) -> None:
    """Behind all others of its key, which is before them in the table."""
    at = _position(table, key)
    keys, slots = table["keys"], table["slots"]
    for i in range(table["count"], at, -1):
        keys[i] = keys[i - 1]
        slots[i] = slots[i - 1]
    keys[at] = key
    slots[at] = slot
    table["count"] += 1


@inner
def _take(table: np.void, key: int, slot: np.uint64) -> None:
    _take_at(table, _position(table, key), slot)


@inner
def _take_at(table: np.void, at: int, slot: np.uint64) -> None:
    """Removes `slot`, which is at `at` or later."""
    keys, slots, count = table["keys"], table["slots"], table["count"] - 1
    while slots[at] != slot:
        at += 1
    for i in range(at, count):
        keys[i] = keys[i + 1]
        slots[i] = slots[i + 1]
    table["count"] = count
