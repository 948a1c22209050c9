"""Orders of a matched book coming and going: the account's own list, open lots, cancels, pairs and brackets.

Everything that takes an order away or gives it another state goes through here, so that book, tables, holdings and links stay
one.

`end` takes one order away and says so. `cancel` does that with all that follows from it: the other order of a pair, the
dormant orders of an entry (`docs/matching.md`, section 6). At most two more orders end with it, so `cancel` writes at most
six events.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine import id_index
from engine.book import NO_SLOT, give_slot, order_lookup, remove_at, side_key, take_slot
from engine.conditional import arm, counts_as_held, disarm, start_timer, stop_timer
from engine.contract import EventKind, OpFlag, Reason
from engine.kernel import constant, inner, wide
from engine.ladder import find_level
from engine.market import DORMANT, HAS_EXTRA, NO_ID, NOTHING, REDUCING, RESTING, WAITING, becomes_market
from engine.reports import report, tell_level

_ADD: Final = constant(EventKind.ADD)
_ARM: Final = constant(EventKind.ARM)
_CANCEL: Final = constant(EventKind.CANCEL)
_DONE: Final = constant(EventKind.DONE)
_NONE: Final = constant(Reason.NONE)
_ICEBERG_REFRESH: Final = constant(Reason.ICEBERG_REFRESH)
_LINKED: Final = constant(Reason.LINKED)
_ENTRY_ENDED: Final = constant(Reason.ENTRY_ENDED)
_DORMANT_FLAG: Final = constant(OpFlag.DORMANT)


@inner
def own(desk: np.void, holding: np.void, slot: np.uint64) -> None:
    """Puts an order at the head of its account's list in the symbol."""
    links = desk["own"]
    head = holding["orders"]
    links[slot]["next"] = head
    links[slot]["prev"] = 0
    links[head]["prev"] = slot  # slot 0 is no order: writing there needs no branch
    holding["orders"] = slot


@inner
def disown(desk: np.void, holding: np.void, slot: np.uint64) -> None:
    """Takes an order out of its account's list."""
    links = desk["own"]
    before, after = links[slot]["prev"], links[slot]["next"]
    if before:
        links[before]["next"] = after
    else:
        holding["orders"] = after
    links[after]["prev"] = before


@inner
def insert_held(book: np.void, desk: np.void, holding: np.void, order_id: int, account: int, side: int) -> np.uint64:
    """Puts a conditional order, not yet waiting, into the pool, which has room. The caller fills in the rest."""
    slot = take_slot(book)
    order = book["orders"][slot]
    order["order_id"] = order_id
    order["account"] = account
    order["side"] = side
    order["ts_ns"] = book["ts_ns"]
    id_index.put(book, id_index.find(book, order_id)[0], order_id, slot)
    own(desk, holding, slot)
    desk["held"] += 1
    return slot


@inner
def take_out(book: np.void, desk: np.void, holding: np.void, slot: np.uint64) -> None:
    """Takes an order of any state out of book, tables, list and open lots, without a word."""
    order = book["orders"][slot]
    position = id_index.find(book, order["order_id"])[0]
    if order["flags"] & HAS_EXTRA:
        _give_back_extra(desk, holding, order, slot)
    if order["state"] == RESTING:
        leave(book, desk, holding, position, slot)
        return
    order["state"] = RESTING
    disown(desk, holding, slot)
    id_index.remove(book, position)
    give_slot(book, slot)


@inner
def leave(book: np.void, desk: np.void, holding: np.void, position: np.uint64, slot: np.uint64) -> None:
    """Takes a resting order out of book, list and open lots, but for hidden lots. `position` is its index entry."""
    order = book["orders"][slot]
    disown(desk, holding, slot)
    holding["open"][order["side"]] -= order["qty"]
    if order["flags"] & REDUCING:
        holding["reduce_only"] -= 1
    remove_at(book, position, slot)


@inner
def _give_back_extra(desk: np.void, holding: np.void, order: np.void, slot: np.uint64) -> None:
    """Takes an order out of the tables that it is in, and its hidden lots off what is open."""
    extra = desk["extras"][slot]
    if extra["expire_s"]:
        stop_timer(desk, slot)
    if order["state"] == WAITING:
        disarm(desk, order, slot)
    if counts_as_held(extra["order_type"], extra["expire_s"]):
        desk["held"] -= 1
    if extra["hidden"]:
        holding["open"][order["side"]] -= extra["hidden"]
        desk["hidden"][order["side"]] -= extra["hidden"]


@inner
def add_extra(desk: np.void, order: np.void, slot: np.uint64) -> np.void:
    """Takes an order's extra record into use, all zeros."""
    extra: np.void = desk["extras"][slot]
    order["flags"] |= HAS_EXTRA
    extra["hidden"] = 0
    extra["display"] = 0
    extra["trigger"] = 0
    extra["extreme"] = 0
    extra["link"] = 0
    extra["other"] = 0
    extra["arrival"] = 0
    extra["expire_s"] = 0
    extra["order_type"] = 0
    extra["tif"] = 0
    extra["reference"] = 0
    extra["active"] = 0
    return extra


@inner
def spend_displayed(book: np.void, holding: np.void, slot: np.uint64, lots: int) -> None:
    """Takes displayed lots off a resting order, which keeps its place, even with none displayed."""
    order = book["orders"][slot]
    side = order["side"]
    ladder = book["sides"][side]
    order["qty"] -= lots
    ladder["levels"][find_level(ladder, side_key(side, order["price"]))]["lots"] -= lots
    ladder["lots"] -= lots
    holding["open"][side] -= lots


@inner
def refresh(book: np.void, desk: np.void, slot: np.uint64, page: np.void, head: np.void, symbol: int) -> None:
    """Displays hidden lots of an iceberg that displays none any more, at the back of its level's queue; ADD without LEVEL."""
    orders = book["orders"]
    order, extra = orders[slot], desk["extras"][slot]
    side = order["side"]
    ladder = book["sides"][side]
    level = ladder["levels"][find_level(ladder, side_key(side, order["price"]))]
    lots = min(extra["display"], extra["hidden"])
    extra["hidden"] -= lots
    desk["hidden"][side] -= lots
    order["qty"] = lots
    order["ts_ns"] = head["work"]["now_ns"]
    level["lots"] += lots
    ladder["lots"] += lots
    if order["next"]:
        before, after = order["prev"], order["next"]
        orders[after]["prev"] = before
        if before:
            orders[before]["next"] = after
        else:
            level["head"] = after
        orders[level["tail"]]["next"] = slot
        order["prev"] = level["tail"]
        order["next"] = 0
        level["tail"] = slot
    report(
        page,
        head,
        _ADD,
        order["order_id"],
        order["account"],
        symbol,
        side,
        order["price"],
        lots,
        lots,
        NO_ID,
        NOTHING,
        _ICEBERG_REFRESH,
    )


@inner
def end(
    book: np.void,
    desk: np.void,
    holding: np.void,
    slot: np.uint64,
    page: np.void,
    head: np.void,
    symbol: int,
    code: int,
    reply: int,
    contra: int,
) -> None:
    """Takes an order out and says so: CANCEL and LEVEL where it rested, DONE where it waited."""
    order = book["orders"][slot]
    if order["state"] == RESTING:
        if order["flags"] & HAS_EXTRA:
            _give_back_extra(desk, holding, order, slot)
        position = id_index.find(book, order["order_id"])[0]
        end_resting(book, desk, holding, position, slot, page, head, symbol, code, reply, contra)
        return
    order_id, account, side = order["order_id"], order["account"], wide(order["side"])
    price = NOTHING if becomes_market(desk["extras"][slot]["order_type"]) else order["price"]
    qty = order["qty"]
    take_out(book, desk, holding, slot)
    report(page, head, _DONE, order_id, account, symbol, side, price, NOTHING, qty, NO_ID, reply, code)


@inner
def end_resting(
    book: np.void,
    desk: np.void,
    holding: np.void,
    position: np.uint64,
    slot: np.uint64,
    page: np.void,
    head: np.void,
    symbol: int,
    code: int,
    reply: int,
    contra: int,
) -> None:
    """`end` for a resting order without an extra record in use; `position` is its index entry."""
    order = book["orders"][slot]
    side, price = wide(order["side"]), order["price"]
    report(
        page,
        head,
        _CANCEL,
        order["order_id"],
        order["account"],
        symbol,
        side,
        price,
        order["qty"],
        NOTHING,
        contra,
        reply,
        code,
    )
    leave(book, desk, holding, position, slot)
    tell_level(book, desk, page, head, symbol, side, price)


@inner
def cancel(
    book: np.void,
    desk: np.void,
    holding: np.void,
    slot: np.uint64,
    page: np.void,
    head: np.void,
    symbol: int,
    code: int,
    reply: int,
    contra: int,
) -> None:
    """`end`, and what follows from it. `holding` is the account's in the symbol; linked orders are of the same account."""
    if not book["orders"][slot]["flags"] & HAS_EXTRA:
        end(book, desk, holding, slot, page, head, symbol, code, reply, contra)
        return
    link, other = desk["extras"][slot]["link"], desk["extras"][slot]["other"]
    was_dormant = book["orders"][slot]["state"] == DORMANT
    end(book, desk, holding, slot, page, head, symbol, code, reply, contra)
    after_end(book, desk, holding, link, other, was_dormant, page, head, symbol)


@inner
def after_end(
    book: np.void,
    desk: np.void,
    holding: np.void,
    link: int,
    other: int,
    was_dormant: bool,
    page: np.void,
    head: np.void,
    symbol: int,
) -> None:
    """What the end of an order without a fill does to its pair's other order `link`, and to `other`.

    `other` is its entry, if it was dormant, else its own dormant order.
    """
    if not link | other:
        return
    if link:
        slot = np.uint64(order_lookup(book, link))
        # The other one may be the order that an entry knows: then the entry forgets it.
        entry = desk["extras"][slot]["other"] if book["orders"][slot]["state"] == DORMANT else NO_ID
        if entry:
            forget(book, desk, entry)
        end(book, desk, holding, slot, page, head, symbol, _LINKED, NOTHING, NO_ID)
    if other and was_dormant:
        forget(book, desk, other)
    elif other:
        slot = np.uint64(order_lookup(book, other))
        partner = desk["extras"][slot]["link"]
        end(book, desk, holding, slot, page, head, symbol, _ENTRY_ENDED, NOTHING, NO_ID)
        if partner:
            slot = np.uint64(order_lookup(book, partner))
            end(book, desk, holding, slot, page, head, symbol, _ENTRY_ENDED, NOTHING, NO_ID)


@inner
def after_fill(
    book: np.void, desk: np.void, holding: np.void, link: int, other: int, page: np.void, head: np.void, symbol: int
) -> None:
    """What an order's first fill does: its pair's other order `link` ends, its dormant order `other` and its partner wake."""
    if link:
        slot = order_lookup(book, link)
        end(book, desk, holding, np.uint64(slot), page, head, symbol, _LINKED, NOTHING, NO_ID)
    if other:
        slot = order_lookup(book, other)
        partner = desk["extras"][slot]["link"]
        _wake(book, desk, holding, np.uint64(slot), page, head, symbol)
        if partner:
            slot = order_lookup(book, partner)
            _wake(book, desk, holding, np.uint64(slot), page, head, symbol)


@inner
def forget(book: np.void, desk: np.void, entry: int) -> None:
    """An entry's dormant order is gone. The entry may be the order that is being done, and then it is not in the book."""
    slot = order_lookup(book, entry)
    if slot != NO_SLOT:
        desk["extras"][slot]["other"] = NO_ID


@inner
def rewait(book: np.void, desk: np.void, holding: np.void, slot: np.uint64) -> None:
    """Lets an order that is in no table wait, as the one that entered last."""
    order, extra = book["orders"][slot], desk["extras"][slot]
    disown(desk, holding, slot)
    own(desk, holding, slot)
    if extra["expire_s"]:
        stop_timer(desk, slot)
        start_timer(desk, slot)
    arm(desk, order, slot)


@inner
def _wake(book: np.void, desk: np.void, holding: np.void, slot: np.uint64, page: np.void, head: np.void, symbol: int) -> None:
    order, extra = book["orders"][slot], desk["extras"][slot]
    order["flags"] ^= _DORMANT_FLAG
    extra["other"] = NO_ID
    rewait(book, desk, holding, slot)
    report(
        page,
        head,
        _ARM,
        order["order_id"],
        order["account"],
        symbol,
        order["side"],
        extra["trigger"],
        order["qty"],
        order["qty"],
        NO_ID,
        NOTHING,
        _NONE,
    )


@inner
def cut(
    book: np.void,
    desk: np.void,
    holding: np.void,
    slot: np.uint64,
    lots: int,
    page: np.void,
    head: np.void,
    symbol: int,
    code: int,
    reply: int,
    contra: int,
) -> None:
    """Takes displayed lots off a resting order that keeps some, and its place; CANCEL and LEVEL."""
    order = book["orders"][slot]
    spend_displayed(book, holding, slot, lots)
    report(
        page,
        head,
        _CANCEL,
        order["order_id"],
        order["account"],
        symbol,
        order["side"],
        order["price"],
        lots,
        order["qty"],
        contra,
        reply,
        code,
    )
    tell_level(book, desk, page, head, symbol, order["side"], order["price"])
