"""Engine beside oracle, op by op: `python -m tests.oracle.comparison N SEED` compares a flow of N ops without pytest."""

from __future__ import annotations

import sys

import numpy as np

from engine.book import BookStatus, Capacity, apply_events, new_books, state_hash
from engine.contract import EVENT_DTYPE, EventKind, Side
from engine.matching import process
from tests.oracle.flows import TINY, wandering_market
from tests.oracle.naive_book import NaiveBook, NaiveVenue


def compare(ops: np.ndarray, capacity: Capacity, *, buffer: int, symbols: int) -> np.ndarray:
    """All events of `ops`; AssertionError at the first op whose events or following state differ.

    The engine gets an event buffer of `buffer` rows, full of rubbish, and one op a call.
    """
    venue = NaiveVenue([NaiveBook(capacity.ladder_ticks, capacity.orders, capacity.far_levels) for _ in range(symbols)])
    books = new_books(capacity, symbols)
    events = np.zeros(buffer, EVENT_DTYPE)
    everything: list[tuple[int, ...]] = []
    for i, row in enumerate(ops.tolist()):
        expected = venue.apply(row)
        got: list[tuple[int, ...]] = []
        consumed = 0
        while not consumed:
            events.view(np.uint8)[:] = 0xAA
            consumed, written = process(books, ops[i : i + 1], events, 1 + len(everything) + len(got))
            got += events[:written].tolist()
        assert got == expected, f"op {i}: {row}"
        symbol = row[5]
        if 0 <= symbol < symbols:
            assert int(state_hash(books[symbol])) == venue.books[symbol].state_hash(), f"state after op {i}: {row}"
        everything += got
    all_events = np.array(everything, EVENT_DTYPE)
    check_rebuild(all_events, books, new_books(capacity, symbols))
    return all_events


def check_rebuild(events: np.ndarray, books: np.ndarray, rebuilt: np.ndarray) -> None:
    """The events alone, applied to the empty `rebuilt`, give the very books that they came from."""
    counts = np.zeros(len(BookStatus), np.int64)
    apply_events(rebuilt, events, counts)
    assert counts[BookStatus.OK] + counts[BookStatus.NO_EFFECT] == len(events)
    assert [int(state_hash(book)) for book in rebuilt] == [int(state_hash(book)) for book in books]


def check_facts(ops: np.ndarray, events: np.ndarray) -> None:
    """What must hold of the events whoever made them: sequence, conservation, price-time priority, one terminal event an op."""
    assert (events["seq"] == np.arange(1, len(events) + 1)).all()
    resting: dict[tuple[int, int], list[int]] = {}  # (symbol, id) -> [side, price, left, place in time]
    terminal = 0
    traded = 0
    for e in events:
        symbol, side, price, qty, leaves = (int(e[name]) for name in ("symbol", "side", "price", "qty", "leaves"))
        kind = int(e["kind"])
        if kind == EventKind.TRADE:
            maker = resting[symbol, int(e["contra_order_id"])]
            others = [o for (s, _), o in resting.items() if s == symbol and o[0] == 1 - side and o is not maker]
            sign = 1 if maker[0] == Side.BUY else -1
            assert maker[:2] == [1 - side, price]
            assert all((o[1] * sign, -o[3]) < (price * sign, -maker[3]) for o in others)
            assert 0 < qty == maker[2] - leaves
            assert leaves >= 0
            maker[2] = leaves
            traded += qty
            if not leaves:
                del resting[symbol, int(e["contra_order_id"])]
            continue
        op = ops[terminal]
        terminal += 1
        if kind == EventKind.ADD:
            assert qty == leaves == op["qty"] - traded > 0
            resting[symbol, int(e["order_id"])] = [side, price, qty, int(e["seq"])]
            bids = [o[1] for (s, _), o in resting.items() if s == symbol and o[0] == Side.BUY]
            asks = [o[1] for (s, _), o in resting.items() if s == symbol and o[0] == Side.SELL]
            assert not bids or not asks or max(bids) < min(asks)
        elif kind == EventKind.DONE:
            assert (qty, leaves) == (traded, op["qty"] - traded)
        elif kind == EventKind.CANCEL:
            assert resting.pop((symbol, int(e["order_id"])))[2] == qty
        else:
            assert kind == EventKind.REJECT
            assert not traded
        traded = 0
    assert terminal == len(ops)


if __name__ == "__main__":
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    flow = wandering_market(count, seed, spread=30.0, jump=0.01)
    sys.stdout.write(f"{len(compare(flow, TINY, buffer=2, symbols=2))} events agree\n")
