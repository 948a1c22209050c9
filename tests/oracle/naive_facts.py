"""What must hold of a market's events whoever made them, straight from ops and events: no rule is carried out again here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sortedcontainers import SortedDict

from engine.contract import EventFlag, EventKind, OpFlag, OpKind, OrderType, Reason, SelfTrade, Side, SymbolState, TimeInForce
from tests.oracle.naive_refusals import Op

REDUCING = OpFlag.REDUCE_ONLY | OpFlag.CLOSE_POSITION
CROSSED_STATES = (SymbolState.AUCTION, SymbolState.HALTED)
ANSWERS = {
    OpKind.NEW: (EventKind.ADD, EventKind.DONE, EventKind.ARM, EventKind.ACK),
    OpKind.QUOTE: (EventKind.ADD, EventKind.DONE, EventKind.ACK),
    OpKind.AMEND: (EventKind.ADD, EventKind.DONE, EventKind.ARM, EventKind.ACK, EventKind.CANCEL),
    OpKind.CANCEL: (EventKind.CANCEL, EventKind.DONE),
    OpKind.CANCEL_ALL: (EventKind.ACK,),
    OpKind.CONNECT: (EventKind.ACK,),
    OpKind.DISCONNECT: (EventKind.ACK,),
    OpKind.DEAD_MAN: (EventKind.ACK,),
    OpKind.STATE: (EventKind.STATE,),
    OpKind.REFERENCE: (EventKind.REFERENCE,),
    OpKind.CLOCK: (EventKind.CLOCK,),
}
"""What may end an op that was not refused."""


class Event(NamedTuple):
    """A row of EVENT_DTYPE."""

    ts_ns: int
    seq: int
    order_id: int
    contra_order_id: int
    account: int
    contra_account: int
    price: int
    qty: int
    leaves: int
    symbol: int
    kind: int
    side: int
    flags: int
    code: int


@dataclass(slots=True)
class Live:
    """An order that was accepted and has not ended."""

    account: int
    side: int
    stp: int
    reducing: bool
    iceberg: bool
    waiting: bool = False
    price: int = 0
    shown: int = 0
    """0: it does not rest."""


class Facts:
    """Holds the ops and events of one market against each other, in parts of any size."""

    def __init__(self, self_trade: Sequence[int]) -> None:
        """`self_trade`: the rules' mode, of each symbol."""
        symbols = len(self_trade)
        self.self_trade = self_trade
        self.seq = 0
        self.live: list[dict[int, Live]] = [{} for _ in range(symbols)]
        self.levels: list[tuple[SortedDict, SortedDict]] = [(SortedDict(), SortedDict()) for _ in range(symbols)]
        """Shown lots by order id in order of time, by price: the best is last for bids, first for asks."""
        self.positions: list[dict[int, int]] = [{} for _ in range(symbols)]
        self.states = [int(SymbolState.OPEN)] * symbols
        self.held: list[list[Op]] = [[] for _ in range(symbols)]

    def check(self, ops: np.ndarray, events: np.ndarray, ends: np.ndarray) -> None:
        """`ends`: how many of `events` there were after each op."""
        rows = [Event(*row) for row in events.tolist()]
        start = 0
        for row, end in zip(ops.tolist(), ends.tolist(), strict=True):
            op = Op(*row)
            batch = rows[start:end]
            assert [e.seq for e in batch] == list(range(self.seq + 1, self.seq + 1 + len(batch)))
            self.seq += len(batch)
            answered = self._replies(op, batch)
            coming = [one for one, e in answered if e.kind != EventKind.REJECT and one.kind in (OpKind.NEW, OpKind.QUOTE)]
            touched = set()
            for e in batch:
                own = bool(coming) and e.order_id == coming[0].order_id
                if own and e.kind == EventKind.ACK and coming[0].kind == OpKind.QUOTE:
                    coming.pop(0)  # a leg without lots, which makes no order
                    continue
                if own and _begins(e):
                    self._begin(coming[0])
                self._event(e, touched)
                if own and e.flags & EventFlag.REPLY:
                    coming.pop(0)
            for symbol, order_id in touched:
                order = self.live[symbol].get(order_id)
                if order and not order.shown and not order.waiting:
                    del self.live[symbol][order_id]
            for one, reply in answered:
                if one.kind == OpKind.NEW and one.order_type <= OrderType.MARKET and reply.kind != EventKind.REJECT:
                    _conserved(one, reply, batch)
            self._not_crossed(op)
            start = end
        assert start == len(rows)

    def _begin(self, op: Op) -> None:
        """An op that was accepted makes an order; a leg of a mass quote may have the id of one that it has just replaced."""
        live = self.live[op.symbol]
        before = live.get(op.order_id)
        if before is None or not (before.shown or before.waiting):
            mode = op.stp or self.self_trade[op.symbol]
            iceberg = 0 < op.display < op.qty
            live[op.order_id] = Live(op.account, op.side, mode, bool(op.flags & REDUCING), iceberg)

    def _replies(self, op: Op, batch: list[Event]) -> list[tuple[Op, Event]]:
        """Each op that the batch answers, with its one REPLY: legs of a mass quote are held back until their group ends."""
        replies = [e for e in batch if e.flags & EventFlag.REPLY]
        held = self.held[op.symbol] if 0 <= op.symbol < len(self.held) else []
        waited = [*held, op]
        if len(replies) < len(waited) and held and (not replies or replies[0].code != Reason.QUOTE_BROKEN):
            waited = [op]  # the group goes on; the op was refused before it could have to do with it, or is the next leg
        else:
            held.clear()
        if len(replies) < len(waited):
            assert waited.pop() is op
            assert op.kind == OpKind.QUOTE
            assert op.flags & OpFlag.MORE
            assert replies or not batch
            held.append(op)
        for one, reply in zip(waited, replies, strict=True):
            assert reply.ts_ns == op.ts_ns or reply.code == Reason.TIME_WENT_BACK
            if reply.kind == EventKind.REJECT:
                assert (reply.order_id, reply.account, reply.price, reply.qty) == (
                    one.order_id,
                    one.account,
                    one.price,
                    one.qty,
                )
                continue
            assert reply.kind in ANSWERS[one.kind]
            assert reply.symbol == one.symbol
            if one.order_id:
                assert (reply.order_id, reply.account) == (one.order_id, one.account)
        return list(zip(waited, replies, strict=True))

    def _event(self, e: Event, touched: set[tuple[int, int]]) -> None:
        kind = e.kind
        if kind == EventKind.TRADE:
            self._trade(e, touched)
        elif kind == EventKind.LEVEL:
            assert e.flags == EventFlag.DERIVED
            assert e.qty == sum(self.levels[e.symbol][e.side].get(e.price, {}).values())
        elif kind == EventKind.STATE:
            self.states[e.symbol] = e.code
        elif kind in (EventKind.ADD, EventKind.CANCEL, EventKind.DONE, EventKind.ARM, EventKind.TRIGGER):
            self._order_event(e, self.live[e.symbol][e.order_id])
            touched.add((e.symbol, e.order_id))
        elif kind == EventKind.ACK and e.order_id in self.live[e.symbol]:
            order = self.live[e.symbol][e.order_id]
            order.waiting = not order.shown  # dormant, if it does not rest
            touched.add((e.symbol, e.order_id))

    def _order_event(self, e: Event, order: Live) -> None:
        kind = e.kind
        assert (e.account, e.side) == (order.account, order.side)
        if kind == EventKind.ADD:
            assert order.shown == 0 < e.qty == e.leaves
            assert not order.waiting
            assert order.iceberg or e.code != Reason.ICEBERG_REFRESH
            order.price, order.shown = e.price, e.qty
            self.levels[e.symbol][e.side].setdefault(e.price, {})[e.order_id] = e.qty
        elif kind == EventKind.CANCEL:
            assert e.price == order.price
            assert 0 < e.qty == order.shown - e.leaves
            self._show(e.symbol, e.order_id, order, e.leaves)
        elif kind == EventKind.DONE:
            assert not order.shown
            assert not (order.waiting and e.qty)
            order.waiting = False
        else:
            assert not order.shown
            assert order.waiting or kind == EventKind.ARM
            order.waiting = kind == EventKind.ARM

    def _show(self, symbol: int, order_id: int, order: Live, shown: int) -> None:
        levels = self.levels[symbol][order.side]
        order.shown = shown
        if shown:
            levels[order.price][order_id] = shown
            return
        del levels[order.price][order_id]
        if not levels[order.price]:
            del levels[order.price]

    def _front(self, symbol: int, side: int) -> tuple[int, int]:
        """(order id, price) of the order that trades first."""
        price, queue = self.levels[symbol][side].peekitem(-1 if side == Side.BUY else 0)
        return next(iter(queue)), price

    def _trade(self, e: Event, touched: set[tuple[int, int]]) -> None:
        taker, maker = (self.live[e.symbol][order_id] for order_id in (e.order_id, e.contra_order_id))
        touched |= {(e.symbol, e.order_id), (e.symbol, e.contra_order_id)}
        assert (taker.account, taker.side) == (e.account, e.side)
        assert (maker.account, maker.side) == (e.contra_account, 1 - e.side)
        assert self._front(e.symbol, maker.side) == (e.contra_order_id, maker.price)
        assert 0 < e.qty == maker.shown - e.leaves
        if e.flags & EventFlag.AUCTION:
            assert self._front(e.symbol, taker.side) == (e.order_id, taker.price)
            buyer, seller = (taker, maker) if e.side == Side.BUY else (maker, taker)
            assert buyer.price >= e.price >= seller.price
            self._show(e.symbol, e.order_id, taker, taker.shown - e.qty)
        else:
            assert not taker.shown
            assert not taker.waiting
            assert e.price == maker.price
        self._show(e.symbol, e.contra_order_id, maker, e.leaves)
        if taker.account == maker.account:
            assert taker.stp == SelfTrade.ALLOW
            return
        positions = self.positions[e.symbol]
        for order in (taker, maker):
            before = positions.get(order.account, 0)
            sign = 1 if order.side == Side.BUY else -1
            assert not order.reducing or -sign * before >= e.qty
            positions[order.account] = before + sign * e.qty

    def _not_crossed(self, op: Op) -> None:
        for symbol in range(len(self.states)) if op.symbol < 0 else [op.symbol]:
            if symbol < len(self.states) and self.states[symbol] not in CROSSED_STATES:
                bids, asks = self.levels[symbol]
                assert not bids or not asks or bids.peekitem(-1)[0] < asks.peekitem(0)[0]


def _begins(e: Event) -> bool:
    """Whether it may be the first event of the order that it is about."""
    return e.kind in (EventKind.TRADE, EventKind.ADD) or bool(e.flags & EventFlag.REPLY)


def _conserved(op: Op, reply: Event, batch: list[Event]) -> None:
    """The lots of an order that is not conditional: traded, taken off, resting or ended."""
    own = [e for e in batch if e.seq < reply.seq]
    trades = [e for e in own if e.kind == EventKind.TRADE and e.order_id == op.order_id]
    traded = sum(e.qty for e in trades)
    decrements = (e for e in own if e.code == Reason.SELF_TRADE_DECREMENT and e.kind == EventKind.CANCEL)
    left = op.qty - traded - sum(e.qty for e in decrements if e.contra_order_id == op.order_id)
    sign = 1 if op.side == Side.BUY else -1
    assert op.order_type == OrderType.MARKET or all(sign * e.price <= sign * op.price for e in trades)
    if reply.kind == EventKind.ADD:
        cut = reply.code == Reason.REDUCE_ONLY_EXCESS
        assert 0 < reply.qty < left if cut else reply.qty == min(left, op.display or left)
        assert op.tif in (TimeInForce.GTC, TimeInForce.GTD)
        return
    assert reply.qty == traded
    assert op.flags & OpFlag.CLOSE_POSITION or reply.leaves == left
    if op.tif == TimeInForce.FOK:
        assert reply.code in (Reason.FILLED, Reason.REDUCE_ONLY_EXCESS)
