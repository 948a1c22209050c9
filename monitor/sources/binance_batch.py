"""Events under construction: lists of plain integers that become one EVENT_DTYPE array."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.contract import EVENT_DTYPE, MICRO, NO_ACCOUNT, EventFlag, EventKind, Reference
from monitor.sources.binance_depth import Change

# Plain integers: NumPy takes lists of them several times faster than lists of enum members.
_LEVEL: Final = int(EventKind.LEVEL)
_CLEAR: Final = int(EventKind.CLEAR)
_REFERENCE: Final = int(EventKind.REFERENCE)
_GAP: Final = int(EventKind.GAP)
_TWO_REFERENCES: Final = (_REFERENCE, _REFERENCE)
_BEST: Final = (int(Reference.BEST_BID), int(Reference.BEST_ASK))
_SNAPSHOT: Final = int(EventFlag.SNAPSHOT)


class EventBatch:
    """Events under construction, a list a column. `key` is 2 · price + side."""

    def __init__(self) -> None:
        self.ts_ns: list[int] = []
        self.symbol: list[int] = []
        self.kind: list[int] = []
        self.flags: list[int] = []
        self.code: list[int] = []
        self.key: list[int] = []
        self.qty: list[int] = []

    def add(self, ts_ns: int, symbol: int, kind: int, key: int = 0, qty: int = 0, flags: int = 0, code: int = 0) -> None:
        self.ts_ns.append(ts_ns)
        self.symbol.append(symbol)
        self.kind.append(kind)
        self.flags.append(flags)
        self.code.append(code)
        self.key.append(key)
        self.qty.append(qty)

    def add_quotes(self, ts_ns: int, symbol: int, bid: int, bid_lots: int, ask: int, ask_lots: int) -> None:
        """The best prices in ticks, as the venue itself reports them."""
        self.ts_ns += (ts_ns, ts_ns)
        self.symbol += (symbol, symbol)
        self.kind += _TWO_REFERENCES
        self.flags += (0, 0)
        self.code += _BEST
        self.key += (2 * MICRO * bid, 2 * MICRO * ask + 1)
        self.qty += (bid_lots, ask_lots)

    def add_change(self, ts_ns: int, symbol: int, change: Change) -> None:
        if change.gap:
            self.add(ts_ns, symbol, _GAP)
        if change.clear:
            self.add(ts_ns, symbol, _CLEAR, flags=_SNAPSHOT)
        n = len(change.keys)
        self.ts_ns += [ts_ns] * n
        self.symbol += [symbol] * n
        self.kind += [_LEVEL] * n
        self.flags += [_SNAPSHOT if quiet else 0 for quiet in change.quiet]
        self.code += [0] * n
        self.key += change.keys
        self.qty += change.lots

    def build(self, seq: int) -> np.ndarray:
        events = np.zeros(len(self.ts_ns), EVENT_DTYPE)
        events["ts_ns"] = self.ts_ns
        events["seq"] = np.arange(seq, seq + len(events))
        events["account"] = events["contra_account"] = NO_ACCOUNT
        key = np.array(self.key, np.int64)
        events["price"] = key >> 1
        events["side"] = key & 1
        events["qty"] = self.qty
        events["symbol"] = self.symbol
        events["kind"] = self.kind
        events["flags"] = self.flags
        events["code"] = self.code
        return events
