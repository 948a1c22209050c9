"""The insurance fund: what it earns and pays, what it may take over, and when it stops. Pure.

state = FundState()
state = observe(state, equity=10**12, now_ns=0)
may_take(rules…)
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import msgspec

from engine.contract import MICRO
from engine.exact import Number, exact, not_negative, share

WINDOW_NS: Final = 8 * 3600 * 1_000_000_000
_BUCKET_NS: Final = 60 * 1_000_000_000


def fund_delta(proceeds: Number, bankruptcy: Number, most_fee: Number) -> Fraction:
    """What the fund gets (below 0: pays) of a liquidation: proceeds beyond bankruptcy, at most a share of the proceeds (dYdX).

    >>> [float(fund_delta(5_610, 5_100, fee)) for fee in ("0.005", "0.025", 1)]  # P31
    [28.05, 140.25, 510.0]
    """
    fetched = exact(proceeds, "proceeds")
    gain = fetched - exact(bankruptcy, "bankruptcy")
    return gain if gain < 0 else min(gain, share(most_fee, "most_fee") * abs(fetched))


def covered(shortfall: Number, pool: Number) -> tuple[Fraction, Fraction]:
    """(paid by the pool, left to socialise) of a shortfall.

    >>> covered(3, 1)  # P40
    (Fraction(1, 1), Fraction(2, 1))
    """
    missing = not_negative(shortfall, "shortfall")
    paid = min(missing, not_negative(pool, "pool"))
    return paid, missing - paid


class FundState(msgspec.Struct, frozen=True):
    """The fund's equity over the last 8 hours, by minute, as far as it can still be the peak; and whether ADL stands in for it.

    Attributes:
        peaks: (minute, highest equity in it), falling: later ones that were higher have pushed the earlier out.
        deleveraging: the drawdown was beyond the limit, and has not come back.
    """

    peaks: tuple[tuple[int, int], ...] = ()
    deleveraging: bool = False


def observe(state: FundState, equity: int, now_ns: int, drawdown_ppm: int, resume_ppm: int) -> FundState:
    """The state after the fund's equity was looked at (OKX: ADL from 30 % below the 8-hour peak on; RISK-SPEC 9.17).

    Args:
        state: before.
        equity: micro-units.
        now_ns: not before the last one.
        drawdown_ppm: 0 switches this rule off.
        resume_ppm: back to normal at or above this far below the peak.
    """
    minute = now_ns // _BUCKET_NS
    first = minute - WINDOW_NS // _BUCKET_NS
    peaks = [(at, peak) for at, peak in state.peaks if at > first]
    while peaks and peaks[-1][1] <= equity:
        peaks.pop()
    if not peaks or peaks[-1][0] != minute:
        peaks.append((minute, equity))
    peak = peaks[0][1]
    below = (peak - equity) * MICRO
    if drawdown_ppm == 0 or peak <= 0:
        deleveraging = False
    elif state.deleveraging:
        deleveraging = below > resume_ppm * peak
    else:
        deleveraging = below >= drawdown_ppm * peak
    return FundState(tuple(peaks), deleveraging)


def may_take(state: FundState, fund_equity: int, fund_notional: int, equity: int, notional: int, max_notional_ppm: int) -> bool:
    """Whether the fund takes over positions worth `notional` with the `equity` that comes with them (below 0: it pays).

    Binance refuses above a net-notional limit, by default 100 % of the fund. `max_notional_ppm` 0: no limit.
    """
    if state.deleveraging or fund_equity + equity < 0:
        return False
    return max_notional_ppm == 0 or (fund_notional + notional) * MICRO <= fund_equity * max_notional_ppm
