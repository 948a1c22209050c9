"""The largest position that survives a chosen stress, with the book that is there: isolated, or beside what an account has.

A size survives if it can be had and left: the book's depth lets it in, its margin at entry is there, after the stress the
account is not up for liquidation, and selling all of it into the thinned book then leaves nothing owed. Twice the size in a
thin book costs more than twice, so the depth decides long before the ladder does.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

import msgspec

from engine.contract import MICRO
from engine.exact import exact, positive, rounded, share
from engine.holdings import AccountHeld, Holdings, HoldingsError
from engine.margin.states import at_ppm
from engine.margining import Terms, initial_of, maintenance_of, portfolio_requirement
from engine.rules import risk_terms
from engine.wallets import MOST_MICRO, value_micro

BOUNDS: Final = (
    "depth to enter",
    "position limit",
    "initial margin",
    "maintenance after the stress",
    "depth to leave",
    "cost of leaving",
)
"""What may bound a size, in the order in which it is looked at."""


class Stress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a size must survive.

    Attributes:
        move: how far the price goes against the position, a share above 0 (below 1 for a long).
        liquidity: share of the book that is left when it must be closed, above 0.
        correlation: of the account's other markets with this one: they go as many of their extreme moves, times this.
    """

    move: Fraction
    liquidity: Fraction = Fraction(1)
    correlation: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        positive(self.move, "move")
        share(positive(self.liquidity, "liquidity"), "liquidity")
        share(self.correlation, "correlation")


class Outcome(NamedTuple):
    """Of one size. Money in micro-units.

    Attributes:
        bound: the first of BOUNDS that it breaks, "" for none.
        notional: at the mark.
        entry_cost, exit_cost: what entering and leaving cost beyond mark and stressed mark, fees included.
        equity, initial: at entry, of all that is margined with it.
        stressed_equity, maintenance: after the stress.
        left: equity after it was closed.
    """

    bound: str
    notional: int
    entry_cost: int
    equity: int
    initial: int
    stressed_equity: int
    maintenance: int
    exit_cost: int
    left: int


class Sized(NamedTuple):
    """`lots` that can be added, what they come to, and what one lot step more does; `bound` of that one is the binding one."""

    lots: int
    at: Outcome
    beyond: Outcome


def largest_isolated(holdings: Holdings, symbol: str, wallet: int, stress: Stress, *, is_long: bool) -> Sized:
    """The largest position with a wallet of its own.

    Args:
        holdings: the market's book and the pack.
        symbol: of the market.
        wallet: micro-units that the position lives on, above 0.
        stress, is_long: see `Stress`.

    Raises:
        HoldingsError: no such market.
    """
    return _largest(holdings, symbol, AccountHeld("", wallet, False, "", (), ()), stress, is_long=is_long)


def largest_cross(holdings: Holdings, symbol: str, account: str, stress: Stress, *, is_long: bool) -> Sized:
    """The largest that an account can add beside its cross positions; what it has in the market is part of it.

    Raises:
        HoldingsError: no such market or account.
    """
    for held in holdings.accounts:
        if held.account == account:
            cross = tuple(position for position in held.positions if position.wallet is None)
            return _largest(holdings, symbol, held._replace(positions=cross), stress, is_long=is_long)
    raise HoldingsError(f"there is no account {account!r} in the holdings")


def _largest(holdings: Holdings, symbol: str, account: AccountHeld, stress: Stress, *, is_long: bool) -> Sized:
    try:
        k = holdings.market(symbol)
    except KeyError:
        raise HoldingsError(f"there is no market {symbol!r} in the holdings") from None
    if is_long and stress.move >= 1:
        raise HoldingsError(f"move is {float(stress.move):g}, a price cannot fall by all of it or more")
    desk = _Desk(holdings, k, account, stress, is_long=is_long)
    step = holdings.markets[k].instrument.lot_step
    book = holdings.markets[k].asks if is_long else holdings.markets[k].bids
    # What closes a position on the other side is no risk of its own: search from there. Where even that does not survive, the
    # position may have been a hedge, of which a part can go.
    low = max(0, -desk.held if is_long else desk.held) // step
    high = max(low, sum(lots for _, lots in book) // step)
    if desk.outcome(low * step).bound:
        low, high = 0, low
        if desk.outcome(0).bound:
            return Sized(0, desk.outcome(0), desk.outcome(step))
    while low < high:
        middle = (low + high + 1) // 2
        if desk.outcome(middle * step).bound:
            high = middle - 1
        else:
            low = middle
    return Sized(low * step, desk.outcome(low * step), desk.outcome((low + 1) * step))


class _Desk:
    """One question, for which sizes are tried."""

    def __init__(self, holdings: Holdings, k: int, account: AccountHeld, stress: Stress, *, is_long: bool) -> None:
        instruments = tuple(market.instrument for market in holdings.markets)
        terms = risk_terms(holdings.pack, instruments)
        for number, market in enumerate(holdings.markets):
            terms.prices[number] = market.mark
        terms.doubtful[:] = 0
        after = terms._replace(prices=terms.prices.copy())
        sign = -1 if is_long else 1
        extremes = holdings.pack.stress.extreme_bps
        for number, market in enumerate(holdings.markets):
            moved = sign * stress.move
            if number != k:
                kinds = (market.instrument.kind, instruments[k].kind)
                ratio = Fraction(extremes[kinds[0]], extremes[kinds[1]]) if set(kinds) <= set(extremes) else Fraction(1)
                moved = max(Fraction(-1), moved * stress.correlation * ratio)
            after.prices[number] = max(MICRO, rounded(market.mark * (1 + moved), "down"))
        self.before: Terms = terms
        self.after: Terms = after
        self.k = k
        self.market = holdings.markets[k]
        self.sign = 1 if is_long else -1
        self.pack = holdings.pack
        self.is_portfolio = account.is_portfolio
        self.others = {position.market: position.lots for position in account.positions if position.market != k}
        self.held = sum(position.lots for position in account.positions if position.market == k)
        self.cash = account.cash - sum(position.cost for position in account.positions)
        for asset, amount in account.collateral:
            row = holdings.collateral[asset]
            self.cash += amount * row.price // MICRO * (MICRO - row.haircut_ppm) // MICRO
        self.liquidity_ppm = rounded(stress.liquidity * MICRO, "down")
        self.fee_ppm = holdings.pack.fees.tiers[0][1]

    def outcome(self, lots: int) -> Outcome:
        """What adding this many lots comes to."""
        unit = self.market.instrument.notional_micro
        mark, stressed = int(self.before.prices[self.k]), int(self.after.prices[self.k])
        paid, missing_in = self._walk(self.sign * lots, 0, MICRO)
        entered = abs(paid)
        fee = -(-entered * self.fee_ppm // MICRO)
        total = self.held + self.sign * lots
        notional = abs(int(value_micro(total, mark, unit)))
        cash = self.cash - paid - fee
        positions = {**self.others, self.k: total}
        equity, initial = self._standing(self.before, cash, positions, is_initial=True)
        stressed_equity, needed = self._standing(self.after, cash, positions, is_initial=False)
        got, missing_out = self._walk(-total, stressed - mark, self.liquidity_ppm)
        exit_cost = int(value_micro(total, stressed, unit)) + got + -(-abs(got) * self.fee_ppm // MICRO)
        left = stressed_equity - exit_cost
        limit = at_ppm(needed, self.pack.states.liquidate_ppm)
        is_due = stressed_equity < limit or (stressed_equity == limit and self.pack.margin.liquidate_at_equality)
        cap = int(self.before.ladders[self.k]["cap_micro"])
        broken = (
            missing_in > 0,
            notional >= MOST_MICRO or 0 < cap < notional,
            equity < initial,
            total != 0 and (is_due or stressed_equity < 0),
            missing_out > 0,
            left < 0,
        )
        bound = next((name for name, is_broken in zip(BOUNDS, broken, strict=True) if is_broken), "")
        entry_cost = paid - int(value_micro(self.sign * lots, mark, unit)) + fee
        return Outcome(bound, notional, entry_cost, equity, initial, stressed_equity, int(needed), exit_cost, left)

    def _standing(self, terms: Terms, cash: int, positions: dict[int, int], *, is_initial: bool) -> tuple[int, int]:
        """(equity, requirement)."""
        equity, falling, rising, initial = cash, 0, 0, 0
        for k, lots in positions.items():
            value = int(value_micro(lots, terms.prices[k], terms.units[k]))
            equity += value
            needed = int(maintenance_of(terms, k, abs(value)))
            falling, rising = (falling + needed, rising) if lots > 0 else (falling, rising + needed)
            initial += int(initial_of(terms, k, abs(lots)))
        if is_initial:
            return equity, initial
        total = falling + rising
        return equity, int(portfolio_requirement(total, falling, rising)) if self.is_portfolio else total

    def _walk(self, lots: int, shift: int, liquidity_ppm: int) -> tuple[int, int]:
        """(micro-units paid, below 0: got; lots that found nobody) of buying `lots`, below 0: selling, in the book moved by
        `shift` micro-ticks."""
        unit = self.market.instrument.notional_micro
        paid, left, total, before = 0, abs(lots), 0, 0
        for ticks, size in self.market.asks if lots > 0 else self.market.bids:
            price = ticks * MICRO + shift
            if left == 0 or price <= 0:
                break
            total += size
            there = total * liquidity_ppm // MICRO - before
            before += there
            taken = min(left, there)
            paid += int(value_micro(taken if lots > 0 else -taken, price, unit))
            left -= taken
        return paid, left


def stress_of(move: object, liquidity: object = 1, correlation: object = 1) -> Stress:
    """A `Stress` of plain numbers. Raises ValueError naming the one that is none."""
    return Stress(exact(move, "move"), exact(liquidity, "liquidity"), exact(correlation, "correlation"))  # type: ignore[arg-type]
