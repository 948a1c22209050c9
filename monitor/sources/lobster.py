"""LOBSTER recordings (NASDAQ, order by order) as a source: zips or csv pairs, several symbols and days in one run.

What the events mean: submissions are ADD, partial and total deletions CANCEL, visible executions TRADE with the maker's id,
hidden executions and crosses TRADE with the flag HIDDEN; where such a price lies between two ticks the TRADE carries the
nearest (half a tick goes toward the side of the resting order) and a REFERENCE LAST the exact one. Halts move the clock
only; the notes tell them. Accounts are unknown.

Limits, which come with the data: a file of N levels tells nothing of what happens behind the N-th, so the rebuilt book
holds what `monitor.sources.lobster_kernel` can prove and no more; `monitor.sources.lobster_check` compares it with the
file's own book after every message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import numpy as np

from engine.book import LARGE, MEDIUM, Capacity
from engine.contract import EVENT_DTYPE, NO_ACCOUNT, EventKind
from engine.instruments import Instrument
from monitor.config import STEP_NS
from monitor.sources import Capability, Label, SourceError
from monitor.sources.files import Member
from monitor.sources.lobster_files import UNITS_OF_A_CENT, Day, Pair, find_pairs, read_day, tick_units
from monitor.sources.lobster_kernel import convert, room_for_one, seed
from monitor.sources.lobster_state import COUNTS_DTYPE, HALT_MESSAGE, new_output, new_state, written
from monitor.sources.merge import merge_by_time

BATCH: Final = 2**15
"""Events of a batch, unless one message needs more."""

MEDIUM_DEPTH: Final = 50
"""Up to so many levels in view a medium book holds what a file can prove, even with some hundred orders at every level."""


class LobsterSource:
    """One or more LOBSTER days. Days follow each other; the symbols of a day are merged by time."""

    step_ns = STEP_NS
    lateness_ns = 0
    accounts = 0
    capabilities: frozenset[Capability] = frozenset(("book", "orders", "trades"))
    total_hint: int | None = None

    def __init__(self, members: Sequence[Member]) -> None:
        """Looks at names and first rows only. Raises SourceError."""
        self._pairs = find_pairs(members)
        self._tick_units = {pair: tick_units(pair) for pair in self._pairs}
        self.instruments = _instruments(self._tick_units)
        self._index = {instrument.symbol: k for k, instrument in enumerate(self.instruments)}
        self.capacity: Capacity = MEDIUM if max(pair.depth for pair in self._pairs) <= MEDIUM_DEPTH else LARGE
        self.rejects: Counter[str] = Counter()
        self.notes: list[str] = []
        self._converted = {pair: 0.0 for pair in self._pairs}

    @property
    def progress(self) -> float:
        """Fraction of the input read so far, each pair of files counting alike."""
        return sum(self._converted.values()) / len(self._pairs)

    def labels(self) -> Sequence[Label]:
        """A recording knows no truth about itself."""
        return ()

    def batches(self) -> Iterator[np.ndarray]:
        """EVENT_DTYPE batches in order of time, each symbol's day beginning with a CLEAR and each day ending with a CLOCK."""
        seq = 1
        for _, pairs_of_day in groupby(self._pairs, lambda pair: pair.day):
            pairs = list(pairs_of_day)
            last_ns = 0
            for batch in merge_by_time([self._convert(pair) for pair in pairs]):
                batch["seq"] = np.arange(seq, seq + len(batch))
                seq += len(batch)
                last_ns = int(batch["ts_ns"][-1])
                yield batch
            end = np.zeros(1, EVENT_DTYPE)
            end["ts_ns"] = max(last_ns, *(pair.end_ns for pair in pairs))
            end["seq"] = seq
            end["kind"] = EventKind.CLOCK
            end["symbol"] = end["account"] = end["contra_account"] = NO_ACCOUNT
            seq += 1
            yield end

    def _convert(self, pair: Pair) -> Iterator[np.ndarray]:
        day = read_day(pair, self._tick_units[pair])
        counts = np.zeros(len(day.messages), COUNTS_DTYPE)
        for done, events in convert_day(day, self._index[pair.symbol], counts, self.capacity, str(pair.messages)):
            self._converted[pair] = done / len(day.messages)
            yield events
        if day.unusable:
            self.rejects["cross without price or size"] += day.unusable
        self.notes += _notes(pair, day, counts)


def convert_day(day: Day, symbol: int, counts: np.ndarray, capacity: Capacity, where: str) -> Iterator[tuple[int, np.ndarray]]:
    """(messages done, EVENT_DTYPE batch) until the day is done; the first batch enters the book before the first message.

    Raises:
        SourceError: more orders rest at once than a book of `capacity` holds.
    """
    state = new_state(day.messages, day.ids, day.levels, day.books.shape[2])
    out = new_output(np.zeros(max(BATCH, room_for_one(state)), EVENT_DTYPE), counts, symbol)
    seed(state, out, day.messages[0], day.books[0])
    yield 0, written(out)
    done = 0
    while done < len(day.messages):
        before = done
        done = convert(state, out, day.messages, day.books, done)
        if done == before:
            out = new_output(np.zeros(2 * room_for_one(state), EVENT_DTYPE), counts, symbol)
            continue
        # Unknown orders in view come on top of those that the state counts.
        if state.totals[0]["peak"] + state.shown[0].size > capacity.orders:
            raise SourceError(f"more than {capacity.orders} orders rest at once, which no book here holds", where)
        yield done, written(out)


def _instruments(ticks: dict[Pair, int]) -> tuple[Instrument, ...]:
    found: dict[str, Instrument] = {}
    for pair, tick in ticks.items():
        size = "0.01" if tick == UNITS_OF_A_CENT else "0.0001"
        try:
            instrument = Instrument(symbol=pair.symbol, tick_size=size, lot_size="1")
        except ValueError as error:
            raise SourceError(f"the symbol in the name cannot be used ({error})", str(pair.messages)) from error
        if found.setdefault(pair.symbol, instrument) != instrument:
            raise SourceError(
                f"{pair.symbol} has a tick of {size} here and another one on another day",
                str(pair.messages),
                "Replay the days apart",
            )
    return tuple(found.values())


def _notes(pair: Pair, day: Day, counts: np.ndarray) -> list[str]:
    name = f"{pair.symbol} {pair.day}"
    total = len(day.messages)
    entered, adopted = int(counts["entered"].sum()), int(counts["adopted"].sum())
    notes = [
        f"{name}: {total} messages; {entered} times a level came into view with orders no message told of, so nothing is known"
        f" of the book behind level {pair.depth}",
        f"{name}: {adopted} cancels and executions are of orders never seen to enter; their age is unknown",
    ]
    if unexplained := int(np.count_nonzero(counts["unexplained"])):
        line = int(np.flatnonzero(counts["unexplained"])[0]) + 1
        notes.append(
            f"{name}: {unexplained} messages do not explain the order book file's next row (the first is message {line});"
            " the book was set to the file's"
        )
    if halts := int(np.count_nonzero(day.messages["type"] == HALT_MESSAGE)):
        notes.append(f"{name}: trading was halted or resumed by {halts} messages")
    return notes
