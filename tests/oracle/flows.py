"""Seeded random flows for the comparison of engine and oracle, and a capacity small enough to fill up all the time."""

from __future__ import annotations

import numpy as np

from engine.book import MAX_PRICE, Capacity
from engine.contract import OP_DTYPE, OpFlag, OpKind, OrderType, Side, TimeInForce

TINY = Capacity("tiny", ladder_ticks=64, orders=24, ids=64, far_levels=5)


def wandering_market(n: int, seed: int, *, spread: float, jump: float, symbols: int = 2) -> np.ndarray:
    """OP_DTYPE [n] of a market that wanders, and jumps with probability `jump` an op; orders lie about `spread` ticks deep.

    With stub quotes, tides of cancels, and some ops of each kind that are wrong: other accounts' orders, ids twice, times
    that go back, fields outside the contract.
    """
    rng = np.random.default_rng(seed)

    def sometimes(probability: float) -> np.ndarray:
        return rng.random(n) < probability

    ops = np.zeros(n, OP_DTYPE)
    ops["ts_ns"] = np.cumsum(rng.integers(0, 3, n)) + 1
    ops["kind"] = OpKind.NEW
    ops["order_id"] = rng.permutation(n) * 0x1_0001 + 1
    ops["account"] = rng.integers(0, 4, n)
    ops["symbol"] = rng.integers(0, symbols, n)
    ops["side"] = rng.integers(0, 2, n)
    middle = 20_000 + np.cumsum(rng.normal(0, 0.3, n) + np.where(sometimes(jump), rng.normal(0, 300, n), 0))
    away = np.where(ops["side"] == Side.BUY, -1, 1)
    ops["price"] = np.maximum(middle + away * (rng.exponential(spread, n) - spread / 3), 1)
    stubs = sometimes(0.01)
    ops["price"][stubs] = rng.choice([1, 2, 3, 19_999_999, MAX_PRICE], stubs.sum())
    ops["qty"] = rng.integers(1, 20, n)
    ops["qty"][sometimes(0.01)] *= 40
    ops["flags"][sometimes(0.1)] = OpFlag.POST_ONLY
    ops["tif"][sometimes(0.1) & (ops["flags"] == 0)] = TimeInForce.IOC
    market = sometimes(0.04) & (ops["flags"] == 0)
    ops["order_type"][market] = OrderType.MARKET
    ops["price"][market] = 0

    tide = 0.38 + 0.3 * np.sin(np.arange(n) / 700)
    cancels = np.flatnonzero(rng.random(n) < tide)
    cancels = cancels[cancels > 200]
    victims = ops[cancels - rng.integers(1, 200, len(cancels))]
    times = ops["ts_ns"][cancels]
    ops[cancels] = np.zeros(1, OP_DTYPE)
    ops["ts_ns"][cancels] = times
    ops["kind"][cancels] = OpKind.CANCEL
    for name in ("order_id", "account", "symbol"):
        ops[name][cancels] = victims[name]

    ops["account"][sometimes(0.005)] += 1
    twice = np.flatnonzero(sometimes(0.005))[1:]
    ops["order_id"][twice] = ops["order_id"][twice - 1]
    ops["ts_ns"][sometimes(0.002)] -= 2
    for name, value in {
        "symbol": symbols, "side": 2, "tif": 2, "order_type": 2, "flags": 2, "kind": 9, "code": 1, "reserved": 1,
        "order_id": 0, "account": -1, "price": -1, "qty": 0,
    }.items():  # fmt: skip
        ops[name][sometimes(0.0005)] = value
    return ops
