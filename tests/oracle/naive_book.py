"""One symbol of the oracle: its orders, levels, waiting orders and holdings, in sorted containers and FIFO queues.

Shares nothing with the engine but the codes of `engine.contract`. Nothing here writes an event or decides what happens;
that is `naive_market`. A level's queue is a deque in which orders that are gone stay as husks of 0 lots until they reach the
front.

Positions: each side's levels are sorted by "how bad a price is", bids by -price and asks by price, so that the best is first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from sortedcontainers import SortedDict

from engine.contract import MICRO, OpFlag, OrderType, Reason, Reference, Side, SymbolState
from tests.oracle import naive_hash

MAX_PRICE = 2**62 - 1
MAX_QTY = 2**63 - 1
NO_LIMIT = 2**64
"""A position worse than every price's."""

BUY, SELL = int(Side.BUY), int(Side.SELL)
LIMIT, MARKET, TRAILING_STOP = int(OrderType.LIMIT), int(OrderType.MARKET), int(OrderType.TRAILING_STOP)
STOPS = (int(OrderType.STOP_LIMIT), int(OrderType.STOP_MARKET))
WITH_LIMIT = (LIMIT, int(OrderType.STOP_LIMIT), int(OrderType.TAKE_PROFIT_LIMIT))
REDUCE_ONLY, CLOSE_POSITION = int(OpFlag.REDUCE_ONLY), int(OpFlag.CLOSE_POSITION)
FROM_QUOTE = 128
"""A flag of orders beside those of ops."""
INDEX, MARK, LAST = int(Reference.INDEX), int(Reference.MARK), int(Reference.LAST)
OPEN = int(SymbolState.OPEN)
NONE, POOL_FULL, FAR_LEVELS_FULL = int(Reason.NONE), int(Reason.POOL_FULL), int(Reason.FAR_LEVELS_FULL)

# What an order is at the moment; the numbers of the last two are section 11's.
IN_FLIGHT, RESTING, DORMANT, WAITING = -1, 0, 1, 2
QUOTE_NONE, QUOTE_HELD, QUOTE_BROKEN = 0, 1, 2


class Capacity(Protocol):
    ladder_ticks: int
    orders: int
    far_levels: int
    triggers: int


class Rules(Protocol):
    """Section 1."""

    price_step: int
    lot_step: int
    min_notional: int
    max_notional: int
    bound_ppm: int
    market_bound_ppm: int
    self_trade: int
    trigger_by: int
    trailing_in_bps: bool
    shrink_reduce_only: bool
    deltas: bool


class Leg(Protocol):
    """What is looked at of a QUOTE op that is held back."""

    order_id: int
    side: int
    price: int
    qty: int
    flags: int
    stp: int


@dataclass(slots=True, eq=False)
class Holding:
    """What an account has in one symbol."""

    account: int
    position: int = 0
    open: list[int] = field(default_factory=lambda: [0, 0])
    """Resting lots of each side, displayed and hidden."""
    orders: dict[int, Order] = field(default_factory=dict)
    """All its orders by id, the one that entered last is last."""
    reducing: dict[int, Order] = field(default_factory=dict)
    """The resting reduce-only ones among them, in the same order."""
    hash: int = 0

    def reducible(self, side: int) -> int:
        """Section 6: the position that an order of `side` could reduce."""
        return max(self.position, 0) if side == SELL else max(-self.position, 0)


class Order:
    """What most orders are without are attributes of the class, so that a plain order is made quickly."""

    order_type = LIMIT
    tif = 0
    expire_s = 0
    display = 0
    """What an iceberg shows; 0 of any other order."""
    hidden = 0
    trigger = 0
    reference = 0
    ts_ns = 0
    """When it came to rest, or was refreshed."""
    state = IN_FLIGHT
    level: Level | None = None
    link: Order | None = None
    """The other order of its pair."""
    other: Order | None = None
    """Of an entry the dormant order that waits for it, of a dormant order its entry."""
    arrival = 0
    extreme = 0
    """Of an active trailing stop: the highest (a sell's) or lowest reference since, whole ticks."""
    active = False
    hash = 0
    """Of a waiting or dormant order, as it stands in the book's sum."""

    def __init__(self, order_id: int, holding: Holding, side: int, price: int, qty: int, flags: int, stp: int) -> None:
        self.order_id = order_id
        self.account = holding.account
        self.holding = holding
        self.side = side
        self.price = price
        """The limit; a market order's own bound or 0; a trailing stop's distance."""
        self.qty = qty
        """Displayed lots where it rests, else all its lots (0: the position)."""
        self.flags = flags
        self.stp = stp

    @property
    def lots_left(self) -> int:
        return self.qty + self.hidden

    @property
    def fires_above(self) -> bool:
        """Whether it fires on a reference at or above its trigger; a trailing stop at or above its stop."""
        return (self.side == BUY) == (self.order_type in STOPS or self.order_type == TRAILING_STOP)


@dataclass(slots=True, eq=False)
class Level:
    symbol: int
    side: int
    price: int
    queue: deque[Order] = field(default_factory=deque)
    alive: int = 0
    """Orders of the queue that are no husks."""
    shown: int = 0
    hash: int = 0

    @property
    def key(self) -> int:
        return self.price if self.side == BUY else -self.price

    def front(self) -> Order:
        """The oldest order. There must be one."""
        queue = self.queue
        while not queue[0].qty:
            queue.popleft()
        return queue[0]


class Holdings(dict[int, Holding]):
    """By account; what is not there yet is empty."""

    def __missing__(self, account: int) -> Holding:
        holding = self[account] = Holding(account)
        return holding


class NaiveBook:
    """`ladder_ticks`, `orders`, `far_levels` and `triggers` of the capacity decide which orders are refused."""

    def __init__(self, symbol: int, capacity: Capacity, rules: Rules) -> None:
        self.symbol = symbol
        self.rules = rules
        self.stepped = rules.price_step > 1 or rules.lot_step > 1
        self.ticks = capacity.ladder_ticks
        self.max_orders = capacity.orders
        self.far_levels = capacity.far_levels
        self.max_triggers = capacity.triggers

        self.ts_ns = 0
        self.state = OPEN
        self.index = self.mark = 0  # micro-ticks; 0 is unknown
        self.last = 0  # ticks
        self.orders: dict[int, Order] = {}
        self.holdings = Holdings()
        self.levels: tuple[SortedDict[int, Level], SortedDict[int, Level]] = (SortedDict(), SortedDict())
        self.lots = [0, 0]
        """Resting lots of each side, displayed and hidden."""
        self.base = [0, 0]

        # Section 7. Waiting orders by reference: those that fire on ≥ and on ≤, and the trailing stops by arrival.
        references = (INDEX, MARK, LAST)
        self.above: dict[int, SortedDict[tuple[int, int], Order]] = {code: SortedDict() for code in references}
        self.below: dict[int, SortedDict[tuple[int, int], Order]] = {code: SortedDict() for code in references}
        self.trailing: dict[int, dict[int, Order]] = {code: {} for code in references}
        self.waiting = 0
        self.expiries: SortedDict[tuple[int, int], Order] = SortedDict()
        self.triggers = 0
        """Orders that are waiting, dormant or GTD."""
        self.arrivals = 0

        # Section 9.
        self.quote_state = QUOTE_NONE
        self.quote_account = 0
        self.quote_legs: list[Leg] = []

        self.dirty_levels: set[Level] = set()
        self.dirty_orders: set[Order] = set()
        self.dirty_holdings: set[Holding] = set()
        self.parts_hash = 0
        self.holdings_hash = 0

    # -- resting orders ------------------------------------------------------------------------------------------------

    def rest(self, order: Order, lots: int) -> int:
        """`lots` of `order` come to rest, and the reason why they cannot is POOL_FULL or FAR_LEVELS_FULL, else NONE.

        The rules of the window (`engine.ladder`): it reaches from its best position `base - ticks + 1` to its worst, `base`.
        """
        if len(self.orders) == self.max_orders:
            return POOL_FULL
        side = order.side
        levels = self.levels[side]
        at = -order.price if side == BUY else order.price
        level = levels.get(at)
        if level is None:
            base = self.base[side]
            if not levels or at <= base - self.ticks:
                base = at + self.ticks - self.ticks // 4
            far = len(levels) - levels.bisect_right(base) + (at > base)
            if far > self.far_levels:
                return FAR_LEVELS_FULL
            self.base[side] = base
            level = levels[at] = Level(self.symbol, side, order.price)
        if order.display:
            order.qty = min(order.display, lots)
            order.hidden = lots - order.qty
        else:
            order.qty = lots
        order.ts_ns = self.ts_ns
        order.level = level
        level.queue.append(order)
        level.alive += 1
        level.shown += order.qty
        self.dirty_levels.add(level)
        self.lots[side] += lots
        holding = order.holding
        holding.open[side] += lots
        self.dirty_holdings.add(holding)
        order.state = RESTING
        self.orders[order.order_id] = holding.orders[order.order_id] = order
        if order.flags & REDUCE_ONLY:
            holding.reducing[order.order_id] = order
        if order.expire_s:
            self._count(order)
        return NONE

    def take(self, order: Order, displayed: int, hidden: int = 0) -> None:
        """Lots go off a resting order; where nothing is left it is removed. Displayed lots are not refilled."""
        order.qty -= displayed
        order.hidden -= hidden
        side, level, holding = order.side, order.level, order.holding
        level.shown -= displayed
        self.dirty_levels.add(level)
        self.lots[side] -= displayed + hidden
        holding.open[side] -= displayed + hidden
        self.dirty_holdings.add(holding)
        if order.qty or order.hidden:
            return
        order.state = IN_FLIGHT
        del self.orders[order.order_id]
        del holding.orders[order.order_id]
        if order.flags & REDUCE_ONLY:
            del holding.reducing[order.order_id]
        if order.expire_s:
            self._discount(order)
        level.alive -= 1
        if not level.alive:
            self._close(level)

    def withdraw(self, order: Order) -> None:
        """Take a resting order out so that it may enter again: it leaves no husk, which would then come alive."""
        queue = order.level.queue
        self.take(order, order.qty, order.hidden)
        queue.remove(order)

    def refresh(self, order: Order) -> None:
        """Section 4: the front order, of which only hidden lots are left, shows the next ones at the back."""
        level = order.level
        level.queue.popleft()
        level.queue.append(order)
        order.qty = min(order.display, order.hidden)
        order.hidden -= order.qty
        order.ts_ns = self.ts_ns
        level.shown += order.qty

    def _close(self, level: Level) -> None:
        side = level.side
        levels = self.levels[side]
        at = -level.price if side == BUY else level.price
        touched = levels.peekitem(0)[0] == at
        del levels[at]
        self.dirty_levels.discard(level)
        self.parts_hash -= level.hash
        if touched and levels:
            touch = levels.peekitem(0)[0]
            if touch > self.base[side] - self.ticks // 4:
                self.base[side] = touch + self.ticks - self.ticks // 4

    # -- waiting, dormant and timed orders -----------------------------------------------------------------------------

    def wait(self, order: Order, state: int) -> None:
        """`order` comes to be WAITING or DORMANT, as the youngest. The caller has seen that there is room."""
        order.state = state
        self.orders[order.order_id] = order.holding.orders[order.order_id] = order
        self._count(order)
        self.dirty_orders.add(order)
        if state == WAITING:
            self.waiting += 1
            table, key = self._table(order)
            table[key] = order

    def unwait(self, order: Order) -> None:
        """A waiting or dormant order leaves: to fire, to wake, to wait anew, or for good."""
        if order.state == WAITING:
            self.waiting -= 1
            table, key = self._table(order)
            del table[key]
        order.state = IN_FLIGHT
        del self.orders[order.order_id]
        del order.holding.orders[order.order_id]
        self._discount(order)
        self.dirty_orders.discard(order)
        self.parts_hash -= order.hash
        order.hash = 0

    def touch(self, order: Order) -> None:
        """A field of `order` that is hashed has changed."""
        if order.state == RESTING:
            self.dirty_levels.add(order.level)
        elif order.state != IN_FLIGHT:
            self.dirty_orders.add(order)

    def _table(self, order: Order) -> tuple[dict, object]:
        if order.order_type == TRAILING_STOP:
            return self.trailing[order.reference], order.arrival
        if order.fires_above:
            return self.above[order.reference], (order.trigger, order.arrival)
        return self.below[order.reference], (-order.trigger, order.arrival)

    def _count(self, order: Order) -> None:
        self.triggers += 1
        self.arrivals += 1
        order.arrival = self.arrivals
        if order.expire_s:
            self.expiries[order.expire_s, order.arrival] = order

    def _discount(self, order: Order) -> None:
        self.triggers -= 1
        if order.expire_s:
            del self.expiries[order.expire_s, order.arrival]

    # -- prices --------------------------------------------------------------------------------------------------------

    def touch_price(self, side: int) -> int:
        """The best price of a side, or 0 where it is empty."""
        levels = self.levels[side]
        return levels.peekitem(0)[1].price if levels else 0

    def reference(self, code: int) -> tuple[int, int]:
        """The whole ticks below and above a reference, (0, 0) where it is unknown."""
        if code == LAST:
            return self.last, self.last
        value = self.index if code == INDEX else self.mark
        return value // MICRO, -(-value // MICRO)

    def bound(self, side: int, ppm: int) -> int:
        """The price `ppm` parts in a million beyond the mark: above it for a buy (floor), below it for a sell (ceil)."""
        if side == BUY:
            return self.mark * (MICRO + ppm) // MICRO**2
        return -(-self.mark * (MICRO - ppm) // MICRO**2)

    def worst(self, order: Order) -> int:
        """The worst position on the other side at which `order` may trade."""
        side = order.side
        sign = 1 if side == BUY else -1
        if order.order_type == LIMIT:
            return sign * order.price
        worst = sign * order.price if order.price else NO_LIMIT
        if self.mark and self.rules.market_bound_ppm:
            worst = min(worst, sign * self.bound(side, self.rules.market_bound_ppm))
        return worst

    # -- hashes --------------------------------------------------------------------------------------------------------

    def parts(self) -> int:
        """The sum of the hashes of levels and of waiting and dormant orders."""
        for level in self.dirty_levels:
            fresh = naive_hash.full_level(level)
            self.parts_hash += fresh - level.hash
            level.hash = fresh
        self.dirty_levels.clear()
        for order in self.dirty_orders:
            fresh = naive_hash.waiting_order(order)
            self.parts_hash += fresh - order.hash
            order.hash = fresh
        self.dirty_orders.clear()
        return self.parts_hash

    def holdings_sum(self) -> int:
        for holding in self.dirty_holdings:
            fresh = naive_hash.holding(self.symbol, holding)
            self.holdings_hash += fresh - holding.hash
            holding.hash = fresh
        self.dirty_holdings.clear()
        return self.holdings_hash

    def visible_hash(self) -> int:
        levels = sum(naive_hash.visible_level(level) for side in self.levels for level in side.values())
        return naive_hash.visible_book(self, levels)
