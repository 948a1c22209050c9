"""Price-time matching: a batch of ops in, events out, over any number of books.

>>> import numpy as np
>>> from engine.book import SMALL, new_books
>>> from engine.contract import OP_DTYPE, EventKind, OpKind, Side
>>> from engine.matching import run
>>> ops = np.zeros(3, OP_DTYPE)
>>> ops["kind"] = OpKind.NEW
>>> ops["ts_ns"] = [1, 2, 3]
>>> ops["order_id"] = [11, 12, 13]
>>> ops["account"] = [7, 8, 9]
>>> ops["side"] = [Side.SELL, Side.SELL, Side.BUY]
>>> ops["price"] = [101, 100, 101]
>>> ops["qty"] = [5, 2, 4]
>>> for e in run(new_books(SMALL, 1), ops):
...     print(e["seq"], EventKind(e["kind"]).name, e["order_id"], e["contra_order_id"], e["price"], e["qty"])
1 ADD 11 0 101 5
2 ADD 12 0 100 2
3 TRADE 13 12 100 2
4 TRADE 13 11 101 2
5 DONE 13 0 101 4

`run` allocates; `process` below it is the compiled function that works in the caller's buffers and stops where they are full.

**Ops.** NEW is an order of `qty` lots. LIMIT has a price and is GTC (the remainder rests) or IOC (it expires); with POST_ONLY
it is refused if any part would trade at once. MARKET has price 0, is always immediate, and says GTC or IOC alike. CANCEL
takes the whole remainder of `order_id` and needs its `account`; `price`, `qty`, `side`, `order_type`, `tif` and `flags` are
zero. `code` and `reserved` are zero in both. Other kinds of op are not for the book and are refused here.

**Events.** NEW yields its TRADEs, best price first and oldest order first, at the maker's price; then exactly one of ADD (`qty`
= `leaves` = what rests), DONE (`qty` traded, `leaves` expired) or REJECT. CANCEL yields CANCEL or REJECT. Each event has the
next sequence number. An account may trade with itself.

**Refusals** come in this order, and the first that applies is the reason: UNKNOWN_SYMBOL (the event's symbol is then -1);
TIME_WENT_BACK (earlier than the book's last op; the event carries the book's time); BAD_FIELD; BAD_PRICE; BAD_QUANTITY (below
1, or more than fits into 63 bits with what the own side displays); DUPLICATE_ORDER_ID (an order of that id rests; an id may
be used again later); POST_ONLY_WOULD_CROSS; POOL_FULL and FAR_LEVELS_FULL (the order would rest whole and the book has no
place). A refused op changes nothing but the book's time. An order that trades first and then finds no level for its remainder
is DONE with code FAR_LEVELS_FULL; a place in the pool it always finds, because it has used up at least one maker.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from engine import id_index
from engine.book import MAX_PRICE, MAX_QTY, NO_SYMBOL, BookStatus, insert_at, reduce_order, remove_at, side_key
from engine.contract import (
    EVENT_DTYPE,
    NO_ACCOUNT,
    NO_ORDER,
    EventKind,
    OpFlag,
    OpKind,
    OrderType,
    Reason,
    TimeInForce,
)
from engine.ladder import NO_KEY, window_slot

_RUN_EVENTS: Final = 65_536
"""Events `run` makes room for at a time."""

# Plain integers: compiled code stores these without touching the enums.
_NO_OP: Final = 0
_OP_NEW: Final = int(OpKind.NEW)
_OP_CANCEL: Final = int(OpKind.CANCEL)
_MARKET: Final = int(OrderType.MARKET)
_IOC: Final = int(TimeInForce.IOC)
_POST_ONLY: Final = int(OpFlag.POST_ONLY)
_ADD: Final = int(EventKind.ADD)
_CANCEL: Final = int(EventKind.CANCEL)
_TRADE: Final = int(EventKind.TRADE)
_DONE: Final = int(EventKind.DONE)
_REJECT: Final = int(EventKind.REJECT)
_NONE: Final = int(Reason.NONE)
_FILLED: Final = int(Reason.FILLED)
_IOC_REMAINDER: Final = int(Reason.IOC_REMAINDER)
_NO_LIQUIDITY: Final = int(Reason.NO_LIQUIDITY)
_BY_OWNER: Final = int(Reason.BY_OWNER)
_POST_ONLY_WOULD_CROSS: Final = int(Reason.POST_ONLY_WOULD_CROSS)
_UNKNOWN_SYMBOL: Final = int(Reason.UNKNOWN_SYMBOL)
_UNKNOWN_ORDER: Final = int(Reason.UNKNOWN_ORDER)
_NOT_OWNER: Final = int(Reason.NOT_OWNER)
_DUPLICATE_ORDER_ID: Final = int(Reason.DUPLICATE_ORDER_ID)
_BAD_QUANTITY: Final = int(Reason.BAD_QUANTITY)
_BAD_PRICE: Final = int(Reason.BAD_PRICE)
_BAD_FIELD: Final = int(Reason.BAD_FIELD)
_POOL_FULL: Final = int(Reason.POOL_FULL)
_FAR_LEVELS_FULL: Final = int(Reason.FAR_LEVELS_FULL)
_TIME_WENT_BACK: Final = int(Reason.TIME_WENT_BACK)
_STATUS_POOL_FULL: Final = int(BookStatus.POOL_FULL)
_STATUS_FAR_LEVELS_FULL: Final = int(BookStatus.FAR_LEVELS_FULL)


def run(books: np.ndarray, ops: np.ndarray, first_seq: int = 1) -> np.ndarray:
    """All events of `ops` (OP_DTYPE [n]) as one EVENT_DTYPE array, numbered from `first_seq`."""
    parts = []
    done = 0
    while done < len(ops):
        events = np.zeros(_RUN_EVENTS, EVENT_DTYPE)
        consumed, written = process(books, ops[done:], events, first_seq)
        done += consumed
        first_seq += written
        parts.append(events[:written])
    return np.concatenate(parts) if parts else np.zeros(0, EVENT_DTYPE)


@njit(cache=True, nogil=True)
def process(books: np.ndarray, ops: np.ndarray, events: np.ndarray, first_seq: int) -> tuple[int, int]:
    """Apply `ops` (OP_DTYPE [n], `symbol` indexes `books`) and write events (EVENT_DTYPE [m], m ≥ 1).

    Returns (ops consumed, events written). The first event gets the number `first_seq`. Where `events` is full, possibly
    between two trades of one op, call again with an empty buffer and `ops[consumed:]`: the half-done op's state is in its
    book. The events of all calls together do not depend on the buffer's size. Raises ValueError where a book is in the
    midst of another op than the one it is given.
    """
    written = 0
    for i in range(ops.shape[0]):
        if written == events.shape[0]:
            return i, written
        op = ops[i]
        seq = first_seq + written
        if not 0 <= op["symbol"] < books.shape[0]:
            _report(events[written], seq, op["ts_ns"], op, _REJECT, op["qty"], 0, _UNKNOWN_SYMBOL)
            events[written]["symbol"] = NO_SYMBOL
            written += 1
            continue
        book = books[op["symbol"]]
        position, slot = id_index.find(book["index"], book["orders"], op["order_id"])
        if book["resume_id"] == _NO_OP:
            reason = _check(book, op, slot)
        elif book["resume_id"] == op["order_id"] and op["kind"] == _OP_NEW:
            reason = _NONE
        else:
            raise ValueError("a book is in the midst of another op: go on with the op that was not consumed")
        if reason != _NONE:
            _report(events[written], seq, book["ts_ns"], op, _REJECT, op["qty"], 0, reason)
            written += 1
        elif op["kind"] == _OP_CANCEL:
            _cancel(book, op, position, slot, events[written], seq)
            written += 1
        else:
            written = _execute(book, op, position, events, written, first_seq)
            if book["resume_id"] != _NO_OP:
                return i, written
    return ops.shape[0], written


@njit(cache=True, nogil=True)
def _check(book: np.void, op: np.void, slot: np.uint64) -> int:
    """Why an op is refused before it meets the book, or NONE. `slot` is the resting order of its id, or 0. Moves the clock."""
    if op["ts_ns"] < book["ts_ns"]:
        return _TIME_WENT_BACK
    book["ts_ns"] = op["ts_ns"]
    if op["kind"] == _OP_NEW:
        return _check_new(book, op, slot)
    if op["kind"] == _OP_CANCEL:
        return _check_cancel(book, op, slot)
    return _BAD_FIELD


@njit(cache=True, nogil=True)
def _check_new(book: np.void, op: np.void, slot: np.uint64) -> int:
    if (
        op["side"] > 1
        or op["order_type"] > 1
        or op["tif"] > 1
        or op["flags"] > _POST_ONLY
        or op["code"] != 0
        or op["reserved"] != 0
        or op["order_id"] < 1
        or op["account"] < 0
        or (op["flags"] == _POST_ONLY and (op["order_type"] == _MARKET or op["tif"] == _IOC))
    ):
        return _BAD_FIELD
    if op["order_type"] == _MARKET:
        if op["price"] != 0:
            return _BAD_PRICE
    elif op["price"] < 1 or op["price"] > MAX_PRICE:
        return _BAD_PRICE
    if op["qty"] < 1 or op["qty"] > MAX_QTY - book["sides"][op["side"]]["lots"]:
        return _BAD_QUANTITY
    if slot:
        return _DUPLICATE_ORDER_ID
    if op["flags"] == _POST_ONLY and _limit_key(op) <= book["sides"][1 - op["side"]]["touch"]:
        return _POST_ONLY_WOULD_CROSS
    return _NONE


@njit(cache=True, nogil=True)
def _check_cancel(book: np.void, op: np.void, slot: np.uint64) -> int:
    if (
        op["order_id"] < 1
        or op["account"] < 0
        or op["price"] != 0
        or op["qty"] != 0
        or op["side"] != 0
        or op["order_type"] != 0
        or op["tif"] != 0
        or op["flags"] != 0
        or op["code"] != 0
        or op["reserved"] != 0
    ):
        return _BAD_FIELD
    if not slot:
        return _UNKNOWN_ORDER
    if book["orders"][slot]["account"] != op["account"]:
        return _NOT_OWNER
    return _NONE


@njit(cache=True, nogil=True)
def _cancel(book: np.void, op: np.void, position: np.uint64, slot: np.uint64, event: np.void, seq: int) -> None:
    order = book["orders"][slot]
    _report(event, seq, op["ts_ns"], op, _CANCEL, order["qty"], 0, _BY_OWNER)
    event["price"] = order["price"]
    event["side"] = order["side"]
    remove_at(book, position, slot)


@njit(cache=True, nogil=True)
def _limit_key(op: np.void) -> int:
    """The worst key of the other side that the op accepts."""
    if op["order_type"] == _MARKET:
        return NO_KEY + 1
    return side_key(1 - op["side"], op["price"])


@njit(cache=True, nogil=True)
def _execute(book: np.void, op: np.void, position: np.uint64, events: np.ndarray, written: int, first_seq: int) -> int:
    """Trade what trades, then rest or end. Returns the events written; `resume_id` is set where the buffer was too short."""
    left = op["qty"]
    if book["resume_id"] != _NO_OP:
        left = book["resume_left"]
        book["resume_id"] = _NO_OP
        book["resume_left"] = 0
    orders = book["orders"]
    makers = book["sides"][1 - op["side"]]
    limit = _limit_key(op)
    while left > 0 and makers["touch"] >= limit and written < events.shape[0]:
        slot = makers["levels"][window_slot(makers, makers["touch"])]["head"]
        maker = orders[slot]
        event = events[written]
        traded = min(left, maker["qty"])
        event["ts_ns"] = op["ts_ns"]
        event["seq"] = first_seq + written
        event["order_id"] = op["order_id"]
        event["contra_order_id"] = maker["order_id"]
        event["account"] = op["account"]
        event["contra_account"] = maker["account"]
        event["price"] = maker["price"]
        event["qty"] = traded
        event["leaves"] = reduce_order(book, slot, traded)
        event["symbol"] = op["symbol"]
        event["kind"] = _TRADE
        event["side"] = op["side"]
        event["flags"] = 0
        event["code"] = _NONE
        left -= traded
        written += 1
    if written == events.shape[0]:
        book["resume_id"] = op["order_id"]
        book["resume_left"] = left
        return written

    kind, reason = _DONE, _FILLED
    if left > 0:
        if op["order_type"] == _MARKET:
            reason = _NO_LIQUIDITY
        elif op["tif"] == _IOC:
            reason = _IOC_REMAINDER
        else:
            reason = _rest(book, op, position, left)
            if reason == _NONE:
                kind = _ADD
            elif left == op["qty"]:
                kind = _REJECT
    qty = op["qty"] - left if kind == _DONE else left
    _report(events[written], first_seq + written, op["ts_ns"], op, kind, qty, 0 if kind == _REJECT else left, reason)
    return written + 1


@njit(cache=True, nogil=True)
def _rest(book: np.void, op: np.void, position: np.uint64, qty: int) -> int:
    """Put what is left of an order into the book; the Reason it cannot, or NONE."""
    if qty != op["qty"]:  # its trades have changed the index
        position = id_index.find(book["index"], book["orders"], op["order_id"])[0]
    status = insert_at(book, position, op["side"], op["order_id"], op["account"], op["price"], qty, op["ts_ns"])
    if status == _STATUS_POOL_FULL:
        return _POOL_FULL
    if status == _STATUS_FAR_LEVELS_FULL:
        return _FAR_LEVELS_FULL
    return _NONE


@njit(cache=True, nogil=True)
def _report(event: np.void, seq: int, ts_ns: int, op: np.void, kind: int, qty: int, leaves: int, code: int) -> None:
    """Write an event that is about the op's own order."""
    event["ts_ns"] = ts_ns
    event["seq"] = seq
    event["order_id"] = op["order_id"]
    event["contra_order_id"] = NO_ORDER
    event["account"] = op["account"]
    event["contra_account"] = NO_ACCOUNT
    event["price"] = op["price"]
    event["qty"] = qty
    event["leaves"] = leaves
    event["symbol"] = op["symbol"]
    event["kind"] = kind
    event["side"] = op["side"] if op["side"] <= 1 else 0  # readers index by it
    event["flags"] = 0
    event["code"] = code
