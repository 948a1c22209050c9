"""The state of a matched market: what `engine.matching` works on, made by `new_market`.

    from engine.book import SMALL
    from engine.market import Rules, new_market

    market = new_market(SMALL, symbols=2, accounts=100, rules=Rules(price_step=5))

A `Market` is five NumPy arrays and nothing else: copying, saving or comparing their bytes does that to the market.

- `books`: what rests, `engine.book`.
- `desks`: what the venue keeps of a symbol besides its book: rules, state, reference prices, conditional orders, a mass quote
  that has not come to its end. Orders of all kinds lie in the book's pool; `desk["extras"][slot]` is what only some of them
  have.
- `accounts`: throttle, session and dead-man timer of an account.
- `holdings`: position, open lots and orders of an account in a symbol, [accounts, symbols].
- `heads`: one record: sequence, time, throttle rules, and `work`, the op that is being done.

`docs/matching.md` has the rules, and the hash that `state_hash` computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numba import njit

from engine.arithmetic import fold
from engine.book import NO_SYMBOL, Capacity, new_books, side_key
from engine.contract import NO_ACCOUNT, NO_ORDER, OpFlag, OrderType, Reference, SelfTrade
from engine.kernel import constant, wide
from engine.ladder import NO_KEY, find_level, next_key
from engine.layout import MAX_PRICE

MAX_LEGS: Final = 32
"""Legs of one mass quote."""

UNBOUNDED: Final = 2**63 - 1

NOTHING: Final = constant(0)
NO_ID: Final = constant(NO_ORDER)
NO_ONE: Final = constant(NO_ACCOUNT)
NOWHERE: Final = constant(NO_SYMBOL)

# `state` of an order in the pool.
RESTING: Final = constant(0)
WAITING: Final = constant(1)
DORMANT: Final = constant(2)

# Flags of an order in the pool beside those of its op.
FROM_QUOTE: Final = constant(128)
HAS_EXTRA: Final = constant(256)
"""Its `extras` record is in use: an iceberg, a timed, conditional or linked order."""

PUBLIC_FLAGS: Final = constant(255)
REDUCING: Final = constant(OpFlag.REDUCE_ONLY | OpFlag.CLOSE_POSITION)


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Order rules of one symbol; a number of 0 switches its rule off. Units: ticks, lots, tick-lots, millionths of the mark.

    Attributes:
        price_step: limit prices and triggers are multiples of this.
        lot_step: quantities are multiples of this.
        min_notional: smallest price x quantity.
        max_notional: largest price x quantity.
        bound_ppm: how far from the mark a limit order may pay or ask less.
        market_bound_ppm: how far from the mark a market order trades.
        self_trade: a `SelfTrade`, what DEFAULT means.
        trigger_by: a `Reference`, what drives conditional orders that do not say.
        trailing_in_bps: the distance of trailing stops is basis points (Binance), or else ticks.
        shrink_reduce_only: a resting reduce-only order beyond the position shrinks, or else is cancelled (RISK-SPEC 8).
        deltas: LEVEL events are written.

    Raises:
        ValueError: a number out of range.
    """

    price_step: int = 1
    lot_step: int = 1
    min_notional: int = 0
    max_notional: int = 0
    bound_ppm: int = 0
    market_bound_ppm: int = 0
    self_trade: int = int(SelfTrade.ALLOW)
    trigger_by: int = int(Reference.MARK)
    trailing_in_bps: bool = True
    shrink_reduce_only: bool = True
    deltas: bool = True

    def __post_init__(self) -> None:
        ranges = {
            "price_step": (1, MAX_PRICE),
            "lot_step": (1, UNBOUNDED),
            "min_notional": (0, UNBOUNDED),
            "max_notional": (0, UNBOUNDED - 1),
            "bound_ppm": (0, 1_000_000),
            "market_bound_ppm": (0, 1_000_000),
            "self_trade": (SelfTrade.EXPIRE_TAKER, SelfTrade.ALLOW),
            "trigger_by": (Reference.INDEX, Reference.LAST),
        }
        _check_ranges(self, ranges)


class Throttle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token bucket of every account, and the bans of those who ignore it (RISK-SPEC 9.14). Times in nanoseconds.

    Attributes:
        interval_ns: one token comes back in this time; 0: no throttle.
        burst: tokens of a full bucket.
        order: tokens of a new or amended order, and of a mass quote.
        reduce_only: tokens of a new order that only reduces.
        cancel: tokens of anything else. An op of weight 0 is never refused.
        ban_after: throttled ops before their retry-after that bring a ban.
        ban_first_ns: the first ban; each further one is twice as long.
        ban_longest_ns: the longest ban, and how long after one its account starts afresh.

    Raises:
        ValueError: a number out of range.
    """

    interval_ns: int = 0
    burst: int = 0
    order: int = 1
    reduce_only: int = 1
    cancel: int = 1
    ban_after: int = 10
    ban_first_ns: int = 120 * 10**9
    ban_longest_ns: int = 3 * 86_400 * 10**9

    def __post_init__(self) -> None:
        heaviest = self.burst if self.interval_ns else 2**15
        _check_ranges(
            self,
            {
                "interval_ns": (0, 10**12),
                "burst": (0, 10**6),
                "order": (0, heaviest),
                "reduce_only": (0, heaviest),
                "cancel": (0, heaviest),
                "ban_after": (1, 10**6),
                "ban_first_ns": (1, 2**53),
                "ban_longest_ns": (1, 2**53),
            },
        )


def _check_ranges(rules: Rules | Throttle, ranges: dict[str, tuple[int, int]]) -> None:
    for name, (low, high) in ranges.items():
        value = getattr(rules, name)
        if not low <= value <= high:
            raise ValueError(f"{type(rules).__name__.lower()}.{name} is {value}, it must be from {low} to {high}")


NO_RULES: Final = Rules()
NO_THROTTLE: Final = Throttle()

RULES_DTYPE: Final = np.dtype([(name, "<i8") for name in Rules.__struct_fields__])
THROTTLE_DTYPE: Final = np.dtype([(name, "<i8") for name in Throttle.__struct_fields__])

EXTRA_DTYPE: Final = np.dtype(
    [
        ("hidden", "<i8"),
        ("display", "<i8"),
        ("trigger", "<i8"),
        ("extreme", "<i8"),
        ("link", "<i8"),
        ("other", "<i8"),
        ("arrival", "<i8"),
        ("expire_s", "<u4"),
        ("order_type", "u1"),
        ("tif", "u1"),
        ("reference", "u1"),
        ("active", "u1"),
    ]
)
"""What only some orders have. `link`: a pair's other order; `other`: an entry's dormant order, a dormant order's entry."""

OWN_DTYPE: Final = np.dtype([("next", "<u4"), ("prev", "<u4")])
"""An account's orders in a symbol, by slot, last entered first. Apart from the orders: neighbours here lie far apart there."""

LEG_DTYPE: Final = np.dtype(
    [("order_id", "<i8"), ("price", "<i8"), ("qty", "<i8"), ("flags", "<i8"), ("stp", "<i8"), ("side", "<i8")]
)

ACCOUNT_DTYPE: Final = np.dtype(
    [
        ("full_ns", "<i8"),  # when the bucket is full again
        ("retry_ns", "<i8"),  # until when the account was told to wait
        ("ignored", "<i8"),
        ("bans", "<i8"),
        ("banned_until_ns", "<i8"),
        ("deadline_ns", "<i8"),  # of the dead-man timer; 0: off
        ("cancel_on_disconnect", "<i8"),
        ("bar", "<i8"),  # Reason with which what may grow a position is refused, or NONE
    ]
)

HOLDING_DTYPE: Final = np.dtype(
    [
        ("lots", "<i8"),  # short is negative
        ("open", "<i8", (2,)),  # lots of resting orders, hidden ones too, by side
        ("orders", "<u4"),  # slot of the order that entered last; `desk["own"]` goes on
        ("reduce_only", "<u4"),  # resting reduce-only orders
    ]
)

TAKER_DTYPE: Final = np.dtype(
    [
        ("order_id", "<i8"),
        ("account", "<i8"),
        ("price", "<i8"),
        ("asked", "<i8"),  # the quantity asked for
        ("qty", "<i8"),  # what a reduce-only order may have of it
        ("left", "<i8"),
        ("traded", "<i8"),
        ("limit", "<i8"),  # the worst key of the other side that it accepts
        ("untold", "<i8"),  # price of a level it traded at whose LEVEL is not written; 0: none
        ("display", "<i8"),
        ("link", "<i8"),
        ("other", "<i8"),
        ("flags", "<i8"),
        ("side", "<i8"),
        ("stp", "<i8"),
        ("order_type", "<i8"),  # LIMIT or MARKET
        ("tif", "<i8"),
        ("expire_s", "<i8"),
        ("origin", "<i8"),
        ("reply", "<i8"),  # EventFlag.REPLY, or 0
        ("touched", "<i8"),  # it has traded or met self-trade prevention
        ("stopped", "<i8"),  # self-trade prevention has ended it
        ("unchecked", "<i8"),  # a fill-or-kill order that may not be fillable
        ("op_price", "<i8"),  # what its op said, for a refusal
        ("op_qty", "<i8"),
    ]
)

WORK_DTYPE: Final = np.dtype(
    [
        ("stage", "<i8"),
        ("op_kind", "<i8"),  # of the op that is being done
        ("op_id", "<i8"),
        ("now_ns", "<i8"),
        ("symbol", "<i8"),
        ("taker", TAKER_DTYPE),
        # What a fill leaves to do before the next one: reduce-only orders of these accounts (-1: none) and, in between, links.
        ("trims", "<i8", (2,)),
        ("late_account", "<i8"),
        ("late_link", "<i8"),
        ("late_other", "<i8"),
        # Cancels of many orders.
        ("account", "<i8"),
        ("code", "<i8"),
        ("last_symbol", "<i8"),
        ("count", "<i8"),
        ("leg", "<i8"),
        ("clearing", "<i8"),
        ("volume", "<i8"),
    ]
)

HEAD_DTYPE: Final = np.dtype(
    [
        ("seq", "<i8"),
        ("row", "<i8"),  # of the page that events are written to
        ("now_ns", "<i8"),
        ("next_deadline_ns", "<i8"),  # no dead-man timer ends before this
        ("throttle", THROTTLE_DTYPE),
        ("work", WORK_DTYPE),
    ]
)


def table_dtype(size: int) -> np.dtype[np.void]:
    """A table of order slots sorted by key, see `engine.conditional`."""
    return np.dtype([("count", "<i8"), ("keys", "<i8", (size,)), ("slots", "<u4", (size,))])


def desk_dtype(capacity: Capacity) -> np.dtype[np.void]:
    """The record of one desk. Raises ValueError where the capacity is not possible."""
    if capacity.triggers < 1:
        raise ValueError(f"capacity {capacity.name}: a matched book needs room for triggers")
    return np.dtype(
        [
            ("rules", RULES_DTYPE),
            ("state", "<i8"),
            ("index", "<i8"),  # micro-ticks; 0: not known
            ("mark", "<i8"),
            ("last", "<i8"),  # ticks
            ("buy_max", "<i8"),  # ticks: what the bounds around the mark allow
            ("sell_min", "<i8"),
            ("market_buy_max", "<i8"),
            ("market_sell_min", "<i8"),
            ("hidden", "<i8", (2,)),  # lots of icebergs, by side
            ("arrivals", "<i8"),
            ("waiting", "<i8"),
            ("held", "<i8"),  # waiting, dormant and timed orders: bounded by the capacity
            ("moved", "<i8"),  # something happened since the last evaluation that may let an order fire
            ("quote_state", "<i8"),
            ("quote_account", "<i8"),
            ("legs", "<i8"),
            ("quote", LEG_DTYPE, (MAX_LEGS,)),
            ("triggers", table_dtype(capacity.triggers), (6,)),
            ("trailing", table_dtype(capacity.triggers), (3,)),
            ("timers", table_dtype(capacity.triggers)),
            ("own", OWN_DTYPE, (capacity.orders + 1,)),
            ("extras", EXTRA_DTYPE, (capacity.orders + 1,)),
        ]
    )


class Market(NamedTuple):
    """See the module."""

    books: np.ndarray
    desks: np.ndarray
    accounts: np.ndarray
    holdings: np.ndarray
    heads: np.ndarray

    def copy(self) -> Market:
        """The same state in memory of its own."""
        return Market(*(array.copy() for array in self))


def new_market(
    capacity: Capacity, symbols: int, accounts: int, rules: Rules | Sequence[Rules] = NO_RULES, throttle: Throttle = NO_THROTTLE
) -> Market:
    """An open market without orders.

    Args:
        capacity: of each symbol's book; kernels compile once for each capacity that is used.
        symbols: how many symbols there are.
        accounts: how many accounts there are.
        rules: of all symbols, or one for each.
        throttle: of all accounts.

    Raises:
        ValueError: as many rules as symbols are needed.
    """
    each = [rules] * symbols if isinstance(rules, Rules) else list(rules)
    if len(each) != symbols:
        raise ValueError(f"{len(each)} rules for {symbols} symbols")
    market = Market(
        new_books(capacity, symbols),
        np.zeros(symbols, desk_dtype(capacity)),
        np.zeros(accounts, ACCOUNT_DTYPE),
        np.zeros((accounts, symbols), HOLDING_DTYPE),
        np.zeros(1, HEAD_DTYPE),
    )
    for desk, of_symbol in zip(market.desks, each, strict=True):
        desk["rules"] = msgspec.structs.astuple(of_symbol)
    for name in ("buy_max", "market_buy_max"):
        market.desks[name] = MAX_PRICE
    for name in ("sell_min", "market_sell_min"):
        market.desks[name] = 1
    market.heads["throttle"] = msgspec.structs.astuple(throttle)
    market.heads["work"]["trims"] = -1
    market.heads["next_deadline_ns"] = UNBOUNDED
    return market


def state_hash(market: Market) -> int:
    """64 bits over everything that the market's future depends on, between two ops (`docs/matching.md`, section 11)."""
    return int(_state_hash(*market))


@njit(cache=True, nogil=True)
def _state_hash(
    books: np.ndarray, desks: np.ndarray, accounts: np.ndarray, holdings: np.ndarray, heads: np.ndarray
) -> np.uint64:
    head = heads[0]
    total = fold(fold(np.uint64(6), head["now_ns"]), head["seq"])
    for k in range(len(books)):
        total += fold(_book_hash(books[k], desks[k]), k)
    for a in range(len(accounts)):
        account = accounts[a]
        if (
            account["full_ns"] | account["retry_ns"] | account["ignored"] | account["bans"]
            | account["banned_until_ns"] | account["deadline_ns"] | account["cancel_on_disconnect"]
        ):  # fmt: skip
            h = fold(fold(fold(np.uint64(4), a), account["full_ns"]), account["retry_ns"])
            h = fold(fold(fold(h, account["ignored"]), account["bans"]), account["banned_until_ns"])
            total += fold(fold(h, account["deadline_ns"]), account["cancel_on_disconnect"])
        for k in range(len(books)):
            holding = holdings[a, k]
            if holding["lots"] | holding["open"][0] | holding["open"][1]:
                h = fold(fold(fold(np.uint64(5), a), k), holding["lots"])
                total += fold(fold(h, holding["open"][0]), holding["open"][1])
    return total


@njit(cache=True, nogil=True)
def _book_hash(book: np.void, desk: np.void) -> np.uint64:
    total = fold(fold(fold(np.uint64(2), book["ts_ns"]), desk["state"]), desk["index"])
    total = fold(fold(fold(total, desk["mark"]), desk["last"]), desk["arrivals"])
    total = fold(fold(fold(total, desk["quote_state"]), desk["legs"]), desk["quote_account"])
    for i in range(desk["legs"]):
        leg = desk["quote"][i]
        total = fold(fold(fold(total, leg["order_id"]), leg["side"]), leg["price"])
        total = fold(fold(total, leg["qty"]), leg["flags"] + 65536 * leg["stp"])
    for side in range(2):
        ladder = book["sides"][side]
        key = ladder["touch"]
        while key != NO_KEY:
            total += _level_hash(book, desk, side, key)
            key = next_key(ladder, key)
    if desk["held"] > 0:
        for i in range(len(desk["triggers"])):
            total += _waiting_hash(book, desk, desk["triggers"][i])
        for i in range(len(desk["trailing"])):
            total += _waiting_hash(book, desk, desk["trailing"][i])
        for slot in range(1, book["used"] + 1):
            if book["orders"][slot]["state"] == DORMANT:
                total += _held_hash(book["orders"][slot], desk["extras"][slot])
    return total


@njit(cache=True, nogil=True)
def _level_hash(book: np.void, desk: np.void, side: int, key: int) -> np.uint64:
    ladder = book["sides"][side]
    h = fold(fold(np.uint64(1), side), side_key(side, key))
    slot = ladder["levels"][find_level(ladder, key)]["head"]
    while slot:
        order = book["orders"][slot]
        h = fold(fold(h, order["order_id"]), order["account"])
        h = fold(fold(h, order["qty"]), order["ts_ns"])
        h = fold(h, _flags(order))
        if order["flags"] & HAS_EXTRA:
            extra = desk["extras"][slot]
            h = fold(fold(fold(h, extra["hidden"]), extra["display"]), extra["expire_s"])
            h = fold(fold(h, extra["link"]), extra["other"])
        else:
            for _ in range(5):
                h = fold(h, 0)
        slot = order["next"]
    return h


@njit(cache=True, nogil=True)
def _waiting_hash(book: np.void, desk: np.void, table: np.void) -> np.uint64:
    total = np.uint64(0)
    for i in range(table["count"]):
        slot = table["slots"][i]
        total += _held_hash(book["orders"][slot], desk["extras"][slot])
    return total


@njit(cache=True, nogil=True)
def _held_hash(order: np.void, extra: np.void) -> np.uint64:
    state = 1 if order["state"] == DORMANT else 2
    kinds = wide(extra["order_type"]) + 256 * wide(extra["tif"]) + 65536 * wide(extra["reference"]) + 16777216 * state
    h = fold(fold(fold(np.uint64(3), order["order_id"]), order["account"]), order["side"])
    h = fold(fold(fold(h, order["qty"]), order["price"]), extra["trigger"])
    h = fold(fold(fold(h, _flags(order)), kinds), extra["expire_s"])
    h = fold(fold(fold(h, extra["link"]), extra["other"]), extra["extreme"])
    return fold(fold(h, extra["active"]), extra["arrival"])


@njit(cache=True, nogil=True)
def _flags(order: np.void) -> int:
    flags: int = wide(order["flags"] & PUBLIC_FLAGS) + 65536 * wide(order["stp"])
    return flags


@njit(cache=True, nogil=True)
def reducible(lots: int, side: int) -> int:
    """Lots of the position that an order of `side` would reduce: of a long for a sell, of a short for a buy; 0 without."""
    return max(0, lots) if side == 1 else max(0, -lots)


@njit(cache=True, nogil=True)
def is_conditional(order_type: int) -> bool:
    """Whether an order of this type waits for a trigger."""
    return order_type >= _STOP_LIMIT


@njit(cache=True, nogil=True)
def becomes_market(order_type: int) -> bool:
    """Whether an order of this type trades as a market order, at once or when it fires."""
    return order_type in (_MARKET, _STOP_MARKET, _TAKE_PROFIT_MARKET, _TRAILING_STOP)


_MARKET: Final = constant(OrderType.MARKET)
_STOP_LIMIT: Final = constant(OrderType.STOP_LIMIT)
_STOP_MARKET: Final = constant(OrderType.STOP_MARKET)
_TAKE_PROFIT_MARKET: Final = constant(OrderType.TAKE_PROFIT_MARKET)
_TRAILING_STOP: Final = constant(OrderType.TRAILING_STOP)
