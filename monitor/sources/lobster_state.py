"""What the LOBSTER conversion remembers between two messages, and the small changes of it, compiled.

The rules are in `monitor.sources.lobster_kernel`. Dense numbers stand for order ids and for levels (side and price), so that
nothing here needs hashing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from engine.contract import NO_ACCOUNT, NO_ORDER

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


COUNTS_DTYPE: Final = np.dtype([("ends", "<i8"), ("entered", "<i8"), ("unexplained", "<i8"), ("adopted", "<i8")])
"""What each message came to.

ends           events emitted up to and with this message, counted from the file's first event
entered        levels that came into view with lots no message told of
unexplained    levels in view that the message does not explain; they were set to what the book file says
adopted        1 where the message is about an order that was never seen to enter
"""

_ORDER_DTYPE: Final = np.dtype(
    [("id", "<i8"), ("left", "<i8"), ("later", "<i8"), ("level", "<i8"), ("next", "<i8"), ("previous", "<i8")]
)
_LEVEL_DTYPE: Final = np.dtype([("key", "<i8"), ("lots", "<i8"), ("head", "<i8")])
_SHOWN_DTYPE: Final = np.dtype([("price", "<i8"), ("level", "<i8"), ("lots", "<i8"), ("id", "<i8")])
_TOTALS_DTYPE: Final = np.dtype(
    [("shown", "<i8", (2,)), ("more", "<i8", (2,)), ("live", "<i8"), ("peak", "<i8"), ("unknown", "<i8"), ("events", "<i8")]
)
_CURSOR_DTYPE: Final = np.dtype([("at", "<i8"), ("ts_ns", "<i8"), ("symbol", "<i8"), ("message", "<i8")])


class State(NamedTuple):
    """Everything between two messages: K orders, L levels that messages name, N levels in view."""

    orders: np.ndarray
    """[K] id, lots `left` in the book, lots that messages take off it `later`, its `level`, and its level's list of orders."""
    levels: np.ndarray
    """[L] key 2 · price + side, rising; lots of the known orders; first order, -1 if none."""
    shown: np.ndarray
    """[2, 2, N + 1] the view and a spare one, by side, best level first: price, level number or -1, unknown lots, their id."""
    totals: np.ndarray
    """[1] levels `shown` a side, whether there may be `more` behind them, orders in the book and the most there were, unknown
    ids used, events so far."""


class Output(NamedTuple):
    """Where the events go."""

    events: np.ndarray
    """EVENT_DTYPE, to write into."""
    counts: np.ndarray
    """COUNTS_DTYPE [messages]"""
    cursor: np.ndarray
    """[1] events written, time and number of the message, symbol."""


def new_state(messages: np.ndarray, ids: np.ndarray, keys: np.ndarray, depth: int) -> State:
    """The state before the first message.

    Args:
        messages: MESSAGE_DTYPE [n], all of the file.
        ids: int64 [K], the order ids by dense number.
        keys: int64 [L], 2 · price + side by dense number, rising.
        depth: N, the levels a side in the book file.
    """
    orders = np.zeros(len(ids), _ORDER_DTYPE)
    orders["id"] = ids
    takes = (messages["type"] >= PARTIAL_CANCEL_MESSAGE) & (messages["type"] <= VISIBLE_EXECUTION_MESSAGE)
    np.add.at(orders["later"], messages["order"][takes], messages["qty"][takes])
    levels = np.zeros(len(keys), _LEVEL_DTYPE)
    levels["key"] = keys
    levels["head"] = -1
    return State(orders, levels, np.zeros((2, 2, depth + 1), _SHOWN_DTYPE), np.zeros(1, _TOTALS_DTYPE))


def new_output(events: np.ndarray, counts: np.ndarray, symbol: int) -> Output:
    """An empty output for one symbol."""
    cursor = np.zeros(1, _CURSOR_DTYPE)
    cursor["symbol"] = symbol
    return Output(events, counts, cursor)


def written(out: Output) -> np.ndarray:
    """A copy of the events written so far."""
    return out.events[: out.cursor[0]["at"]].copy()


@njit(cache=True, nogil=True)
def put(out: Output, kind: int, side: int, flags: int, order: tuple[int, int, int, int]) -> None:
    """Writes one event of `order`: id, price, quantity and what is left of it."""
    cursor = out.cursor[0]
    event = out.events[cursor["at"]]
    cursor["at"] += 1
    event["ts_ns"] = cursor["ts_ns"]
    event["seq"] = 0
    event["order_id"] = order[0]
    event["contra_order_id"] = NO_ORDER
    event["account"] = NO_ACCOUNT
    event["contra_account"] = NO_ACCOUNT
    event["price"] = order[1]
    event["qty"] = order[2]
    event["leaves"] = order[3]
    event["symbol"] = cursor["symbol"]
    event["kind"] = kind
    event["side"] = side
    event["flags"] = flags
    event["code"] = 0


@njit(cache=True, nogil=True)
def level_number(state: State, side: int, price: int) -> int:
    """The level of a side and price, -1 if no message names it."""
    key = 2 * price + side
    low, high = 0, len(state.levels)
    while low < high:
        middle = (low + high) // 2
        if state.levels[middle]["key"] < key:
            low = middle + 1
        else:
            high = middle
    return low if low < len(state.levels) and state.levels[low]["key"] == key else -1


@njit(cache=True, nogil=True)
def show(state: State, side: int, price: int, lots: int) -> None:
    """Puts unknown lots into the view behind its last level."""
    entry = state.shown[0, side, state.totals[0]["shown"][side]]
    entry["price"] = price
    entry["level"] = level_number(state, side, price)
    entry["lots"] = lots
    state.totals[0]["shown"][side] += 1


@njit(cache=True, nogil=True)
def better(side: int, price: int, other: int) -> bool:
    """Whether a price is nearer the touch than another."""
    return price > other if side == 0 else price < other


@njit(cache=True, nogil=True)
def view_slot(state: State, side: int, price: int) -> int:
    """The place of a price in the view, -1 if it is not in view."""
    for j in range(state.totals[0]["shown"][side]):
        if state.shown[0, side, j]["price"] == price:
            return j
    return -1


@njit(cache=True, nogil=True)
def enter(state: State, number: int, level_at: int, lots: int) -> None:
    """Puts an order into the book."""
    order, level, totals = state.orders[number], state.levels[level_at], state.totals[0]
    order["left"] = lots
    order["level"] = level_at
    order["next"] = level["head"]
    order["previous"] = -1
    if level["head"] >= 0:
        state.orders[level["head"]]["previous"] = number
    level["head"] = number
    level["lots"] += lots
    totals["live"] += 1
    totals["peak"] = max(totals["peak"], totals["live"])


@njit(cache=True, nogil=True)
def lessen(state: State, number: int, lots: int) -> None:
    """Takes lots off an order, and the order out of the book when nothing is left."""
    order = state.orders[number]
    level = state.levels[order["level"]]
    order["left"] -= lots
    level["lots"] -= lots
    if order["left"] > 0:
        return
    if order["previous"] >= 0:
        state.orders[order["previous"]]["next"] = order["next"]
    else:
        level["head"] = order["next"]
    if order["next"] >= 0:
        state.orders[order["next"]]["previous"] = order["previous"]
    state.totals[0]["live"] -= 1
