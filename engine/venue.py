"""The venue: books, prices, wallets and positions, moved by one sequence of ops.

    venue = Venue(load_pack("core"), ("BTC-PERP",), accounts=10, capacity=MEDIUM)
    events = venue.apply(ops)

Every op yields at least one event, in the order of the ops, and nothing else changes the venue: the same ops give the same
events and the same state, however they are cut into batches.

NEW and CANCEL go to the book (`engine.matching`), after the venue has refused what only it can judge: an unknown account, time
going back against any symbol, an order worth more than `MAX_ORDER_MICRO`. A trade moves both positions and both wallets.
REFERENCE carries an index from outside and yields INDEX and MARK. TRANSFER changes a wallet. CLOCK, once a second, yields
CLOCK, samples basis and premium, and yields the FUNDING_RATE of each symbol. The rate is published, and settled into the mark's
next interval; no payment is made.

Wallets are kept as cash: transfers and the money of all trades. `cash + Σ position · mark` is the account's wallet with
unrealised profit, whatever it paid for its position.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numba import njit

from engine.arithmetic import mul_div_floor
from engine.arrays import pack_arrays, unpack_arrays
from engine.book import Capacity, best, new_books, state_hash, top_levels
from engine.contract import (
    EVENT_DTYPE,
    MICRO,
    NO_ACCOUNT,
    NO_ORDER,
    OP_DTYPE,
    EventKind,
    OpKind,
    Reason,
    Reference,
)
from engine.instruments import Pack
from engine.matching import process
from engine.prices import basis_price, funding_price, funding_rate, impact_price, mark_price, premium

MAX_ORDER_MICRO: Final = 2**53
"""Highest value of one order, micro-units of the quote (nine billion): sums over accounts and trades then stay exact."""

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

_HEAD_DTYPE: Final = np.dtype([("now_ns", "<i8"), ("seq", "<i8"), ("ops", "<i8")])


class Venue:
    """See the module. `symbols[k]` is the instrument of `symbol` k of ops and events."""

    def __init__(self, pack: Pack, symbols: tuple[str, ...], accounts: int, capacity: Capacity) -> None:
        self.instruments = tuple(pack.instrument(symbol) for symbol in symbols)
        self.capacity = capacity
        self.books = new_books(capacity, len(symbols))
        self.prices = np.zeros(len(symbols), SYMBOL_DTYPE)
        self.cash = np.zeros(accounts, np.int64)
        """Micro-units of the quote, [accounts]."""
        self.positions = np.zeros((accounts, len(symbols)), np.int64)
        """Lots, [accounts, symbols]; short is negative."""
        self._head = np.zeros(1, _HEAD_DTYPE)
        self._buffer = np.zeros(_EVENTS, EVENT_DTYPE)
        for row, instrument in zip(self.prices, self.instruments, strict=True):
            row["unit_micro"] = instrument.notional_micro
            row["interval_s"] = instrument.funding_interval_s
            row["interest"] = pack.funding.interest_micro_bps
            row["clamp"] = pack.funding.clamp_micro_bps
            row["settled_rate"] = pack.funding.interest_micro_bps * instrument.funding_interval_s // (8 * 3600)
            row["impact_micro"] = pack.funding.impact_margin_usd * MICRO * MICRO // instrument.initial_rate_ppm
            row["samples"] = pack.funding.basis_samples

    @property
    def now_ns(self) -> int:
        """Time of the last op applied."""
        return int(self._head[0]["now_ns"])

    @property
    def seq(self) -> int:
        """Number of the last event."""
        return int(self._head[0]["seq"])

    @property
    def ops(self) -> int:
        """How many ops were applied."""
        return int(self._head[0]["ops"])

    def apply(self, ops: np.ndarray) -> np.ndarray:
        """Applies ops (OP_DTYPE [n]) and returns their events (EVENT_DTYPE [m]), numbered on from `seq`."""
        if ops.dtype != OP_DTYPE:
            raise ValueError(f"the venue takes OP_DTYPE, not {ops.dtype}")
        parts = []
        while len(ops):
            consumed, written = _apply(self.books, self.prices, self.cash, self.positions, self._head, ops, self._buffer)
            parts.append(self._buffer[:written].copy())
            ops = ops[consumed:]
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, EVENT_DTYPE), *parts])

    def state_hash(self) -> int:
        """64 bits over everything that the venue's future depends on."""
        digest = hashlib.blake2b(digest_size=8)
        for book in self.books:
            digest.update(int(state_hash(book)).to_bytes(8, "little"))
        for array in (self.prices, self.cash, self.positions, self._head):
            digest.update(array.tobytes())
        return int.from_bytes(digest.digest(), "little")

    def snapshot(self) -> bytes:
        """The whole state."""
        return pack_arrays(self._arrays())

    def restore(self, snapshot: bytes) -> None:
        """Goes to the state of a snapshot. Raises ValueError if it is of a venue of another shape."""
        unpack_arrays(snapshot, self._arrays())

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            "books": self.books,
            "prices": self.prices,
            "cash": self.cash,
            "positions": self.positions,
            "head": self._head,
        }


@njit(cache=True, nogil=True)
def _apply(
    books: np.ndarray,
    prices: np.ndarray,
    cash: np.ndarray,
    positions: np.ndarray,
    heads: np.ndarray,
    ops: np.ndarray,
    events: np.ndarray,
) -> tuple[int, int]:
    """Applies ops until they or the room for events run out. Returns (ops consumed, events written)."""
    head = heads[0]
    scratch = np.zeros((2, _IMPACT_LEVELS), np.int64)
    written = 0
    i = 0
    # The most that an op other than an order yields is a CLOCK and a rate for each symbol.
    while i < len(ops) and written + len(prices) + 2 <= len(events):
        end = i
        while end < len(ops) and _refusal(ops[end], head["now_ns"], prices, cash) == _FOR_THE_BOOK:
            head["now_ns"] = ops[end]["ts_ns"]
            end += 1
        if end > i:
            consumed, count = process(books, ops[i:end], events[written:], head["seq"] + 1)
            _settle(prices, cash, positions, events[written : written + count])
            head["seq"] += count
            written += count
            i += consumed
            if i < end:
                # The scan ran ahead of the buffer: time is that of the op that is half done or comes next.
                head["now_ns"] = ops[i]["ts_ns"]
                break
            continue
        op = ops[i]
        reason = _refusal(op, head["now_ns"], prices, cash)
        if reason != _ACCEPTED:
            _write(events, written, head, _REJECT, op, op["qty"], reason)
            written += 1
        else:
            head["now_ns"] = op["ts_ns"]
            written = _apply_other(books, prices, cash, head, op, events, written, scratch)
        i += 1
    head["ops"] += i
    return i, written


@njit(cache=True, nogil=True)
def _refusal(op: np.void, now_ns: int, prices: np.ndarray, cash: np.ndarray) -> int:
    """The Reason the venue refuses an op, or _ACCEPTED, or _FOR_THE_BOOK where the book has the say."""
    kind = op["kind"]
    if op["ts_ns"] < now_ns:
        return _TIME_WENT_BACK
    if kind == _OP_CLOCK:
        return _ACCEPTED
    known = 0 <= op["symbol"] < len(prices)
    if kind == _OP_REFERENCE:
        if not known:
            return _UNKNOWN_SYMBOL
        if op["code"] != _INDEX:
            return _BAD_FIELD
        return _ACCEPTED if 0 < op["price"] <= MAX_INDEX else _BAD_PRICE
    if not 0 <= op["account"] < len(cash):
        return _BAD_FIELD
    if kind == _OP_TRANSFER:
        return _ACCEPTED if -MAX_ORDER_MICRO <= op["qty"] <= MAX_ORDER_MICRO else _BAD_QUANTITY
    if known and op["qty"] > 0:
        # A market order trades at prices of orders that passed this test themselves.
        price = max(op["price"], 1)
        if op["qty"] > MAX_ORDER_MICRO // prices[op["symbol"]]["unit_micro"] // price:
            return _BAD_QUANTITY
    return _FOR_THE_BOOK


@njit(cache=True, nogil=True)
def _settle(prices: np.ndarray, cash: np.ndarray, positions: np.ndarray, events: np.ndarray) -> None:
    """Moves positions and cash by the trades among the events."""
    for i in range(len(events)):
        event = events[i]
        if event["kind"] == _TRADE:
            price = prices[event["symbol"]]
            price["last"] = event["price"] * MICRO
            lots = event["qty"] if event["side"] == 0 else -event["qty"]
            money = lots * event["price"] * price["unit_micro"]
            positions[event["account"], event["symbol"]] += lots
            positions[event["contra_account"], event["symbol"]] -= lots
            cash[event["account"]] -= money
            cash[event["contra_account"]] += money


@njit(cache=True, nogil=True)
def _apply_other(
    books: np.ndarray,
    prices: np.ndarray,
    cash: np.ndarray,
    head: np.void,
    op: np.void,
    events: np.ndarray,
    written: int,
    scratch: np.ndarray,
) -> int:
    """Applies an accepted op that is not an order. Returns the events written so far."""
    if op["kind"] == _OP_TRANSFER:
        cash[op["account"]] += op["qty"]
        _write(events, written, head, _TRANSFER, op, op["qty"], _NONE)
        return written + 1
    if op["kind"] == _OP_REFERENCE:
        price = prices[op["symbol"]]
        price["index"] = op["price"]
        _update_mark(price, head["now_ns"])
        _write(events, written, head, _REFERENCE, op, 0, _INDEX)
        _write(events, written + 1, head, _REFERENCE, op, 0, _MARK)
        events[written + 1]["price"] = price["mark"]
        return written + 2
    _write(events, written, head, _CLOCK, op, 0, _NONE)
    events[written]["symbol"] = -1
    written += 1
    for k in range(len(prices)):
        price = prices[k]
        if price["index"] == 0 or price["interval_s"] == 0:
            continue
        _sample(books[k], price, head["now_ns"], scratch)
        _write(events, written, head, _REFERENCE, op, 0, _FUNDING_RATE)
        events[written]["price"] = price["funding_rate"]
        events[written]["symbol"] = k
        written += 1
    return written


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
    price["mark"] = mark_price(with_funding, basis_price(index, total, count), contract)


@njit(cache=True, nogil=True)
def _sample(book: np.void, price: np.void, now_ns: int, scratch: np.ndarray) -> None:
    """Takes the one-second samples of basis and premium, and settles the rate where an interval ends.

    The mean premium is over the seconds since the interval began; seconds before the venue opened count as no premium.
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
        price["basis"][price["sampled"] % price["samples"]] = (bid + ask) * (MICRO // 2) - index
        price["sampled"] += 1
    impact_bid = _impact(book, 0, price, scratch)
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
def _write(events: np.ndarray, at: int, head: np.void, kind: int, op: np.void, qty: int, code: int) -> None:
    head["seq"] += 1
    event = events[at]
    event["ts_ns"] = head["now_ns"]
    event["seq"] = head["seq"]
    event["order_id"] = op["order_id"] if kind == _REJECT else NO_ORDER
    event["contra_order_id"] = NO_ORDER
    event["account"] = op["account"]
    event["contra_account"] = NO_ACCOUNT
    event["price"] = op["price"]
    event["qty"] = qty
    event["leaves"] = 0
    event["symbol"] = op["symbol"]
    event["kind"] = kind
    event["side"] = op["side"] if op["side"] <= 1 else 0  # readers index by it
    event["flags"] = 0
    event["code"] = code


# Plain integers: Numba stores these into arrays without touching the enums.
_ACCEPTED: Final = -1
_FOR_THE_BOOK: Final = -2
_OP_CLOCK: Final = int(OpKind.CLOCK)
_OP_REFERENCE: Final = int(OpKind.REFERENCE)
_OP_TRANSFER: Final = int(OpKind.TRANSFER)
_TRADE: Final = int(EventKind.TRADE)
_REJECT: Final = int(EventKind.REJECT)
_REFERENCE: Final = int(EventKind.REFERENCE)
_TRANSFER: Final = int(EventKind.TRANSFER)
_CLOCK: Final = int(EventKind.CLOCK)
_INDEX: Final = int(Reference.INDEX)
_MARK: Final = int(Reference.MARK)
_FUNDING_RATE: Final = int(Reference.FUNDING_RATE)
_NONE: Final = int(Reason.NONE)
_UNKNOWN_SYMBOL: Final = int(Reason.UNKNOWN_SYMBOL)
_BAD_QUANTITY: Final = int(Reason.BAD_QUANTITY)
_BAD_PRICE: Final = int(Reason.BAD_PRICE)
_BAD_FIELD: Final = int(Reason.BAD_FIELD)
_TIME_WENT_BACK: Final = int(Reason.TIME_WENT_BACK)
