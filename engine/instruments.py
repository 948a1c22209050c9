"""What is traded and under which rules: instruments, and the rule packs that hold them (`packs/*.toml`).

Rules stand here in words and units that people use; `engine.rules` makes the numbers of the matching engine from them.

>>> pack = load_pack("core")
>>> btc = pack.instrument("BTC-PERP")
>>> btc.tick, btc.notional_micro
(5.0, 5000)
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from importlib import resources
from math import ceil
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from engine.contract import MICRO
from engine.liquidation.disposal import DisposalRules
from engine.margin.ladder import Ladder
from engine.margin.states import Thresholds
from engine.prices.index import POLICIES
from engine.risk_rules import NO_LADDER, FeeRules, FundRules, LadderRules, MarginRules, PriceRules, StressRules

SYMBOL_PATTERN: Final = r"[A-Za-z0-9._:/-]{1,32}"
"""Every symbol matches this in full: symbols end up in Redis keys, file names and HTML."""

_SYMBOL = re.compile(SYMBOL_PATTERN)


_Ppm = Annotated[int, Meta(ge=0, le=MICRO)]
_Count = Annotated[int, Meta(ge=1, le=1_000_000)]
_Tokens = Annotated[int, Meta(ge=0, le=1_000_000)]
_Seconds = Annotated[int, Meta(ge=1, le=366 * 86_400)]


class PackError(ValueError):
    """A rule pack that cannot be used; the message names the pack and the key."""


class Instrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One instrument. Sizes are decimal strings, so that no binary fraction stands between a file and the engine.

    Attributes:
        symbol: matches `SYMBOL_PATTERN`.
        tick_size: quote units of one tick, for example "0.5".
        lot_size: base units of one lot, for example "0.001".
        quote: currency of prices, wallets and notionals.
        ladder: name of its margin ladder in the pack, "" for an instrument without margin.
        kind: class of the stress grid, for example "major".
        funding_interval_s: seconds between two funding settlements, 0 for an instrument without funding.
        price_step: ticks that prices of orders are multiples of.
        lot_step: lots that quantities of orders are multiples of.
        min_notional: quote units that an order is worth at least, "0" for none; reduce-only orders may be worth less.

    Raises:
        ValueError: a malformed symbol or size, or a tick times lot that is no whole number of micro-units of the quote.
    """

    symbol: str
    tick_size: str
    lot_size: str
    quote: str = "USD"
    ladder: str = NO_LADDER
    kind: str = ""
    funding_interval_s: int = 0
    price_step: _Count = 1
    lot_step: _Count = 1
    min_notional: str = "0"

    def __post_init__(self) -> None:
        if not _SYMBOL.fullmatch(self.symbol):
            raise ValueError(f"symbol {self.symbol!r} does not match {SYMBOL_PATTERN}")
        tick, lot = (_decimal(self.symbol, key, getattr(self, key)) for key in ("tick_size", "lot_size"))
        if not tick or not lot:
            raise ValueError(f"{self.symbol}: tick_size and lot_size must be positive numbers")
        notional = tick * lot * MICRO
        if notional != int(notional) or not 1 <= notional < 2**31:
            raise ValueError(
                f"{self.symbol}: one lot at one tick is {notional} micro-{self.quote};"
                " it must be a whole number from 1 to 2**31 - 1"
            )
        if self.funding_interval_s < 0:
            raise ValueError(f"{self.symbol}: funding_interval_s is {self.funding_interval_s}, it must not be negative")
        if _decimal(self.symbol, "min_notional", self.min_notional) > MICRO:
            raise ValueError(f"{self.symbol}: min_notional is {self.min_notional}, it must be at most {MICRO}")

    @property
    def tick(self) -> float:
        """Quote units of one tick."""
        return float(self.tick_size)

    @property
    def lot(self) -> float:
        """Base units of one lot."""
        return float(self.lot_size)

    @property
    def notional_micro(self) -> int:
        """Micro-units of the quote that one lot is worth at a price of one tick."""
        return int(Decimal(self.tick_size) * Decimal(self.lot_size) * MICRO)

    @property
    def min_notional_micro(self) -> int:
        """Micro-units of the quote that an order is worth at least, rounded up."""
        return ceil(Decimal(self.min_notional) * MICRO)


class OrderRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for the orders of every instrument. Rates in ppm are parts per million of the mark.

    Attributes:
        self_trade: what happens where an order that does not say would trade with its own account (RISK-SPEC section 8).
        trigger_by: the price that drives a conditional order which does not say.
        trailing_unit: unit of a trailing stop's distance: basis points of that price, or ticks.
        reduce_only_excess: a resting reduce-only order larger than the position shrinks to it, or is cancelled.
        bound_ppm: how far from the mark a limit order may pay more or ask less, 0: as far as it likes.
        market_bound_ppm: how far from the mark a market order trades, 0: as far as there is somebody.
        deltas: every change of a level is told by an event of its own, for readers that keep no orders.
    """

    self_trade: Literal["allow", "expire_taker", "expire_maker", "expire_both", "decrement"]
    trigger_by: Literal["index", "mark", "last"]
    trailing_unit: Literal["bps", "ticks"]
    reduce_only_excess: Literal["shrink", "cancel"]
    bound_ppm: _Ppm
    market_bound_ppm: _Ppm
    deltas: bool


class ThrottleRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token bucket of every account, and the bans of those who ignore it (RISK-SPEC 9.14).

    Attributes:
        tokens_per_s: tokens that come back in a second; 0 for no throttle.
        burst: tokens of a full bucket.
        order: tokens of a new or amended order, and of a mass quote.
        reduce_only: tokens of a new order that only reduces.
        cancel: tokens of anything else. What takes no token is never refused, not even in a ban.
        ban_after: throttled ops before their retry-after that bring a ban.
        ban_first_s: the first ban; each further one is twice as long.
        ban_longest_s: the longest ban, and how long after one its account starts afresh.
    """

    tokens_per_s: _Tokens
    burst: _Tokens
    order: _Tokens
    reduce_only: _Tokens
    cancel: _Tokens
    ban_after: _Count
    ban_first_s: _Seconds
    ban_longest_s: _Seconds

    def __post_init__(self) -> None:
        for key in ("order", "reduce_only", "cancel"):
            if self.tokens_per_s and getattr(self, key) > self.burst:
                raise ValueError(f"throttle.{key} is {getattr(self, key)}, it must not exceed throttle.burst, {self.burst}")


class FundingRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the funding rate follows the premium (RISK-SPEC section 4). Rates in micro-basis-points.

    Attributes:
        interest_micro_bps: interest part I of one 8-hour interval.
        clamp_micro_bps: I - premium is clamped to plus or minus this.
        impact_margin_usd: the impact notional is this over the initial margin rate at the highest leverage.
        basis_samples: one-second samples of mid - index in the mark's moving average.
        cap_micro_bps: the rate of an interval is clamped to plus or minus this; 0: no cap.
    """

    interest_micro_bps: int
    clamp_micro_bps: int
    impact_margin_usd: int
    basis_samples: int
    cap_micro_bps: int = 0


class Pack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule pack: its instruments, how their prices are made, what holds for orders, and what for risk."""

    name: str
    version: int
    funding: FundingRules
    orders: OrderRules
    throttle: ThrottleRules
    prices: PriceRules
    margin: MarginRules
    states: Thresholds
    fees: FeeRules
    liquidation: DisposalRules
    fund: FundRules
    stress: StressRules
    ladders: tuple[LadderRules, ...]
    instruments: tuple[Instrument, ...]

    def __post_init__(self) -> None:
        symbols = [instrument.symbol for instrument in self.instruments]
        if len(set(symbols)) != len(symbols):
            raise ValueError("two instruments share a symbol")
        names = [rules.name for rules in self.ladders]
        if len(set(names)) != len(names):
            raise ValueError("two ladders share a name")
        for rules in self.ladders:
            rules.ladder()
        for instrument in self.instruments:
            if instrument.ladder != NO_LADDER and instrument.ladder not in names:
                raise ValueError(f"{instrument.symbol}: ladder {instrument.ladder!r} is none of {', '.join(names)}")
            if instrument.ladder != NO_LADDER and instrument.kind not in self.stress.extreme_bps:
                classes = ", ".join(self.stress.extreme_bps)
                raise ValueError(f"{instrument.symbol}: kind {instrument.kind!r} is none of the stress classes {classes}")
        if self.prices.index not in POLICIES:
            raise ValueError(f"prices.index {self.prices.index!r} is none of {', '.join(POLICIES)}")
        if not 1 <= self.funding.basis_samples <= 60:
            raise ValueError(f"funding.basis_samples is {self.funding.basis_samples}, it must be from 1 to 60")

    def ladder(self, instrument: Instrument) -> Ladder | None:
        """The margin ladder of one of its instruments; None without margin."""
        for rules in self.ladders:
            if rules.name == instrument.ladder:
                return rules.ladder()
        return None

    def max_leverage(self, instrument: Instrument) -> float:
        """The highest that its ladder grants; 1 without margin."""
        ladder = self.ladder(instrument)
        return 1.0 if ladder is None else float(1 / ladder.tiers[0].initial_rate)

    def instrument(self, symbol: str) -> Instrument:
        """The instrument called `symbol`; KeyError if the pack has none."""
        for instrument in self.instruments:
            if instrument.symbol == symbol:
                return instrument
        raise KeyError(symbol)


@lru_cache
def load_pack(name: str) -> Pack:
    """The pack `packs/<name>.toml`.

    Raises:
        PackError: there is no such pack, or a key in it is missing, unknown or out of range.
    """
    file = resources.files("engine") / "packs" / f"{name}.toml"
    if not re.fullmatch(r"[a-z0-9-]+", name) or not file.is_file():
        raise PackError(f"there is no rule pack {name!r}")
    return read_pack(file.read_bytes(), name)


def read_pack(data: bytes, name: str) -> Pack:
    """A pack of a TOML file's content; `name` is what errors call it.

    Raises:
        PackError: a key is missing, unknown or out of range.
    """
    try:
        return msgspec.toml.decode(data, type=Pack)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PackError(f"rule pack {name}: {error}") from error


def _decimal(symbol: str, key: str, text: str) -> Decimal:
    """The number, finite and not negative."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{symbol}: {key} {text!r} is not a decimal number") from None
    if not value.is_finite() or value < 0:
        raise ValueError(f"{symbol}: {key} {text!r} must be a finite number that is not negative")
    return value
