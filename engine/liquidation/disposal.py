"""How much of a position goes in one step, and at which price: the rules of several venues, and the plan that our venue
follows.

Paths of a pack: `stepwise` (Vega) sells a share of the position each step, bounded by a share of the depth that rests within a
range; `auction` (dYdX) offers a share at a price that moves away from the market as the account gets worse; `market` sells
all at once, within the range.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from engine.contract import MICRO
from engine.exact import Number, exact, not_negative, positive, rounded, share
from engine.liquidation.proceeds import fillable_price
from engine.margin.ladder import Ladder, tier_of

_Ppm = Annotated[int, Meta(ge=1, le=MICRO)]

_FLAT_SLOTS: Final = 1_500
_FEE_A_SLOT: Final = Fraction(1, MICRO)
_FEE_USED: Final = Fraction(95, 100)


class DisposalRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `[liquidation]` of a pack.

    Attributes:
        path: see the module.
        step_s: seconds from one step of a position to its next.
        fraction_ppm: share of the position that goes in a step; `market` has no use for it.
        full_below: a position worth at most this, quote units, goes whole.
        range_ppm: how far from the margin price an order goes at most.
        depth_share_ppm: share of the depth within the range that a step may take; `stepwise` only.
        takeover_ppm: the venue takes over below this share of the maintenance margin (Hyperliquid: two thirds).
        adjustment_ppm, spread_ppm: BA and SMMR of the fillable price, parts per million; `auction` only.
    """

    path: Literal["stepwise", "auction", "market"]
    step_s: Annotated[int, Meta(ge=1, le=3600)]
    fraction_ppm: _Ppm
    full_below: Annotated[int, Meta(ge=0)]
    range_ppm: Annotated[int, Meta(ge=1, le=MICRO // 2)]
    depth_share_ppm: _Ppm
    takeover_ppm: Annotated[int, Meta(ge=0, le=MICRO)]
    adjustment_ppm: Annotated[int, Meta(ge=0, le=100 * MICRO)] = MICRO
    spread_ppm: Annotated[int, Meta(ge=0, le=10 * MICRO)] = MICRO * 3 // 2


class Distress(NamedTuple):
    """A position to dispose of. Money in micro-units of the quote, prices in micro-ticks."""

    lots: int
    """Signed, not 0."""
    price: int
    """That drives margin, above 0."""
    unit_micro: int
    """Micro-units of the quote that a lot is worth at a tick."""
    depth_lots: int
    """Resting lots within the range that the order would meet."""
    equity: int
    requirement: int
    """Of all that is margined with the position."""
    position_requirement: int


class Disposal(NamedTuple):
    """An immediate-or-cancel order: `lots` above 0 to close with, at the limit `ticks`. `why` in words, for the record."""

    lots: int
    ticks: int
    why: str


def plan(rules: DisposalRules, case: Distress) -> Disposal:
    """The order of the next step. 0 lots where no depth is there to take a share of."""
    size = abs(case.lots)
    worth = Fraction(size * case.price * case.unit_micro, MICRO * MICRO)
    limit = _limit(case.price, case.lots, Fraction(rules.range_ppm, MICRO))
    if rules.path == "market":
        return Disposal(size, limit, "market order, all at once")
    whole = worth <= rules.full_below
    lots = size if whole else max(1, size * rules.fraction_ppm // MICRO)
    if rules.path == "stepwise":
        most = case.depth_lots * rules.depth_share_ppm // MICRO
        if most == 0 and case.depth_lots > 0:
            most = 1  # a book too thin for a share of a lot is still a book
        return Disposal(min(lots, most), limit, "step bounded by depth" if most < lots else "last step" if whole else "step")
    fillable = fillable_price(
        Fraction(case.lots * case.price * case.unit_micro, MICRO),
        case.lots,
        case.equity,
        max(1, case.requirement),
        position_requirement=case.position_requirement,
        adjustment=Fraction(rules.adjustment_ppm, MICRO),
        spread=Fraction(rules.spread_ppm, MICRO),
    )
    ticks = rounded(fillable / case.unit_micro, "up" if case.lots > 0 else "down")
    bounded = max(ticks, limit) if case.lots > 0 else min(ticks, limit)
    return Disposal(lots, max(1, bounded), "auction, all" if whole else "auction")


def _limit(price: int, lots: int, away: Fraction) -> int:
    """Worst price of an order in ticks: at most `away` from the price, on the side that hurts."""
    if lots > 0:
        return max(1, rounded(price * (1 - away) / MICRO, "up"))
    return max(1, rounded(price * (1 + away) / MICRO, "down"))


def step_size(position: Number, fraction: Number, full: Number, depth: Number, depth_share: Number) -> Fraction:
    """One step of Vega's disposal: `min(share · depth, fraction · position, or all of it if position <= full)` (0012, 0094).

    280 with one half a step, all from 50 on, 1 % of a depth of 10,000 (P36):

    >>> left, steps = Fraction(280), []
    >>> while left:
    ...     steps.append(int(step_size(left, "0.5", 50, 10_000, "0.01")))
    ...     left -= steps[-1]
    >>> steps
    [100, 90, 45, 45]
    """
    size = not_negative(position, "position")
    wanted = size if size <= not_negative(full, "full") else size * share(fraction, "fraction")
    return min(wanted, share(depth_share, "depth_share") * not_negative(depth, "depth"))


def portion(notional: Number, largest_share: Number, least: Number) -> Fraction:
    """Notional of a position that dYdX liquidates at once: a share of it, but no less than `least`, and no more than there is.

    >>> portion(50_000, "0.5", 10), portion(5, "0.5", 10)  # P32
    (Fraction(25000, 1), Fraction(5, 1))
    """
    size = not_negative(notional, "notional")
    return min(size, max(size * share(largest_share, "largest_share"), not_negative(least, "least")))


def tier_excess(ladder: Ladder, notional: Number, *, tiers_down: int) -> Fraction:
    """Notional to close so that a position falls by that many tiers, all of it from a tier that has no such below it.

    OKX cuts positions of tier 3 and above by two tiers, Bybit by one. 15,000 in tier 3 where tier 1 ends at 2,000 (P37):

    >>> from engine.margin.ladder import make_ladder
    >>> okx = make_ladder("x", [(0, "0.01", "0.005"), (2_000, "0.02", "0.01"), (10_000, "0.04", "0.02")], maintenance="whole")
    >>> tier_excess(okx, 15_000, tiers_down=2)
    Fraction(13000, 1)
    """
    if tiers_down < 1:
        raise ValueError(f"tiers_down is {tiers_down}, it must be at least 1")
    size = not_negative(notional, "notional")
    target = tier_of(ladder, size) - tiers_down
    return size if target < 0 else size - ladder.tiers[target + 1].floor


def partial(notional: Number, *, whole_below: Number = 100_000, fraction: Number = "0.2", seconds_since: Number | None = None,
            cooldown_s: Number = 30) -> Fraction:  # fmt: skip
    """Notional that Hyperliquid sends: above 100,000 a fifth, all of it again once 30 s have passed since, smaller ones whole.

    `seconds_since` the last partial one, None if there was none; within the cooldown nothing is sent.
    """
    size = not_negative(notional, "notional")
    if size <= not_negative(whole_below, "whole_below"):
        return size
    if seconds_since is None:
        return size * share(fraction, "fraction")
    return size if not_negative(seconds_since, "seconds_since") >= not_negative(cooldown_s, "cooldown_s") else Fraction(0)


def size_for_shortage(
    shortage: Number, price: Number, margin_rate: Number, liquidator_fee: Number, fund_fee: Number = 0
) -> Fraction | None:
    """Size whose liquidation frees a margin shortage (Drift): `shortage / (price · (mr - liqFee) - price · ifFee)`.

    None where the fees eat what closing frees: no size helps, and all has to go. So it does for a shortage below 50.

    >>> size_for_shortage(100, 100, "0.1", 0), size_for_shortage(100, 100, "0.1", "0.01")
    (Fraction(10, 1), Fraction(100, 9))
    """
    freed = positive(price, "price") * (
        share(margin_rate, "margin_rate") - share(liquidator_fee, "liquidator_fee") - share(fund_fee, "fund_fee")
    )
    return not_negative(shortage, "shortage") / freed if freed > 0 else None


def fund_fee(
    shortage: Number, size: Number, price: Number, margin_rate: Number, liquidator_fee: Number, most: Number
) -> Fraction:
    """Fee to the insurance fund that closing all can bear (Drift): 95 % of `mr - liqFee - shortage / (size · price)`, at
    most `most`.

    >>> float(fund_fee(20, 10, 100, "0.05", "0.01", 1))  # P34
    0.019
    """
    worth = positive(size, "size") * positive(price, "price")
    left = (
        share(margin_rate, "margin_rate") - share(liquidator_fee, "liquidator_fee") - not_negative(shortage, "shortage") / worth
    )
    return min(share(most, "most"), max(Fraction(0), left) * _FEE_USED)


def liquidator_fee(base: Number, most: Number, slots: int) -> Fraction:
    """Fee of a liquidator, rising with the slots that an account has been liquidatable (Drift): flat below 1,500 slots.

    >>> [float(liquidator_fee("0.02", "0.05", slots)) for slots in (10, 10_000, 100_000)]  # P35
    [0.02, 0.03, 0.05]
    """
    if slots < 0:
        raise ValueError(f"slots is {slots}, it must not be negative")
    start, cap = share(base, "base"), share(most, "most")
    return start if slots < _FLAT_SLOTS else max(start, min(cap, start + _FEE_A_SLOT * slots))


def order_key(fillable: Number, oracle: Number, notional: Number, tie: bytes) -> tuple[Fraction, Fraction, bytes]:
    """Sorts liquidations (dYdX): `|fillable - oracle| / oracle` falling, then notional falling, then the order's hash."""
    reference = positive(oracle, "oracle")
    return -abs(exact(fillable, "fillable") - reference) / reference, -not_negative(notional, "notional"), tie
