"""Funding of several venues: impact price, premium, rates with their clamps and caps, and who pays whom. Rates are shares of
notional.

Where nothing else is said, prices are in quote units, sizes in base units and rates belong to one settlement interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Final

from engine.contract import MICRO
from engine.exact import Number, clamp, exact, not_negative, positive, rounded, share

Levels = Sequence[tuple[Number, Number]]
"""(price, size) of one side, best first."""

_IMPACT_MARGIN: Final = 200
_PPM: Final = 1_000_000


def impact_notional(initial_rate: Number) -> Fraction:
    """Notional that impact prices are taken for: 200 quote units over the initial rate at the highest leverage (Binance).

    >>> impact_notional("0.05")  # P22
    Fraction(4000, 1)
    """
    return _IMPACT_MARGIN / positive(initial_rate, "initial_rate")


def impact_price(levels: Levels, notional: Number) -> Fraction | None:
    """Average price of filling `notional` into a side; None where the side is too thin."""
    wanted = positive(notional, "notional")
    left, size = wanted, Fraction(0)
    for price, quantity in levels:
        at, there = positive(price, "price"), not_negative(quantity, "size")
        taken = min(left, at * there)
        size += taken / at
        left -= taken
        if left == 0:
            return wanted / size
    return None


def premium(index: Number, bids: Levels, asks: Levels, notional: Number) -> Fraction:
    """`[max(0, impact bid - index) - max(0, index - impact ask)] / index`; a side too thin for the notional counts as 0 (dYdX).

    >>> book = [(9_999, "0.1"), (9_998, 1)]
    >>> in_ppm(premium(9_000, book, [], 5_000))  # P18
    110911
    """
    base = positive(index, "index")
    bid, ask = impact_price(bids, notional), impact_price(asks, notional)
    above = max(Fraction(0), bid - base) if bid is not None else Fraction(0)
    below = max(Fraction(0), base - ask) if ask is not None else Fraction(0)
    return (above - below) / base


def in_ppm(rate: Fraction, most: Number | None = None) -> int:
    """A premium in whole parts per million, truncated toward zero, within plus or minus `most`, if that is given (dYdX)."""
    bounded = rate if most is None else clamp(rate, -not_negative(most, "most"), not_negative(most, "most"))
    return rounded(bounded * _PPM, "to_zero")


def mean_premium(samples: Sequence[Number], *, weighted: bool = False) -> Fraction:
    """Mean of the interval's premiums; `weighted` gives sample i the weight i, from 1 on (Binance and Bybit, by the minute)."""
    if not samples:
        raise ValueError("samples is empty: an interval without a premium has no mean")
    weights = range(1, len(samples) + 1) if weighted else [1] * len(samples)
    total = sum((weight * exact(sample, "sample") for weight, sample in zip(weights, samples, strict=True)), Fraction(0))
    return total / sum(weights)


def interest(quote_rate: Number, base_rate: Number, intervals_a_day: Number) -> Fraction:
    """Interest part of an interval: daily rate of the quote less that of the base, over the intervals of a day.

    >>> float(interest("0.0006", "0.0003", 3))  # P22
    0.0001
    """
    return (exact(quote_rate, "quote_rate") - exact(base_rate, "base_rate")) / positive(intervals_a_day, "intervals_a_day")


def binance_rate(
    mean: Number,
    interest_rate: Number = "0.0001",
    *,
    bound: Number = "0.0005",
    interval_h: Number = 8,
    cap: Number | None = None,
) -> Fraction:
    """`[P + clamp(I - P, ±0.05 %)] / (8 / N)`, N hours an interval (Binance since September 2025); within ±cap, if given.

    >>> float(binance_rate("0.002")), float(binance_rate("0.002", interval_h=4))
    (0.0015, 0.00075)
    """
    p = exact(mean, "mean")
    most = not_negative(bound, "bound")
    rate = (p + clamp(exact(interest_rate, "interest_rate") - p, -most, most)) * positive(interval_h, "interval_h") / 8
    return rate if cap is None else clamp(rate, -not_negative(cap, "cap"), not_negative(cap, "cap"))


def maintenance_cap(maintenance_rate: Number, factor: Number = "0.75") -> Fraction:
    """Cap of a rate: k times the maintenance rate of the first tier, k 0.75 or 1 by announcement (Binance)."""
    return positive(factor, "factor") * share(maintenance_rate, "maintenance_rate")


def hyperliquid_rate(mean: Number, interest_rate: Number = "0.0001", *, cap_an_hour: Number = "0.04") -> Fraction:
    """The 8-hour rate, an eighth of which is paid each hour, at most 4 % an hour: the rate of one hour (Hyperliquid)."""
    most = not_negative(cap_an_hour, "cap_an_hour")
    return clamp(binance_rate(mean, interest_rate) / 8, -most, most)


def dydx_cap(initial_rate: Number, maintenance_share: Number, factor: Number = 6) -> Fraction:
    """Cap of dYdX's 8-hour rate: `600 % · (IMF - MMF)`, with `MMF = IMF · share`.

    >>> float(dydx_cap("0.15", "0.8"))  # P21
    0.18
    """
    initial = share(initial_rate, "initial_rate")
    return positive(factor, "factor") * initial * (1 - share(maintenance_share, "maintenance_share"))


def twap(start: Number, points: Sequence[tuple[Number, Number]], end: Number) -> Fraction:
    """Time-weighted mean of a price from time `start` to `end`: each of `points` (time, price) holds until the next (Vega
    0053).

    A point at or before the start says what holds there.

    >>> mark = [(0, 10), (1, 11), (3, 10), (5, 9), (7, 8), (9, 7)]
    >>> float(twap(0, mark, 10))  # P23
    9.3
    """
    begin, over = exact(start, "start"), exact(end, "end")
    timed = [(exact(at, "time"), exact(price, "price")) for at, price in points]
    if over <= begin or not timed or timed[0][0] > begin:
        raise ValueError("end must be after start, and the first point at or before it")
    if any(later[0] < earlier[0] for earlier, later in pairwise(timed)):
        raise ValueError("points: time goes back")
    total = Fraction(0)
    for k, (at, price) in enumerate(timed):
        until = timed[k + 1][0] if k + 1 < len(timed) else over
        total += price * max(Fraction(0), min(until, over) - max(at, begin))
    return total / (over - begin)


def vega_rate(
    internal: Number,
    external: Number,
    *,
    elapsed_years: Number = 0,
    interest_rate: Number = 0,
    low: Number = 0,
    high: Number = 0,
    active_share: Number = 1,
    scale: Number = 1,
    floor: Number | None = None,
    cap: Number | None = None,
) -> Fraction:
    """Vega 0053: `f - s + min(hi·s, max(lo·s, (1 + Δt·r)·s - f))` over s, for the share of time out of auction, scaled, then
    bounded.

    Args:
        internal, external: f and s, the two time-weighted prices.
        elapsed_years, interest_rate: Δt and r.
        low, high: lo and hi, the clamps of the interest part.
        active_share: share of the interval in which the market was not in an auction.
        scale, floor, cap: of the rate.

    >>> float(vega_rate(99, 100, scale="2.5")), float(vega_rate(99, 100, floor="-0.005"))  # P24
    (-0.025, -0.005)
    """
    f, s = exact(internal, "internal"), positive(external, "external")
    grown = (1 + exact(elapsed_years, "elapsed_years") * exact(interest_rate, "interest_rate")) * s - f
    lower, upper = exact(low, "low"), exact(high, "high")
    if lower > upper:
        raise ValueError("low must not be above high")
    rate = (f - s + min(upper * s, max(lower * s, grown))) / s
    rate *= share(active_share, "active_share") * not_negative(scale, "scale")
    if floor is not None:
        rate = max(rate, exact(floor, "floor"))
    return rate if cap is None else min(rate, exact(cap, "cap"))


def gmx_rates(
    long_interest: Number, short_interest: Number, factor_a_second: Number, seconds: Number = 1
) -> tuple[Fraction, Fraction]:
    """(rate of longs, rate of shorts), above 0 where they pay: the larger side pays by imbalance, the smaller one gets it
    (GMX).

    `factor · |long - short| / (long + short)` of its notional from the larger side; the same money is a larger rate for the
    smaller.

    >>> [float(rate) for rate in gmx_rates(150_000, 50_000, "1/50000")]  # P26: 0.001 % and -0.003 %
    [1e-05, -3e-05]
    """
    longs, shorts = not_negative(long_interest, "long_interest"), not_negative(short_interest, "short_interest")
    if longs == 0 or shorts == 0:
        return Fraction(0), Fraction(0)  # there is nobody to pay to, or nobody who pays
    paid = positive(factor_a_second, "factor_a_second") * positive(seconds, "seconds") * abs(longs - shorts) / (longs + shorts)
    if longs >= shorts:
        return paid, -paid * longs / shorts
    return -paid * shorts / longs, paid


def payment_micro(lots: int, mark: int, unit_micro: int, rate: int) -> int:
    """What a position pays (below 0: gets) at a settlement: `position · mark · rate`, rounded up, so that payers pay for the
    rounding.

    Args:
        lots: a short is negative; a positive rate makes longs pay.
        mark: micro-ticks.
        unit_micro: micro-units of the quote that a lot is worth at a tick.
        rate: micro-basis-points.

    >>> payment_micro(3, 100_000_000, 5_000, 1_000_000), payment_micro(-3, 100_000_000, 5_000, 1_000_000)
    (150, -150)
    """
    return -(-lots * mark * unit_micro * rate // (MICRO * 10_000 * MICRO))


def is_crowded(funding_z: Number, volatility_z: Number, threshold: Number = 2) -> bool:
    """Whether funding and realised volatility are both unusual: their z-scores exceed the threshold (RISK-SPEC 4, a proposal).

    Extreme funding alone is a carry trade, volatility alone is news; together they are a crowd that must leave.
    """
    limit = positive(threshold, "threshold")
    return abs(exact(funding_z, "funding_z")) > limit and exact(volatility_z, "volatility_z") > limit
