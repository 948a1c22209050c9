"""The orders of one symbol, from messages to events.

Orders that were there before the recording are not known. The venue's own levels, where a file has them, show how many lots
they had: those become one order a level with an id of its own (`UNKNOWN_ID` and up), with the flags SNAPSHOT and UNDATED, and
a message about an order that was never seen takes its lots out of it. An order that comes in at a price that meets the other
side is not put into the book before it has traded: what others lose to it are its trades.
"""

from __future__ import annotations

from typing import Final

from engine.contract import NO_ORDER, EventFlag, EventKind, Reason
from monitor.sources.orders.batch import OrderBatch

UNKNOWN_ID: Final = 2**61
"""First id of orders that nobody told of."""

PATIENCE_NS: Final = 1_000_000_000
"""An incoming order that has not traded in this time rests after all."""

_SNAPSHOT: Final = int(EventFlag.SNAPSHOT)
_OLD: Final = int(EventFlag.SNAPSHOT | EventFlag.UNDATED)
_ADD: Final = int(EventKind.ADD)
_CANCEL: Final = int(EventKind.CANCEL)
_TRADE: Final = int(EventKind.TRADE)


class Order:
    """`is_in`: it stands in the book that the events tell."""

    __slots__ = ("is_bid", "is_in", "lots", "since_ns", "ticks", "told")

    def __init__(self, is_bid: bool, ticks: int, lots: int, since_ns: int, is_in: bool) -> None:
        self.is_bid, self.ticks, self.lots, self.since_ns, self.is_in = is_bid, ticks, lots, since_ns, is_in
        self.told = 0
        """Lots that traded, and that a later message takes out of the book once more."""


class OrderLedger:
    """See the module."""

    def __init__(self, index: int, batch: OrderBatch) -> None:
        self.index = index
        self.batch = batch
        self.orders: dict[int, Order] = {}
        self.levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        """Lots by price of bids and asks, as the events tell them."""
        self.compared = 0
        """Levels that the venue told and that were in our view before …"""
        self.equal = 0
        """… and how many of these had the same lots."""
        self._unknown: dict[tuple[bool, int], int] = {}
        self._next_unknown = UNKNOWN_ID
        self._incoming: list[int] = []
        self._has_levels = False

    def add(self, ts_ns: int, number: int, is_bid: bool, ticks: int, lots: int, *, is_old: bool) -> str | None:
        """An order comes. Returns why not, if so."""
        self.settle(ts_ns)
        if number in self.orders:
            return "order that is there already"
        if lots < 1:
            return "order of no size"
        best = self._best(not is_bid)
        meets = not is_old and best is not None and (best <= ticks if is_bid else best >= ticks)
        self.orders[number] = Order(is_bid, ticks, lots, ts_ns, False)
        if meets:
            self._incoming.append(number)
        else:
            self._enter(ts_ns, number, _OLD if is_old else 0)
        return None

    def cancel(self, ts_ns: int, number: int, lots: int | None, is_bid: bool | None, ticks: int | None) -> str | None:
        """Lots of an order go."""
        self.settle(ts_ns, but=number)
        order = self.orders.get(number)
        if order is None:
            return self._from_unknown(ts_ns, number, lots, is_bid, ticks, is_trade=False)
        gone = order.lots + order.told if lots is None else lots
        already = min(gone, order.told)
        order.told -= already
        self._take(ts_ns, number, min(gone - already, order.lots), Reason.BY_OWNER)
        return None

    def change(self, ts_ns: int, number: int, lots: int, is_bid: bool, ticks: int) -> str | None:
        """An order has a new size, or another price."""
        self.settle(ts_ns, but=number)
        order = self.orders.get(number)
        if order is None:
            return "change of an order that was never seen"
        order.told = 0
        if ticks == order.ticks and lots <= order.lots:
            self._take(ts_ns, number, order.lots - lots, Reason.BY_OWNER)
            return None
        self._take(ts_ns, number, order.lots, Reason.AMENDED)
        return self.add(ts_ns, number, is_bid, ticks, lots, is_old=False)

    def fill(self, ts_ns: int, number: int, lots: int, is_bid: bool, ticks: int, *, is_told: bool) -> str | None:
        """An order traded `lots`."""
        order = self.orders.get(number)
        if order is None:
            return self._from_unknown(ts_ns, number, lots, is_bid, ticks, is_trade=True)
        lots = min(lots, order.lots)
        if lots < 1:
            return None
        if not order.is_in:  # it came in and took: the makers' fills tell the trade
            order.lots -= lots
            if order.lots == 0:
                self._forget(number)
            return None
        taker = next((each for each in self._incoming if self.orders[each].is_bid != order.is_bid), NO_ORDER)
        order.lots -= lots
        if is_told:
            order.told += lots
        self._lessen(order.is_bid, order.ticks, lots)
        self.batch.add(
            ts_ns,
            self.index,
            _TRADE,
            order.ticks,
            lots,
            side=int(order.is_bid),
            order_id=taker,
            contra_id=number,
            leaves=order.lots,
        )
        if order.lots == 0 and not order.told:
            del self.orders[number]
        return None

    def clear(self, ts_ns: int) -> None:
        """The book begins anew."""
        self.orders.clear()
        self._unknown.clear()
        self._incoming.clear()
        self.levels = ({}, {})
        self.batch.add(ts_ns, self.index, int(EventKind.CLEAR), 0, 0, flags=_SNAPSHOT)

    def compare(self, ts_ns: int, sides: tuple[dict[int, int], dict[int, int]]) -> None:
        """Sets the book right by the venue's own best levels, and counts how right it was."""
        self.settle(ts_ns, is_end=True)
        for side, told in enumerate(sides):
            is_bid = side == 0
            if not told:
                continue
            ours = self.levels[side]
            worst = min(told) if is_bid else max(told)
            within = {ticks for ticks in ours if (ticks >= worst if is_bid else ticks <= worst)}
            if self._has_levels:
                self.compared += len(told)
                self.equal += sum(ours.get(ticks) == lots for ticks, lots in told.items())
            for ticks in sorted(within | set(told)):
                self._set_right(ts_ns, is_bid, ticks, told.get(ticks, 0))
        self._has_levels = True

    def settle(self, ts_ns: int, but: int = NO_ORDER, *, is_end: bool = False) -> None:
        """Incoming orders that meet nobody any more, or have waited too long, rest; at an end all do."""
        for number in list(self._incoming):
            order = self.orders[number]
            best = self._best(not order.is_bid)
            meets = best is not None and (best <= order.ticks if order.is_bid else best >= order.ticks)
            if number != but and (is_end or not meets or ts_ns - order.since_ns >= PATIENCE_NS):
                self._incoming.remove(number)
                self._enter(ts_ns, number, 0)

    def _best(self, is_bid: bool) -> int | None:
        side = self.levels[0 if is_bid else 1]
        if not side:
            return None
        return max(side) if is_bid else min(side)

    def _enter(self, ts_ns: int, number: int, flags: int) -> None:
        order = self.orders[number]
        order.is_in = True
        side = self.levels[0 if order.is_bid else 1]
        side[order.ticks] = side.get(order.ticks, 0) + order.lots
        self.batch.add(
            ts_ns,
            self.index,
            _ADD,
            order.ticks,
            order.lots,
            side=int(not order.is_bid),
            order_id=number,
            leaves=order.lots,
            flags=flags,
        )

    def _take(self, ts_ns: int, number: int, lots: int, code: Reason, flags: int = 0) -> None:
        """Takes lots of an order out of the book."""
        order = self.orders[number]
        order.lots -= lots
        if order.is_in and lots > 0:
            self._lessen(order.is_bid, order.ticks, lots)
            self.batch.add(
                ts_ns, self.index, _CANCEL, order.ticks, lots,
                side=int(not order.is_bid), order_id=number, leaves=order.lots, flags=flags, code=int(code),
            )  # fmt: skip
        if order.lots == 0:
            self._forget(number)

    def _forget(self, number: int) -> None:
        order = self.orders.pop(number)
        if number >= UNKNOWN_ID:
            self._unknown.pop((order.is_bid, order.ticks), None)
        if number in self._incoming:
            self._incoming.remove(number)

    def _lessen(self, is_bid: bool, ticks: int, lots: int) -> None:
        side = self.levels[0 if is_bid else 1]
        left = side.get(ticks, 0) - lots
        if left > 0:
            side[ticks] = left
        else:
            side.pop(ticks, None)

    def _from_unknown(
        self, ts_ns: int, number: int, lots: int | None, is_bid: bool | None, ticks: int | None, *, is_trade: bool
    ) -> str | None:
        """A message about an order that was never seen takes its lots from those nobody told of at its price."""
        if is_bid is None or ticks is None or (is_bid, ticks) not in self._unknown:
            return "message about an order that was never seen"
        stands = self._unknown[is_bid, ticks]
        held = self.orders[stands].lots
        taken = held if lots is None else min(lots, held)
        if taken < 1:
            return "message about an order that was never seen"
        if is_trade:
            return self.fill(ts_ns, stands, taken, is_bid, ticks, is_told=False)
        self._take(ts_ns, stands, taken, Reason.BY_OWNER)
        return None

    def _set_right(self, ts_ns: int, is_bid: bool, ticks: int, lots: int) -> None:
        """Makes a level have the lots that the venue tells: unknown ones come, or go first, then known ones."""
        have = self.levels[0 if is_bid else 1].get(ticks, 0)
        stands = self._unknown.get((is_bid, ticks))
        if lots > have:
            if stands is not None:
                held = self.orders[stands].lots
                self._take(ts_ns, stands, held, Reason.NONE, _SNAPSHOT)
                lots += held
            self._next_unknown += 1
            self._unknown[is_bid, ticks] = self._next_unknown
            self.orders[self._next_unknown] = Order(is_bid, ticks, lots - have, ts_ns, False)
            self._enter(ts_ns, self._next_unknown, _OLD)
            return
        surplus = have - lots
        if surplus == 0:
            return
        numbers = [n for n, each in self.orders.items() if each.is_in and each.is_bid == is_bid and each.ticks == ticks]
        for number in sorted(numbers, key=lambda n: (n != stands, n)):
            taken = min(surplus, self.orders[number].lots)
            surplus -= taken
            if taken:
                self._take(ts_ns, number, taken, Reason.NONE, _SNAPSHOT)
