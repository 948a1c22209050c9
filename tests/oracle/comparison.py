"""Engine beside oracle, op by op: `python -m tests.oracle.comparison N SEED` compares a flow of N ops without pytest."""

from __future__ import annotations

import sys
from dataclasses import asdict

import numpy as np

from engine import book as visible
from engine.book import MEDIUM, BookStatus, Capacity, apply_events, new_books
from engine.contract import EVENT_DTYPE
from engine.market import Rules, Throttle, new_market, state_hash
from engine.matching import ROOM, process
from tests.oracle.flows import TINY, everything
from tests.oracle.naive_facts import Facts
from tests.oracle.naive_market import NO_RULES, NO_THROTTLE, NaiveMarket, NaiveRules, NaiveThrottle


class Comparison:
    """Both markets, the books rebuilt from the events alone, and the facts, for a flow that comes in parts."""

    def __init__(
        self,
        capacity: Capacity,
        *,
        room: int,
        symbols: int = 2,
        accounts: int = 6,
        rules: NaiveRules = NO_RULES,
        throttle: NaiveThrottle = NO_THROTTLE,
    ) -> None:
        """The engine gets an event buffer with `room` rows more than it needs at least."""
        self.oracle = NaiveMarket(symbols, accounts, capacity, rules, throttle)
        self.market = new_market(
            capacity, symbols=symbols, accounts=accounts, rules=Rules(**asdict(rules)), throttle=Throttle(**asdict(throttle))
        )
        self.buffer = np.zeros(ROOM + room, EVENT_DTYPE)
        # A refresh closes and opens a level of a rebuilt book, so its window may move where the market's does not.
        self.rebuilt = new_books(MEDIUM, symbols)
        self.facts = Facts([rules.self_trade] * symbols)

    def apply(self, ops: np.ndarray) -> np.ndarray:
        """All events of `ops`; AssertionError at the first op whose events or following state differ.

        The engine gets one op a call, and a buffer full of rubbish.
        """
        everything: list[tuple[int, ...]] = []
        ends = np.zeros(len(ops), np.int64)
        for i, row in enumerate(ops.tolist()):
            expected = self.oracle.apply(row)
            got: list[tuple[int, ...]] = []
            consumed = 0
            while not consumed:
                self.buffer.view(np.uint8)[:] = 0xAA
                consumed, written = process(self.market, ops[i : i + 1], self.buffer)
                got += self.buffer[:written].tolist()
            assert got == expected, f"op {i}: {row}"
            assert int(state_hash(self.market)) == self.oracle.state_hash(), f"state after op {i}: {row}"
            everything += got
            ends[i] = len(everything)
        events = np.array(everything, EVENT_DTYPE)
        self._check_rebuild(events)
        self.facts.check(ops, events, ends)
        return events

    def _check_rebuild(self, events: np.ndarray) -> None:
        """The events alone give the very books that they came from. Only times may differ: not every op has an event."""
        counts = np.zeros(len(BookStatus), np.int64)
        apply_events(self.rebuilt, events, counts)
        # UNKNOWN_SYMBOL: refused ops that were about none of the symbols.
        assert counts[[BookStatus.OK, BookStatus.NO_EFFECT, BookStatus.UNKNOWN_SYMBOL]].sum() == len(events)
        for symbol, (rebuilt, book) in enumerate(zip(self.rebuilt, self.market.books, strict=True)):
            rebuilt["ts_ns"] = book["ts_ns"]
            assert int(visible.state_hash(rebuilt)) == int(visible.state_hash(book)) == self.oracle.visible_hash(symbol)


if __name__ == "__main__":
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    flow = everything(count, seed, spread=30.0, jump=0.01)
    sys.stdout.write(f"{len(Comparison(TINY, room=2).apply(flow))} events agree\n")
