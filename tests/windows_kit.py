"""What tests of the windows share: two instruments, events in one line each, and rows as dictionaries."""

from __future__ import annotations

import math

from engine.book import MEDIUM
from engine.contract import EventFlag, EventKind, Reference
from engine.instruments import Instrument
from monitor.metrics.actors import MEASURES
from monitor.metrics.catalogue import METRIC_NAMES
from monitor.metrics.windows import WindowEngine
from monitor.sources import ALL_CAPABILITIES
from tests.oracle.event_streams import START_NS, events_of

INSTRUMENTS = (Instrument("ONE", "0.01", "1"), Instrument("TWO", "0.5", "0.001"))
ACCOUNTS = 5
SECOND = 1_000_000_000
MS = 1_000_000
L2 = ALL_CAPABILITIES - {"orders", "accounts", "ops"}
BUY, SELL = 0, 1

# MEDIUM is what the venue and LOBSTER use: a capacity of the tests' own would be compiled for them alone.
CAPACITY = MEDIUM


def new_engine(capabilities=ALL_CAPABILITIES, lateness_ns=0, step_ns=SECOND, accounts=ACCOUNTS, instruments=INSTRUMENTS):
    return WindowEngine(instruments, capabilities, CAPACITY, accounts, step_ns, lateness_ns)


def add(ms, order_id, side, price, lots, symbol=0, account=0, **more):
    return {"ts_ns": at(ms), "kind": EventKind.ADD, "order_id": order_id, "side": side, "price": price, "qty": lots} | {
        "symbol": symbol, "account": account, **more,
    }  # fmt: skip


def cancel(ms, order_id, side, price, lots, symbol=0, account=0, **more):
    return add(ms, order_id, side, price, lots, symbol, account) | {"kind": EventKind.CANCEL, **more}


def trade(ms, side, price, lots, maker_id=0, symbol=0, taker=1, maker=0, **more):
    return {"ts_ns": at(ms), "kind": EventKind.TRADE, "side": side, "price": price, "qty": lots, "symbol": symbol} | {
        "order_id": 10**9, "contra_order_id": maker_id, "account": taker, "contra_account": maker, **more,
    }  # fmt: skip


def level(ms, side, price, lots, symbol=0, **more):
    return {"ts_ns": at(ms), "kind": EventKind.LEVEL, "side": side, "price": price, "qty": lots, "symbol": symbol, **more}


def clock(ms):
    return {"ts_ns": at(ms), "kind": EventKind.CLOCK, "symbol": -1}


def clear(ms, symbol=0):
    return {"ts_ns": at(ms), "kind": EventKind.CLEAR, "symbol": symbol}


def reference(ms, code: Reference, value, symbol=0):
    return {"ts_ns": at(ms), "kind": EventKind.REFERENCE, "code": code, "price": value, "symbol": symbol}


def transfer(ms, account, micro):
    return {"ts_ns": at(ms), "kind": EventKind.TRANSFER, "symbol": -1, "account": account, "qty": micro}


def snapshot(event):
    return event | {"flags": EventFlag.SNAPSHOT}


def at(ms):
    return START_NS + round(ms * MS)


def rows_of(*blocks, symbol=0):
    """One dictionary a window: every metric by name, `window` counted from 1 at START_NS, and who did most of each measure."""
    out = []
    for block in blocks:
        for w in range(len(block.window_index) if block is not None else 0):
            row = dict(zip(METRIC_NAMES, block.values[w, symbol].tolist(), strict=True))
            row["window"] = int(block.window_index[w]) - START_NS // block.step_ns
            accounts, amounts, _ = (array[w, symbol].tolist() for array in block.actors)
            for measure, who, much in zip(MEASURES, accounts, amounts, strict=True):
                row[f"who_{measure}"] = {a: x for a, x in zip(who, much, strict=True) if a >= 0}
            out.append(row)
    return out


def measure(events, symbol=0, **options):
    """Rows of a whole stream."""
    engine = new_engine(**options)
    return rows_of(engine.push(events_of(events)), engine.finish(), symbol=symbol)


def missing(row, *names):
    return all(math.isnan(row[name]) for name in names)
