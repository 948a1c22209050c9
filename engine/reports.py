"""Writing events: one function for each form that several parts of the engine write.

Compiled code writes into a *page*: `PAGE_ROWS` rows of the caller's buffer, seen as one record. A record is a pointer, where
an array handed from function to function costs a reference count at each step.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.book import level_qty
from engine.contract import EVENT_DTYPE, EventFlag, EventKind
from engine.kernel import constant, inner, wide
from engine.market import NO_ID, NO_ONE, NOTHING

PAGE_ROWS: Final = 128
PAGE_DTYPE: Final = np.dtype([("rows", EVENT_DTYPE, (PAGE_ROWS,))])

REPLY: Final = constant(EventFlag.REPLY)
_DERIVED: Final = constant(EventFlag.DERIVED)
_REJECT: Final = constant(EventKind.REJECT)
_TRADE: Final = constant(EventKind.TRADE)
_LEVEL: Final = constant(EventKind.LEVEL)


@inner
def next_row(page: np.void, head: np.void) -> np.void:
    """The page's next row, with time and sequence. The row has room: whoever takes a step has seen to it."""
    event: np.void = page["rows"][head["row"]]
    head["row"] += 1
    head["seq"] += 1
    event["ts_ns"] = head["work"]["now_ns"]
    event["seq"] = head["seq"]
    return event


@inner
def report(
    page: np.void,
    head: np.void,
    kind: int,
    order_id: int,
    account: int,
    symbol: int,
    side: int,
    price: int,
    qty: int,
    leaves: int,
    contra: int,
    flags: int,
    code: int,
) -> None:
    """Writes an event that is of one account, or of none."""
    event = next_row(page, head)
    event["order_id"] = order_id
    event["contra_order_id"] = contra
    event["account"] = account
    event["contra_account"] = NO_ONE
    event["price"] = price
    event["qty"] = qty
    event["leaves"] = leaves
    event["symbol"] = symbol
    event["kind"] = kind
    event["side"] = side
    event["flags"] = flags
    event["code"] = code


@inner
def report_trade(
    page: np.void,
    head: np.void,
    taker_id: int,
    taker_account: int,
    maker: np.void,
    symbol: int,
    side: int,
    price: int,
    lots: int,
    flags: int,
) -> None:
    """Writes a trade with a resting order that has not lost the lots yet."""
    event = next_row(page, head)
    event["order_id"] = taker_id
    event["contra_order_id"] = maker["order_id"]
    event["account"] = taker_account
    event["contra_account"] = maker["account"]
    event["price"] = price
    event["qty"] = lots
    event["leaves"] = maker["qty"] - lots
    event["symbol"] = symbol
    event["kind"] = _TRADE
    event["side"] = side
    event["flags"] = flags
    event["code"] = NOTHING


@inner
def reject(page: np.void, head: np.void, op: np.void, symbol: int, leaves: int, code: int) -> None:
    """Refuses an op."""
    side = wide(op["side"]) if op["side"] <= 1 else NOTHING  # readers index by it
    report(page, head, _REJECT, op["order_id"], op["account"], symbol, side, op["price"], op["qty"], leaves, NO_ID, REPLY, code)


@inner
def tell_level(book: np.void, desk: np.void, page: np.void, head: np.void, symbol: int, side: int, price: int) -> None:
    """Says what a level displays now, where the rules want it said."""
    if desk["rules"]["deltas"]:
        lots = level_qty(book, side, price)
        report(page, head, _LEVEL, NO_ID, NO_ONE, symbol, side, price, lots, NOTHING, NO_ID, _DERIVED, NOTHING)
