"""Mark price, premium and funding rate from index and book. Pure functions of integers, also callable from Python.

Prices are micro-ticks, rates and premiums micro-basis-points (1e-10), times nanoseconds. Formulas: RISK-SPEC section 4,
Binance. Every division rounds down.

    >>> mark_price(100_000_000, 99_000_000, 100_500_000)
    100000000
    >>> funding_rate(0, 1_000_000, 5_000_000, 28_800)
    1000000
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from engine.arithmetic import mul_div_floor
from engine.contract import MICRO

RATE_ONE: Final = 10_000 * MICRO
"""A rate of 100 % in micro-basis-points."""

EIGHT_HOURS_S: Final = 8 * 3600

_MOST: Final = 2**62
"""Of a price times lots, so that a sum of two is an int64."""


@njit(cache=True, nogil=True)
def funding_price(index: int, rate: int, remaining_ns: int, interval_ns: int) -> int:
    """P1 of the mark: the index with what is left of the interval's funding, `index * (1 + rate * remaining / interval)`."""
    return index + mul_div_floor(mul_div_floor(index, rate, RATE_ONE), remaining_ns, interval_ns)


@njit(cache=True, nogil=True)
def basis_price(index: int, basis_sum: int, samples: int) -> int:
    """P2 of the mark: the index plus the mean of `samples` one-second samples of mid - index. The index if there are none."""
    return index if samples == 0 else index + basis_sum // samples


@njit(cache=True, nogil=True)
def mark_price(funding: int, basis: int, contract: int) -> int:
    """The mark: the median of P1, P2 and the contract's own last price."""
    return max(min(funding, basis), min(max(funding, basis), contract))


@njit(cache=True, nogil=True)
def impact_price(prices: np.ndarray, lots: np.ndarray, levels: int, notional_micro: int, unit_micro: int) -> int:
    """Average price of a market order worth `notional_micro`, micro-ticks; 0 if the side is too thin for it.

    A side whose next price is out of all proportion to those before it counts as thin, too.

    Args:
        prices: int64[levels…], ticks, best first.
        lots: int64[levels…] at those prices.
        levels: how many of them count.
        notional_micro: micro-units of the quote to fill, at least `unit_micro`.
        unit_micro: micro-units of the quote that one lot is worth at one tick.
    """
    # In tick-lots. The last level is taken in part, by `rest / price` lots, a fraction.
    wanted = notional_micro // unit_micro
    rest = wanted
    taken = 0
    for k in range(levels):
        worth = prices[k] * lots[k]
        if taken > _MOST // prices[k]:
            return 0
        if worth >= rest:
            return mul_div_floor(wanted, prices[k] * MICRO, taken * prices[k] + rest)
        taken += lots[k]
        rest -= worth
    return 0


@njit(cache=True, nogil=True)
def premium(index: int, impact_bid: int, impact_ask: int) -> int:
    """`(max(0, impact_bid - index) - max(0, index - impact_ask)) / index`, micro-basis-points; an impact price of 0 gives 0."""
    above = max(0, impact_bid - index) if impact_bid > 0 else 0
    below = max(0, index - impact_ask) if impact_ask > 0 else 0
    return mul_div_floor(above - below, RATE_ONE, index)


@njit(cache=True, nogil=True)
def funding_rate(mean_premium: int, interest: int, clamp: int, interval_s: int) -> int:
    """Rate of one interval, `(P + clamp(I - P, ± clamp)) / (8 h / interval)`.

    Args:
        mean_premium: P, the interval's mean premium.
        interest: I, the interest part of eight hours.
        clamp: bound of I - P.
        interval_s: seconds from one settlement to the next.
    """
    rate = mean_premium + min(max(interest - mean_premium, -clamp), clamp)
    return mul_div_floor(rate, interval_s, EIGHT_HOURS_S)
