"""The venue: a matched market, its prices, and wallets, moved by one sequence of ops.

    venue = Venue(load_pack("core"), ("BTC-PERP",), accounts=10, capacity=MEDIUM)
    events = venue.apply(ops)

Every op ends in exactly one event with the flag REPLY, and nothing but ops changes the venue: the same ops give the same
events and the same state, however they are cut into batches.

Orders, sessions, symbol states and throttles are `engine.matching`'s, whose rules (`docs/matching.md`) hold for all ops, with
three additions:

- TRANSFER changes a wallet. It is refused like another op without a symbol, but takes no token of the throttle; BAD_QUANTITY
  beyond `MAX_ORDER_MICRO` either way.
- REFERENCE carries an index from outside. After the index and what it fires come the mark that the venue makes of it, as a
  REFERENCE event without REPLY, and what that fires. A mark from outside is BAD_FIELD and an index above `MAX_INDEX` BAD_PRICE,
  before anything else is looked at.
- CLOCK, once a second, after what expires: samples basis and premium, and yields the FUNDING_RATE of each symbol. The rate is
  published, and settled into the mark's next interval; no payment is made.

**Time** is the engine's: it runs on in each symbol, and over all of them for ops without one. Ops of different symbols may
therefore come in any order between two CLOCKs. Whoever reads the events without lateness, as our feed does, needs them in the
order of their times; the simulation sorts its ops.

**Wallets** are kept as cash: transfers and the money of all trades. `cash + Σ position · mark` is the account's wallet with
unrealised profit, whatever it paid for its position.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numba import njit

from engine.arithmetic import mul_div_floor
from engine.arrays import pack_arrays, unpack_arrays
from engine.book import NO_SYMBOL, Capacity, best, top_levels
from engine.contract import (
    EVENT_DTYPE,
    MICRO,
    NO_ACCOUNT,
    NO_ORDER,
    OP_DTYPE,
    EventFlag,
    EventKind,
    OpKind,
    Reason,
    Reference,
)
from engine.instruments import Pack
from engine.market import Market, new_market, state_hash
from engine.matching import MAX_TIME_NS, ROOM, process
from engine.prices import basis_price, funding_price, funding_rate, impact_price, mark_price, premium
from engine.rules import MAX_ORDER_MICRO, order_rules, throttle

MAX_INDEX: Final = 2**53
"""Highest index, micro-ticks."""

_SECOND_NS: Final = 1_000_000_000
_MAX_SAMPLES: Final = 60
_IMPACT_LEVELS: Final = 64
_EVENTS: Final = 65_536

SYMBOL_DTYPE: Final = np.dtype(
    [
        ("index", "<i8"),
        ("mark", "<i8"),
        ("last", "<i8"),
        ("funding_rate", "<i8"),
        ("settled_rate", "<i8"),
        ("next_funding_ns", "<i8"),
        ("premium_sum", "<i8"),
        ("sampled", "<i8"),
        ("basis", "<i8", (_MAX_SAMPLES,)),
        # What the rule pack says. Part of the state, because what follows depends on it.
        ("unit_micro", "<i8"),
        ("interval_s", "<i8"),
        ("interest", "<i8"),
        ("clamp", "<i8"),
        ("impact_micro", "<i8"),
        ("samples", "<i8"),
    ]
)
"""One symbol's prices: index, mark and last in micro-ticks, rates in micro-basis-points. 0: not known yet."""

_HEAD_DTYPE: Final = np.dtype([("ops", "<i8"), ("stage", "<i8"), ("next_rate", "<i8")])
"""How many ops were applied, and how far the venue is with the one in hand: see `_apply_own`."""


class Venue:
    """See the module. `symbols[k]` is the instrument of `symbol` k of ops and events."""

    def __init__(self, pack: Pack, symbols: tuple[str, ...], accounts: int, capacity: Capacity) -> None:
        self.instruments = tuple(pack.instrument(symbol) for symbol in symbols)
        self.capacity = capacity
        self.market: Market = new_market(
            capacity,
            len(symbols),
            accounts,
            [order_rules(pack, instrument) for instrument in self.instruments],
            throttle(pack),
        )
        self.prices = np.zeros(len(symbols), SYMBOL_DTYPE)
        self.cash = np.zeros(accounts, np.int64)
        """Micro-units of the quote, [accounts]."""
        self._head = np.zeros(1, _HEAD_DTYPE)
        self._buffer = np.zeros(_EVENTS, EVENT_DTYPE)
        self._mark_op = np.zeros(1, OP_DTYPE)
        self._mark_op["kind"] = OpKind.REFERENCE
        self._mark_op["code"] = Reference.MARK
        for row, instrument in zip(self.prices, self.instruments, strict=True):
            row["unit_micro"] = instrument.notional_micro
            row["interval_s"] = instrument.funding_interval_s
            row["interest"] = pack.funding.interest_micro_bps
            row["clamp"] = pack.funding.clamp_micro_bps
            row["settled_rate"] = pack.funding.interest_micro_bps * instrument.funding_interval_s // (8 * 3600)
            row["impact_micro"] = pack.funding.impact_margin_usd * MICRO * MICRO // instrument.initial_rate_ppm
            row["samples"] = pack.funding.basis_samples

    @property
    def books(self) -> np.ndarray:
        """What rests, `engine.book`, [symbols]."""
        return self.market.books

    @property
    def positions(self) -> np.ndarray:
        """Lots, [accounts, symbols]; short is negative."""
        lots: np.ndarray = self.market.holdings["lots"]
        return lots

    @property
    def now_ns(self) -> int:
        """The latest time of all ops applied."""
        return int(self.market.heads[0]["now_ns"])

    @property
    def seq(self) -> int:
        """Number of the last event."""
        return int(self.market.heads[0]["seq"])

    @property
    def ops(self) -> int:
        """How many ops were applied."""
        return int(self._head[0]["ops"])

    def apply(self, ops: np.ndarray) -> np.ndarray:
        """Applies ops (OP_DTYPE [n]) and returns their events (EVENT_DTYPE [m]), numbered on from `seq`."""
        if ops.dtype != OP_DTYPE:
            raise ValueError(f"the venue takes OP_DTYPE, not {ops.dtype}")
        ops = np.require(ops, requirements=["C", "W"])  # for another layout numba would compile the whole engine anew
        parts = []
        while len(ops):
            consumed, written = _apply(self.market, self.prices, self.cash, self._head, ops, self._mark_op, self._buffer)
            parts.append(self._buffer[:written].copy())
            ops = ops[consumed:]
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, EVENT_DTYPE), *parts])

    def state_hash(self) -> int:
        """64 bits over everything that the venue's future depends on."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(state_hash(self.market).to_bytes(8, "little"))
        for array in (self.prices, self.cash, self._head):
            digest.update(array.tobytes())
        return int.from_bytes(digest.digest(), "little")

    def snapshot(self) -> bytes:
        """The whole state."""
        return pack_arrays(self._arrays())

    def restore(self, snapshot: bytes) -> None:
        """Goes to the state of a snapshot. Raises ValueError if it is of a venue of another shape."""
        unpack_arrays(snapshot, self._arrays())

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**self.market._asdict(), "prices": self.prices, "cash": self.cash, "head": self._head}


@njit(cache=True, nogil=True)
def _apply(
    market: Market,
    prices: np.ndarray,
    cash: np.ndarray,
    heads: np.ndarray,
    ops: np.ndarray,
    mark_op: np.ndarray,
    events: np.ndarray,
) -> tuple[int, int]:
    """Applies ops until they or the room for events run out. Returns (ops consumed, events written).

    Where the room runs out, possibly in the midst of an op, what is half done stands in the market and in the venue's head.
    Call again with the ops that were not consumed.
    """
    head = heads[0]
    scratch = np.zeros((2, _IMPACT_LEVELS), np.int64)
    written = i = 0
    while i < len(ops) and written + ROOM <= len(events):
        end = i
        while end < len(ops) and not _is_own(ops[end]):
            end += 1
        if end > i:
            consumed, count = process(market, ops[i:end], events[written:])
            _settle(prices, cash, events[written : written + count])
        else:
            consumed, count = _apply_own(market, prices, cash, head, ops[i : i + 1], mark_op, events[written:], scratch)
        i += consumed
        written += count
    head["ops"] += i
    return i, written


@njit(cache=True, nogil=True)
def _is_own(op: np.void) -> bool:
    """Whether the engine alone cannot apply an op of this kind."""
    return op["kind"] in (_OP_CLOCK, _OP_REFERENCE, _OP_TRANSFER)


@njit(cache=True, nogil=True)
def _apply_own(
    market: Market,
    prices: np.ndarray,
    cash: np.ndarray,
    head: np.void,
    ops: np.ndarray,
    mark_op: np.ndarray,
    events: np.ndarray,
    scratch: np.ndarray,
) -> tuple[int, int]:
    """The next step of the one op in `ops`. Returns (1 if it is done, else 0; events written). `events` has ROOM or more.

    A CLOCK goes from NEW over ENGINE (its expiries) to RATES; an index from NEW over ENGINE (what it fires) and MARK to MARKED
    (what the mark fires). What the engine refuses stays in REFUSED until the engine is done with it. TRANSFER, and what the
    venue refuses, is done at once.
    """
    op = ops[0]
    if head["stage"] == _NEW:
        if op["kind"] == _OP_TRANSFER:
            _transfer(market, cash, op, events[0])
            return 1, 1
        reason = _own_refusal(op)
        if reason != _NONE:
            _refuse(market.heads[0], events[0], op, op["ts_ns"], reason)
            return 1, 1
    if head["stage"] in (_NEW, _ENGINE, _REFUSED):
        done, count = process(market, ops, events)
        _settle(prices, cash, events[:count])
        if head["stage"] == _NEW:
            head["stage"] = _ENGINE if _is_accepted(events[:count]) else _REFUSED
            if head["stage"] == _ENGINE and op["kind"] == _OP_REFERENCE:
                prices[op["symbol"]]["index"] = op["price"]
        if done:
            if head["stage"] == _REFUSED:
                head["stage"] = _NEW
                return 1, count
            head["stage"] = _RATES if op["kind"] == _OP_CLOCK else _MARK
            head["next_rate"] = 0
        return 0, count
    if head["stage"] == _RATES:
        return _publish_rate(market, prices, head, op, events[0], scratch)
    price = prices[op["symbol"]]
    if head["stage"] == _MARK:
        _update_mark(price, op["ts_ns"])
    mark_op[0]["ts_ns"] = op["ts_ns"]
    mark_op[0]["symbol"] = op["symbol"]
    mark_op[0]["price"] = price["mark"]
    done, count = process(market, mark_op, events)
    if head["stage"] == _MARK:
        events[0]["flags"] = 0  # the index had the reply
    _settle(prices, cash, events[:count])
    head["stage"] = _NEW if done else _MARKED
    return done, count


@njit(cache=True, nogil=True)
def _own_refusal(op: np.void) -> int:
    """The Reason why the venue refuses an index before the engine sees it, or NONE."""
    if op["kind"] != _OP_REFERENCE:
        return _NONE
    if op["code"] == _MARK_CODE:
        return _BAD_FIELD
    return _BAD_PRICE if op["price"] > MAX_INDEX else _NONE


@njit(cache=True, nogil=True)
def _transfer(market: Market, cash: np.ndarray, op: np.void, event: np.void) -> None:
    """Changes a wallet, or refuses to, and writes the one event of that."""
    engine = market.heads[0]
    now_ns = op["ts_ns"]
    reason = _NONE
    if op["symbol"] != NO_SYMBOL or now_ns > MAX_TIME_NS:
        reason = _BAD_FIELD
    elif not 0 <= op["account"] < len(cash):
        reason = _UNKNOWN_ACCOUNT
    elif now_ns < engine["now_ns"]:
        reason = _TIME_WENT_BACK
        now_ns = engine["now_ns"]
    else:
        engine["now_ns"] = now_ns
        for k in range(len(market.books)):
            market.books[k]["ts_ns"] = now_ns
        if _has_unused_fields(op):
            reason = _BAD_FIELD
        elif not -MAX_ORDER_MICRO <= op["qty"] <= MAX_ORDER_MICRO:
            reason = _BAD_QUANTITY
    if reason == _NONE:
        cash[op["account"]] += op["qty"]
        _write(engine, event, _TRANSFER, op, now_ns, op["qty"], _REPLY, _NONE)
    else:
        _refuse(engine, event, op, now_ns, reason)


@njit(cache=True, nogil=True)
def _has_unused_fields(op: np.void) -> bool:
    """Whether a TRANSFER says anything beyond account and quantity."""
    wide = op["order_id"] | op["price"] | op["trigger"] | op["display"] | op["link"]
    narrow = op["expire_s"] | op["side"] | op["order_type"] | op["tif"] | op["stp"] | op["code"] | op["flags"]
    unused: bool = wide != 0 or narrow != 0
    return unused


@njit(cache=True, nogil=True)
def _refuse(engine: np.void, event: np.void, op: np.void, now_ns: int, reason: int) -> None:
    _write(engine, event, _REJECT, op, now_ns, op["qty"], _REPLY, reason)
    event["order_id"] = op["order_id"]


@njit(cache=True, nogil=True)
def _is_accepted(events: np.ndarray) -> bool:
    """Whether the engine took the CLOCK or the index whose first events these are; REJECTs of a mass quote may come before."""
    return bool(np.any((events["kind"] == _CLOCK) | (events["kind"] == _REFERENCE)))


@njit(cache=True, nogil=True)
def _settle(prices: np.ndarray, cash: np.ndarray, events: np.ndarray) -> None:
    """Moves cash by the trades among the events."""
    for i in range(len(events)):
        event = events[i]
        if event["kind"] == _TRADE:
            price = prices[event["symbol"]]
            price["last"] = event["price"] * MICRO
            lots = event["qty"] if event["side"] == 0 else -event["qty"]
            money = lots * event["price"] * price["unit_micro"]
            cash[event["account"]] -= money
            cash[event["contra_account"]] += money


@njit(cache=True, nogil=True)
def _publish_rate(
    market: Market, prices: np.ndarray, head: np.void, op: np.void, event: np.void, scratch: np.ndarray
) -> tuple[int, int]:
    """Samples the next symbol with index and funding, and writes its rate. Returns (1 after the last, events written)."""
    while head["next_rate"] < len(prices):
        k = head["next_rate"]
        head["next_rate"] += 1
        price = prices[k]
        if price["index"] > 0 and price["interval_s"] > 0:
            _sample(market.books[k], price, op["ts_ns"], scratch)
            _write(market.heads[0], event, _REFERENCE, op, op["ts_ns"], 0, 0, _FUNDING_RATE)
            event["price"] = price["funding_rate"]
            event["symbol"] = k
            event["account"] = NO_ACCOUNT
            return 0, 1
    head["stage"] = _NEW
    return 1, 0


@njit(cache=True, nogil=True)
def _update_mark(price: np.void, now_ns: int) -> None:
    """median(P1, P2, contract); without a trade yet, the index stands for the contract."""
    index = price["index"]
    with_funding = index
    if price["interval_s"] > 0:
        interval_ns = price["interval_s"] * _SECOND_NS
        remaining = (interval_ns - now_ns % interval_ns) % interval_ns
        with_funding = funding_price(index, price["settled_rate"], remaining, interval_ns)
    count = min(price["sampled"], price["samples"])
    total = 0
    for k in range(count):
        total += price["basis"][k]
    contract = price["last"] if price["last"] > 0 else index
    price["mark"] = max(1, mark_price(with_funding, basis_price(index, total, count), contract))


@njit(cache=True, nogil=True)
def _sample(book: np.void, price: np.void, now_ns: int, scratch: np.ndarray) -> None:
    """Takes the one-second samples of basis and premium, and settles the rate where an interval ends.

    The mean premium is over the seconds since the interval began; seconds before the venue opened count as no premium.
    Prices beyond twice the index say nothing but that somebody quotes nonsense: they count as twice the index.
    """
    interval_ns = price["interval_s"] * _SECOND_NS
    if now_ns >= price["next_funding_ns"]:
        if price["next_funding_ns"] > 0:
            price["settled_rate"] = price["funding_rate"]
        price["next_funding_ns"] = (now_ns // interval_ns + 1) * interval_ns
        price["premium_sum"] = 0
    index = price["index"]
    bid, ask = best(book, 0), best(book, 1)
    if bid > 0 and ask > 0:
        price["basis"][price["sampled"] % price["samples"]] = min((bid + ask) * (MICRO // 2) - index, index)
        price["sampled"] += 1
    impact_bid = min(_impact(book, 0, price, scratch), 2 * index)
    impact_ask = _impact(book, 1, price, scratch)
    price["premium_sum"] += premium(index, impact_bid, impact_ask)
    elapsed_s = max(1, (now_ns - (price["next_funding_ns"] - interval_ns)) // _SECOND_NS)
    mean = mul_div_floor(price["premium_sum"], 1, elapsed_s)
    price["funding_rate"] = funding_rate(mean, price["interest"], price["clamp"], price["interval_s"])


@njit(cache=True, nogil=True)
def _impact(book: np.void, side: int, price: np.void, scratch: np.ndarray) -> int:
    count = top_levels(book, side, _IMPACT_LEVELS, scratch[0], scratch[1])
    return impact_price(scratch[0], scratch[1], count, price["impact_micro"], price["unit_micro"])


@njit(cache=True, nogil=True)
def _write(engine: np.void, event: np.void, kind: int, op: np.void, now_ns: int, qty: int, flags: int, code: int) -> None:
    """Writes an event of the venue itself; `engine` is the market's head, which counts them all."""
    engine["seq"] += 1
    event["ts_ns"] = now_ns
    event["seq"] = engine["seq"]
    event["order_id"] = NO_ORDER
    event["contra_order_id"] = NO_ORDER
    event["account"] = op["account"]
    event["contra_account"] = NO_ACCOUNT
    event["price"] = op["price"]
    event["qty"] = qty
    event["leaves"] = 0
    event["symbol"] = op["symbol"]
    event["kind"] = kind
    event["side"] = op["side"] if op["side"] <= 1 else 0  # readers index by it
    event["flags"] = flags
    event["code"] = code


# What the venue has done of the op in hand: `_apply_own`.
_NEW: Final = 0
_ENGINE: Final = 1
_REFUSED: Final = 2
_RATES: Final = 3
_MARK: Final = 4
_MARKED: Final = 5

# Plain integers: Numba stores these into arrays without touching the enums.
_OP_CLOCK: Final = int(OpKind.CLOCK)
_OP_REFERENCE: Final = int(OpKind.REFERENCE)
_OP_TRANSFER: Final = int(OpKind.TRANSFER)
_TRADE: Final = int(EventKind.TRADE)
_REJECT: Final = int(EventKind.REJECT)
_REFERENCE: Final = int(EventKind.REFERENCE)
_TRANSFER: Final = int(EventKind.TRANSFER)
_CLOCK: Final = int(EventKind.CLOCK)
_REPLY: Final = int(EventFlag.REPLY)
_MARK_CODE: Final = int(Reference.MARK)
_FUNDING_RATE: Final = int(Reference.FUNDING_RATE)
_NONE: Final = int(Reason.NONE)
_UNKNOWN_ACCOUNT: Final = int(Reason.UNKNOWN_ACCOUNT)
_BAD_QUANTITY: Final = int(Reason.BAD_QUANTITY)
_BAD_PRICE: Final = int(Reason.BAD_PRICE)
_BAD_FIELD: Final = int(Reason.BAD_FIELD)
_TIME_WENT_BACK: Final = int(Reason.TIME_WENT_BACK)
