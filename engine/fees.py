"""What trades cost: fees by their components, fee tiers, and what an extra cost takes of a position's buffer."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from engine.exact import Number, exact, not_negative, positive, share


def fee(size: Number, price: Number, factors: Sequence[Number]) -> tuple[Fraction, ...]:
    """Each component of a fee, `size · price · factor`, in the order of the factors (Vega 0029); a rebate's factor is negative.

    Maker, infrastructure and liquidity factors of 0.1 %, 0.2 % and 5 % (P46):

    >>> float(sum(fee("1.23", 100, ["0.001", "0.002", "0.05"])))
    6.519
    """
    worth = not_negative(size, "size") * positive(price, "price")
    return tuple(worth * exact(factor, f"factor {number}") for number, factor in enumerate(factors, 1))


def tier_at(volume: Number, floors: Sequence[Number]) -> int:
    """Number of the fee tier, from 0, of a 30-day volume; `floors` rise from 0."""
    traded = not_negative(volume, "volume")
    return max(k for k, floor in enumerate(floors) if exact(floor, "floor") <= traded)


def fee_bite(extra_cost: Number, initial_rate: Number, maintenance_rate: Number) -> Fraction:
    """Share of the buffer between initial and maintenance margin that an extra cost takes: `extra / (IMR - MMR)` (RISK-SPEC 3).

    0.05 % at 125x on the first BTC tier of Binance:

    >>> float(fee_bite("0.0005", "0.008", "0.004"))
    0.125
    """
    buffer = share(initial_rate, "initial_rate") - share(maintenance_rate, "maintenance_rate")
    if buffer <= 0:
        raise ValueError("initial_rate must be above maintenance_rate: there is no buffer")
    return not_negative(extra_cost, "extra_cost") / buffer
