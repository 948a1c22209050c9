"""The metrics of `monitor.metrics` once more, slowly: dictionaries, sorting and scanning, written from the catalogue's words.

Shares the codes of the contract and the names of the columns and measures with the real thing, and nothing else.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter

from engine.contract import AccountLevel, EventFlag, EventKind, LedgerLine, Reason, Reference
from monitor.metrics.actors import MEASURES
from monitor.metrics.catalogue import CATALOGUE, METRIC_NAMES

HOUR = 3_600_000_000_000
MICRO = 1_000_000
ORDER_FLOW = (EventKind.ADD, EventKind.CANCEL, EventKind.TRADE, EventKind.LEVEL, EventKind.REJECT)


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values) if values else math.nan


def log_bps(price, base):
    return 1e4 * math.log(price / base) if price and base and price > 0 and base > 0 else math.nan


class Side:
    """One side of a book: price → lots, from single orders or from aggregated levels."""

    def __init__(self):
        self.levels = Counter()

    def put(self, price, lots):
        self.levels[price] += lots
        if not self.levels[price]:
            del self.levels[price]


class Symbol:
    """One symbol's book, references and the open window's record."""

    def __init__(self, instrument):
        self.tick = float(instrument.tick_size)
        self.unit = instrument.notional_micro / 1e6
        self.micro = instrument.notional_micro
        self.orders = {}
        self.sides = (Side(), Side())
        self.known = False
        self.mid = None
        self.touched = None
        self.references = {}
        self.prints = {}
        self.drops = {}
        self.usual = None
        self.usual_history = []
        self.previous_price = self.previous_sample = self.previous_interest = None
        self.slope = []
        self.volumes = (0, 0, 0)
        self.bucket = None
        self.shares = []
        self.fallen = [None, None]
        self.filled, self.refused = {}, {}
        self.states = [(0, 0)]
        self.begin()

    def begin(self):
        self.count = Counter()
        self.lives = []
        self.cancel_times = []
        self.did = {measure: Counter() for measure in MEASURES}
        self.assigned = Counter()
        self.stretches = []
        self.samples = []
        self.returns = []
        self.ofi = 0
        self.refills = []
        self.lags = []
        self.values = Counter()
        self.touched_accounts = set()

    def best(self, side):
        levels = self.sides[side].levels
        if not levels:
            return None
        price = max(levels) if side == 0 else min(levels)
        return price, levels[price]

    def two_sided(self):
        return self.known and self.best(0) is not None and self.best(1) is not None

    def walk(self, side, lots_wanted):
        """Cost over mid in bps of taking so many (fractional) lots from `side`."""
        levels = sorted(self.sides[side].levels.items(), reverse=side == 0)
        if not levels:
            return 10_000.0
        if lots_wanted == 0:
            return 0.0
        left, paid = lots_wanted, 0.0
        for price, lots in levels:
            took = min(left, lots)
            paid, left = paid + took * price, left - took
        farthest = levels[-1][0]
        if side == 0:
            paid += left * max(farthest - max(self.mid - farthest, 0), 0)
            over = 1 - paid / (lots_wanted * self.mid)
        else:
            paid += left * (farthest + max(farthest - self.mid, 0))
            over = paid / (lots_wanted * self.mid) - 1
        return min(max(1e4 * over, 0.0), 10_000.0)

    def sample(self):
        if self.two_sided():
            if self.previous_sample:
                self.returns.append(math.log(self.mid / self.previous_sample))
            self.previous_sample = self.mid
        if not self.known:
            return
        five, near, near_levels = [], [], 0
        for side in range(2):
            levels = sorted(self.sides[side].levels.items(), reverse=side == 0)
            five.append(sum(price * lots for price, lots in levels[:5]))
            inside = [
                (price, lots)
                for price, lots in levels
                if (price >= self.mid * (1 - 10e-4) if side == 0 else price <= self.mid * (1 + 10e-4))
            ]
            near.append(sum(price * lots for price, lots in inside))
            near_levels += len(inside)
        if not self.usual:
            self.usual = sum(five) / 2
        for side in range(2):
            self.watch(side, five[side])
        size = self.usual / self.mid
        self.samples.append(
            (*five, *near, near_levels, self.walk(1, size), self.walk(0, size), self.walk(1, 2 * size), self.walk(0, 2 * size))
        )

    def watch(self, side, value):
        """Resilience: a fall is (usual depth then, lowest since, samples since)."""
        if self.fallen[side] is None:
            if value < 0.5 * self.usual:
                self.fallen[side] = (self.usual, value, 1)
            return
        usual, lowest, samples = self.fallen[side]
        if value >= 0.5 * (lowest + usual):
            self.refills.append(samples)
            self.fallen[side] = None
        else:
            self.fallen[side] = (usual, min(lowest, value), samples + 1)

    def fill_buckets(self, side, lots):
        for _ in range(lots):
            if self.bucket is None:
                return
            self.bucket[1 + side] += 1
            if self.bucket[1] + self.bucket[2] == self.bucket[0]:
                self.shares.append(abs(self.bucket[1] - self.bucket[2]) / self.bucket[0])
                self.open_bucket()

    def open_bucket(self):
        total, weight = self.usual_volume
        self.bucket = [math.ceil(10 * total / weight), 0, 0]

    def spread(self):
        bid, ask = self.best(0), self.best(1)
        if bid is None or ask is None:
            return 20_000.0
        return max(1e4 * (ask[0] - bid[0]) / ((ask[0] + bid[0]) / 2), 0.0)

    def crossed(self):
        bid, ask = self.best(0), self.best(1)
        return bid is not None and ask is not None and bid[0] >= ask[0]


class NaiveMetrics:
    """Feed events one by one; `rows` collects (window index, one dictionary a symbol, what each account did by measure)."""

    def __init__(self, instruments, capabilities, accounts, step_ns, lateness_ns):
        self.symbols = [Symbol(instrument) for instrument in instruments]
        self.capabilities = capabilities
        self.step = step_ns
        self.lateness = lateness_ns
        self.accounts = accounts if "accounts" in capabilities else 0
        self.cash = [0] * self.accounts
        self.levels = Counter()
        self.equity, self.notional = {}, {}
        self.money = Counter()
        self.positions = [Counter() for _ in instruments]
        self.opening = [Counter() for _ in instruments]
        self.newest = None
        self.held = None
        self.waiting = []
        self.arrivals = 0
        self.window = None
        self.samples_taken = 0
        self.busy = False
        self.late = self.skipped = self.wrong = 0
        self.rows = []

    # ---- time ----

    def push(self, event):
        event = dict(zip(event.dtype.names, event.item(), strict=True))
        ts = event["ts_ns"]
        if self.held is not None:
            held, self.held = self.held, None
            if self.newest is None:
                believed = held["ts_ns"] - ts <= HOUR
                self.newest = held["ts_ns"] if believed else ts
            else:
                believed = ts - self.newest > HOUR
                if believed:
                    self.jump(self.newest, held["ts_ns"] - self.lateness)
                    self.newest = held["ts_ns"]
            if not believed:
                self.wrong += 1
                held["ts_ns"] = self.newest
            self.arrive(held)
        if self.newest is None or ts - self.newest > HOUR:
            self.held = event
        else:
            self.newest = max(self.newest, ts)
            self.arrive(event)

    def jump(self, old, mark):
        """Nothing happened between `old` and `mark`, where the watermark is now."""
        if mark // self.step > old // self.step:
            self.release(old)
            if mark // self.step > old // self.step + 1:
                self.close()
                self.skipped += mark // self.step - old // self.step - 1
                self.open(mark // self.step + 1)

    def arrive(self, event):
        self.arrivals += 1
        mark = self.newest - self.lateness
        self.waiting.append((max(event["ts_ns"], mark), self.arrivals, event))
        self.release(mark)

    def release(self, mark):
        for time, _, event in sorted(entry for entry in self.waiting if entry[0] <= mark):
            self.apply(time, event)
        self.waiting = [entry for entry in self.waiting if entry[0] > mark]
        if self.window is not None:
            self.advance(mark)

    def finish(self):
        if self.held is not None:
            if self.newest is None:
                self.newest = self.held["ts_ns"]
            else:
                self.wrong += 1
                self.held["ts_ns"] = self.newest
            event, self.held = self.held, None
            self.arrive(event)
        if self.newest is not None:
            self.release(self.newest)
            if self.busy:
                self.close()

    def advance(self, time):
        target = time // self.step + 1
        while self.window < target:
            self.close()
            self.window += 1
        while self.samples_taken < 10 and (self.window - 1) * self.step + (self.samples_taken + 1) * self.step // 10 <= time:
            self.sample()

    def open(self, window):
        self.window = window
        for symbol in self.symbols:
            symbol.since = (window - 1) * self.step
            symbol.previous_price = symbol.previous_sample = symbol.previous_interest = None
            symbol.fallen = [None, None]

    def sample(self):
        self.samples_taken += 1
        for symbol in self.symbols:
            symbol.sample()

    # ---- events ----

    def apply(self, time, event):
        if self.window is None:
            self.open(time // self.step + 1)
        self.advance(time)
        kind, s = event["kind"], event["symbol"]
        if kind == EventKind.CLOCK:
            return
        self.busy = True
        late = event["ts_ns"] < (self.window - 1) * self.step
        self.late += late
        if kind == EventKind.TRANSFER:
            if 0 <= event["account"] < self.accounts:
                self.cash[event["account"]] += event["qty"]
                self.money[event["account"], "in" if event["qty"] > 0 else "out"] += abs(event["qty"])
            return
        if kind == EventKind.LEDGER:
            if 0 <= event["account"] < self.accounts:
                self.cash[event["account"]] += event["qty"]
                self.money[event["account"], LedgerLine(event["code"])] += event["qty"]
            return
        if kind == EventKind.STANDING:
            if s == -1:
                self.levels[event["account"]] = AccountLevel(event["code"])
            return
        if kind == EventKind.GAP and s == -1:
            for symbol in self.symbols:
                symbol.count["gaps"] += 1
            return
        if not 0 <= s < len(self.symbols):
            return
        symbol = self.symbols[s]
        symbol.count["late"] += late
        snapshot = bool(event["flags"] & EventFlag.SNAPSHOT)
        counts = not late and not snapshot
        if kind == EventKind.GAP:
            symbol.count["gaps"] += 1
        if kind == EventKind.STATE:
            symbol.states.append((time, event["code"]))
        if kind == EventKind.REFERENCE and event["code"] == Reference.FEED_LAG:
            symbol.lags.append(event["price"])
        elif kind == EventKind.REFERENCE:
            self.refer(symbol, Reference(event["code"]), event["price"], event["ts_ns"])
        if counts and kind in ORDER_FLOW:
            symbol.count["messages"] += 1
        if counts and kind == EventKind.REJECT:
            symbol.count["rejects"] += 1
            symbol.count["throttled"] += Reason(event["code"]) in (Reason.THROTTLED, Reason.BANNED)
            if 0 <= event["account"] < self.accounts:
                symbol.count["retries"] += time - symbol.refused.get(event["account"], -math.inf) <= 1e9
                symbol.refused[event["account"]] = time
                symbol.did["rejects"][event["account"]] += 1
        if kind == EventKind.ASSIGN:
            self.assign(symbol, s, event, late)
        if kind == EventKind.TRADE and not snapshot:
            self.trade(symbol, s, event, counts, time)
        orders = "orders" in self.capabilities
        if kind in (EventKind.ADD, EventKind.CANCEL, EventKind.LEVEL, EventKind.CLEAR) or (
            kind == EventKind.TRADE and orders and not event["flags"] & EventFlag.HIDDEN
        ):
            self.change(symbol, event, counts, time)

    def refer(self, symbol, code, value, ts):
        if code not in symbol.references or ts >= symbol.references[code][1]:
            symbol.references[code] = (value, ts)

    def trade(self, symbol, s, event, counts, time):
        lots, price, side = event["qty"], event["price"], event["side"]
        if counts:
            symbol.count["trades"] += 1
            symbol.count["traded_lots"] += lots
            symbol.count["signed_lots"] += lots if side == 0 else -lots
            symbol.fill_buckets(side, lots)
            if event["flags"] & EventFlag.LIQUIDATION:
                symbol.count["liquidations"] += 1
                symbol.count["liquidated_lots"] += lots
                symbol.values["short" if side == 0 else "long"] += lots * price
            if 0 <= event["account"] < self.accounts:
                symbol.did["taken_lots"][event["account"]] += lots
                if event["flags"] & EventFlag.LIQUIDATION:
                    symbol.did["forced_lots"][event["account"]] += lots
        self.refer(symbol, Reference.LAST, price * MICRO, event["ts_ns"])
        if "orders" not in self.capabilities and not event["flags"] & EventFlag.HIDDEN:
            self.explain(symbol, (1 - side, price), lots, time)
        for account, bought in ((event["account"], side == 0), (event["contra_account"], side == 1)):
            if 0 <= account < self.accounts:
                if counts:
                    symbol.filled[account, bought] = time
                signed = lots if bought else -lots
                symbol.touched_accounts.add(account)
                self.positions[s][account] += signed
                self.cash[account] -= signed * price * symbol.micro

    def assign(self, symbol, s, event, late):
        if not late and event["code"] == Reason.TAKEOVER:
            symbol.count["takeovers"] += 1
            if 0 <= event["contra_account"] < self.accounts:
                symbol.did["forced_lots"][event["contra_account"]] += event["qty"]
        if not late and event["code"] == Reason.DELEVERAGED:
            symbol.count["deleveraged_lots"] += event["qty"]
        lots = event["qty"] if event["side"] == 0 else -event["qty"]
        for account, sign in ((event["account"], 1), (event["contra_account"], -1)):
            if 0 <= account < self.accounts:
                symbol.assigned[account] += 0 if late else event["qty"]
                symbol.touched_accounts.add(account)
                self.positions[s][account] += sign * lots
                self.cash[account] -= sign * event["leaves"]

    def explain(self, symbol, level, lots, time):
        drop = symbol.drops.get(level)
        if drop and time - drop["time"] <= 250_000_000:
            taken = min(lots, drop["lots"])
            drop["lots"] -= taken
            lots -= taken
            if drop["window"] == self.window:
                symbol.count["cancelled_lots"] -= taken
                if drop["lots"] == 0 and taken:
                    symbol.count["cancels"] -= 1
                    symbol.cancel_times.remove(drop["time"])
                    symbol.count["cancels_buy"] -= level[0] == 0
                    symbol.count["cancels_near"] -= drop["near"]
        if lots:
            symbol.prints.setdefault(level, []).append((time, lots))

    def change(self, symbol, event, counts, time):
        kind, side, price, lots = event["kind"], event["side"], event["price"], event["qty"]
        before = symbol.best(0), symbol.best(1)
        was_known = symbol.known
        spread, crossed = (symbol.spread(), symbol.crossed()) if was_known else (None, False)
        near = symbol.mid is not None and abs(price - symbol.mid) <= 10e-4 * symbol.mid
        if kind == EventKind.ADD:
            if counts:
                symbol.count["adds"] += 1
                symbol.count["added_lots"] += lots
            if event["order_id"] not in symbol.orders:
                entered_ns = None if event["flags"] & EventFlag.UNDATED else event["ts_ns"]
                owner = event["account"] if 0 <= event["account"] < self.accounts else None
                symbol.orders[event["order_id"]] = [side, price, lots, entered_ns, owner]
                symbol.sides[side].put(price, lots)
        elif kind == EventKind.CANCEL:
            order = symbol.orders.get(event["order_id"])
            if counts:
                self.count_cancel(symbol, side, lots, near, time)
                symbol.count["replaces"] += Reason(event["code"]) in (Reason.AMENDED, Reason.REPLACED)
                if 0 <= event["account"] < self.accounts:
                    symbol.did["cancels"][event["account"]] += 1
                    symbol.did["near_cancelled_lots"][event["account"]] += lots * near
                    bought = side == 1  # the other side's fill
                    symbol.count["after_fill"] += time - symbol.filled.get((event["account"], bought), -math.inf) <= 1e9
                if order and order[3] is not None:
                    life = max(event["ts_ns"] - order[3], 0)
                    symbol.count["fleeting"] += life < 100_000_000
                    symbol.count["slow_fleeting"] += life < 2_000_000_000
                    if 0 <= event["account"] < self.accounts:
                        symbol.did["slow_fleeting_cancels"][event["account"]] += life < 2_000_000_000
                    if lots >= order[2]:
                        symbol.lives.append(life)
            self.reduce(symbol, event["order_id"], lots)
        elif kind == EventKind.TRADE:
            self.reduce(symbol, event["contra_order_id"], lots)
        elif kind == EventKind.LEVEL:
            self.level(symbol, side, price, lots, near, counts, time)
        elif kind == EventKind.CLEAR:
            symbol.orders.clear()
            symbol.sides = (Side(), Side())
            symbol.known = False
        symbol.touched = time
        after = symbol.best(0), symbol.best(1)
        if before != after or kind == EventKind.CLEAR:
            if was_known:
                symbol.stretches.append((time - symbol.since, spread, crossed))
            symbol.since = time
        if kind == EventKind.CLEAR:
            return
        if counts and was_known:
            symbol.ofi += self.flow(before[0], after[0], 1) - self.flow(before[1], after[1], -1)
        if None not in after:
            symbol.known = True
            symbol.mid = (after[0][0] + after[1][0]) / 2

    @staticmethod
    def flow(before, after, sign):
        """The paper's e_n with its indicators: arrivals at or above the old best bid, less what stood there."""
        low = (-math.inf, 0)
        p0, q0 = (sign * before[0], before[1]) if before else low
        p1, q1 = (sign * after[0], after[1]) if after else low
        return (p1 >= p0) * q1 - (p1 <= p0) * q0

    @staticmethod
    def count_cancel(symbol, side, lots, near, time):
        symbol.count["cancels"] += 1
        symbol.cancel_times.append(time)
        symbol.count["cancels_buy"] += side == 0
        symbol.count["cancels_near"] += near
        symbol.count["cancelled_lots"] += lots

    @staticmethod
    def reduce(symbol, order_id, lots):
        order = symbol.orders.get(order_id)
        if order is None:
            return
        taken = min(lots, order[2])
        order[2] -= taken
        symbol.sides[order[0]].put(order[1], -taken)
        if order[2] == 0:
            del symbol.orders[order_id]

    def level(self, symbol, side, price, lots, near, counts, time):
        level = (side, price)
        old = symbol.sides[side].levels.get(price, 0)
        prints = symbol.prints.pop(level, [])
        # A print is remembered as long as the next one at its level comes soon enough.
        traded, last = 0, None
        for at, amount in prints:
            traded = amount + (traded if last is not None and at - last <= 250_000_000 else 0)
            last = at
        if last is None or time - last > 250_000_000:
            traded = 0
        left = max(old - traded, 0)
        if not counts:
            symbol.drops.pop(level, None)
        elif lots > left:
            symbol.count["adds"] += 1
            symbol.count["added_lots"] += lots - left
        elif lots < left:
            self.count_cancel(symbol, side, left - lots, near, time)
            symbol.drops[level] = {"lots": left - lots, "time": time, "window": self.window, "near": near}
        symbol.sides[side].put(price, lots - old)

    # ---- closing ----

    def close(self):
        end = self.window * self.step
        while self.samples_taken < 10:
            self.sample()
        out, tops = [], []
        mids = [symbol.mid if symbol.two_sided() else None for symbol in self.symbols]
        values = [self.valuation(symbol, mid) for symbol, mid in zip(self.symbols, mids, strict=True)]
        leverage = self.leverage(values) if self.accounts else {}
        for s, symbol in enumerate(self.symbols):
            if symbol.known:
                symbol.stretches.append((end - symbol.since, symbol.spread(), symbol.crossed()))
            symbol.since = end
            row = {}
            self.close_flow(symbol, end, row)
            self.close_depth(symbol, row)
            price = mids[s] if "book" in self.capabilities else symbol.references.get(Reference.LAST, (0, 0))[0] / MICRO
            self.close_prices(symbol, mids[s], price, end, row)
            self.close_impact(symbol, price, row)
            self.close_shape(symbol, row)
            self.close_leverage(symbol, s, values[s], leverage, row)
            for metric in CATALOGUE:
                if metric.needs and not any(
                    all(part in self.capabilities for part in need.split("&")) for need in metric.needs.split("|")
                ):
                    row[metric.name] = math.nan
            assert set(row) == set(METRIC_NAMES)
            out.append(row)
            self.holders_did(symbol, s, values[s], leverage)
            tops.append({measure: +did for measure, did in symbol.did.items()})
            symbol.begin()
            self.opening[s] = Counter(self.positions[s])
        self.money.clear()
        self.rows.append((self.window, out, tops))
        self.busy = False
        self.samples_taken = 0

    def holders_did(self, symbol, s, value, leverage):
        for a in symbol.touched_accounts | set(self.opening[s]) | set(self.positions[s]):
            before, now = self.opening[s][a], self.positions[s][a]
            if not (before or now or a in symbol.touched_accounts):
                continue
            kept = min(abs(before), abs(now)) if before * now > 0 else 0
            withdrawn = max(self.money[a, "out"] - self.money[a, "in"], 0)
            symbol.did["withdrawn_usd"][a] = withdrawn / 1e6
            symbol.did["reduced_lots"][a] = abs(before) - kept
            symbol.did["position_lots"][a] = abs(now)
            if now:
                notional, now_x = self.notional[a], leverage.get(a, (0.0, False))[0]
                eased = self.ratio(notional, self.equity[a] + withdrawn)
                own = max(abs(now) - kept - symbol.assigned[a], 0)
                symbol.did["exposure_usd"][a] = (own * now_x + kept * (now_x - eased)) * value

    @staticmethod
    def ratio(notional, equity):
        return 0.0 if not notional else min(notional / equity, 125.0) if equity > 0 else 125.0

    def close_flow(self, symbol, end, row):
        count = symbol.count
        row["messages"], row["late"], row["gaps"] = count["messages"], count["late"], count["gaps"]
        shut = 0
        for (since, state), (until, _) in zip(symbol.states, [*symbol.states[1:], (end, 0)], strict=True):
            shut += max(0, until - max(since, end - self.step)) if state else 0
        row["closed_ms"] = shut / 1e6
        row["book_age_ms"] = (end - symbol.touched) / 1e6 if symbol.touched is not None else math.nan
        for name in ("adds", "cancels", "cancels_buy", "cancels_near", "rejects", "added_lots", "cancelled_lots", "trades"):
            row[name] = count[name]
        for name in ("replaces", "throttled", "liquidations", "liquidated_lots", "takeovers", "deleveraged_lots"):
            row[name] = count[name]
        row["slow_fleeting_cancels"] = count["slow_fleeting"]
        row["cancels_after_fill"], row["retries"] = count["after_fill"], count["retries"]
        row["feed_lag_ms"] = max(symbol.lags) / 1e6 if symbol.lags else math.nan
        lots = count["added_lots"] + count["cancelled_lots"]
        row["volume_to_trade_ratio"] = lots / max(count["traded_lots"], 1) - 1
        row["cancel_to_add"] = count["cancels"] / count["adds"] if count["adds"] else math.nan
        start = end - self.step
        parts = Counter(min(max((time - start) // (self.step // 20), 0), 19) for time in symbol.cancel_times)
        counts = [parts[part] for part in range(20)]
        row["cancel_burstiness"] = statistics.pvariance(counts) / statistics.fmean(counts) if symbol.cancel_times else math.nan
        row["cancels_sell"] = count["cancels"] - count["cancels_buy"]
        row["traded_lots"], row["signed_lots"] = count["traded_lots"], count["signed_lots"]
        row["fleeting_cancels"] = count["fleeting"]
        row["order_to_trade_ratio"] = (count["adds"] + count["cancels"]) / max(count["trades"], 1) - 1
        row["lifetime_p50_ms"] = statistics.median_low(symbol.lives) / 1e6 if symbol.lives else math.nan
        share = max(symbol.did["cancels"].values(), default=0)
        row["top_cancel_share"] = share / count["cancels"] if count["cancels"] else math.nan

    def close_depth(self, symbol, row):
        span = sum(length for length, _, _ in symbol.stretches)
        row["spread_bps"] = math.fsum(length * spread for length, spread, _ in symbol.stretches) / span if span else math.nan
        row["crossed_ms"] = sum(length for length, _, crossed in symbol.stretches if crossed) / 1e6 if span else math.nan
        row["ofi_lots"] = symbol.ofi
        bid, ask, bid_near, ask_near, near_levels, buy, sell, buy2, sell2 = (
            [mean(column) for column in zip(*symbol.samples, strict=True)] if symbol.samples else [math.nan] * 9
        )
        row["depth_bid_5_usd"], row["depth_ask_5_usd"] = bid * symbol.unit, ask * symbol.unit
        row["depth_bid_10bps_usd"], row["depth_ask_10bps_usd"] = bid_near * symbol.unit, ask_near * symbol.unit
        row["levels_10bps"] = near_levels
        row["imbalance"] = (bid - ask) / (bid + ask) if bid + ask > 0 else math.nan
        row["slippage_buy_bps"], row["slippage_sell_bps"] = buy, sell
        row["slippage_2x_bps"] = max(buy2, sell2)
        row["slippage_convexity_bps"] = max(buy2 - buy, sell2 - sell)
        row["usual_depth_usd"] = symbol.usual * symbol.unit if symbol.samples else math.nan
        if symbol.samples:
            symbol.usual_history.append((self.window, (bid + ask) / 2))
            weights = [0.5 ** ((self.window - window) * self.step / HOUR) for window, _ in symbol.usual_history]
            symbol.usual = math.fsum(w * x for w, (_, x) in zip(weights, symbol.usual_history, strict=True)) / math.fsum(
                weights
            )

    def close_impact(self, symbol, price, row):
        signed, traded = symbol.count["signed_lots"], symbol.count["traded_lots"]
        if traded and price and not math.isnan(row["return_bps"]):
            symbol.slope.append((self.window, row["return_bps"], signed * price * symbol.unit / 1e6))
        # Sums over all windows so far would make long streams slow; only windows with trades are few enough for that.
        weighed = [(0.5 ** ((self.window - w) * self.step / (HOUR / 12)), r, q) for w, r, q in symbol.slope]
        xx = math.fsum(k * q * q for k, _, q in weighed)
        row["kyle_lambda"] = math.fsum(k * r * q for k, r, q in weighed) / xx if len(weighed) >= 30 and xx else math.nan
        total, weight, last = symbol.volumes
        kept = 0.5 ** ((self.window - last) * self.step / HOUR)
        symbol.volumes = (kept * total + traded, kept * weight + 1, self.window)
        symbol.usual_volume = symbol.volumes[:2]
        if symbol.bucket is None and symbol.usual_volume[0]:
            symbol.open_bucket()
        row["vpin"] = mean(symbol.shares[-50:]) if len(symbol.shares) >= 10 else math.nan
        row["resilience_ms"] = max(symbol.refills) * self.step / 10 / 1e6 if symbol.refills else math.nan

    @staticmethod
    def close_shape(symbol, row):
        names = [f"depth_{side}_{bps}bps_usd" for bps in (5, 25, 50) for side in ("bid", "ask")]
        row.update(dict.fromkeys([*names, "top5_depth_share", "hhi_depth"], math.nan))
        if not symbol.known:
            return

        def away(side, price):
            return ((symbol.mid - price) if side == 0 else (price - symbol.mid)) / symbol.mid

        for bps in (5, 25, 50):
            for side, name in enumerate(("bid", "ask")):
                near = [price * lots for price, lots in symbol.sides[side].levels.items() if away(side, price) <= bps / 1e4]
                row[f"depth_{name}_{bps}bps_usd"] = sum(near) * symbol.unit
        near = [order for order in symbol.orders.values() if away(order[0], order[1]) <= 10 / 1e4]
        total = sum(order[2] for order in near)
        held = Counter()
        for order in near:
            if order[4] is not None:
                held[order[4]] += order[2]
        if total:
            row["top5_depth_share"] = sum(sorted(held.values())[-5:]) / total
            row["hhi_depth"] = math.fsum((lots / total) ** 2 for lots in held.values())

    def close_prices(self, symbol, mid, price, end, row):
        def value(code):
            return symbol.references[code][0] / MICRO if code in symbol.references else None

        def usd(ticks):
            return ticks * symbol.tick if ticks is not None else math.nan

        def age(code):
            return max(end - symbol.references[code][1], 0) / 1e6 if code in symbol.references else math.nan

        mark, index, last = value(Reference.MARK), value(Reference.INDEX), value(Reference.LAST)
        row["mid_usd"], row["mark_usd"], row["index_usd"], row["last_usd"] = usd(mid), usd(mark), usd(index), usd(last)
        row["mark_index_bps"], row["mark_last_bps"] = log_bps(mark, index), log_bps(mark, last)
        row["mid_index_bps"] = log_bps(price, index)
        row["realised_vol_bps"] = 1e4 * math.sqrt(math.fsum(r * r for r in symbol.returns)) if symbol.returns else math.nan
        row["return_bps"] = log_bps(price, symbol.previous_price)
        symbol.previous_price = price
        funding = value(Reference.FUNDING_RATE)
        row["funding_rate_bps"] = funding if funding is not None else math.nan
        row["funding_vol"] = row["funding_rate_bps"] * row["realised_vol_bps"]
        row["index_age_ms"], row["mark_age_ms"] = age(Reference.INDEX), age(Reference.MARK)

    @staticmethod
    def valuation(symbol, mid):
        mark = symbol.references.get(Reference.MARK, (0, 0))[0] / MICRO
        last = symbol.references.get(Reference.LAST, (0, 0))[0] / MICRO
        return (mark if mark > 0 else mid or last) * symbol.unit

    def leverage(self, values):
        out = {}
        for a in range(self.accounts):
            worth = [round(p[a] * (1e6 * value)) for p, value in zip(self.positions, values, strict=True)]
            notional, equity = sum(map(abs, worth)), self.cash[a] + sum(worth)
            self.equity[a] = equity
            self.notional[a] = notional
            if notional:
                out[a] = (min(notional / equity, 125.0) if equity > 0 else 125.0, equity <= 0)
        return out

    def bankruptcies(self, symbol, held, value, percent):
        ratios = []
        for side in range(2):
            sign = 1 if side == 0 else -1
            levels = symbol.sides[side].levels.items()
            near = (
                [price * lots for price, lots in levels if sign * (symbol.mid - price) / symbol.mid <= percent / 100]
                if symbol.known
                else []
            )
            worth = {a: abs(p) * value for a, p in held.items() if sign * p > 0}
            ruined = [usd for a, usd in worth.items() if usd > 0 and self.equity[a] / 1e6 <= percent / 100 * usd]
            ratios.append(math.fsum(ruined) / (sum(near) * symbol.unit) if near else math.nan)
        return math.nan if math.isnan(sum(ratios)) else max(ratios)

    def close_leverage(self, symbol, s, value, leverage, row):
        held = {a: p for a, p in self.positions[s].items() if p}
        ranked = sorted(leverage[a][0] for a in held)
        n = len(held)
        row["positions"] = n
        row["long_short_skew"] = (sum(p > 0 for p in held.values()) - sum(p < 0 for p in held.values())) / n if n else math.nan
        row["liquidated_long_usd"] = symbol.values["long"] * symbol.unit
        row["liquidated_short_usd"] = symbol.values["short"] * symbol.unit
        had = symbol.touched_accounts | {a for a, p in self.opening[s].items() if p}
        row["deposits_usd"] = sum(self.money[a, "in"] for a in had) / 1e6
        row["withdrawals_usd"] = sum(self.money[a, "out"] for a in had) / 1e6
        row["funding_paid_usd"] = -sum(self.money[a, LedgerLine.FUNDING] for a in had) / 1e6
        row["fees_paid_usd"] = -sum(self.money[a, LedgerLine.FEE] + self.money[a, LedgerLine.MAKER_FEE] for a in had) / 1e6
        row["liquidation_cost_usd"] = -sum(self.money[a, LedgerLine.LIQUIDATION_FEE] for a in had) / 1e6
        row["accounts_reminded"] = sum(self.levels[a] >= AccountLevel.REMIND for a in held)
        for percent in (1, 2, 5):
            row[f"bankruptcies_{percent}pct_to_depth"] = self.bankruptcies(symbol, held, value, percent)
        row["accounts_restricted"] = sum(self.levels[a] >= AccountLevel.REDUCE_ONLY for a in held)
        row["accounts_liquidating"] = sum(self.levels[a] in (AccountLevel.LIQUIDATE, AccountLevel.CLAIM) for a in held)
        row["underwater"] = sum(leverage[a][1] for a in held)
        row["leverage_p50"] = ranked[math.ceil(0.5 * n) - 1] if n else math.nan
        row["leverage_p90"] = ranked[math.ceil(9 * n / 10) - 1] if n else math.nan
        total = sum(map(abs, held.values()))
        row["leverage_weighted"] = math.fsum(leverage[a][0] * abs(p) for a, p in held.items()) / total if n else math.nan
        grown = {}
        for a, p in held.items():
            before = self.opening[s][a]
            grown[a] = max(abs(p) - abs(before), 0) if before * p > 0 else abs(p)
        new = sum(grown.values())
        row["leverage_new"] = math.fsum(leverage[a][0] * lots for a, lots in grown.items()) / new if new else math.nan
        long = sum(p for p in held.values() if p > 0)
        short = -sum(p for p in held.values() if p < 0)
        interest = max(long, short)
        row["top_position_share"] = max(map(abs, held.values())) / interest if n else math.nan
        row["hhi_open_interest"] = (
            max(
                math.fsum((p / long) ** 2 for p in held.values() if p > 0),
                math.fsum((p / short) ** 2 for p in held.values() if p < 0),
            )
            if n
            else math.nan
        )
        if Reference.OPEN_INTEREST in symbol.references:
            interest = symbol.references[Reference.OPEN_INTEREST][0]
        elif not self.accounts:
            interest = None
        row["open_interest_usd"] = interest * value if interest is not None and value > 0 else math.nan
        previous, symbol.previous_interest = symbol.previous_interest, interest
        row["open_interest_change_lots"] = interest - previous if interest is not None and previous is not None else math.nan
