"""Section 11: the state hashes, each a chain of folds over plain integers.

What is hashed often is cached by `naive_book.NaiveBook`; here are only the values and their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.oracle.naive_book import Holding, Level, NaiveBook, Order
    from tests.oracle.naive_throttle import Account

MASK = 2**64 - 1


def chain(h: int, *values: int) -> int:
    """`values` folded into `h`, one after the other."""
    for value in values:
        z = ((h ^ (value & MASK)) * 0xFF51AFD7ED558CCD) & MASK
        h = z ^ (z >> 32)
    return h


def visible_level(level: Level) -> int:
    h = chain(1, level.side, level.price)
    for order in level.queue:
        if order.qty:
            h = chain(h, order.order_id, order.account, order.qty, order.ts_ns)
    return h


def full_level(level: Level) -> int:
    h = chain(1, level.side, level.price)
    for order in level.queue:
        if order.qty:
            h = chain(
                h, order.order_id, order.account, order.qty, order.ts_ns, order.flags + 65536 * order.stp,
                order.hidden, order.display, order.expire_s, id_of(order.link), id_of(order.other),
            )  # fmt: skip
    return h


def waiting_order(order: Order) -> int:
    """Of an order that is waiting or dormant."""
    return chain(
        3, order.order_id, order.account, order.side, order.qty, order.price, order.trigger, order.flags + 65536 * order.stp,
        order.order_type + 256 * order.tif + 65536 * order.reference + 16777216 * order.state,
        order.expire_s, id_of(order.link), id_of(order.other), order.extreme, int(order.active), order.arrival,
    )  # fmt: skip


def visible_book(book: NaiveBook, levels: int) -> int:
    """`levels` is the sum of the visible hashes of the book's levels."""
    return (chain(2, book.ts_ns) + levels) & MASK


def full_book(book: NaiveBook, parts: int) -> int:
    """`parts` is the sum over levels and over waiting and dormant orders."""
    h = chain(
        2, book.ts_ns, book.state, book.index, book.mark, book.last, book.arrivals,
        book.quote_state, len(book.quote_legs), book.quote_account,
    )  # fmt: skip
    for leg in book.quote_legs:
        h = chain(h, leg.order_id, leg.side, leg.price, leg.qty, leg.flags + 65536 * leg.stp)
    return (h + parts) & MASK


def account(number: int, state: Account) -> int:
    values = (state.tat, state.retry, state.ignored, state.bans, state.banned_until, state.deadline, int(state.cancel_at_end))
    return chain(4, number, *values) if any(values) else 0


def holding(symbol: int, held: Holding) -> int:
    values = (held.position, held.open[0], held.open[1])
    return chain(5, held.account, symbol, *values) if any(values) else 0


def id_of(order: Order | None) -> int:
    return order.order_id if order else 0
