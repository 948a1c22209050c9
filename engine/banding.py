"""The liquidation band of a market as a venue holds it: every position's prices, and what stands in the book against them.

Positions are banded with all that is margined with them held at its marks. In portfolio mode the sum of ladders stands for the
requirement, so that such a position is shown earlier than it is reached, never later.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from engine.contract import MICRO
from engine.exact import exact
from engine.holdings import Holdings, HoldingsError, units_of
from engine.margin.band import Band, Bucket, aggregate, position_band
from engine.margin.ladder import maintenance_margin


class Banded(NamedTuple):
    """`positions`: (unit, band), the most urgent first; `buckets` as in `engine.margin.band.aggregate`."""

    mark: Fraction
    positions: tuple[tuple[str, Band], ...]
    buckets: tuple[Bucket, ...]


def band_of(holdings: Holdings, symbol: str, *, width_bps: int = 50, buckets: int = 40) -> Banded:
    """The band of one market.

    Raises:
        HoldingsError: no such market, or one without a ladder.
        ValueError: buckets that reach beyond the mark.
    """
    try:
        k = holdings.market(symbol)
    except KeyError:
        raise HoldingsError(f"there is no market {symbol!r} in the holdings") from None
    pack, market = holdings.pack, holdings.markets[k]
    ladder = pack.ladder(market.instrument)
    if ladder is None:
        raise HoldingsError(f"market {symbol!r} has no margin in pack {pack.name}")
    tick, lot = exact(market.instrument.tick_size), exact(market.instrument.lot_size)
    mark = Fraction(market.mark, MICRO) * tick
    ladders = [pack.ladder(each.instrument) for each in holdings.markets]
    values = [Fraction(each.mark * each.instrument.notional_micro, MICRO * MICRO) for each in holdings.markets]
    units = units_of(holdings)
    fee = Fraction(pack.fees.tiers[0][1], MICRO) if pack.margin.taker_fee_inside else Fraction(0)
    worth = [Fraction(cash, MICRO) for cash in units.cash]
    for account in holdings.accounts:
        for asset, amount in account.collateral:
            row = holdings.collateral[asset]
            counted = amount * row.price // MICRO * (MICRO - row.haircut_ppm) // MICRO
            worth[units.homes[account.account]] += Fraction(counted, MICRO)
    needed = [Fraction(0)] * len(worth)
    for unit, other, lots, _ in units.positions:
        if other != k:
            held = ladders[other]
            worth[unit] += lots * values[other]
            if held is not None:
                needed[unit] += maintenance_margin(held, abs(lots) * values[other]) + abs(lots) * values[other] * fee
    bands = []
    for unit, other, lots, cost in units.positions:
        if other == k:
            # Equity at price p is worth + lots · p; written with the entry price that the cost says.
            paid = Fraction(cost, MICRO)
            entry = paid / (lots * lot) if paid / lots > 0 else mark
            band = position_band(
                ladder,
                worth[unit] + entry * lots * lot,
                abs(lots) * lot,
                entry,
                is_long=lots > 0,
                thresholds=pack.states,
                takeover_ppm=pack.liquidation.takeover_ppm,
                other_maintenance=needed[unit],
                taker_fee=fee,
            )
            bands.append((units.names[unit], band))
    bids, asks = ([(ticks * tick, lots * lot) for ticks, lots in side] for side in (market.bids, market.asks))
    found = aggregate([band for _, band in bands], mark, bids, asks, pack.liquidation, width_bps=width_bps, buckets=buckets)
    return Banded(mark, tuple(sorted(bands, key=lambda row: (_distance(row[1], mark), row[0]))), tuple(found))


def _distance(band: Band, mark: Fraction) -> Fraction:
    """Of the price of liquidation from the mark, as a share; 1 and more where it is never met."""
    price = band.prices["liquidate"]
    if price is None:
        return Fraction(10)
    return (mark - price if band.is_long else price - mark) / mark
