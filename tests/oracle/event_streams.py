"""Random event streams for the windows: mostly sensible, and in every way a feed can be odd. All decided by one seed."""

from __future__ import annotations

import numpy as np

from engine.contract import EVENT_DTYPE, EventFlag, EventKind, Reason, Reference

START_NS = 1_700_000_000_000_000_000
HOUR = 3_600_000_000_000


def events_of(rows):
    """EVENT_DTYPE from dictionaries of fields; what is not given is 0, and -1 for accounts."""
    events = np.zeros(len(rows), EVENT_DTYPE)
    events["account"] = events["contra_account"] = -1
    for event, row in zip(events, rows, strict=True):
        for name, value in row.items():
            event[name] = value
    events["seq"] = np.arange(1, len(rows) + 1)
    return events


def times_of(rng, n, mean_ns, lateness_ns):
    """Arrival by arrival: exponential steps, a few late by more or less than allowed, now and then a gap or a wrong clock."""
    now = START_NS + int(rng.integers(0, 10**9))
    out = []
    for _ in range(n):
        now += int(rng.exponential(mean_ns))
        odd = rng.random()
        if odd < 0.004:
            now += int(rng.integers(3, 6)) * HOUR // 2
        if odd > 0.995:
            out.append(
                now + int(rng.choice([-rng.integers(3 * HOUR), rng.integers(10**10), rng.integers(2 * HOUR, 48 * HOUR)]))
            )
        elif odd > 0.9:
            out.append(now - int(rng.integers(0, 2 * lateness_ns + 10**7)))
        elif odd > 0.85:
            out.append(now // 10**8 * 10**8)
        else:
            out.append(now)
    return out


def order_stream(seed, n=250, symbols=2, accounts=5, mean_ns=30_000_000, lateness_ns=0):
    """An order-by-order feed with accounts: every kind of event, orders that are unknown, doubled or over-filled."""
    rng = np.random.default_rng(seed)
    rows, live = [], [dict() for _ in range(symbols)]
    mid = [1_000 + 700 * s for s in range(symbols)]
    next_id = 1
    priced = {}  # time of a symbol's first trade: nobody has a position before
    for i, ts in enumerate(times_of(rng, n, mean_ns, lateness_ns)):
        s = int(rng.integers(symbols))
        side, lots, account = int(rng.integers(2)), int(rng.integers(1, 20)), int(rng.integers(-1, accounts + 1))
        mid[s] = max(100, mid[s] + int(rng.integers(-2, 3)))
        price = mid[s] + (-1 if side == 0 else 1) * int(rng.integers(-1, 12))
        event = {"ts_ns": ts, "symbol": s, "side": side, "price": price, "qty": lots, "account": account}
        kind = rng.choice(
            [
                "add",
                "cancel",
                "trade",
                "reject",
                "reference",
                "transfer",
                "clock",
                "gap",
                "clear",
                "done",
                "empty",
                "stranger",
                "assign",
                "standing",
                "ledger",
            ],
            p=[0.41, 0.2, 0.15, 0.02, 0.06, 0.02, 0.03, 0.01, 0.005, 0.01, 0.025, 0.01, 0.02, 0.02, 0.01],
        )
        if rng.random() < 0.03:
            event["flags"] = EventFlag.SNAPSHOT | (EventFlag.UNDATED if rng.random() < 0.5 else 0)
        if kind == "add" or i < 12:
            if not (live[s] and rng.random() < 0.02):
                next_id += 1
            event |= {"kind": EventKind.ADD, "order_id": next_id}
            live[s].setdefault(next_id, (side, price, lots, account))
        elif kind in ("cancel", "trade") and live[s]:
            order_id = int(rng.choice(list(live[s])))
            side, price, held, owner = live[s][order_id]
            lots = held if rng.random() < 0.6 else int(rng.integers(1, held + 3))
            if lots >= held:
                del live[s][order_id]
            else:
                live[s][order_id] = (side, price, held - lots, owner)
            event |= {"price": price, "qty": lots, "order_id": order_id, "side": side, "account": owner}
            event["kind"] = EventKind.CANCEL
            event["code"] = int(rng.choice([Reason.BY_OWNER, Reason.AMENDED, Reason.REPLACED]))
            if kind == "trade":
                event |= {"kind": EventKind.TRADE, "order_id": 10**6 + i, "contra_order_id": order_id, "side": 1 - side}
                event |= {"account": account, "contra_account": owner}
                event["code"] = 0
                priced.setdefault(s, ts)
                if rng.random() < 0.1:
                    event["flags"] = EventFlag.HIDDEN
                if rng.random() < 0.2:
                    event["flags"] = event.get("flags", 0) | EventFlag.LIQUIDATION
        elif kind == "reject":
            event["kind"] = EventKind.REJECT
            event["code"] = int(rng.choice([Reason.BAD_PRICE, Reason.THROTTLED, Reason.BANNED]))
        elif kind == "assign" and ts > priced.get(s, 2**62) + 2 * lateness_ns:
            event |= {"kind": EventKind.ASSIGN, "contra_account": int(rng.integers(accounts)), "leaves": lots * price * 7}
            event["code"] = int(rng.choice([Reason.TAKEOVER, Reason.DELEVERAGED, Reason.DELISTED]))
        elif kind == "standing":
            event |= {"kind": EventKind.STANDING, "symbol": int(rng.choice([-1, -1, -1, s])), "code": int(rng.integers(6))}
        elif kind == "reference":
            code = Reference(int(rng.integers(1, 9)))
            value = {Reference.FUNDING_RATE: int(rng.integers(-(10**6), 10**6)), Reference.OPEN_INTEREST: 500 + lots}
            event |= {
                "kind": EventKind.REFERENCE,
                "code": code,
                "price": value.get(code, mid[s] * 10**6 + int(rng.integers(10**6))),
            }
        elif kind == "transfer":
            event |= {"kind": EventKind.TRANSFER, "symbol": -1, "qty": int(rng.integers(-(10**6), 4 * 10**6))}
        elif kind == "ledger":
            event |= {"kind": EventKind.LEDGER, "symbol": -1, "code": int(rng.integers(1, 8))}
            event |= {"qty": int(rng.integers(-(10**6), 10**6))}
        elif kind == "clock":
            event |= {"kind": EventKind.CLOCK, "symbol": -1}
        elif kind == "gap":
            event |= {"kind": EventKind.GAP, "symbol": int(rng.integers(-1, symbols))}
        elif kind == "clear":
            event |= {"kind": EventKind.CLEAR, "flags": 0}
            live[s].clear()
        elif kind == "empty" and live[s]:
            # The side leaves all at once: a blow-out.
            for order_id in [o for o, order in live[s].items() if order[0] == side]:
                _, price, held, owner = live[s].pop(order_id)
                gone = {"ts_ns": ts, "symbol": s, "kind": EventKind.CANCEL, "order_id": order_id}
                rows.append(gone | {"side": side, "price": price, "qty": held, "account": owner})
            continue
        elif kind == "stranger":
            event |= {"kind": EventKind.CANCEL, "order_id": 10**9 + i, "symbol": int(rng.integers(symbols + 1))}
        else:
            event |= {"kind": EventKind.STATE, "code": int(rng.integers(5))} if i % 2 else {"kind": EventKind.DONE}
        rows.append(event)
    return events_of(rows)


def level_stream(seed, n=250, symbols=2, mean_ns=30_000_000, lateness_ns=0):
    """An aggregated feed: levels, and trades before, after or without their level's update."""
    rng = np.random.default_rng(seed)
    rows, shown = [], [dict() for _ in range(symbols)]
    for ts in times_of(rng, n, mean_ns, lateness_ns):
        s, side = int(rng.integers(symbols)), int(rng.integers(2))
        price = 1_000 + (-1 if side == 0 else 1) * int(rng.integers(0, 9))
        old = shown[s].get((side, price), 0)
        base = {"ts_ns": ts, "symbol": s, "price": price}
        odd = rng.random()
        if odd < 0.3 and old:
            traded = int(rng.integers(1, old + 1))
            left = old - traded if rng.random() < 0.7 else int(rng.integers(0, 30))
            pair = [
                base | {"kind": EventKind.TRADE, "side": 1 - side, "qty": traded},
                base | {"kind": EventKind.LEVEL, "side": side, "qty": left},
            ]
            if rng.random() < 0.5:
                pair.reverse()
            pair[1]["ts_ns"] += int(rng.integers(0, 400_000_000)) if rng.random() < 0.3 else 0
            shown[s][side, price] = left
            rows += pair
        elif odd < 0.33:
            rows.append(base | {"kind": EventKind.CLOCK, "symbol": -1})
        elif odd < 0.34:
            rows.append(base | {"kind": EventKind.CLEAR})
            shown[s].clear()
        elif odd < 0.4:
            rows.append(base | {"kind": EventKind.REFERENCE, "code": int(rng.integers(1, 9)), "price": price * 10**6})
        else:
            lots = int(rng.integers(0, 30))
            shown[s][side, price] = lots
            flags = EventFlag.SNAPSHOT if rng.random() < 0.05 else 0
            rows.append(base | {"kind": EventKind.LEVEL, "side": side, "qty": lots, "flags": flags})
    return events_of(rows)
