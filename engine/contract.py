"""What an order op, an order event and a reference price are: dtypes, codes and the schema version.

Everything that crosses a room's border is a NumPy array of one of the two dtypes below. A source, a venue and a
recording all speak `EVENT_DTYPE`; only a venue takes `OP_DTYPE`. This module imports nothing of ours.

Units: prices are integer ticks, quantities integer lots, wallet money integer micro-units of the quote currency, times
integer UTC nanoseconds. Reference prices and funding rates are finer than a tick and have units of their own (see
`Reference`).
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

import numpy as np

SCHEMA_VERSION: Final = 1
"""Version of both dtypes and of every code in this module. Codes are added to, never given another meaning."""

NO_ACCOUNT: Final = -1
"""The account of an event whose source does not tell accounts."""

NO_ORDER: Final = 0
"""The order id of an event that belongs to no order, or whose source does not tell ids. Real ids are 1 … 2**63-1."""

MICRO: Final = 1_000_000
"""One unit in micro-units; reference prices are micro-ticks, funding rates are micro-basis-points."""


class Side(IntEnum):
    """Side of an order, or the aggressor's side of a trade."""

    BUY = 0
    SELL = 1


class OpKind(IntEnum):
    """What an op asks the venue to do. The journal holds every one of them, in this dtype."""

    NEW = 1
    CANCEL = 2
    CLOCK = 3
    """Time passes (journaled once a second, so that silence closes windows too)."""
    REFERENCE = 4
    """A reference value from outside; `code` says which, `price` holds it."""
    TRANSFER = 5
    """A deposit (`qty` > 0) to or a withdrawal (`qty` < 0) from `account`'s wallet, in micro-units of the quote."""


class OrderType(IntEnum):
    LIMIT = 0
    MARKET = 1


class TimeInForce(IntEnum):
    GTC = 0
    IOC = 1


class OpFlag(IntFlag):
    NONE = 0
    POST_ONLY = 1


class EventKind(IntEnum):
    """What happened. `qty` is always a change except for LEVEL, where it is the new displayed quantity."""

    ADD = 1
    """An order rests: `qty` lots displayed at `price`."""
    CANCEL = 2
    """The owner took `qty` lots of a resting order away; `leaves` is what still rests (0: the order is gone)."""
    TRADE = 3
    """`qty` lots traded at `price`. `side`, `order_id`, `account` are the taker's; `contra_*` and `leaves` the maker's."""
    DONE = 4
    """The op's order never rests: filled on entry (`leaves` 0), or its remainder of `leaves` lots expired; `code` says why."""
    REJECT = 5
    """The op was refused and nothing changed; `code` says why."""
    LEVEL = 6
    """An aggregated feed says that `side` now displays `qty` lots at `price` (0: the level is gone)."""
    CLEAR = 7
    """The book of `symbol` starts anew: what follows until the flag SNAPSHOT ends is its new content."""
    REFERENCE = 8
    """A reference value; `code` is a `Reference`, the value is in `price`."""
    TRANSFER = 9
    """`account`'s wallet changed by `qty` micro-units of the quote."""
    CLOCK = 10
    """Nothing happened up to `ts_ns`. Belongs to no symbol (`symbol` -1)."""
    GAP = 11
    """The source lost messages before this point; `qty` is how many, if it can tell, else 0."""


class EventFlag(IntFlag):
    NONE = 0
    HIDDEN = 1
    """A trade against an undisplayed order: the displayed book does not change."""
    SNAPSHOT = 2
    """Part of a book snapshot, not order flow: changes the book, counts in no flow metric."""
    UNDATED = 4
    """An ADD of an order that entered before it was seen: `ts_ns` is when it was seen, and its age is unknown."""


class Reason(IntEnum):
    """Why an op was refused, or why an order ended. The `code` of REJECT, DONE and CANCEL events."""

    NONE = 0
    FILLED = 1
    IOC_REMAINDER = 2
    """An immediate-or-cancel remainder expired."""
    NO_LIQUIDITY = 3
    """A market order's remainder expired: the other side is empty."""
    BY_OWNER = 4
    POST_ONLY_WOULD_CROSS = 5
    UNKNOWN_SYMBOL = 6
    UNKNOWN_ORDER = 7
    NOT_OWNER = 8
    DUPLICATE_ORDER_ID = 9
    BAD_QUANTITY = 10
    BAD_PRICE = 11
    BAD_FIELD = 12
    """A side, type, time in force, flag, kind or id outside the contract, or a combination that has no meaning."""
    POOL_FULL = 13
    """The book holds as many orders as its capacity allows."""
    FAR_LEVELS_FULL = 14
    """The book holds as many price levels outside its ladder window as its capacity allows."""
    TIME_WENT_BACK = 15


class Reference(IntEnum):
    """Which reference value a REFERENCE op or event carries in `price`, and its unit."""

    INDEX = 1
    """Index price, micro-ticks."""
    MARK = 2
    """Mark price, micro-ticks."""
    LAST = 3
    """Last traded price where a trade event cannot carry it exactly, micro-ticks."""
    FUNDING_RATE = 4
    """Funding rate of the running interval, micro-basis-points (1e-10 of notional)."""
    OPEN_INTEREST = 5
    """Open interest reported by the venue, lots (one side)."""
    BEST_BID = 6
    """Best bid as the venue itself reports it, micro-ticks; for checking a rebuilt book, `qty` is its lots."""
    BEST_ASK = 7


OP_DTYPE: Final = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("order_id", "<i8"),
        ("account", "<i8"),
        ("price", "<i8"),
        ("qty", "<i8"),
        ("symbol", "<i4"),
        ("kind", "u1"),
        ("side", "u1"),
        ("order_type", "u1"),
        ("tif", "u1"),
        ("flags", "<u2"),
        ("code", "<u2"),
        ("reserved", "<u4"),
    ]
)
"""One op: 56 bytes. `symbol` indexes the run's instrument table. `reserved` is zero: it keeps later versions aligned."""

EVENT_DTYPE: Final = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("seq", "<i8"),
        ("order_id", "<i8"),
        ("contra_order_id", "<i8"),
        ("account", "<i8"),
        ("contra_account", "<i8"),
        ("price", "<i8"),
        ("qty", "<i8"),
        ("leaves", "<i8"),
        ("symbol", "<i4"),
        ("kind", "u1"),
        ("side", "u1"),
        ("flags", "u1"),
        ("code", "u1"),
    ]
)
"""One event: 80 bytes. `seq` counts a source's events from 1 without a hole."""
