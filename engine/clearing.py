"""The clearing house: the venue's tick of fees, funding, margin, distress and disposal. `docs/risk.md` has the rules.

It runs once a second, in plain Python over compiled kernels: everybody is margined by a kernel, and only who is in distress is
looked at one by one, with the exact rules of `engine.liquidation`. It touches money and positions through the desk alone, so
that all it does is an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from engine.book import top_levels
from engine.contract import (
    MICRO,
    AccountLevel,
    EventKind,
    LedgerLine,
    OpFlag,
    OpKind,
    OrderType,
    Reason,
    Reference,
    Side,
    SymbolState,
    TimeInForce,
)
from engine.derived import NOWHERE, Desk
from engine.instruments import Instrument, Pack
from engine.liquidation.adl import Candidate, deleverage
from engine.liquidation.disposal import Disposal, Distress, plan
from engine.liquidation.fund import FundState, may_take, observe
from engine.liquidation.proceeds import attributed
from engine.liquidation.socialise import socialise
from engine.margin.states import LEVEL_DTYPE, at_ppm, limits, step_all
from engine.margining import (
    Terms,
    assess,
    assess_alone,
    assess_one,
    isolated_positions,
    maintenance_of,
    margin_price,
)
from engine.prices.funding import payment_micro
from engine.wallets import begin_day, value_micro

_SECOND_NS: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _SECOND_NS
_LEVELS: Final = 64
"""Price levels of a side that a disposal looks at."""

_MATCHING: Final = (SymbolState.OPEN, SymbolState.REDUCE_ONLY)
"""States of a symbol in which orders match."""


class Case(NamedTuple):
    """What is margined together: an account's cross positions (`symbol` NOWHERE), or one isolated position."""

    account: int
    symbol: int


class _Memory(msgspec.Struct):
    fund: FundState
    next_ns: dict[str, int]


class Clearing:
    """See the module. Works on the desk's arrays; `arrays` and `memory` are its own state."""

    def __init__(self, desk: Desk, terms: Terms, pack: Pack, instruments: Sequence[Instrument]) -> None:
        self._desk = desk
        self._terms = terms
        self._pack = pack
        self._instruments = instruments
        everyone = len(desk.wallets.cash)
        self.levels = np.zeros(everyone, LEVEL_DTYPE)
        """LEVEL_DTYPE [A]; the venue's own accounts stay FREE."""
        self.levels["better_since_ns"] = -1
        self.equity = np.zeros(everyone, np.int64)
        """int64 [A]: equity of everybody's cross positions at the last tick, micro-units of the quote."""
        self.needed = np.zeros(everyone, np.int64)
        """int64 [A]: their maintenance margin."""
        self.uncovered = np.zeros(1, np.int64)
        """What nobody could pay so far: the fund's equity stays below zero by this much."""
        self._sure = np.ones(everyone, np.uint8)
        self._limits = limits(pack.states)
        self._is_margined = bool((terms.ladders["count"] > 0).any())
        self._margin_by = int(Reference[pack.prices.margin.upper()])
        self._fund_state = FundState()
        self._next_ns: dict[tuple[int, int], int] = {}
        """When the next step of a disposal may come, by account and symbol."""
        self._prices = np.zeros((2, _LEVELS), np.int64)

    def arrays(self) -> dict[str, np.ndarray]:
        """State that is arrays."""
        return {"levels": self.levels, "uncovered": self.uncovered}

    def memory(self) -> bytes:
        """The rest of the state."""
        steps = {f"{account} {symbol}": at for (account, symbol), at in sorted(self._next_ns.items())}
        return msgspec.msgpack.encode(_Memory(self._fund_state, steps))

    def remember(self, memory: bytes) -> None:
        """Goes back to a `memory`. Raises msgspec.DecodeError where it is none."""
        found = msgspec.msgpack.decode(memory, type=_Memory)
        self._fund_state = found.fund
        self._next_ns = {(int(k.split()[0]), int(k.split()[1])): at for k, at in found.next_ns.items()}

    def tick(self, now_ns: int) -> None:
        """Makes one tick. The events are the desk's."""
        self._desk.now_ns = now_ns
        self._tell_fees()
        if now_ns // _DAY_NS > self._desk.wallets.day[0]:
            begin_day(self._desk.wallets, now_ns // _DAY_NS)
        self._pay_funding()
        self._look_at_prices(now_ns)
        if not self._is_margined:
            return
        self._judge(now_ns)
        self._fund_state = observe(
            self._fund_state, self._fund_equity(), now_ns, self._pack.fund.drawdown_ppm, self._pack.fund.resume_ppm
        )
        for case in self._distressed():
            self._relieve(case, now_ns)
        self._sell_inventory(now_ns)
        self._share_losses()
        self._tell_fees()  # of the forced trades: after a tick nothing is untold

    def _tell_fees(self) -> None:
        """One event for each account and role with fees since the last tick, and one for the account that got them all."""
        wallets, desk = self._desk.wallets, self._desk
        who = np.argwhere(wallets.charged)
        if not len(who):
            return
        money = wallets.charged[who[:, 0], who[:, 1]]
        lines = np.where(who[:, 1] == 0, LedgerLine.FEE, LedgerLine.MAKER_FEE)
        desk.tell(EventKind.LEDGER, len(who), account=who[:, 0], qty=-money, code=lines)
        desk.tell(EventKind.LEDGER, account=desk.fund + 1, qty=money.sum(), code=LedgerLine.FEE)
        wallets.charged[:] = 0

    def _pay_funding(self) -> None:
        """Of the intervals that ended. Without a mark nobody could say how much: the interval is passed over."""
        desk = self._desk
        for symbol in np.flatnonzero(desk.prices["due"]):
            price = desk.prices[symbol]
            price["due"] = 0
            mark, rate, unit = int(price["mark"]), int(price["settled_rate"]), int(price["unit_micro"])
            held = desk.wallets.held[:, symbol]
            who = np.flatnonzero(held)
            if mark == 0 or rate == 0 or not len(who):
                continue
            paid = [payment_micro(int(held[account]), mark, unit, rate) for account in who]
            for account, money in zip(who, paid, strict=True):
                desk.change(int(account), -money, LedgerLine.FUNDING, int(symbol))
            # Payers are rounded up and receivers down: the sum is not negative.
            desk.change(desk.fund, sum(paid), LedgerLine.ROUNDING)

    def _look_at_prices(self, now_ns: int) -> None:
        stale_ns = self._pack.prices.stale_s * _SECOND_NS
        for symbol, price in enumerate(self._desk.prices):
            self._terms.prices[symbol] = margin_price(price, self._margin_by)
            old = now_ns - price["index_ns"] > stale_ns
            self._terms.doubtful[symbol] = self._terms.prices[symbol] == 0 or old

    def _judge(self, now_ns: int) -> None:
        """Everybody's level, and an event for each that changed."""
        desk = self._desk
        before = self.levels["level"].copy()
        assess(desk.wallets, self._terms, self.equity, self.needed, self._sure)
        step_all(
            self.levels[: desk.fund],
            self.equity,
            self.needed,
            self._sure,
            now_ns,
            self._limits,
            self._pack.margin.liquidate_at_equality,
        )
        level = self.levels["level"]
        changed = np.flatnonzero(level != before)
        if len(changed):
            ratio = [int(self.equity[a]) * MICRO // max(1, int(self.needed[a])) for a in changed]
            desk.tell(
                EventKind.STANDING,
                len(changed),
                account=changed,
                code=level[changed],
                qty=self.needed[changed],
                leaves=self.equity[changed],
                price=np.clip(ratio, -(2**62), 2**62),
            )
            desk.market.accounts["bar"][changed] = np.where(
                level[changed] >= AccountLevel.REDUCE_ONLY, Reason.ACCOUNT_LEVEL, Reason.NONE
            )

    def _distressed(self) -> list[Case]:
        """Who must be relieved now: the lowest ratio of equity to requirement first, then the larger requirement."""
        level = self.levels["level"]
        cases = [
            Case(int(a), NOWHERE) for a in np.flatnonzero((level == AccountLevel.LIQUIDATE) | (level == AccountLevel.CLAIM))
        ]
        cases += [Case(int(a), int(k)) for a, k in isolated_positions(self._desk.wallets) if not self._terms.doubtful[k]]
        found = []
        for case in cases:
            equity, needed = self._standing(case)
            if self._is_in_distress(equity, needed):
                found.append((equity * MICRO // max(1, needed), -needed, case))
        return [case for *_, case in sorted(found)]

    def _standing(self, case: Case) -> tuple[int, int]:
        """(equity, maintenance margin)."""
        if case.symbol == NOWHERE:
            equity, needed = assess_one(self._desk.wallets, self._terms, case.account)
        else:
            equity, needed = assess_alone(self._desk.wallets, self._terms, case.account, case.symbol)
        return int(equity), int(needed)

    def _is_in_distress(self, equity: int, needed: int) -> bool:
        if needed == 0:
            return equity < 0
        limit = self._pack.states.liquidate_ppm * needed
        return equity * MICRO < limit or (equity * MICRO == limit and self._pack.margin.liquidate_at_equality)

    def _positions(self, case: Case) -> list[int]:
        """Its symbols with a position, the largest requirement first."""
        wallets = self._desk.wallets
        if case.symbol != NOWHERE:
            return [case.symbol]
        held = np.flatnonzero((wallets.held[case.account] != 0) & (wallets.alone[case.account] == 0))
        return sorted((int(k) for k in held), key=lambda k: (-self._needed_for(case.account, k), k))

    def _needed_for(self, account: int, symbol: int) -> int:
        return int(maintenance_of(self._terms, symbol, abs(self._value(account, symbol))))

    def _value(self, account: int, symbol: int) -> int:
        lots = int(self._desk.wallets.held[account, symbol])
        return int(value_micro(lots, int(self._terms.prices[symbol]), int(self._terms.units[symbol])))

    def _is_matching(self, symbol: int) -> bool:
        return not self._terms.doubtful[symbol] and self._desk.market.desks[symbol]["state"] in _MATCHING

    def _relieve(self, case: Case, now_ns: int) -> None:
        """Cancels its orders; then takes over what is beyond help, or else makes the next step of its disposal."""
        if not all(self._is_matching(symbol) for symbol in self._positions(case)):
            return
        self._desk.cancel_all(case.account, case.symbol)
        for symbol in self._positions(case):
            equity, needed = self._standing(case)
            if not self._is_in_distress(equity, needed) or self._is_lost(equity, needed):
                break
            if now_ns >= self._next_ns.get((case.account, symbol), 0):
                self._dispose(case.account, symbol, equity, needed, now_ns)
        equity, needed = self._standing(case)
        if self._is_lost(equity, needed):
            self._take_over(case, equity)

    def _is_lost(self, equity: int, needed: int) -> bool:
        return equity < 0 or (needed > 0 and equity < at_ppm(needed, self._pack.liquidation.takeover_ppm))

    def _dispose(self, account: int, symbol: int, equity: int, needed: int, now_ns: int) -> None:
        """One order of a position's disposal, and what it costs beyond fees."""
        desk, terms = self._desk, self._terms
        lots = int(desk.wallets.held[account, symbol])
        side = Side.SELL if lots > 0 else Side.BUY
        case = Distress(
            lots=lots,
            price=int(terms.prices[symbol]),
            unit_micro=int(terms.units[symbol]),
            depth_lots=self._depth(symbol, side),
            equity=equity,
            requirement=needed,
            position_requirement=self._needed_for(account, symbol),
        )
        order: Disposal = plan(self._pack.liquidation, case)
        self._next_ns[account, symbol] = now_ns + self._pack.liquidation.step_s * _SECOND_NS
        step = self._instruments[symbol].lot_step
        size = order.lots if order.lots == abs(lots) else order.lots // step * step
        if size == 0:
            return
        events = desk.send(
            OpKind.NEW,
            account=account,
            symbol=symbol,
            order_id=desk.order_id(),
            side=side,
            price=order.ticks,
            qty=size,
            order_type=OrderType.LIMIT,
            tif=TimeInForce.IOC,
            flags=OpFlag.REDUCE_ONLY,
        )
        if not desk.wallets.held[account, symbol]:
            del self._next_ns[account, symbol]
        if account == desk.fund:
            return
        trades = events[(events["kind"] == EventKind.TRADE) & (events["account"] == account)]
        notional = int((trades["price"] * trades["qty"]).sum()) * case.unit_micro
        extra = -(-notional * self._pack.fees.liquidation_ppm // MICRO)
        desk.change(account, -extra, LedgerLine.LIQUIDATION_FEE, symbol)
        desk.change(desk.fund, extra, LedgerLine.LIQUIDATION_FEE)

    def _depth(self, symbol: int, side: Side) -> int:
        """Resting lots that an order of `side` would meet within the range of the pack."""
        price = int(self._terms.prices[symbol])
        away = at_ppm(price, self._pack.liquidation.range_ppm)
        count = top_levels(self._desk.market.books[symbol], 1 - side, _LEVELS, self._prices[0], self._prices[1])
        ticks = self._prices[0, :count] * MICRO
        within = ticks >= price - away if side == Side.SELL else ticks <= price + away
        return int(self._prices[1, :count][within].sum())

    def _fund_equity(self) -> int:
        return self._standing(Case(self._desk.fund, NOWHERE))[0]

    def _take_over(self, case: Case, equity: int) -> None:
        """The fund takes the positions with what is left, or the winners on the other side do."""
        desk, account = self._desk, case.account
        symbols = self._positions(case) if case.symbol == NOWHERE else [case.symbol]
        values = [self._value(account, symbol) for symbol in symbols]
        notional = sum(abs(value) for value in values)
        inventory = sum(abs(self._value(desk.fund, int(k))) for k in np.flatnonzero(desk.wallets.held[desk.fund]))
        fund_equity = self._fund_equity()
        limit = self._pack.fund.max_notional_ppm
        if not symbols or may_take(self._fund_state, fund_equity, inventory, equity, notional, limit):
            for symbol, value in zip(symbols, values, strict=True):
                self._hand_over(account, symbol, value)
            left = equity
        else:
            shares = attributed(equity, [abs(value) for value in values]) if notional else [0] * len(values)
            if self._pack.fund.adl_price == "mark":
                shares = [0] * len(values)
            for symbol, value, share in zip(symbols, values, shares, strict=True):
                self._deleverage(account, symbol, value - share)
            left = equity - sum(shares)
        desk.change(account, -left, LedgerLine.TAKEOVER, case.symbol)
        desk.change(desk.fund, left, LedgerLine.TAKEOVER)
        for symbol in symbols:
            self._next_ns.pop((account, symbol), None)

    def _hand_over(self, account: int, symbol: int, money: int) -> None:
        """The fund gets the whole position for `money` (negative: it is paid to take a short)."""
        lots = int(self._desk.wallets.held[account, symbol])
        self._desk.assign(self._desk.fund, account, symbol, lots, self._a_lot(money, lots, symbol), money, Reason.TAKEOVER)

    def _a_lot(self, money: int, lots: int, symbol: int) -> int:
        """Micro-ticks that a lot goes for, rounded down."""
        return money * MICRO // (lots * int(self._terms.units[symbol]))

    def _deleverage(self, account: int, symbol: int, money: int) -> None:
        """Profitable accounts on the other side get the position for `money`; the fund has what they do not."""
        desk, wallets = self._desk, self._desk.wallets
        lots = int(wallets.held[account, symbol])
        price = self._a_lot(money, lots, symbol)
        left, unpaid = abs(lots), money
        sign = 1 if lots > 0 else -1
        for winner, size in deleverage(left, self._candidates(symbol, is_long=lots < 0), self._pack.fund.adl_rank):
            part = unpaid if size == left else money * size // abs(lots)
            desk.cancel_all(winner, symbol)
            desk.assign(winner, account, symbol, sign * size, price, part, Reason.DELEVERAGED)
            left, unpaid = left - size, unpaid - part
        if left:
            desk.assign(desk.fund, account, symbol, sign * left, price, unpaid, Reason.TAKEOVER)

    def _candidates(self, symbol: int, *, is_long: bool) -> list[Candidate]:
        desk, wallets = self._desk, self._desk.wallets
        held = wallets.held[: desk.fund, symbol]
        found = []
        for account in np.flatnonzero(held > 0 if is_long else held < 0):
            case = Case(int(account), symbol if wallets.alone[account, symbol] else NOWHERE)
            value = abs(self._value(int(account), symbol))
            cost = abs(int(wallets.cost[account, symbol]))
            found.append(Candidate(int(account), abs(int(held[account])), value, cost, is_long, self._standing(case)[0]))
        return found

    def _sell_inventory(self, now_ns: int) -> None:
        """The fund's own positions, on the same path."""
        fund = self._desk.fund
        for symbol in np.flatnonzero(self._desk.wallets.held[fund]):
            k = int(symbol)
            if self._is_matching(k) and now_ns >= self._next_ns.get((fund, k), 0):
                # As if it were bankrupt: an auction offers it at its last price, for the fund waits for no better one.
                self._dispose(fund, k, 0, 1, now_ns)

    def _share_losses(self) -> None:
        """Makes a fund whose equity is negative whole, out of open profits, in proportion; what they do not cover stays."""
        desk, wallets = self._desk, self._desk.wallets
        shortfall = -self._fund_equity()
        self.uncovered[0] = 0
        if shortfall <= 0:
            return
        cases = [Case(int(a), NOWHERE) for a in np.flatnonzero(((wallets.held != 0) & (wallets.alone == 0)).any(axis=1))]
        cases += [Case(int(a), int(k)) for a, k in isolated_positions(wallets)]
        cases = [case for case in cases if case.account < desk.fund]
        gains = [self._gain(case) for case in cases]
        for case, money in zip(cases, socialise(shortfall, gains), strict=True):
            desk.change(case.account, -money, LedgerLine.SOCIALISED, case.symbol)
            desk.change(desk.fund, money, LedgerLine.SOCIALISED)
        self.uncovered[0] = max(0, shortfall - sum(gains))

    def _gain(self, case: Case) -> int:
        """Open profit, no more than the equity that it stands in."""
        cost = self._desk.wallets.cost
        profit = sum(self._value(case.account, k) - int(cost[case.account, k]) for k in self._positions(case))
        return max(0, min(profit, self._standing(case)[0]))
