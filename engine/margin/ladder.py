"""Margin ladders: what a position of a size must hold, by tiers of notional.

`marginal` charging takes each tier's rate on its own slice: `MM = N · rate_k - cum_k`, with `cum_1 = 0` and
`cum_k = cum_(k-1) + floor_k · (rate_k - rate_(k-1))` (RISK-SPEC 3; Binance). `whole` charging takes the tier's rate on the
whole notional (OKX, Gate), which jumps at each floor.

>>> btc = make_ladder("btc", [(0, "1/125", "0.004"), (50_000, "0.01", "0.005"), (600_000, "1/75", "0.0065")])
>>> [int(tier.deduction) for tier in btc.tiers]
[0, 50, 950]
>>> maintenance_margin(btc, 1_000_000)
Fraction(5550, 1)
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final, Literal

import msgspec
import numpy as np
from numba import njit

from engine.contract import MICRO
from engine.exact import Number, exact, not_negative, positive

Charging = Literal["marginal", "whole"]

MAX_TIERS: Final = 16

_MOST: Final = 2**61

MAX_LEVERAGE: Final = 1000
"""Beyond this a ladder is taken for a mistake: one tick of a usual instrument is then more than the margin."""


class LadderError(ValueError):
    """A ladder that cannot be used; the message names ladder, tier and key."""


class Tier(msgspec.Struct, frozen=True):
    """One tier. Notionals in quote units.

    Attributes:
        floor: notional at which it begins.
        initial_rate: 1 / highest leverage.
        maintenance_rate: of notional.
        deduction: `cum` of the maintenance rates; 0 for `whole` charging.
        initial_deduction: the same of the initial rates.
    """

    floor: Fraction
    initial_rate: Fraction
    maintenance_rate: Fraction
    deduction: Fraction
    initial_deduction: Fraction


class Ladder(msgspec.Struct, frozen=True):
    """Tiers by rising floor, from 0. `cap`: largest notional that the ladder grants, quote units; None for no limit."""

    name: str
    version: str
    tiers: tuple[Tier, ...]
    maintenance: Charging
    initial: Charging
    cap: Fraction | None

    @property
    def digest(self) -> str:
        """32 hex digits over all that the ladder says."""
        rows = [(str(t.floor), str(t.initial_rate), str(t.maintenance_rate)) for t in self.tiers]
        said = msgspec.json.encode((self.name, self.version, rows, self.maintenance, self.initial, str(self.cap)))
        return hashlib.blake2b(said, digest_size=16).hexdigest()


def make_ladder(
    name: str,
    rows: Iterable[tuple[Number, Number, Number]],
    *,
    version: str = "",
    maintenance: Charging = "marginal",
    initial: Charging = "whole",
    cap: Number | None = None,
) -> Ladder:
    """A ladder of `rows` (floor, initial rate, maintenance rate), see the module.

    Raises:
        LadderError: floors that do not rise from 0, rates that fall or are not 0 < maintenance < initial <= 1, a leverage above
            `MAX_LEVERAGE`, no tier or too many, a cap below the last floor, a number that is none.
    """
    tiers: list[Tier] = []
    for number, row in enumerate(rows, 1):
        where = f"ladder {name!r}, tier {number}"
        try:
            floor, first, kept = (
                exact(value, key) for value, key in zip(row, ("floor", "initial rate", "maintenance rate"), strict=True)
            )
        except ValueError as error:
            raise LadderError(f"{where}: {error}") from None
        before = tiers[-1] if tiers else None
        if before is None and floor != 0:
            raise LadderError(f"{where}: floor is {floor}, the first tier begins at 0")
        if before is not None and floor <= before.floor:
            raise LadderError(f"{where}: floor is {floor}, it must be above {before.floor}, the floor before it")
        if not 0 < kept < first <= 1:
            raise LadderError(
                f"{where}: 0 < maintenance rate < initial rate <= 1 must hold, not {float(kept)} and {float(first)}"
            )
        if first * MAX_LEVERAGE < 1:
            raise LadderError(f"{where}: a leverage of {float(1 / first):g} is beyond {MAX_LEVERAGE}")
        if before is not None and (kept < before.maintenance_rate or first < before.initial_rate):
            raise LadderError(f"{where}: a rate falls; larger positions must not need a smaller share")
        deduction = initial_deduction = Fraction(0)
        if before is not None:
            if maintenance == "marginal":
                deduction = before.deduction + floor * (kept - before.maintenance_rate)
            if initial == "marginal":
                initial_deduction = before.initial_deduction + floor * (first - before.initial_rate)
        tiers.append(Tier(floor, first, kept, deduction, initial_deduction))
    if not 1 <= len(tiers) <= MAX_TIERS:
        raise LadderError(f"ladder {name!r} has {len(tiers)} tiers, it must have from 1 to {MAX_TIERS}")
    largest = None if cap is None else positive(cap, f"ladder {name!r}: cap")
    if largest is not None and largest <= tiers[-1].floor:
        raise LadderError(f"ladder {name!r}: cap is {largest}, it must be above the last floor, {tiers[-1].floor}")
    return Ladder(name, version, tuple(tiers), maintenance, initial, largest)


def tier_of(ladder: Ladder, notional: Number) -> int:
    """Number of the tier, from 0, that a notional in quote units falls into: its floor is at or below it."""
    return bisect_right([tier.floor for tier in ladder.tiers], not_negative(notional, "notional")) - 1


def maintenance_margin(ladder: Ladder, notional: Number) -> Fraction:
    """Maintenance margin of a notional >= 0, quote units."""
    size = not_negative(notional, "notional")
    tier = ladder.tiers[tier_of(ladder, size)]
    return size * tier.maintenance_rate - tier.deduction


def initial_margin(ladder: Ladder, notional: Number, leverage: Number | None = None) -> Fraction:
    """Initial margin of a notional >= 0, quote units: at the highest leverage of its tier, or at a lower one that was chosen.

    WhiteBIT, 200,000 of which the first 50,000 at 100x and the rest at 10x (P14):

    >>> initial_margin(make_ladder("w", [(0, "0.01", "0.005"), (50_000, "0.1", "0.05")], initial="marginal"), 200_000)
    Fraction(15500, 1)
    """
    size = not_negative(notional, "notional")
    tier = ladder.tiers[tier_of(ladder, size)]
    asked = size * tier.initial_rate - tier.initial_deduction
    if leverage is None:
        return asked
    return max(asked, size / positive(leverage, "leverage"))


UP: Final = 0
DOWN: Final = 1
HALF_EVEN: Final = 2
"""Roundings of a requirement, which is not negative: away from zero is up, to zero is down."""

LADDER_DTYPE: Final = np.dtype(
    [
        ("count", "<i8"),
        ("unit_micro", "<i8"),
        ("initial_rounding", "<i8"),
        ("maintenance_rounding", "<i8"),
        ("cap_micro", "<i8"),  # 0: no cap
        ("floor_micro", "<i8", (MAX_TIERS,)),
        ("maintenance_ppm", "<i8", (MAX_TIERS,)),
        ("deduction_micro", "<i8", (MAX_TIERS,)),
        ("initial_num", "<i8", (MAX_TIERS,)),
        ("initial_den", "<i8", (MAX_TIERS,)),
        ("initial_deduction_micro", "<i8", (MAX_TIERS,)),
    ]
)
"""A ladder in integers: money in micro-units, maintenance rates in ppm, initial rates as fractions. Requirements are
multiples of `unit_micro`, by UP, DOWN or HALF_EVEN; 0 is a micro-unit, UP, the quick way."""


def ladder_table(ladders: Sequence[Ladder]) -> np.ndarray:
    """The ladders as LADDER_DTYPE [n].

    Raises:
        LadderError: a floor or deduction that is no whole micro-unit, or a maintenance rate that is no whole ppm.
    """
    table = np.zeros(len(ladders), LADDER_DTYPE)
    for row, ladder in zip(table, ladders, strict=True):
        row["count"] = len(ladder.tiers)
        # Venues write "no limit" as the largest number they have.
        row["cap_micro"] = 0 if ladder.cap is None else _whole(ladder, 0, "cap", min(ladder.cap * MICRO, Fraction(_MOST)))
        for k, tier in enumerate(ladder.tiers):
            row["floor_micro"][k] = _whole(ladder, k, "floor", tier.floor * MICRO)
            row["maintenance_ppm"][k] = _whole(ladder, k, "maintenance rate", tier.maintenance_rate * MICRO)
            row["deduction_micro"][k] = _whole(ladder, k, "deduction", tier.deduction * MICRO)
            row["initial_num"][k], row["initial_den"][k] = tier.initial_rate.as_integer_ratio()
            row["initial_deduction_micro"][k] = _whole(ladder, k, "initial deduction", tier.initial_deduction * MICRO)
    return table


@njit(cache=True, nogil=True)
def maintenance_micro(ladder: np.void, notional_micro: int) -> int:
    """Maintenance margin of a notional (0 … 2**62), micro-units, rounded up."""
    k = _tier(ladder, notional_micro)
    rate = ladder["maintenance_ppm"][k]
    # In two parts, so that notional x rate needs no 128 bits.
    needed: int = notional_micro // MICRO * rate - (-(notional_micro % MICRO * rate) // MICRO) - ladder["deduction_micro"][k]
    return needed


@njit(cache=True, nogil=True)
def initial_micro(ladder: np.void, notional_micro: int) -> int:
    """Initial margin of a notional (0 … 2**62), micro-units, rounded up."""
    k = _tier(ladder, notional_micro)
    num, den = ladder["initial_num"][k], ladder["initial_den"][k]
    whole, rest = notional_micro // den, notional_micro % den
    needed: int = whole * num - (-(rest * num) // den) - ladder["initial_deduction_micro"][k]
    return needed


@njit(cache=True, nogil=True, error_model="numpy")
def maintenance_in_units(ladder: np.void, notional_micro: int) -> int:
    """The same as a multiple of the ladder's unit. Apart, for its division costs as much as all else."""
    k = _tier(ladder, notional_micro)
    rate = ladder["maintenance_ppm"][k]
    rest = notional_micro % MICRO * rate
    whole = notional_micro // MICRO * rate + rest // MICRO - ladder["deduction_micro"][k]
    return in_units(whole, rest % MICRO, MICRO, ladder["unit_micro"], ladder["maintenance_rounding"])


@njit(cache=True, nogil=True, error_model="numpy")
def initial_in_units(ladder: np.void, notional_micro: int) -> int:
    """The same of the initial margin."""
    k = _tier(ladder, notional_micro)
    num, den = ladder["initial_num"][k], ladder["initial_den"][k]
    rest = notional_micro % den * num
    whole = notional_micro // den * num + rest // den - ladder["initial_deduction_micro"][k]
    return in_units(whole, rest % den, den, ladder["unit_micro"], ladder["initial_rounding"])


@njit(cache=True, nogil=True, error_model="numpy")
def in_units(whole: int, rest: int, den: int, unit: int, rounding: int) -> int:
    """`whole + rest / den` as a multiple of `unit`, by UP, DOWN or HALF_EVEN; `0 <= rest < den`."""
    count = whole // unit
    left = whole - count * unit
    if left == 0 and rest == 0:
        return whole
    if rounding == HALF_EVEN:
        twice, more = 2 * left, 2 * rest
        # Twice the part beyond the multiple against the unit: 2 * left + 2 * rest / den <=> unit.
        over = twice + more // den - unit
        is_up = over > 0 or (over == 0 and (more % den > 0 or count % 2 == 1))
    else:
        is_up = rounding == UP
    rounded: int = (count + 1) * unit if is_up else count * unit
    return rounded


@njit(cache=True, nogil=True)
def _tier(ladder: np.void, notional_micro: int) -> int:
    k = 0
    last = ladder["count"] - 1
    while k < last and ladder["floor_micro"][k + 1] <= notional_micro:
        k += 1
    return k


def _whole(ladder: Ladder, k: int, key: str, value: Fraction) -> int:
    if value.denominator != 1 or abs(value) >= 2**62:
        raise LadderError(f"ladder {ladder.name!r}, tier {k + 1}: {key} {float(value):.12g} is no whole micro-unit or ppm")
    return int(value)
