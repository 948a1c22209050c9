"""Price bounds and the auctions they lead to: pure rules of Vega, LULD and others (RISK-SPEC 9.3 to 9.8)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from engine.exact import Number, not_negative, positive, share


class Bounds(NamedTuple):
    """Lowest and highest price."""

    low: Fraction
    high: Fraction

    def holds(self, price: Number) -> bool:
        """Whether the price lies within, the bounds themselves included."""
        return self.low <= positive(price, "price") <= self.high


def bounds(reference: Number, down: Number, up: Number) -> Bounds:
    """`reference · [down, up]`.

    The reference falls from 100 to 90 (P41, Vega 0032):

    >>> [tuple(float(price) for price in bounds(reference, "0.95", "1.1")) for reference in (100, 90)]
    [(95.0, 110.0), (85.5, 99.0)]
    """
    lower, upper = positive(down, "down"), positive(up, "up")
    if not lower <= 1 <= upper:
        raise ValueError("down must be at most 1, and up at least 1")
    centre = positive(reference, "reference")
    return Bounds(centre * lower, centre * upper)


def band(reference: Number, width: Number) -> Bounds:
    """LULD: `reference · (1 ± width)`.

    >>> tuple(int(price) for price in band(100, "0.05"))  # P44
    (95, 105)
    """
    away = share(width, "width")
    return bounds(reference, 1 - away, 1 + away) if away < 1 else Bounds(Fraction(0), 2 * positive(reference, "reference"))


class Trigger(NamedTuple):
    """A price move beyond `share` over `horizon_s` asks for an auction of `auction_s`."""

    share: Number
    horizon_s: int
    auction_s: int


class Auction(NamedTuple):
    """When it ends, why it began, and what has made it longer since."""

    end_s: int
    trigger: str
    extended_by: tuple[str, ...] = ()


def extended(running: Auction | None, trigger: str, now_s: int, auction_s: int) -> Auction:
    """The auction after one more trigger: the end is the later of both, the first trigger stays, each that made it longer is
    kept.

    One until 10:00 and a second until 11:00 (P43, Vega 0026):

    >>> extended(extended(None, "price", 9 * 3600, 3600), "liquidity", 9 * 3600, 7200)
    Auction(end_s=39600, trigger='price', extended_by=('liquidity',))
    """
    if auction_s < 1:
        raise ValueError(f"auction_s is {auction_s}, it must be at least 1")
    end_s = now_s + auction_s
    if running is None or now_s >= running.end_s:
        return Auction(end_s, trigger)
    if end_s <= running.end_s:
        return running
    return Auction(end_s, running.trigger, (*running.extended_by, trigger))


def breached(moves: Sequence[Number], triggers: Sequence[Trigger]) -> int:
    """Length of the auction that moves over each trigger's horizon ask for: the longest of the triggers hit; 0 for none.

    1 % in 10 min asks for 5 min, 2 % in 30 min for 15, 5 % in 2 h for 60; one, two and all of them are hit (P42, Vega 0032):

    >>> three = [Trigger("0.01", 600, 300), Trigger("0.02", 1800, 900), Trigger("0.05", 7200, 3600)]
    >>> [breached(moves, three) // 60 for moves in (["0.015"] * 3, ["0.03"] * 3, ["0.06"] * 3)]
    [5, 15, 60]
    """
    hit = [t.auction_s for move, t in zip(moves, triggers, strict=True) if abs(Fraction(str(move))) > share(t.share, "share")]
    return max(hit, default=0)


GAPS: Final = ((10, 60), (60, 300), (600, 3600), (3600, 3600), (21_600, 10_800), (86_400, 21_600))
"""(gap in seconds, auction in seconds): after a gap of more than the first, an auction of the second (Vega 0094; RISK-SPEC
9.8)."""


def gap_auction(gap_s: Number) -> int:
    """Seconds of the auction after the engine stood still: of the largest threshold below the gap; 0 for a short one.

    >>> [gap_auction(gap) for gap in (10, 11, 90, 100_000)]
    [0, 60, 300, 21600]
    """
    stood = not_negative(gap_s, "gap_s")
    return max(((limit, length) for limit, length in GAPS if stood > limit), default=(0, 0))[1]
