"""Price-time matching: an array of ops in, an array of events out, over any number of books.

>>> import numpy as np
>>> from engine.book import MEDIUM
>>> from engine.contract import OP_DTYPE, EventKind, OpKind, OrderType, Reference, Side
>>> from engine.market import new_market
>>> from engine.matching import run
>>> ops = np.zeros(3, OP_DTYPE)
>>> ops["kind"] = OpKind.NEW
>>> ops["ts_ns"] = [1, 2, 3]
>>> ops["order_id"] = [11, 12, 13]
>>> ops["account"] = [7, 8, 9]
>>> ops["side"] = [Side.SELL, Side.SELL, Side.BUY]
>>> ops["price"] = [101, 100, 101]
>>> ops["qty"] = [5, 2, 4]
>>> for e in run(new_market(MEDIUM, symbols=1, accounts=10), ops):
...     print(e["seq"], EventKind(e["kind"]).name, e["order_id"], e["contra_order_id"], e["price"], e["qty"])
1 ADD 11 0 101 5
2 LEVEL 0 0 101 5
3 ADD 12 0 100 2
4 LEVEL 0 0 100 2
5 TRADE 13 12 100 2
6 LEVEL 0 0 100 0
7 TRADE 13 11 101 2
8 LEVEL 0 0 101 3
9 DONE 13 0 101 4

The rules are in `docs/matching.md`: every op ends in exactly one event with the flag REPLY, and what an op does depends on
nothing but the ops before it. An op of another kind is built the same way; a stop of account 7 that sells 5 lots at the
market once the mark is at 90, and the mark that fires it:

>>> ops = np.zeros(2, OP_DTYPE)
>>> ops["ts_ns"] = [1, 2]
>>> ops[0]["kind"], ops[0]["order_id"], ops[0]["account"], ops[0]["side"] = OpKind.NEW, 21, 7, Side.SELL
>>> ops[0]["order_type"], ops[0]["trigger"], ops[0]["qty"], ops[0]["code"] = OrderType.STOP_MARKET, 90, 5, Reference.MARK
>>> ops[1]["kind"], ops[1]["code"], ops[1]["price"] = OpKind.REFERENCE, Reference.MARK, 89_500_000
>>> for e in run(new_market(MEDIUM, symbols=1, accounts=10), ops):
...     print(EventKind(e["kind"]).name, e["order_id"], e["price"], e["code"])
ARM 21 90 0
REFERENCE 0 89500000 2
TRIGGER 21 90 2
DONE 21 0 3

`run` allocates; `process` below it is the compiled function that works in the caller's buffers and stops where they are full.
`by_symbol` brings a tick's ops into an order in which each book stays in the cache.

**How it is built.** An op is refused or begun by `_begin`. What cannot be done within a fixed number of events is done in
steps: `work["stage"]` says what the next step is, and `_step` makes it. So the engine can stop between any two steps, and
what is half done is in the market, nowhere else. `engine.requests` has what one order asks for, `engine.entering` how an
order trades, `engine.conditional` how orders wait and fire, `engine.orders` what goes with an order that comes or goes,
`engine.mass` mass cancels, mass quotes and the clock, `engine.auction` auctions.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from engine import id_index
from engine.admission import field_reason, has_account, has_symbol, is_known, may_grow, state_reason
from engine.arithmetic import mul_div_floor
from engine.auction import clearing_price, is_crossed, uncross
from engine.book import best
from engine.conditional import next_reached
from engine.contract import EVENT_DTYPE, MICRO, OP_DTYPE, EventKind, OpFlag, OpKind, Reason, Reference, Side, SymbolState
from engine.entering import ENTERED, FROM_LEG, SWEEPING, chores, has_chores, sweep
from engine.kernel import constant, inner, wide
from engine.layout import MAX_PRICE
from engine.market import MAX_LEGS, NO_ID, NO_ONE, NOTHING, NOWHERE, Market
from engine.mass import (
    BROKEN,
    CANCELLING,
    EXPIRING,
    LEGS,
    NO_GROUP,
    REPLACING,
    TIMING_OUT,
    acknowledge,
    begin_cancels,
    break_group,
    cancel_next,
    end_group,
    enter_leg,
    expire_next,
    hold_leg,
    leg_reason,
    next_timed_out,
    refuse_leg,
    replace_next,
)
from engine.prefetch import prefetch_record
from engine.reports import PAGE_DTYPE, PAGE_ROWS, REPLY, reject, report
from engine.requests import amend_order, cancel_order, fire, new_order
from engine.throttle import spend, weight

ROOM: Final = PAGE_ROWS
"""The smallest event buffer."""

_AHEAD: Final = 6
"""How many ops ahead memory is asked for."""

_LAST_ROW: Final = PAGE_ROWS - 2 * MAX_LEGS
"""The last row of a page at which a step may begin: the longest refuses a whole mass quote."""

_RUN_EVENTS: Final = 65_536
"""Events `run` makes room for at a time."""

# `stage` of the work: what the next step is. engine.entering and engine.mass have 1 to 7.
IDLE: Final = constant(0)
FIRING: Final = constant(8)
UNCROSSING: Final = constant(9)

MAX_TIME_NS: Final = constant(2**62 - 1)
"""Latest time of an op: deadlines and retry-afters counted from it still fit into 63 bits."""

_PPM: Final = constant(1_000_000)

# Plain integers: compiled code stores these without touching the enums.
_OP_NEW: Final = constant(OpKind.NEW)
_OP_CANCEL: Final = constant(OpKind.CANCEL)
_OP_CLOCK: Final = constant(OpKind.CLOCK)
_OP_REFERENCE: Final = constant(OpKind.REFERENCE)
_OP_AMEND: Final = constant(OpKind.AMEND)
_OP_CANCEL_ALL: Final = constant(OpKind.CANCEL_ALL)
_OP_QUOTE: Final = constant(OpKind.QUOTE)
_OP_CONNECT: Final = constant(OpKind.CONNECT)
_OP_DISCONNECT: Final = constant(OpKind.DISCONNECT)
_OP_DEAD_MAN: Final = constant(OpKind.DEAD_MAN)
_BUY: Final = constant(Side.BUY)
_SELL: Final = constant(Side.SELL)
_CLOCK: Final = constant(EventKind.CLOCK)
_REFERENCE: Final = constant(EventKind.REFERENCE)
_STATE: Final = constant(EventKind.STATE)
_MARK: Final = constant(Reference.MARK)
_MORE: Final = constant(OpFlag.MORE)
_OPEN: Final = constant(SymbolState.OPEN)
_HALTED: Final = constant(SymbolState.HALTED)
_REDUCE_ONLY: Final = constant(SymbolState.REDUCE_ONLY)
_AUCTION: Final = constant(SymbolState.AUCTION)
_NONE: Final = constant(Reason.NONE)
_UNKNOWN_SYMBOL: Final = constant(Reason.UNKNOWN_SYMBOL)
_UNKNOWN_ACCOUNT: Final = constant(Reason.UNKNOWN_ACCOUNT)
_TIME_WENT_BACK: Final = constant(Reason.TIME_WENT_BACK)
_BAD_FIELD: Final = constant(Reason.BAD_FIELD)
_BAD_PRICE: Final = constant(Reason.BAD_PRICE)
_BAD_QUANTITY: Final = constant(Reason.BAD_QUANTITY)
_MASS_CANCEL: Final = constant(Reason.MASS_CANCEL)
_QUOTE_BROKEN: Final = constant(Reason.QUOTE_BROKEN)
_DISCONNECTED: Final = constant(Reason.DISCONNECTED)
_DEAD_MAN: Final = constant(Reason.DEAD_MAN)


def run(market: Market, ops: np.ndarray) -> np.ndarray:
    """All events of `ops` (OP_DTYPE [n]) as one EVENT_DTYPE array, numbered on from the market's last."""
    if ops.dtype != OP_DTYPE:
        raise ValueError(f"the engine takes OP_DTYPE, not {ops.dtype}")
    parts = [np.zeros(0, EVENT_DTYPE)]
    while len(ops):
        events = np.zeros(_RUN_EVENTS, EVENT_DTYPE)
        consumed, written = process(market, ops, events)
        ops = ops[consumed:]
        parts.append(events[:written])
    return np.concatenate(parts)


@njit(cache=True, nogil=True)
def by_symbol(ops: np.ndarray, symbols: int) -> np.ndarray:
    """The ops of one tick (OP_DTYPE [n]), those of each symbol together, otherwise in their order.

    For whoever gives a venue its ops, before they are journaled: the order in which ops of different symbols came within a
    tick has no meaning, and each book then stays in the cache. Nothing moves across an op without a symbol. What it does
    change is which of an account's ops the throttle meets first.
    """
    sorted_ops = np.empty_like(ops)
    places = np.zeros(symbols + 1, np.int64)
    start = 0
    while start < len(ops):
        places[:] = 0
        end = start
        while end < len(ops) and 0 <= ops[end]["symbol"] < symbols:
            places[ops[end]["symbol"] + 1] += 1
            end += 1
        places[0] = start
        for k in range(symbols):
            places[k + 1] += places[k]
        for i in range(start, end):
            k = ops[i]["symbol"]
            sorted_ops[places[k]] = ops[i]
            places[k] += 1
        if end < len(ops):
            sorted_ops[end] = ops[end]
        start = end + 1
    return sorted_ops


@njit(cache=True, nogil=True)
def process(market: Market, ops: np.ndarray, events: np.ndarray) -> tuple[int, int]:
    """Apply `ops` (OP_DTYPE [n]) and write events (EVENT_DTYPE [m], m ≥ ROOM).

    Returns (ops consumed, events written). Where `events` is full, possibly in the midst of an op, call again with an empty
    buffer and `ops[consumed:]`. The events of all calls together do not depend on the buffer's size. Raises ValueError where
    the buffer is too small, or where an op is half done and another one is given.
    """
    books, desks, accounts, holdings, heads = market
    head = heads[0]
    work = head["work"]
    if len(events) < ROOM:
        raise ValueError("the event buffer is smaller than engine.matching.ROOM")
    i = written = 0
    while i < len(ops) and len(events) - written >= PAGE_ROWS:
        page = events[written : written + PAGE_ROWS].view(PAGE_DTYPE)[0]
        head["row"] = 0
        while i < len(ops) and head["row"] <= _LAST_ROW:
            op = ops[i]
            if work["stage"] == IDLE:
                if i + _AHEAD < len(ops):
                    later = ops[i + _AHEAD]
                    if 0 <= later["symbol"] < len(books) and 0 <= later["account"] < len(accounts):
                        _expect(books[later["symbol"]], accounts[later["account"]], later)
                work["op_kind"] = op["kind"]
                work["op_id"] = op["order_id"]
                work["now_ns"] = op["ts_ns"]
                kind, symbol, account = wide(op["kind"]), wide(op["symbol"]), op["account"]
                usual = has_symbol(kind, symbol) and 0 <= symbol < len(books) and 0 <= account < len(accounts)
                if usual and op["ts_ns"] <= MAX_TIME_NS:
                    holding = holdings[account, symbol]
                    _begin(books[symbol], desks[symbol], accounts[account], holding, head, op, page, kind, symbol)
                else:
                    _begin_rarer(books, desks, accounts, holdings, head, op, page, kind, symbol)
            elif work["op_kind"] != op["kind"] or work["op_id"] != op["order_id"]:
                raise ValueError("another op is half done: go on with the op that was not consumed")
            while work["stage"] != IDLE and head["row"] <= _LAST_ROW:
                _step(books, desks, accounts, holdings, head, op, page)
            if work["stage"] != IDLE:
                break
            i += 1
        written += head["row"]
    head["row"] = 0
    return i, written


@inner
def _expect(book: np.void, account: np.void, op: np.void) -> None:
    """Asks for the memory that an op will need."""
    id_index.expect(book, op["order_id"])
    prefetch_record(account)


@inner
def _begin(
    book: np.void,
    desk: np.void,
    account: np.void,
    holding: np.void,
    head: np.void,
    op: np.void,
    page: np.void,
    kind: int,
    symbol: int,
) -> None:
    """An op of a symbol that is there, as is its account if it has one: steps 4 to 8 of the refusals, then its kind."""
    work = head["work"]
    if op["ts_ns"] < book["ts_ns"]:
        work["now_ns"] = book["ts_ns"]
        reject(page, head, op, symbol, NOTHING, _TIME_WENT_BACK)
        return
    book["ts_ns"] = op["ts_ns"]
    head["now_ns"] = max(head["now_ns"], op["ts_ns"])
    work["symbol"] = symbol
    if desk["quote_state"] != NO_GROUP or kind == _OP_QUOTE:
        goes_on = kind == _OP_QUOTE and op["account"] == desk["quote_account"]
        if desk["quote_state"] != NO_GROUP and not goes_on:
            break_group(desk, page, head, symbol)
        if kind == _OP_QUOTE:
            _begin_leg(book, desk, account, head, op, page, symbol)
            return
    reason, retry_ns = _NONE, NOTHING
    if has_account(kind):
        reason, retry_ns = spend(head["throttle"], account, weight(head["throttle"], kind, wide(op["flags"])), op["ts_ns"])
    if reason == _NONE:
        reason = field_reason(op)
    if reason == _NONE:
        reason = state_reason(desk["state"], op)
    if reason == _NONE and account["bar"] != _NONE and may_grow(op):
        reason = account["bar"]
    if reason != _NONE:
        reject(page, head, op, symbol, retry_ns, reason)
    elif kind == _OP_NEW:
        new_order(book, desk, holding, op, page, head, symbol)
    elif kind == _OP_CANCEL:
        cancel_order(book, desk, holding, op, page, head, symbol)
    elif kind == _OP_AMEND:
        amend_order(book, desk, holding, op, page, head, symbol)
    elif kind == _OP_CANCEL_ALL:
        begin_cancels(head, op["account"], symbol, symbol, _MASS_CANCEL)
    elif kind == _OP_REFERENCE:
        _set_reference(desk, op, page, head, symbol)
    else:
        _begin_state(book, desk, op, head)
    if work["stage"] in (IDLE, ENTERED):
        _settle(desk, work)


@inner
def _begin_rarer(
    books: np.ndarray,
    desks: np.ndarray,
    accounts: np.ndarray,
    holdings: np.ndarray,
    head: np.void,
    op: np.void,
    page: np.void,
    kind: int,
    symbol: int,
) -> None:
    """An op without a symbol or an account, or with one that is not there: steps 1 to 3 of the refusals."""
    of_symbol = has_symbol(kind, symbol)
    if not is_known(kind) or op["ts_ns"] > MAX_TIME_NS or (not of_symbol and kind != _OP_CANCEL_ALL and symbol != NOWHERE):
        reject(page, head, op, symbol, NOTHING, _BAD_FIELD)
    elif not NOWHERE <= symbol < len(books) or (of_symbol and symbol == NOWHERE):
        reject(page, head, op, NOWHERE, NOTHING, _UNKNOWN_SYMBOL)
    elif has_account(kind) and not 0 <= op["account"] < len(accounts):
        reject(page, head, op, symbol, NOTHING, _UNKNOWN_ACCOUNT)
    elif of_symbol:
        # An op of the venue: no account is looked at.
        _begin(books[symbol], desks[symbol], accounts[0], holdings[0, symbol], head, op, page, kind, symbol)
    else:
        _begin_wide(books, accounts, head, op, page, kind)


@inner
def _begin_wide(books: np.ndarray, accounts: np.ndarray, head: np.void, op: np.void, page: np.void, kind: int) -> None:
    """An op of no symbol: time, throttle, fields, and its kind."""
    work = head["work"]
    if op["ts_ns"] < head["now_ns"]:
        work["now_ns"] = head["now_ns"]
        reject(page, head, op, NOWHERE, NOTHING, _TIME_WENT_BACK)
        return
    head["now_ns"] = op["ts_ns"]
    for k in range(len(books)):
        books[k]["ts_ns"] = op["ts_ns"]
    reason, retry_ns = _NONE, NOTHING
    if has_account(kind):
        account = accounts[op["account"]]
        reason, retry_ns = spend(head["throttle"], account, weight(head["throttle"], kind, wide(op["flags"])), op["ts_ns"])
    if reason == _NONE:
        reason = field_reason(op)
    if reason == _NONE and kind == _OP_DEAD_MAN and not 0 <= op["qty"] <= MAX_PRICE:
        reason = _BAD_QUANTITY
    if reason != _NONE:
        reject(page, head, op, NOWHERE, retry_ns, reason)
        return
    if kind == _OP_CLOCK:
        work["stage"] = EXPIRING
        work["symbol"] = 0
        report(page, head, _CLOCK, NO_ID, NO_ONE, NOWHERE, NOTHING, NOTHING, NOTHING, NOTHING, NO_ID, REPLY, _NONE)
        return
    account = accounts[op["account"]]
    if kind == _OP_CANCEL_ALL:
        begin_cancels(head, op["account"], NOTHING, wide(len(books) - 1), _MASS_CANCEL)
        return
    if kind == _OP_DISCONNECT and account["cancel_on_disconnect"]:
        account["cancel_on_disconnect"] = 0
        begin_cancels(head, op["account"], NOTHING, wide(len(books) - 1), _DISCONNECTED)
        return
    if kind == _OP_CONNECT:
        account["cancel_on_disconnect"] = 1 if op["flags"] else 0
    elif kind == _OP_DEAD_MAN:
        account["deadline_ns"] = op["ts_ns"] + op["qty"] if op["qty"] else 0
        if op["qty"]:
            head["next_deadline_ns"] = min(head["next_deadline_ns"], account["deadline_ns"])
    acknowledge(page, head, op["account"], NOWHERE, NOTHING)


@inner
def _begin_leg(book: np.void, desk: np.void, account: np.void, head: np.void, op: np.void, page: np.void, symbol: int) -> None:
    """A leg of a mass quote: held back, refused, or the last one, with which the group begins."""
    work = head["work"]
    if desk["quote_state"] == BROKEN:
        if not op["flags"] & _MORE:
            end_group(desk)
        reject(page, head, op, symbol, NOTHING, _QUOTE_BROKEN)
        _settle(desk, work)
        return
    reason, retry_ns = _NONE, NOTHING
    if desk["quote_state"] == NO_GROUP:
        reason, retry_ns = spend(head["throttle"], account, weight(head["throttle"], _OP_QUOTE, NOTHING), op["ts_ns"])
    if reason == _NONE:
        reason = leg_reason(book, desk, op)
    if reason == _NONE and op["qty"] != 0:
        reason = account["bar"]
    if reason != _NONE:
        refuse_leg(desk, op, page, head, symbol, retry_ns, reason)
        _settle(desk, work)
        return
    hold_leg(desk, op)
    if op["flags"] & _MORE:
        _settle(desk, work)
    else:
        work["stage"] = REPLACING


@inner
def _begin_state(book: np.void, desk: np.void, op: np.void, head: np.void) -> None:
    work = head["work"]
    work["code"] = op["code"]
    work["clearing"] = 0
    work["volume"] = 0
    work["stage"] = UNCROSSING
    if op["code"] not in (_HALTED, _AUCTION) and is_crossed(book):
        work["clearing"] = clearing_price(book, desk)


@inner
def _set_reference(desk: np.void, op: np.void, page: np.void, head: np.void, symbol: int) -> None:
    """The index, or the mark with the bounds around it."""
    price = op["price"]
    if price < 1 or price > MAX_PRICE:
        reject(page, head, op, symbol, NOTHING, _BAD_PRICE)
        return
    desk["moved"] = 1
    if op["code"] == _MARK:
        desk["mark"] = price
        rules = desk["rules"]
        if rules["bound_ppm"]:
            desk["buy_max"] = _above(price, rules["bound_ppm"])
            desk["sell_min"] = _below(price, rules["bound_ppm"])
        if rules["market_bound_ppm"]:
            desk["market_buy_max"] = _above(price, rules["market_bound_ppm"])
            desk["market_sell_min"] = _below(price, rules["market_bound_ppm"])
    else:
        desk["index"] = price
    code = wide(op["code"])
    report(page, head, _REFERENCE, NO_ID, NO_ONE, symbol, NOTHING, price, NOTHING, NOTHING, NO_ID, REPLY, code)


@inner
def _above(mark: int, ppm: int) -> int:
    return mul_div_floor(mark, _PPM + ppm, _PPM) // MICRO


@inner
def _below(mark: int, ppm: int) -> int:
    return -(mul_div_floor(-mark, _PPM - ppm, _PPM) // MICRO)


@inner
def _settle(desk: np.void, work: np.void) -> None:
    """An op of a symbol has had its reply: what it brought into reach fires next, if the symbol trades."""
    trades = desk["state"] in (_OPEN, _REDUCE_ONLY)
    work["stage"] = FIRING if desk["moved"] and desk["waiting"] and trades else IDLE


@inner
def _step(
    books: np.ndarray, desks: np.ndarray, accounts: np.ndarray, holdings: np.ndarray, head: np.void, op: np.void, page: np.void
) -> None:
    """The next step of what is half done."""
    work = head["work"]
    stage, symbol = work["stage"], work["symbol"]
    if stage == EXPIRING:
        expire_next(books, desks, holdings, page, head)
    elif stage == TIMING_OUT:
        late = next_timed_out(accounts, head)
        if late < 0:
            work["stage"] = IDLE
        else:
            accounts[late]["deadline_ns"] = 0
            begin_cancels(head, late, NOTHING, wide(len(books) - 1), _DEAD_MAN)
    elif stage == CANCELLING:
        if cancel_next(books, desks, holdings, page, head):
            _end_cancels(desks, head, wide(op["symbol"]), page)
    else:
        _step_in_symbol(books[symbol], desks[symbol], holdings, head, page, symbol)


@inner
def _end_cancels(desks: np.ndarray, head: np.void, symbol: int, page: np.void) -> None:
    """All orders of a mass cancel are gone."""
    work = head["work"]
    if work["code"] == _DEAD_MAN:
        work["stage"] = TIMING_OUT
        return
    acknowledge(page, head, work["account"], symbol, work["count"])
    if symbol == NOWHERE:
        work["stage"] = IDLE
    else:
        _settle(desks[symbol], work)


@inner
def _step_in_symbol(book: np.void, desk: np.void, holdings: np.ndarray, head: np.void, page: np.void, symbol: int) -> None:
    work = head["work"]
    stage = work["stage"]
    if has_chores(work):
        chores(book, desk, holdings, page, head, symbol)
    elif stage == SWEEPING:
        sweep(book, desk, holdings, page, head, symbol)
    elif stage == ENTERED and work["taker"]["origin"] != FROM_LEG:
        _settle(desk, work)
    elif stage == REPLACING:
        replace_next(book, desk, holdings[desk["quote_account"], symbol], page, head, symbol)
    elif stage == UNCROSSING:
        price = work["clearing"]
        if price and best(book, _BUY) >= price and 0 < best(book, _SELL) <= price:
            uncross(book, desk, holdings, page, head, symbol)
            return
        if price and is_crossed(book):
            # Self-trade prevention or a reduce-only order took away what the price was found with.
            work["clearing"] = clearing_price(book, desk)
            return
        desk["state"] = work["code"]
        desk["moved"] = 1
        report(page, head, _STATE, NO_ID, NO_ONE, symbol, NOTHING, price, work["volume"], NOTHING, NO_ID, REPLY, work["code"])
        _settle(desk, work)
    elif stage == FIRING:
        slot = next_reached(book, desk)
        if slot:
            fire(book, desk, holdings[book["orders"][slot]["account"], symbol], slot, page, head, symbol)
        else:
            desk["moved"] = 0
            work["stage"] = IDLE
    elif work["leg"] < desk["legs"]:
        # LEGS, or the leg before has ENTERED.
        work["stage"] = LEGS
        enter_leg(book, desk, holdings[desk["quote_account"], symbol], page, head, symbol)
    else:
        end_group(desk)
        _settle(desk, work)
