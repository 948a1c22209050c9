"""The venue: a matched market, its prices, wallets and margin, moved by one sequence of ops.

    venue = Venue(load_pack("core"), ("BTC-PERP",), accounts=10, capacity=MEDIUM)
    events = venue.apply(ops)

Every op ends in exactly one event with the flag REPLY, and nothing but ops changes the venue: the same ops give the same
events and the same state, however they are cut into batches.

Orders, sessions, symbol states and throttles are `engine.matching`'s, whose rules (`docs/matching.md`) hold for all ops, with
these additions; `docs/risk.md` has the rules of margin and liquidation:

- NEW, AMEND and QUOTE that may let a position grow are refused with INSUFFICIENT_MARGIN, PRICE_UNKNOWN or POSITION_LIMIT where
  the account's margin does not bear them, with ACCOUNT_LEVEL where its level forbids them. Order ids from
  `engine.derived.FIRST_OWN_ID` on are the venue's: BAD_FIELD.
- TRANSFER, MARGIN, DELIST, RULE: `engine.treasury`.
- REFERENCE carries an index from outside. After the index and what it fires come the mark that the venue makes of it, as a
  REFERENCE event without REPLY, and what that fires. A mark from outside is BAD_FIELD and an index above `MAX_INDEX` BAD_PRICE,
  before anything else is looked at. A delisted symbol takes no REFERENCE and no STATE: DELISTED.
- CLOCK, once a second, after what expires: samples basis and premium, yields the FUNDING_RATE of each symbol, and makes the
  tick of the clearing house, `engine.clearing`: mark to market, margin, distress, disposal, in this order.

**Time** is the engine's: it runs on in each symbol, and over all of them for ops without one. Ops of different symbols may
therefore come in any order between two CLOCKs. Whoever reads the events without lateness, as our feed does, needs them in the
order of their times; the simulation sorts its ops.

**Accounts** are numbered from 0. Behind them are two of the venue's own, which send no ops: the insurance fund and the account
of the fees.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
import numpy as np
from numba import njit

from engine.arrays import pack_arrays, unpack_arrays
from engine.book import NO_SLOT, Capacity, order_lookup
from engine.clearing import Clearing
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
from engine.derived import FIRST_OWN_ID, Desk
from engine.instruments import Pack
from engine.kernel import wide
from engine.margining import Terms, margin_price, refusal
from engine.market import HAS_EXTRA, REDUCING, Market, new_market, state_hash
from engine.matching import IDLE, ROOM, process
from engine.prices.state import IMPACT_LEVELS, MARKS, SYMBOL_DTYPE, sample, update_mark
from engine.rules import order_rules, risk_terms, throttle
from engine.treasury import Treasury
from engine.wallets import OWN_ACCOUNTS, Wallets, new_wallets, settle

MAX_INDEX: Final = 2**53
"""Highest index, micro-ticks."""

_EVENTS: Final = 65_536

_HEAD_DTYPE: Final = np.dtype([("ops", "<i8"), ("stage", "<i8"), ("next_rate", "<i8"), ("margin_by", "<i8"), ("sent", "<i8")])
"""How many ops were applied, how far the venue is with the one in hand (see `_apply_own`), the Reference that drives margin,
and how many orders the venue sent itself."""


class Venue:
    """See the module. `symbols[k]` is the instrument of `symbol` k of ops and events."""

    def __init__(self, pack: Pack, symbols: tuple[str, ...], accounts: int, capacity: Capacity) -> None:
        self.instruments = tuple(pack.instrument(symbol) for symbol in symbols)
        self.capacity = capacity
        self.accounts = accounts
        """How many accounts there are besides the venue's own."""
        self.market: Market = new_market(
            capacity,
            len(symbols),
            accounts + OWN_ACCOUNTS,
            [order_rules(pack, instrument) for instrument in self.instruments],
            throttle(pack),
        )
        self.prices = np.zeros(len(symbols), SYMBOL_DTYPE)
        self.wallets: Wallets = new_wallets(accounts, len(symbols), pack.fees.tiers)
        self.terms: Terms = risk_terms(pack, self.instruments)
        self._head = np.zeros(1, _HEAD_DTYPE)
        self._head["margin_by"] = Reference[pack.prices.margin.upper()]
        self._buffer = np.zeros(_EVENTS, EVENT_DTYPE)
        self._mark_op = np.zeros(1, OP_DTYPE)
        self._mark_op["kind"] = OpKind.REFERENCE
        self._mark_op["code"] = Reference.MARK
        for row, instrument in zip(self.prices, self.instruments, strict=True):
            row["unit_micro"] = instrument.notional_micro
            row["interval_s"] = instrument.funding_interval_s
            row["interest"] = pack.funding.interest_micro_bps
            row["clamp"] = pack.funding.clamp_micro_bps
            row["cap"] = pack.funding.cap_micro_bps
            row["settled_rate"] = pack.funding.interest_micro_bps * instrument.funding_interval_s // (8 * 3600)
            row["impact_micro"] = int(pack.funding.impact_margin_usd * pack.max_leverage(instrument) * MICRO)
            row["samples"] = pack.funding.basis_samples
            row["marked_by"] = MARKS[pack.prices.mark]
        desk = Desk(self.market, self.prices, self.wallets, self._head["sent"])
        self._desk = desk
        self._treasury = Treasury(desk, self.terms, portfolio=pack.margin.portfolio != "none")
        self.clearing = Clearing(desk, self.terms, pack, self.instruments)

    @property
    def books(self) -> np.ndarray:
        """What rests, `engine.book`, [symbols]."""
        return self.market.books

    @property
    def positions(self) -> np.ndarray:
        """Lots, [accounts, symbols]; short is negative."""
        return self.wallets.held[: self.accounts]

    @property
    def cash(self) -> np.ndarray:
        """Micro-units of the quote, [accounts]: the wallets that cross positions share."""
        return self.wallets.cash[: self.accounts]

    @property
    def fund_account(self) -> int:
        """The insurance fund's number."""
        return self.accounts

    @property
    def fee_account(self) -> int:
        """The number of the account that gets the fees."""
        return self.accounts + 1

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
        head = self._head[0]
        parts = []
        while len(ops):
            consumed, written = _apply(
                self.market, self.prices, self.wallets, self.terms, self._head, ops, self._mark_op, self._buffer
            )
            parts.append(self._buffer[:written].copy())
            if head["stage"] in (_TICK, _ASKED):
                if head["stage"] == _TICK:
                    self.clearing.tick(int(ops[consumed]["ts_ns"]))
                else:
                    self._treasury.apply(ops[consumed])
                parts.extend(self._desk.take())
                head["stage"] = _NEW
                head["ops"] += 1
                consumed += 1
            ops = ops[consumed:]
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, EVENT_DTYPE), *parts])

    def state_hash(self) -> int:
        """64 bits over everything that the venue's future depends on."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(state_hash(self.market).to_bytes(8, "little"))
        for name, array in self._arrays().items():
            if name not in self.market._fields:
                digest.update(array.tobytes())
        digest.update(self.clearing.memory())
        return int.from_bytes(digest.digest(), "little")

    def snapshot(self) -> bytes:
        """The whole state."""
        return pack_arrays(self._arrays(), self.clearing.memory())

    def restore(self, snapshot: bytes) -> None:
        """Goes to the state of a snapshot. Raises ValueError if it is of a venue of another shape."""
        memory = unpack_arrays(snapshot, self._arrays())
        try:
            self.clearing.remember(memory)
        except msgspec.DecodeError as error:
            raise ValueError(f"the snapshot's clearing house cannot be read: {error}") from error

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            **self.market._asdict(),
            "prices": self.prices,
            **self.wallets._asdict(),
            "margin_prices": self.terms.prices,
            "doubtful": self.terms.doubtful,
            **self.clearing.arrays(),
            "head": self._head,
        }


@njit(cache=True, nogil=True)
def _apply(
    market: Market,
    prices: np.ndarray,
    wallets: Wallets,
    terms: Terms,
    heads: np.ndarray,
    ops: np.ndarray,
    mark_op: np.ndarray,
    events: np.ndarray,
) -> tuple[int, int]:
    """Applies ops until they or the room for events run out, or one needs the caller. Returns (ops consumed, events written).

    Where the room runs out, possibly in the midst of an op, what is half done stands in the market and in the venue's head.
    Call again with the ops that were not consumed. In the stages TICK and ASKED the first of these is the caller's to finish.
    """
    head = heads[0]
    fund = len(wallets.cash) - OWN_ACCOUNTS
    scratch = np.zeros((2, IMPACT_LEVELS), np.int64)
    written = i = 0
    while i < len(ops) and written + ROOM <= len(events) and head["stage"] not in (_TICK, _ASKED):
        end = i
        while end < len(ops) and not _is_own(ops[end], fund) and not _needs_margin(terms, ops[end], fund):
            end += 1
        if end > i:
            consumed, count = process(market, ops[i:end], events[written:])
            settle(wallets, prices, events[written : written + count])
        elif _is_own(ops[i], fund):
            consumed, count = _apply_own(
                market, prices, wallets, terms, head, ops[i : i + 1], mark_op, events[written:], scratch
            )
        else:
            consumed, count = _apply_checked(market, wallets, terms, ops[i : i + 1], events[written:])
            settle(wallets, prices, events[written : written + count])
        i += consumed
        written += count
    head["ops"] += i
    return i, written


@njit(cache=True, nogil=True)
def _is_own(op: np.void, fund: int) -> bool:
    """Whether the engine alone cannot apply this op, or must not."""
    kind = op["kind"]
    if kind in (_OP_CLOCK, _OP_REFERENCE, _OP_STATE, _OP_TRANSFER, _OP_MARGIN, _OP_DELIST, _OP_RULE):
        return True
    own: bool = op["account"] >= fund or ((kind in (_OP_NEW, _OP_QUOTE)) and op["order_id"] >= FIRST_OWN_ID)
    return own


@njit(cache=True, nogil=True)
def _needs_margin(terms: Terms, op: np.void, fund: int) -> bool:
    """Whether an op, which is none of the venue's own, may let a position grow that margin is asked for."""
    kind = op["kind"]
    if kind not in (_OP_NEW, _OP_AMEND, _OP_QUOTE) or (kind == _OP_NEW and op["flags"] & REDUCING):
        return False
    known = 0 <= op["symbol"] < len(terms.units) and 0 <= op["account"] < fund
    needs: bool = known and terms.ladders[op["symbol"]]["count"] > 0
    return needs


@njit(cache=True, nogil=True)
def _apply_checked(market: Market, wallets: Wallets, terms: Terms, ops: np.ndarray, events: np.ndarray) -> tuple[int, int]:
    """One op that margin is asked for. Where the account does not bear it, the engine is told with which Reason to refuse
    it."""
    op = ops[0]
    account = market.accounts[op["account"]]
    level_bar = account["bar"]
    if level_bar == _NONE and market.heads[0]["work"]["stage"] == IDLE:
        side, lots, price = _growth(market, op)
        account["bar"] = refusal(wallets, terms, market.holdings, op["account"], op["symbol"], side, lots, price)
    consumed, count = process(market, ops, events)
    account["bar"] = level_bar
    return consumed, count


@njit(cache=True, nogil=True)
def _growth(market: Market, op: np.void) -> tuple[int, int, int]:
    """(side, lots, price): what an op adds to the open orders of a side, and at how many ticks (0: at the market's price).

    Of an amendment, what it asks beyond what is open; of a mass quote the whole leg, as if nothing of the old quotes went.
    """
    if op["kind"] != _OP_AMEND:
        return wide(op["side"]), max(0, min(op["qty"], _MANY)), max(0, min(op["price"], _MANY))
    book = market.books[op["symbol"]]
    slot = order_lookup(book, op["order_id"])
    if slot == NO_SLOT or book["orders"][slot]["account"] != op["account"] or book["orders"][slot]["flags"] & REDUCING:
        return wide(0), wide(0), wide(0)
    order = book["orders"][slot]
    open_lots = order["qty"]
    if order["flags"] & HAS_EXTRA:
        open_lots += market.desks[op["symbol"]]["extras"][slot]["hidden"]
    price = op["price"] if op["price"] > 0 else order["price"]
    return wide(order["side"]), max(0, min(op["qty"], _MANY) - open_lots), max(0, min(price, _MANY))


@njit(cache=True, nogil=True)
def _apply_own(
    market: Market,
    prices: np.ndarray,
    wallets: Wallets,
    terms: Terms,
    head: np.void,
    ops: np.ndarray,
    mark_op: np.ndarray,
    events: np.ndarray,
    scratch: np.ndarray,
) -> tuple[int, int]:
    """The next step of the one op in `ops`. Returns (1 if it is done, else 0; events written). `events` has ROOM or more.

    A CLOCK goes from NEW over ENGINE (its expiries) to RATES and TICK; an index from NEW over ENGINE (what it fires) and
    MARK to MARKED (what the mark fires). What the engine refuses stays in REFUSED until the engine is done with it. What the
    venue refuses is done at once, and what the treasury does is ASKED for.
    """
    op = ops[0]
    if head["stage"] == _NEW:
        if op["kind"] in (_OP_TRANSFER, _OP_MARGIN, _OP_DELIST, _OP_RULE):
            head["stage"] = _ASKED
            return 0, 0
        reason = _own_refusal(op, prices, len(wallets.cash) - OWN_ACCOUNTS)
        if reason != _NONE:
            _refuse(market.heads[0], events[0], op, op["ts_ns"], reason)
            return 1, 1
    if head["stage"] in (_NEW, _ENGINE, _REFUSED):
        done, count = process(market, ops, events)
        settle(wallets, prices, events[:count])
        if op["kind"] == _OP_STATE:
            head["stage"] = _NEW if done else _ENGINE
            return done, count
        if head["stage"] == _NEW:
            head["stage"] = _ENGINE if _is_accepted(events[:count]) else _REFUSED
            if head["stage"] == _ENGINE and op["kind"] == _OP_REFERENCE:
                prices[op["symbol"]]["index"] = op["price"]
                prices[op["symbol"]]["index_ns"] = op["ts_ns"]
        if done:
            if head["stage"] == _REFUSED:
                head["stage"] = _NEW
                return 1, count
            head["stage"] = _RATES if op["kind"] == _OP_CLOCK else _MARK
            head["next_rate"] = 0
        return 0, count
    if head["stage"] == _RATES:
        return 0, _publish_rate(market, prices, head, op, events[0], scratch)
    k = op["symbol"]
    price = prices[k]
    if head["stage"] == _MARK:
        update_mark(price, market.books[k], op["ts_ns"])
        terms.prices[k] = margin_price(price, head["margin_by"])
        terms.doubtful[k] = 0
    mark_op[0]["ts_ns"] = op["ts_ns"]
    mark_op[0]["symbol"] = k
    mark_op[0]["price"] = price["mark"]
    done, count = process(market, mark_op, events)
    if head["stage"] == _MARK:
        events[0]["flags"] = 0  # the index had the reply
    settle(wallets, prices, events[:count])
    head["stage"] = _NEW if done else _MARKED
    return done, count


@njit(cache=True, nogil=True)
def _own_refusal(op: np.void, prices: np.ndarray, fund: int) -> int:
    """The Reason why the venue refuses an op before the engine sees it, or NONE."""
    kind = op["kind"]
    if kind in (_OP_REFERENCE, _OP_STATE):
        if 0 <= op["symbol"] < len(prices) and prices[op["symbol"]]["ended"]:
            return _DELISTED
        if kind == _OP_REFERENCE:
            if op["code"] == _MARK_CODE:
                return _BAD_FIELD
            return _BAD_PRICE if op["price"] > MAX_INDEX else _NONE
    elif kind != _OP_CLOCK:
        return _UNKNOWN_ACCOUNT if op["account"] >= fund else _BAD_FIELD
    return _NONE


@njit(cache=True, nogil=True)
def _refuse(engine: np.void, event: np.void, op: np.void, now_ns: int, reason: int) -> None:
    _write(engine, event, _REJECT, op, now_ns, op["qty"], _REPLY, reason)
    event["order_id"] = op["order_id"]


@njit(cache=True, nogil=True)
def _is_accepted(events: np.ndarray) -> bool:
    """Whether the engine took the CLOCK or the index whose first events these are; REJECTs of a mass quote may come before."""
    return bool(np.any((events["kind"] == _CLOCK) | (events["kind"] == _REFERENCE)))


@njit(cache=True, nogil=True)
def _publish_rate(market: Market, prices: np.ndarray, head: np.void, op: np.void, event: np.void, scratch: np.ndarray) -> int:
    """Samples the next symbol with index and funding, and writes its rate. Returns events written; 0 after the last one."""
    while head["next_rate"] < len(prices):
        k = head["next_rate"]
        head["next_rate"] += 1
        price = prices[k]
        if price["index"] > 0 and price["interval_s"] > 0 and not price["ended"]:
            sample(market.books[k], price, op["ts_ns"], scratch)
            _write(market.heads[0], event, _REFERENCE, op, op["ts_ns"], 0, 0, _FUNDING_RATE)
            event["price"] = price["funding_rate"]
            event["symbol"] = k
            event["account"] = NO_ACCOUNT
            return 1
    head["stage"] = _TICK
    return 0


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
_TICK: Final = 6
_ASKED: Final = 7

_MANY: Final = 2**52
"""Beyond any quantity or price that the engine accepts; keeps what is only looked at from wrapping."""

# Plain integers: Numba stores these into arrays without touching the enums.
_OP_NEW: Final = int(OpKind.NEW)
_OP_AMEND: Final = int(OpKind.AMEND)
_OP_QUOTE: Final = int(OpKind.QUOTE)
_OP_CLOCK: Final = int(OpKind.CLOCK)
_OP_REFERENCE: Final = int(OpKind.REFERENCE)
_OP_STATE: Final = int(OpKind.STATE)
_OP_TRANSFER: Final = int(OpKind.TRANSFER)
_OP_MARGIN: Final = int(OpKind.MARGIN)
_OP_DELIST: Final = int(OpKind.DELIST)
_OP_RULE: Final = int(OpKind.RULE)
_REJECT: Final = int(EventKind.REJECT)
_REFERENCE: Final = int(EventKind.REFERENCE)
_CLOCK: Final = int(EventKind.CLOCK)
_REPLY: Final = int(EventFlag.REPLY)
_MARK_CODE: Final = int(Reference.MARK)
_FUNDING_RATE: Final = int(Reference.FUNDING_RATE)
_NONE: Final = int(Reason.NONE)
_UNKNOWN_ACCOUNT: Final = int(Reason.UNKNOWN_ACCOUNT)
_BAD_PRICE: Final = int(Reason.BAD_PRICE)
_BAD_FIELD: Final = int(Reason.BAD_FIELD)
_DELISTED: Final = int(Reason.DELISTED)
