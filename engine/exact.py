"""Exact numbers for formulas that people call by hand: whatever they write down becomes a Fraction, never a binary rounding.

>>> exact(0.1) + exact("0.2")
Fraction(3, 10)

Every public formula of the risk core takes `Number`s, computes in Fractions and returns a Fraction, so that no result depends
on the order of operations. Where a rule rounds, it names a `Rounding` and a unit:

>>> round_to(exact("70029.1"), 1, "up")
Fraction(70030, 1)
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor, trunc
from typing import Final, Literal

Number = int | float | str | Decimal | Fraction

Rounding = Literal["up", "down", "to_zero", "from_zero", "half_even"]
"""`up` towards plus infinity, `down` towards minus infinity."""

ROUNDINGS: Final = ("up", "down", "to_zero", "from_zero", "half_even")


def exact(value: Number, name: str = "number") -> Fraction:
    """The number as it was written: a float counts as its shortest decimal form, so 0.1 is one tenth.

    Args:
        value: an int, a Fraction, a Decimal, a float, or the text of a decimal number or fraction.
        name: what to call it in an error.

    Raises:
        ValueError: not a finite number.
    """
    if isinstance(value, Fraction):
        return value
    if isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, it must be a number")
    try:
        return Fraction(repr(float(value)) if isinstance(value, float) else value)
    except (ValueError, OverflowError, ZeroDivisionError, TypeError):
        raise ValueError(f"{name} is {value!r}, it must be a finite number") from None


def positive(value: Number, name: str) -> Fraction:
    """`exact(value)`; ValueError unless it is above zero."""
    number = exact(value, name)
    if number <= 0:
        raise ValueError(f"{name} is {_shown(number)}, it must be above zero")
    return number


def not_negative(value: Number, name: str) -> Fraction:
    """`exact(value)`; ValueError if it is below zero."""
    number = exact(value, name)
    if number < 0:
        raise ValueError(f"{name} is {_shown(number)}, it must not be negative")
    return number


def share(value: Number, name: str) -> Fraction:
    """`exact(value)`; ValueError unless it is from 0 to 1."""
    number = exact(value, name)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} is {_shown(number)}, it must be from 0 to 1")
    return number


def clamp(value: Fraction, low: Fraction, high: Fraction) -> Fraction:
    """`value` where it lies between the bounds, else the nearer one.

    >>> clamp(Fraction(3), Fraction(0), Fraction(1))
    Fraction(1, 1)
    """
    return min(max(value, low), high)


def round_to(value: Fraction, unit: Number, rounding: Rounding) -> Fraction:
    """The multiple of `unit` (> 0) that `rounding` names."""
    step = positive(unit, "unit")
    return rounded(value / step, rounding) * step


def rounded(value: Fraction, rounding: Rounding) -> int:
    """The whole number that `rounding` names.

    >>> [rounded(Fraction(-5, 2), rounding) for rounding in ROUNDINGS]
    [-2, -3, -2, -3, -2]
    """
    if rounding == "up":
        return ceil(value)
    if rounding == "down":
        return floor(value)
    if rounding == "to_zero":
        return trunc(value)
    if rounding == "from_zero":
        return ceil(value) if value > 0 else floor(value)
    if rounding == "half_even":
        return round(value)
    raise ValueError(f"rounding is {rounding!r}, it must be one of {', '.join(ROUNDINGS)}")


def _shown(number: Fraction) -> str:
    return str(number.numerator) if number.denominator == 1 else f"{float(number):.12g}"
