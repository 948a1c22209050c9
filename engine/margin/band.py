"""The liquidation band: at which prices positions go from a warning to forced reduction to takeover, and what must absorb them.

Of a position, the prices at which its equity over maintenance margin falls to each step: remind, reduce-only, liquidation, the
maintenance margin itself, takeover and bankruptcy, each solved in its own tier (`engine.margin.liquidation_price`). Over
many positions, the notional that crosses each step in buckets of distance from the mark, against the depth that rests up to
there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import ceil, log
from typing import Final, NamedTuple

from engine.contract import MICRO
from engine.exact import Number, exact, not_negative, positive
from engine.liquidation.disposal import DisposalRules
from engine.margin.ladder import Ladder
from engine.margin.liquidation_price import bankruptcy, liquidation_price
from engine.margin.states import Thresholds

STEPS: Final = ("remind", "reduce_only", "liquidate", "maintenance", "takeover", "bankruptcy")
"""In the order in which a position that loses meets them."""

_BPS: Final = 10_000


class Band(NamedTuple):
    """Prices of one position by step, None where a step is never met; and its size at hand."""

    prices: Mapping[str, Fraction | None]
    size: Fraction
    is_long: bool


def position_band(
    ladder: Ladder,
    wallet: Number,
    size: Number,
    entry: Number,
    *,
    is_long: bool,
    thresholds: Thresholds,
    takeover_ppm: int,
    other_maintenance: Number = 0,
    other_pnl: Number = 0,
    taker_fee: Number = 0,
) -> Band:
    """The band of one position, the account's others held at their marks. Arguments as in `liquidation_price`.

    >>> from engine.margin.ladder import make_ladder
    >>> band = position_band(make_ladder("x", [(0, "0.02", "0.01")]), 1_000, 1, 10_000, is_long=True,
    ...                      thresholds=Thresholds(), takeover_ppm=666_667)
    >>> [round(float(price), 1) for price in band.prices.values()]
    [9137.1, 9109.3, 9095.5, 9090.9, 9060.4, 9000.0]
    """
    shares = {
        "remind": thresholds.remind_ppm,
        "reduce_only": thresholds.reduce_only_ppm,
        "liquidate": thresholds.liquidate_ppm,
        "maintenance": MICRO,
        "takeover": takeover_ppm,
    }
    prices: dict[str, Fraction | None] = {}
    for step, ppm in shares.items():
        found = liquidation_price(
            ladder,
            wallet,
            size,
            entry,
            is_long=is_long,
            other_maintenance=other_maintenance,
            other_pnl=other_pnl,
            taker_fee=taker_fee,
            margin_share=Fraction(ppm, MICRO),
        )
        prices[step] = None if found is None else found.price
    prices["bankruptcy"] = bankruptcy(wallet, size, entry, is_long=is_long, other_pnl=other_pnl)
    return Band(prices, positive(size, "size"), is_long)


class Bucket(NamedTuple):
    """What crosses a step between two distances from the mark, on one side.

    Attributes:
        is_long: longs, which falling prices reach, or shorts.
        from_bps, to_bps: distance from the mark; the first bucket has what is already beyond the step, too.
        notional: by step, of the positions that cross it here, at their prices there.
        depth: quote units that rest from the mark to the far end of the bucket, on the side that must absorb them.
        coverage: depth over all that is liquidated up to there; None where nothing is.
        seconds: that the pack's pace takes for what is liquidated here.
    """

    is_long: bool
    from_bps: int
    to_bps: int
    notional: Mapping[str, Fraction]
    depth: Fraction
    coverage: Fraction | None
    seconds: int


def aggregate(
    bands: Iterable[Band],
    mark: Number,
    bids: Sequence[tuple[Number, Number]],
    asks: Sequence[tuple[Number, Number]],
    rules: DisposalRules,
    *,
    width_bps: int = 50,
    buckets: int = 40,
) -> list[Bucket]:
    """The band of one symbol, longs first, by rising distance.

    Args:
        bands: of its positions.
        mark: above 0; a symbol without a mark has no band, and its caller says so.
        bids, asks: (price, size) of the book; longs are sold into the bids.
        rules: the pace of disposal.
        width_bps, buckets: how the distance from the mark is divided.

    Raises:
        ValueError: a mark or a level that is none, or buckets that reach beyond the mark itself.
    """
    centre = positive(mark, "mark")
    if width_bps < 1 or buckets < 1 or width_bps * buckets > _BPS:
        raise ValueError(f"width_bps x buckets is {width_bps * buckets}, it must be from 1 to {_BPS}")
    crossed = {side: [dict.fromkeys(STEPS, Fraction(0)) for _ in range(buckets)] for side in (True, False)}
    largest = {side: [Fraction(0)] * buckets for side in (True, False)}
    for band in bands:
        for step, price in band.prices.items():
            if price is None:
                continue
            away = (centre - price if band.is_long else price - centre) / centre * _BPS
            bucket = max(0, ceil(away / width_bps) - 1)
            if bucket < buckets:
                crossed[band.is_long][bucket][step] += band.size * price
                if step == "liquidate":
                    largest[band.is_long][bucket] = max(largest[band.is_long][bucket], band.size * price)
    found = []
    for side, levels in ((True, bids), (False, asks)):
        forced = Fraction(0)
        for k in range(buckets):
            far = Fraction((k + 1) * width_bps, _BPS)
            edge = centre * (1 - far) if side else centre * (1 + far)
            depth = _depth(levels, edge, is_bid=side)
            forced += crossed[side][k]["liquidate"]
            coverage = depth / forced if forced else None
            seconds = disposal_seconds(largest[side][k], rules)
            found.append(Bucket(side, k * width_bps, (k + 1) * width_bps, crossed[side][k], depth, coverage, seconds))
    return found


def disposal_seconds(notional: Number, rules: DisposalRules) -> int:
    """How long a position of this notional takes at the pack's pace, with all the depth it needs: steps times seconds.

    >>> rules = DisposalRules("stepwise", 1, 200_000, 5_000, 20_000, 100_000, 666_667)
    >>> disposal_seconds(5_000, rules), disposal_seconds(100_000, rules)
    (1, 15)
    """
    worth = not_negative(notional, "notional")
    if worth == 0:
        return 0
    if rules.path == "market" or worth <= rules.full_below or rules.fraction_ppm == MICRO:
        return rules.step_s
    least = max(1, rules.full_below)
    steps = ceil(log(float(worth) / least) / -log(1 - rules.fraction_ppm / MICRO)) + 1
    return steps * rules.step_s


def _depth(levels: Sequence[tuple[Number, Number]], edge: Fraction, *, is_bid: bool) -> Fraction:
    total = Fraction(0)
    for price, size in levels:
        at = positive(price, "price")
        if at >= edge if is_bid else at <= edge:
            total += at * not_negative(exact(size, "size"), "size")
    return total
