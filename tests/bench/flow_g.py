"""Flow G, the op stream of the matching benchmark.

60% passive adds (distance from the opposite touch exponential with mean 12 ticks; one in ten of 8x size; 1 to 100 lots), 35%
cancels of a uniformly random live order, 5% marketable and fully filled, 1,000 accounts, about 4,000 resting, ids hashed over
63 bits.
"""

from __future__ import annotations

import numpy as np

from engine.contract import OP_DTYPE, OpKind, Side
from tests.bench.lean_book import LeanBook

ACCOUNTS = 1_000
START_PRICE = 1_000_000
_RESTING = 4_000
_MEAN_MAKERS = 5  # makers that an average marketable order uses up: the 60% added less the 35% cancelled, over 5%
_MEAN_LOTS = 50.5 * 1.7


def flow_g(n: int, seed: int = 7, symbol: int = 0) -> np.ndarray:
    """OP_DTYPE [n] of one symbol, a nanosecond apart."""
    rng = np.random.default_rng([seed, symbol])
    book = LeanBook()
    live: list[int] = []
    place: dict[int, int] = {}
    dice = rng.random(n)
    picks = rng.random(n)
    distances = rng.exponential(12.0, n).astype(np.int64) + 1
    lots = rng.integers(1, 101, n) * np.where(rng.random(n) < 0.1, 8, 1)
    accounts = rng.integers(0, ACCOUNTS, n)
    sides = rng.integers(0, 2, n)
    # An odd multiplier modulo 2**63 gives every number another one.
    ids = (np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15) + np.uint64(symbol)) >> np.uint64(1)
    owner: dict[int, int] = {}

    def drop(order_id: int) -> None:
        at = place.pop(order_id)
        last = live.pop()
        if last != order_id:
            live[at] = last
            place[last] = at

    ops = np.zeros(n, OP_DTYPE)
    for i, op in enumerate(ops):
        side = int(sides[i])
        op["ts_ns"] = i + 1
        op["symbol"] = symbol
        if dice[i] < 0.95 and (dice[i] < 0.60 or len(live) < _RESTING // 10):
            towards = 1 if side == Side.BUY else -1
            price = (book.touch(1 - side) or START_PRICE) - towards * int(distances[i])
            qty = int(lots[i])
        elif dice[i] < 0.95:
            order_id = live[int(picks[i] * len(live))]
            op["kind"], op["order_id"], op["account"] = OpKind.CANCEL, order_id, owner[order_id]
            book.cancel(order_id)
            drop(order_id)
            continue
        else:
            qty = 1 + int(picks[i] * 2 * _MEAN_MAKERS * _MEAN_LOTS * len(live) / _RESTING)
            qty = min(qty, book.lots[1 - side])
            if qty == 0:
                qty, price = int(lots[i]), START_PRICE
            else:
                price = abs(book.levels[1 - side].peekitem(-1)[0])
        order_id = int(ids[i])
        owner[order_id] = int(accounts[i])
        op["kind"], op["order_id"], op["account"], op["side"] = OpKind.NEW, order_id, accounts[i], side
        op["price"], op["qty"] = price, qty
        for maker, _, _ in book.add(order_id, side, price, qty):
            if maker not in book.orders:
                drop(maker)
        if order_id in book.orders:
            place[order_id] = len(live)
            live.append(order_id)
    return ops


def mixed_flow_g(n: int, symbols: int, seed: int = 7) -> np.ndarray:
    """OP_DTYPE [about n]: flow G in each of several symbols, shuffled together."""
    flows = [flow_g(n // symbols, seed, symbol) for symbol in range(symbols)]
    turns = np.random.default_rng(seed).permutation(np.repeat(np.arange(symbols), n // symbols))
    ops = np.zeros(len(turns), OP_DTYPE)
    for symbol, flow in enumerate(flows):
        ops[turns == symbol] = flow
    ops["ts_ns"] = np.arange(1, len(ops) + 1)
    return ops
