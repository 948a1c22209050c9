"""One order entering the book: `docs/matching.md`, sections 4 to 6. New, amended, quoted and fired orders all come here.

The order is in `head["work"]["taker"]`; `begin` has put it there. `sweep` trades until nothing is left, the limit is reached
or the event buffer is full, and then `finish`es: the order rests, ends, or is refused. Where a fill leaves more to do than
fits into a fixed number of events (reduce-only orders that now exceed the position), `sweep` stops and `chores` goes on;
`engine.matching` calls whichever is due.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine import id_index
from engine.admission import side_lots
from engine.book import BookStatus, insert_at, next_slot, order_lookup, side_key
from engine.conditional import start_timer
from engine.contract import EventKind, OpFlag, OrderType, Reason, SelfTrade, SymbolState, TimeInForce
from engine.fillable import is_fillable
from engine.kernel import constant, inner
from engine.ladder import NO_KEY, window_slot
from engine.layout import MAX_PRICE, MAX_QTY
from engine.market import HAS_EXTRA, NO_ID, NOTHING, REDUCING, RESTING, reducible
from engine.orders import add_extra, after_end, after_fill, cancel, cut, leave, own, refresh, spend_displayed, take_out
from engine.reports import PAGE_ROWS, REPLY, report, report_trade, tell_level

FILL_EVENTS: Final = 24
"""More than what a fill and its consequences write, or the end of an order."""

_FIRST: Final = constant(0)
_SECOND: Final = constant(1)

# `stage` of the work: an order is trading; an order has rested or ended.
SWEEPING: Final = constant(1)
ENTERED: Final = constant(2)

# Where an order comes from, which decides what a refusal looks like.
FROM_NEW: Final = constant(0)
FROM_AMEND: Final = constant(1)
FROM_LEG: Final = constant(2)
FROM_TRIGGER: Final = constant(3)

_ADD: Final = constant(EventKind.ADD)
_CANCEL: Final = constant(EventKind.CANCEL)
_DONE: Final = constant(EventKind.DONE)
_REJECT: Final = constant(EventKind.REJECT)
_MARKET: Final = constant(OrderType.MARKET)
_GTC: Final = constant(TimeInForce.GTC)
_FOK: Final = constant(TimeInForce.FOK)
_GTD: Final = constant(TimeInForce.GTD)
_EXPIRE_TAKER: Final = constant(SelfTrade.EXPIRE_TAKER)
_EXPIRE_BOTH: Final = constant(SelfTrade.EXPIRE_BOTH)
_DECREMENT: Final = constant(SelfTrade.DECREMENT)
_ALLOW: Final = constant(SelfTrade.ALLOW)
_AUCTION: Final = constant(SymbolState.AUCTION)
_REDUCE_ONLY: Final = constant(OpFlag.REDUCE_ONLY)
_CLOSE_POSITION: Final = constant(OpFlag.CLOSE_POSITION)
_NONE: Final = constant(Reason.NONE)
_FILLED: Final = constant(Reason.FILLED)
_IOC_REMAINDER: Final = constant(Reason.IOC_REMAINDER)
_NO_LIQUIDITY: Final = constant(Reason.NO_LIQUIDITY)
_BOUND_REACHED: Final = constant(Reason.BOUND_REACHED)
_POOL_FULL: Final = constant(Reason.POOL_FULL)
_FOK_NOT_FILLABLE: Final = constant(Reason.FOK_NOT_FILLABLE)
_FAR_LEVELS_FULL: Final = constant(Reason.FAR_LEVELS_FULL)
_SELF_TRADE: Final = constant(Reason.SELF_TRADE)
_SELF_TRADE_DECREMENT: Final = constant(Reason.SELF_TRADE_DECREMENT)
_REDUCE_ONLY_EXCESS: Final = constant(Reason.REDUCE_ONLY_EXCESS)
_BOOK_OK: Final = constant(BookStatus.OK)
_BOOK_POOL_FULL: Final = constant(BookStatus.POOL_FULL)


@inner
def limit_key(desk: np.void, side: int, order_type: int, price: int) -> int:
    """The worst key of the other side that an order accepts; a market order's `price` is its bound, or 0."""
    if order_type == _MARKET:
        buys_to = min(price if price else MAX_PRICE, desk["market_buy_max"])
        price = buys_to if side == 0 else max(price, desk["market_sell_min"])
    return side_key(1 - side, price)


@inner
def rests_on(taker: np.void) -> bool:
    """Whether what does not trade goes into the book."""
    stays: bool = taker["order_type"] != _MARKET and taker["tif"] in (_GTC, _GTD)
    return stays


@inner
def enter(book: np.void, desk: np.void, holding: np.void, page: np.void, head: np.void, symbol: int) -> None:
    """Rests the taker, which has passed all refusals but those of a full book, or begins to trade with it."""
    work = head["work"]
    taker = work["taker"]
    taker["left"] = taker["qty"]
    taker["traded"] = 0
    taker["untold"] = 0
    taker["touched"] = 0
    taker["stopped"] = 0
    taker["unchecked"] = taker["tif"] == _FOK
    taker["limit"] = limit_key(desk, taker["side"], taker["order_type"], taker["price"])
    if desk["state"] != _AUCTION and book["sides"][1 - taker["side"]]["touch"] >= taker["limit"]:
        work["stage"] = SWEEPING
    elif taker["unchecked"]:
        refuse(book, desk, holding, _FOK_NOT_FILLABLE, page, head, symbol)
    else:
        finish(book, desk, holding, page, head, symbol)


@inner
def sweep(book: np.void, desk: np.void, holdings: np.ndarray, page: np.void, head: np.void, symbol: int) -> None:
    """Trades, as far as the page reaches and until a fill leaves chores, then finishes."""
    work = head["work"]
    taker = work["taker"]
    side, account = taker["side"], taker["account"]
    of_taker = holdings[account, symbol]
    orders, makers = book["orders"], book["sides"][1 - side]
    if taker["unchecked"]:
        taker["unchecked"] = 0
        if not is_fillable(book, desk, holdings, taker, symbol):
            refuse(book, desk, of_taker, _FOK_NOT_FILLABLE, page, head, symbol)
            return
    while taker["left"] > 0 and makers["touch"] >= taker["limit"] and not taker["stopped"]:
        if head["row"] > PAGE_ROWS - FILL_EVENTS:
            return
        key = makers["touch"]
        slot = np.uint64(makers["levels"][window_slot(makers, key)]["head"])
        maker = orders[slot]
        price = maker["price"]
        if taker["untold"] != price:
            _tell_untold(book, desk, page, head, symbol)
        if maker["account"] == account and taker["stp"] != _ALLOW:
            _prevent(book, desk, of_taker, slot, page, head, symbol)
            continue
        traded = min(taker["left"], maker["qty"])
        maker_account = maker["account"]
        of_maker = holdings[maker_account, symbol]
        report_trade(page, head, taker["order_id"], account, maker, symbol, side, price, traded, NOTHING)
        taker["left"] -= traded
        taker["traded"] += traded
        taker["touched"] = 1
        desk["last"] = price
        desk["moved"] = 1
        lots = traded if side == 0 else -traded
        of_taker["lots"] += lots
        of_maker["lots"] -= lots
        link, other = take_links(desk, maker, slot)
        use_up(book, desk, of_maker, slot, traded, page, head, symbol)
        todo = link | other | taker["link"] | taker["other"] | of_maker["reduce_only"] | of_taker["reduce_only"]
        taker["untold"] = price
        if todo:
            taker_link, taker_other = taker["link"], taker["other"]
            taker["link"] = taker["other"] = NO_ID
            after_both(
                book, desk, of_maker, maker_account, link, other, of_taker, account, taker_link, taker_other, page, head, symbol
            )
            if has_chores(work):
                return
    finish(book, desk, of_taker, page, head, symbol)


@inner
def take_links(desk: np.void, order: np.void, slot: np.uint64) -> tuple[int, int]:
    """The links of an order that has just been filled for the first time; it keeps none."""
    if not order["flags"] & HAS_EXTRA:
        return NO_ID, NO_ID
    extra = desk["extras"][slot]
    link, other = extra["link"], extra["other"]
    extra["link"] = extra["other"] = NO_ID
    return link, other


@inner
def use_up(
    book: np.void, desk: np.void, holding: np.void, slot: np.uint64, lots: int, page: np.void, head: np.void, symbol: int
) -> None:
    """Takes traded lots off a resting order: it keeps some, is displayed anew, or is gone. Writes a refresh, no LEVEL."""
    order = book["orders"][slot]
    if lots < order["qty"]:
        spend_displayed(book, holding, slot, lots)
    elif not order["flags"] & HAS_EXTRA:
        leave(book, desk, holding, id_index.find(book, order["order_id"])[0], slot)
    elif desk["extras"][slot]["hidden"] == 0:
        take_out(book, desk, holding, slot)
    else:
        spend_displayed(book, holding, slot, lots)
        refresh(book, desk, slot, page, head, symbol)


@inner
def after_both(
    book: np.void,
    desk: np.void,
    of_first: np.void,
    first: int,
    first_link: int,
    first_other: int,
    of_second: np.void,
    second: int,
    second_link: int,
    second_other: int,
    page: np.void,
    head: np.void,
    symbol: int,
) -> None:
    """What a fill between two accounts leads to: links now, and reduce-only orders as chores, in the order of section 6."""
    work = head["work"]
    if first_link | first_other:
        _tell_untold(book, desk, page, head, symbol)
        after_fill(book, desk, of_first, first_link, first_other, page, head, symbol)
    if of_second["reduce_only"]:
        work["trims"][1] = second
    if of_first["reduce_only"]:
        work["trims"][0] = first
        work["late_account"] = second
        work["late_link"] = second_link
        work["late_other"] = second_other
    elif second_link | second_other:
        _tell_untold(book, desk, page, head, symbol)
        after_fill(book, desk, of_second, second_link, second_other, page, head, symbol)


@inner
def has_chores(work: np.void) -> bool:
    """Whether the last fill left something to do."""
    due: bool = work["trims"][0] >= 0 or work["trims"][1] >= 0 or work["late_link"] != 0 or work["late_other"] != 0
    return due


@inner
def chores(book: np.void, desk: np.void, holdings: np.ndarray, page: np.void, head: np.void, symbol: int) -> None:
    """One step of what the last fill left to do."""
    work = head["work"]
    if work["trims"][0] >= 0:
        _trim(book, desk, holdings[work["trims"][0], symbol], _FIRST, page, head, symbol)
    elif work["late_link"] or work["late_other"]:
        link, other = work["late_link"], work["late_other"]
        work["late_link"] = work["late_other"] = NO_ID
        _tell_untold(book, desk, page, head, symbol)
        after_fill(book, desk, holdings[work["late_account"], symbol], link, other, page, head, symbol)
    else:
        _trim(book, desk, holdings[work["trims"][1], symbol], _SECOND, page, head, symbol)


@inner
def _trim(book: np.void, desk: np.void, holding: np.void, which: int, page: np.void, head: np.void, symbol: int) -> None:
    """Cuts or cancels one reduce-only order that exceeds its account's position; without one the chore is done."""
    slot = np.uint64(holding["orders"])
    while slot:
        order = book["orders"][slot]
        if order["state"] == RESTING and order["flags"] & REDUCING:
            most = reducible(holding["lots"], order["side"])
            if order["qty"] > most:
                _tell_untold(book, desk, page, head, symbol)
                if most > 0 and desk["rules"]["shrink_reduce_only"]:
                    excess = order["qty"] - most
                    cut(book, desk, holding, slot, excess, page, head, symbol, _REDUCE_ONLY_EXCESS, NOTHING, NO_ID)
                    return
                cancel(book, desk, holding, slot, page, head, symbol, _REDUCE_ONLY_EXCESS, NOTHING, NO_ID)
                return
        slot = np.uint64(desk["own"][slot]["next"])
    head["work"]["trims"][which] = -1


@inner
def _prevent(
    book: np.void, desk: np.void, holding: np.void, slot: np.uint64, page: np.void, head: np.void, symbol: int
) -> None:
    """Self-trade prevention between the taker and its own order at `slot`."""
    taker = head["work"]["taker"]
    mode = taker["stp"]
    taker["stopped"] = mode in (_EXPIRE_TAKER, _EXPIRE_BOTH)
    if mode == _EXPIRE_TAKER:
        return
    taker["touched"] = 1
    taker["untold"] = 0  # the LEVEL of what follows tells of trades before it, too
    if mode != _DECREMENT:
        cancel(book, desk, holding, slot, page, head, symbol, _SELF_TRADE, NOTHING, taker["order_id"])
        return
    lots = min(taker["left"], book["orders"][slot]["qty"])
    taker["left"] -= lots
    taker["stopped"] = taker["left"] == 0
    decrement(book, desk, holding, slot, lots, taker["order_id"], page, head, symbol)


@inner
def decrement(
    book: np.void,
    desk: np.void,
    holding: np.void,
    slot: np.uint64,
    lots: int,
    contra: int,
    page: np.void,
    head: np.void,
    symbol: int,
) -> None:
    """Takes `lots` displayed lots off an order, without a trade."""
    order = book["orders"][slot]
    if lots < order["qty"]:
        cut(book, desk, holding, slot, lots, page, head, symbol, _SELF_TRADE_DECREMENT, NOTHING, contra)
        return
    if not order["flags"] & HAS_EXTRA or desk["extras"][slot]["hidden"] == 0:
        cancel(book, desk, holding, slot, page, head, symbol, _SELF_TRADE_DECREMENT, NOTHING, contra)
        return
    spend_displayed(book, holding, slot, lots)
    side, price = order["side"], order["price"]
    report(
        page,
        head,
        _CANCEL,
        order["order_id"],
        order["account"],
        symbol,
        side,
        price,
        lots,
        NOTHING,
        contra,
        NOTHING,
        _SELF_TRADE_DECREMENT,
    )
    tell_level(book, desk, page, head, symbol, side, price)
    refresh(book, desk, slot, page, head, symbol)
    tell_level(book, desk, page, head, symbol, side, price)


@inner
def _tell_untold(book: np.void, desk: np.void, page: np.void, head: np.void, symbol: int) -> None:
    """The LEVEL of a level that the taker traded at comes before whatever is no trade or refresh there."""
    taker = head["work"]["taker"]
    price = taker["untold"]
    if price:
        taker["untold"] = 0
        tell_level(book, desk, page, head, symbol, 1 - taker["side"], price)


@inner
def finish(book: np.void, desk: np.void, holding: np.void, page: np.void, head: np.void, symbol: int) -> None:
    """The taker has traded what it could: it rests, or ends, and so does what hangs on it."""
    work = head["work"]
    taker = work["taker"]
    _tell_untold(book, desk, page, head, symbol)
    work["stage"] = ENTERED
    left = taker["left"]
    if left == 0:
        code = _FILLED if taker["asked"] == taker["qty"] else _REDUCE_ONLY_EXCESS
        if taker["stopped"]:
            code = _SELF_TRADE
    elif taker["stopped"]:
        code = _SELF_TRADE
    elif taker["order_type"] == _MARKET:
        code = _NO_LIQUIDITY if book["sides"][1 - taker["side"]]["touch"] == NO_KEY else _BOUND_REACHED
    elif rests_on(taker):
        code = _rest(book, desk, holding, head)
        if code == _NONE:
            _tell_rest(book, desk, page, head, symbol)
            return
        if not taker["touched"]:
            refuse(book, desk, holding, code, page, head, symbol)
            return
    else:
        code = _IOC_REMAINDER
    _done(book, desk, holding, code, page, head, symbol)


@inner
def refuse(book: np.void, desk: np.void, holding: np.void, code: int, page: np.void, head: np.void, symbol: int) -> None:
    """The taker is refused before it did anything: REJECT of a new order, the end of one that was there."""
    work = head["work"]
    taker = work["taker"]
    work["stage"] = ENTERED
    if taker["origin"] in (FROM_AMEND, FROM_TRIGGER):
        if taker["flags"] & _CLOSE_POSITION:
            taker["asked"] = taker["qty"] = 0
        taker["left"] = taker["qty"]
        taker["traded"] = 0
        _done(book, desk, holding, code, page, head, symbol)
        return
    report(
        page,
        head,
        _REJECT,
        taker["order_id"],
        taker["account"],
        symbol,
        taker["side"],
        taker["op_price"],
        taker["op_qty"],
        NOTHING,
        NO_ID,
        REPLY,
        code,
    )
    # A pair is not yet one: the other order stays.
    after_end(book, desk, holding, NO_ID, taker["other"], False, page, head, symbol)


@inner
def _done(book: np.void, desk: np.void, holding: np.void, code: int, page: np.void, head: np.void, symbol: int) -> None:
    taker = head["work"]["taker"]
    price = 0 if taker["order_type"] == _MARKET else taker["price"]
    leaves = taker["asked"] - taker["qty"] + taker["left"]
    report(
        page,
        head,
        _DONE,
        taker["order_id"],
        taker["account"],
        symbol,
        taker["side"],
        price,
        taker["traded"],
        leaves,
        NO_ID,
        taker["reply"],
        code,
    )
    after_end(book, desk, holding, taker["link"], taker["other"], False, page, head, symbol)


@inner
def place(
    book: np.void,
    desk: np.void,
    holding: np.void,
    position: np.uint64,
    order_id: int,
    account: int,
    side: int,
    price: int,
    displayed: int,
    lots: int,
    flags: int,
    stp: int,
    now_ns: int,
) -> int:
    """Lets an order rest at `next_slot`: in book, list and open lots. Returns the Reason it cannot, or NONE.

    `position` is where the id index did not find it, with no change since; `lots` are `displayed` and hidden ones.
    """
    slot = next_slot(book)
    status = insert_at(book, position, side, order_id, account, price, displayed, now_ns)
    if status != _BOOK_OK:
        return _POOL_FULL if status == _BOOK_POOL_FULL else _FAR_LEVELS_FULL
    order = book["orders"][slot]
    order["flags"] = flags
    order["stp"] = stp
    order["state"] = RESTING
    own(desk, holding, slot)
    holding["open"][side] += lots
    if flags & _REDUCE_ONLY:
        holding["reduce_only"] += 1
    return _NONE


@inner
def _rest(book: np.void, desk: np.void, holding: np.void, head: np.void) -> int:
    """Puts what is left of the taker into the book; the Reason it cannot, or NONE."""
    work = head["work"]
    taker = work["taker"]
    side, left = taker["side"], taker["left"]
    displayed = min(taker["display"], left) if taker["display"] else left
    slot = next_slot(book)
    position = id_index.find(book, taker["order_id"])[0]
    reason = place(
        book,
        desk,
        holding,
        position,
        taker["order_id"],
        taker["account"],
        side,
        taker["price"],
        displayed,
        left,
        taker["flags"],
        taker["stp"],
        work["now_ns"],
    )
    if reason != _NONE:
        return reason
    order = book["orders"][slot]
    if taker["display"] | taker["expire_s"] | taker["link"] | taker["other"]:
        extra = add_extra(desk, order, slot)
        extra["hidden"] = left - displayed
        desk["hidden"][side] += left - displayed
        extra["display"] = taker["display"]
        extra["tif"] = taker["tif"]
        extra["expire_s"] = taker["expire_s"]
        set_links(book, desk, slot, taker["link"], taker["other"])
        if taker["expire_s"]:
            desk["arrivals"] += 1
            extra["arrival"] = desk["arrivals"]
            desk["held"] += 1
            start_timer(desk, slot)
    return _NONE


@inner
def set_links(book: np.void, desk: np.void, slot: np.uint64, link: int, other: int) -> None:
    """Ties the order at `slot`, whose extra is in use, to the other order of its pair and to its dormant order."""
    extra = desk["extras"][slot]
    extra["link"] = link
    extra["other"] = other
    order_id = book["orders"][slot]["order_id"]
    if link:
        partner = np.uint64(order_lookup(book, link))
        if not book["orders"][partner]["flags"] & HAS_EXTRA:
            add_extra(desk, book["orders"][partner], partner)
        desk["extras"][partner]["link"] = order_id
    if other:
        desk["extras"][order_lookup(book, other)]["other"] = order_id


@inner
def _tell_rest(book: np.void, desk: np.void, page: np.void, head: np.void, symbol: int) -> None:
    taker = head["work"]["taker"]
    displayed = min(taker["display"], taker["left"]) if taker["display"] else taker["left"]
    code = _NONE if taker["asked"] == taker["qty"] else _REDUCE_ONLY_EXCESS
    report(
        page,
        head,
        _ADD,
        taker["order_id"],
        taker["account"],
        symbol,
        taker["side"],
        taker["price"],
        displayed,
        displayed,
        NO_ID,
        taker["reply"],
        code,
    )
    tell_level(book, desk, page, head, symbol, taker["side"], taker["price"])


@inner
def cut_to_position(holding: np.void, taker: np.void) -> bool:
    """Cuts a reduce-only taker to the position; False where there is none to reduce."""
    most = reducible(holding["lots"], taker["side"])
    if most == 0:
        return False
    if not taker["flags"] & _REDUCE_ONLY:  # it closes the position
        taker["asked"] = most
    taker["qty"] = min(taker["asked"], most)
    return True


@inner
def side_is_full(book: np.void, desk: np.void, taker: np.void) -> bool:
    """Whether the own side of the book could not hold the taker's lots."""
    full: bool = taker["qty"] > MAX_QTY - side_lots(book, desk, taker["side"])
    return full
