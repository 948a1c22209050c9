"""What a position in distress should fetch: bankruptcy proceeds, bankruptcy price and fillable price (dYdX v4, RISK-SPEC 6).

Words: TNC is the account's total net collateral (equity), TMMR its total maintenance margin requirement, PNNV a position's
signed notional, PMMR its requirement. All in quote units.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from engine.exact import Number, clamp, exact, not_negative, positive


def bankruptcy_proceeds(notional_change: Number, equity: Number, requirement_change: Number, requirement: Number) -> Fraction:
    """Proceeds at which a (partial) close leaves the account with the same share of equity to requirement: `-ΔN - TNC ·
    |ΔMMR| / TMMR`.

    Args:
        notional_change: ΔN, change of the net notional: negative when a long is closed.
        equity: TNC before.
        requirement_change: ΔMMR, change of the requirement.
        requirement: TMMR before, above 0.

    A long of 5,000 against -4,501, closed in full; the half of it against -5,000 (P30):

    >>> bankruptcy_proceeds(-5000, 499, -500, 500), bankruptcy_proceeds(-2500, 0, -250, 500)
    (Fraction(4501, 1), Fraction(2500, 1))
    """
    share = abs(exact(requirement_change, "requirement_change")) / positive(requirement, "requirement")
    return -exact(notional_change, "notional_change") - exact(equity, "equity") * share


def fillable_price(
    notional: Number,
    size: Number,
    equity: Number,
    requirement: Number,
    *,
    position_requirement: Number,
    adjustment: Number = 1,
    spread: Number = "1.5",
) -> Fraction:
    """Price at which a liquidation order may fill: `(PNNV - ABR · SMMR · PMMR) / size`, `ABR = clamp(BA · (1 - TNC / TMMR),
    0, 1)`.

    It starts at the oracle price and moves away as the account gets worse: a Dutch auction driven by health.

    Args:
        notional, size: of the position, both signed, size not 0.
        equity, requirement: of the account.
        position_requirement: PMMR.
        adjustment: BA.
        spread: SMMR, as a factor of the position's requirement.

    0.1 BTC at 50,000 with 10 % spread (P29):

    >>> int(fillable_price(5000, "0.1", 499, 500, position_requirement=500, spread="0.1"))
    49999
    """
    lots = exact(size, "size")
    if lots == 0:
        raise ValueError("size is 0, there is no position")
    health = exact(equity, "equity") / positive(requirement, "requirement")
    rating = clamp(not_negative(adjustment, "adjustment") * (1 - health), Fraction(0), Fraction(1))
    away = rating * not_negative(spread, "spread") * not_negative(position_requirement, "position_requirement")
    return (exact(notional, "notional") - away) / lots


def bankruptcy_price(size: Number, price: Number, equity: Number) -> Fraction:
    """Price at which the account's equity is 0, if only this position's price moves: `price - equity / size`. May be
    negative."""
    lots = exact(size, "size")
    if lots == 0:
        raise ValueError("size is 0, there is no position")
    return exact(price, "price") - exact(equity, "equity") / lots


def attributed(equity: int, notionals: Sequence[int]) -> list[int]:
    """An account's equity divided over its positions by notional, in integers that add up to it: the last one has the rest.

    >>> attributed(-100, [2, 1])
    [-67, -33]
    """
    total = sum(notionals)
    if total <= 0 or any(notional < 0 for notional in notionals):
        raise ValueError("notionals must not be negative, and their sum must be above zero")
    shares = [equity * notional // total for notional in notionals[:-1]]
    return [*shares, equity - sum(shares)]
