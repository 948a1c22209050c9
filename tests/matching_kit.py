"""Scenarios for the matching engine: ops by keyword, events as short tuples, and what must hold after every op.

    scene = Scene(price_step=5)
    scene.do(ANN.sell(1, 3, 100))                                   # order 1: 3 lots at 100 ticks
    assert scene.do(BOB.buy(2, 2, 100)) == [("TRADE", 2, 1, 100, 2), ("DONE", 2, 2, 0, "FILLED")]

An op is a dict of OP_DTYPE's fields; what is not said is 0. Each comes one nanosecond after the one before, unless it says
`ts_ns`. `show` has the form of each event's tuple. LEVEL events are left out where they are not asked for, but every op of
every scenario is held to three rules: it ends in exactly one REPLY, `seq` runs on without a hole, and LEVEL events alone give
the book's levels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.book import BookStatus, new_books, next_level, order_lookup, set_level
from engine.contract import (
    EVENT_DTYPE,
    MICRO,
    OP_DTYPE,
    EventFlag,
    EventKind,
    OpFlag,
    OpKind,
    OrderType,
    Reason,
    Reference,
    SelfTrade,
    Side,
    SymbolState,
    TimeInForce,
)
from engine.market import NO_THROTTLE, Rules, Throttle, new_market, state_hash
from engine.matching import run
from tests.oracle.flows import TINY

Op = dict[str, int]
Shown = tuple[str | int, ...]

BUY, SELL = Side.BUY, Side.SELL
INDEX, MARK, LAST = Reference.INDEX, Reference.MARK, Reference.LAST
IOC, FOK, GTD = TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTD
POST_ONLY, SLIDE, REDUCE_ONLY = OpFlag.POST_ONLY, OpFlag.SLIDE, OpFlag.REDUCE_ONLY
CLOSE_POSITION, DORMANT = OpFlag.CLOSE_POSITION, OpFlag.DORMANT
OPEN, HALTED, AUCTION = SymbolState.OPEN, SymbolState.HALTED, SymbolState.AUCTION
CANCEL_ONLY, REDUCE_ONLY_STATE = SymbolState.CANCEL_ONLY, SymbolState.REDUCE_ONLY
ALLOW, DECREMENT = SelfTrade.ALLOW, SelfTrade.DECREMENT
EXPIRE_TAKER, EXPIRE_MAKER, EXPIRE_BOTH = SelfTrade.EXPIRE_TAKER, SelfTrade.EXPIRE_MAKER, SelfTrade.EXPIRE_BOTH

SECOND = 10**9
ACCOUNTS = 6
FIRST_HOUSE_ID = 10**6
"""Orders that `Scene.hold` and `Scene.trade_at` make have ids from here on."""


# -- ops ---------------------------------------------------------------------------------------------------------------


def _order(
    account: int,
    side: Side,
    order_id: int,
    lots: int,
    price: int | None,
    *,
    bound: int = 0,
    stop: int = 0,
    profit: int = 0,
    trail: int = 0,
    activation: int = 0,
    by: int = 0,
    show: int = 0,
    until: int = 0,
    **fields: int,
) -> Op:
    order_type, trigger = (OrderType.LIMIT if price is not None else OrderType.MARKET), 0
    if trail:
        order_type, price, trigger = OrderType.TRAILING_STOP, trail, activation
    elif stop:
        order_type, trigger = (OrderType.STOP_LIMIT if price is not None else OrderType.STOP_MARKET), stop
    elif profit:
        order_type, trigger = (OrderType.TAKE_PROFIT_LIMIT if price is not None else OrderType.TAKE_PROFIT_MARKET), profit
    if until:
        fields = {"tif": GTD, "expire_s": until} | fields
    return {
        "kind": OpKind.NEW, "account": account, "side": side, "order_id": order_id, "qty": lots,
        "price": bound if price is None else price, "order_type": order_type, "trigger": trigger, "code": by, "display": show,
    } | fields  # fmt: skip


class Account(NamedTuple):
    """Who sends an op. `buy` and `sell` make a NEW op.

    With a price it is a limit order, without one a market order, which may have a `bound`. `stop`, `profit` (their trigger) and
    `trail` (the distance, from `activation` on) make it conditional, `by` says on which reference. `show` makes an iceberg,
    `until` (UTC seconds) a GTD order. All else is fields of the op.
    """

    number: int

    def buy(self, order_id: int, lots: int, price: int | None = None, **how: int) -> Op:
        return _order(self.number, BUY, order_id, lots, price, **how)

    def sell(self, order_id: int, lots: int, price: int | None = None, **how: int) -> Op:
        return _order(self.number, SELL, order_id, lots, price, **how)

    def close(self, order_id: int, side: Side, **how: int) -> Op:
        """Of the whole position, at the market or at a trigger."""
        return _order(self.number, side, order_id, 0, None, flags=CLOSE_POSITION | how.pop("flags", 0), **how)

    def cancel(self, order_id: int, **fields: int) -> Op:
        return {"kind": OpKind.CANCEL, "account": self.number, "order_id": order_id} | fields

    def amend(self, order_id: int, **fields: int) -> Op:
        return {"kind": OpKind.AMEND, "account": self.number, "order_id": order_id} | fields

    def cancel_all(self, symbol: int = 0, **fields: int) -> Op:
        return {"kind": OpKind.CANCEL_ALL, "account": self.number, "symbol": symbol} | fields

    def quote(self, order_id: int, side: Side, lots: int, price: int, *, more: bool = False, **fields: int) -> Op:
        """One leg of a mass quote."""
        flags = fields.pop("flags", 0) | (OpFlag.MORE if more else 0)
        return {
            "kind": OpKind.QUOTE, "account": self.number, "order_id": order_id, "side": side, "qty": lots, "price": price,
            "flags": flags,
        } | fields  # fmt: skip

    def quotes(self, *legs: tuple[int, Side, int, int], **fields: int) -> list[Op]:
        """A whole group, each leg (order id, side, lots, price)."""
        return [self.quote(*leg, more=leg is not legs[-1], **fields) for leg in legs]

    def connect(self, *, cancel_on_disconnect: bool, **fields: int) -> Op:
        flags = OpFlag.CANCEL_ON_DISCONNECT if cancel_on_disconnect else 0
        return {"kind": OpKind.CONNECT, "account": self.number, "symbol": -1, "flags": flags} | fields

    def disconnect(self, **fields: int) -> Op:
        return {"kind": OpKind.DISCONNECT, "account": self.number, "symbol": -1} | fields

    def dead_man(self, nanoseconds: int, **fields: int) -> Op:
        return {"kind": OpKind.DEAD_MAN, "account": self.number, "symbol": -1, "qty": nanoseconds} | fields


ANN, BOB, CID, DAN, _HOUSE = (Account(number) for number in range(1, ACCOUNTS))


def reference(by: Reference, ticks: float, **fields: int) -> Op:
    """The index or the mark moves; halves and quarters of a tick are exact."""
    return {"kind": OpKind.REFERENCE, "code": by, "price": int(ticks * MICRO)} | fields


def mark(ticks: float, **fields: int) -> Op:
    return reference(MARK, ticks, **fields)


def state(of: SymbolState, **fields: int) -> Op:
    return {"kind": OpKind.STATE, "code": of} | fields


def clock(seconds: int) -> Op:
    return {"kind": OpKind.CLOCK, "symbol": -1, "ts_ns": seconds * SECOND}


def as_rows(*ops: Op) -> np.ndarray:
    """OP_DTYPE [n]."""
    rows = np.zeros(len(ops), OP_DTYPE)
    for row, op in zip(rows, ops, strict=True):
        for name, value in op.items():
            row[name] = value
    return rows


# -- events ------------------------------------------------------------------------------------------------------------


def show(event: np.void) -> Shown:
    """What matters of an event of its kind; what stands in brackets is left out where there is none.

    ("ADD", order, price, displayed[, code])            ("TRADE", taker, maker, price, lots)
    ("CANCEL", order, lots, leaves, code[, taker])      ("DONE", order, traded, left, code)
    ("ARM", order, trigger, lots[, code])               ("TRIGGER", order, price, reference)
    ("ACK", order, lots[, code])                        ("REJECT", order, code[, retry-after])
    ("LEVEL", side, price, displayed)                   ("REFERENCE", reference, micro-ticks)
    ("STATE", state, clearing price, lots)              ("CLOCK",)
    """
    kind, code = EventKind(event["kind"]), int(event["code"])
    order_id, contra, price, lots, leaves = (
        int(event[name]) for name in ("order_id", "contra_order_id", "price", "qty", "leaves")
    )
    match kind:
        case EventKind.TRADE:
            return kind.name, order_id, contra, price, lots
        case EventKind.TRIGGER:
            return kind.name, order_id, price, Reference(code).name
        case EventKind.REFERENCE:
            return kind.name, Reference(code).name, price
        case EventKind.STATE:
            return kind.name, SymbolState(code).name, price, lots
        case EventKind.LEVEL:
            return kind.name, Side(event["side"]).name, price, lots
        case EventKind.CLOCK:
            return (kind.name,)
    reason = Reason(code).name
    some_reason = (reason,) if code else ()
    match kind:
        case EventKind.CANCEL:
            return (kind.name, order_id, lots, leaves, reason, *([contra] if contra else []))
        case EventKind.DONE:
            return kind.name, order_id, lots, leaves, reason
        case EventKind.REJECT:
            return (kind.name, order_id, reason, *([leaves] if leaves else []))
        case EventKind.ADD | EventKind.ARM:
            return (kind.name, order_id, price, lots, *some_reason)
        case EventKind.ACK:
            return (kind.name, order_id, lots, *some_reason)
    raise AssertionError(f"the engine writes no {kind.name}")


class Scene:
    """A market of one or more symbols with few, small places: `TINY`. `rules` are those of `engine.market.Rules`."""

    def __init__(self, *, symbols: int = 1, throttle: Throttle = NO_THROTTLE, **rules: int) -> None:
        self.market = new_market(TINY, symbols, ACCOUNTS, Rules(**rules), throttle)
        self.now = 0
        self._deltas = rules.get("deltas", True)
        self._shown = new_books(TINY, symbols)
        """What a reader sees who gets only the LEVEL events."""
        self._unanswered = 0
        self._next_house_id = FIRST_HOUSE_ID

    def do(self, *ops: Op | list[Op], levels: bool = False) -> list[Shown]:
        """The events of the ops one after the other, LEVEL events only if asked for."""
        return [
            show(event) for event in self.events(*ops) if levels or event["kind"] != EventKind.LEVEL
        ]  # fmt: skip

    def events(self, *ops: Op | list[Op]) -> np.ndarray:
        """EVENT_DTYPE [n]: all of it."""
        parts = [self._one(op) for each in ops for op in (each if isinstance(each, list) else [each])]
        return np.concatenate([np.zeros(0, EVENT_DTYPE), *parts])

    def _one(self, op: Op) -> np.ndarray:
        self.now = op.get("ts_ns", self.now + 1)
        seq = int(self.market.heads[0]["seq"])
        events = run(self.market, as_rows({"ts_ns": self.now} | op))
        assert events["seq"].tolist() == list(range(seq + 1, seq + 1 + len(events)))
        # Legs of a mass quote are answered when their group ends, every other op at once.
        self._unanswered += 1 - np.count_nonzero(events["flags"] & EventFlag.REPLY)
        assert self._unanswered == self.market.desks["legs"].sum()
        for e in events[events["kind"] == EventKind.LEVEL]:
            book = self._shown[e["symbol"]]
            assert set_level(book, int(e["side"]), int(e["price"]), int(e["qty"]), int(e["ts_ns"])) == BookStatus.OK
        if self._deltas:
            for symbol in range(len(self._shown)):
                for side in (BUY, SELL):
                    assert _levels(self._shown[symbol], side) == self.levels(side, symbol)
        return events

    def refuse(self, op: Op) -> str:
        """The reason for which `op` is refused: its only event, and nothing has changed but clocks."""
        before = self.hash_but_clocks()
        (event,) = self.events(op)
        assert event["kind"] == EventKind.REJECT
        assert self.hash_but_clocks() == before
        return Reason(event["code"]).name

    def hash_but_clocks(self) -> int:
        """The hash of the state with sequence and times at 0."""
        copy = self.market.copy()
        copy.heads["seq"] = copy.heads["now_ns"] = copy.books["ts_ns"] = 0
        return state_hash(copy)

    def levels(self, side: Side, symbol: int = 0) -> list[tuple[int, int]]:
        """(price, displayed lots) of every level, the best first."""
        return _levels(self.market.books[symbol], side)

    def position(self, account: Account, symbol: int = 0) -> int:
        return int(self.market.holdings[account.number, symbol]["lots"])

    def entered_ns(self, order_id: int, symbol: int = 0) -> int:
        """The time by which a resting order has its place."""
        book = self.market.books[symbol]
        return int(book["orders"][order_lookup(book, order_id)]["ts_ns"])

    def hold(self, account: Account, lots: int, price: int = 100, symbol: int = 0) -> None:
        """The account gets a position, long or short, in a trade with the house."""
        holder, other = (account.buy, _HOUSE.sell) if lots > 0 else (account.sell, _HOUSE.buy)
        first, second = self._house_ids()
        self.do(other(first, abs(lots), price, symbol=symbol), holder(second, abs(lots), price, symbol=symbol))

    def trade_at(self, price: int) -> list[Shown]:
        """LAST becomes `price`, in a trade of the house with itself of one lot. Nothing else may rest at it."""
        first, second = self._house_ids()
        return self.do(_HOUSE.sell(first, 1, price, stp=ALLOW), _HOUSE.buy(second, 1, price, stp=ALLOW))

    def move(self, by: Reference, price: int) -> list[Shown]:
        """The reference goes to `price`. Returns what follows from it, from the first TRIGGER on."""
        events = self.trade_at(price) if by is LAST else self.do(reference(by, price))
        fired = [i for i, event in enumerate(events) if event[0] == "TRIGGER"]
        return events[fired[0] :] if fired else []

    def _house_ids(self) -> tuple[int, int]:
        self._next_house_id += 2
        return self._next_house_id - 2, self._next_house_id - 1


def _levels(book: np.void, side: Side) -> list[tuple[int, int]]:
    found = []
    price, lots = next_level(book, int(side), 0)
    while price:
        found.append((int(price), int(lots)))
        price, lots = next_level(book, int(side), price)
    return found
