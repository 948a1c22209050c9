"""LOBSTER messages to events, compiled: the book in view comes from the messages, what was out of view from the book file.

A LOBSTER file of N levels holds the messages that touch the best N levels of a side, and nothing of what happens behind
them. Three rules follow, and the rebuilt book is exactly what the two files prove:

1. *In view* the messages alone move the book. What the book file says of a level that was in view before the message must
   come out of the message; where it does not, the level is set right and the message counted as unexplained.
2. A level that *comes into view* shows orders that no message told of. What the known orders at that price do not account
   for becomes one order with an id of its own (`UNKNOWN_ID` and up), added with the flag SNAPSHOT.
3. A level that *goes out of view* may lose orders unseen. Only the lots that a later message of the file still cancels or
   executes are certain to stay; everything else is taken out, with the flag SNAPSHOT, until the level is seen again.

A message about an order that was never seen to enter takes its lots out of the unknown order at its price, and gives them
its own id. So every cancel and execution of the file is one event with the order's true id, and counts as order flow;
everything flagged SNAPSHOT does not.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from engine.contract import NO_ACCOUNT, EventFlag, EventKind, Reference

UNKNOWN_ID: Final = 2**62
"""Ids from here on are lots that were in the book before anything was known of them. The exchange's own are far smaller."""

ADD_MESSAGE: Final = 1
PARTIAL_CANCEL_MESSAGE: Final = 2
DELETE_MESSAGE: Final = 3
VISIBLE_EXECUTION_MESSAGE: Final = 4
HIDDEN_EXECUTION_MESSAGE: Final = 5
CROSS_MESSAGE: Final = 6
HALT_MESSAGE: Final = 7

MESSAGE_DTYPE: Final = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("order_id", "<i8"),
        ("price", "<i8"),  # ticks, rounded where the trade was hidden and between two ticks
        ("price_micro", "<i8"),  # the exact price in micro-ticks, 0 where `price` is exact
        ("qty", "<i8"),
        ("order", "<i8"),  # dense number of the order id, -1 without one
        ("level", "<i8"),  # dense number of side and price, -1 without a level
        ("type", "u1"),
        ("side", "u1"),  # of the resting order
    ]
)
"""One row of the message file. Dense numbers stand for ids and prices, so that the kernel needs no hashing."""


class Counts(NamedTuple):
    """What each message came to: int64 arrays of shape [messages]."""

    ends: np.ndarray
    """Events emitted up to and with this message, counted from the file's first event."""
    entered: np.ndarray
    """Levels that came into view with lots no message told of."""
    unexplained: np.ndarray
    """Levels in view that the message does not explain; they were set to what the book file says."""
    adopted: np.ndarray
    """1 where the message is about an order that was never seen to enter."""


class State(NamedTuple):
    """Everything between two messages. Level numbers index `levels`; K orders, L levels, N levels in view."""

    left: np.ndarray
    """[K] lots of each order that are in the book."""
    later: np.ndarray
    """[K] lots that the messages still to come take off each order."""
    at: np.ndarray
    """[K] level of each order in the book."""
    links: np.ndarray
    """[K, 2] next and previous order of the level, -1 at the ends."""
    ids: np.ndarray
    """[K] order ids."""
    levels: np.ndarray
    """[L] side and price as 2 · price + side, rising."""
    heads: np.ndarray
    """[L] first order of each level, -1: none."""
    lots: np.ndarray
    """[L] lots of the known orders of each level."""
    view: np.ndarray
    """[2, N + 1, 4] the levels in view, best first: price, level number or -1, unknown lots, id of the unknown order."""
    spare: np.ndarray
    """The same shape, for building the next view."""
    scalars: np.ndarray
    """[8] levels in view a side (0, 1), events so far (2), orders in the book (3), the most there were (4), unknown ids used
    (5), whether there may be levels behind the view a side (6, 7)."""


PEAK_ORDERS: Final = 4
_EVENTS, _LIVE, _PEAK, _UNKNOWN, _MORE = 2, 3, PEAK_ORDERS, 5, 6
_PRICE, _LEVEL, _LOTS, _ID = 0, 1, 2, 3

_ADD: Final = int(EventKind.ADD)
_CANCEL: Final = int(EventKind.CANCEL)
_TRADE: Final = int(EventKind.TRADE)
_REFERENCE: Final = int(EventKind.REFERENCE)
_CLEAR: Final = int(EventKind.CLEAR)
_CLOCK: Final = int(EventKind.CLOCK)
_SNAPSHOT: Final = int(EventFlag.SNAPSHOT)
_HIDDEN: Final = int(EventFlag.HIDDEN)
_LAST: Final = int(Reference.LAST)


def new_state(messages: np.ndarray, ids: np.ndarray, levels: np.ndarray, depth: int) -> State:
    """The state before the first message.

    Args:
        messages: MESSAGE_DTYPE [n], all of the file.
        ids: int64 [K], the order ids by dense number.
        levels: int64 [L], 2 · price + side by dense number, rising.
        depth: N, the levels a side in the book file.
    """
    takes = (messages["type"] >= PARTIAL_CANCEL_MESSAGE) & (messages["type"] <= VISIBLE_EXECUTION_MESSAGE)
    later = np.zeros(len(ids), np.int64)
    np.add.at(later, messages["order"][takes], messages["qty"][takes])
    return State(
        left=np.zeros(len(ids), np.int64),
        later=later,
        at=np.full(len(ids), -1, np.int64),
        links=np.full((len(ids), 2), -1, np.int64),
        ids=np.ascontiguousarray(ids),
        levels=np.ascontiguousarray(levels),
        heads=np.full(len(levels), -1, np.int64),
        lots=np.zeros(len(levels), np.int64),
        view=np.zeros((2, depth + 1, 4), np.int64),
        spare=np.zeros((2, depth + 1, 4), np.int64),
        scalars=np.zeros(8, np.int64),
    )


def room_for_one(state: State) -> int:
    """Events that one more message can take at most."""
    return int(_room(state))


@njit(cache=True, nogil=True)
def seed(state, symbol, ts_ns, first, first_book, events):  # type: ignore[no-untyped-def]
    """Clears the book and enters it as it stood before the first message: its first row with that message undone.

    Args:
        first: the first message.
        first_book: int64 [2, N, 2], price in ticks (0: no level) and lots of the book file's first row, bids first.
        events: EVENT_DTYPE to write into, of `room_for_one` rows or more.

    Returns:
        How many events were written.
    """
    at = _put(events, 0, ts_ns, symbol, _CLEAR, 0, _SNAPSHOT, 0, 0, 0)
    for side in range(2):
        state.scalars[_MORE + side] = first_book[side, -1, 0] != 0
        for j in range(first_book.shape[1]):
            price, lots = first_book[side, j, 0], first_book[side, j, 1]
            if price == 0:
                break
            if side == first["side"] and price == first["price"] and first["type"] == ADD_MESSAGE:
                lots -= first["qty"]
            if lots > 0:
                _append(state.view, state.scalars, side, price, _level_number(state, side, price), lots)
        takes = PARTIAL_CANCEL_MESSAGE <= first["type"] <= VISIBLE_EXECUTION_MESSAGE
        if side == first["side"] and takes:
            _restore(state, side, first["price"], first["level"], first["qty"])
        for j in range(state.scalars[side]):
            at = _new_unknown(state, side, state.view[side, j], state.view[side, j, _LOTS], events, at, ts_ns, symbol)
    state.scalars[_EVENTS] = at
    return at


@njit(cache=True, nogil=True)
def convert(state, symbol, messages, books, start, events, counts):  # type: ignore[no-untyped-def]
    """Writes the events of the messages from number `start` on, as many as surely fit.

    Args:
        messages: MESSAGE_DTYPE [n], all of the file.
        books: int64 [n, 2, N, 2], price in ticks (0: no level) and lots of the book file's rows, bids first.
        events: EVENT_DTYPE to write into.
        counts: `Counts` to fill.

    Returns:
        (number of the next message, events written). The number is `start` where `events` has less than `room_for_one` rows.
    """
    at = 0
    for i in range(start, len(messages)):
        if at + _room(state) > len(events):
            return i, at
        message = messages[i]
        before = at
        kind = message["type"]
        if kind == ADD_MESSAGE:
            at = _add(state, message, events, at, symbol)
        elif kind <= VISIBLE_EXECUTION_MESSAGE:
            counts.adopted[i] = state.left[message["order"]] == 0
            at = _take(state, message, events, at, symbol)
        else:
            at = _beside_the_book(message, events, at, symbol)
        ts_ns = message["ts_ns"]
        for side in range(2):
            at = _follow_view(state, side, books[i, side], events, at, ts_ns, symbol, counts, i)
        level = message["level"]
        if kind == ADD_MESSAGE and _view_slot(state, message["side"], message["price"]) < 0:
            at = _forget(state, level, 0, False, events, at, ts_ns, symbol)
        state.scalars[_EVENTS] += at - before
        counts.ends[i] = state.scalars[_EVENTS]
    return len(messages), at


@njit(cache=True, nogil=True)
def _room(state):  # type: ignore[no-untyped-def]
    # At worst every order in the book is taken out, every unknown order replaced, and the message itself tells five events.
    return 2 * state.scalars[_LIVE] + 6 * state.view.shape[1] + 8


@njit(cache=True, nogil=True)
def _put(events, at, ts_ns, symbol, kind, side, flags, order_id, price, qty):  # type: ignore[no-untyped-def]
    event = events[at]
    event["ts_ns"] = ts_ns
    event["seq"] = 0
    event["order_id"] = order_id
    event["contra_order_id"] = 0
    event["account"] = NO_ACCOUNT
    event["contra_account"] = NO_ACCOUNT
    event["price"] = price
    event["qty"] = qty
    event["leaves"] = 0
    event["symbol"] = symbol
    event["kind"] = kind
    event["side"] = side
    event["flags"] = flags
    event["code"] = 0
    return at + 1


@njit(cache=True, nogil=True)
def _level_number(state, side, price):  # type: ignore[no-untyped-def]
    key = 2 * price + side
    number = np.searchsorted(state.levels, key)
    return number if number < len(state.levels) and state.levels[number] == key else -1


@njit(cache=True, nogil=True)
def _append(view, scalars, side, price, level, lots):  # type: ignore[no-untyped-def]
    entry = view[side, scalars[side]]
    entry[_PRICE] = price
    entry[_LEVEL] = level
    entry[_LOTS] = lots
    entry[_ID] = 0
    scalars[side] += 1


@njit(cache=True, nogil=True)
def _restore(state, side, price, level, lots):  # type: ignore[no-untyped-def]
    """Puts lots that the first message took back into the view."""
    slot = _view_slot(state, side, price)
    if slot >= 0:
        state.view[side, slot, _LOTS] += lots
        return
    _append(state.view, state.scalars, side, price, level, lots)
    j = state.scalars[side] - 1
    while j > 0 and _better(side, state.view[side, j, _PRICE], state.view[side, j - 1, _PRICE]):
        for field in range(4):
            state.view[side, j, field], state.view[side, j - 1, field] = (
                state.view[side, j - 1, field],
                state.view[side, j, field],
            )
        j -= 1


@njit(cache=True, nogil=True)
def _better(side, price, other):  # type: ignore[no-untyped-def]
    return price > other if side == 0 else price < other


@njit(cache=True, nogil=True)
def _view_slot(state, side, price):  # type: ignore[no-untyped-def]
    for j in range(state.scalars[side]):
        if state.view[side, j, _PRICE] == price:
            return j
    return -1


@njit(cache=True, nogil=True)
def _enter(state, order, level, lots):  # type: ignore[no-untyped-def]
    state.left[order] = lots
    state.at[order] = level
    state.lots[level] += lots
    head = state.heads[level]
    state.links[order, 0] = head
    state.links[order, 1] = -1
    if head >= 0:
        state.links[head, 1] = order
    state.heads[level] = order
    state.scalars[_LIVE] += 1
    state.scalars[_PEAK] = max(state.scalars[_PEAK], state.scalars[_LIVE])


@njit(cache=True, nogil=True)
def _lessen(state, order, lots):  # type: ignore[no-untyped-def]
    level = state.at[order]
    state.left[order] -= lots
    state.lots[level] -= lots
    if state.left[order] > 0:
        return
    after, before = state.links[order, 0], state.links[order, 1]
    if before >= 0:
        state.links[before, 0] = after
    else:
        state.heads[level] = after
    if after >= 0:
        state.links[after, 1] = before
    state.scalars[_LIVE] -= 1


@njit(cache=True, nogil=True)
def _cancel_unseen(state, order, lots, events, at, ts_ns, symbol):  # type: ignore[no-untyped-def]
    key = state.levels[state.at[order]]
    at = _put(events, at, ts_ns, symbol, _CANCEL, key & 1, _SNAPSHOT, state.ids[order], key >> 1, lots)
    events[at - 1]["leaves"] = state.left[order] - lots
    _lessen(state, order, lots)
    return at


@njit(cache=True, nogil=True)
def _new_unknown(state, side, entry, lots, events, at, ts_ns, symbol):  # type: ignore[no-untyped-def]
    entry[_LOTS] = lots
    entry[_ID] = UNKNOWN_ID + state.scalars[_UNKNOWN]
    state.scalars[_UNKNOWN] += 1
    return _put(events, at, ts_ns, symbol, _ADD, side, _SNAPSHOT, entry[_ID], entry[_PRICE], lots)


@njit(cache=True, nogil=True)
def _take_unknown(side, entry, lots, events, at, ts_ns, symbol):  # type: ignore[no-untyped-def]
    entry[_LOTS] -= lots
    at = _put(events, at, ts_ns, symbol, _CANCEL, side, _SNAPSHOT, entry[_ID], entry[_PRICE], lots)
    events[at - 1]["leaves"] = entry[_LOTS]
    return at


@njit(cache=True, nogil=True)
def _add(state, message, events, at, symbol):  # type: ignore[no-untyped-def]
    order = message["order"]
    if state.left[order] > 0:  # an id twice: the first one must be gone
        at = _cancel_unseen(state, order, state.left[order], events, at, message["ts_ns"], symbol)
    _enter(state, order, message["level"], message["qty"])
    return _put(
        events, at, message["ts_ns"], symbol, _ADD, message["side"], 0, message["order_id"], message["price"], message["qty"]
    )


@njit(cache=True, nogil=True)
def _take(state, message, events, at, symbol):  # type: ignore[no-untyped-def]
    """A cancel or an execution of a displayed order."""
    ts_ns, order, side, price, qty = message["ts_ns"], message["order"], message["side"], message["price"], message["qty"]
    if state.left[order] > 0 and state.at[order] != message["level"]:  # the id at another price: that one must be gone
        at = _cancel_unseen(state, order, state.left[order], events, at, ts_ns, symbol)
    if state.left[order] < state.later[order]:
        at = _adopt(state, message, events, at, symbol)
    if message["type"] == DELETE_MESSAGE and state.left[order] > qty:
        at = _cancel_unseen(state, order, state.left[order] - qty, events, at, ts_ns, symbol)
    state.later[order] -= qty
    _lessen(state, order, qty)
    if message["type"] == VISIBLE_EXECUTION_MESSAGE:
        at = _put(events, at, ts_ns, symbol, _TRADE, 1 - side, 0, 0, price, qty)
        events[at - 1]["contra_order_id"] = message["order_id"]
    else:
        at = _put(events, at, ts_ns, symbol, _CANCEL, side, 0, message["order_id"], price, qty)
    events[at - 1]["leaves"] = state.left[order]
    return at


@njit(cache=True, nogil=True)
def _adopt(state, message, events, at, symbol):  # type: ignore[no-untyped-def]
    """Gives the message's order the lots that messages will yet take off it, out of the unknown order at its price."""
    ts_ns, order, side, price = message["ts_ns"], message["order"], message["side"], message["price"]
    left = state.left[order]
    found = 0
    slot = _view_slot(state, side, price)
    if slot >= 0:
        entry = state.view[side, slot]
        found = min(state.later[order] - left, entry[_LOTS])
        if found > 0:
            at = _take_unknown(side, entry, found, events, at, ts_ns, symbol)
    # Where the level does not hold what the message takes, the order is believed and the level set right afterwards.
    target = max(left + found, message["qty"])
    if target == left:
        return at
    if left > 0:
        at = _cancel_unseen(state, order, left, events, at, ts_ns, symbol)
    _enter(state, order, message["level"], target)
    return _put(events, at, ts_ns, symbol, _ADD, side, _SNAPSHOT, message["order_id"], price, target)


@njit(cache=True, nogil=True)
def _beside_the_book(message, events, at, symbol):  # type: ignore[no-untyped-def]
    """A hidden execution, a cross or a halt."""
    ts_ns = message["ts_ns"]
    if message["type"] == HALT_MESSAGE:
        return _put(events, at, ts_ns, -1, _CLOCK, 0, 0, 0, 0, 0)
    at = _put(events, at, ts_ns, symbol, _TRADE, 1 - message["side"], _HIDDEN, 0, message["price"], message["qty"])
    if message["price_micro"] > 0:
        at = _put(events, at, ts_ns, symbol, _REFERENCE, 0, 0, 0, message["price_micro"], 0)
        events[at - 1]["code"] = _LAST
    return at


@njit(cache=True, nogil=True)
def _forget(state, level, keep, certain_too, events, at, ts_ns, symbol):  # type: ignore[no-untyped-def]
    """Takes orders of a level out, until `keep` lots are left: what no later message proves, and the rest if `certain_too`."""
    order = state.heads[level]
    while order >= 0 and state.lots[level] > keep:
        following = state.links[order, 0]
        lots = state.left[order] if certain_too else max(state.left[order] - state.later[order], 0)
        lots = min(lots, state.lots[level] - keep)
        if lots > 0:
            at = _cancel_unseen(state, order, lots, events, at, ts_ns, symbol)
        order = following
    return at


@njit(cache=True, nogil=True)
def _follow_view(state, side, row, events, at, ts_ns, symbol, counts, i):  # type: ignore[no-untyped-def]
    """Brings the view of one side to the book file's row (int64 [N, 2]), by the three rules."""
    old, new = state.view[side], state.spare[side]
    old_count = state.scalars[side]
    depth = row.shape[0]
    count = 0
    while count < depth and row[count, 0] != 0:
        count += 1
    a = 0
    for b in range(count):
        price = row[b, 0]
        while a < old_count and _better(side, old[a, _PRICE], price):
            at = _leave(state, side, old[a], True, events, at, ts_ns, symbol, counts, i)
            a += 1
        if a < old_count and old[a, _PRICE] == price:
            new[b] = old[a]
            was_seen = True
            a += 1
        else:
            new[b, _PRICE] = price
            new[b, _LEVEL] = _level_number(state, side, price)
            new[b, _LOTS] = 0
            # Behind the view of a full row nothing is known; behind that of a row with room there was nothing.
            behind = old_count == 0 or _better(side, old[old_count - 1, _PRICE], price)
            was_seen = not (behind and state.scalars[_MORE + side])
        at = _settle(state, side, new[b], row[b, 1], was_seen, events, at, ts_ns, symbol, counts, i)
    while a < old_count:
        at = _leave(state, side, old[a], count < depth, events, at, ts_ns, symbol, counts, i)
        a += 1
    old[:count] = new[:count]
    state.scalars[side] = count
    state.scalars[_MORE + side] = count == depth
    return at


@njit(cache=True, nogil=True)
def _settle(state, side, entry, lots, was_seen, events, at, ts_ns, symbol, counts, i):  # type: ignore[no-untyped-def]
    """A level is in view with `lots`; `was_seen`: it was before, so the message must have made it so."""
    level = entry[_LEVEL]
    missing = lots - entry[_LOTS] - (state.lots[level] if level >= 0 else 0)
    if missing == 0:
        return at
    if was_seen or missing < 0:
        counts.unexplained[i] += 1
    else:
        counts.entered[i] += 1
    if missing > 0:
        unknown = entry[_LOTS] + missing
        if entry[_LOTS] > 0:
            at = _take_unknown(side, entry, entry[_LOTS], events, at, ts_ns, symbol)
        return _new_unknown(state, side, entry, unknown, events, at, ts_ns, symbol)
    if entry[_LOTS] > 0:
        at = _take_unknown(side, entry, min(-missing, entry[_LOTS]), events, at, ts_ns, symbol)
    if level >= 0:
        at = _forget(state, level, lots - entry[_LOTS], False, events, at, ts_ns, symbol)
        at = _forget(state, level, lots - entry[_LOTS], True, events, at, ts_ns, symbol)
    return at


@njit(cache=True, nogil=True)
def _leave(state, side, entry, was_seen, events, at, ts_ns, symbol, counts, i):  # type: ignore[no-untyped-def]
    """A level is in view no longer; `was_seen`: it would still be if it held anything, so the message must have emptied it."""
    level = entry[_LEVEL]
    known = state.lots[level] if level >= 0 else 0
    if was_seen and entry[_LOTS] + known > 0:
        counts.unexplained[i] += 1
    if entry[_LOTS] > 0:
        at = _take_unknown(side, entry, entry[_LOTS], events, at, ts_ns, symbol)
    if known > 0:
        at = _forget(state, level, 0, was_seen, events, at, ts_ns, symbol)
    return at
