"""The simulation's memory: records for markets, makers, accounts and orders, and the scene of them all.

Every field that changes is here and in the generator, so that copying these arrays copies the simulation.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

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

STOP_SLOT: Final = NO_SLOT - 1
"""The slot part of a stop's id."""

RETRY_SLOT: Final = NO_SLOT - 2
"""The slot part of an id whose order takes no slot because its bot only wants it to be accepted."""

OPS: Final = 32_768
"""Ops of one tick at most."""

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
        ("retries", "<i8"),
        ("season", "<f8"),  # how far order flow follows the hour; 0: not
        ("level", "<f8"),  # what the hour makes of order flow now
        ("common", "<f8"),  # correlation of each market's innovations with the common factor
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
        ("least_usd", "<f8"),  # nobody sends an order worth less, unless it reduces
        ("base_rate", "<f8", (ARRIVALS,)),
        # The index path; see `index.py`.
        ("log_move", "<f8"),
        ("pushed", "<f8"),  # what of it a scenario did
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
        ("mid_log", "<f8"),  # averages of the log of the mid over …
        ("trend_fast", "<f8"),  # … five seconds and …
        ("trend_slow", "<f8"),  # … a minute
        # What a scenario turns; see `calm`.
        ("thin", "<f8"),  # how much wider makers quote
        ("stock", "<f8"),  # how much makers quote
        ("wild", "<f8"),  # volatility of the index
        ("busy", "<f8"),  # order flow
        ("lean", "<f8"),  # log of how much likelier buyers are
        ("push", "<f8"),  # log units that the index moves in a tick besides
        ("premium", "<f8"),  # log units that the contract is worth above the index
        ("bias", "<f8"),  # log units by which the published index is wrong
        ("mute", "<i8"),  # no index is published
    ]
)

CALM: Final = {
    "thin": 1.0,
    "stock": 1.0,
    "wild": 1.0,
    "busy": 1.0,
    "lean": 0.0,
    "push": 0.0,
    "premium": 0.0,
    "bias": 0.0,
    "mute": 0,
}
"""A market that no scenario has a hand in."""

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

PENDING_DTYPE: Final = np.dtype([("ts_ns", "<i8"), ("order_id", "<i8"), ("symbol", "<i8")])

RETRY_DTYPE: Final = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("symbol", "<i8"),
        ("account", "<i8"),
        ("price", "<i8"),
        ("qty", "<i8"),
        ("wait_ns", "<i8"),
        ("left", "<i8"),  # attempts
        ("side", "<i8"),
    ]
)
"""An order that the throttle refused and that its bot will send again."""

RETRIES: Final = 4096

DESK_DTYPE: Final = np.dtype(
    [
        ("account", "<i8"),
        ("kind", "<i8"),
        ("symbol", "<i8"),
        ("partner", "<i8"),  # the other market of a hedged portfolio, else -1
        ("threshold", "<f8"),  # at which it acts: deviations of the trend, or bps
        ("limit_usd", "<f8"),  # largest position
    ]
)
"""Somebody who trades by a rule: see `strategies`."""


class Scene(NamedTuple):
    """All that the agents see and change, as the compiled functions take it."""

    g: np.ndarray
    """The generator."""
    heads: np.ndarray
    """HEAD_DTYPE [1]"""
    markets: np.ndarray
    """MARKET_DTYPE [markets]"""
    makers: np.ndarray
    """MAKER_DTYPE [markets, MAKERS]"""
    orders: np.ndarray
    """ORDER_DTYPE [markets, ORDERS]"""
    pools: np.ndarray
    """int64 [markets, POOL]: slots of the crowd's orders, the used ones first"""
    pending: np.ndarray
    """PENDING_DTYPE [PENDING]"""
    retries: np.ndarray
    """RETRY_DTYPE [RETRIES]"""
    stops: np.ndarray
    """int64 [accounts, markets]: id of the stop that waits for the account's position; of one that buys, negative; 0: none"""
    desks: np.ndarray
    """DESK_DTYPE [desks], never changes"""
    paths: np.ndarray
    """float64 [markets, seconds]: recorded `log_move` at each second since the opening, NaN of others; never changes"""
    accounts: np.ndarray
    """ACCOUNT_DTYPE [accounts]"""
    members: np.ndarray
    """Accounts that trade market k: `members[starts[k]:starts[k + 1]]`; never changes"""
    weights: np.ndarray
    """How often they trade, cumulative within a market; never changes"""
    starts: np.ndarray
    ops: np.ndarray
    """OP_DTYPE: where the tick's ops are written"""
    cash: np.ndarray
    """The venue's, read only"""
    positions: np.ndarray
    """The venue's, read only"""


EMPTY: Final = 0
SENT: Final = 1
RESTS: Final = 2

RETAIL: Final = 0
LEVERED: Final = 1
FUND: Final = 2
BOT: Final = 3
MAKER: Final = 4
TREND: Final = 5
"""Follows the trend of a minute, with leverage."""
MOMENTUM: Final = 6
"""Follows the last seconds, without."""
BASIS: Final = 7
"""Sells what is dear against the index, and buys what is cheap; holds the other side elsewhere."""
CARRY: Final = 8
"""Holds the side that gets funding."""
HEDGED: Final = 9
"""Long of one market and short of another, under portfolio margin."""
