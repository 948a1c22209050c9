"""The simulation's memory: records for markets, makers, accounts and orders, and how ops are written.

Every field that changes is here and in the generator, so that copying these arrays copies the simulation.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from engine.contract import OP_DTYPE, OpFlag, OpKind, OrderType, TimeInForce
from engine.simulation.generator import below, uniform

MAKERS: Final = 8
"""Makers a market, the first two of them dominant."""

DOMINANT: Final = 2
LEVELS: Final = 8
"""Levels a maker quotes on each side."""

QUOTES: Final = MAKERS * 2 * LEVELS
ORDERS: Final = 2048
"""Order slots a market: first one for each quote, then a pool for everybody else."""

POOL: Final = ORDERS - QUOTES
SLOT_BITS: Final = 20
"""Order ids are `counter << SLOT_BITS | slot`, so that a report finds its slot without a search."""

NO_SLOT: Final = (1 << SLOT_BITS) - 1
"""The slot part of an id whose order never rests."""

PENDING: Final = 8192
"""Cancels that are already decided but lie in a later tick."""

ARRIVALS: Final = 5
"""Kinds of arrival: market buy, market sell, limit buy, limit sell, cancel."""

HEAD_DTYPE: Final = np.dtype(
    [
        ("tick", "<i8"),  # the next one to be decided; the opening comes before tick 0
        ("orders_sent", "<i8"),
        ("lively", "<i8"),
        ("ops", "<i8"),  # written into the tick's buffer so far
        ("pending", "<i8"),
    ]
)

MARKET_DTYPE: Final = np.dtype(
    [
        # What the configuration says, in ticks and lots.
        ("unit_usd", "<f8"),  # of one lot at one tick
        ("home", "<f8"),  # ticks
        ("vol", "<f8"),  # log units over one second
        ("activity", "<f8"),
        ("depth_usd", "<f8"),
        ("base_rate", "<f8", (ARRIVALS,)),
        # The index path; see `index.py`.
        ("log_move", "<f8"),
        ("mood", "<f8"),
        ("jump", "<f8"),
        ("basis", "<f8"),
        ("fair", "<f8"),
        ("fair_before", "<f8"),
        # Self-excitation, fast and slow; see `arrivals.py`.
        ("excited", "<f8", (2, ARRIVALS)),
        ("carried", "<f8", (2,)),  # excitation that other markets' buys and sells send into the next tick
        # The book as seen when the tick begins.
        ("bid", "<i8"),
        ("ask", "<i8"),
        ("usd_per_lot", "<f8"),
        ("flow_usd", "<f8"),  # signed volume of the last tick's takers
        ("resting", "<i8"),  # used slots of the pool
        ("thin", "<f8"),  # how much wider makers quote, 1 in normal times
    ]
)

MAKER_DTYPE: Final = np.dtype(
    [
        ("account", "<i8"),
        ("half", "<f8"),  # log units from fair to the first level
        ("step", "<f8"),  # log units from the first level to the second
        ("size_usd", "<f8"),  # of the first level
        ("look", "<f8"),  # chance to look at the market in a tick
        ("delay_ns", "<f8"),  # mean time from looking to the op's arrival
        ("limit_usd", "<f8"),  # inventory at which quotes are skewed in full
        ("away", "u1"),
        ("slow", "u1"),  # sees the index of the tick before
    ]
)

ACCOUNT_DTYPE: Final = np.dtype(
    [
        ("wallet_usd", "<f8"),  # what the account deposits to begin with
        ("target", "<f8"),  # leverage at which it adds nothing more
        ("cap", "<f8"),  # leverage above which it reduces
        ("kind", "<i8"),
        ("home", "<i8"),  # the one market of a levered account, else -1
    ]
)

ORDER_DTYPE: Final = np.dtype(
    [
        ("order_id", "<i8"),
        ("account", "<i8"),
        ("price", "<i8"),
        ("qty", "<i8"),
        ("place", "<i4"),  # of a pool slot in the market's `pool` row
        ("side", "u1"),
        ("state", "u1"),
    ]
)

PENDING_DTYPE: Final = np.dtype([("ts_ns", "<i8"), ("order_id", "<i8"), ("account", "<i8"), ("symbol", "<i4"), ("pad", "<i4")])

EMPTY: Final = 0
SENT: Final = 1
RESTS: Final = 2
LEAVING: Final = 3

RETAIL: Final = 0
LEVERED: Final = 1
FUND: Final = 2
BOT: Final = 3
MAKER: Final = 4


@njit(cache=True, nogil=True)
def new_order_id(head: np.void, slot: int) -> int:
    """The next id, which carries `slot` in its low bits."""
    head["orders_sent"] += 1
    return (head["orders_sent"] << SLOT_BITS) | slot


@njit(cache=True, nogil=True)
def take_slot(market: np.void, pool: np.ndarray, orders: np.ndarray) -> int:
    """A free slot of the market's pool, or -1. `pool` holds the used slots first, then the free ones."""
    if market["resting"] == len(pool):
        return -1
    place = market["resting"]
    slot = pool[place]
    orders[slot]["place"] = place
    market["resting"] += 1
    return slot


@njit(cache=True, nogil=True)
def free_slot(market: np.void, pool: np.ndarray, orders: np.ndarray, slot: int) -> None:
    """Gives a slot back; one of a quote just becomes empty."""
    orders[slot]["state"] = EMPTY
    orders[slot]["order_id"] = 0
    if slot >= QUOTES:
        market["resting"] -= 1
        place, last = orders[slot]["place"], pool[market["resting"]]
        pool[place] = last
        orders[last]["place"] = place
        pool[market["resting"]] = slot


@njit(cache=True, nogil=True)
def put_op(head: np.void, ops: np.ndarray, ts_ns: int, kind: int, symbol: int, account: int, order_id: int) -> np.void:
    """A fresh op with all other fields zero. The caller has checked that there is room (`room`)."""
    op = ops[head["ops"]]
    head["ops"] += 1
    op["ts_ns"] = ts_ns
    op["order_id"] = order_id
    op["account"] = account
    op["price"] = 0
    op["qty"] = 0
    op["symbol"] = symbol
    op["kind"] = kind
    op["side"] = 0
    op["order_type"] = 0
    op["tif"] = 0
    op["flags"] = 0
    op["code"] = 0
    op["reserved"] = 0
    return op


@njit(cache=True, nogil=True)
def room(head: np.void, ops: np.ndarray) -> bool:
    """Whether a few more ops fit. Agents that find none stay silent for the tick, as if throttled."""
    return head["ops"] + 8 < len(ops)


@njit(cache=True, nogil=True)
def send_limit(
    head: np.void, ops: np.ndarray, orders: np.ndarray, slot: int, ts_ns: int, symbol: int, account: int, side: int,
    price: int, qty: int, post_only: bool,
) -> int:
    """A limit order that may rest, remembered in `slot`. Returns its id."""
    order_id = new_order_id(head, slot)
    op = put_op(head, ops, ts_ns, NEW, symbol, account, order_id)
    op["side"] = side
    op["price"] = price
    op["qty"] = qty
    op["flags"] = POST_ONLY if post_only else 0
    order = orders[slot]
    order["order_id"] = order_id
    order["account"] = account
    order["price"] = price
    order["qty"] = qty
    order["side"] = side
    order["state"] = SENT
    return order_id


@njit(cache=True, nogil=True)
def send_taker(
    head: np.void, ops: np.ndarray, ts_ns: int, symbol: int, account: int, side: int, limit: int, qty: int
) -> None:
    """An order that never rests: IOC at `limit`, or a market order where that is 0."""
    op = put_op(head, ops, ts_ns, NEW, symbol, account, new_order_id(head, NO_SLOT))
    op["side"] = side
    op["price"] = limit
    op["qty"] = qty
    op["order_type"] = LIMIT if limit > 0 else MARKET
    op["tif"] = IOC


@njit(cache=True, nogil=True)
def send_cancel(head: np.void, ops: np.ndarray, ts_ns: int, symbol: int, account: int, order_id: int) -> None:
    put_op(head, ops, ts_ns, CANCEL, symbol, account, order_id)


@njit(cache=True, nogil=True)
def cancel_later(head: np.void, pending: np.ndarray, ts_ns: int, symbol: int, account: int, order_id: int) -> None:
    """Decides now on a cancel at `ts_ns`. With no room the order stays until somebody cancels it by chance."""
    if head["pending"] < len(pending):
        entry = pending[head["pending"]]
        head["pending"] += 1
        entry["ts_ns"] = ts_ns
        entry["order_id"] = order_id
        entry["account"] = account
        entry["symbol"] = symbol


@njit(cache=True, nogil=True)
def pick_member(g: np.ndarray, members: np.ndarray, weights: np.ndarray, start: int, end: int) -> int:
    """An account of the market whose members are `members[start:end]`, by cumulative weight."""
    target = uniform(g) * weights[end - 1]
    low, high = start, end - 1
    while low < high:
        middle = (low + high) // 2
        if weights[middle] > target:
            high = middle
        else:
            low = middle + 1
    return members[low]


@njit(cache=True, nogil=True)
def pick_any_member(g: np.ndarray, members: np.ndarray, start: int, end: int) -> int:
    """A member of a market, all equally likely."""
    return members[start + below(g, end - start)]


@njit(cache=True, nogil=True)
def equity_usd(account: int, cash: np.ndarray, positions: np.ndarray, markets: np.ndarray) -> float:
    """Wallet with unrealised profit at the marks, USD."""
    total = cash[account] * 1e-6
    for k in range(len(markets)):
        total += positions[account, k] * markets[k]["usd_per_lot"]
    return total


@njit(cache=True, nogil=True)
def notional_usd(account: int, positions: np.ndarray, markets: np.ndarray) -> float:
    """Absolute value of all positions at the marks, USD."""
    total = 0.0
    for k in range(len(markets)):
        total += abs(positions[account, k]) * markets[k]["usd_per_lot"]
    return total


# Plain integers: Numba stores these into arrays without touching the enums.
NEW: Final = int(OpKind.NEW)
CANCEL: Final = int(OpKind.CANCEL)
LIMIT: Final = int(OrderType.LIMIT)
MARKET: Final = int(OrderType.MARKET)
IOC: Final = int(TimeInForce.IOC)
POST_ONLY: Final = int(OpFlag.POST_ONLY)

OPS: Final = 32_768
"""Ops of one tick at most."""


def new_op_buffer() -> np.ndarray:
    """Room for one tick's ops."""
    return np.zeros(OPS, OP_DTYPE)
