"""The cascade of `docs/cascade.md` in the plainest Python: dictionaries, big integers, no sparse matrices. Slow and obvious.

It takes the same holdings as `engine.cascade` and shares none of its code; margin and ranks are written anew.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from math import ceil

MICRO = 10**6
BILLION = 10**9
TOP = 2**62


class Unit:
    def __init__(self, name, is_portfolio):
        self.name = name
        self.is_portfolio = is_portfolio
        self.cash = 0
        self.lots = defaultdict(int)
        self.cost = defaultdict(int)
        self.first = {}
        self.assets = defaultdict(int)
        self.since = None
        self.is_gone = False
        self.lost = 0


class Cascade:
    def __init__(self, holdings, rules, shocks):
        self.pack = holdings.pack
        self.rules = rules
        self.markets = holdings.markets
        self.collateral = holdings.collateral
        count = len(self.markets)
        self.unit_micro = [market.instrument.notional_micro for market in self.markets]
        self.ladders = [self.pack.ladder(market.instrument) for market in self.markets]
        self.mark = [market.mark for market in self.markets]
        self.price = list(self.mark)
        self.shocked = list(self.mark)
        self.seen = list(self.mark)
        self.past = []
        self.asset_price = [
            asset.price + asset.price * round(shocks.get(asset.asset, 0) * 1e9) // BILLION for asset in self.collateral
        ]
        self.asset_base = list(self.asset_price)
        self.books = [(self.book(k, 0), self.book(k, 1)) for k in range(count)]
        self.eaten = [[0, 0] for _ in range(count)]
        self.own = defaultdict(lambda: [0] * count)
        self.spread = defaultdict(lambda: [0] * count)
        self.fund = Unit("fund", False)
        self.fund.cash = holdings.fund
        self.peak, self.deleveraging = holdings.fund, False
        self.fees = self.extra = self.rest_cash = 0
        self.rest = defaultdict(int)
        self.due = defaultdict(int)
        self.units = []
        self.load(holdings)
        for unit in self.units:
            for k, lots in unit.lots.items():
                self.rest[k] -= lots
        extreme = [self.pack.stress.extreme_bps[market.instrument.kind] for market in self.markets]
        self.ppm = {
            (i, j): round(rules.correlation_ppm / MICRO * extreme[j] / extreme[i] * MICRO)
            for i in range(count)
            for j in range(count)
            if i != j
        }
        near = [self.near(k) for k in range(count)]
        self.impact_ppm = {(i, j): ppm * near[i] // max(1, sum(near)) for (i, j), ppm in self.ppm.items()}
        direct = {k: round(shocks.get(market.instrument.symbol, 0) * 1e9) for k, market in enumerate(self.markets)}
        self.move = {k: (ppb, 0) for k, ppb in direct.items()}
        for k in range(count):
            if direct[k] == 0:
                for i in range(count):
                    part = direct[i] * self.ppm[i, k] // MICRO if i != k else 0
                    if abs(part) > abs(self.move[k][0]):
                        self.move[k] = (part, rules.spread_lag)
        self.log = []
        self.carried = defaultdict(int)

    def book(self, k, side):
        """Levels as (distance from the mark, lots up to there)."""
        total, found = 0, []
        for ticks, lots in (self.markets[k].bids, self.markets[k].asks)[side]:
            total += lots
            away = self.mark[k] - ticks * MICRO if side == 0 else ticks * MICRO - self.mark[k]
            found.append((max(0, away), total * self.rules.liquidity_ppm // MICRO))
        return found

    def near(self, k):
        lots = 0
        for ticks, size in self.markets[k].bids + self.markets[k].asks:
            if Fraction(abs(ticks * MICRO - self.mark[k]), self.mark[k]) <= Fraction(2, 100):
                lots += size
        return lots * self.mark[k] * self.unit_micro[k] // MICRO

    def load(self, holdings):
        pools = {}
        for account in holdings.accounts:
            unit = pools.get(account.pool) if account.pool else None
            if unit is None:
                unit = Unit(account.pool or account.account, account.is_portfolio)
                self.units.append(unit)
                if account.pool:
                    pools[account.pool] = unit
            unit.cash += account.cash
            for c, amount in account.collateral:
                unit.assets[c] += amount
            for position in account.positions:
                owner = unit
                if position.wallet is not None:
                    owner = Unit(f"{account.account} {holdings.markets[position.market].instrument.symbol}", False)
                    owner.cash = position.wallet
                    self.units.append(owner)
                owner.cash -= position.cost
                owner.lots[position.market] += position.lots
                owner.cost[position.market] += position.cost
        for unit in self.units:
            for k in [k for k, lots in unit.lots.items() if lots == 0]:
                del unit.lots[k]
            unit.first = dict(unit.lots)

    def value(self, k, lots, price=None):
        """The venue's rounding: a lot's whole micro-units, then the rest of all lots together, down."""
        price = self.seen[k] if price is None else price
        unit = self.unit_micro[k]
        each = price // MICRO * unit + price % MICRO * unit // MICRO
        return lots * each + lots * (price % MICRO * unit % MICRO) // MICRO

    def maintenance(self, k, notional):
        ladder = self.ladders[k]
        if ladder is None or notional == 0:
            return 0
        tier = [tier for tier in ladder.tiers if tier.floor * MICRO <= notional][-1]
        needed = ceil(notional * tier.maintenance_rate) - int(tier.deduction * MICRO)
        if self.pack.margin.taker_fee_inside:
            needed += ceil(Fraction(notional * self.pack.fees.tiers[0][1], MICRO))
        return needed

    def worth(self, assets):
        total = 0
        for c, amount in assets.items():
            total += amount * self.asset_price[c] // MICRO * (MICRO - self.collateral[c].haircut_ppm) // MICRO
        return total

    def standing(self, unit):
        equity = unit.cash + self.worth(unit.assets)
        falling = rising = 0
        for k, lots in unit.lots.items():
            value = self.value(k, lots)
            equity += value
            if lots > 0:
                falling += self.maintenance(k, abs(value))
            else:
                rising += self.maintenance(k, abs(value))
        total = falling + rising
        if unit.is_portfolio:
            total = max(total - (total - abs(falling - rising)) * 80 // 100, falling, rising)
        return equity, total

    def is_distressed(self, equity, needed):
        if needed == 0:
            return equity < 0
        limit = needed * self.pack.states.liquidate_ppm // MICRO
        return equity < limit or (equity == limit and self.pack.margin.liquidate_at_equality)

    def is_lost(self, equity, needed):
        return equity < 0 or (needed > 0 and equity < needed * self.pack.liquidation.takeover_ppm // MICRO)

    def shift(self, k, step):
        before = self.price[k]
        self.price[k] = max(MICRO, before + step)
        moved = self.price[k] - before
        hurt = sum(abs(unit.lots.get(k, 0)) for unit in self.units if unit.lots.get(k, 0) * moved < 0)
        return self.value(k, hurt, abs(moved))

    def run(self):
        for t in range(self.rules.rounds):
            if self.round(t):
                return t + 1, True
        return self.rules.rounds, False

    def round(self, t):
        rules, log = self.rules, defaultdict(int)
        self.log.append(log)
        for k in range(len(self.markets)):
            ppb, first = self.move[k]
            passed = min(max(0, t + 1 - first), rules.shock_rounds)
            target = max(MICRO, self.mark[k] + self.mark[k] * (ppb * passed // rules.shock_rounds) // BILLION)
            self.shift(k, target - self.shocked[k])
            self.shocked[k] = target
            self.carried[k, k] += self.shift(k, self.own[t][k])
        for i in range(len(self.markets)):
            for k in range(len(self.markets)):
                if i != k and self.spread[t][i] and self.ppm[i, k]:
                    part = self.spread[t][i] * self.impact_ppm[i, k] // MICRO
                    self.carried[i, k] += self.shift(k, self.price[k] * part // BILLION)
        self.past.append(list(self.price))
        for c, asset in enumerate(self.collateral):
            if asset.follows >= 0:
                self.asset_price[c] = self.asset_base[c] * self.price[asset.follows] // self.mark[asset.follows]
        if t >= rules.mark_lag:
            self.seen = list(self.past[t - rules.mark_lag])
        queue = []
        for number, unit in enumerate(self.units):
            equity, needed = self.standing(unit)
            if not unit.is_gone and self.is_distressed(equity, needed):
                unit.since = t if unit.since is None else unit.since
                queue.append((equity * MICRO // max(1, needed), -needed, number))
            else:
                unit.since = None
        log["distressed"] = len(queue)
        ended = []
        for *_, number in sorted(queue):
            unit = self.units[number]
            if t < unit.since + rules.order_lag:
                continue
            self.dispose(unit, number, t, log)
            equity, needed = self.standing(unit)
            if not self.is_lost(equity, needed):
                continue
            unit.is_gone = True
            if equity < 0:
                unit.lost = -equity
                log["shortfall"] -= equity
            if self.fund_takes(unit, equity):
                log["takeovers"] += 1
                for k, lots in unit.lots.items():
                    log["taken"] += abs(self.value(k, lots))
                    self.fund.lots[k] += lots
                unit.lots.clear()
                self.hand_over(unit)
            else:
                ended.append((unit, equity))
        self.deleverage(ended, log)
        for k in range(len(self.markets)):
            if self.fund.lots[k] and t >= self.due["fund", k]:
                self.due["fund", k] = t + self.pack.liquidation.step_s
                done, money = self.sell(k, self.fund.lots[k], 0, 1, self.maintenance(k, abs(self.value(k, self.fund.lots[k]))))
                self.fund.lots[k] -= done
                self.fund.cash += money
                self.rest[k] += done
                self.rest_cash -= money
        for k in range(len(self.markets)):
            step = self.impact(k, 1) - self.impact(k, 0)
            self.own[t + 1][k] += step
            self.spread[t + 1 + rules.spread_lag][k] += step * BILLION // self.price[k]
        equity = self.fund_equity()
        log["fund"] = equity
        self.observe(equity)
        waiting = any(any(row) for at, row in [*self.own.items(), *self.spread.items()] if at > t)
        return (
            t >= rules.shock_rounds + rules.spread_lag
            and not queue
            and not any(self.fund.lots.values())
            and not waiting
            and self.seen == self.price
        )

    def dispose(self, unit, number, t, log):
        needs = {k: self.maintenance(k, abs(self.value(k, lots))) for k, lots in unit.lots.items()}
        for k in sorted(needs, key=lambda k: (-needs[k], k)):
            equity, needed = self.standing(unit)
            if not self.is_distressed(equity, needed) or self.is_lost(equity, needed):
                return
            if unit.lots[k] == 0 or t < self.due[number, k]:
                continue
            self.due[number, k] = t + self.pack.liquidation.step_s
            done, money = self.sell(k, unit.lots[k], equity, needed, needs[k])
            if not done:
                continue
            unit.lots[k] -= done
            if unit.lots[k] == 0:
                del unit.lots[k]
            fee = -(-abs(money) * self.pack.fees.tiers[0][1] // MICRO)
            extra = -(-abs(money) * self.pack.fees.liquidation_ppm // MICRO)
            unit.cash += money - fee - extra
            self.rest[k] += done
            self.rest_cash -= money
            self.fees += fee
            self.fund.cash += extra
            self.extra += extra
            log["orders"] += 1
            log["sold"] += abs(money)

    def sell(self, k, lots, equity, needed, own):
        rules = self.pack.liquidation
        size, side, price = abs(lots), 0 if lots > 0 else 1, self.seen[k]
        sign = -1 if side == 0 else 1
        away = price * rules.range_ppm // MICRO
        limit = price + sign * away
        wanted = size
        if rules.path != "market":
            is_whole = abs(self.value(k, lots)) <= rules.full_below * MICRO
            wanted = size if is_whole else max(1, size * rules.fraction_ppm // MICRO)
        if rules.path == "stepwise":
            within = sum(there for at, there in self.standing_book(k, side) if (at - limit) * sign <= 0)
            wanted = min(wanted, max(within * rules.depth_share_ppm // MICRO, min(1, within)))
        if rules.path == "auction":
            worse = min(MICRO, rules.adjustment_ppm * max(0, needed - equity) // max(1, needed))
            offer = own * rules.spread_ppm // MICRO * worse // self.unit_micro[k] // size
            limit = price + sign * min(offer, away)
        if wanted < size:
            wanted -= wanted % self.markets[k].instrument.lot_step
        done = money = 0
        for at, there in self.standing_book(k, side):
            if done == wanted or (at - limit) * sign > 0:
                break
            part = min(there, wanted - done)
            money += self.value(k, -sign * part, at)
            done += part
        self.eaten[k][side] += done
        return -sign * done, money

    def standing_book(self, k, side):
        """(price, lots) of what is left, the best first, prices below a tick left out."""
        found, before = [], self.eaten[k][side]
        for away, total in self.books[k][side]:
            at = self.price[k] - away if side == 0 else self.price[k] + away
            if at < MICRO:
                break
            if total > before:
                found.append((at, total - before))
                before = total
        return found

    def impact(self, k, side):
        """Micro-ticks that stay of how far a side was eaten."""
        levels, eaten = self.books[k][side], self.eaten[k][side]
        if not levels or not eaten:
            return 0
        best = levels[0][0]
        at = next((away for away, total in levels[:-1] if total > eaten), levels[-1][0])
        stays = (at - best) * self.rules.lasting_ppm // MICRO
        nearer = [total for away, total in levels if away - best < at - best - stays]
        eaten = min(eaten, nearer[-1] if nearer else 0)
        self.eaten[k][side] = eaten * (MICRO - self.rules.refill_ppm) // MICRO
        return stays

    def fund_equity(self):
        return self.fund.cash + self.worth(self.fund.assets) + sum(self.value(k, n) for k, n in self.fund.lots.items())

    def observe(self, equity):
        self.peak = max(self.peak, equity)
        below, rules = self.peak - equity, self.pack.fund
        if rules.drawdown_ppm == 0 or self.peak <= 0:
            self.deleveraging = False
        elif self.deleveraging:
            self.deleveraging = below > self.peak * rules.resume_ppm // MICRO
        else:
            self.deleveraging = below >= -(-self.peak * rules.drawdown_ppm // MICRO)

    def fund_takes(self, unit, equity):
        notional = sum(abs(self.value(k, lots)) for k, lots in unit.lots.items())
        if notional == 0:
            return True
        own = self.fund_equity()
        if self.deleveraging or own + equity < 0:
            return False
        held = sum(abs(self.value(k, lots)) for k, lots in self.fund.lots.items())
        limit = self.pack.fund.max_notional_ppm
        return limit == 0 or held + notional <= max(0, own) * limit // MICRO

    def hand_over(self, unit):
        self.fund.cash += unit.cash
        unit.cash = 0
        for c, amount in unit.assets.items():
            self.fund.assets[c] += amount
        unit.assets.clear()

    def deleverage(self, ended, log):
        shares = {}
        for unit, equity in ended:
            equity = 0 if self.pack.fund.adl_price == "mark" else equity
            notionals = {k: abs(self.value(k, lots)) for k, lots in sorted(unit.lots.items())}
            left, total = equity, sum(notionals.values())
            for k, notional in notionals.items():
                part = left if k == max(notionals) else equity * notional // total
                shares[unit, k] = part
                left -= part
        for k in range(len(self.markets)):
            for sign in (-1, 1):  # shorts that ended first: longs are deleveraged
                closing = [unit for unit, _ in ended if unit.lots.get(k, 0) * sign > 0]
                if not closing:
                    continue
                wanted = sum(abs(unit.lots[k]) for unit in closing)
                queue = self.winners(k, -sign, wanted)
                for unit in closing:
                    self.close(unit, k, sign, self.value(k, unit.lots[k]) - shares[unit, k], queue, log)
        for unit, _ in ended:
            self.hand_over(unit)

    def winners(self, k, sign, wanted):
        """[unit, lots to close], in order."""
        found = []
        for number, unit in enumerate(self.units):
            lots = unit.lots.get(k, 0)
            if unit.is_gone or lots * sign <= 0:
                continue
            cost = unit.cost[k] if lots == unit.first[k] else unit.cost[k] * abs(lots) // abs(unit.first[k])
            value = self.value(k, lots)
            if value <= cost:
                continue
            equity = self.standing(unit)[0]
            value, cost = abs(value), abs(cost)
            if self.pack.fund.adl_rank == "hyperliquid":
                above, below = (value, cost) if sign > 0 else (cost, value)
            else:
                above, below = (value - cost if sign > 0 else cost - value), cost
            share = min(TOP, above * MICRO // max(1, below))
            score = TOP if equity <= 0 else min(TOP, share * value // equity)
            found.append((-score, number, unit, abs(lots)))
        total = sum(lots for *_, lots in found)
        wanted = min(wanted, total)
        if self.pack.fund.adl_rank == "pro_rata":
            found.sort(key=lambda row: row[1])
            sizes = [wanted * lots // total for *_, lots in found]
            by_rest = sorted(range(len(found)), key=lambda n: -(wanted * found[n][3] % total))
            for n in by_rest[: wanted - sum(sizes)]:
                sizes[n] += 1
            return [[row[2], size] for row, size in zip(found, sizes, strict=True)]
        queue = []
        for _, _, unit, lots in sorted(found, key=lambda row: row[:2]):
            queue.append([unit, min(wanted, lots)])
            wanted -= queue[-1][1]
        return queue

    def close(self, unit, k, sign, unpaid, queue, log):
        left = abs(unit.lots.pop(k))
        for row in queue:
            winner, size = row[0], min(row[1], left)
            if size == 0:
                continue
            money = unpaid if size == left else unpaid * size // left
            winner.lots[k] += sign * size
            if winner.lots[k] == 0:
                del winner.lots[k]
            winner.cash -= money
            unit.cash += money
            log["adl"] += 1
            log["adl_notional"] += abs(self.value(k, size))
            row[1] -= size
            left -= size
            unpaid -= money
        if left:
            self.fund.lots[k] += sign * left
            self.fund.cash -= unpaid
            unit.cash += unpaid
