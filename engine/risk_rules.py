"""The risk part of a rule pack, in words and units that people use: prices, ladders, fees, margin, liquidation.

`engine.instruments` reads it with the rest of a pack; `engine.margin`, `engine.fees`, `engine.liquidation` and the venue
take from it what they need. Rates in ppm are parts per million.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from engine.contract import MICRO
from engine.exact import Rounding
from engine.margin.ladder import Charging, Ladder, make_ladder

_Ppm = Annotated[int, Meta(ge=0, le=MICRO)]
_Seconds = Annotated[int, Meta(ge=1, le=366 * 86_400)]
_Text = Annotated[str, Meta(min_length=1)]

NO_LADDER: Final = ""


def digest_of(rules: msgspec.Struct) -> str:
    """32 hex digits over a rule section's content: what a verdict names beside its version."""
    return hashlib.blake2b(msgspec.json.encode(rules, order="sorted"), digest_size=16).hexdigest()


class PriceRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which price drives what. Triggers of conditional orders: `orders.trigger_by`.

    Attributes:
        margin: the price that positions are valued and margined at.
        mark: how the mark is made: `median` of funding price, basis price and last (Binance); `oracle_median` (Hyperliquid);
            `fair`, the index with the running funding (BitMEX, Deribit's synthetic basis is a mean of the same kind); `index`.
        index: name of the policy against wrong constituents, `engine.prices.index.POLICIES`.
        last_drives: where the last price is still used, in words; empty if nowhere.
        stale_s: an index older than this forces nobody out, and lets no position grow (RISK-SPEC 9.1).
    """

    margin: Literal["index", "mark", "last"]
    mark: Literal["median", "oracle_median", "fair", "index"]
    index: _Text
    last_drives: tuple[_Text, ...]
    stale_s: _Seconds


class LadderRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One maintenance ladder.

    Attributes:
        name: what instruments call it.
        version: whose figures these are, and of when.
        maintenance: each tier's rate on its own slice (`marginal`), or the tier's rate on the whole notional (`whole`).
        initial: the same for initial margin.
        tiers: (floor in quote units, highest leverage, maintenance rate in ppm), from floor 0 on.
        cap: largest notional of a position, quote units; 0 for none.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}$")]
    version: _Text
    tiers: tuple[tuple[int, Annotated[float, Meta(ge=1, le=1000)], _Ppm], ...]
    maintenance: Charging = "marginal"
    initial: Charging = "whole"
    cap: Annotated[int, Meta(ge=0)] = 0

    def ladder(self) -> Ladder:
        """The ladder itself. Raises LadderError naming tier and key."""
        rows = [(floor, 1 / Fraction(str(leverage)), Fraction(rate, MICRO)) for floor, leverage, rate in self.tiers]
        return make_ladder(
            self.name,
            rows,
            version=self.version,
            maintenance=self.maintenance,
            initial=self.initial,
            cap=self.cap or None,
        )


class FeeRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What trades cost.

    Attributes:
        version: whose figures these are, and of when.
        tiers: (30-day volume in quote units, taker ppm, maker ppm), from volume 0 on; a rebate is negative.
        liquidation_ppm: the extra cost of forced execution, which the insurance fund gets.
    """

    version: _Text
    tiers: tuple[tuple[Annotated[int, Meta(ge=0)], _Ppm, Annotated[int, Meta(ge=-MICRO, le=MICRO)]], ...]
    liquidation_ppm: _Ppm

    def __post_init__(self) -> None:
        if not self.tiers or self.tiers[0][0] != 0:
            raise ValueError("fees.tiers must begin with volume 0")
        for number, (before, tier) in enumerate(pairwise(self.tiers), 2):
            if tier[0] <= before[0]:
                raise ValueError(f"fees.tiers: tier {number} begins at volume {tier[0]}, it must be above {before[0]}")
        for number, (_, taker, maker) in enumerate(self.tiers, 1):
            if taker + maker < 0:
                raise ValueError(f"fees.tiers: tier {number} pays makers {-maker} ppm, more than the taker's {taker}")


class MarginRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How requirements are computed and compared.

    Attributes:
        initial_rounding, maintenance_rounding: of a requirement, which is never negative, to whole `rounding_unit`.
        rounding_unit: quote units, a decimal; a micro-unit at least.
        liquidate_at_equality: an account whose equity equals the requirement is liquidated (Binance, OKX), or only one whose
            equity is below it (dYdX).
        taker_fee_inside: the fee of closing is part of the maintenance margin (OKX, Gate).
        portfolio: the model of accounts in portfolio mode; `none` refuses that mode.
    """

    initial_rounding: Rounding
    maintenance_rounding: Rounding
    rounding_unit: Annotated[str, Meta(pattern=r"^(1|0\.0{0,5}1)$")]
    liquidate_at_equality: bool
    taker_fee_inside: bool
    portfolio: Literal["none", "grid"]


class FundRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who pays for what a liquidated account cannot.

    Attributes:
        max_notional_ppm: the fund takes positions up to this share of its own equity (Binance: 100%); 0: no limit.
        drawdown_ppm: this far below its peak of 8 hours the fund stops taking, and ADL begins (OKX: 30%); 0: only when it is
            empty.
        resume_ppm: … until it is no further below than this.
        adl_rank: who is deleveraged first.
        adl_price: at which price: the bankruptcy price of who is liquidated (BitMEX), or the mark before (Hyperliquid).
    """

    max_notional_ppm: Annotated[int, Meta(ge=0, le=100 * MICRO)]
    drawdown_ppm: _Ppm
    resume_ppm: _Ppm
    adl_rank: Literal["bitmex", "hyperliquid", "pro_rata"]
    adl_price: Literal["bankruptcy", "mark"]

    def __post_init__(self) -> None:
        if self.resume_ppm > self.drawdown_ppm:
            raise ValueError(f"fund.resume_ppm is {self.resume_ppm}, it must not exceed fund.drawdown_ppm, {self.drawdown_ppm}")


class StressRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far prices move in the venue's stress grid, by class of instrument.

    Attributes:
        moves_bps: moves of the grid's price axis, of the class; both signs are taken.
        extreme_bps: the move of the correlation-one row.
    """

    moves_bps: dict[str, tuple[Annotated[int, Meta(ge=1, le=10_000)], ...]]
    extreme_bps: dict[str, Annotated[int, Meta(ge=1, le=10_000)]]

    def __post_init__(self) -> None:
        if set(self.moves_bps) != set(self.extreme_bps):
            raise ValueError("stress.moves_bps and stress.extreme_bps must name the same classes of instruments")
