"""What every account is worth and must hold, at the venue's prices: the kernels of margin checks, for one order and for
everybody.

Cross positions of an account are valued and margined together, or as a portfolio; an isolated position only with its own
wallet. Money is micro-units of the quote; ladders are `engine.margin.ladder`'s records, one a symbol (`count` 0: no margin
is asked).

A portfolio's requirement is the larger of two (RISK-SPEC 5): the worse of "all prices fall" and "all prices rise", each
underlying by the maintenance rate of its own ladder and without a gain to set off (correlation one), and what may be set off
at most by EMIR article 27, `Σ - 80 % of (Σ - combined)`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from engine.contract import MICRO, Reason, Reference
from engine.margin.ladder import initial_in_units, initial_micro, maintenance_in_units, maintenance_micro
from engine.wallets import MOST_MICRO, Wallets, value_micro

_OFFSET_MOST: Final = 80  # per cent, EMIR article 27


class Terms(NamedTuple):
    """What a margin check looks at besides wallets and positions. S symbols."""

    ladders: np.ndarray
    """LADDER_DTYPE [S]."""
    units: np.ndarray
    """int64 [S]: micro-units of the quote that a lot is worth at a tick."""
    prices: np.ndarray
    """int64 [S]: the price that drives margin, micro-ticks; 0: not known."""
    doubtful: np.ndarray
    """uint8 [S]: the price is missing or too old to force anybody out."""
    closing_ppm: np.ndarray
    """int64 [1]: taker fee that is part of the maintenance margin, ppm of notional; 0 for none."""


@njit(cache=True, nogil=True)
def margin_price(price: np.void, margin_by: int) -> int:
    """The price of a symbol, SYMBOL_DTYPE, that the Reference `margin_by` names; 0: not known."""
    if margin_by == _BY_INDEX:
        chosen: int = price["index"]
    elif margin_by == _BY_LAST:
        chosen = price["last"]
    else:
        chosen = price["mark"]
    return chosen


@njit(cache=True, nogil=True)
def maintenance_of(terms: Terms, symbol: int, notional: int) -> int:
    """Maintenance margin of one position with its closing fee, where that is inside; 0 for an instrument without margin."""
    needed: int = maintenance_by(terms.ladders[symbol], terms.closing_ppm[0], notional)
    return needed


@njit(cache=True, nogil=True)
def maintenance_by(ladder: np.void, fee_ppm: int, notional: int) -> int:
    """The same of a ladder: handing on a record costs nothing, handing on arrays a reference count each."""
    if ladder["count"] == 0 or notional == 0:
        return 0
    needed: int = maintenance_in_units(ladder, notional) if ladder["unit_micro"] else maintenance_micro(ladder, notional)
    if fee_ppm > 0:
        needed += notional // MICRO * fee_ppm - (-(notional % MICRO * fee_ppm) // MICRO)
    return needed


@njit(cache=True, nogil=True)
def assess(wallets: Wallets, terms: Terms, equity: np.ndarray, needed: np.ndarray, sure: np.ndarray, first: int = 0) -> None:
    """Equity and maintenance margin of the cross positions of everybody: int64 [A], int64 [A], uint8 [A], which it fills.

    `sure` is 0 where a position's price is missing or stale. With `first` it is about the accounts from there on, as many as
    there is room for. One loop for all: a call for each account would count the references of all arrays.
    """
    prices, units, doubtful, ladders, fee_ppm = terms.prices, terms.units, terms.doubtful, terms.ladders, terms.closing_ppm[0]
    cash, held, alone, portfolio = wallets.cash, wallets.held, wallets.alone, wallets.portfolio
    for i in range(len(equity)):
        a = first + i
        worth = cash[a]
        total = 0
        rising = 0
        falling = 0
        sure[i] = 1
        for k in range(held.shape[1]):
            lots = held[a, k]
            if lots == 0 or alone[a, k] != 0:
                continue
            if doubtful[k]:
                sure[i] = 0
            value = value_micro(lots, prices[k], units[k])
            worth += value
            part = maintenance_by(ladders[k], fee_ppm, abs(value))
            total += part
            if lots > 0:
                falling += part
            else:
                rising += part
        if portfolio[a] != 0:
            total = portfolio_requirement(total, falling, rising)
        equity[i] = worth
        needed[i] = total


def assess_one(wallets: Wallets, terms: Terms, a: int) -> tuple[int, int]:
    """Equity and maintenance margin of one account's cross positions."""
    equity, needed, sure = np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.uint8)
    assess(wallets, terms, equity, needed, sure, a)
    return int(equity[0]), int(needed[0])


@njit(cache=True, nogil=True)
def portfolio_requirement(total: int, falling: int, rising: int) -> int:
    """See the module. `falling`: what the longs lose when all prices fall, `rising`: the shorts when all rise, `total`:
    their sum."""
    combined = abs(falling - rising)
    floor = total - (total - combined) * _OFFSET_MOST // 100
    return max(floor, falling, rising)


@njit(cache=True, nogil=True)
def assess_alone(wallets: Wallets, terms: Terms, a: int, k: int) -> tuple[int, int]:
    """Equity and maintenance margin of an isolated position."""
    value = value_micro(wallets.held[a, k], terms.prices[k], terms.units[k])
    return wallets.isolated[a, k] + value, maintenance_of(terms, k, abs(value))


def isolated_positions(wallets: Wallets) -> np.ndarray:
    """(account, symbol) of every isolated position, int64 [n, 2], ascending."""
    found: np.ndarray = np.argwhere(wallets.alone)
    found = found[wallets.held[found[:, 0], found[:, 1]] != 0]
    return found


@njit(cache=True, nogil=True)
def available(wallets: Wallets, terms: Terms, holdings: np.ndarray, a: int) -> int:
    """Equity of the cross wallet beyond the initial margin of its positions and open orders; negative where that is not met."""
    left: int = wallets.cash[a]
    for k in range(len(terms.units)):
        if wallets.alone[a, k] == 0:
            holding = holdings[a, k]
            if holding["lots"] != 0 or holding["open"][0] != 0 or holding["open"][1] != 0:
                left += value_micro(holding["lots"], terms.prices[k], terms.units[k])
                left -= initial_of(terms, k, _exposure(holding, 0, 0))
    return left


@njit(cache=True, nogil=True)
def initial_of(terms: Terms, symbol: int, lots: int) -> int:
    """Initial margin of an exposure of `lots`; 0 for an instrument without margin."""
    ladder = terms.ladders[symbol]
    if ladder["count"] == 0 or lots == 0:
        return 0
    notional = value_micro(lots, terms.prices[symbol], terms.units[symbol])
    needed: int = initial_in_units(ladder, notional) if ladder["unit_micro"] else initial_micro(ladder, notional)
    return needed


@njit(cache=True, nogil=True)
def refusal(wallets: Wallets, terms: Terms, holdings: np.ndarray, a: int, symbol: int, side: int, lots: int, price: int) -> int:
    """The Reason why the account may not have `lots` more open on that side, or NONE (RISK-SPEC 3; the larger side counts).

    What an order pays beyond the mark is lost at once, so it is asked for, too. Orders that leave the larger side as it is are
    always borne: they reduce. `price` in ticks, 0: at the mark.
    """
    ladder = terms.ladders[symbol]
    if ladder["count"] == 0 or lots <= 0:
        return _NONE
    holding = holdings[a, symbol]
    before = _exposure(holding, 0, 0)
    after = _exposure(holding, side, lots)
    if after <= before:
        return _NONE
    mark = terms.prices[symbol]
    if mark == 0 or terms.doubtful[symbol]:
        return _PRICE_UNKNOWN
    unit = terms.units[symbol]
    value = value_micro(after, mark, unit)
    if value >= MOST_MICRO or (ladder["cap_micro"] > 0 and value > ladder["cap_micro"]):
        return _POSITION_LIMIT
    worse = price * MICRO - mark if side == 0 else mark - price * MICRO
    lost = value_micro(lots, worse, unit) if price > 0 and worse > 0 else 0
    if wallets.alone[a, symbol]:
        left = wallets.isolated[a, symbol] + value_micro(holding["lots"], mark, unit) - initial_of(terms, symbol, before)
    else:
        left = available(wallets, terms, holdings, a)
    asked = initial_of(terms, symbol, after) - initial_of(terms, symbol, before) + lost
    return _NONE if left >= asked else _INSUFFICIENT_MARGIN


@njit(cache=True, nogil=True)
def _exposure(holding: np.void, side: int, more: int) -> int:
    """Lots of the larger side: the position with its open buys, or with its open sells, with `more` on one of them."""
    buys = holding["lots"] + holding["open"][0] + (more if side == 0 else 0)
    sells = holding["open"][1] - holding["lots"] + (more if side == 1 else 0)
    larger: int = max(buys, sells)
    return larger


_BY_INDEX: Final = int(Reference.INDEX)
_BY_LAST: Final = int(Reference.LAST)
_NONE: Final = int(Reason.NONE)
_PRICE_UNKNOWN: Final = int(Reason.PRICE_UNKNOWN)
_POSITION_LIMIT: Final = int(Reason.POSITION_LIMIT)
_INSUFFICIENT_MARGIN: Final = int(Reason.INSUFFICIENT_MARGIN)
