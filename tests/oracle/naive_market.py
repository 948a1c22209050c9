"""The oracle of `engine.matching`: docs/matching.md in plain Python, written from the specification alone.

    market = NaiveMarket(symbols=2, accounts=8, capacity=SMALL)
    events = market.apply(op)  # tuples in the order of EVENT_DTYPE's and OP_DTYPE's fields, as `array.tolist()` gives them

Section 3 is in `naive_refusals`, 8 in `naive_throttle`, 10 in `naive_auction`, 11 in `naive_hash`; the containers are in
`naive_book`. Limit orders, takers and cancels, which are nearly all of a real flow, take the direct way through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from engine.contract import NO_ACCOUNT, NO_ORDER, EventFlag, EventKind, Reason, SelfTrade
from tests.oracle import naive_auction, naive_hash, naive_refusals
from tests.oracle.naive_book import (
    BUY,
    CLOSE_POSITION,
    DORMANT,
    FROM_QUOTE,
    IN_FLIGHT,
    INDEX,
    LAST,
    LIMIT,
    MARK,
    MARKET,
    NONE,
    OPEN,
    POOL_FULL,
    QUOTE_BROKEN,
    QUOTE_HELD,
    QUOTE_NONE,
    REDUCE_ONLY,
    RESTING,
    SELL,
    TRAILING_STOP,
    WAITING,
    WITH_LIMIT,
    Capacity,
    Level,
    NaiveBook,
    Order,
    Rules,
)
from tests.oracle.naive_refusals import (
    AMEND,
    AUCTION,
    CANCEL,
    CANCEL_ALL,
    CLOCK,
    CONNECT,
    DEAD_MAN,
    DISCONNECT,
    DORMANT_FLAG,
    FOK,
    HALTED,
    IMMEDIATE,
    MORE,
    NEW,
    POST_ONLY,
    QUOTE,
    REDUCE_ONLY_STATE,
    REDUCING,
    REFERENCE,
    SLIDE,
    STATE,
    STOP_LIMIT,
    Op,
)
from tests.oracle.naive_throttle import Account, Throttle, weight

OF_SYMBOL = {NEW, CANCEL, AMEND, QUOTE, STATE, REFERENCE}
OF_NO_SYMBOL = {CLOCK, CONNECT, DISCONNECT, DEAD_MAN, CANCEL_ALL}
OF_NO_ACCOUNT = {STATE, REFERENCE, CLOCK}
MAX_LEGS = 32
MAX_REFERENCE = 2**62 - 1
NO_SYMBOL = -1
SECOND_NS = 10**9

ADD, CANCELLED, TRADE, DONE, REJECT = (
    int(kind) for kind in (EventKind.ADD, EventKind.CANCEL, EventKind.TRADE, EventKind.DONE, EventKind.REJECT)
)
LEVEL, REFERENCE_EVENT, CLOCK_EVENT = int(EventKind.LEVEL), int(EventKind.REFERENCE), int(EventKind.CLOCK)
ARM, TRIGGER, STATE_EVENT, ACK = int(EventKind.ARM), int(EventKind.TRIGGER), int(EventKind.STATE), int(EventKind.ACK)
REPLY, DERIVED = int(EventFlag.REPLY), int(EventFlag.DERIVED)
ALLOW, DECREMENT = int(SelfTrade.ALLOW), int(SelfTrade.DECREMENT)
EXPIRE_TAKER, EXPIRE_MAKER, EXPIRE_BOTH = (
    int(SelfTrade.EXPIRE_TAKER), int(SelfTrade.EXPIRE_MAKER), int(SelfTrade.EXPIRE_BOTH),
)  # fmt: skip
R = {reason.name: int(reason) for reason in Reason}
FILLED, SELF_TRADE, REDUCE_ONLY_EXCESS = R["FILLED"], R["SELF_TRADE"], R["REDUCE_ONLY_EXCESS"]
AMENDED, NO_CHANGE, NOT_REDUCING = R["AMENDED"], R["NO_CHANGE"], R["NOT_REDUCING"]

Event = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NaiveRules:
    """Section 1, everything switched off. Any object with these attributes will do."""

    price_step: int = 1
    lot_step: int = 1
    min_notional: int = 0
    max_notional: int = 0
    bound_ppm: int = 0
    market_bound_ppm: int = 0
    self_trade: int = ALLOW
    trigger_by: int = MARK
    trailing_in_bps: bool = True
    shrink_reduce_only: bool = True
    deltas: bool = True


@dataclass(frozen=True, slots=True)
class NaiveThrottle:
    interval_ns: int = 0
    burst: int = 0
    order: int = 1
    reduce_only: int = 1
    cancel: int = 1
    ban_after: int = 10
    ban_first_ns: int = 120 * SECOND_NS
    ban_longest_ns: int = 3 * 24 * 3600 * SECOND_NS


MAX_TIME_NS = 2**62 - 1
NO_RULES = NaiveRules()
NO_THROTTLE = NaiveThrottle()


class NaiveMarket:
    """`rules`: one for all symbols, or one each."""

    def __init__(
        self,
        symbols: int,
        accounts: int,
        capacity: Capacity,
        rules: Rules | Sequence[Rules] = NO_RULES,
        throttle: Throttle = NO_THROTTLE,
    ) -> None:
        each = list(rules) if isinstance(rules, Sequence) else [rules] * symbols
        self.books = [NaiveBook(symbol, capacity, each[symbol]) for symbol in range(symbols)]
        self.accounts = [Account() for _ in range(accounts)]
        self.throttle = throttle
        self.ts_ns = 0
        self.seq = 0
        self.now = 0
        self.events: list[Event] = []
        self._untold: Level | None = None
        """The level at which trades were not followed by a LEVEL yet."""
        self._dirty_accounts: set[int] = set()
        self._account_hashes = [0] * accounts
        self._accounts_hash = 0
        self._handlers = {
            NEW: self._new,
            CANCEL: self._cancel,
            AMEND: self._amend,
            CANCEL_ALL: self._cancel_all,
            STATE: self._state,
            REFERENCE: self._reference,
            CLOCK: self._clock,
            CONNECT: self._connect,
            DISCONNECT: self._disconnect,
            DEAD_MAN: self._dead_man,
        }

    def apply(self, row: tuple[int, ...]) -> list[Event]:
        """The events of one op. Section 2, and steps 1 to 6 of section 3."""
        op = tuple.__new__(Op, row)  # as Op._make does, without counting the fields
        self.now = ts_ns = op.ts_ns
        kind, symbol = op.kind, op.symbol
        self.events = events = []
        if ts_ns > MAX_TIME_NS:
            self._refuse(op, R["BAD_FIELD"])
            return events
        book = None
        if kind in OF_SYMBOL or (kind == CANCEL_ALL and symbol != NO_SYMBOL):
            if not 0 <= symbol < len(self.books):
                self._refuse(op, R["UNKNOWN_SYMBOL"])
                return events
            book = self.books[symbol]
        elif kind not in OF_NO_SYMBOL or symbol != NO_SYMBOL:
            self._refuse(op, R["BAD_FIELD"])
            return events
        attended = kind not in OF_NO_ACCOUNT
        if attended and not 0 <= op.account < len(self.accounts):
            self._refuse(op, R["UNKNOWN_ACCOUNT"])
            return events
        latest = book.ts_ns if book else self.ts_ns
        if ts_ns < latest:
            self.now = latest
            self._refuse(op, R["TIME_WENT_BACK"])
            return events
        if ts_ns > self.ts_ns:
            self.ts_ns = ts_ns
        if book:
            book.ts_ns = ts_ns
        else:
            for each in self.books:
                each.ts_ns = ts_ns

        if book and book.quote_state and (kind != QUOTE or op.account != book.quote_account):
            self._break_off(book)
        reason = retry_after = 0
        if attended and self.throttle.interval_ns:
            first_leg = kind != QUOTE or book.quote_state == QUOTE_NONE
            tokens = weight(kind, op.flags, first_leg, self.throttle)
            reason, retry_after = self.accounts[op.account].admit(ts_ns, tokens, self.throttle)
            self._dirty_accounts.add(op.account)
        if kind == QUOTE:
            self._quote(book, op, reason, retry_after)
        elif reason:
            self._refuse(op, reason, retry_after)
        else:
            self._handlers[kind](book, op)
        if book and book.waiting:
            self._evaluate(book)
        return events

    # -- events --------------------------------------------------------------------------------------------------------

    def _write(
        self, kind: int, *, code: int, flags: int = 0, order_id: int = NO_ORDER, contra: int = NO_ORDER,
        account: int = NO_ACCOUNT, price: int = 0, qty: int = 0, leaves: int = 0, symbol: int = NO_SYMBOL, side: int = 0,
    ) -> None:  # fmt: skip
        self._tell_trades()
        self.seq += 1
        self.events.append((
            self.now, self.seq, order_id, contra, account, NO_ACCOUNT, price, qty, leaves, symbol, kind, side, flags, code,
        ))  # fmt: skip

    def _refuse(self, op: Op, code: int, retry_after: int = 0) -> None:
        symbol = NO_SYMBOL if code == R["UNKNOWN_SYMBOL"] else op.symbol
        self._write(
            REJECT, code=code, flags=REPLY, order_id=op.order_id, account=op.account, price=op.price, qty=op.qty,
            leaves=retry_after, symbol=symbol, side=op.side if op.side <= SELL else 0,
        )  # fmt: skip

    def report(
        self, kind: int, book: NaiveBook, order: Order, qty: int, leaves: int, code: int,
        flags: int = 0, *, contra: int = NO_ORDER, price: int | None = None,
    ) -> None:  # fmt: skip
        """An event about an order. `price`: the limit price, if it is not given."""
        if self._untold is not None:
            self._tell_trades()
        if price is None:
            price = order.price if order.order_type in WITH_LIMIT else 0
        self.seq += 1
        self.events.append((
            self.now, self.seq, order.order_id, contra, order.account, NO_ACCOUNT, price, qty, leaves,
            book.symbol, kind, order.side, flags, code,
        ))  # fmt: skip

    def tell(self, level: Level) -> None:
        """LEVEL. The level may be gone already."""
        if self.books[level.symbol].rules.deltas:
            self.seq += 1
            self.events.append((
                self.now, self.seq, NO_ORDER, NO_ORDER, NO_ACCOUNT, NO_ACCOUNT, level.price, level.shown, 0,
                level.symbol, LEVEL, level.side, DERIVED, NONE,
            ))  # fmt: skip

    def _tell_trades(self) -> None:
        """Section 2: the LEVEL after trades comes before whatever is neither a trade there nor a refresh there."""
        if self._untold is not None:
            level, self._untold = self._untold, None
            self.tell(level)

    # -- section 4: orders that enter ----------------------------------------------------------------------------------

    def _new(self, book: NaiveBook, op: Op) -> None:
        reason = naive_refusals.early_refusal(book, op)
        if not reason and op.order_id in book.orders:
            reason = R["DUPLICATE_ORDER_ID"]
        target = None
        if not reason and op.link:
            target = book.orders.get(op.link)
            if naive_refusals.bad_link(op, target):
                reason = R["BAD_LINK"]
        if reason:
            self._refuse(op, reason)
            return

        stp = op.stp or book.rules.self_trade
        order = Order(op.order_id, book.holdings[op.account], op.side, op.price, op.qty, op.flags, stp)
        order.order_type, order.tif, order.expire_s = op.order_type, op.tif, op.expire_s
        if op.display != op.qty:
            order.display = op.display
        if op.order_type >= STOP_LIMIT:
            order.trigger = op.trigger
            order.reference = op.code or book.rules.trigger_by
            reason = self._start_waiting(book, order, target)
        else:
            reason = self._start_trading(book, order, target)
        if reason:
            self._refuse(op, reason)
            if target is not None and target.state == DORMANT and not op.flags & DORMANT_FLAG:
                self._entry_ended(book, target)

    def _start_waiting(self, book: NaiveBook, order: Order, target: Order | None) -> int:
        """Steps 14 and 17 for a conditional order, which waits if none applies."""
        dormant = order.flags & DORMANT_FLAG
        reason = naive_refusals.bad_notional(book, order, order.qty)
        if reason:
            return reason
        if not dormant and naive_refusals.would_trigger(book, order):
            return R["WOULD_TRIGGER"]
        if book.triggers == book.max_triggers:
            return R["TRIGGERS_FULL"]
        if len(book.orders) == book.max_orders:
            return POOL_FULL
        self._link(book, order, target)
        book.wait(order, DORMANT if dormant else WAITING)
        if dormant:
            self.report(ACK, book, order, order.qty, 0, NONE, REPLY, price=order.trigger)
        else:
            self.report(ARM, book, order, order.qty, order.qty, NONE, REPLY, price=order.trigger)
        return NONE

    def _start_trading(self, book: NaiveBook, order: Order, target: Order | None) -> int:
        """Steps 13 to 20 for an order that is not conditional, which enters if none applies."""
        lots, asked = order.qty, order.qty
        holding, side = order.holding, order.side
        if order.flags & REDUCING:
            lots, asked = self._cut(order, lots)
            if not lots:
                return NOT_REDUCING
        rules = book.rules
        if rules.min_notional or rules.max_notional:
            reason = naive_refusals.bad_notional(book, order, lots)
            if reason:
                return reason
        if rules.bound_ppm and order.order_type == LIMIT and naive_refusals.out_of_bounds(book, side, order.price):
            return R["PRICE_OUT_OF_BOUNDS"]
        if naive_refusals.over_position_limit(holding, side, lots):
            return R["POSITION_LIMIT"]
        if order.expire_s and book.triggers == book.max_triggers:
            return R["TRIGGERS_FULL"]
        if order.flags & POST_ONLY:
            order.price = naive_refusals.post_only_price(book, order)
            if not order.price:
                return R["POST_ONLY_WOULD_CROSS"]
        if order.tif == FOK and not naive_refusals.is_fillable(book, order, lots):
            return R["FOK_NOT_FILLABLE"]
        if target is not None:
            self._link(book, order, target)
        reason = self._enter(book, order, lots, asked, REPLY)
        if reason and target is not None:
            self._unlink(book, order)
        return reason

    @staticmethod
    def _cut(order: Order, lots: int) -> tuple[int, int]:
        """Step 13: the lots that a reduce-only order may trade (0: NOT_REDUCING), and what it is taken to have asked for."""
        most = order.holding.reducible(order.side)
        if order.flags & CLOSE_POSITION:
            return most, most
        return min(lots, most), lots

    def _enter(self, book: NaiveBook, order: Order, lots: int, asked: int, flags: int) -> int:
        """Trade `lots`, and rest or end. `asked` are the lots before a reduce-only order was cut.

        The reason why an order cannot rest is the answer where nothing has happened yet, so that the caller can refuse it.
        """
        left = lots
        taken_off = 0  # by DECREMENT
        code = NONE
        quiet = len(self.events)
        makers = book.levels[1 - order.side]
        if makers and book.state != AUCTION:
            worst = book.worst(order)
            deltas = book.rules.deltas
            while left and makers:
                at, level = makers.peekitem(0)
                if at > worst:
                    break
                if self._untold is not None and self._untold is not level:
                    self._tell_trades()
                maker = level.front()
                if maker.account == order.account and order.stp != ALLOW:
                    decrement = self._prevent(book, order, maker, left)
                    taken_off += decrement
                    left -= decrement
                    if not left or order.stp in (EXPIRE_TAKER, EXPIRE_BOTH):
                        code = SELF_TRADE
                        break
                    continue
                traded = min(left, maker.qty)
                left -= traded
                self.trade(book, order, maker, traded, level.price, 0)
                if maker.hidden and not maker.qty:
                    self.refresh(book, maker)
                if deltas:
                    self._untold = level
                if maker.link or maker.other or maker.holding.reducing:
                    self.after_fill(book, maker)
                if order.link or order.other or order.holding.reducing:
                    self.after_fill(book, order)

        cut = lots != asked
        if not code:
            if not left:
                code = REDUCE_ONLY_EXCESS if cut else FILLED
            elif order.order_type == MARKET:
                code = R["BOUND_REACHED"] if makers else R["NO_LIQUIDITY"]
            elif order.tif in IMMEDIATE:
                code = R["IOC_REMAINDER"]
            else:
                code = book.rest(order, left)
                if not code:
                    shown = order.qty
                    self.report(ADD, book, order, shown, shown, REDUCE_ONLY_EXCESS if cut else NONE, flags)
                    if book.rules.deltas:
                        self.tell(order.level)
                    return NONE
                if len(self.events) == quiet:
                    return code
        traded = lots - left - taken_off
        self.report(DONE, book, order, traded, asked - traded - taken_off, code, flags)
        if order.link or order.other:
            self._ended(book, order)
        return NONE

    def trade(self, book: NaiveBook, taker: Order, maker: Order, lots: int, price: int, flags: int) -> None:
        """One fill, without what follows from it. Lots of a taker that rests too are the caller's."""
        book.take(maker, lots)
        change = lots if taker.side == BUY else -lots
        taker.holding.position += change
        maker.holding.position -= change
        book.dirty_holdings.add(taker.holding)
        book.last = price
        self.seq += 1
        self.events.append((
            self.now, self.seq, taker.order_id, maker.order_id, taker.account, maker.account, price, lots, maker.qty,
            book.symbol, TRADE, taker.side, flags, NONE,
        ))  # fmt: skip

    def refresh(self, book: NaiveBook, order: Order) -> None:
        """The ADD of an iceberg whose displayed lots are used up. A LEVEL is the caller's."""
        book.refresh(order)
        self.seq += 1
        self.events.append((
            self.now, self.seq, order.order_id, NO_ORDER, order.account, NO_ACCOUNT, order.price, order.qty, order.qty,
            book.symbol, ADD, order.side, 0, R["ICEBERG_REFRESH"],
        ))  # fmt: skip

    # -- section 5 -----------------------------------------------------------------------------------------------------

    def _prevent(self, book: NaiveBook, taker: Order, maker: Order, left: int) -> int:
        """What the taker's mode does to an own resting order. Returns the lots that DECREMENT takes off the taker."""
        if taker.stp == EXPIRE_TAKER:
            return 0
        self._untold = None  # the CANCEL's LEVEL tells of trades before it, too
        if taker.stp != DECREMENT:
            self.cancel(book, maker, SELF_TRADE, contra=taker.order_id)
            return 0
        lots = min(left, maker.qty)
        self.decrement(book, maker, lots, taker)
        self.after_decrement(book, maker)
        return lots

    def decrement(self, book: NaiveBook, order: Order, lots: int, contra: Order) -> None:
        level = order.level
        book.take(order, lots)
        self.report(CANCELLED, book, order, lots, order.qty, R["SELF_TRADE_DECREMENT"], contra=contra.order_id)
        self.tell(level)

    def after_decrement(self, book: NaiveBook, order: Order) -> None:
        """The refresh, or the consequences of an order's end."""
        if order.state == IN_FLIGHT:
            self._ended(book, order)
        elif not order.qty:
            self.refresh(book, order)
            self.tell(order.level)

    # -- section 6 -----------------------------------------------------------------------------------------------------

    def after_fill(self, book: NaiveBook, order: Order) -> None:
        """The consequences of a fill for one of the two orders: links, then reduce-only."""
        if order.link:
            pair = order.link
            self._unlink(book, order)
            self.cancel(book, pair, R["LINKED"])
        elif order.other:
            first = order.other
            self._unlink(book, order)
            for dormant in (first, first.link):
                if dormant:
                    self._wake(book, dormant)
        if order.holding.reducing:
            self._shrink(book, order.holding.reducing)

    def _shrink(self, book: NaiveBook, reducing: dict[int, Order]) -> None:
        """Resting reduce-only orders of one account, after its position has changed."""
        for order in reversed(list(reducing.values())):
            most = order.holding.reducible(order.side)
            excess = order.qty - most
            if excess <= 0:
                continue
            if most and book.rules.shrink_reduce_only:
                self._tell_trades()
                book.take(order, excess)
                self.report(CANCELLED, book, order, excess, most, REDUCE_ONLY_EXCESS)
                self.tell(order.level)
            else:
                self.cancel(book, order, REDUCE_ONLY_EXCESS)

    def cancel(self, book: NaiveBook, order: Order, code: int, flags: int = 0, contra: int = NO_ORDER) -> None:
        """An order in the book is cancelled, in the form that its state has for that, with its consequences."""
        if order.state == RESTING:
            self._tell_trades()
            level, shown = order.level, order.qty
            book.take(order, shown, order.hidden)
            self.report(CANCELLED, book, order, shown, 0, code, flags, contra=contra)
            if book.rules.deltas:
                self.tell(level)
        else:
            book.unwait(order)
            self.report(DONE, book, order, 0, order.qty, code, flags)
        if order.link or order.other:
            self._ended(book, order)

    def _ended(self, book: NaiveBook, order: Order) -> None:
        """Links of an order that has ended without a fill just now."""
        pair, other = order.link, order.other
        self._unlink(book, order)
        if other and not order.flags & DORMANT_FLAG:
            self._entry_ended(book, other)
        if pair:
            self.cancel(book, pair, R["LINKED"])

    def _entry_ended(self, book: NaiveBook, dormant: Order) -> None:
        """The entry that `dormant` waited for will never trade."""
        partner = dormant.link
        self._unlink(book, dormant)
        self.cancel(book, dormant, R["ENTRY_ENDED"])
        if partner:
            self.cancel(book, partner, R["ENTRY_ENDED"])

    # -- section 7 -----------------------------------------------------------------------------------------------------

    def _link(self, book: NaiveBook, order: Order, target: Order | None) -> None:
        """A new order's link: it becomes the entry of a dormant order, or one of a pair."""
        if target is None:
            return
        if target.state == DORMANT and not order.flags & DORMANT_FLAG:
            order.other, target.other = target, order
        else:
            order.link, target.link = target, order
        book.touch(target)

    def _unlink(self, book: NaiveBook, order: Order) -> None:
        """The pair is dissolved, the entry forgotten, from both ends."""
        for name in ("link", "other"):
            opposite = getattr(order, name)
            if opposite:
                setattr(order, name, None)
                setattr(opposite, name, None)
                book.touch(order)
                book.touch(opposite)

    def _wake(self, book: NaiveBook, order: Order) -> None:
        book.unwait(order)
        order.flags &= ~DORMANT_FLAG
        book.wait(order, WAITING)
        self.report(ARM, book, order, order.qty, order.qty, NONE, price=order.trigger)

    def _evaluate(self, book: NaiveBook) -> None:
        """Fires orders until none is reached."""
        while book.waiting and book.state in (OPEN, REDUCE_ONLY_STATE):
            for code, trailing in book.trailing.items():
                if trailing:
                    _follow(book, code, trailing)
            for code in (INDEX, MARK, LAST):
                order = _first_reached(book, code)
                if order:
                    self._fire(book, order)
                    break
            else:
                return

    def _fire(self, book: NaiveBook, order: Order) -> None:
        price = _stop(book, order) if order.order_type == TRAILING_STOP else order.trigger
        book.unwait(order)
        self.report(TRIGGER, book, order, order.qty, 0, order.reference, price=price)
        if order.link:
            pair = order.link
            self._unlink(book, order)
            self.cancel(book, pair, R["LINKED"])
        lots = asked = order.qty
        if order.order_type == TRAILING_STOP:
            order.price = 0
        order.order_type = LIMIT if order.order_type in WITH_LIMIT else MARKET
        reason = NONE
        if order.flags & REDUCING:
            lots, asked = self._cut(order, lots)
            reason = NONE if lots else NOT_REDUCING
        elif book.state == REDUCE_ONLY_STATE:
            reason = R["SYMBOL_STATE"]
        reason = reason or self._late_refusal(book, order, lots) or self._enter(book, order, lots, asked, 0)
        if reason:
            self._end_untraded(book, order, order.qty, reason)

    def _end_untraded(self, book: NaiveBook, order: Order, leaves: int, code: int, flags: int = 0) -> None:
        """The DONE of an order that cannot be refused any more: it fired, or was amended."""
        self.report(DONE, book, order, 0, leaves, code, flags)
        self._ended(book, order)

    def _late_refusal(self, book: NaiveBook, order: Order, lots: int) -> int:
        """What is tested when an order fires, from PRICE_OUT_OF_BOUNDS on."""
        if order.order_type == LIMIT and naive_refusals.out_of_bounds(book, order.side, order.price):
            return R["PRICE_OUT_OF_BOUNDS"]
        if naive_refusals.over_position_limit(order.holding, order.side, lots):
            return R["POSITION_LIMIT"]
        if lots > naive_refusals.MAX_QTY - book.lots[order.side]:
            return R["BAD_QUANTITY"]
        if order.tif == FOK and not naive_refusals.is_fillable(book, order, lots):
            return R["FOK_NOT_FILLABLE"]
        return NONE

    # -- section 4: cancels and amendments -----------------------------------------------------------------------------

    def _cancel(self, book: NaiveBook, op: Op) -> None:
        order = self._addressed(book, op)
        if order:
            self.cancel(book, order, R["BY_OWNER"], REPLY)

    def _addressed(self, book: NaiveBook, op: Op) -> Order | None:
        """The order that a CANCEL or an AMEND is about, after steps 7, 8 and 11; None if the op was refused."""
        order = book.orders.get(op.order_id)
        if naive_refusals.bad_field(op):
            reason = R["BAD_FIELD"]
        elif book.state and naive_refusals.symbol_state(book, op):
            reason = R["SYMBOL_STATE"]
        elif order is None:
            reason = R["UNKNOWN_ORDER"]
        elif order.account != op.account:
            reason = R["NOT_OWNER"]
        else:
            return order
        self._refuse(op, reason)
        return None

    def _amend(self, book: NaiveBook, op: Op) -> None:
        order = self._addressed(book, op)
        if order is None:
            return
        if book.state == REDUCE_ONLY_STATE and not order.flags & REDUCING:
            reason = R["SYMBOL_STATE"]
        elif order.state == RESTING:
            reason = self._amend_resting(book, op, order)
        else:
            reason = self._amend_waiting(book, op, order)
        if reason:
            self._refuse(op, reason)

    def _amend_resting(self, book: NaiveBook, op: Op, order: Order) -> int:
        had = order.lots_left
        side, holding = order.side, order.holding
        new = copy(order)
        new.price = op.price or order.price
        lots = asked = op.qty or had
        if op.trigger:
            return R["BAD_FIELD"]
        if new.price == order.price and lots == had:
            return NO_CHANGE
        reason = naive_refusals.bad_price(book, LIMIT, new.price, 0)
        reason = reason or naive_refusals.bad_quantity(book, side, lots, 0, own=had)
        if reason:
            return reason
        if order.flags & REDUCE_ONLY:
            lots, asked = self._cut(order, lots)
            if not lots:
                return NOT_REDUCING
        reason = naive_refusals.bad_notional(book, new, lots)
        if reason:
            return reason
        if new.price != order.price and naive_refusals.out_of_bounds(book, side, new.price):
            return R["PRICE_OUT_OF_BOUNDS"]
        if lots > had and naive_refusals.over_position_limit(holding, side, lots - had):
            return R["POSITION_LIMIT"]
        if order.flags & POST_ONLY:
            new.price = naive_refusals.post_only_price(book, new)
            if not new.price:
                return R["POST_ONLY_WOULD_CROSS"]

        level, shown = order.level, order.qty
        if new.price == order.price and lots < had:
            hidden = min(order.hidden, had - lots)
            displayed = had - lots - hidden
            book.take(order, displayed, hidden)
            if displayed:
                self.report(CANCELLED, book, order, displayed, order.qty, AMENDED, REPLY)
                self.tell(level)
            else:
                self.report(ACK, book, order, 0, 0, AMENDED, REPLY)
            return NONE
        book.withdraw(order)
        self.report(CANCELLED, book, order, shown, 0, AMENDED)
        self.tell(level)
        order.price = new.price
        reason = self._enter(book, order, lots, asked, REPLY)
        if reason:
            self._end_untraded(book, order, asked, reason, REPLY)
        return NONE

    def _amend_waiting(self, book: NaiveBook, op: Op, order: Order) -> int:
        new = copy(order)
        new.price, new.qty, new.trigger = op.price or order.price, op.qty or order.qty, op.trigger or order.trigger
        if (new.price, new.qty, new.trigger) == (order.price, order.qty, order.trigger):
            return NO_CHANGE
        reason = naive_refusals.bad_price(book, order.order_type, new.price, new.trigger)
        if not reason:
            if order.flags & CLOSE_POSITION:
                reason = R["BAD_QUANTITY"] if op.qty else NONE
            else:
                reason = naive_refusals.bad_quantity(book, order.side, new.qty, 0)
        reason = reason or naive_refusals.bad_notional(book, new, new.qty)
        if reason:
            return reason
        if order.state == WAITING and naive_refusals.would_trigger(book, new):
            return R["WOULD_TRIGGER"]

        waiting = order.state == WAITING
        if waiting:
            book.unwait(order)
        order.price, order.qty, order.trigger = new.price, new.qty, new.trigger
        if waiting:
            order.active, order.extreme = False, 0
            book.wait(order, WAITING)
            self.report(ARM, book, order, order.qty, order.qty, AMENDED, REPLY, price=order.trigger)
        else:
            book.touch(order)
            self.report(ACK, book, order, order.qty, 0, AMENDED, REPLY, price=order.trigger)
        return NONE

    # -- section 4: ops of accounts, of the clock and of references ----------------------------------------------------

    def _mass_cancel(self, book: NaiveBook, account: int, code: int) -> int:
        """All the account's orders in the symbol. Returns how many were cancelled, consequences not counted."""
        count = 0
        for order in reversed(list(book.holdings[account].orders.values())):
            if order.state != IN_FLIGHT:  # not cancelled by consequence meanwhile
                self.cancel(book, order, code)
                count += 1
        return count

    def _cancel_all(self, book: NaiveBook | None, op: Op) -> None:
        if naive_refusals.bad_field(op):
            self._refuse(op, R["BAD_FIELD"])
        elif book and naive_refusals.symbol_state(book, op):
            self._refuse(op, R["SYMBOL_STATE"])
        else:
            self._cancel_all_in((book,) if book else self.books, op, R["MASS_CANCEL"])

    def _cancel_all_in(self, books: Sequence[NaiveBook], op: Op, code: int) -> None:
        count = sum(self._mass_cancel(book, op.account, code) for book in books if book.state != HALTED)
        self._acknowledge(op, count)

    def _acknowledge(self, op: Op, count: int = 0) -> None:
        self._write(ACK, code=NONE, flags=REPLY, account=op.account, qty=count, symbol=op.symbol)

    def _connect(self, _: None, op: Op) -> None:
        if naive_refusals.bad_field(op):
            self._refuse(op, R["BAD_FIELD"])
            return
        self.accounts[op.account].cancel_at_end = bool(op.flags)
        self._dirty_accounts.add(op.account)
        self._acknowledge(op)

    def _disconnect(self, _: None, op: Op) -> None:
        if naive_refusals.bad_field(op):
            self._refuse(op, R["BAD_FIELD"])
            return
        account = self.accounts[op.account]
        self._cancel_all_in(self.books if account.cancel_at_end else (), op, R["DISCONNECTED"])
        account.cancel_at_end = False
        self._dirty_accounts.add(op.account)

    def _dead_man(self, _: None, op: Op) -> None:
        if naive_refusals.bad_field(op):
            self._refuse(op, R["BAD_FIELD"])
            return
        if not 0 <= op.qty <= naive_refusals.MAX_DEAD_MAN_NS:
            self._refuse(op, R["BAD_QUANTITY"])
            return
        self.accounts[op.account].deadline = op.ts_ns + op.qty if op.qty else 0
        self._dirty_accounts.add(op.account)
        self._acknowledge(op)

    def _clock(self, _: None, op: Op) -> None:
        if naive_refusals.bad_field(op):
            self._refuse(op, R["BAD_FIELD"])
            return
        self._write(CLOCK_EVENT, code=NONE, flags=REPLY)
        for book in self.books:
            while book.expiries and book.expiries.peekitem(0)[0][0] * SECOND_NS <= op.ts_ns:
                self.cancel(book, book.expiries.peekitem(0)[1], R["EXPIRED"])
        due = [(a.deadline, number) for number, a in enumerate(self.accounts) if 0 < a.deadline <= op.ts_ns]
        for _deadline, number in sorted(due):
            for book in self.books:
                self._mass_cancel(book, number, R["DEAD_MAN"])
            self.accounts[number].deadline = 0
            self._dirty_accounts.add(number)

    def _reference(self, book: NaiveBook, op: Op) -> None:
        if naive_refusals.bad_field(op):
            self._refuse(op, R["BAD_FIELD"])
        elif not 1 <= op.price <= MAX_REFERENCE:
            self._refuse(op, R["BAD_PRICE"])
        else:
            if op.code == INDEX:
                book.index = op.price
            else:
                book.mark = op.price
            self._write(REFERENCE_EVENT, code=op.code, flags=REPLY, price=op.price, symbol=book.symbol)

    def _state(self, book: NaiveBook, op: Op) -> None:
        """Section 10."""
        if naive_refusals.bad_field(op):
            self._refuse(op, R["BAD_FIELD"])
            return
        price = traded = 0
        if op.code not in (AUCTION, HALTED):
            price, traded = naive_auction.uncross(self, book)
        book.state = op.code
        self._write(STATE_EVENT, code=op.code, flags=REPLY, price=price, qty=traded, symbol=book.symbol)

    # -- section 9 -----------------------------------------------------------------------------------------------------

    def _quote(self, book: NaiveBook, op: Op, reason: int, retry_after: int) -> None:
        """One leg. `reason`: what the throttle says."""
        more = op.flags & MORE
        if book.quote_state == QUOTE_BROKEN:
            self._refuse(op, R["QUOTE_BROKEN"])
            if not more:
                self._forget_group(book)
            return
        reason = reason or naive_refusals.early_refusal(book, op)
        if not reason and len(book.quote_legs) == MAX_LEGS:
            reason = R["BAD_QUANTITY"]
        if reason:
            self._break_off(book)
            self._refuse(op, reason, retry_after)
            if more:
                book.quote_state, book.quote_account = QUOTE_BROKEN, op.account
            return
        book.quote_legs.append(op)
        if more:
            book.quote_state, book.quote_account = QUOTE_HELD, op.account
            return
        legs = book.quote_legs
        self._forget_group(book)
        for order in reversed(list(book.holdings[op.account].orders.values())):
            if order.flags & FROM_QUOTE and order.state == RESTING:
                self.cancel(book, order, R["REPLACED"])
        for leg in legs:
            reason = self._apply_leg(book, leg)
            if reason:
                self._refuse(leg, reason)

    def _apply_leg(self, book: NaiveBook, leg: Op) -> int:
        holding = book.holdings[leg.account]
        flags = (leg.flags & (POST_ONLY | SLIDE)) | FROM_QUOTE
        order = Order(leg.order_id, holding, leg.side, leg.price, leg.qty, flags, leg.stp or book.rules.self_trade)
        if not leg.qty:
            self.report(ACK, book, order, 0, 0, NONE, REPLY)
            return NONE
        if leg.order_id in book.orders:
            return R["DUPLICATE_ORDER_ID"]
        reason = naive_refusals.bad_notional(book, order, leg.qty)
        if reason:
            return reason
        if naive_refusals.out_of_bounds(book, leg.side, leg.price):
            return R["PRICE_OUT_OF_BOUNDS"]
        if naive_refusals.over_position_limit(holding, leg.side, leg.qty):
            return R["POSITION_LIMIT"]
        if leg.qty > naive_refusals.MAX_QTY - book.lots[leg.side]:
            return R["BAD_QUANTITY"]
        if order.flags & POST_ONLY:
            order.price = naive_refusals.post_only_price(book, order)
            if not order.price:
                return R["POST_ONLY_WOULD_CROSS"]
        return self._enter(book, order, leg.qty, leg.qty, REPLY)

    def _break_off(self, book: NaiveBook) -> None:
        """The legs held back are refused, and the group is forgotten."""
        for leg in book.quote_legs:
            self._refuse(leg, R["QUOTE_BROKEN"])
        self._forget_group(book)

    @staticmethod
    def _forget_group(book: NaiveBook) -> None:
        book.quote_state, book.quote_account, book.quote_legs = QUOTE_NONE, 0, []

    # -- section 11 ----------------------------------------------------------------------------------------------------

    def state_hash(self) -> int:
        for number in self._dirty_accounts:
            fresh = naive_hash.account(number, self.accounts[number])
            self._accounts_hash += fresh - self._account_hashes[number]
            self._account_hashes[number] = fresh
        self._dirty_accounts.clear()
        total = naive_hash.chain(6, self.ts_ns, self.seq) + self._accounts_hash
        for book in self.books:
            total += naive_hash.chain(naive_hash.full_book(book, book.parts()), book.symbol) + book.holdings_sum()
        return total & naive_hash.MASK

    def visible_hash(self, symbol: int) -> int:
        return self.books[symbol].visible_hash()


def _stop(book: NaiveBook, order: Order) -> int:
    """Where an active trailing stop fires."""
    distance = order.price
    if book.rules.trailing_in_bps:
        distance = max(order.extreme * order.price // 10_000, 1)
    return order.extreme - distance if order.side == SELL else order.extreme + distance


def _follow(book: NaiveBook, code: int, trailing: dict[int, Order]) -> None:
    """Trailing stops of one reference are activated by its present value, or follow it."""
    below, above = book.reference(code)
    if not above:
        return
    for order in trailing.values():
        sell = order.side == SELL
        reference = below if sell else above
        if order.active:
            extreme = max(order.extreme, reference) if sell else min(order.extreme, reference)
        elif not order.trigger or (reference >= order.trigger if sell else reference <= order.trigger):
            extreme = reference
        else:
            continue
        if not order.active or extreme != order.extreme:
            order.active, order.extreme = True, extreme
            book.touch(order)


def _first_reached(book: NaiveBook, code: int) -> Order | None:
    """Of the orders that wait for a reference, the first that its present value reaches."""
    below, above = book.reference(code)
    if not above:
        return None
    if book.above[code]:
        (trigger, _), order = book.above[code].peekitem(0)
        if trigger <= below:
            return order
    if book.below[code]:
        (minus_trigger, _), order = book.below[code].peekitem(0)
        if -minus_trigger >= above:
            return order
    for order in book.trailing[code].values():
        if order.active:
            stop = _stop(book, order)
            if above <= stop if order.side == SELL else below >= stop:
                return order
    return None
