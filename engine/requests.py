"""NEW, CANCEL and AMEND, and a conditional order that fires: what one order asks for, up to where it enters the book.

Each function takes over after the refusals that all ops share (`engine.matching`), makes those of its own in the order of
`docs/matching.md`, section 3, and leaves the rest to `engine.entering`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine import id_index
from engine.admission import (
    bounds_reason,
    crosses,
    is_plain,
    link_reason,
    notional_reason,
    position_reason,
    price_reason,
    quantity_reason,
    side_lots,
    trigger_reason,
)
from engine.book import is_full, order_lookup
from engine.conditional import arm, disarm, has_room, start_timer, trailing_stop
from engine.contract import EventKind, OpFlag, OrderType, Reason, SelfTrade, SymbolState
from engine.entering import (
    ENTERED,
    FROM_AMEND,
    FROM_NEW,
    FROM_TRIGGER,
    cut_to_position,
    enter,
    place,
    refuse,
    set_links,
    side_is_full,
)
from engine.kernel import constant, inner, wide
from engine.layout import MAX_PRICE
from engine.market import DORMANT, HAS_EXTRA, NO_ID, NOTHING, PUBLIC_FLAGS, REDUCING, RESTING, becomes_market, is_conditional
from engine.orders import add_extra, after_fill, cancel, cut, end_resting, insert_held, rewait, take_out
from engine.reports import REPLY, reject, report, tell_level

_ADD: Final = constant(EventKind.ADD)
_ACK: Final = constant(EventKind.ACK)
_ARM: Final = constant(EventKind.ARM)
_CANCEL: Final = constant(EventKind.CANCEL)
_TRIGGER: Final = constant(EventKind.TRIGGER)
_LIMIT: Final = constant(OrderType.LIMIT)
_MARKET: Final = constant(OrderType.MARKET)
_TRAILING_STOP: Final = constant(OrderType.TRAILING_STOP)
_DEFAULT: Final = constant(SelfTrade.DEFAULT)
_AUCTION: Final = constant(SymbolState.AUCTION)
_REDUCE_ONLY_STATE: Final = constant(SymbolState.REDUCE_ONLY)
_POST_ONLY: Final = constant(OpFlag.POST_ONLY)
_SLIDE: Final = constant(OpFlag.SLIDE)
_DORMANT_FLAG: Final = constant(OpFlag.DORMANT)
_NONE: Final = constant(Reason.NONE)
_BY_OWNER: Final = constant(Reason.BY_OWNER)
_AMENDED: Final = constant(Reason.AMENDED)
_BAD_FIELD: Final = constant(Reason.BAD_FIELD)
_BAD_QUANTITY: Final = constant(Reason.BAD_QUANTITY)
_UNKNOWN_ORDER: Final = constant(Reason.UNKNOWN_ORDER)
_NOT_OWNER: Final = constant(Reason.NOT_OWNER)
_DUPLICATE_ORDER_ID: Final = constant(Reason.DUPLICATE_ORDER_ID)
_NO_CHANGE: Final = constant(Reason.NO_CHANGE)
_NOT_REDUCING: Final = constant(Reason.NOT_REDUCING)
_SYMBOL_STATE: Final = constant(Reason.SYMBOL_STATE)
_POOL_FULL: Final = constant(Reason.POOL_FULL)
_TRIGGERS_FULL: Final = constant(Reason.TRIGGERS_FULL)
_POST_ONLY_WOULD_CROSS: Final = constant(Reason.POST_ONLY_WOULD_CROSS)


@inner
def resolve_stp(desk: np.void, stp: int) -> int:
    """The self-trade mode that an op's means in this symbol."""
    mode: int = desk["rules"]["self_trade"] if stp == _DEFAULT else stp
    return mode


@inner
def new_order(book: np.void, desk: np.void, holding: np.void, op: np.void, page: np.void, head: np.void, symbol: int) -> None:
    """NEW, from step 9 of the refusals on."""
    side, order_type, flags = wide(op["side"]), wide(op["order_type"]), wide(op["flags"])
    position, taken = id_index.find(book, op["order_id"])
    reason = price_reason(desk["rules"], order_type, op["price"], op["trigger"])
    if reason == _NONE:
        reason = quantity_reason(desk["rules"], flags, op["qty"], op["display"], side_lots(book, desk, side))
    if reason == _NONE and taken:
        reason = _DUPLICATE_ORDER_ID
    if reason == _NONE and op["link"]:
        reason = link_reason(book, desk, op)
    if reason == _NONE and is_plain(op) and not crosses(book, side, op["price"]):
        # Most orders just rest. What can be said of them needs no taker.
        reason = _limit_reason(desk, holding, side, op["price"], op["qty"], flags)
        if reason == _NONE:
            stp = resolve_stp(desk, op["stp"])
            reason = place(
                book,
                desk,
                holding,
                position,
                op["order_id"],
                op["account"],
                side,
                op["price"],
                op["qty"],
                op["qty"],
                flags,
                stp,
                op["ts_ns"],
            )
        if reason == _NONE:
            report(
                page,
                head,
                _ADD,
                op["order_id"],
                op["account"],
                symbol,
                side,
                op["price"],
                op["qty"],
                op["qty"],
                NO_ID,
                REPLY,
                _NONE,
            )
            tell_level(book, desk, page, head, symbol, side, op["price"])
            return
    if reason != _NONE:
        reject(page, head, op, symbol, NOTHING, reason)
        return
    taker = head["work"]["taker"]
    taker["order_id"] = op["order_id"]
    taker["account"] = op["account"]
    taker["price"] = op["price"]
    taker["asked"] = op["qty"]
    taker["qty"] = op["qty"]
    taker["display"] = op["display"] if op["display"] < op["qty"] else 0
    taker["link"] = NO_ID
    taker["other"] = NO_ID
    if op["link"]:
        slot = order_lookup(book, op["link"])
        if book["orders"][slot]["state"] == DORMANT and not op["flags"] & _DORMANT_FLAG:
            taker["other"] = op["link"]
        else:
            taker["link"] = op["link"]
    taker["flags"] = flags
    taker["side"] = side
    taker["stp"] = resolve_stp(desk, op["stp"])
    taker["order_type"] = order_type
    taker["tif"] = op["tif"]
    taker["expire_s"] = op["expire_s"]
    taker["origin"] = FROM_NEW
    taker["reply"] = REPLY
    taker["op_price"] = op["price"]
    taker["op_qty"] = op["qty"]
    if is_conditional(order_type):
        _new_conditional(book, desk, holding, op, page, head, symbol)
        return
    reason = _own_reason(book, desk, holding, taker)
    if reason != _NONE:
        refuse(book, desk, holding, reason, page, head, symbol)
        return
    enter(book, desk, holding, page, head, symbol)


@inner
def _own_reason(book: np.void, desk: np.void, holding: np.void, taker: np.void) -> int:
    """Steps 13 to 18 for a NEW order that is not conditional. Cuts it to the position and lets it slide."""
    if taker["flags"] & REDUCING and not cut_to_position(holding, taker):
        return _NOT_REDUCING
    if taker["order_type"] == _LIMIT:
        reason = _limit_reason(desk, holding, taker["side"], taker["price"], taker["qty"], taker["flags"])
    else:
        reason = notional_reason(desk, _MARKET, taker["price"], NOTHING, taker["qty"], taker["flags"])
        if reason == _NONE:
            reason = position_reason(holding, taker["side"], taker["qty"])
    if reason == _NONE and taker["expire_s"] and not has_room(desk):
        reason = _TRIGGERS_FULL
    if reason == _NONE and taker["flags"] & _POST_ONLY:
        reason = stay_passive(book, desk, taker)
    return reason


@inner
def _limit_reason(desk: np.void, holding: np.void, side: int, price: int, lots: int, flags: int) -> int:
    """Steps 14 to 16 for a limit order."""
    reason = notional_reason(desk, _LIMIT, price, NOTHING, lots, flags)
    if reason == _NONE:
        reason = bounds_reason(desk, side, price)
    if reason == _NONE:
        reason = position_reason(holding, side, lots)
    return reason


@inner
def stay_passive(book: np.void, desk: np.void, taker: np.void) -> int:
    """Step 18: a post-only taker that would cross is refused, or slides behind the other side's touch."""
    side = taker["side"]
    if desk["state"] == _AUCTION or not crosses(book, side, taker["price"]):
        return _NONE
    if not taker["flags"] & _SLIDE:
        return _POST_ONLY_WOULD_CROSS
    touch = book["sides"][1 - side]["touch"]
    step = desk["rules"]["price_step"]
    price = -touch - step if side == 0 else touch + step
    if price < 1 or price > MAX_PRICE:
        return _POST_ONLY_WOULD_CROSS
    taker["price"] = price
    return _NONE


@inner
def _new_conditional(
    book: np.void, desk: np.void, holding: np.void, op: np.void, page: np.void, head: np.void, symbol: int
) -> None:
    """Steps 14 and 17 for a conditional order, which then waits, dormant or not."""
    taker = head["work"]["taker"]
    reference = wide(op["code"]) if op["code"] else desk["rules"]["trigger_by"]
    dormant = op["flags"] & _DORMANT_FLAG != 0
    reason = notional_reason(desk, op["order_type"], op["price"], op["trigger"], op["qty"], op["flags"])
    if reason == _NONE and not dormant:
        reason = trigger_reason(desk, op["order_type"], op["side"], reference, op["trigger"])
    if reason == _NONE and not has_room(desk):
        reason = _TRIGGERS_FULL
    if reason == _NONE and is_full(book):
        reason = _POOL_FULL
    if reason != _NONE:
        refuse(book, desk, holding, reason, page, head, symbol)
        return
    slot = insert_held(book, desk, holding, op["order_id"], op["account"], op["side"])
    order = book["orders"][slot]
    order["price"] = op["price"]
    order["qty"] = op["qty"]
    order["flags"] = op["flags"]
    order["stp"] = taker["stp"]
    extra = add_extra(desk, order, slot)
    extra["trigger"] = op["trigger"]
    extra["expire_s"] = op["expire_s"]
    extra["order_type"] = op["order_type"]
    extra["tif"] = op["tif"]
    extra["reference"] = reference
    set_links(book, desk, slot, taker["link"], taker["other"])
    if op["expire_s"]:
        start_timer(desk, slot)
    head["work"]["stage"] = ENTERED
    if dormant:
        order["state"] = DORMANT
        desk["arrivals"] += 1
        extra["arrival"] = desk["arrivals"]
    else:
        arm(desk, order, slot)
    _tell_held(desk, order, slot, page, head, symbol, _NONE)


@inner
def _tell_held(desk: np.void, order: np.void, slot: np.uint64, page: np.void, head: np.void, symbol: int, code: int) -> None:
    """The reply to an op after which an order waits."""
    dormant = order["state"] == DORMANT
    report(
        page,
        head,
        _ACK if dormant else _ARM,
        order["order_id"],
        order["account"],
        symbol,
        order["side"],
        desk["extras"][slot]["trigger"],
        order["qty"],
        0 if dormant else order["qty"],
        NO_ID,
        REPLY,
        code,
    )


@inner
def fire(book: np.void, desk: np.void, holding: np.void, slot: np.uint64, page: np.void, head: np.void, symbol: int) -> None:
    """A waiting order whose trigger is reached enters the book: section 7, "Firing"."""
    order, extra = book["orders"][slot], desk["extras"][slot]
    order_type = extra["order_type"]
    trails = order_type == _TRAILING_STOP
    taker = head["work"]["taker"]
    taker["order_id"] = order["order_id"]
    taker["account"] = order["account"]
    taker["price"] = 0 if trails else order["price"]
    taker["asked"] = order["qty"]
    taker["qty"] = order["qty"]
    taker["display"] = 0
    taker["link"] = NO_ID
    taker["other"] = extra["other"]
    taker["flags"] = order["flags"] & PUBLIC_FLAGS
    taker["side"] = order["side"]
    taker["stp"] = order["stp"]
    taker["order_type"] = _MARKET if becomes_market(order_type) else _LIMIT
    taker["tif"] = extra["tif"]
    taker["expire_s"] = extra["expire_s"]
    taker["origin"] = FROM_TRIGGER
    taker["reply"] = 0
    link = extra["link"]
    at = trailing_stop(desk, order, extra) if trails else extra["trigger"]
    report(
        page,
        head,
        _TRIGGER,
        order["order_id"],
        order["account"],
        symbol,
        order["side"],
        at,
        order["qty"],
        NOTHING,
        NO_ID,
        NOTHING,
        wide(extra["reference"]),
    )
    take_out(book, desk, holding, slot)
    after_fill(book, desk, holding, link, NO_ID, page, head, symbol)
    reason = _NONE
    if desk["state"] == _REDUCE_ONLY_STATE and not taker["flags"] & REDUCING:
        reason = _SYMBOL_STATE
    elif taker["flags"] & REDUCING and not cut_to_position(holding, taker):
        reason = _NOT_REDUCING
    elif taker["order_type"] == _LIMIT:
        reason = bounds_reason(desk, taker["side"], taker["price"])
    if reason == _NONE:
        reason = position_reason(holding, taker["side"], taker["qty"])
    if reason == _NONE and side_is_full(book, desk, taker):
        reason = _BAD_QUANTITY
    if reason != _NONE:
        refuse(book, desk, holding, reason, page, head, symbol)
        return
    enter(book, desk, holding, page, head, symbol)


@inner
def cancel_order(
    book: np.void, desk: np.void, holding: np.void, op: np.void, page: np.void, head: np.void, symbol: int
) -> None:
    """CANCEL, from step 11 of the refusals on."""
    position, slot = id_index.find(book, op["order_id"])
    if not slot:
        reject(page, head, op, symbol, NOTHING, _UNKNOWN_ORDER)
    elif book["orders"][slot]["account"] != op["account"]:
        reject(page, head, op, symbol, NOTHING, _NOT_OWNER)
    elif not book["orders"][slot]["flags"] & HAS_EXTRA:
        end_resting(book, desk, holding, position, slot, page, head, symbol, _BY_OWNER, REPLY, NO_ID)
    else:
        cancel(book, desk, holding, slot, page, head, symbol, _BY_OWNER, REPLY, NO_ID)


@inner
def amend_order(book: np.void, desk: np.void, holding: np.void, op: np.void, page: np.void, head: np.void, symbol: int) -> None:
    """AMEND, from step 11 of the refusals on."""
    slot = id_index.find(book, op["order_id"])[1]
    reason = _NONE
    if not slot:
        reason = _UNKNOWN_ORDER
    elif book["orders"][slot]["account"] != op["account"]:
        reason = _NOT_OWNER
    elif desk["state"] == _REDUCE_ONLY_STATE and not book["orders"][slot]["flags"] & REDUCING:
        reason = _SYMBOL_STATE
    if reason != _NONE:
        reject(page, head, op, symbol, NOTHING, reason)
        return
    if book["orders"][slot]["state"] != RESTING:
        _amend_held(book, desk, holding, slot, op, page, head, symbol)
        return
    _amend_resting(book, desk, holding, slot, op, page, head, symbol)


@inner
def _amend_resting(
    book: np.void, desk: np.void, holding: np.void, slot: np.uint64, op: np.void, page: np.void, head: np.void, symbol: int
) -> None:
    order = book["orders"][slot]
    taker = head["work"]["taker"]
    hidden = desk["extras"][slot]["hidden"] if order["flags"] & HAS_EXTRA else 0
    lots = order["qty"] + hidden
    price = op["price"] if op["price"] else order["price"]
    taker["order_id"] = order["order_id"]
    taker["account"] = order["account"]
    taker["price"] = price
    taker["asked"] = op["qty"] if op["qty"] else lots
    taker["qty"] = taker["asked"]
    taker["flags"] = order["flags"] & PUBLIC_FLAGS
    taker["side"] = order["side"]
    reason = _NONE
    if op["trigger"] != 0:
        reason = _BAD_FIELD
    elif price == order["price"] and taker["qty"] == lots:
        reason = _NO_CHANGE
    else:
        reason = price_reason(desk["rules"], _LIMIT, price, NOTHING)
    if reason == _NONE:
        held = side_lots(book, desk, order["side"]) - lots
        reason = quantity_reason(desk["rules"], NOTHING, taker["qty"], NOTHING, held)
    if reason == _NONE and taker["flags"] & REDUCING and not cut_to_position(holding, taker):
        reason = _NOT_REDUCING
    if reason == _NONE:
        reason = notional_reason(desk, _LIMIT, price, NOTHING, taker["qty"], taker["flags"])
    if reason == _NONE and price != order["price"]:
        reason = bounds_reason(desk, order["side"], price)
    if reason == _NONE:
        reason = position_reason(holding, order["side"], taker["qty"] - lots)
    if reason == _NONE and price != order["price"] and taker["flags"] & _POST_ONLY:
        reason = stay_passive(book, desk, taker)
    if reason != _NONE:
        reject(page, head, op, symbol, NOTHING, reason)
        return
    if taker["price"] == order["price"] and taker["qty"] < lots:
        _shrink(book, desk, holding, slot, lots - taker["qty"], page, head, symbol)
        return
    taker["display"] = 0
    taker["link"] = NO_ID
    taker["other"] = NO_ID
    taker["expire_s"] = 0
    taker["tif"] = 0
    if order["flags"] & HAS_EXTRA:
        extra = desk["extras"][slot]
        taker["display"] = extra["display"]
        taker["link"] = extra["link"]
        taker["other"] = extra["other"]
        taker["expire_s"] = extra["expire_s"]
        taker["tif"] = extra["tif"]
    taker["stp"] = order["stp"]
    taker["order_type"] = _LIMIT
    taker["origin"] = FROM_AMEND
    taker["reply"] = REPLY
    displayed, old_price = order["qty"], order["price"]
    take_out(book, desk, holding, slot)
    report(
        page,
        head,
        _CANCEL,
        taker["order_id"],
        taker["account"],
        symbol,
        taker["side"],
        old_price,
        displayed,
        NOTHING,
        NO_ID,
        NOTHING,
        _AMENDED,
    )
    tell_level(book, desk, page, head, symbol, taker["side"], old_price)
    enter(book, desk, holding, page, head, symbol)


@inner
def _shrink(
    book: np.void, desk: np.void, holding: np.void, slot: np.uint64, lots: int, page: np.void, head: np.void, symbol: int
) -> None:
    """Takes lots off a resting order that keeps its place, hidden ones first."""
    order = book["orders"][slot]
    from_hidden = 0
    if order["flags"] & HAS_EXTRA:
        from_hidden = min(lots, desk["extras"][slot]["hidden"])
        desk["extras"][slot]["hidden"] -= from_hidden
        desk["hidden"][order["side"]] -= from_hidden
        holding["open"][order["side"]] -= from_hidden
    if from_hidden == lots:
        report(
            page,
            head,
            _ACK,
            order["order_id"],
            order["account"],
            symbol,
            order["side"],
            order["price"],
            NOTHING,
            NOTHING,
            NO_ID,
            REPLY,
            _AMENDED,
        )
        return
    cut(book, desk, holding, slot, lots - from_hidden, page, head, symbol, _AMENDED, REPLY, NO_ID)


@inner
def _amend_held(
    book: np.void, desk: np.void, holding: np.void, slot: np.uint64, op: np.void, page: np.void, head: np.void, symbol: int
) -> None:
    """A waiting or dormant order gets another price, trigger or quantity."""
    order, extra = book["orders"][slot], desk["extras"][slot]
    dormant = order["state"] == DORMANT
    price = op["price"] if op["price"] else order["price"]
    trigger = op["trigger"] if op["trigger"] else extra["trigger"]
    qty = op["qty"] if op["qty"] else order["qty"]
    reason = _NONE
    if price == order["price"] and trigger == extra["trigger"] and qty == order["qty"]:
        reason = _NO_CHANGE
    else:
        reason = price_reason(desk["rules"], extra["order_type"], price, trigger)
    if reason == _NONE:
        held = side_lots(book, desk, order["side"])
        reason = quantity_reason(desk["rules"], order["flags"], qty, NOTHING, held)
    if reason == _NONE:
        reason = notional_reason(desk, extra["order_type"], price, trigger, qty, order["flags"])
    if reason == _NONE and not dormant:
        reason = trigger_reason(desk, extra["order_type"], order["side"], extra["reference"], trigger)
    if reason != _NONE:
        reject(page, head, op, symbol, NOTHING, reason)
        return
    if not dormant:
        disarm(desk, order, slot)
    order["price"] = price
    order["qty"] = qty
    extra["trigger"] = trigger
    if not dormant:
        rewait(book, desk, holding, slot)
    _tell_held(desk, order, slot, page, head, symbol, _AMENDED)
