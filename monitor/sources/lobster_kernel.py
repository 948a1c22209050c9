"""LOBSTER messages to events, compiled: the book in view comes from the messages, what was out of view from the book file.

A LOBSTER file of N levels holds the messages that touch the best N levels of a side, and nothing of what happens behind
them. Three rules follow, and the rebuilt book is exactly what the two files prove:

1. *In view* the messages alone move the book. What the book file says of a level that was in view before the message must
   come out of the message; where it does not, the level is set right and the message counted as unexplained.
2. A level that *comes into view* shows orders that no message told of. What the known orders at that price do not account
   for becomes one order with an id of its own (`UNKNOWN_ID` and up), added with the flags SNAPSHOT and UNDATED.
3. A level that *goes out of view* may lose orders unseen. Only the lots that a later message of the file still cancels or
   executes are certain to stay; everything else is taken out, with the flag SNAPSHOT, until the level is seen again.

A message about an order that was never seen to enter takes its lots out of the unknown order at its price, and gives them
its own id. So every cancel and execution of the file is one event with the order's true id, and counts as order flow;
everything flagged SNAPSHOT does not.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from engine.contract import NO_ORDER, EventFlag, EventKind, Reference
from monitor.sources.lobster_state import (
    ADD_MESSAGE,
    DELETE_MESSAGE,
    HALT_MESSAGE,
    PARTIAL_CANCEL_MESSAGE,
    UNKNOWN_ID,
    VISIBLE_EXECUTION_MESSAGE,
    Output,
    State,
    better,
    enter,
    lessen,
    level_number,
    put,
    show,
    view_slot,
)

_ADD: Final = int(EventKind.ADD)
_CANCEL: Final = int(EventKind.CANCEL)
_TRADE: Final = int(EventKind.TRADE)
_REFERENCE: Final = int(EventKind.REFERENCE)
_CLEAR: Final = int(EventKind.CLEAR)
_CLOCK: Final = int(EventKind.CLOCK)
_SNAPSHOT: Final = int(EventFlag.SNAPSHOT)
_OLD: Final = int(EventFlag.SNAPSHOT | EventFlag.UNDATED)
_HIDDEN: Final = int(EventFlag.HIDDEN)
_LAST: Final = int(Reference.LAST)


def room_for_one(state: State) -> int:
    """Events that one more message can take at most."""
    return int(_room(state))


@njit(cache=True, nogil=True)
def seed(state: State, out: Output, first: Any, first_row: np.ndarray) -> None:
    """Clears the book and enters it as it stood before the first message: its first row with that message undone.

    Args:
        out: with room for `room_for_one` events or more.
        first: the first message.
        first_row: int64 [2, N, 2], price in ticks (0: no level) and lots of the book file's first row, bids first.
    """
    out.cursor[0]["at"] = 0
    out.cursor[0]["ts_ns"] = first["ts_ns"]
    put(out, _CLEAR, 0, _SNAPSHOT, (0, 0, 0, 0))
    for side in range(2):
        state.totals[0]["more"][side] = first_row[side, -1, 0] != 0
        for j in range(first_row.shape[1]):
            price, lots = first_row[side, j, 0], first_row[side, j, 1]
            if side == first["side"] and price == first["price"] and first["type"] == ADD_MESSAGE:
                lots -= first["qty"]
            if price > 0 and lots > 0:
                show(state, side, price, lots)
        if side == first["side"] and PARTIAL_CANCEL_MESSAGE <= first["type"] <= VISIBLE_EXECUTION_MESSAGE:
            _give_back(state, side, first["price"], first["qty"])
        for j in range(state.totals[0]["shown"][side]):
            _new_unknown(state, out, side, state.shown[0, side, j], state.shown[0, side, j]["lots"])
    state.totals[0]["events"] = out.cursor[0]["at"]


@njit(cache=True, nogil=True)
def convert(state: State, out: Output, messages: np.ndarray, rows: np.ndarray, start: int) -> int:
    """Writes the events of the messages from number `start` on, as many as surely fit.

    Args:
        out: is overwritten from its first event on; what it counts, it counts at the message's number.
        messages: MESSAGE_DTYPE [n], all of the file.
        rows: int64 [n, 2, N, 2], price in ticks (0: no level) and lots of the book file's rows, bids first.

    Returns:
        The number of the next message, which is `start` where `out` has room for less than `room_for_one` events.
    """
    out.cursor[0]["at"] = 0
    for i in range(start, len(messages)):
        before = out.cursor[0]["at"]
        if before + _room(state) > len(out.events):
            return i
        message = messages[i]
        kind = message["type"]
        out.cursor[0]["ts_ns"] = message["ts_ns"]
        out.cursor[0]["message"] = i
        if kind == ADD_MESSAGE:
            _add(state, out, message)
        elif kind <= VISIBLE_EXECUTION_MESSAGE:
            out.counts[i]["adopted"] = state.orders[message["order"]]["left"] == 0
            _take(state, out, message)
        else:
            _beside_the_book(out, message)
        for side in range(2):
            _follow_view(state, out, side, rows[i, side])
        if kind == ADD_MESSAGE and view_slot(state, message["side"], message["price"]) < 0:
            _forget(state, out, message["level"], 0, False)
        state.totals[0]["events"] += out.cursor[0]["at"] - before
        out.counts[i]["ends"] = state.totals[0]["events"]
    return len(messages)


@njit(cache=True, nogil=True)
def _room(state: State) -> Any:
    # At worst every order in the book is taken out, every unknown order replaced, and the message itself tells five events.
    return 2 * state.totals[0]["live"] + 6 * state.shown.shape[2] + 8


@njit(cache=True, nogil=True)
def _give_back(state: State, side: int, price: int, lots: int) -> None:
    """Puts lots that the first message took back into the view."""
    slot = view_slot(state, side, price)
    if slot >= 0:
        state.shown[0, side, slot]["lots"] += lots
        return
    show(state, side, price, lots)
    j = state.totals[0]["shown"][side] - 1
    while j > 0 and better(side, price, state.shown[0, side, j - 1]["price"]):
        state.shown[1, side, 0] = state.shown[0, side, j - 1]
        state.shown[0, side, j - 1] = state.shown[0, side, j]
        state.shown[0, side, j] = state.shown[1, side, 0]
        j -= 1


@njit(cache=True, nogil=True)
def _cancel_unseen(state: State, out: Output, number: int, lots: int) -> None:
    order = state.orders[number]
    key = state.levels[order["level"]]["key"]
    lessen(state, number, lots)
    put(out, _CANCEL, key & 1, _SNAPSHOT, (order["id"], key >> 1, lots, order["left"]))


@njit(cache=True, nogil=True)
def _new_unknown(state: State, out: Output, side: int, entry: Any, lots: int) -> None:
    entry["lots"] = lots
    entry["id"] = UNKNOWN_ID + state.totals[0]["unknown"]
    state.totals[0]["unknown"] += 1
    put(out, _ADD, side, _OLD, (entry["id"], entry["price"], lots, lots))


@njit(cache=True, nogil=True)
def _take_unknown(out: Output, side: int, entry: Any, lots: int) -> None:
    entry["lots"] -= lots
    put(out, _CANCEL, side, _SNAPSHOT, (entry["id"], entry["price"], lots, entry["lots"]))


@njit(cache=True, nogil=True)
def _add(state: State, out: Output, message: Any) -> None:
    number, qty = message["order"], message["qty"]
    if state.orders[number]["left"] > 0:  # an id twice: the first one must be gone
        _cancel_unseen(state, out, number, state.orders[number]["left"])
    enter(state, number, message["level"], qty)
    put(out, _ADD, message["side"], 0, (message["order_id"], message["price"], qty, qty))


@njit(cache=True, nogil=True)
def _take(state: State, out: Output, message: Any) -> None:
    """A cancel or an execution of a displayed order."""
    number, side, price, qty = message["order"], message["side"], message["price"], message["qty"]
    order = state.orders[number]
    if order["left"] > 0 and order["level"] != message["level"]:  # the id at another price: that one must be gone
        _cancel_unseen(state, out, number, order["left"])
    if order["left"] < order["later"]:
        _adopt(state, out, message)
    if message["type"] == DELETE_MESSAGE and order["left"] > qty:
        _cancel_unseen(state, out, number, order["left"] - qty)
    order["later"] -= qty
    lessen(state, number, qty)
    if message["type"] == VISIBLE_EXECUTION_MESSAGE:
        put(out, _TRADE, 1 - side, 0, (NO_ORDER, price, qty, order["left"]))
        out.events[out.cursor[0]["at"] - 1]["contra_order_id"] = message["order_id"]
    else:
        put(out, _CANCEL, side, 0, (message["order_id"], price, qty, order["left"]))


@njit(cache=True, nogil=True)
def _adopt(state: State, out: Output, message: Any) -> None:
    """Gives the message's order the lots that messages will yet take off it, out of the unknown order at its price."""
    number, side, price = message["order"], message["side"], message["price"]
    left = state.orders[number]["left"]
    found = 0
    slot = view_slot(state, side, price)
    if slot >= 0:
        entry = state.shown[0, side, slot]
        found = min(state.orders[number]["later"] - left, entry["lots"])
        if found > 0:
            _take_unknown(out, side, entry, found)
    # Where the level does not hold what the message takes, the order is believed and the level set right afterwards.
    target = max(left + found, message["qty"])
    if target == left:
        return
    if left > 0:
        _cancel_unseen(state, out, number, left)
    enter(state, number, message["level"], target)
    put(out, _ADD, side, _OLD, (message["order_id"], price, target, target))


@njit(cache=True, nogil=True)
def _beside_the_book(out: Output, message: Any) -> None:
    """A hidden execution, a cross or a halt."""
    if message["type"] == HALT_MESSAGE:
        put(out, _CLOCK, 0, 0, (NO_ORDER, 0, 0, 0))
        out.events[out.cursor[0]["at"] - 1]["symbol"] = -1
        return
    put(out, _TRADE, 1 - message["side"], _HIDDEN, (NO_ORDER, message["price"], message["qty"], 0))
    if message["price_micro"] > 0:
        put(out, _REFERENCE, 0, 0, (NO_ORDER, message["price_micro"], 0, 0))
        out.events[out.cursor[0]["at"] - 1]["code"] = _LAST


@njit(cache=True, nogil=True)
def _forget(state: State, out: Output, level_at: int, keep: int, certain_too: bool) -> None:
    """Takes orders of a level out, until `keep` lots are left: what no later message proves, and the rest if `certain_too`."""
    level = state.levels[level_at]
    number = level["head"]
    while number >= 0 and level["lots"] > keep:
        order = state.orders[number]
        following = order["next"]
        lots = order["left"] if certain_too else max(order["left"] - order["later"], 0)
        lots = min(lots, level["lots"] - keep)
        if lots > 0:
            _cancel_unseen(state, out, number, lots)
        number = following


@njit(cache=True, nogil=True)
def _follow_view(state: State, out: Output, side: int, row: np.ndarray) -> None:
    """Brings the view of one side to the book file's row (int64 [N, 2]), by the three rules."""
    old, new = state.shown[0, side], state.shown[1, side]
    old_count = state.totals[0]["shown"][side]
    depth = row.shape[0]
    count = 0
    while count < depth and row[count, 0] != 0:
        count += 1
    a = 0
    for b in range(count):
        price = row[b, 0]
        while a < old_count and better(side, old[a]["price"], price):
            _leave(state, out, side, old[a], True)
            a += 1
        if a < old_count and old[a]["price"] == price:
            new[b] = old[a]
            was_seen = True
            a += 1
        else:
            new[b]["price"] = price
            new[b]["level"] = level_number(state, side, price)
            new[b]["lots"] = 0
            # Behind the view of a full row nothing is known; behind that of a row with room there was nothing.
            behind = old_count == 0 or better(side, old[old_count - 1]["price"], price)
            was_seen = not (behind and state.totals[0]["more"][side])
        _settle(state, out, side, new[b], row[b, 1], was_seen)
    while a < old_count:
        _leave(state, out, side, old[a], count < depth)
        a += 1
    old[:count] = new[:count]
    state.totals[0]["shown"][side] = count
    state.totals[0]["more"][side] = count == depth


@njit(cache=True, nogil=True)
def _settle(state: State, out: Output, side: int, entry: Any, lots: int, was_seen: bool) -> None:
    """A level is in view with `lots`; `was_seen`: it was before, so the message must have made it so."""
    level = entry["level"]
    missing = lots - entry["lots"] - (state.levels[level]["lots"] if level >= 0 else 0)
    if missing == 0:
        return
    if was_seen or missing < 0:
        out.counts[out.cursor[0]["message"]]["unexplained"] += 1
    else:
        out.counts[out.cursor[0]["message"]]["entered"] += 1
    if missing > 0:
        unknown = entry["lots"] + missing
        if entry["lots"] > 0:
            _take_unknown(out, side, entry, entry["lots"])
        _new_unknown(state, out, side, entry, unknown)
        return
    if entry["lots"] > 0:
        _take_unknown(out, side, entry, min(-missing, entry["lots"]))
    if level >= 0:
        _forget(state, out, level, lots - entry["lots"], False)
        _forget(state, out, level, lots - entry["lots"], True)


@njit(cache=True, nogil=True)
def _leave(state: State, out: Output, side: int, entry: Any, was_seen: bool) -> None:
    """A level is in view no longer; `was_seen`: it would still be if it held anything, so the message must have emptied it."""
    level = entry["level"]
    known = state.levels[level]["lots"] if level >= 0 else 0
    if was_seen and entry["lots"] + known > 0:
        out.counts[out.cursor[0]["message"]]["unexplained"] += 1
    if entry["lots"] > 0:
        _take_unknown(out, side, entry, entry["lots"])
    if known > 0:
        _forget(state, out, level, 0, was_seen)
