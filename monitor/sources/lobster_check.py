"""Compares the book rebuilt from a LOBSTER recording with the recording's own, after every message.

    python -m monitor.sources.lobster_check AMZN_2012-06-21_34200000_57600000_5.zip

The rebuilt book is `engine.book` fed with the source's events and nothing else. A message *determines* the next row of the
order book file where every level of that row was in view before it, or is the message's own work; `entered` counts the
others by level. It exits with 1 where a row differs or a message contradicts the files.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numba import njit

from engine.book import LARGE, MEDIUM, BookStatus, apply_event, new_books, top_levels
from monitor.sources import SourceError
from monitor.sources.files import find_members
from monitor.sources.lobster import MEDIUM_DEPTH, convert_day
from monitor.sources.lobster_files import Pair, find_pairs, read_day, tick_units
from monitor.sources.lobster_state import COUNTS_DTYPE


class Comparison(msgspec.Struct, frozen=True):
    """What the comparison of one symbol's day came to."""

    symbol: str
    day: str
    messages: int
    equal: int
    """Messages after which all levels of both sides equal the file's, prices and sizes."""
    determined: int
    """Messages whose row follows from the book before and the message alone."""
    entered_messages: int
    """Messages that brought a level into view with orders that no message told of."""
    entered_levels: int
    adopted: int
    """Cancels and executions of orders that no message told of."""
    unexplained: int
    """Messages that do not explain the next row though every level was in view."""
    first_difference: int
    """Number of the first message after which the books differ, 0 if none."""
    refused: int
    """Events the book refused."""

    @property
    def holds(self) -> bool:
        """Whether the books are equal after every message, and no message contradicts the files."""
        return self.equal == self.messages and not self.unexplained and not self.refused


def compare(pair: Pair) -> Comparison:
    """Rebuilds one pair's book and compares it with the order book file. Raises SourceError."""
    day = read_day(pair, tick_units(pair))
    counts = np.zeros(len(day.messages), COUNTS_DTYPE)
    capacity = MEDIUM if pair.depth <= MEDIUM_DEPTH else LARGE
    events = np.concatenate([batch for _, batch in convert_day(day, 0, counts, capacity, str(pair.messages))])
    equal = np.zeros(len(day.messages), np.bool_)
    refused = _compare(new_books(capacity, 1)[0], events, counts["ends"], day.books, equal)
    determined = (counts["entered"] == 0) & (counts["unexplained"] == 0)
    return Comparison(
        symbol=pair.symbol,
        day=pair.day,
        messages=len(day.messages),
        equal=int(equal.sum()),
        determined=int(determined.sum()),
        entered_messages=int(np.count_nonzero(counts["entered"])),
        entered_levels=int(counts["entered"].sum()),
        adopted=int(counts["adopted"].sum()),
        unexplained=int(np.count_nonzero(counts["unexplained"])),
        first_difference=0 if equal.all() else int(np.argmin(equal)) + 1,
        refused=int(refused),
    )


@njit(cache=True, nogil=True)
def _compare(book: Any, events: Any, ends: Any, rows: Any, equal: Any) -> int:
    depth = rows.shape[2]
    prices = np.zeros(depth, np.int64)
    lots = np.zeros(depth, np.int64)
    refused = 0
    done = 0
    for i in range(len(ends)):
        while done < ends[i]:
            if apply_event(book, events[done]) > _NO_EFFECT:
                refused += 1
            done += 1
        same = True
        for side in range(2):
            prices[:] = 0
            lots[:] = 0
            top_levels(book, side, depth, prices, lots)
            for j in range(depth):
                # Behind a full view the rebuilt book may hold proven orders, behind one with room it may not.
                same = same and prices[j] == rows[i, side, j, 0] and lots[j] == rows[i, side, j, 1]
        equal[i] = same
    return refused


_NO_EFFECT = int(BookStatus.NO_EFFECT)


def main(arguments: Sequence[str]) -> int:
    """Prints one comparison a pair; 0 where all hold, 1 where one does not, 2 where the input cannot be read."""
    try:
        results = [compare(pair) for pair in find_pairs(find_members([Path(argument) for argument in arguments]))]
    except SourceError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for r in results:
        print(
            f"{r.symbol} {r.day}: {r.messages} messages, rebuilt book equal to the file's after {r.equal}\n"
            f"  {r.determined} rows follow from the message alone\n"
            f"  {r.entered_messages} brought {r.entered_levels} levels into view with orders behind the view until then\n"
            f"  {r.adopted} cancels and executions are of orders never seen to enter\n"
            f"  {r.unexplained} messages do not explain their row; {r.refused} events the book refused"
        )
        if r.first_difference:
            print(f"  first difference after message {r.first_difference}")
    return 0 if all(r.holds for r in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
