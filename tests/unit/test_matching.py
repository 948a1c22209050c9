"""The rules of `engine.matching`, one by one."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

import engine.matching
from engine.book import MAX_PRICE, MAX_QTY, best, new_books, next_level, state_hash
from engine.contract import EVENT_DTYPE, NO_ACCOUNT, OP_DTYPE, EventKind, OpFlag, OpKind, OrderType, Reason, Side, TimeInForce
from engine.matching import process, run
from tests.oracle.flows import TINY, wandering_market

BUY, SELL = Side.BUY, Side.SELL


def op(**fields: int) -> np.ndarray:
    row = np.zeros(1, OP_DTYPE)
    for name, value in fields.items():
        row[name] = value
    return row


def new(order_id: int, side: int, price: int, qty: int, /, **fields: int) -> np.ndarray:
    return op(**({"kind": OpKind.NEW, "order_id": order_id, "side": side, "price": price, "qty": qty, "account": 1} | fields))


def market(order_id: int, side: Side, qty: int) -> np.ndarray:
    return new(order_id, side, 0, qty, order_type=OrderType.MARKET)


def cancel(order_id: int, account: int = 1) -> np.ndarray:
    return op(kind=OpKind.CANCEL, order_id=order_id, account=account)


def trade(*ops: np.ndarray, books: np.ndarray | None = None) -> list[tuple[str, int, int, int, str]]:
    """(kind, other order or 0, price, qty, reason) of every event."""
    events = run(new_books(TINY, 1) if books is None else books, np.concatenate(ops))
    return [
        (EventKind(e["kind"]).name, int(e["contra_order_id"]), int(e["price"]), int(e["qty"]), Reason(e["code"]).name)
        for e in events
    ]


def test_the_documented_example_is_true() -> None:
    result = doctest.testmod(engine.matching)
    assert result.attempted > 0
    assert result.failed == 0


def test_better_price_first_then_older_order_at_the_makers_price() -> None:
    assert trade(
        new(1, SELL, 101, 5), new(2, SELL, 100, 3), new(3, SELL, 100, 4), new(4, BUY, 105, 9)
    )[3:] == [
        ("TRADE", 2, 100, 3, "NONE"),
        ("TRADE", 3, 100, 4, "NONE"),
        ("TRADE", 1, 101, 2, "NONE"),
        ("DONE", 0, 105, 9, "FILLED"),
    ]  # fmt: skip


def test_partial_fill_keeps_its_place_in_the_queue() -> None:
    events = trade(new(1, BUY, 50, 5), new(2, BUY, 50, 5), new(3, SELL, 50, 2), new(4, BUY, 50, 1), new(5, SELL, 50, 6))
    assert [e[1:4] for e in events if e[0] == "TRADE"] == [(1, 50, 2), (1, 50, 3), (2, 50, 3)]


def test_trade_event_tells_both_sides() -> None:
    ops = np.concatenate([new(1, SELL, 100, 5, account=3, ts_ns=1), new(2, BUY, 101, 2, account=4, ts_ns=9)])
    event = run(new_books(TINY, 1), ops)[1]
    assert event.item() == (9, 2, 2, 1, 4, 3, 100, 2, 3, 0, EventKind.TRADE, BUY, 0, 0)


def test_remainder_of_a_limit_order_rests() -> None:
    assert trade(new(1, SELL, 100, 2), new(2, BUY, 100, 5))[1:] == [("TRADE", 1, 100, 2, "NONE"), ("ADD", 0, 100, 3, "NONE")]


def test_ioc_and_market_remainders_expire() -> None:
    books = new_books(TINY, 1)
    ops = (
        new(1, SELL, 100, 2),
        new(2, BUY, 100, 5, tif=TimeInForce.IOC),
        new(3, SELL, 99, 1),
        market(4, BUY, 7),
        market(5, SELL, 1),
    )
    assert trade(*ops, books=books) == [
        ("ADD", 0, 100, 2, "NONE"),
        ("TRADE", 1, 100, 2, "NONE"),
        ("DONE", 0, 100, 2, "IOC_REMAINDER"),
        ("ADD", 0, 99, 1, "NONE"),
        ("TRADE", 3, 99, 1, "NONE"),
        ("DONE", 0, 0, 1, "NO_LIQUIDITY"),
        ("DONE", 0, 0, 0, "NO_LIQUIDITY"),
    ]
    assert best(books[0], BUY) == best(books[0], SELL) == 0


def test_post_only_is_refused_if_any_part_would_trade() -> None:
    flags = OpFlag.POST_ONLY
    assert trade(new(1, SELL, 100, 2), new(2, BUY, 100, 5, flags=flags), new(3, BUY, 99, 5, flags=flags))[1:] == [
        ("REJECT", 0, 100, 5, "POST_ONLY_WOULD_CROSS"),
        ("ADD", 0, 99, 5, "NONE"),
    ]


def test_cancel_takes_what_is_left_and_only_once() -> None:
    assert trade(new(1, SELL, 100, 5), new(2, BUY, 100, 2), cancel(1), cancel(1))[3:] == [
        ("CANCEL", 0, 100, 3, "BY_OWNER"),
        ("REJECT", 0, 0, 0, "UNKNOWN_ORDER"),
    ]


def test_cancel_that_lost_the_race_against_a_fill_is_refused() -> None:
    assert trade(new(1, SELL, 100, 5), new(2, BUY, 100, 5), cancel(1))[-1] == ("REJECT", 0, 0, 0, "UNKNOWN_ORDER")


def test_only_the_owner_cancels() -> None:
    assert trade(new(1, SELL, 100, 5, account=2), cancel(1, account=3), cancel(1, account=2))[1:] == [
        ("REJECT", 0, 0, 0, "NOT_OWNER"),
        ("CANCEL", 0, 100, 5, "BY_OWNER"),
    ]


def test_live_id_is_refused_and_may_be_used_again_later() -> None:
    assert trade(new(1, SELL, 100, 5), new(1, BUY, 90, 1), cancel(1), new(1, BUY, 90, 1))[1:] == [
        ("REJECT", 0, 90, 1, "DUPLICATE_ORDER_ID"),
        ("CANCEL", 0, 100, 5, "BY_OWNER"),
        ("ADD", 0, 90, 1, "NONE"),
    ]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (new(1, BUY, 10, 1, kind=OpKind.CLOCK), Reason.BAD_FIELD),
        (new(1, BUY, 10, 1, kind=0), Reason.BAD_FIELD),
        (new(1, BUY, 10, 1, side=2), Reason.BAD_FIELD),
        (new(1, BUY, 10, 1, order_type=2), Reason.BAD_FIELD),
        (new(1, BUY, 10, 1, tif=2), Reason.BAD_FIELD),
        (new(1, BUY, 10, 1, flags=2), Reason.BAD_FIELD),
        (new(1, BUY, 10, 1, flags=0x8001), Reason.BAD_FIELD),
        (new(1, BUY, 10, 1, code=1), Reason.BAD_FIELD),
        (new(1, BUY, 10, 1, reserved=1), Reason.BAD_FIELD),
        (new(0, BUY, 10, 1), Reason.BAD_FIELD),
        (new(-5, BUY, 10, 1), Reason.BAD_FIELD),
        (new(1, BUY, 10, 1, account=-1), Reason.BAD_FIELD),
        (new(1, BUY, 10, 1, flags=OpFlag.POST_ONLY, tif=TimeInForce.IOC), Reason.BAD_FIELD),
        (new(1, BUY, 0, 1, flags=OpFlag.POST_ONLY, order_type=OrderType.MARKET), Reason.BAD_FIELD),
        (new(1, BUY, 10, 1, order_type=OrderType.MARKET), Reason.BAD_PRICE),
        (new(1, BUY, 0, 1), Reason.BAD_PRICE),
        (new(1, BUY, -1, 1), Reason.BAD_PRICE),
        (new(1, BUY, MAX_PRICE + 1, 1), Reason.BAD_PRICE),
        (new(1, BUY, 10, 0), Reason.BAD_QUANTITY),
        (new(1, BUY, 10, -3), Reason.BAD_QUANTITY),
        (cancel(0), Reason.BAD_FIELD),
        (cancel(1, account=-1), Reason.BAD_FIELD),
        (op(kind=OpKind.CANCEL, order_id=1, qty=1), Reason.BAD_FIELD),
        (op(kind=OpKind.CANCEL, order_id=1, side=1), Reason.BAD_FIELD),
        (new(1, BUY, 10, 1, symbol=1), Reason.UNKNOWN_SYMBOL),
        (new(1, BUY, 10, 1, symbol=-1), Reason.UNKNOWN_SYMBOL),
        (new(1, BUY, 10, 1, ts_ns=-1), Reason.TIME_WENT_BACK),
    ],
)
def test_wrong_op_is_refused_and_changes_nothing(wrong: np.ndarray, reason: Reason) -> None:
    books = new_books(TINY, 1)
    before = books.copy()
    (event,) = run(books, wrong)
    assert (event["kind"], Reason(event["code"])) == (EventKind.REJECT, reason)
    assert event["side"] <= 1
    assert event["symbol"] == (-1 if reason is Reason.UNKNOWN_SYMBOL else 0)
    assert books.tobytes() == before.tobytes()


def test_time_goes_back_for_one_book_only() -> None:
    books = new_books(TINY, 2)
    ops = [
        new(1, BUY, 10, 1, ts_ns=5),
        new(2, BUY, 10, 1, ts_ns=4),
        new(3, BUY, 10, 1, ts_ns=4, symbol=1),
        new(4, BUY, 9, 1, ts_ns=5),
    ]
    events = run(books, np.concatenate(ops))
    assert events["kind"].tolist() == [EventKind.ADD, EventKind.REJECT, EventKind.ADD, EventKind.ADD]
    assert events["ts_ns"].tolist() == [5, 5, 4, 5]


def test_lots_of_one_side_stay_within_63_bits() -> None:
    books = new_books(TINY, 1)
    ops = (
        new(1, BUY, 10, MAX_QTY - 1),
        new(2, BUY, 5, 2),
        new(3, BUY, 5, 1),
        new(4, SELL, 20, MAX_QTY),
        market(5, SELL, MAX_QTY),
    )
    assert trade(*ops, books=books) == [
        ("ADD", 0, 10, MAX_QTY - 1, "NONE"),
        ("REJECT", 0, 5, 2, "BAD_QUANTITY"),
        ("ADD", 0, 5, 1, "NONE"),
        ("ADD", 0, 20, MAX_QTY, "NONE"),
        ("REJECT", 0, 0, MAX_QTY, "BAD_QUANTITY"),
    ]
    assert trade(market(6, BUY, 1), books=books) == [("REJECT", 0, 0, 1, "BAD_QUANTITY")]


def test_stub_quotes_rest_and_are_reached() -> None:
    events = trade(
        new(1, SELL, 19_999_999, 7), new(2, SELL, 22_000, 1), new(3, BUY, 1, 9), new(4, BUY, 21_990, 1),
        new(5, SELL, MAX_PRICE, 1), market(6, BUY, 9), market(7, SELL, 10),
    )  # fmt: skip
    assert [e[:4] for e in events[5:]] == [
        ("TRADE", 2, 22_000, 1),
        ("TRADE", 1, 19_999_999, 7),
        ("TRADE", 5, MAX_PRICE, 1),
        ("DONE", 0, 0, 9),
        ("TRADE", 4, 21_990, 1),
        ("TRADE", 3, 1, 9),
        ("DONE", 0, 0, 10),
    ]


def test_full_pool_refuses_what_would_rest_but_not_what_trades() -> None:
    books = new_books(TINY, 1)
    for i in range(TINY.orders):
        trade(new(1 + i, BUY, 10, 1), books=books)
    assert trade(new(100, BUY, 11, 1), books=books) == [("REJECT", 0, 11, 1, "POOL_FULL")]
    assert trade(new(101, SELL, 10, 1), books=books)[-1] == ("DONE", 0, 10, 1, "FILLED")
    trade(new(102, BUY, 10, 1), books=books)
    events = trade(new(103, SELL, 10, TINY.orders + 1), books=books)
    assert events[-1] == ("ADD", 0, 10, 1, "NONE")


def test_full_far_table_refuses_an_order_or_ends_its_remainder() -> None:
    books = new_books(TINY, 1)
    for i in range(TINY.far_levels + 1):
        trade(new(1 + i, BUY, 10_000 - 1_000 * i, 1), books=books)
    assert trade(new(20, BUY, 500, 1), books=books) == [("REJECT", 0, 500, 1, "FAR_LEVELS_FULL")]
    assert trade(new(21, BUY, 9_000, 1), books=books)[-1][0] == "ADD", "a level that is there has room"
    before = int(state_hash(books[0]))
    assert trade(new(22, BUY, 20_000, 1), books=books)[-1][4] == "FAR_LEVELS_FULL", "the window cannot follow"
    assert int(state_hash(books[0])) == before
    trade(new(23, SELL, 30_000, 2), books=books)
    assert trade(new(24, BUY, 30_000, 5), books=books) == [
        ("TRADE", 23, 30_000, 2, "NONE"),
        ("DONE", 0, 30_000, 2, "FAR_LEVELS_FULL"),
    ]
    assert next_level(books[0], BUY, 0) == (10_000, 1)


@pytest.mark.parametrize("room", [1, 2, 3, 7])
def test_any_event_buffer_gives_the_same_events(room: int) -> None:
    ops = wandering_market(3_000, seed=3, spread=20.0, jump=0.002)
    books, same = new_books(TINY, 2), new_books(TINY, 2)
    expected = run(books, ops)
    got = []
    done = seq = 0
    while done < len(ops):
        events = np.full(room * EVENT_DTYPE.itemsize, 0xAA, np.uint8).view(EVENT_DTYPE)
        consumed, written = process(same, ops[done:], events, seq + 1)
        assert consumed or written, "every call gets on"
        got.append(events[:written])
        done += consumed
        seq += written
        same = same.copy()  # the state of a half-done op is in the book, nowhere else
    assert np.concatenate(got).tobytes() == expected.tobytes()
    assert same.tobytes() == books.tobytes()


def test_half_done_op_must_be_gone_on_with() -> None:
    books = new_books(TINY, 1)
    run(books, np.concatenate([new(1, SELL, 100, 1), new(2, SELL, 101, 1)]))
    events = np.zeros(1, EVENT_DTYPE)
    assert process(books, new(3, BUY, 101, 2), events, 1) == (0, 1)
    for other in (new(4, BUY, 101, 2), cancel(3), cancel(2)):
        with pytest.raises(ValueError, match="in the midst of another op"):
            process(books, other, events, 2)
    assert process(books, new(3, BUY, 101, 2), events, 2) == (0, 1)
    assert process(books, new(3, BUY, 101, 2), events, 3) == (1, 1)
    assert (events[0]["kind"], events[0]["code"], events[0]["contra_account"]) == (EventKind.DONE, Reason.FILLED, NO_ACCOUNT)


def test_books_do_not_touch_each_other() -> None:
    ops = wandering_market(2_000, seed=4, spread=20.0, jump=0.002)
    together, alone = new_books(TINY, 2), new_books(TINY, 2)
    run(together, ops)
    for symbol in (0, 1):
        run(alone, ops[ops["symbol"] == symbol])
    assert together.tobytes() == alone.tobytes()
