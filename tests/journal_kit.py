"""What the journal's tests share: batches to write, a venue that is cheap to have, and ops for a real one."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

from engine.contract import OP_DTYPE, OpFlag, OpKind, OrderType, Reference, Side, TimeInForce
from engine.journal import Journal, recover

CONFIG = bytes(range(32))
SECOND = 10**9


class ChainVenue:
    """Has the interface of `engine.venue.Venue` that a journal uses; its state is a hash over all ops, one by one."""

    def __init__(self):
        self.ops = 0
        self.state = bytes(32)

    def apply(self, ops):
        for op in ops:
            self.state = hashlib.sha256(self.state + op.tobytes()).digest()
        self.ops += len(ops)

    def snapshot(self):
        return self.ops.to_bytes(8, "little") + self.state

    def restore(self, snapshot):
        if len(snapshot) != 40:
            raise ValueError(f"{len(snapshot)} bytes, expected 40")
        self.ops, self.state = int.from_bytes(snapshot[:8], "little"), snapshot[8:]

    def state_hash(self):
        return int.from_bytes(self.state, "little")


def batch(start, count):
    ops = np.zeros(count, OP_DTYPE)
    ops["order_id"] = np.arange(start, start + count)
    ops["kind"] = OpKind.NEW
    return ops


def written(directory, *sizes, epoch=1):
    """Appends batches of these sizes; order ids run on from the ops that are there. Returns how many ops there are then."""
    with Journal.open(directory, CONFIG, "append", epoch) as journal:
        for size in sizes:
            journal.append(batch(journal.ops, size))
        return journal.ops


def content(journal, first_op=0):
    return b"".join(ops.tobytes() for ops in journal.batches(first_op))


def full_replay(directory, venue, config=CONFIG):
    """Applies every op of the journal to `venue`, whatever snapshots there are."""
    for ops in Journal.open(directory, config, "read").batches():
        venue.apply(ops)
    return venue


BLOCK = 256


def block(number, accounts=4, symbols=2):
    """OP_DTYPE [BLOCK]: the ops from number `number` * BLOCK on, of a market that needs no look at the venue."""
    rng = np.random.default_rng([11, number])
    ops = np.zeros(BLOCK, OP_DTYPE)
    ops["kind"] = rng.choice([OpKind.NEW, OpKind.CANCEL], BLOCK, p=[0.7, 0.3])
    ops["ts_ns"] = (number + 1) * SECOND + np.arange(BLOCK)
    new = ops["kind"] == OpKind.NEW
    ids = number * BLOCK + np.arange(1, BLOCK + 1)
    ops["order_id"] = np.where(new, ids, np.maximum(1, ids - rng.integers(1, 600, BLOCK)))
    ops["account"] = rng.integers(0, accounts, BLOCK)
    ops["symbol"] = rng.integers(0, symbols, BLOCK)
    ops["price"][new] = rng.integers(990, 1011, BLOCK)[new]
    ops["qty"][new] = rng.integers(1, 50, BLOCK)[new]
    ops["side"][new] = rng.choice([Side.BUY, Side.SELL], BLOCK)[new]
    # What outlives its block: stops, orders with an end, a dead-man timer, and at the end a mass quote that lacks a leg.
    stops = new & (rng.random(BLOCK) < 0.15)
    ops["order_type"][stops] = OrderType.STOP_MARKET
    ops["trigger"][stops] = np.where(ops["side"] == Side.BUY, 1006, 994)[stops]
    ops["price"][stops] = 0
    timed = new & ~stops & (rng.random(BLOCK) < 0.15)
    ops["tif"][timed] = TimeInForce.GTD
    ops["expire_s"][timed] = number + 1 + rng.integers(1, 5, BLOCK)[timed]
    ops[-2:] = np.zeros((), OP_DTYPE)
    ops["ts_ns"][-2:] = (number + 1) * SECOND + BLOCK
    ops[-2]["kind"], ops[-2]["account"], ops[-2]["symbol"], ops[-2]["qty"] = OpKind.DEAD_MAN, number % accounts, -1, 2 * SECOND
    ops[-1]["kind"], ops[-1]["order_id"], ops[-1]["flags"] = OpKind.QUOTE, 2**40 + number, OpFlag.MORE
    ops[-1]["price"], ops[-1]["qty"] = 980, 50
    for at in range(symbols):
        ops[at] = np.zeros((), OP_DTYPE)
        ops[at]["kind"], ops[at]["symbol"], ops[at]["code"] = OpKind.REFERENCE, at, Reference.INDEX
        ops[at]["price"] = int(rng.integers(990, 1011)) * 10**6
        ops[at]["ts_ns"] = (number + 1) * SECOND
    ops[symbols] = np.zeros((), OP_DTYPE)
    ops[symbols]["kind"], ops[symbols]["symbol"], ops[symbols]["ts_ns"] = OpKind.CLOCK, -1, (number + 1) * SECOND
    return ops


def real_venue():
    """The venue that `block` is for."""
    from engine.book import MEDIUM
    from engine.instruments import load_pack
    from engine.venue import Venue

    return Venue(load_pack("core"), ("BTC-PERP", "ETH-PERP"), 4, MEDIUM)


def run_venue(directory, epoch):
    """What a venue's process does: recovers, says where it stands, and goes on until it is killed. Says each flushed block."""
    venue = real_venue()
    with Journal.open(directory, CONFIG, "append", epoch) as journal:
        recover(journal, venue)
        print(venue.ops, f"{venue.state_hash():016x}", flush=True)
        while True:
            ops = block(venue.ops // BLOCK)
            journal.append(ops)
            journal.flush()
            venue.apply(ops)
            print(venue.ops, flush=True)
            if venue.ops // BLOCK % 8 == 0:
                journal.write_snapshot(venue)


if __name__ == "__main__":
    run_venue(Path(sys.argv[1]), int(sys.argv[2]))
