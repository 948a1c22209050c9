"""Why an op is refused: the tests of `docs/matching.md`, section 3. Each gives a Reason or NONE and changes nothing."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.book import NO_SLOT, order_lookup, side_key
from engine.conditional import fires_upwards, is_reached
from engine.contract import (
    MICRO,
    NO_ORDER,
    OpFlag,
    OpKind,
    OrderType,
    Reason,
    Reference,
    SelfTrade,
    Side,
    SymbolState,
    TimeInForce,
)
from engine.kernel import constant, inner, wide
from engine.layout import MAX_PRICE, MAX_QTY
from engine.market import DORMANT, HAS_EXTRA, REDUCING, UNBOUNDED, WAITING, becomes_market, is_conditional

_BPS: Final = constant(10_000)

_BUY: Final = constant(Side.BUY)
_OP_NEW: Final = constant(OpKind.NEW)
_OP_CANCEL: Final = constant(OpKind.CANCEL)
_OP_CLOCK: Final = constant(OpKind.CLOCK)
_OP_REFERENCE: Final = constant(OpKind.REFERENCE)
_OP_AMEND: Final = constant(OpKind.AMEND)
_OP_CANCEL_ALL: Final = constant(OpKind.CANCEL_ALL)
_OP_QUOTE: Final = constant(OpKind.QUOTE)
_OP_STATE: Final = constant(OpKind.STATE)
_OP_CONNECT: Final = constant(OpKind.CONNECT)
_OP_DISCONNECT: Final = constant(OpKind.DISCONNECT)
_OP_DEAD_MAN: Final = constant(OpKind.DEAD_MAN)
_LIMIT: Final = constant(OrderType.LIMIT)
_MARKET: Final = constant(OrderType.MARKET)
_TRAILING_STOP: Final = constant(OrderType.TRAILING_STOP)
_GTC: Final = constant(TimeInForce.GTC)
_GTD: Final = constant(TimeInForce.GTD)
_ALLOW: Final = constant(SelfTrade.ALLOW)
_INDEX: Final = constant(Reference.INDEX)
_MARK: Final = constant(Reference.MARK)
_LAST: Final = constant(Reference.LAST)
_HALTED: Final = constant(SymbolState.HALTED)
_CANCEL_ONLY: Final = constant(SymbolState.CANCEL_ONLY)
_REDUCE_ONLY_STATE: Final = constant(SymbolState.REDUCE_ONLY)
_AUCTION: Final = constant(SymbolState.AUCTION)
_POST_ONLY: Final = constant(OpFlag.POST_ONLY)
_SLIDE: Final = constant(OpFlag.SLIDE)
_REDUCE_ONLY: Final = constant(OpFlag.REDUCE_ONLY)
_CLOSE_POSITION: Final = constant(OpFlag.CLOSE_POSITION)
_DORMANT_FLAG: Final = constant(OpFlag.DORMANT)
_CONNECT_FLAGS: Final = constant(OpFlag.CANCEL_ON_DISCONNECT)
_QUOTE_FLAGS: Final = constant(OpFlag.POST_ONLY | OpFlag.SLIDE | OpFlag.MORE)
_NEW_FLAGS: Final = constant(OpFlag.POST_ONLY | OpFlag.SLIDE | OpFlag.REDUCE_ONLY | OpFlag.CLOSE_POSITION | OpFlag.DORMANT)

_NONE: Final = constant(Reason.NONE)
_SYMBOL_STATE: Final = constant(Reason.SYMBOL_STATE)
_BAD_FIELD: Final = constant(Reason.BAD_FIELD)
_BAD_PRICE: Final = constant(Reason.BAD_PRICE)
_BAD_TICK: Final = constant(Reason.BAD_TICK)
_BAD_QUANTITY: Final = constant(Reason.BAD_QUANTITY)
_BAD_LOT: Final = constant(Reason.BAD_LOT)
_BAD_LINK: Final = constant(Reason.BAD_LINK)
_NOTIONAL_TOO_LARGE: Final = constant(Reason.NOTIONAL_TOO_LARGE)
_NOTIONAL_TOO_SMALL: Final = constant(Reason.NOTIONAL_TOO_SMALL)
_PRICE_OUT_OF_BOUNDS: Final = constant(Reason.PRICE_OUT_OF_BOUNDS)
_POSITION_LIMIT: Final = constant(Reason.POSITION_LIMIT)
_WOULD_TRIGGER: Final = constant(Reason.WOULD_TRIGGER)


@inner
def has_symbol(kind: int, symbol: int) -> bool:
    """Whether an op of this kind is of one symbol."""
    return kind in (_OP_NEW, _OP_CANCEL, _OP_AMEND, _OP_QUOTE, _OP_STATE, _OP_REFERENCE) or (
        kind == _OP_CANCEL_ALL and symbol >= 0
    )


@inner
def is_known(kind: int) -> bool:
    """Whether this kind of op is for the matching engine."""
    return has_symbol(kind, 0) or kind in (_OP_CLOCK, _OP_CONNECT, _OP_DISCONNECT, _OP_DEAD_MAN)


@inner
def has_account(kind: int) -> bool:
    """Whether an op of this kind is an account's, rather than the venue's."""
    return kind not in (_OP_STATE, _OP_REFERENCE, _OP_CLOCK)


@inner
def field_reason(op: np.void) -> int:
    """BAD_FIELD: a field outside the contract, or a combination without a meaning."""
    kind = op["kind"]
    if kind == _OP_NEW:
        return _new_reason(op)
    good = op["order_type"] == 0 and op["tif"] == 0 and op["display"] == 0 and op["link"] == 0 and op["expire_s"] == 0
    if kind == _OP_QUOTE:
        good = good and op["order_id"] >= 1 and op["side"] <= 1 and op["stp"] <= _ALLOW and op["trigger"] == 0
        good = good and op["code"] == 0 and op["flags"] | _QUOTE_FLAGS == _QUOTE_FLAGS
        return _NONE if good and _slides_rightly(op) else _BAD_FIELD
    good = good and op["side"] == 0 and op["stp"] == 0
    names_order = kind in (_OP_CANCEL, _OP_AMEND)
    good = good and (op["order_id"] >= 1 if names_order else op["order_id"] == 0)
    if kind != _OP_AMEND:
        good = good and op["trigger"] == 0
    if kind not in (_OP_AMEND, _OP_REFERENCE):
        good = good and op["price"] == 0
    if kind not in (_OP_AMEND, _OP_DEAD_MAN):
        good = good and op["qty"] == 0
    if kind == _OP_STATE:
        good = good and op["code"] <= _AUCTION
    elif kind == _OP_REFERENCE:
        good = good and op["code"] in (_INDEX, _MARK)
    else:
        good = good and op["code"] == 0
    flags = _CONNECT_FLAGS if kind == _OP_CONNECT else 0
    return _NONE if good and op["flags"] | flags == flags else _BAD_FIELD


@inner
def is_plain(op: np.void) -> bool:
    """Whether a NEW order is a limit order with nothing special about it but, perhaps, POST_ONLY."""
    plain: bool = (
        op["order_type"] == _LIMIT
        and op["tif"] == _GTC
        and op["flags"] <= _POST_ONLY
        and op["trigger"] | op["display"] | op["link"] == 0
        and op["expire_s"] == 0
    )
    return plain


@inner
def _slides_rightly(op: np.void) -> bool:
    slides: bool = op["flags"] & (_SLIDE | _POST_ONLY) != _SLIDE
    return slides


@inner
def _new_reason(op: np.void) -> int:
    order_type, tif, flags = op["order_type"], op["tif"], op["flags"]
    if is_plain(op):
        good = op["side"] <= 1 and op["stp"] <= _ALLOW and op["code"] == 0 and op["order_id"] >= 1
        return _NONE if good else _BAD_FIELD
    if (
        op["side"] > 1
        or order_type > _TRAILING_STOP
        or tif > _GTD
        or op["stp"] > _ALLOW
        or flags | _NEW_FLAGS != _NEW_FLAGS
        or op["order_id"] < 1
        or op["link"] < 0
        or op["link"] == op["order_id"]
    ):
        return _BAD_FIELD
    rests = order_type == _LIMIT and tif in (_GTC, _GTD)
    conditional = is_conditional(order_type)
    if tif == _GTD:
        if order_type == _MARKET or wide(op["expire_s"]) * 1_000_000_000 <= op["ts_ns"]:
            return _BAD_FIELD
    elif op["expire_s"]:
        return _BAD_FIELD
    if flags & _POST_ONLY and not rests:
        return _BAD_FIELD
    if not _slides_rightly(op):
        return _BAD_FIELD
    if op["display"] != 0 and (not rests or flags & (_POST_ONLY | _REDUCE_ONLY)):
        return _BAD_FIELD
    if flags & _CLOSE_POSITION and (flags & _REDUCE_ONLY or not becomes_market(order_type)):
        return _BAD_FIELD
    if conditional:
        if op["code"] > _LAST:
            return _BAD_FIELD
    elif op["trigger"] != 0 or op["code"] != 0:
        return _BAD_FIELD
    if flags & _DORMANT_FLAG and (not conditional or not flags & REDUCING):
        return _BAD_FIELD
    return _NONE


@inner
def state_reason(state: int, op: np.void) -> int:
    """SYMBOL_STATE, for what can be said without the order that an AMEND is about."""
    kind = op["kind"]
    if state == _HALTED:
        return _SYMBOL_STATE if has_account(kind) else _NONE
    if kind not in (_OP_NEW, _OP_AMEND, _OP_QUOTE):
        return _NONE
    if state == _CANCEL_ONLY:
        return _SYMBOL_STATE
    if state == _REDUCE_ONLY_STATE:
        grows = kind == _OP_QUOTE or (kind == _OP_NEW and not op["flags"] & REDUCING)
        return _SYMBOL_STATE if grows else _NONE
    if state == _AUCTION and kind == _OP_NEW and not is_conditional(op["order_type"]):
        at_once = op["order_type"] == _MARKET or op["tif"] not in (_GTC, _GTD)
        return _SYMBOL_STATE if at_once else _NONE
    return _NONE


@inner
def may_grow(op: np.void) -> bool:
    """Whether an op of an account may make its position or its open orders larger."""
    kind = op["kind"]
    grows: bool = kind == _OP_AMEND or (kind == _OP_NEW and not op["flags"] & REDUCING)
    return grows


@inner
def price_reason(rules: np.void, order_type: int, price: int, trigger: int) -> int:
    """BAD_PRICE, BAD_TICK of limit price, bound or distance, and of trigger or activation."""
    trails = order_type == _TRAILING_STOP
    lowest = 0 if becomes_market(order_type) and not trails else 1
    highest = _BPS if trails and rules["trailing_in_bps"] else MAX_PRICE
    if price < lowest or price > highest:
        return _BAD_PRICE
    if is_conditional(order_type) and (trigger < (0 if trails else 1) or trigger > MAX_PRICE):
        return _BAD_PRICE
    step = rules["price_step"]
    if step > 1 and ((not trails and price % step) or trigger % step):
        return _BAD_TICK
    return _NONE


@inner
def quantity_reason(rules: np.void, flags: int, qty: int, display: int, held: int) -> int:
    """BAD_QUANTITY, BAD_LOT. `held` is what the own side of the book holds already."""
    if flags & _CLOSE_POSITION:
        return _NONE if qty == 0 else _BAD_QUANTITY
    if qty < 1 or qty > MAX_QTY - held or display < 0 or display > qty:
        return _BAD_QUANTITY
    step = rules["lot_step"]
    if step > 1 and (qty % step or display % step):
        return _BAD_LOT
    return _NONE


@inner
def side_lots(book: np.void, desk: np.void, side: int) -> int:
    """Lots of all resting orders of a side, hidden ones too."""
    lots: int = book["sides"][side]["lots"] + desk["hidden"][side]
    return lots


@inner
def link_reason(book: np.void, desk: np.void, op: np.void) -> int:
    """BAD_LINK, see `docs/matching.md` section 7."""
    slot = order_lookup(book, op["link"])
    if slot == NO_SLOT or book["orders"][slot]["account"] != op["account"]:
        return _BAD_LINK
    order, extra = book["orders"][slot], desk["extras"][slot]
    linked = order["flags"] & HAS_EXTRA and (extra["link"] or extra["other"])
    if op["flags"] & _DORMANT_FLAG:
        return _NONE if order["state"] == DORMANT and not linked else _BAD_LINK
    if order["state"] == DORMANT:
        if extra["other"] != NO_ORDER:
            return _BAD_LINK
        if extra["link"] and desk["extras"][order_lookup(book, extra["link"])]["other"] != NO_ORDER:
            return _BAD_LINK
        return _NONE
    waits = order["state"] == WAITING or is_conditional(op["order_type"])
    return _NONE if waits and not linked else _BAD_LINK


@inner
def notional(price: int, qty: int) -> int:
    """price x qty in tick-lots; the largest integer where it does not fit."""
    if price < 2**31 and qty < 2**31:
        return price * qty
    return UNBOUNDED if qty > UNBOUNDED // max(price, 1) else price * qty


@inner
def notional_reason(desk: np.void, order_type: int, price: int, trigger: int, qty: int, flags: int) -> int:
    """NOTIONAL_TOO_LARGE, NOTIONAL_TOO_SMALL."""
    rules = desk["rules"]
    if rules["min_notional"] == 0 and rules["max_notional"] == 0:
        return _NONE
    at = price
    if order_type == _MARKET:
        if price == 0 and desk["mark"] == 0:
            return _NONE
        at = price if price else desk["mark"] // MICRO
    elif order_type == _TRAILING_STOP or (is_conditional(order_type) and flags & _CLOSE_POSITION):
        return _NONE
    elif becomes_market(order_type):
        at = trigger
    worth = notional(at, qty)
    if rules["max_notional"] and worth > rules["max_notional"]:
        return _NOTIONAL_TOO_LARGE
    if worth < rules["min_notional"] and not flags & REDUCING:
        return _NOTIONAL_TOO_SMALL
    return _NONE


@inner
def bounds_reason(desk: np.void, side: int, price: int) -> int:
    """PRICE_OUT_OF_BOUNDS of a limit order."""
    beyond = price > desk["buy_max"] if side == _BUY else price < desk["sell_min"]
    return _PRICE_OUT_OF_BOUNDS if beyond else _NONE


@inner
def position_reason(holding: np.void, side: int, lots: int) -> int:
    """POSITION_LIMIT, if `lots` more were open on a side."""
    if lots <= 0:
        return _NONE
    held = max(0, holding["lots"] if side == _BUY else -holding["lots"])
    # Two sums that each fit: what is held and open never exceeds MAX_QTY together.
    return _POSITION_LIMIT if lots > MAX_QTY - held - holding["open"][side] else _NONE


@inner
def trigger_reason(desk: np.void, order_type: int, side: int, reference: int, trigger: int) -> int:
    """WOULD_TRIGGER of an order that is not dormant."""
    if order_type == _TRAILING_STOP:
        return _NONE
    reached = is_reached(desk, reference, fires_upwards(order_type, side), trigger)
    return _WOULD_TRIGGER if reached else _NONE


@inner
def crosses(book: np.void, side: int, price: int) -> bool:
    """Whether a limit price reaches the other side's touch."""
    reaches: bool = book["sides"][1 - side]["touch"] >= side_key(1 - side, price)
    return reaches
