"""Self-exciting arrivals: a multivariate Hawkes process a market, with a fast and a slow exponential kernel.

Kinds are market buys and sells, limit buys and sells, and cancels; each arrival raises the rate of its own and of other
kinds, and market orders those of the same side in other markets one tick later. Drawn by Ogata's thinning (1981).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit

from engine.simulation.config import TICKS_PER_SECOND
from engine.simulation.generator import exponential, uniform
from engine.simulation.state import ARRIVALS

RATES: Final = np.array([2.6, 2.6, 3.6, 3.6, 6.5])
"""Mean arrivals a second of the busiest market, by kind."""

CHILDREN: Final = np.array(
    [
        # buy   sell  limit buy/sell  cancel: what one arrival of the row's kind begets on average, both kernels together
        [0.30, 0.06, 0.14, 0.10, 0.20],
        [0.06, 0.30, 0.10, 0.14, 0.20],
        [0.02, 0.01, 0.18, 0.05, 0.12],
        [0.01, 0.02, 0.05, 0.18, 0.12],
        [0.01, 0.01, 0.08, 0.08, 0.22],
    ]
)
CROSS: Final = 0.06
"""Market orders of the same side that one market order begets in all other markets together."""

_FAST_SHARE: Final = 0.7
_DECAY: Final = np.array([8.0, 0.08])
"""Kernels' decay per second: 125 ms and 12.5 s."""

_TILT_UNIT: Final = 2.0e-4
"""Gap between fair and mid at which takers of the one side come e times as often."""


def base_rates(activity: float) -> np.ndarray:
    """Rates that, with their children, come to `activity * RATES`. float64[ARRIVALS]."""
    base: np.ndarray = RATES - (CHILDREN * RATES[:, None]).sum(axis=0)
    base[:2] -= CROSS * RATES[:2]
    base *= activity
    return base


@njit(cache=True, nogil=True)
def excite(market: np.void, kind: int, times: float) -> None:
    """Adds the children of `times` arrivals of a kind."""
    for child in range(ARRIVALS):
        weight = CHILDREN[kind, child] * times
        market["excited"][0, child] += weight * _FAST_SHARE * _DECAY[0]
        market["excited"][1, child] += weight * (1.0 - _FAST_SHARE) * _DECAY[1]


@njit(cache=True, nogil=True)
def _taker_tilt(market: np.void) -> float:
    """Log of how much likelier a buyer is than in balance: takers go where the book lags behind what the contract is worth."""
    if market["bid"] == 0 or market["ask"] == 0:
        return 0.0
    mid = 0.5 * (market["bid"] + market["ask"])
    worth = market["fair"] * (1.0 + market["basis"])
    tilt: float = min(1.5, max(-1.5, (worth / mid - 1.0) / _TILT_UNIT))
    return tilt


@njit(cache=True, nogil=True)
def draw_arrivals(
    g: np.ndarray, market: np.void, level: float, crowding: float, out_time: np.ndarray, out_kind: np.ndarray
) -> int:
    """The arrivals of one tick: seconds since its start, ascending, and kinds. Returns how many.

    `level` scales all base rates, `crowding` those of cancels. Arrivals beyond the arrays' length are not drawn.
    """
    tilt = _taker_tilt(market) + market["lean"]
    base = np.empty(ARRIVALS)
    for kind in range(ARRIVALS):
        base[kind] = market["base_rate"][kind] * level
    base[0] *= math.exp(tilt)
    base[1] *= math.exp(-tilt)
    base[4] *= crowding
    base_sum = base.sum()
    excited = market["excited"]
    for side in range(2):
        excited[0, side] += market["carried"][side] * _DECAY[0]
        market["carried"][side] = 0.0
    end = 1.0 / TICKS_PER_SECOND
    now = 0.0
    count = 0
    while True:
        bound = base_sum + excited[0].sum() + excited[1].sum()
        wait = exponential(g, 1.0 / bound)
        if now + wait >= end or count == len(out_time):
            _fade(excited, end - now)
            return count
        now += wait
        _fade(excited, wait)
        draw = uniform(g) * bound
        for kind in range(ARRIVALS):
            draw -= base[kind] + excited[0, kind] + excited[1, kind]
            if draw < 0.0:
                out_time[count] = now
                out_kind[count] = kind
                count += 1
                excite(market, kind, 1.0)
                break


@njit(cache=True, nogil=True)
def carry_over(markets: np.ndarray, symbol: int, side: int) -> None:
    """Tells every other market of a market order; it acts on them in the next tick."""
    share = CROSS / max(1, len(markets) - 1)
    for k in range(len(markets)):
        if k != symbol:
            markets[k]["carried"][side] += share * markets[k]["activity"] / markets[symbol]["activity"]


@njit(cache=True, nogil=True)
def _fade(excited: np.ndarray, seconds: float) -> None:
    for kernel in range(2):
        factor = math.exp(-_DECAY[kernel] * seconds)
        for kind in range(ARRIVALS):
            excited[kernel, kind] *= factor
