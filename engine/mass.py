"""What concerns many orders at once: mass cancels, mass quotes, the clock. `docs/matching.md`, sections 4 and 9.

These run in steps of at most a few events each, so that `engine.matching` can stop between two of them; how far they are
stands in `head["work"]`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine import id_index
from engine.admission import (
    bounds_reason,
    field_reason,
    notional_reason,
    position_reason,
    price_reason,
    quantity_reason,
    side_lots,
    state_reason,
)
from engine.conditional import next_expired
from engine.contract import EventKind, OpFlag, OrderType, Reason, SymbolState, TimeInForce
from engine.entering import FROM_LEG, enter, refuse, side_is_full
from engine.kernel import constant, inner
from engine.market import FROM_QUOTE, MAX_LEGS, NO_ID, NOTHING, RESTING, UNBOUNDED
from engine.orders import cancel
from engine.reports import REPLY, reject, report
from engine.requests import resolve_stp, stay_passive

# `quote_state` of a desk.
NO_GROUP: Final = constant(0)
HELD_BACK: Final = constant(1)
BROKEN: Final = constant(2)

# `stage` of the work: engine.entering has 1 and 2, engine.matching the rest.
CANCELLING: Final = constant(3)
EXPIRING: Final = constant(4)
TIMING_OUT: Final = constant(5)
REPLACING: Final = constant(6)
LEGS: Final = constant(7)

_ACK: Final = constant(EventKind.ACK)
_REJECT: Final = constant(EventKind.REJECT)
_LIMIT: Final = constant(OrderType.LIMIT)
_GTC: Final = constant(TimeInForce.GTC)
_HALTED: Final = constant(SymbolState.HALTED)
_POST_ONLY: Final = constant(OpFlag.POST_ONLY)
_MORE: Final = constant(OpFlag.MORE)
_NONE: Final = constant(Reason.NONE)
_BAD_QUANTITY: Final = constant(Reason.BAD_QUANTITY)
_DUPLICATE_ORDER_ID: Final = constant(Reason.DUPLICATE_ORDER_ID)
_REPLACED: Final = constant(Reason.REPLACED)
_QUOTE_BROKEN: Final = constant(Reason.QUOTE_BROKEN)
_DEAD_MAN: Final = constant(Reason.DEAD_MAN)
_EXPIRED: Final = constant(Reason.EXPIRED)


@inner
def begin_cancels(head: np.void, account: int, first: int, last: int, code: int) -> None:
    """Sets the work to cancel all orders of an account in the symbols `first` … `last`."""
    work = head["work"]
    work["stage"] = CANCELLING
    work["account"] = account
    work["symbol"] = first
    work["last_symbol"] = last
    work["code"] = code
    work["count"] = 0


@inner
def cancel_next(books: np.ndarray, desks: np.ndarray, holdings: np.ndarray, page: np.void, head: np.void) -> bool:
    """Cancels the account's order that entered last in the present symbol, or goes on to the next one.

    Returns whether there was nothing left.
    """
    work = head["work"]
    k = work["symbol"]
    holding = holdings[work["account"], k]
    if holding["orders"] and (desks[k]["state"] != _HALTED or work["code"] == _DEAD_MAN):
        work["count"] += 1
        slot = np.uint64(holding["orders"])
        cancel(books[k], desks[k], holding, slot, page, head, k, work["code"], NOTHING, NO_ID)
        return False
    work["symbol"] += 1
    done: bool = work["symbol"] > work["last_symbol"]
    return done


@inner
def acknowledge(page: np.void, head: np.void, account: int, symbol: int, qty: int) -> None:
    """The reply to an op that concerns no single order."""
    report(page, head, _ACK, NO_ID, account, symbol, NOTHING, NOTHING, qty, NOTHING, NO_ID, REPLY, _NONE)


@inner
def expire_next(books: np.ndarray, desks: np.ndarray, holdings: np.ndarray, page: np.void, head: np.void) -> None:
    """Ends the next order whose time is over, or goes on to the next symbol, or to the dead-man timers."""
    work = head["work"]
    k = work["symbol"]
    slot = next_expired(desks[k], work["now_ns"])
    if slot:
        holding = holdings[books[k]["orders"][slot]["account"], k]
        cancel(books[k], desks[k], holding, slot, page, head, k, _EXPIRED, NOTHING, NO_ID)
        return
    work["symbol"] += 1
    if work["symbol"] == len(books):
        work["stage"] = TIMING_OUT


@inner
def next_timed_out(accounts: np.ndarray, head: np.void) -> int:
    """The account whose dead-man timer is over: the earliest, of equal ones the lowest. -1 if there is none."""
    now_ns = head["work"]["now_ns"]
    if head["next_deadline_ns"] > now_ns:
        return -1
    found, earliest = -1, UNBOUNDED
    for a in range(len(accounts)):
        deadline_ns = accounts[a]["deadline_ns"]
        if 0 < deadline_ns < earliest:
            found, earliest = a, deadline_ns
    head["next_deadline_ns"] = earliest
    return found if earliest <= now_ns else -1


@inner
def leg_reason(book: np.void, desk: np.void, op: np.void) -> int:
    """Steps 7 to 10 for one leg, without what needs the whole group."""
    reason = field_reason(op)
    if reason == _NONE:
        reason = state_reason(desk["state"], op)
    if reason == _NONE:
        reason = price_reason(desk["rules"], _LIMIT, op["price"], NOTHING)
    if reason == _NONE and op["qty"] != 0:
        reason = quantity_reason(desk["rules"], NOTHING, op["qty"], NOTHING, side_lots(book, desk, op["side"]))
    if reason == _NONE and desk["legs"] == MAX_LEGS:
        reason = _BAD_QUANTITY
    return reason


@inner
def hold_leg(desk: np.void, op: np.void) -> None:
    """Holds a good leg back."""
    leg = desk["quote"][desk["legs"]]
    leg["order_id"] = op["order_id"]
    leg["price"] = op["price"]
    leg["qty"] = op["qty"]
    leg["flags"] = op["flags"]
    leg["stp"] = op["stp"]
    leg["side"] = op["side"]
    desk["legs"] += 1
    desk["quote_state"] = HELD_BACK
    desk["quote_account"] = op["account"]


@inner
def end_group(desk: np.void) -> None:
    """No group is open any more."""
    desk["quote_state"] = NO_GROUP
    desk["quote_account"] = 0
    desk["legs"] = 0


@inner
def break_group(desk: np.void, page: np.void, head: np.void, symbol: int) -> None:
    """Refuses the legs held back."""
    for i in range(desk["legs"]):
        leg = desk["quote"][i]
        report(
            page,
            head,
            _REJECT,
            leg["order_id"],
            desk["quote_account"],
            symbol,
            leg["side"],
            leg["price"],
            leg["qty"],
            NOTHING,
            NO_ID,
            REPLY,
            _QUOTE_BROKEN,
        )
    end_group(desk)


@inner
def refuse_leg(desk: np.void, op: np.void, page: np.void, head: np.void, symbol: int, leaves: int, reason: int) -> None:
    """Refuses a leg, and with it its group: the legs before it now, those behind it when they come."""
    break_group(desk, page, head, symbol)
    if op["flags"] & _MORE:
        desk["quote_state"] = BROKEN
        desk["quote_account"] = op["account"]
    reject(page, head, op, symbol, leaves, reason)


@inner
def replace_next(book: np.void, desk: np.void, holding: np.void, page: np.void, head: np.void, symbol: int) -> None:
    """Cancels the account's quote that entered last; without one the legs' turn comes."""
    slot = np.uint64(holding["orders"])
    while slot:
        order = book["orders"][slot]
        if order["flags"] & FROM_QUOTE and order["state"] == RESTING:
            cancel(book, desk, holding, slot, page, head, symbol, _REPLACED, NOTHING, NO_ID)
            return
        slot = np.uint64(desk["own"][slot]["next"])
    head["work"]["stage"] = LEGS
    head["work"]["leg"] = 0


@inner
def enter_leg(book: np.void, desk: np.void, holding: np.void, page: np.void, head: np.void, symbol: int) -> None:
    """The next leg of a whole group enters the book."""
    work = head["work"]
    leg = desk["quote"][work["leg"]]
    work["leg"] += 1
    account = desk["quote_account"]
    if leg["qty"] == 0:
        report(
            page, head, _ACK, leg["order_id"], account, symbol, leg["side"], leg["price"], NOTHING, NOTHING, NO_ID, REPLY, _NONE
        )
        return
    taker = work["taker"]
    taker["order_id"] = leg["order_id"]
    taker["account"] = account
    taker["price"] = leg["price"]
    taker["asked"] = leg["qty"]
    taker["qty"] = leg["qty"]
    taker["display"] = 0
    taker["link"] = NO_ID
    taker["other"] = NO_ID
    taker["flags"] = (leg["flags"] & ~_MORE) | FROM_QUOTE
    taker["side"] = leg["side"]
    taker["stp"] = resolve_stp(desk, leg["stp"])
    taker["order_type"] = _LIMIT
    taker["tif"] = _GTC
    taker["expire_s"] = 0
    taker["origin"] = FROM_LEG
    taker["reply"] = REPLY
    taker["op_price"] = leg["price"]
    taker["op_qty"] = leg["qty"]
    reason = _NONE
    if id_index.find(book, leg["order_id"])[1]:
        reason = _DUPLICATE_ORDER_ID
    if reason == _NONE:
        reason = notional_reason(desk, _LIMIT, leg["price"], NOTHING, leg["qty"], NOTHING)
    if reason == _NONE:
        reason = bounds_reason(desk, leg["side"], leg["price"])
    if reason == _NONE:
        reason = position_reason(holding, leg["side"], leg["qty"])
    if reason == _NONE and side_is_full(book, desk, taker):
        reason = _BAD_QUANTITY
    if reason == _NONE and taker["flags"] & _POST_ONLY:
        reason = stay_passive(book, desk, taker)
    if reason != _NONE:
        refuse(book, desk, holding, reason, page, head, symbol)
        return
    enter(book, desk, holding, page, head, symbol)
