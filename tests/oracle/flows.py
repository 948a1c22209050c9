"""Seeded random flows for the comparison of engine and oracle, and a capacity small enough to fill up all the time.

`everything` has every instruction there is. A script (a bracket, a mass quote) takes some neighbouring rows of a flow of single
ops; now and then another script or a single op gets into it, which makes a broken one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.book import MAX_PRICE, MAX_QTY, Capacity
from engine.contract import MICRO, OP_DTYPE, OpFlag, OpKind, OrderType, Reference, Side, SymbolState, TimeInForce
from tests.oracle.naive_market import NO_RULES, NaiveRules

TINY = Capacity("tiny", ladder_ticks=64, orders=24, ids=64, far_levels=5, triggers=12)

START_PRICE = 20_000
LONGEST_STEP_NS = 20_000_000
SECOND_NS = 10**9
STUBS = (1, 2, 3, 19_999_999, MAX_PRICE)


def wandering_market(n: int, seed: int, *, spread: float, jump: float, symbols: int = 2, accounts: int = 4) -> np.ndarray:
    """OP_DTYPE [n]: limit, market, IOC and post-only orders and cancels in a market that wanders.

    It jumps with probability `jump` an op; orders lie about `spread` ticks deep. With stub quotes, tides of cancels, and some
    ops that are wrong.
    """
    flow = Flow(n, np.random.default_rng(seed), spread, jump, symbols, accounts, NO_RULES)
    flow.orders()
    flow.cancels(0.38 + 0.3 * np.sin(np.arange(n) / 700))
    flow.mistakes()
    return flow.ops


def everything(
    n: int,
    seed: int,
    *,
    spread: float,
    jump: float,
    symbols: int = 2,
    accounts: int = 6,
    rules: NaiveRules = NO_RULES,
    part: int = 0,
) -> np.ndarray:
    """OP_DTYPE [n] of every kind. Prices and lots are mostly multiples of the rules' steps.

    Parts 0, 1, 2, … of the same size make one long flow: each goes on where the last ended, with ids and times of its own.
    """
    flow = Flow(n, np.random.default_rng([seed, part]), spread, jump, symbols, accounts, rules, part)
    flow.orders()
    flow.conditional_orders()
    flow.details()
    flow.huge_orders()
    flow.pairs()
    flow.brackets()
    flow.mass_quotes()
    flow.cancels(0.3 + 0.2 * np.sin(np.arange(n) / 700))
    flow.amendments()
    flow.references()
    flow.ops_of_accounts()
    flow.states()
    flow.mistakes()
    return flow.ops


def parts_of(total: int, size: int, seed: int, **settings: object) -> Iterator[np.ndarray]:
    """`everything` in parts of `size` ops, `total` together."""
    for part in range(total // size):
        yield everything(size, seed, part=part, **settings)


class Flow:
    """A flow that is being made: `ops` is filled and overwritten by one method after the other."""

    def __init__(
        self, n: int, rng: np.random.Generator, spread: float, jump: float, symbols: int, accounts: int,
        rules: NaiveRules, part: int = 0,
    ) -> None:  # fmt: skip
        self.n, self.rng, self.spread = n, rng, spread
        self.symbols, self.accounts, self.rules = symbols, accounts, rules
        self.ops = ops = np.zeros(n, OP_DTYPE)
        steps = np.where(rng.random(n) < 0.5, rng.integers(0, LONGEST_STEP_NS, n), rng.integers(0, 3, n))
        ops["ts_ns"] = part * n * LONGEST_STEP_NS + np.cumsum(steps) + 1
        self.free = np.ones(n, bool)
        """Rows that no script has taken."""
        self.ids = (part * n + rng.permutation(n)) * 0x1_0001 + 1
        self.middle = START_PRICE + np.cumsum(rng.normal(0, 0.3, n) + np.where(self.sometimes(jump), rng.normal(0, 300, n), 0))

    def sometimes(self, probability: float | np.ndarray) -> np.ndarray:
        return self.rng.random(self.n) < probability

    def singles(self, probability: float | np.ndarray) -> np.ndarray:
        """Rows for single ops, few of them within a script."""
        return np.flatnonzero(self.sometimes(probability) & (self.free | self.sometimes(0.04)))

    def starts(self, probability: float, length: int) -> np.ndarray:
        """Rows at which a script of `length` rows begins."""
        return np.flatnonzero(self.sometimes(probability)[: self.n - length])

    def blank(self, rows: np.ndarray, kind: OpKind, **fields: object) -> None:
        """Rows become ops of `kind` with nothing but their time and `fields`."""
        times = self.ops["ts_ns"][rows]
        self.ops[rows] = np.zeros(1, OP_DTYPE)
        self.ops["ts_ns"][rows] = times
        self.ops["kind"][rows] = kind
        for name, values in fields.items():
            self.ops[name][rows] = values

    def ticks(self, prices: np.ndarray) -> np.ndarray:
        """Prices of the market's step, at least one."""
        step = self.rules.price_step
        return np.maximum(prices // step, 1).astype(np.int64) * step

    def lots(self, quantities: np.ndarray) -> np.ndarray:
        return quantities * self.rules.lot_step

    def depth(self, n: int) -> np.ndarray:
        """How far from the middle orders lie: about a third of them beyond it."""
        return self.rng.exponential(self.spread, n) - self.spread / 3

    def victims(self, rows: np.ndarray) -> np.ndarray:
        """For each of `rows` an order before it, rather a late one, which may rest or wait."""
        ops = self.ops
        lasting = np.isin(ops["kind"], (OpKind.NEW, OpKind.QUOTE)) & (ops["order_type"] != OrderType.MARKET)
        lasting &= (ops["tif"] == TimeInForce.GTC) | (ops["tif"] == TimeInForce.GTD)
        lasting[rows] = False
        candidates = np.flatnonzero(lasting)
        back = self.rng.exponential(15, len(rows)).astype(np.int64)
        return ops[candidates[np.maximum(np.searchsorted(candidates, rows) - 1 - back, 0)]]

    def limit_prices(self, rows: np.ndarray) -> np.ndarray:
        away = np.where(self.ops["side"][rows] == Side.BUY, -1, 1)
        return self.ticks(self.middle[rows] + away * self.depth(len(rows)))

    def orders(self) -> None:
        n, rng, ops = self.n, self.rng, self.ops
        self.blank(
            np.arange(n),
            OpKind.NEW,
            order_id=self.ids,
            account=rng.integers(0, self.accounts, n),
            symbol=rng.integers(0, self.symbols, n),
            side=rng.integers(0, 2, n),
            qty=self.lots(rng.integers(1, 20, n)),
        )
        ops["price"] = self.limit_prices(np.arange(n))
        stubs = self.sometimes(0.01)
        ops["price"][stubs] = rng.choice(STUBS, stubs.sum())
        ops["qty"][self.sometimes(0.01)] *= 40
        ops["flags"][self.sometimes(0.1)] = OpFlag.POST_ONLY
        ops["tif"][self.sometimes(0.1) & (ops["flags"] == 0)] = TimeInForce.IOC
        market = self.sometimes(0.04) & (ops["flags"] == 0)
        ops["order_type"][market] = OrderType.MARKET
        ops["price"][market] = 0

    def cancels(self, probability: np.ndarray) -> None:
        rows = self.singles(probability)
        victims = self.victims(rows)
        fields = {name: victims[name] for name in ("order_id", "account", "symbol")}
        self.blank(rows, OpKind.CANCEL, **fields)

    def conditional_orders(self) -> None:
        rows = np.flatnonzero(self.sometimes(0.2))
        self.ops["flags"][rows] = 0
        self.ops["tif"][rows] = 0
        self.condition(rows, self.rng.integers(OrderType.STOP_LIMIT, OrderType.TRAILING_STOP + 1, len(rows)))

    def condition(self, rows: np.ndarray, order_type: np.ndarray) -> None:
        """Rows of orders get this conditional type, and a trigger that the market has not reached, as a rule."""
        ops, rng, k = self.ops, self.rng, len(rows)
        stop = (order_type == OrderType.STOP_LIMIT) | (order_type == OrderType.STOP_MARKET)
        above = np.where((ops["side"][rows] == Side.BUY) == stop, 1, -1)
        trigger = self.ticks(self.middle[rows] + above * (rng.exponential(self.spread, k) / 2 + 1 - 4 * (rng.random(k) < 0.05)))
        bound = np.where(rng.random(k) < 0.3, self.limit_prices(rows), 0)
        with_limit = (order_type == OrderType.STOP_LIMIT) | (order_type == OrderType.TAKE_PROFIT_LIMIT)
        price = np.where(with_limit, self.limit_prices(rows), bound)
        # A distance of some ticks or, as far, of some basis points of the starting price.
        trailing = order_type == OrderType.TRAILING_STOP
        distance = rng.exponential(self.spread, k) / (START_PRICE / 10_000 if self.rules.trailing_in_bps else 1) + 1
        ops["order_type"][rows] = order_type
        ops["price"][rows] = np.where(trailing, distance.astype(np.int64), price)
        ops["trigger"][rows] = np.where(trailing & (rng.random(k) < 0.6), 0, trigger)
        ops["code"][rows] = rng.integers(0, Reference.LAST + 1, k)

    def details(self) -> None:
        """Times in force, reduce-only, icebergs and self-trade modes, where they are allowed."""
        ops, rng, n = self.ops, self.rng, self.n
        order_type = ops["order_type"]
        plain = (ops["flags"] == 0) & (ops["tif"] == 0)
        ops["stp"] = np.where(self.sometimes(0.5), rng.integers(0, 6, n), 0)
        ops["flags"][(ops["flags"] == OpFlag.POST_ONLY) & self.sometimes(0.4)] |= int(OpFlag.SLIDE)
        ops["tif"][plain & self.sometimes(0.12)] = TimeInForce.FOK
        timed = (ops["tif"] == 0) & (order_type != OrderType.MARKET) & self.sometimes(0.2)
        ops["tif"][timed] = TimeInForce.GTD
        ops["expire_s"][timed] = ops["ts_ns"][timed] // SECOND_NS + rng.integers(1, 5, timed.sum())
        ops["flags"][plain & self.sometimes(0.15)] = OpFlag.REDUCE_ONLY
        closing = plain & np.isin(order_type, (1, 3, 5, 6)) & self.sometimes(0.25)
        ops["flags"][closing] = OpFlag.CLOSE_POSITION
        ops["qty"][closing] = 0
        rests = (ops["tif"] == TimeInForce.GTC) | (ops["tif"] == TimeInForce.GTD)
        icebergs = (order_type == OrderType.LIMIT) & rests & (ops["flags"] == 0) & self.sometimes(0.2)
        ops["display"][icebergs] = np.maximum(ops["qty"][icebergs] // rng.integers(1, 7, icebergs.sum()), 1)
        ops["display"][icebergs] -= ops["display"][icebergs] % self.rules.lot_step

    def follow(self, rows: np.ndarray, leaders: np.ndarray) -> None:
        """Orders are linked to the order of another row, and are of the same account and symbol."""
        for name in ("account", "symbol"):
            self.ops[name][rows] = self.ops[name][leaders]
        self.ops["link"][rows] = self.ops["order_id"][leaders]

    def pairs(self) -> None:
        """One cancels the other: an order linked to a conditional one before it, or a conditional one to any."""
        conditional = self.ops["order_type"] >= OrderType.STOP_LIMIT
        rows = self.starts(0.05, 10)
        followers = rows + self.rng.integers(1, 10, len(rows))
        good = conditional[rows] | conditional[followers] | (self.rng.random(len(rows)) < 0.1)
        self.follow(followers[good], rows[good])

    def amendments(self) -> None:
        ops, rng = self.ops, self.rng
        rows = self.singles(0.12)
        k = len(rows)
        victims = self.victims(rows)
        self.blank(rows, OpKind.AMEND, **{name: victims[name] for name in ("order_id", "account", "symbol", "side")})
        prices, quantities = self.limit_prices(rows), self.lots(rng.integers(1, 20, k))
        ops["side"][rows] = 0
        conditional = victims["order_type"] >= OrderType.STOP_LIMIT
        ops["price"][rows] = np.where(rng.random(k) < 0.4, prices, 0)
        ops["qty"][rows] = np.where(rng.random(k) < 0.5, quantities, 0)
        near = self.ticks(victims["trigger"] + rng.integers(-5, 6, k))
        ops["trigger"][rows] = np.where(rng.random(k) < np.where(conditional, 0.5, 0.02), near, 0)

    def brackets(self) -> None:
        """Take-profit and stop (both DORMANT), then their entry, now and then after an exit was amended or cancelled."""
        ops, rng = self.ops, self.rng
        rows = self.starts(0.012, 6)
        k = len(rows)
        side = rng.integers(0, 2, k)
        common = {"account": rng.integers(0, self.accounts, k), "symbol": rng.integers(0, self.symbols, k)}
        quantity = self.lots(rng.integers(1, 20, k))
        closes = rng.random((2, k)) < 0.3
        for at, types in enumerate(((4, 5, 6), (2, 3, 6))):
            exits = rows + at
            self.blank(exits, OpKind.NEW, order_id=self.ids[exits], side=1 - side, qty=quantity, **common)
            self.condition(exits, rng.choice(types, k))
            closing = closes[at] & (ops["price"][exits] == 0)
            ops["flags"][exits] = OpFlag.DORMANT | np.where(closing, OpFlag.CLOSE_POSITION, OpFlag.REDUCE_ONLY)
            ops["qty"][exits[closing]] = 0
        ops["link"][rows + 1] = ops["order_id"][rows]
        entries = rows + 2 + rng.integers(0, 3, k)
        self.blank(entries, OpKind.NEW, order_id=self.ids[entries], side=side, qty=quantity, **common)
        ops["price"][entries] = self.limit_prices(entries)
        ops["tif"][entries[rng.random(k) < 0.15]] = TimeInForce.IOC
        stops = entries[rng.random(k) < 0.2]
        self.condition(stops, np.full(len(stops), int(OrderType.STOP_MARKET)))
        ops["link"][entries] = ops["order_id"][rows + rng.integers(0, 2, k)]
        for taken in (rows, rows + 1, entries):
            self.free[taken] = False

        late = rows[(entries > rows + 2) & (rng.random(k) < 0.4)]
        exits = ops[late + rng.integers(0, 2, len(late))]
        fields = {name: exits[name] for name in ("order_id", "account", "symbol")}
        self.blank(late + 2, OpKind.AMEND, trigger=exits["trigger"] + 1, **fields)
        ended = late[rng.random(len(late)) < 0.3] + 2
        ops["kind"][ended] = OpKind.CANCEL
        ops["trigger"][ended] = 0

    def references(self) -> None:
        """Index and mark follow the middle."""
        rows = self.singles(0.08)
        values = (self.middle[rows] + self.rng.normal(0, self.spread / 4 + 1, len(rows))) * MICRO
        self.blank(
            rows,
            OpKind.REFERENCE,
            symbol=self.rng.integers(0, self.symbols, len(rows)),
            code=self.rng.integers(Reference.INDEX, Reference.MARK + 1, len(rows)),
            price=np.maximum(values, 1).astype(np.int64),
        )

    def huge_orders(self) -> None:
        """Quantities near the limit, for what passes 63 bits: most of them far away, some that fire and sweep a side."""
        ops, rng = self.ops, self.rng
        new = ops["kind"] == OpKind.NEW
        far = new & self.sometimes(0.02) & (ops["order_type"] == OrderType.LIMIT) & (ops["flags"] == 0)
        ops["price"][far] = np.where(ops["side"][far] == Side.BUY, 1, MAX_PRICE)
        ops["qty"][far] = MAX_QTY - rng.integers(0, 800, far.sum())
        ops["tif"][far] = np.where(rng.random(far.sum()) < 0.05, TimeInForce.GTC, TimeInForce.IOC)
        ops["display"][far] = ops["expire_s"][far] = 0
        fires = new & self.sometimes(0.04) & (ops["order_type"] >= OrderType.STOP_LIMIT)
        fires &= (ops["flags"] & (OpFlag.CLOSE_POSITION | OpFlag.DORMANT)) == 0
        ops["qty"][fires] = MAX_QTY - rng.integers(0, 2_500, fires.sum())

    def mass_quotes(self) -> None:
        """Groups of one to four legs, some longer than a group may be, some with another op between their legs."""
        ops, rng = self.ops, self.rng
        rows = self.starts(0.008, 80)
        lengths = np.where(rng.random(len(rows)) < 0.02, rng.integers(30, 36, len(rows)), rng.integers(1, 5, len(rows)))
        strides = np.where(rng.random(len(rows)) < 0.85, 1, 2)
        makers = rng.integers(0, max(self.accounts // 2, 1), len(rows))
        symbols = rng.integers(0, self.symbols, len(rows))
        group = np.repeat(np.arange(len(rows)), lengths)
        number = np.arange(len(group)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        legs = rows[group] + number * strides[group]
        self.free[legs] = False
        k = len(legs)
        self.blank(
            legs,
            OpKind.QUOTE,
            order_id=self.ids[legs],
            account=makers[group],
            symbol=symbols[group],
            side=number % 2,
            qty=np.where(rng.random(k) < 0.05, 0, self.lots(rng.integers(1, 20, k))),
            stp=np.where(rng.random(k) < 0.3, rng.integers(0, 6, k), 0),
        )
        ops["price"][legs] = self.limit_prices(legs)
        more = np.where((number < lengths[group] - 1) | (rng.random(k) < 0.02), OpFlag.MORE, 0)
        ops["flags"][legs] = more | rng.choice([0, 0, OpFlag.POST_ONLY, OpFlag.POST_ONLY | OpFlag.SLIDE], k)

    def ops_of_accounts(self) -> None:
        rng = self.rng
        for kind, probability in {
            OpKind.CANCEL_ALL: 0.003,
            OpKind.CONNECT: 0.003,
            OpKind.DISCONNECT: 0.0015,
            OpKind.DEAD_MAN: 0.0015,
            OpKind.CLOCK: 0.02,
        }.items():
            rows = self.singles(probability)
            k = len(rows)
            self.blank(rows, kind, symbol=-1, account=rng.integers(0, self.accounts, k))
            if kind == OpKind.CANCEL_ALL:
                self.ops["symbol"][rows] = rng.integers(-1, self.symbols, k)
            elif kind == OpKind.CONNECT:
                self.ops["flags"][rows] = np.where(rng.random(k) < 0.7, OpFlag.CANCEL_ON_DISCONNECT, 0)
            elif kind == OpKind.DEAD_MAN:
                self.ops["qty"][rows] = np.where(rng.random(k) < 0.2, 0, rng.integers(1, 2 * SECOND_NS, k))

    def states(self) -> None:
        """A symbol leaves OPEN and comes back after a while, now and then by way of another state."""
        rng = self.rng
        rows = self.starts(0.003, 160)
        k = len(rows)
        symbols = rng.integers(0, self.symbols, k)
        auction = rng.random(k) < 0.6
        first = np.where(auction, SymbolState.AUCTION, rng.integers(0, len(SymbolState), k))
        lasts = np.where(auction, rng.integers(20, 80, k), rng.integers(1, 30, k))
        self.blank(rows, OpKind.STATE, symbol=symbols, code=first)
        then = rows + lasts
        # Orders that cross, whichever symbol they are for.
        change = np.zeros(self.n, np.int64)
        change[rows[auction]] += 1
        change[then[auction]] -= 1
        crossing = (np.cumsum(change) > 0) & (self.ops["kind"] == OpKind.NEW) & (self.ops["order_type"] == OrderType.LIMIT)
        towards = np.where(self.ops["side"][crossing] == Side.BUY, 1, -1) * rng.random(crossing.sum())
        self.ops["price"][crossing] = self.ticks(self.middle[crossing] + towards * self.spread)
        detour = rng.random(k) < 0.2
        self.blank(then[detour], OpKind.STATE, symbol=symbols[detour], code=rng.integers(1, len(SymbolState), detour.sum()))
        self.blank(then + 10 * detour, OpKind.STATE, symbol=symbols, code=SymbolState.OPEN)

    def mistakes(self) -> None:
        """Other accounts' orders, ids twice, times that go back, prices and lots between the steps, fields out of range."""
        ops, rng = self.ops, self.rng
        ops["account"][self.sometimes(0.005)] += 1
        twice = np.flatnonzero(self.sometimes(0.005))[1:]
        ops["order_id"][twice] = ops["order_id"][twice - rng.integers(1, 2, len(twice))]
        ops["ts_ns"][self.sometimes(0.002)] -= 2
        if self.rules.price_step > 1:
            ops["price"][self.sometimes(0.003)] += 1
        if self.rules.lot_step > 1:
            ops["qty"][self.sometimes(0.003)] += 1
        for name, values in {
            "symbol": (-1, self.symbols), "side": (1, 2), "tif": (1, 2, 3, 4), "order_type": (1, 2, 6, 7), "stp": (5, 6),
            "flags": (1, 2, 4, 8, 16, 32, 64, 128, 31), "kind": (0, 2, 3, 5, 6, 7, 11, 13), "code": (1, 4, 5),
            "display": (1, -1), "link": (1, -1), "expire_s": (1, 2**32 - 1), "trigger": (1, -1), "order_id": (0, -1),
            "account": (-1, self.accounts), "price": (-1, 0, MAX_PRICE + 1, 2**62), "qty": (0, -1, 2**62),
        }.items():  # fmt: skip
            rows = np.flatnonzero(self.sometimes(0.0005))
            ops[name][rows] = rng.choice(values, len(rows))
