"""What a simulation is made from: the markets and their size, and the seed."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import msgspec

TICK_NS: Final = 100_000_000
"""Agents see the market, and decide, ten times a second."""

TICKS_PER_SECOND: Final = 1_000_000_000 // TICK_NS


class Market(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One symbol's market. Figures of size are those of a quiet hour.

    Attributes:
        symbol: of the rule pack.
        price_usd: where the index starts.
        vol_bps: standard deviation of the index over one second.
        activity: order flow relative to the busiest symbol.
        depth_usd: what the makers show within about five ticks of the touch, one side.
        popularity: share of accounts that trade it, relative to the others.
    """

    symbol: str
    price_usd: float
    vol_bps: float
    activity: float
    depth_usd: float
    popularity: float


MARKETS: Final = (
    Market("BTC-PERP", 64_000.0, 0.85, 1.00, 420_000.0, 24.0),
    Market("ETH-PERP", 3_400.0, 1.00, 0.85, 330_000.0, 20.0),
    Market("SOL-PERP", 170.0, 1.20, 0.68, 190_000.0, 14.0),
    Market("XRP-PERP", 0.62, 1.20, 0.55, 140_000.0, 10.0),
    Market("BNB-PERP", 600.0, 0.95, 0.45, 110_000.0, 8.0),
    Market("DOGE-PERP", 0.16, 1.30, 0.50, 110_000.0, 9.0),
    Market("AVAX-PERP", 36.0, 1.30, 0.40, 80_000.0, 7.0),
    Market("LINK-PERP", 18.0, 1.20, 0.38, 75_000.0, 7.0),
)
"""The demo's markets: sizes of a mid-sized venue, prices of mid-2024."""


class IndexSeries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recorded price path that a market's index follows instead of one drawn at random.

    Attributes:
        symbol: one of the markets.
        seconds: since the opening, rising.
        prices: at these times, quote units; straight lines in the logarithm between them, the last one stays.
    """

    symbol: str
    seconds: tuple[float, ...]
    prices: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.seconds) != len(self.prices) or not self.seconds:
            raise ValueError(f"{self.symbol}: {len(self.seconds)} times and {len(self.prices)} prices; give as many of both")
        if any(later <= earlier for earlier, later in pairwise(self.seconds)):
            raise ValueError(f"{self.symbol}: the times of its index do not rise")
        if not all(0.0 < price < float("inf") for price in self.prices):
            raise ValueError(f"{self.symbol}: a price of its index is not above zero")


class SimulationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides a simulated run: the same values give the same bytes.

    Attributes:
        seed: of every random draw.
        start_ns: event time of the opening, a whole second, UTC nanoseconds.
        history_s: seconds of quiet market before the first injection.
        pack: rule pack that holds the markets' instruments.
        markets: which symbols trade.
        accounts: how many accounts there are, market makers included.
        scenario: name of the one that follows the history; "" for the demo's sequence, "quiet" for none.
        strength: factor on what the scenario draws.
        season: how far order flow goes up and down with the hour of the UTC day, 0 to 0.8; its mean over the day is 1.
        index: recorded paths of some markets' indices.
        unlisted: symbol whose market is not open yet; a scenario may open it.
    """

    seed: int
    start_ns: int
    history_s: int = 1800
    pack: str = "core"
    markets: tuple[Market, ...] = MARKETS
    accounts: int = 4000
    scenario: str = ""
    strength: float = 1.0
    unlisted: str = ""
    season: float = 0.35
    index: tuple[IndexSeries, ...] = ()

    def __post_init__(self) -> None:
        if self.start_ns < 0 or self.start_ns % 1_000_000_000:
            raise ValueError(f"start_ns is {self.start_ns}, it must be a whole second of UTC nanoseconds")
        if self.history_s < 0:
            raise ValueError(f"history_s is {self.history_s}, it must not be negative")
        if not 1 <= len(self.markets) <= 256:
            raise ValueError(f"there must be 1 to 256 markets, not {len(self.markets)}")
        if not 100 * len(self.markets) <= self.accounts <= 1_000_000:
            raise ValueError(f"accounts is {self.accounts}, it must be from 100 a market to 1,000,000")
        if not 0.0 <= self.season <= 0.8:
            raise ValueError(f"season is {self.season}, it must be from 0 to 0.8")
        unknown = {series.symbol for series in self.index} - {market.symbol for market in self.markets}
        if unknown:
            raise ValueError(f"there is no market for the index of {', '.join(sorted(unknown))}")
        if not 0.1 <= self.strength <= 10.0:
            raise ValueError(f"strength is {self.strength}, it must be from 0.1 to 10")

    @property
    def history_end_ns(self) -> int:
        """Event time at which the injections begin to be possible."""
        return self.start_ns + self.history_s * 1_000_000_000
