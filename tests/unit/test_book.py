"""The book's record, its primitives, and rebuilding it from events."""

from __future__ import annotations

import resource
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import bitmap
from engine.book import (
    LARGE,
    MAX_PRICE,
    MAX_QTY,
    MEDIUM,
    SMALL,
    BookStatus,
    Capacity,
    apply_event,
    apply_events,
    best,
    book_dtype,
    clear,
    insert_order,
    level_id,
    level_qty,
    new_books,
    next_level,
    order_lookup,
    reduce_order,
    remove_order,
    set_level,
    state_hash,
    top_levels,
)
from engine.contract import EVENT_DTYPE, EventFlag, EventKind, Side
from engine.layout import ORDER_DTYPE
from tests.oracle.flows import TINY

BUY, SELL = int(Side.BUY), int(Side.SELL)
Book = Any


@pytest.fixture
def book() -> Book:
    return new_books(TINY, 1)[0]


def add(book: Book, order_id: int, side: int, price: int, qty: int = 1, account: int = 7, ts_ns: int = 0) -> BookStatus:
    return BookStatus(insert_order(book, side, order_id, account, price, qty, ts_ns))


def levels(book: Book, side: int) -> list[tuple[int, int]]:
    """Every level from the touch, by stepping."""
    found = []
    price, qty = next_level(book, side, 0)
    while price:
        found.append((int(price), int(qty)))
        price, qty = next_level(book, side, price)
    return found


def queue(book: Book, side: int, price: int) -> list[int]:
    """The ids at a price, oldest first, found by taking them out."""
    ids = sorted((int(o["order_id"]) for o in book["orders"] if o["price"] == price and o["side"] == side), key=int)
    order = []
    for order_id in ids:
        slot = order_lookup(book, order_id)
        if slot > 0:
            place = 0
            while book["orders"][slot]["prev"]:
                slot = int(book["orders"][slot]["prev"])
                place += 1
            order.append((place, order_id))
    return [order_id for _, order_id in sorted(order)]


def event(kind: EventKind, **fields: int) -> Any:
    row = np.zeros(1, EVENT_DTYPE)
    row["kind"] = kind
    for name, value in fields.items():
        row[name] = value
    return row[0]


# -- the record --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [SMALL, MEDIUM, LARGE, TINY])
def test_orders_are_whole_cache_lines(capacity: Capacity) -> None:
    books = new_books(capacity, 3)
    assert ORDER_DTYPE.itemsize == 64
    assert books.itemsize % 64 == 0
    assert books["orders"].ctypes.data % 64 == 0


def test_a_thousand_small_books_fit() -> None:
    assert 1000 * book_dtype(SMALL).itemsize < 300e6
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    books = new_books(SMALL, 1000)
    for book in books:
        add(book, 1, BUY, 100)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before < 300e6
    assert best(books[999], BUY) == 100


@pytest.mark.parametrize(
    "capacity",
    [
        Capacity("ticks are no power of two", ladder_ticks=96, orders=8, ids=16, far_levels=1, triggers=1),
        Capacity("window too small", ladder_ticks=32, orders=8, ids=16, far_levels=1, triggers=1),
        Capacity("window too large", ladder_ticks=2**19, orders=8, ids=16, far_levels=1, triggers=1),
        Capacity("ids are no power of two", ladder_ticks=64, orders=8, ids=24, far_levels=1, triggers=1),
        Capacity("too few ids", ladder_ticks=64, orders=9, ids=16, far_levels=1, triggers=1),
        Capacity("no orders", ladder_ticks=64, orders=0, ids=16, far_levels=1, triggers=1),
        Capacity("no far levels", ladder_ticks=64, orders=8, ids=16, far_levels=0, triggers=1),
    ],
    ids=lambda capacity: capacity.name,
)
def test_impossible_capacity_is_refused(capacity: Capacity) -> None:
    with pytest.raises(ValueError):
        book_dtype(capacity)


# -- the bitmap --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 128, 4096, 8192, 64**3])
def test_bitmap_is_a_sorted_set(size: int) -> None:
    rng = np.random.default_rng(size)
    record = np.zeros(1, bitmap.bitmap_dtype(size))[0]
    edges = [i for i in (0, 1, 63, 64, 65, 4095, 4096, 4097, size - 1) if i < size]
    members: set[int] = set()
    for _ in range(400):
        i = int(rng.choice(edges)) if rng.random() < 0.5 else int(rng.integers(size))
        if rng.random() < 0.45:
            bitmap.insert(record, i)
            members.add(i)
        else:
            bitmap.discard(record, i)
            members.discard(i)
        for probe in (*edges, int(rng.integers(size))):
            assert bitmap.at_or_below(record, probe) == max((m for m in members if m <= probe), default=-1)


# -- orders ------------------------------------------------------------------------------------------------------------


def test_order_keeps_what_it_was_given(book: Book) -> None:
    assert add(book, 2**63 - 1, SELL, 123, qty=9, account=5, ts_ns=77) is BookStatus.OK
    slot = order_lookup(book, 2**63 - 1)
    order = book["orders"][slot]
    assert [int(order[name]) for name in ("order_id", "account", "price", "qty", "ts_ns", "side")] == [
        2**63 - 1,
        5,
        123,
        9,
        77,
        1,
    ]
    assert order_lookup(book, 1) == -1


def test_queue_is_first_in_first_out(book: Book) -> None:
    for order_id in (5, 3, 9, 4):
        add(book, order_id, BUY, 100)
    assert queue(book, BUY, 100) == [5, 3, 9, 4]
    reduce_order(book, order_lookup(book, 3), 1)
    assert queue(book, BUY, 100) == [5, 9, 4]
    add(book, 3, BUY, 100)
    remove_order(book, order_lookup(book, 5))
    assert queue(book, BUY, 100) == [9, 4, 3]
    assert level_qty(book, BUY, 100) == 3


def test_reduce_keeps_the_place_and_removes_at_nothing_left(book: Book) -> None:
    add(book, 1, BUY, 100, qty=5)
    add(book, 2, BUY, 100, qty=5)
    assert reduce_order(book, order_lookup(book, 1), 3) == 2
    assert queue(book, BUY, 100) == [1, 2]
    assert reduce_order(book, order_lookup(book, 1), 2) == 0
    assert order_lookup(book, 1) == -1
    assert levels(book, BUY) == [(100, 5)]


@pytest.mark.parametrize(
    ("price", "qty", "order_id", "status"),
    [
        (0, 1, 5, BookStatus.BAD_VALUE),
        (MAX_PRICE + 1, 1, 5, BookStatus.BAD_VALUE),
        (10, 0, 5, BookStatus.BAD_VALUE),
        (10, MAX_QTY, 5, BookStatus.BAD_VALUE),
        (10, 1, 0, BookStatus.BAD_VALUE),
        (10, 1, 1, BookStatus.DUPLICATE_ORDER),
    ],
)
def test_refused_order_changes_nothing(book: Book, price: int, qty: int, order_id: int, status: BookStatus) -> None:
    add(book, 1, BUY, 100)
    before = book.tobytes()
    assert add(book, order_id, BUY, price, qty=qty) is status
    assert book.tobytes() == before


def test_pool_is_used_to_the_last_place_and_again(book: Book) -> None:
    for _ in range(3):
        for i in range(1, TINY.orders + 1):
            assert add(book, i, i % 2, 100 + i % 2) is BookStatus.OK
        assert add(book, 99, BUY, 100) is BookStatus.POOL_FULL
        for i in range(1, TINY.orders + 1):
            remove_order(book, order_lookup(book, i))
    assert best(book, BUY) == best(book, SELL) == 0


def test_id_index_does_not_wear_out(book: Book) -> None:
    """A hundred thousand ids come and go: words in use are never more than orders, and every live id is found."""
    rng = np.random.default_rng(1)
    live: dict[int, None] = {}
    ids = rng.integers(1, 2**63 - 1, 100_000)
    for i, order_id in enumerate(ids.tolist()):
        if len(live) == TINY.orders - 1:
            gone = list(live)[int(rng.integers(len(live)))]
            remove_order(book, order_lookup(book, gone))
            del live[gone]
        assert add(book, order_id, BUY, 100) is BookStatus.OK
        live[order_id] = None
        if i % 1000 == 0:
            assert np.count_nonzero(book["index"]) == len(live)
            assert all(order_lookup(book, known) > 0 for known in live)


# -- levels: the window and beyond -------------------------------------------------------------------------------------


def test_stub_quotes_rest_and_are_read(book: Book) -> None:
    for order_id, side, price in [
        (1, BUY, 1),
        (2, SELL, 19_999_999),
        (3, BUY, 22_000),
        (4, SELL, 22_001),
        (5, SELL, MAX_PRICE),
    ]:
        assert add(book, order_id, side, price) is BookStatus.OK
    assert levels(book, BUY) == [(22_000, 1), (1, 1)]
    assert levels(book, SELL) == [(22_001, 1), (19_999_999, 1), (MAX_PRICE, 1)]
    prices, qtys = np.zeros(2, np.int64), np.zeros(2, np.int64)
    assert top_levels(book, SELL, 2, prices, qtys) == 2
    assert prices.tolist() == [22_001, 19_999_999]
    assert level_qty(book, SELL, 19_999_999) == 1
    assert level_qty(book, SELL, 19_999_998) == 0
    assert next_level(book, SELL, 25_000) == (19_999_999, 1), "from a price that has no level"
    remove_order(book, order_lookup(book, 4))
    assert best(book, SELL) == 19_999_999


def test_levels_leave_the_window_and_come_back(book: Book) -> None:
    """The market walks far up and down again; nothing is lost and the order of levels holds."""
    prices = [1_000, 1_010, 1_040, 1_500, 9_000]
    for i, price in enumerate(prices, 1):
        assert add(book, i, BUY, price, qty=i) is BookStatus.OK
        assert levels(book, BUY) == [(p, prices.index(p) + 1) for p in sorted(prices[:i], reverse=True)]
    assert book["sides"][BUY]["far_count"] == 4
    remove_order(book, order_lookup(book, 5))
    remove_order(book, order_lookup(book, 4))
    assert book["sides"][BUY]["far_count"] == 0
    assert levels(book, BUY) == [(1_040, 3), (1_010, 2), (1_000, 1)]


def test_far_level_removed_from_the_middle(book: Book) -> None:
    for i, price in enumerate([10_000, 100, 300, 200], 1):
        add(book, i, BUY, price)
    remove_order(book, order_lookup(book, 4))
    assert levels(book, BUY) == [(10_000, 1), (300, 1), (100, 1)]


def test_full_far_table_refuses_and_keeps_what_it_has(book: Book) -> None:
    for i in range(TINY.far_levels + 1):
        assert add(book, 1 + i, SELL, 1_000 * (i + 1)) is BookStatus.OK
    before = book.tobytes()
    assert add(book, 50, SELL, 100_000) is BookStatus.FAR_LEVELS_FULL, "a seventh level far away"
    assert add(book, 51, SELL, 10) is BookStatus.FAR_LEVELS_FULL, "a new touch that the window would have to follow"
    assert book.tobytes() == before
    assert add(book, 52, SELL, 6_000) is BookStatus.OK, "a level that is there"


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.booleans(), st.integers(0, 1), st.integers(1, 60) | st.integers(1, 400) | st.sampled_from([1, 10**6, MAX_PRICE])
        ),
        max_size=120,
    )
)
def test_ladder_is_a_sorted_map(steps: list[tuple[bool, int, int]]) -> None:
    """Levels open and close at random prices: reading the book is reading a sorted dict."""
    book = new_books(TINY, 1)[0]
    model: dict[tuple[int, int], int] = {}
    for opens, side, price in steps:
        if opens:
            if set_level(book, side, price, 5, 0) == BookStatus.OK:
                model[side, price] = 5
        else:
            expected = BookStatus.OK if (side, price) in model else BookStatus.UNKNOWN_ORDER
            assert set_level(book, side, price, 0, 0) == expected
            model.pop((side, price), None)
        for s in (BUY, SELL):
            prices = sorted((p for t, p in model if t == s), reverse=s == BUY)
            assert levels(book, s) == [(p, 5) for p in prices]
            assert best(book, s) == (prices[0] if prices else 0)


# -- the whole book ----------------------------------------------------------------------------------------------------


def test_clear_empties_both_sides(book: Book) -> None:
    for i, (side, price) in enumerate([(BUY, 1), (BUY, 900), (BUY, 901), (SELL, 950), (SELL, 10**7)], 1):
        add(book, i, side, price)
    clear(book)
    assert levels(book, BUY) == levels(book, SELL) == []
    assert order_lookup(book, 3) == -1
    assert int(state_hash(book)) == int(state_hash(new_books(TINY, 1)[0]))


def fold(h: int, value: int) -> int:
    z = (h ^ value % 2**64) * 0xFF51AFD7ED558CCD % 2**64
    return z ^ z >> 32


def chain(h: int, *values: int) -> int:
    for value in values:
        h = fold(h, value)
    return h


def test_state_hash_is_2_folded_with_the_time_plus_the_levels(book: Book) -> None:
    add(book, 5, BUY, 100, qty=9, account=3, ts_ns=70)
    add(book, 6, BUY, 100, qty=8, account=-1, ts_ns=71)
    add(book, 7, SELL, 101, qty=4, account=2, ts_ns=72)
    book["ts_ns"] = 80
    bids = chain(1, BUY, 100, 5, 3, 9, 70, 6, -1, 8, 71)
    asks = chain(1, SELL, 101, 7, 2, 4, 72)
    assert int(state_hash(book)) == (fold(2, 80) + bids + asks) % 2**64


def test_state_hash_sees_content_and_not_memory() -> None:
    book, other, roomy = new_books(TINY, 1)[0], new_books(TINY, 1)[0], new_books(SMALL, 1)[0]
    for b in (book, roomy):
        for i, price in enumerate([100, 100, 5_000, 99], 1):
            add(b, i, BUY, price, qty=i)
    for i, price in [(8, 70), (3, 5_000), (4, 99), (1, 100), (2, 100)]:
        add(other, i, BUY, price, qty=i)
    remove_order(other, order_lookup(other, 8))
    assert int(state_hash(book)) == int(state_hash(other)) == int(state_hash(roomy))

    def changed(name: str, value: int) -> int:
        copy = new_books(TINY, 1)
        copy[0] = book
        copy["orders"][name][0, order_lookup(copy[0], 2)] = value
        return int(state_hash(copy[0]))

    hashes = {int(state_hash(book)), changed("account", 1), changed("qty", 1), changed("ts_ns", 1), changed("order_id", 77)}
    swapped = new_books(TINY, 1)[0]
    for i, price in [(2, 100), (1, 100), (3, 5_000), (4, 99)]:
        add(swapped, i, BUY, price, qty=i)
    later = new_books(TINY, 1)
    later[0] = book
    later["ts_ns"] = 1
    hashes |= {int(state_hash(swapped)), int(state_hash(later[0]))}
    assert len(hashes) == 7


# -- rebuilding from events --------------------------------------------------------------------------------------------


def status(book: Book, kind: EventKind, **fields: int) -> BookStatus:
    return BookStatus(apply_event(book, event(kind, **fields)))


def test_rebuild_orders(book: Book) -> None:
    assert status(book, EventKind.ADD, order_id=1, side=BUY, price=100, qty=9, account=3, ts_ns=5) is BookStatus.OK
    assert status(book, EventKind.ADD, order_id=1, side=BUY, price=100, qty=9) is BookStatus.DUPLICATE_ORDER
    assert status(book, EventKind.CANCEL, order_id=1, qty=2) is BookStatus.OK
    assert status(book, EventKind.TRADE, contra_order_id=1, qty=3, price=100) is BookStatus.OK
    assert level_qty(book, BUY, 100) == 4
    assert status(book, EventKind.TRADE, contra_order_id=1, qty=4, flags=EventFlag.HIDDEN) is BookStatus.NO_EFFECT
    assert status(book, EventKind.TRADE, qty=4) is BookStatus.NO_EFFECT
    assert level_qty(book, BUY, 100) == 4
    assert status(book, EventKind.CANCEL, order_id=1, qty=5) is BookStatus.QTY_OVER
    assert levels(book, BUY) == []
    assert book["ts_ns"] == 5, "the book's time does not go back"


def test_rebuild_from_mid_session_counts_what_it_never_saw(book: Book) -> None:
    assert status(book, EventKind.CANCEL, order_id=1, qty=2) is BookStatus.UNKNOWN_ORDER
    assert status(book, EventKind.TRADE, contra_order_id=1, qty=2) is BookStatus.UNKNOWN_ORDER
    assert status(book, EventKind.LEVEL, side=SELL, price=5, qty=0) is BookStatus.UNKNOWN_ORDER


def test_a_trade_of_an_auction_takes_from_both_orders(book: Book) -> None:
    add(book, 1, BUY, 105, qty=9)
    add(book, 2, SELL, 100, qty=4)
    auction = {"flags": EventFlag.AUCTION, "price": 103, "qty": 4}
    assert status(book, EventKind.TRADE, order_id=2, contra_order_id=1, **auction) is BookStatus.OK
    assert (levels(book, BUY), levels(book, SELL)) == ([(105, 5)], [])


def test_a_trade_of_an_auction_tells_the_worse_of_both_outcomes(book: Book) -> None:
    auction = {"order_id": 2, "contra_order_id": 1, "flags": EventFlag.AUCTION, "qty": 4}
    add(book, 1, BUY, 105, qty=9)
    assert status(book, EventKind.TRADE, **auction) is BookStatus.UNKNOWN_ORDER
    assert levels(book, BUY) == [(105, 5)], "the maker is known"
    add(book, 2, SELL, 100, qty=3)
    assert status(book, EventKind.TRADE, **auction) is BookStatus.QTY_OVER
    assert (levels(book, BUY), levels(book, SELL)) == ([(105, 1)], [])


def test_a_derived_level_changes_nothing(book: Book) -> None:
    add(book, 1, BUY, 100, qty=9)
    assert status(book, EventKind.LEVEL, side=BUY, price=100, qty=9, flags=EventFlag.DERIVED) is BookStatus.NO_EFFECT
    assert status(book, EventKind.LEVEL, side=BUY, price=99, qty=9, flags=EventFlag.DERIVED) is BookStatus.NO_EFFECT
    assert levels(book, BUY) == [(100, 9)]


@pytest.mark.parametrize("kind", [EventKind.ARM, EventKind.TRIGGER, EventKind.STATE, EventKind.ACK, EventKind.DONE])
def test_what_does_not_rest_changes_no_book(book: Book, kind: EventKind) -> None:
    add(book, 1, BUY, 100, qty=9)
    assert status(book, kind, order_id=1, side=BUY, price=100, qty=9) is BookStatus.NO_EFFECT
    assert levels(book, BUY) == [(100, 9)]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (EventKind.ADD, {"order_id": 1, "side": 2, "price": 5, "qty": 1}),
        (EventKind.ADD, {"order_id": 0, "price": 5, "qty": 1}),
        (EventKind.ADD, {"order_id": int(level_id(0, 5)), "price": 5, "qty": 1}),
        (EventKind.ADD, {"order_id": 1, "price": 0, "qty": 1}),
        (EventKind.ADD, {"order_id": 1, "price": 5, "qty": -1}),
        (EventKind.CANCEL, {"order_id": 9, "qty": 0}),
        (EventKind.CANCEL, {"order_id": int(level_id(0, 100)), "qty": 1}),
        (EventKind.TRADE, {"contra_order_id": 9, "qty": -1}),
        (EventKind.LEVEL, {"side": 7, "price": 5, "qty": 1}),
        (EventKind.LEVEL, {"price": 0, "qty": 1}),
        (EventKind.LEVEL, {"price": MAX_PRICE + 1, "qty": 1}),
        (EventKind.LEVEL, {"price": 5, "qty": -1}),
        (EventKind.LEVEL, {"price": 100, "qty": MAX_QTY}),
    ],
)
def test_bad_event_changes_no_order(book: Book, kind: EventKind, fields: dict[str, int]) -> None:
    add(book, 9, BUY, 100)
    set_level(book, BUY, 100, 3, 0)
    before = book.tobytes()
    assert status(book, kind, **fields) is BookStatus.BAD_VALUE
    assert book.tobytes() == before


def test_rebuilt_book_may_be_crossed_for_a_moment(book: Book) -> None:
    status(book, EventKind.ADD, order_id=1, side=SELL, price=100, qty=1)
    assert status(book, EventKind.ADD, order_id=2, side=BUY, price=105, qty=1) is BookStatus.OK
    assert (best(book, BUY), best(book, SELL)) == (105, 100)
    assert status(book, EventKind.CANCEL, order_id=1, qty=1) is BookStatus.OK
    assert levels(book, BUY) == [(105, 1)]


def test_rebuild_levels(book: Book) -> None:
    assert status(book, EventKind.LEVEL, side=SELL, price=100, qty=5, ts_ns=3) is BookStatus.OK
    assert status(book, EventKind.LEVEL, side=BUY, price=100, qty=6, ts_ns=3) is BookStatus.OK
    assert status(book, EventKind.LEVEL, side=SELL, price=100, qty=9, ts_ns=4) is BookStatus.OK
    assert status(book, EventKind.LEVEL, side=SELL, price=100, qty=2, ts_ns=5) is BookStatus.OK
    assert (levels(book, BUY), levels(book, SELL)) == ([(100, 6)], [(100, 2)])
    order = book["orders"][order_lookup(book, level_id(SELL, 100))]
    assert (order["account"], order["ts_ns"], order["qty"]) == (-1, 3, 2)
    assert status(book, EventKind.LEVEL, side=SELL, price=100, qty=0) is BookStatus.OK
    assert levels(book, SELL) == []
    assert status(book, EventKind.CLEAR) is BookStatus.OK
    assert levels(book, BUY) == []


def test_batch_counts_every_status() -> None:
    books = new_books(TINY, 2)
    events = np.array([
        event(EventKind.ADD, symbol=1, order_id=1, price=5, qty=1),
        event(EventKind.CANCEL, symbol=0, order_id=1, qty=1),
        event(EventKind.CLOCK, symbol=-1),
        event(EventKind.REJECT, symbol=0),
        event(EventKind.ADD, symbol=2, order_id=1, price=5, qty=1),
        event(EventKind.ADD, symbol=-2, order_id=1, price=5, qty=1),
    ], EVENT_DTYPE)  # fmt: skip
    counts = np.zeros(len(BookStatus), np.int64)
    apply_events(books, events, counts)
    apply_events(books, events[:0], counts)
    counted = {s: int(counts[s]) for s in BookStatus if counts[s]}
    assert counted == {BookStatus.OK: 1, BookStatus.UNKNOWN_ORDER: 1, BookStatus.NO_EFFECT: 2, BookStatus.UNKNOWN_SYMBOL: 2}
    assert best(books[1], BUY) == 5
