"""Section 3 of the oracle: what is wrong with an op. A function answers for one or a few of its steps, and changes nothing."""

from __future__ import annotations

from typing import NamedTuple

from engine.contract import OpFlag, OpKind, OrderType, Reason, Reference, SelfTrade, SymbolState, TimeInForce
from tests.oracle.naive_book import (
    BUY,
    CLOSE_POSITION,
    DORMANT,
    INDEX,
    LIMIT,
    MARK,
    MARKET,
    MAX_PRICE,
    MAX_QTY,
    NONE,
    REDUCE_ONLY,
    SELL,
    TRAILING_STOP,
    WAITING,
    WITH_LIMIT,
    Holding,
    NaiveBook,
    Order,
)

NEW, CANCEL, CLOCK, REFERENCE, AMEND = (
    int(kind) for kind in (OpKind.NEW, OpKind.CANCEL, OpKind.CLOCK, OpKind.REFERENCE, OpKind.AMEND)
)
CANCEL_ALL, QUOTE, STATE = int(OpKind.CANCEL_ALL), int(OpKind.QUOTE), int(OpKind.STATE)
CONNECT, DISCONNECT, DEAD_MAN = int(OpKind.CONNECT), int(OpKind.DISCONNECT), int(OpKind.DEAD_MAN)

STOP_LIMIT = int(OrderType.STOP_LIMIT)  # the first of the conditional types
CLOSING = (MARKET, int(OrderType.STOP_MARKET), int(OrderType.TAKE_PROFIT_MARKET), TRAILING_STOP)
IOC, FOK, GTD = int(TimeInForce.IOC), int(TimeInForce.FOK), int(TimeInForce.GTD)
IMMEDIATE = (IOC, FOK)
POST_ONLY, SLIDE, DORMANT_FLAG, MORE = int(OpFlag.POST_ONLY), int(OpFlag.SLIDE), int(OpFlag.DORMANT), int(OpFlag.MORE)
REDUCING = REDUCE_ONLY | CLOSE_POSITION
NEW_FLAGS = POST_ONLY | SLIDE | REDUCING | DORMANT_FLAG
QUOTE_FLAGS = POST_ONLY | SLIDE | MORE
CANCEL_ON_DISCONNECT = int(OpFlag.CANCEL_ON_DISCONNECT)
LAST_STP, LAST_REFERENCE, LAST_STATE = max(map(int, SelfTrade)), int(Reference.LAST), max(map(int, SymbolState))
MAX_DEAD_MAN_NS = 2**62 - 1

HALTED, CANCEL_ONLY = int(SymbolState.HALTED), int(SymbolState.CANCEL_ONLY)
REDUCE_ONLY_STATE, AUCTION = int(SymbolState.REDUCE_ONLY), int(SymbolState.AUCTION)

SYMBOL_STATE, BAD_FIELD, BAD_LINK = int(Reason.SYMBOL_STATE), int(Reason.BAD_FIELD), int(Reason.BAD_LINK)
BAD_PRICE, BAD_TICK = int(Reason.BAD_PRICE), int(Reason.BAD_TICK)
BAD_QUANTITY, BAD_LOT = int(Reason.BAD_QUANTITY), int(Reason.BAD_LOT)
DUPLICATE_ORDER_ID = int(Reason.DUPLICATE_ORDER_ID)
NOTIONAL_TOO_SMALL, NOTIONAL_TOO_LARGE = int(Reason.NOTIONAL_TOO_SMALL), int(Reason.NOTIONAL_TOO_LARGE)


class Op(NamedTuple):
    """A row of OP_DTYPE."""

    ts_ns: int
    order_id: int
    account: int
    price: int
    qty: int
    trigger: int
    display: int
    link: int
    symbol: int
    expire_s: int
    kind: int
    side: int
    order_type: int
    tif: int
    stp: int
    code: int
    flags: int


# -- BAD_FIELD, step 7 -------------------------------------------------------------------------------------------------

USED = {
    CANCEL: ("order_id", "account"),
    AMEND: ("order_id", "account", "price", "qty", "trigger"),
    CANCEL_ALL: ("account",),
    QUOTE: ("order_id", "account", "side", "price", "qty", "stp", "flags"),
    STATE: ("account", "code"),
    REFERENCE: ("account", "price", "code"),
    CLOCK: ("account",),
    CONNECT: ("account", "flags"),
    DISCONNECT: ("account",),
    DEAD_MAN: ("account", "qty"),
}
UNUSED = {
    kind: tuple(at for at, name in enumerate(Op._fields) if name not in {"ts_ns", "symbol", "kind", *used})
    for kind, used in USED.items()
}


def bad_field(op: Op) -> bool:
    kind = op.kind
    if kind == NEW:
        return _bad_new(op)
    for at in UNUSED[kind]:
        if op[at]:
            return True
    if kind in (CANCEL, AMEND):
        return op.order_id < 1
    if kind == QUOTE:
        return op.order_id < 1 or op.side > SELL or op.stp > LAST_STP or _bad_flags(op.flags, QUOTE_FLAGS)
    if kind == STATE:
        return op.code > LAST_STATE
    if kind == REFERENCE:
        return op.code not in (INDEX, MARK)
    return kind == CONNECT and bool(op.flags & ~CANCEL_ON_DISCONNECT)


def _bad_flags(flags: int, allowed: int) -> bool:
    return bool(flags & ~allowed) or (flags & (POST_ONLY | SLIDE)) == SLIDE


def _bad_new(op: Op) -> bool:
    flags, tif, order_type = op.flags, op.tif, op.order_type
    if op.order_id < 1 or op.side > SELL or order_type > TRAILING_STOP or tif > GTD or op.stp > LAST_STP:
        return True
    if _bad_flags(flags, NEW_FLAGS) or op.link < 0 or op.link == op.order_id:
        return True
    if (op.expire_s * 10**9 <= op.ts_ns or order_type == MARKET) if tif == GTD else op.expire_s:
        return True
    may_show = order_type == LIMIT and tif not in IMMEDIATE
    if flags & POST_ONLY and not may_show:
        return True
    if op.display and (not may_show or flags & (POST_ONLY | REDUCE_ONLY)):
        return True
    if flags & CLOSE_POSITION and (order_type not in CLOSING or flags & REDUCE_ONLY):
        return True
    if order_type >= STOP_LIMIT:
        return op.code > LAST_REFERENCE or (flags & (DORMANT_FLAG | REDUCING)) == DORMANT_FLAG
    return bool(op.trigger or op.code or flags & DORMANT_FLAG)


# -- steps 8 to 11 -----------------------------------------------------------------------------------------------------


def symbol_state(book: NaiveBook, op: Op) -> bool:
    """Step 8, but for an AMEND in REDUCE_ONLY, which depends on the order."""
    state = book.state
    if not state:
        return False
    kind = op.kind
    if state == HALTED:
        return kind in (NEW, CANCEL, AMEND, QUOTE, CANCEL_ALL)
    if state == CANCEL_ONLY:
        return kind in (NEW, AMEND, QUOTE)
    if state == REDUCE_ONLY_STATE:
        return kind == QUOTE or (kind == NEW and not op.flags & REDUCING)
    return kind == NEW and op.order_type < STOP_LIMIT and (op.order_type == MARKET or op.tif in IMMEDIATE)


def bad_price(book: NaiveBook, order_type: int, price: int, trigger: int) -> int:
    """Step 9."""
    if order_type == LIMIT:
        if not 1 <= price <= MAX_PRICE:
            return BAD_PRICE
    else:
        lowest = 0 if order_type in (MARKET, int(OrderType.STOP_MARKET), int(OrderType.TAKE_PROFIT_MARKET)) else 1
        highest = 10_000 if order_type == TRAILING_STOP and book.rules.trailing_in_bps else MAX_PRICE
        lowest_trigger = 0 if order_type in (MARKET, TRAILING_STOP) else 1
        if not (lowest <= price <= highest and lowest_trigger <= trigger <= MAX_PRICE):
            return BAD_PRICE
    step = book.rules.price_step
    if trigger % step or (price % step and order_type != TRAILING_STOP):
        return BAD_TICK
    return NONE


def bad_quantity(book: NaiveBook, side: int, lots: int, display: int, *, least: int = 1, own: int = 0) -> int:
    """Step 10. `own`: what the side holds of the order itself."""
    if lots < least or lots > MAX_QTY - (book.lots[side] - own) or display < 0 or display > lots:
        return BAD_QUANTITY
    step = book.rules.lot_step
    return BAD_LOT if lots % step or display % step else NONE


def _is_plainly_good(book: NaiveBook, op: Op) -> bool:
    """Whether it is a limit order, GTC or IOC, without anything more, that passes: the short cut of most of a real flow."""
    _, order_id, _, price, qty, trigger, display, link, _, expire_s, _, side, order_type, tif, stp, code, flags = op
    return (
        not (order_type or flags or trigger or display or link or expire_s or code or book.state or book.stepped)
        and 1 <= price <= MAX_PRICE
        and side <= SELL
        and 1 <= qty <= MAX_QTY - book.lots[side]
        and order_id >= 1
        and tif <= IOC
        and stp <= LAST_STP
    )


def early_refusal(book: NaiveBook, op: Op) -> int:
    """Steps 7 to 10 of a NEW or a QUOTE."""
    if op.kind == NEW and _is_plainly_good(book, op):
        return NONE
    if bad_field(op):
        return BAD_FIELD
    if book.state and symbol_state(book, op):
        return SYMBOL_STATE
    reason = bad_price(book, op.order_type, op.price, op.trigger)
    if reason:
        return reason
    if op.flags & CLOSE_POSITION:
        return BAD_QUANTITY if op.qty else NONE
    return bad_quantity(book, op.side, op.qty, op.display, least=0 if op.kind == QUOTE else 1)


# -- step 12 -----------------------------------------------------------------------------------------------------------


def bad_link(op: Op, target: Order | None) -> bool:
    """Section 7, pairs and brackets."""
    if target is None or target.account != op.account:
        return True
    if op.flags & DORMANT_FLAG:
        return target.state != DORMANT or target.link is not None or target.other is not None
    if target.state == DORMANT:
        return target.other is not None or (target.link is not None and target.link.other is not None)
    free = target.link is None and target.other is None
    return not (free and (op.order_type >= STOP_LIMIT or target.state == WAITING))


# -- steps 14 to 19, also of orders that fire and of amendments --------------------------------------------------------


def bad_notional(book: NaiveBook, order: Order, lots: int) -> int:
    """Step 14."""
    rules = book.rules
    if not rules.min_notional and not rules.max_notional:
        return NONE
    order_type = order.order_type
    if order_type == TRAILING_STOP or (order_type >= STOP_LIMIT and order.flags & CLOSE_POSITION):
        return NONE
    price = order.price
    if order_type not in WITH_LIMIT:
        if order_type != MARKET:
            price = order.trigger
        elif not price:
            if not book.mark:
                return NONE
            price = book.reference(MARK)[0]
    if rules.max_notional and price * lots > rules.max_notional:
        return NOTIONAL_TOO_LARGE
    return NOTIONAL_TOO_SMALL if price * lots < rules.min_notional and not order.flags & REDUCING else NONE


def out_of_bounds(book: NaiveBook, side: int, price: int) -> bool:
    """Step 15, for a limit order."""
    ppm = book.rules.bound_ppm
    if not ppm or not book.mark:
        return False
    return price > book.bound(side, ppm) if side == BUY else price < book.bound(side, ppm)


def over_position_limit(holding: Holding, side: int, lots: int) -> bool:
    """Step 16."""
    position = max(holding.position, 0) if side == BUY else max(-holding.position, 0)
    return position + holding.open[side] + lots > MAX_QTY


def would_trigger(book: NaiveBook, order: Order) -> bool:
    """Step 17, for an order that is not DORMANT."""
    below, above = book.reference(order.reference)
    if order.order_type == TRAILING_STOP or not above:
        return False
    return below >= order.trigger if order.fires_above else above <= order.trigger


def post_only_price(book: NaiveBook, order: Order) -> int:
    """Step 18: the price at which a post-only order may rest, or 0."""
    touch = book.touch_price(1 - order.side)
    sign = 1 if order.side == BUY else -1
    if not touch or sign * order.price < sign * touch or book.state == AUCTION:
        return order.price
    behind = touch - sign * book.rules.price_step
    return behind if order.flags & SLIDE and 1 <= behind <= MAX_PRICE else 0


def is_fillable(book: NaiveBook, order: Order, lots: int) -> bool:
    """Step 19, section 5: the walk over the other side in matching order.

    That order matters within a level: first each order's displayed lots, then what icebergs hide.
    """
    worst = book.worst(order)
    counted: dict[int, int] = {}  # lots, by account
    found = 0
    for at, level in book.levels[1 - order.side].items():
        if at > worst or found >= lots:
            break
        icebergs = []
        for maker in level.queue:
            if not maker.qty:
                continue
            own = maker.account == order.account
            if own and order.stp == SelfTrade.EXPIRE_MAKER:
                continue
            if own and order.stp != SelfTrade.ALLOW:
                return found >= lots
            count = maker.qty
            if maker.flags & REDUCE_ONLY and not own:
                left = max(maker.holding.reducible(maker.side) - counted.get(maker.account, 0), 0)
                if count > left:
                    count = left if book.rules.shrink_reduce_only else 0
            counted[maker.account] = counted.get(maker.account, 0) + count
            found += count
            if maker.hidden:
                icebergs.append(maker)
        for maker in icebergs:
            counted[maker.account] += maker.hidden
            found += maker.hidden
    return found >= lots
