"""What a position or an order must hold, and what it is worth: mark-to-market, order margin, and the requirements of several
venues.

Sizes in base units, money and prices in quote units. Ladders: `engine.margin.ladder`.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from engine.exact import Number, exact, not_negative, positive, share
from engine.margin.ladder import Ladder, initial_margin


def unrealised_pnl(size: Number, entry: Number, mark: Number) -> Fraction:
    """`size · (mark - entry)`; a short's size is negative.

    >>> [float(unrealised_pnl(size, 100, 120)) for size in ("0.02", "-0.02")]  # P47, Vega
    [0.4, -0.4]
    """
    return exact(size, "size") * (positive(mark, "mark") - positive(entry, "entry"))


def margin_ratio(equity: Number, maintenance: Number) -> Fraction | None:
    """Equity over maintenance margin; None without a position. Below 1 the account cannot hold it (Binance uniMMR)."""
    needed = not_negative(maintenance, "maintenance")
    return exact(equity, "equity") / needed if needed else None


def is_liquidatable(equity: Number, requirement: Number, *, at_equality: bool) -> bool:
    """Whether equity no longer meets the requirement; at equality only by a rule that says so (Binance, OKX; not dYdX).

    0.1 BTC at 50,000 with 10 % maintenance against -4,500 and -4,501 (P13, dYdX):

    >>> [is_liquidatable(5_000 - debt, 500, at_equality=False) for debt in (4_500, 4_501)]
    [False, True]
    """
    have, needed = exact(equity, "equity"), not_negative(requirement, "requirement")
    return have < needed or (at_equality and have == needed and needed > 0)


class Exposure(NamedTuple):
    """Base units that margin is asked for, on the larger side."""

    size: Fraction
    is_long: bool


def exposure(position: Number, open_buys: Number, open_sells: Number) -> Exposure:
    """The larger of the position with all open buys, and with all open sells; a short position is negative (Binance).

    >>> exposure(3, 2, 10)
    Exposure(size=Fraction(7, 1), is_long=False)
    """
    held = exact(position, "position")
    buys = held + not_negative(open_buys, "open_buys")
    sells = not_negative(open_sells, "open_sells") - held
    return Exposure(buys, True) if buys >= sells else Exposure(sells, False)


def order_margin(
    ladder: Ladder, mark: Number, position: Number, open_buys: Number, open_sells: Number, leverage: Number | None = None
) -> Fraction:
    """Initial margin that open orders ask for beyond the position's own: of the exposure, less that of the position alone."""
    price = positive(mark, "mark")
    alone = initial_margin(ladder, abs(exact(position, "position")) * price, leverage)
    return initial_margin(ladder, exposure(position, open_buys, open_sells).size * price, leverage) - alone


def vega_maintenance(
    notional: Number, risk_factor: Number, slippage: Number, *, funding_factor: Number = 0, accrued_funding: Number = 0
) -> Fraction:
    """Vega 0019: `N·(risk factor + slippage) + funding factor · max(0, accrued funding)`, the funding that the position owes.

    >>> int(vega_maintenance(15_900, "0.1", "0.25"))  # P15
    5565
    """
    own = not_negative(notional, "notional") * (not_negative(risk_factor, "risk_factor") + not_negative(slippage, "slippage"))
    return own + not_negative(funding_factor, "funding_factor") * max(Fraction(0), exact(accrued_funding, "accrued_funding"))


def vega_order_margin(
    position: Number, buys: Iterable[tuple[Number, Number]], sells: Iterable[tuple[Number, Number]], factor: Number
) -> Fraction:
    """Isolated order margin of Vega 0019: the larger side's `Σ limit · size · factor`; what would close the position is free.

    Orders of a side are taken best price first (buys falling, sells rising), for these close the position first.

    Args:
        position: base units, a short is negative.
        buys, sells: (limit price, size) of the open orders.
        factor: of notional.

    >>> int(vega_order_margin(1, [(15_910, 10)], [], "0.9"))  # P16
    143190
    """
    held = exact(position, "position")
    rate = not_negative(factor, "factor")
    bids = sorted(((positive(p, "limit"), positive(q, "size")) for p, q in buys), reverse=True)
    asks = sorted((positive(p, "limit"), positive(q, "size")) for p, q in sells)
    return max(_opening(bids, max(Fraction(0), -held)), _opening(asks, max(Fraction(0), held))) * rate


def _opening(orders: list[tuple[Fraction, Fraction]], closing: Fraction) -> Fraction:
    total = Fraction(0)
    for price, size in orders:
        free = min(size, closing)
        closing -= free
        total += price * (size - free)
    return total


def dydx_initial_rate(base: Number, open_notional: Number, low: Number, high: Number) -> Fraction:
    """dYdX v4: `min(1, base + max(0, (OI·P - lo)/(hi - lo)) · (1 - base))`; an upper cap of 0 switches the scaling off.

    >>> float(dydx_initial_rate("0.2", 1_500_000, 1_000_000, 2_000_000))  # P11
    0.6
    """
    start, lower, upper = share(base, "base"), not_negative(low, "low"), not_negative(high, "high")
    if upper == 0:
        return start
    if upper <= lower:
        raise ValueError(f"high is {upper}, it must be above low, {lower}, or 0 for no scaling")
    scaled = max(Fraction(0), (not_negative(open_notional, "open_notional") - lower) / (upper - lower))
    return min(Fraction(1), start + scaled * (1 - start))


def dydx_initial(notional: Number, rate: Number) -> int:
    """Initial margin in whole quote quantums, rounded up (dYdX v4).

    >>> dydx_initial(123_456, "0.567243")  # P12
    70030
    """
    return ceil(not_negative(notional, "notional") * share(rate, "rate"))


def dydx_maintenance_rate(base: Number, fraction: Number) -> Fraction:
    """dYdX v4: `base · fraction`; open interest does not scale it."""
    return share(base, "base") * share(fraction, "fraction")
