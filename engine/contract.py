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

SCHEMA_VERSION: Final = 3
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
    """Time passes (journaled once a second, so that silence closes windows too). Ends what has expired."""
    REFERENCE = 4
    """A reference value from outside; `code` says which, `price` holds it."""
    TRANSFER = 5
    """A deposit (`qty` > 0) to or a withdrawal (`qty` < 0) from `account`'s wallet, in micro-units of the quote.

    With a `symbol`, `qty` moves between the wallet and the symbol's isolated wallet (`qty` > 0: into the isolated one)."""
    AMEND = 6
    """Changes `price`, `qty` or `trigger` of `order_id`; 0 keeps what is."""
    CANCEL_ALL = 7
    """Cancels every order of `account`, in `symbol` or (-1) everywhere."""
    QUOTE = 8
    """A leg of a mass quote: the legs up to the one without MORE replace the account's quotes in the symbol at once."""
    STATE = 9
    """The symbol goes to the `SymbolState` in `code`."""
    CONNECT = 10
    """A session of `account` begins; the flag CANCEL_ON_DISCONNECT says what its end means."""
    DISCONNECT = 11
    """The session ended, wanted or not."""
    DEAD_MAN = 12
    """All orders of `account` are cancelled once `qty` nanoseconds pass without another DEAD_MAN; 0 switches that off."""
    MARGIN = 13
    """`account` has the `MarginMode` in `code`: ISOLATED and CROSS for `symbol`, or CROSS and PORTFOLIO for the rest (-1)."""
    DELIST = 14
    """The symbol ends: its orders are cancelled, its positions are settled at the mark, and nothing is accepted any more."""
    RULE = 15
    """The venue changes a rule for everybody: `code` is a `VenueRule`, `qty` its new value."""


class OrderType(IntEnum):
    LIMIT = 0
    MARKET = 1
    STOP_LIMIT = 2
    STOP_MARKET = 3
    TAKE_PROFIT_LIMIT = 4
    TAKE_PROFIT_MARKET = 5
    TRAILING_STOP = 6
    """A market order at the trigger, which follows the reference at the distance in `price`."""


class TimeInForce(IntEnum):
    GTC = 0
    IOC = 1
    FOK = 2
    """All of it at once, or nothing."""
    GTD = 3
    """Until `expire_s`."""


class SelfTrade(IntEnum):
    """What happens where an order would trade with its own account. The taker's mode decides."""

    DEFAULT = 0
    """What the symbol's rules say, which may be ALLOW."""
    EXPIRE_TAKER = 1
    EXPIRE_MAKER = 2
    EXPIRE_BOTH = 3
    DECREMENT = 4
    """The smaller of both quantities is taken off both, without a trade."""
    ALLOW = 5


class SymbolState(IntEnum):
    OPEN = 0
    HALTED = 1
    """Nothing is accepted, not even a cancel."""
    CANCEL_ONLY = 2
    REDUCE_ONLY = 3
    """Only reduce-only orders and cancels."""
    AUCTION = 4
    """Limit orders rest without matching; leaving the state uncrosses the book at one price."""


class MarginMode(IntEnum):
    CROSS = 0
    """Profits, losses and requirements of all positions are pooled."""
    ISOLATED = 1
    """One symbol's position has a wallet of its own, and loses no more than that."""
    PORTFOLIO = 2
    """Cross, with the requirement of the whole portfolio's worst case instead of the sum of ladders."""


class AccountLevel(IntEnum):
    """Where an account stands by equity over maintenance margin (RISK-SPEC 5, Binance uniMMR; thresholds are the pack's)."""

    FREE = 0
    REMIND = 1
    REDUCE_ONLY = 2
    """Nothing that opens or grows a position is accepted."""
    LIQUIDATE = 3
    """Orders are cancelled and positions disposed of."""
    CLAIM = 4
    """The venue takes what is left."""
    UNKNOWN = 5
    """A price that the account's margin rests on is missing or stale: nothing is forced, and nothing may grow."""


class VenueRule(IntEnum):
    """A rule that RULE changes, and the unit of its value."""

    THROTTLE = 1
    """Tokens that an account's bucket gets in a second, and holds at most."""
    TAKER_FEE = 2
    """Fee of takers in every tier, ppm of notional."""
    MAKER_FEE = 3
    """Fee of makers in every tier, ppm of notional; a rebate is negative."""


class LedgerLine(IntEnum):
    """Why a wallet changed, other than by a transfer or the money of a trade. The `code` of LEDGER events."""

    FUNDING = 1
    FEE = 2
    """Of takers."""
    MAKER_FEE = 3
    """Of makers; a rebate is positive."""
    LIQUIDATION_FEE = 4
    """The extra cost of forced execution."""
    TAKEOVER = 5
    """What was left when the venue took an account's positions; negative balances are paid for by the fund."""
    SOCIALISED = 6
    """A share of a loss that no fund covers."""
    ROUNDING = 7
    """What rounding against payers and receivers leaves; the fund has it."""


class OpFlag(IntFlag):
    NONE = 0
    POST_ONLY = 1
    SLIDE = 2
    """A post-only order that would cross goes one price step behind the other side's touch instead."""
    REDUCE_ONLY = 4
    CLOSE_POSITION = 8
    """Reduce-only with the whole position as quantity; `qty` is 0."""
    DORMANT = 16
    """A conditional order that waits until its entry order trades first."""
    MORE = 32
    """A QUOTE leg that another leg of the same group follows."""
    CANCEL_ON_DISCONNECT = 64


class EventKind(IntEnum):
    """What happened. `qty` is always a change except for LEVEL, where it is the new displayed quantity."""

    ADD = 1
    """An order rests: `qty` lots displayed at `price`. `code`: NONE, REDUCE_ONLY_EXCESS or ICEBERG_REFRESH."""
    CANCEL = 2
    """`qty` lots of a resting order were taken away; `leaves` is what still rests (0: the order is gone); `code` says why."""
    TRADE = 3
    """`qty` lots traded at `price`. `side`, `order_id`, `account` are the taker's; `contra_*` and `leaves` the maker's."""
    DONE = 4
    """An order that does not rest ended: `qty` traded (0 if it waited), `leaves` expired; `code` says why."""
    REJECT = 5
    """The op was refused and nothing changed; `code` says why. THROTTLED and BANNED: `leaves` is the retry-after, ns."""
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
    ARM = 12
    """A conditional order of `qty` lots (0: the position) waits for its trigger, which is in `price`."""
    TRIGGER = 13
    """A conditional order fires at the trigger in `price`; `code` is the `Reference` that reached it."""
    STATE = 14
    """The symbol is in `SymbolState` `code`. After an auction `price` is the clearing price and `qty` what traded at it."""
    ACK = 15
    """The op was done and no other event says so. CANCEL_ALL, DISCONNECT: `qty` orders were cancelled."""
    LEDGER = 16
    """`account`'s wallet changed by `qty` micro-units; `code` is a `LedgerLine`. With a `symbol`: on its account there.

    FEE and MAKER_FEE come once a second, for all trades since the last time."""
    ASSIGN = 17
    """`account` gets `qty` lots from `contra_account` (`side` BUY) or gives them to it (SELL), outside the book.

    `price` is in micro-ticks, `leaves` the exact micro-units that `account` pays to `contra_account`; `code` says why."""
    STANDING = 18
    """`account` is now at the `AccountLevel` in `code`. `qty`: maintenance margin, `leaves`: equity, both micro-units; `price`:
    their ratio in ppm. With a `symbol`: its isolated position there."""


class EventFlag(IntFlag):
    NONE = 0
    HIDDEN = 1
    """A trade against an undisplayed order: the displayed book does not change."""
    SNAPSHOT = 2
    """Part of a book snapshot, not order flow: changes the book, counts in no flow metric."""
    UNDATED = 4
    """An ADD of an order that entered before it was seen: `ts_ns` is when it was seen, and its age is unknown."""
    DERIVED = 8
    """A LEVEL that the events of orders already tell: changes no book that is rebuilt from them."""
    AUCTION = 16
    """A trade of an auction: both orders rested, both lose `qty`. The later of the two counts as the taker."""
    REPLY = 32
    """The one event that ends an op. What an op does besides, and what triggers and timers do later, has it not."""
    LIQUIDATION = 64
    """What the venue does with an account in distress: the cancels, its forced orders and their trades."""


class Reason(IntEnum):
    """Why an op was refused, or why an order ended. The `code` of REJECT, DONE, CANCEL, ADD and ACK events."""

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
    UNKNOWN_ACCOUNT = 16
    SYMBOL_STATE = 17
    """The symbol's state does not allow it."""
    BAD_TICK = 18
    """A price that is no multiple of the symbol's price step."""
    BAD_LOT = 19
    """A quantity that is no multiple of the symbol's lot step."""
    NOTIONAL_TOO_SMALL = 20
    NOTIONAL_TOO_LARGE = 21
    PRICE_OUT_OF_BOUNDS = 22
    POSITION_LIMIT = 23
    """Position and open orders of one account and side would not fit into 63 bits."""
    FOK_NOT_FILLABLE = 24
    BOUND_REACHED = 25
    """A market order's remainder expired at its protection bound."""
    SELF_TRADE = 26
    """Self-trade prevention ended the order."""
    SELF_TRADE_DECREMENT = 27
    NOT_REDUCING = 28
    """There is no position that a reduce-only order of this side could reduce."""
    REDUCE_ONLY_EXCESS = 29
    """What a reduce-only order has beyond the position was cut off."""
    ICEBERG_REFRESH = 30
    AMENDED = 31
    NO_CHANGE = 32
    """An amendment that changes nothing."""
    MASS_CANCEL = 33
    REPLACED = 34
    """A quote made way for its account's next mass quote."""
    QUOTE_BROKEN = 35
    """Another leg of the group is wrong, or the group was not finished: no leg was applied."""
    DISCONNECTED = 36
    DEAD_MAN = 37
    EXPIRED = 38
    """The order's time was over."""
    BAD_LINK = 39
    """`link` names no order that this one could be paired with."""
    LINKED = 40
    """The other order of the pair traded, fired or ended."""
    ENTRY_ENDED = 41
    """The entry order that a dormant order waited for ended without a trade."""
    WOULD_TRIGGER = 42
    """A conditional order whose trigger is already reached."""
    TRIGGERS_FULL = 43
    """The book holds as many conditional or timed orders as its capacity allows."""
    THROTTLED = 44
    BANNED = 45
    INSUFFICIENT_MARGIN = 46
    """The account's equity does not bear the initial margin, or the withdrawal."""
    ACCOUNT_LEVEL = 47
    """At the account's level only what reduces positions is accepted."""
    TAKEOVER = 48
    """The venue took the position of an account that could not hold it."""
    DELEVERAGED = 49
    """Auto-deleveraging: the position of a profitable account closed against one that nobody else takes."""
    DELISTED = 50
    """The symbol has ended; positions settle at the mark."""
    POSITION_OPEN = 51
    """A margin mode does not change under an open position or order."""
    PRICE_UNKNOWN = 52
    """There is no price, or only a stale one, that margin could rest on."""
    NO_PORTFOLIO = 53
    """The venue's rules have no portfolio margin."""


class Reference(IntEnum):
    """Which reference value a REFERENCE op or event carries in `price`, and its unit. INDEX, MARK and LAST also trigger."""

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
    FEED_LAG = 8
    """Nanoseconds from the venue's time in a message to its arrival, the longest of a second, by both's own clocks."""


OP_DTYPE: Final = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("order_id", "<i8"),
        ("account", "<i8"),
        ("price", "<i8"),
        ("qty", "<i8"),
        ("trigger", "<i8"),
        ("display", "<i8"),
        ("link", "<i8"),
        ("symbol", "<i4"),
        ("expire_s", "<u4"),
        ("kind", "u1"),
        ("side", "u1"),
        ("order_type", "u1"),
        ("tif", "u1"),
        ("stp", "u1"),
        ("code", "u1"),
        ("flags", "<u2"),
    ]
)
"""One op: 80 bytes. `symbol` indexes the run's instrument table (-1: none in particular).

`trigger` is a price in ticks; `display` the lots an iceberg shows; `link` the id of an order that this one is paired with;
`expire_s` UTC seconds; `stp` a `SelfTrade`; `code` a `Reference` (REFERENCE, conditional orders) or a `SymbolState` (STATE).
"""

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
