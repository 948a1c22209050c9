"""The least Python that matches flow G: sorted containers and FIFO deques, no accounts, no rules, no reports but fills.

It generates the flow (as its model of the market) and is the baseline that a hand-written book in plain Python is measured
by; the oracle, which does all that the engine does, is the other one.
"""

from __future__ import annotations

from collections import deque

from sortedcontainers import SortedDict

from engine.contract import Side

Order = list[int]
"""[order id, side, price, lots]; 0 lots: gone."""


class LeanBook:
    def __init__(self) -> None:
        # Bids by minus their price, so that the best level is first on both sides.
        self.levels: tuple[SortedDict[int, deque[Order]], SortedDict[int, deque[Order]]] = (SortedDict(), SortedDict())
        self.orders: dict[int, Order] = {}
        self.lots = [0, 0]

    def touch(self, side: int) -> int:
        """The best price of a side, or 0."""
        levels = self.levels[side]
        return abs(levels.peekitem(0)[0]) if levels else 0

    def add(self, order_id: int, side: int, price: int, lots: int) -> list[tuple[int, int, int]]:
        """Trades what trades and lets the rest rest. Returns its fills: (resting order, price, lots)."""
        fills = []
        makers = self.levels[1 - side]
        worst = price if side == Side.BUY else -price
        while lots and makers:
            at, queue = makers.peekitem(0)
            if at > worst:
                break
            while lots and queue:
                maker = queue[0]
                traded = min(lots, maker[3])
                if traded:
                    fills.append((maker[0], maker[2], traded))
                    lots -= traded
                    maker[3] -= traded
                    self.lots[1 - side] -= traded
                if not maker[3]:
                    queue.popleft()
                    self.orders.pop(maker[0], None)
            if not queue:
                del makers[at]
        if lots:
            order = [order_id, side, price, lots]
            at = -price if side == Side.BUY else price
            self.levels[side].setdefault(at, deque()).append(order)
            self.orders[order_id] = order
            self.lots[side] += lots
        return fills

    def cancel(self, order_id: int) -> None:
        """Takes an order away; its husk stays in the queue until the queue has no other order."""
        order = self.orders.pop(order_id)
        side, price = order[1], order[2]
        self.lots[side] -= order[3]
        order[3] = 0
        at = -price if side == Side.BUY else price
        queue = self.levels[side][at]
        while queue and not queue[0][3]:
            queue.popleft()
        if not queue:
            del self.levels[side][at]
