"""Events of orders under construction: lists of plain integers that become one EVENT_DTYPE array."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.contract import EVENT_DTYPE, NO_ACCOUNT, NO_ORDER

_COLUMNS: Final = ("ts_ns", "symbol", "kind", "price", "qty", "side", "order_id", "contra_order_id", "leaves", "flags", "code")


class OrderBatch:
    """A row an event."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, ...]] = []

    def add(
        self,
        ts_ns: int,
        symbol: int,
        kind: int,
        ticks: int,
        lots: int,
        *,
        side: int = 0,
        order_id: int = NO_ORDER,
        contra_id: int = NO_ORDER,
        leaves: int = 0,
        flags: int = 0,
        code: int = 0,
    ) -> None:
        self.rows.append((ts_ns, symbol, kind, ticks, lots, side, order_id, contra_id, leaves, flags, code))

    def build(self, seq: int) -> np.ndarray:
        """The events, numbered from `seq`; the batch is empty afterwards."""
        events = np.zeros(len(self.rows), EVENT_DTYPE)
        if self.rows:
            for name, column in zip(_COLUMNS, zip(*self.rows, strict=True), strict=True):
                events[name] = column
        events["seq"] = np.arange(seq, seq + len(events))
        events["account"] = events["contra_account"] = NO_ACCOUNT
        self.rows.clear()
        return events
