"""Events and ops that the venue makes itself, in the order in which they happen.

A `Desk` has the venue's arrays and writes: what it is told to do to an account's money or position, it does and tells in one
event. Ops of its own go to the engine like anybody's, with three differences: no throttle holds them up, no event of theirs
is a reply, and the money of their trades is settled at once.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engine.contract import EVENT_DTYPE, NO_ACCOUNT, OP_DTYPE, EventFlag, EventKind, LedgerLine, OpKind, Reason, Side
from engine.market import Market
from engine.matching import ROOM, process
from engine.wallets import OWN_ACCOUNTS, Wallets, move, pay, settle

NOWHERE: Final = -1

FIRST_OWN_ID: Final = 2**62
"""Ids from here on are the venue's own orders'."""

_NO_REPLY: Final = np.uint8(255 - EventFlag.REPLY)
_LIQUIDATION: Final = np.uint8(EventFlag.LIQUIDATION)


class Desk:
    """Writes the events of one op. `take` hands them over, in order."""

    def __init__(self, market: Market, prices: np.ndarray, wallets: Wallets, counter: np.ndarray) -> None:
        """`counter` int64 [1]: orders that the venue has sent so far; part of the caller's state."""
        self.market = market
        self.prices = prices
        self.wallets = wallets
        self.fund = len(wallets.cash) - OWN_ACCOUNTS
        self.now_ns = 0
        self._counter = counter
        self._told: list[np.ndarray] = []
        self._buffer = np.zeros(8 * ROOM, EVENT_DTYPE)

    def take(self) -> list[np.ndarray]:
        """The events since the last time, EVENT_DTYPE batches."""
        told, self._told = self._told, []
        return told

    def tell(self, kind: EventKind, count: int = 1, **fields: Any) -> np.ndarray:
        """Writes `count` events of a kind; fields are numbers or arrays [count]. Returns them."""
        rows = np.zeros(count, EVENT_DTYPE)
        head = self.market.heads[0]
        rows["ts_ns"] = self.now_ns
        rows["kind"] = kind
        rows["account"] = rows["contra_account"] = NO_ACCOUNT
        rows["symbol"] = NOWHERE
        for name, value in fields.items():
            rows[name] = value
        first = int(head["seq"])
        rows["seq"] = np.arange(first + 1, first + count + 1)
        head["seq"] = first + count
        self._told.append(rows)
        return rows

    def change(self, account: int, money: int, line: LedgerLine, symbol: int = NOWHERE) -> None:
        """The wallet changes by `money`, and a LEDGER event says so. Nothing happens for 0."""
        if money == 0:
            return
        if symbol == NOWHERE:
            self.wallets.cash[account] += money
        else:
            pay(self.wallets, account, symbol, -money)
        self.tell(EventKind.LEDGER, account=account, qty=money, code=line, symbol=symbol)

    def assign(self, account: int, contra: int, symbol: int, lots: int, price: int, money: int, why: Reason) -> None:
        """`account` gets `lots` (negative: gives) from `contra` outside the book, and pays it `money`.

        Args:
            account, contra: both without orders in the symbol.
            lots: not 0.
            price: micro-ticks, for the record.
            money: exact, micro-units of the quote.
        """
        holdings = self.market.holdings
        for side, sign in ((account, 1), (contra, -1)):
            move(self.wallets, side, symbol, sign * lots, sign * money)
            holdings[side, symbol]["lots"] += sign * lots
        self.tell(
            EventKind.ASSIGN,
            account=account,
            contra_account=contra,
            symbol=symbol,
            side=Side.BUY if lots > 0 else Side.SELL,
            qty=abs(lots),
            price=price,
            leaves=money,
            code=why,
            flags=EventFlag.LIQUIDATION if why != Reason.DELISTED else 0,
        )

    def send(self, kind: OpKind, *, forced: bool = True, **fields: Any) -> np.ndarray:
        """Gives the engine an op of the venue's own and settles it. Returns its events. `forced`: with the flag LIQUIDATION."""
        op = np.zeros(1, OP_DTYPE)
        op["ts_ns"] = self.now_ns
        op["kind"] = kind
        op["symbol"] = NOWHERE
        for name, value in fields.items():
            op[name] = value
        throttle = self.market.heads[0]["throttle"]
        interval_ns = int(throttle["interval_ns"])
        throttle["interval_ns"] = 0
        parts = []
        done = 0
        while not done:
            done, count = process(self.market, op, self._buffer)
            events = self._buffer[:count].copy()
            settle(self.wallets, self.prices, events)
            events["flags"] &= _NO_REPLY
            if forced:
                events["flags"] |= _LIQUIDATION
            parts.append(events)
        throttle["interval_ns"] = interval_ns
        self._told.extend(parts)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def order_id(self) -> int:
        """Of the next order of the venue's own."""
        self._counter[0] += 1
        return FIRST_OWN_ID + int(self._counter[0])

    def cancel_all(self, account: int, symbol: int = NOWHERE, *, forced: bool = True) -> None:
        """Cancels the account's orders, in one symbol or everywhere, where it has any."""
        holdings = self.market.holdings[account]
        if (holdings["orders"] if symbol == NOWHERE else holdings[symbol]["orders"]).any():
            self.send(OpKind.CANCEL_ALL, account=account, symbol=symbol, forced=forced)
