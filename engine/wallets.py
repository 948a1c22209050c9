"""What accounts own: cash, isolated wallets, the cost of positions, fees. The money of every trade goes through here.

Cash is what transfers, the money of trades and the ledger's lines leave: `cash + Σ position · price` is an account's equity,
whatever it paid for its position. A position in isolated mode has a wallet of its own, which its trades and its funding move.

The last two accounts are the venue's own: the insurance fund, which also trades what it took over, and the account that fees
go to. All wallets together hold exactly what was transferred in, at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from engine.arithmetic import mul_div_floor
from engine.contract import MICRO, EventKind

OWN_ACCOUNTS: Final = 2
"""The venue's own, behind all others: `fund_account` and `fee_account`."""

VOLUME_DAYS: Final = 30

MOST_MICRO: Final = 2**56
"""Highest value of one position, micro-units of the quote (72 thousand million): beyond, `value_micro` stands still."""

_TAKER: Final = 0
_MAKER: Final = 1

_TRADE: Final = int(EventKind.TRADE)


class Wallets(NamedTuple):
    """Money in micro-units of the quote. A accounts (the venue's own last), S symbols."""

    cash: np.ndarray
    """int64 [A]: the wallet that cross positions share."""
    isolated: np.ndarray
    """int64 [A, S]: wallets of isolated positions."""
    alone: np.ndarray
    """uint8 [A, S]: the symbol is in isolated mode."""
    portfolio: np.ndarray
    """uint8 [A]: the cross positions are margined as a portfolio."""
    cost: np.ndarray
    """int64 [A, S]: what was paid for the open position, positive for a long. Only ranks and reports look at it."""
    held: np.ndarray
    """int64 [A, S]: lots of every position, short is negative; the market's holdings, close together."""
    charged: np.ndarray
    """int64 [A, 2]: fees as taker and as maker that no event has told yet."""
    volume: np.ndarray
    """int64 [A, VOLUME_DAYS]: traded notional by day, whole quote units, at `day % VOLUME_DAYS`."""
    day: np.ndarray
    """int64 [1]: the day of the last clock."""
    tier: np.ndarray
    """int64 [A]: row of `rates`."""
    rates: np.ndarray
    """int64 [tiers, 2]: taker and maker fee in ppm of notional; a rebate is negative. From the pack, or a RULE."""
    floors: np.ndarray
    """int64 [tiers]: 30-day volume in quote units from which a tier holds. From the pack."""


def new_wallets(accounts: int, symbols: int, tiers: Sequence[tuple[int, int, int]]) -> Wallets:
    """Empty wallets of `accounts` besides the venue's own. `tiers`: (30-day volume, taker ppm, maker ppm), rising from 0."""
    everyone = accounts + OWN_ACCOUNTS
    return Wallets(
        cash=np.zeros(everyone, np.int64),
        isolated=np.zeros((everyone, symbols), np.int64),
        alone=np.zeros((everyone, symbols), np.uint8),
        portfolio=np.zeros(everyone, np.uint8),
        cost=np.zeros((everyone, symbols), np.int64),
        held=np.zeros((everyone, symbols), np.int64),
        charged=np.zeros((everyone, 2), np.int64),
        volume=np.zeros((everyone, VOLUME_DAYS), np.int64),
        day=np.zeros(1, np.int64),
        tier=np.zeros(everyone, np.int64),
        rates=np.array([(taker, maker) for _, taker, maker in tiers], np.int64).reshape(-1, 2),
        floors=np.array([floor for floor, _, _ in tiers], np.int64),
    )


@njit(cache=True, nogil=True)
def value_micro(lots: int, price: int, unit_micro: int) -> int:
    """What `lots` are worth at `price` micro-ticks, rounded down; a lot is worth `unit_micro` at a tick.

    In two parts, so that nothing wraps: |price| · unit below 2**84 and |lots| below 2**43 lots.
    """
    whole = price // MICRO
    rest = price - whole * MICRO
    each = whole * unit_micro + rest * unit_micro // MICRO
    part = rest * unit_micro % MICRO
    if abs(lots) > MOST_MICRO // (each + 1):
        return MOST_MICRO if lots > 0 else -MOST_MICRO
    value: int = lots * each + lots * part // MICRO
    return value


@njit(cache=True, nogil=True)
def settle(wallets: Wallets, prices: np.ndarray, events: np.ndarray) -> None:
    """Moves positions and money by the trades among the events, and charges their fees."""
    for i in range(len(events)):
        event = events[i]
        if event["kind"] != _TRADE:
            continue
        k = event["symbol"]
        price = prices[k]
        price["last"] = event["price"] * MICRO
        lots = event["qty"] if event["side"] == 0 else -event["qty"]
        money = lots * event["price"] * price["unit_micro"]
        move(wallets, event["account"], k, lots, money)
        move(wallets, event["contra_account"], k, -lots, -money)
        _charge(wallets, event["account"], k, abs(money), _TAKER)
        _charge(wallets, event["contra_account"], k, abs(money), _MAKER)


@njit(cache=True, nogil=True)
def pay(wallets: Wallets, account: int, symbol: int, money: int) -> None:
    """Takes `money` from the wallet that the account's position in the symbol lives on."""
    if wallets.alone[account, symbol]:
        wallets.isolated[account, symbol] -= money
    else:
        wallets.cash[account] -= money


@njit(cache=True, nogil=True)
def move(wallets: Wallets, account: int, symbol: int, lots: int, money: int) -> None:
    """The account's position changes by `lots`, for which it pays `money`."""
    pay(wallets, account, symbol, money)
    held = wallets.held[account, symbol]
    cost = wallets.cost[account, symbol]
    left = held + lots
    if held == 0 or (held > 0) == (lots > 0):
        cost += money
    elif abs(lots) <= abs(held):
        # What is closed takes its share of the cost with it.
        cost = mul_div_floor(cost, abs(left), abs(held))
    else:
        cost = mul_div_floor(money, abs(left), abs(lots))
    wallets.cost[account, symbol] = cost
    wallets.held[account, symbol] = left


@njit(cache=True, nogil=True)
def _charge(wallets: Wallets, account: int, symbol: int, notional: int, role: int) -> None:
    """The fee of a trade, rounded against who pays it and against who gets a rebate. The venue's own accounts pay none."""
    fund = len(wallets.cash) - OWN_ACCOUNTS
    if account >= fund:
        return
    wallets.volume[account, wallets.day[0] % VOLUME_DAYS] += notional // MICRO
    rate = wallets.rates[wallets.tier[account], role]
    fee = notional // MICRO * rate - (-(notional % MICRO * rate) // MICRO)
    if fee != 0:
        pay(wallets, account, symbol, fee)
        wallets.cash[fund + 1] += fee
        wallets.charged[account, role] += fee


@njit(cache=True, nogil=True)
def begin_day(wallets: Wallets, day: int) -> None:
    """Days since 1970: forgets what is older than VOLUME_DAYS and gives each account the tier of its volume."""
    first = max(wallets.day[0] + 1, day - VOLUME_DAYS + 1)
    for passed in range(first, day + 1):
        wallets.volume[:, passed % VOLUME_DAYS] = 0
    wallets.day[0] = day
    for account in range(len(wallets.cash)):
        traded = wallets.volume[account].sum()
        tier = 0
        while tier + 1 < len(wallets.floors) and traded >= wallets.floors[tier + 1]:
            tier += 1
        wallets.tier[account] = tier
