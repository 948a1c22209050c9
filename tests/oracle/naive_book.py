"""The oracle of `engine.matching`: the same rules in plain Python, with sorted containers and FIFO queues.

It shares nothing with the engine but the codes of `engine.contract`. Ops and events are tuples in the order of OP_DTYPE's and
EVENT_DTYPE's fields (what `array.tolist()` gives). A level's queue is a deque in which cancelled orders stay as husks of 0
lots until they reach the front.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from sortedcontainers import SortedDict

from engine.contract import EventKind, OpFlag, OpKind, OrderType, Reason, Side, TimeInForce

MAX_PRICE = 2**62 - 1
MAX_QTY = 2**63 - 1
MASK = 2**64 - 1

NEW, CANCEL = int(OpKind.NEW), int(OpKind.CANCEL)
BUY, SELL = int(Side.BUY), int(Side.SELL)
MARKET, IOC, POST_ONLY = int(OrderType.MARKET), int(TimeInForce.IOC), int(OpFlag.POST_ONLY)
ADDED, CANCELLED, TRADED = int(EventKind.ADD), int(EventKind.CANCEL), int(EventKind.TRADE)
DONE, REJECTED = int(EventKind.DONE), int(EventKind.REJECT)
BY_OWNER = int(Reason.BY_OWNER)

Event = tuple[int, ...]


def fold(h: int, value: int) -> int:
    z = ((h ^ (value & MASK)) * 0xFF51AFD7ED558CCD) & MASK
    return z ^ (z >> 32)


@dataclass(slots=True)
class Order:
    order_id: int
    account: int
    price: int
    qty: int
    ts_ns: int
    side: int


@dataclass(slots=True, eq=False)
class Level:
    side: int
    price: int
    queue: deque[Order] = field(default_factory=deque)
    alive: int = 0
    hash: int = 0

    def compute_hash(self) -> int:
        if not self.alive:
            return 0
        h = fold(fold(1, self.side), self.price)
        for order in self.queue:
            if order.qty:
                h = fold(fold(h, order.order_id), order.account)
                h = fold(fold(h, order.qty), order.ts_ns)
        return h


class NaiveBook:
    """One book. `ladder_ticks`, `orders` and `far_levels` are a Capacity's: they decide which orders are refused."""

    def __init__(self, ladder_ticks: int, orders: int, far_levels: int) -> None:
        self.ticks = ladder_ticks
        self.capacity = orders
        self.far_levels = far_levels
        self.ts_ns = 0
        self.orders: dict[int, Order] = {}
        # Keyed by minus the "goodness" of a price, so that the best level is first: bids by -price, asks by price.
        self.levels: tuple[SortedDict[int, Level], SortedDict[int, Level]] = (SortedDict(), SortedDict())
        self.lots = [0, 0]
        self.base = [0, 0]
        self.dirty: set[Level] = set()
        self.hash_sum = 0

    def apply(self, op: tuple[int, ...], first_seq: int) -> list[Event]:
        """The events of one op, numbered from `first_seq`."""
        (ts_ns, order_id, account, price, qty, symbol, kind, side, order_type, tif, flags, code, reserved) = op
        now = max(ts_ns, self.ts_ns)

        def report(kind: int, seq: int, qty: int, leaves: int, code: int, price: int = price, side: int = side) -> Event:
            side = side if side <= SELL else BUY
            return (now, seq, order_id, 0, account, -1, price, qty, leaves, symbol, kind, side, 0, code)

        reason = Reason.TIME_WENT_BACK
        if ts_ns >= self.ts_ns:
            self.ts_ns = ts_ns
            if kind == NEW:
                reason = self._refusal(order_id, account, price, qty, side, order_type, tif, flags, code, reserved)
            elif kind == CANCEL:
                reason = Reason.BAD_FIELD
                if order_id >= 1 and account >= 0 and not any((price, qty, side, order_type, tif, flags, code, reserved)):
                    order = self.orders.get(order_id)
                    if order is None:
                        reason = Reason.UNKNOWN_ORDER
                    elif order.account != account:
                        reason = Reason.NOT_OWNER
                    else:
                        left = order.qty
                        self._take(order, left)
                        return [report(CANCELLED, first_seq, left, 0, BY_OWNER, order.price, order.side)]
            else:
                reason = Reason.BAD_FIELD
        if reason:
            return [report(REJECTED, first_seq, qty, 0, int(reason))]

        events: list[Event] = []
        left = qty
        makers = self.levels[1 - side]
        while left and makers:
            level = makers.peekitem(0)[1]
            if order_type != MARKET and (level.price > price if side == BUY else level.price < price):
                break
            while not level.queue[0].qty:
                level.queue.popleft()
            maker = level.queue[0]
            traded = min(left, maker.qty)
            left -= traded
            self._take(maker, traded)
            events.append((
                now, first_seq + len(events), order_id, maker.order_id, account, maker.account, level.price, traded,
                maker.qty, symbol, TRADED, side, 0, 0,
            ))  # fmt: skip
        seq = first_seq + len(events)
        if not left:
            events.append(report(DONE, seq, qty, 0, int(Reason.FILLED)))
        elif order_type == MARKET:
            events.append(report(DONE, seq, qty - left, left, int(Reason.NO_LIQUIDITY)))
        elif tif == IOC:
            events.append(report(DONE, seq, qty - left, left, int(Reason.IOC_REMAINDER)))
        else:
            refused = self._rest(Order(order_id, account, price, left, ts_ns, side))
            if not refused:
                events.append(report(ADDED, seq, left, left, 0))
            elif events:
                events.append(report(DONE, seq, qty - left, left, int(refused)))
            else:
                events.append(report(REJECTED, seq, qty, 0, int(refused)))
        return events

    def state_hash(self) -> int:
        for level in self.dirty:
            fresh = level.compute_hash()
            self.hash_sum += fresh - level.hash
            level.hash = fresh
        self.dirty.clear()
        # No op is ever half done here: the two zeros are its id and remainder.
        return (fold(fold(fold(2, self.ts_ns), 0), 0) + self.hash_sum) & MASK

    def _refusal(
        self, order_id: int, account: int, price: int, qty: int, side: int,
        order_type: int, tif: int, flags: int, code: int, reserved: int,
    ) -> Reason:  # fmt: skip
        known = side <= SELL and order_type <= MARKET and tif <= IOC and flags <= POST_ONLY and not code and not reserved
        if not known or order_id < 1 or account < 0 or (flags and (order_type == MARKET or tif == IOC)):
            return Reason.BAD_FIELD
        if (price != 0) if order_type == MARKET else not 1 <= price <= MAX_PRICE:
            return Reason.BAD_PRICE
        if qty < 1 or qty + self.lots[side] > MAX_QTY:
            return Reason.BAD_QUANTITY
        if order_id in self.orders:
            return Reason.DUPLICATE_ORDER_ID
        if flags and self.levels[1 - side]:
            touch = self.levels[1 - side].peekitem(0)[1].price
            if (price >= touch) if side == BUY else (price <= touch):
                return Reason.POST_ONLY_WOULD_CROSS
        return Reason.NONE

    def _rest(self, order: Order) -> Reason:
        """The window's rules, in ticks "worse than": position p of a price is larger the worse it is."""
        if len(self.orders) == self.capacity:
            return Reason.POOL_FULL
        levels = self.levels[order.side]
        at = -order.price if order.side == BUY else order.price
        level = levels.get(at)
        if level is None:
            # The window reaches from its best position `base - ticks + 1` to its worst, `base`.
            base = self.base[order.side]
            if not levels or at <= base - self.ticks:
                base = at + self.ticks - self.ticks // 4
            far = len(levels) - levels.bisect_right(base) + (at > base)
            if far > self.far_levels:
                return Reason.FAR_LEVELS_FULL
            self.base[order.side] = base
            level = levels[at] = Level(order.side, order.price)
        level.queue.append(order)
        level.alive += 1
        self.dirty.add(level)
        self.lots[order.side] += order.qty
        self.orders[order.order_id] = order
        return Reason.NONE

    def _take(self, order: Order, qty: int) -> None:
        order.qty -= qty
        side = order.side
        self.lots[side] -= qty
        levels = self.levels[side]
        at = -order.price if side == BUY else order.price
        level = levels[at]
        self.dirty.add(level)
        if order.qty:
            return
        del self.orders[order.order_id]
        level.alive -= 1
        if level.alive:
            return
        touched = levels.peekitem(0)[0] == at
        del levels[at]
        if touched and levels:
            touch = levels.peekitem(0)[0]
            if touch > self.base[side] - self.ticks // 4:
                self.base[side] = touch + self.ticks - self.ticks // 4


@dataclass(slots=True)
class NaiveVenue:
    """Several books under one sequence, as `engine.matching.run` has them."""

    books: list[NaiveBook]
    seq: int = 1

    def apply(self, op: tuple[int, ...]) -> list[Event]:
        symbol = op[5]
        if 0 <= symbol < len(self.books):
            events = self.books[symbol].apply(op, self.seq)
        else:
            side = op[7] if op[7] <= SELL else BUY
            unknown = int(Reason.UNKNOWN_SYMBOL)
            events = [(op[0], self.seq, op[1], 0, op[2], -1, op[3], op[4], 0, -1, REJECTED, side, 0, unknown)]
        self.seq += len(events)
        return events
