"""One price-time priority book in one NumPy structured record.

`new_books(capacity, n)` allocates `n` books as one array; `books[i]` is a record that the compiled functions below take by
reference, from Python and from other compiled code alike. A book is memory and nothing else: copying or saving its bytes
copies or saves the book.

    from engine.book import SMALL, best, insert_order, new_books

    book = new_books(SMALL, 1)[0]
    insert_order(book, 0, 17, 3, 10_000, 5, 1)        # bid 17 of account 3: 5 lots at 10,000 ticks, entered at 1 ns
    assert best(book, 0) == 10_000

A record holds the orders (one cache line each, with a free list), an id index (`engine.id_index`) and a ladder of levels a
side (`engine.ladder`: a window of ticks around the touch, a table for all prices beyond it). A level's orders are a doubly
linked queue, oldest first.

**Limits.** Prices are 1 … MAX_PRICE ticks, ids 1 … 2**63-1, and the lots of one side together stay below 2**63, so that no
sum over orders or levels can overflow. Orders, levels outside the window and memory are bounded by the `Capacity`. Whatever
does not fit is refused with a status and changes nothing.

**Crossed books.** These functions never match. A book that is rebuilt from a feed may be crossed for a moment; only
`engine.matching` keeps bid below ask.

`side` is a `contract.Side` value. Times are UTC nanoseconds, prices ticks, quantities lots.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
from numba import njit

from engine import id_index
from engine.arithmetic import fold
from engine.contract import NO_ACCOUNT, NO_ORDER, EventFlag, EventKind
from engine.kernel import wide
from engine.ladder import NO_KEY, NO_LEVEL, close_level, find_level, next_key, open_level
from engine.layout import LARGE, MAX_PRICE, MAX_QTY, MEDIUM, SMALL, Capacity, book_dtype, new_books

__all__ = [
    "LARGE",
    "MAX_PRICE",
    "MAX_QTY",
    "MEDIUM",
    "NO_SLOT",
    "NO_SYMBOL",
    "SMALL",
    "BookStatus",
    "Capacity",
    "apply_event",
    "apply_events",
    "best",
    "book_dtype",
    "clear",
    "give_slot",
    "insert_at",
    "insert_order",
    "is_full",
    "level_head",
    "level_id",
    "level_qty",
    "new_books",
    "next_level",
    "next_slot",
    "order_lookup",
    "reduce_order",
    "remove_at",
    "remove_order",
    "set_level",
    "side_key",
    "state_hash",
    "take_slot",
    "top_levels",
]

NO_SLOT: Final = -1
"""`order_lookup`'s answer for an order that does not rest."""

NO_SYMBOL: Final = -1
"""The symbol of an event that belongs to none."""


class BookStatus(IntEnum):
    """What a change of the book came to. All but OK and QTY_OVER leave the orders as they were."""

    OK = 0
    NO_EFFECT = 1
    """An event that belongs to no book or does not change one (a reject, a reference price, a trade without a maker id)."""
    UNKNOWN_ORDER = 2
    """No such order or level rests here: usual for a recording that starts in mid-session."""
    QTY_OVER = 3
    """More lots were taken than the order had: all of them are gone now, and the order with them."""
    DUPLICATE_ORDER = 4
    BAD_VALUE = 5
    """A side, id, price or quantity outside the limits, or a side's lots would exceed MAX_QTY."""
    POOL_FULL = 6
    FAR_LEVELS_FULL = 7
    UNKNOWN_SYMBOL = 8


# Plain integers: compiled code stores and returns these without touching the enums.
_OK: Final = int(BookStatus.OK)
_NO_EFFECT: Final = int(BookStatus.NO_EFFECT)
_UNKNOWN_ORDER: Final = int(BookStatus.UNKNOWN_ORDER)
_QTY_OVER: Final = int(BookStatus.QTY_OVER)
_DUPLICATE_ORDER: Final = int(BookStatus.DUPLICATE_ORDER)
_BAD_VALUE: Final = int(BookStatus.BAD_VALUE)
_POOL_FULL: Final = int(BookStatus.POOL_FULL)
_FAR_LEVELS_FULL: Final = int(BookStatus.FAR_LEVELS_FULL)
_UNKNOWN_SYMBOL: Final = int(BookStatus.UNKNOWN_SYMBOL)
_ADD: Final = int(EventKind.ADD)
_CANCEL: Final = int(EventKind.CANCEL)
_TRADE: Final = int(EventKind.TRADE)
_LEVEL: Final = int(EventKind.LEVEL)
_CLEAR: Final = int(EventKind.CLEAR)
_HIDDEN: Final = int(EventFlag.HIDDEN)
_UNDATED: Final = int(EventFlag.UNDATED)
_DERIVED: Final = int(EventFlag.DERIVED)
_AUCTION: Final = int(EventFlag.AUCTION)

# -- orders ------------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def side_key(side: int, price: int) -> int:
    """The ladder key of a price, and the price of a key: bids count up, asks count down."""
    return price if side == 0 else -price


@njit(cache=True, nogil=True)
def order_lookup(book: np.void, order_id: int) -> int:
    """The slot of a resting order or -1. `book["orders"][slot]` has its `account`, `price`, `qty`, `ts_ns` and `side`.

    A slot is good until the order leaves the book.
    """
    slot = id_index.find(book, order_id)[1]
    return wide(slot) if slot else NO_SLOT


@njit(cache=True, nogil=True)
def is_full(book: np.void) -> bool:
    """Whether the pool has no place for another order."""
    full: bool = book["free"] == 0 and book["used"] == book["orders"].shape[0] - 1
    return full


@njit(cache=True, nogil=True)
def take_slot(book: np.void) -> np.uint64:
    """A free place of the pool, which must not be full."""
    slot = np.uint64(book["free"])
    if slot:
        book["free"] = book["orders"][slot]["next"]
    else:
        book["used"] += 1
        slot = np.uint64(book["used"])
    return slot


@njit(cache=True, nogil=True)
def next_slot(book: np.void) -> np.uint64:
    """What `take_slot` will give."""
    return np.uint64(book["free"]) if book["free"] else np.uint64(book["used"] + 1)


@njit(cache=True, nogil=True)
def give_slot(book: np.void, slot: np.uint64) -> None:
    """Give a place back to the pool."""
    book["orders"][slot]["next"] = book["free"]
    book["free"] = slot


@njit(cache=True, nogil=True)
def insert_order(book: np.void, side: int, order_id: int, account: int, price: int, qty: int, ts_ns: int) -> int:
    """Put an order at the end of its level's queue. Returns a BookStatus; nothing changes unless it is OK."""
    position, slot = id_index.find(book, order_id)
    if slot:
        return _DUPLICATE_ORDER
    return insert_at(book, position, side, order_id, account, price, qty, ts_ns)


@njit(cache=True, nogil=True)
def insert_at(
    book: np.void, position: np.uint64, side: int, order_id: int, account: int, price: int, qty: int, ts_ns: int
) -> int:
    """`insert_order` for a caller that has just looked the id up: `position` is where `id_index.find` did not find it."""
    ladder = book["sides"][side]
    orders = book["orders"]
    if price < 1 or price > MAX_PRICE or qty < 1 or qty > MAX_QTY - ladder["lots"] or order_id == NO_ORDER:
        return _BAD_VALUE
    if is_full(book):
        return _POOL_FULL
    at = open_level(ladder, side_key(side, price))
    if at == NO_LEVEL:
        return _FAR_LEVELS_FULL
    slot = take_slot(book)
    level = ladder["levels"][at]
    order = orders[slot]
    order["order_id"] = order_id
    order["account"] = account
    order["price"] = price
    order["qty"] = qty
    order["ts_ns"] = ts_ns
    order["side"] = side
    order["next"] = 0
    order["prev"] = level["tail"]
    if level["tail"]:
        orders[level["tail"]]["next"] = slot
    else:
        level["head"] = slot
    level["tail"] = slot
    level["lots"] += qty
    ladder["lots"] += qty
    id_index.put(book, position, order_id, slot)
    return _OK


@njit(cache=True, nogil=True)
def reduce_order(book: np.void, slot: int, qty: int) -> int:
    """Take `qty` lots off a resting order, which keeps its place; at nothing left it is removed. Returns what still rests.

    `slot` comes from `order_lookup`; 1 ≤ `qty` ≤ the order's.
    """
    order = book["orders"][slot]
    left: int = order["qty"] - qty
    if left == 0:
        remove_order(book, slot)
        return 0
    ladder = book["sides"][order["side"]]
    order["qty"] = left
    ladder["levels"][find_level(ladder, side_key(order["side"], order["price"]))]["lots"] -= qty
    ladder["lots"] -= qty
    return left


@njit(cache=True, nogil=True)
def remove_order(book: np.void, slot: int) -> None:
    """Take a resting order out of the book; `slot` comes from `order_lookup`."""
    position = id_index.find(book, book["orders"][slot]["order_id"])[0]
    remove_at(book, position, np.uint64(slot))


@njit(cache=True, nogil=True)
def remove_at(book: np.void, position: np.uint64, slot: np.uint64) -> None:
    """`remove_order` for a caller that has just looked the id up: what `id_index.find` answered."""
    orders = book["orders"]
    order = orders[slot]
    ladder = book["sides"][order["side"]]
    key = side_key(order["side"], order["price"])
    at = find_level(ladder, key)
    level = ladder["levels"][at]
    if order["prev"]:
        orders[order["prev"]]["next"] = order["next"]
    else:
        level["head"] = order["next"]
    if order["next"]:
        orders[order["next"]]["prev"] = order["prev"]
    else:
        level["tail"] = order["prev"]
    level["lots"] -= order["qty"]
    ladder["lots"] -= order["qty"]
    id_index.remove(book, position)
    give_slot(book, slot)
    if level["head"] == 0:
        close_level(ladder, key, at)


@njit(cache=True, nogil=True)
def clear(book: np.void) -> None:
    """Remove every order. The book's time stays."""
    for side in range(2):
        ladder = book["sides"][side]
        while ladder["touch"] != NO_KEY:
            remove_order(book, ladder["levels"][find_level(ladder, ladder["touch"])]["head"])


# -- levels ------------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def best(book: np.void, side: int) -> int:
    """The best price of a side, or 0 where it is empty."""
    touch: int = book["sides"][side]["touch"]
    return side_key(side, touch) if touch != NO_KEY else 0


@njit(cache=True, nogil=True)
def level_qty(book: np.void, side: int, price: int) -> int:
    """Lots displayed at a price; 0 where there is no such level."""
    ladder = book["sides"][side]
    at = find_level(ladder, side_key(side, price))
    lots: int = ladder["levels"][at]["lots"] if at != NO_LEVEL else 0
    return lots


@njit(cache=True, nogil=True)
def next_level(book: np.void, side: int, price: int) -> tuple[int, int]:
    """(price, lots) of the first level worse than `price`, far levels included; (0, 0) after the last.

    `price` 0 asks for the touch: `price, qty = next_level(book, side, 0)`, then go on from `price` until it is 0.
    """
    ladder = book["sides"][side]
    key: int = ladder["touch"] if price == 0 else next_key(ladder, side_key(side, price))
    if key == NO_KEY:
        return 0, 0
    return side_key(side, key), ladder["levels"][find_level(ladder, key)]["lots"]


@njit(cache=True, nogil=True)
def level_head(book: np.void, side: int, price: int) -> int:
    """The slot of the oldest order at a price that has a level; go on by the order's `next` until that is 0."""
    ladder = book["sides"][side]
    slot: int = ladder["levels"][find_level(ladder, side_key(side, price))]["head"]
    return slot


@njit(cache=True, nogil=True)
def top_levels(book: np.void, side: int, n: int, out_price: np.ndarray, out_qty: np.ndarray) -> int:
    """Write the best `n` levels of a side, touch first, into two int64 arrays of at least `n`. Returns how many there were."""
    count = 0
    price, qty = next_level(book, side, 0)
    while price != 0 and count < n:
        out_price[count] = price
        out_qty[count] = qty
        count += 1
        price, qty = next_level(book, side, price)
    return count


@njit(cache=True, nogil=True)
def level_id(side: int, price: int) -> int:
    """The id of an aggregated level's pseudo-order: -(2 · price + side), negative, so that no real id can be equal."""
    return -(2 * price + side)


@njit(cache=True, nogil=True)
def set_level(book: np.void, side: int, price: int, qty: int, ts_ns: int) -> int:
    """Make the aggregated level of an L2 feed show `qty` lots (0: none). Returns a BookStatus.

    The level is one pseudo-order of no account with the id `level_id(side, price)`. It entered when the level appeared.
    """
    if price < 1 or price > MAX_PRICE or qty < 0:
        return _BAD_VALUE
    slot = order_lookup(book, level_id(side, price))
    if slot == NO_SLOT:
        if qty == 0:
            return _UNKNOWN_ORDER
        return insert_order(book, side, level_id(side, price), NO_ACCOUNT, price, qty, ts_ns)
    change: int = qty - book["orders"][slot]["qty"]
    if change < 0:
        reduce_order(book, slot, -change)
        return _OK
    ladder = book["sides"][side]
    if change > MAX_QTY - ladder["lots"]:
        return _BAD_VALUE
    book["orders"][slot]["qty"] = qty
    ladder["levels"][find_level(ladder, side_key(side, price))]["lots"] += change
    ladder["lots"] += change
    return _OK


# -- the whole book ----------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def state_hash(book: np.void) -> np.uint64:
    """64 bits over what rests and the book's time, whatever the capacity and the layout of memory.

    A level is 1 folded (`engine.arithmetic.fold`) with its side, price and, order by order in the queue, id, account,
    displayed lots and entry time. The book is 2 folded with its time, plus the sum of its levels modulo 2**64.
    """
    total = fold(np.uint64(2), book["ts_ns"])
    for side in range(2):
        ladder = book["sides"][side]
        key = ladder["touch"]
        while key != NO_KEY:
            h = fold(fold(np.uint64(1), side), side_key(side, key))
            slot = ladder["levels"][find_level(ladder, key)]["head"]
            while slot:
                order = book["orders"][slot]
                h = fold(fold(h, order["order_id"]), order["account"])
                h = fold(fold(h, order["qty"]), order["ts_ns"])
                slot = order["next"]
            total += h
            key = next_key(ladder, key)
    return total


@njit(cache=True, nogil=True)
def apply_event(book: np.void, event: np.void) -> int:
    """Make one EVENT_DTYPE row's change to a book that is rebuilt from a feed. Returns a BookStatus; never matches.

    ADD inserts, with the entry time 0 where it is UNDATED; CANCEL takes `qty` off `order_id`; TRADE takes `qty` off the maker
    `contra_order_id` unless it is HIDDEN or the id is NO_ORDER, and off `order_id` too in an AUCTION; LEVEL sets an
    aggregated level unless it is DERIVED; CLEAR empties the book. `leaves` is not looked at: not every source has it. The
    book's time follows the event's, and stays where an event is late.
    """
    kind = event["kind"]
    book["ts_ns"] = max(book["ts_ns"], event["ts_ns"])
    if kind == _ADD:
        if event["side"] > 1 or event["order_id"] <= NO_ORDER:
            return _BAD_VALUE
        entered_ns = 0 if event["flags"] & _UNDATED else event["ts_ns"]
        return insert_order(book, event["side"], event["order_id"], event["account"], event["price"], event["qty"], entered_ns)
    if kind == _CANCEL:
        return _take(book, event["order_id"], event["qty"])
    if kind == _TRADE:
        if event["flags"] & _HIDDEN or event["contra_order_id"] == NO_ORDER:
            return _NO_EFFECT
        status: int = _take(book, event["contra_order_id"], event["qty"])
        if event["flags"] & _AUCTION:
            status = max(status, _take(book, event["order_id"], event["qty"]))
        return status
    if kind == _LEVEL:
        if event["flags"] & _DERIVED:
            return _NO_EFFECT
        if event["side"] > 1:
            return _BAD_VALUE
        return set_level(book, event["side"], event["price"], event["qty"], event["ts_ns"])
    if kind == _CLEAR:
        clear(book)
        return _OK
    return _NO_EFFECT


@njit(cache=True, nogil=True)
def _take(book: np.void, order_id: int, qty: int) -> int:
    if order_id <= NO_ORDER or qty < 1:
        return _BAD_VALUE
    slot = order_lookup(book, order_id)
    if slot == NO_SLOT:
        return _UNKNOWN_ORDER
    held: int = book["orders"][slot]["qty"]
    reduce_order(book, slot, min(qty, held))
    return _OK if qty <= held else _QTY_OVER


@njit(cache=True, nogil=True)
def apply_events(books: np.ndarray, events: np.ndarray, counts: np.ndarray) -> None:
    """`apply_event` for a batch; `events["symbol"]` indexes `books`. Adds to `counts`, int64 of shape [len(BookStatus)]."""
    for i in range(events.shape[0]):
        event = events[i]
        symbol = event["symbol"]
        if 0 <= symbol < books.shape[0]:
            counts[apply_event(books[symbol], event)] += 1
        else:
            counts[_NO_EFFECT if symbol == NO_SYMBOL else _UNKNOWN_SYMBOL] += 1
