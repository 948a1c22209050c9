"""At which price an account can no longer hold a position: liquidation prices of several venues, each solved in its own tier.

All of them solve `equity(p) = requirement(p)`: what a position is worth to its account at the price `p`, against the ladder
at the notional there. The tier must be the one at the solution, so each tier is solved for itself and only the root that
lies in its own bracket counts. Sizes are in base units and above 0, money and prices in quote units; a long has `is_long`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from engine.exact import Number, exact, not_negative, positive, share
from engine.margin.ladder import Ladder


class Liquidation(NamedTuple):
    """A price, and the tier of the ladder (from 0) that it was solved in."""

    price: Fraction
    tier: int


def in_tier(
    wallet: Number,
    size: Number,
    entry: Number,
    rate: Number,
    *,
    is_long: bool,
    deduction: Number = 0,
    other_maintenance: Number = 0,
    other_pnl: Number = 0,
) -> Fraction | None:
    """Binance, one-way: `(WB - TMM + UPNL + cum - s·q·EP) / (q·mmr - s·q)`, where the tier is known. None where it is not
    above 0.

    Args:
        wallet: WB, the wallet that the position lives on.
        size, entry: q and EP of the position.
        rate, deduction: mmr and cum of the tier.
        other_maintenance, other_pnl: TMM and UPNL of the other positions in a cross account; 0 for an isolated one.

    Source: Binance support FAQ. An isolated long (P3), then 5x with a hand-made tier (P5):

    >>> round(float(in_tier("1535443.01", "3683.979", "1456.84", "0.1", is_long=True, deduction=135_365)), 2)
    1114.78
    >>> [round(float(in_tier(2, 1, 10, "0.01", is_long=long, deduction="0.01")), 7) for long in (True, False)]
    [8.0707071, 11.8910891]
    """
    sign = 1 if is_long else -1
    lots = positive(size, "size")
    mmr = share(rate, "rate")
    free = exact(wallet, "wallet") - exact(other_maintenance, "other_maintenance") + exact(other_pnl, "other_pnl")
    if mmr == sign:
        raise ValueError("rate is 1: a long then never needs less than it is worth")
    price = (free + exact(deduction, "deduction") - sign * lots * positive(entry, "entry")) / (lots * (mmr - sign))
    return price if price > 0 else None


def liquidation_price(
    ladder: Ladder,
    wallet: Number,
    size: Number,
    entry: Number,
    *,
    is_long: bool,
    other_maintenance: Number = 0,
    other_pnl: Number = 0,
    taker_fee: Number = 0,
    margin_share: Number = 1,
) -> Liquidation | None:
    """The price at which equity falls to the maintenance margin. None where no price above 0 does that.

    With `whole` charging the requirement jumps at each floor. A short is then liquidated at a floor where the jump takes it
    there; of a long's several solutions the highest counts, which falling prices reach first.

    Args:
        ladder: of the instrument.
        wallet, size, entry, other_maintenance, other_pnl: as in `in_tier`.
        taker_fee: rate of the closing fee, where it is part of the requirement (OKX, Gate).
        margin_share: share of the whole maintenance margin, the others' too, that equity falls to: 1.2 for a ratio of 120 %,
            2/3 for a takeover.

    >>> from engine.margin.ladder import make_ladder
    >>> btc = make_ladder("btc", [(0, "1/125", "0.004"), (50_000, "0.01", "0.005"), (600_000, "1/75", "0.0065")])
    >>> found = liquidation_price(btc, 10_000, 10, 30_000, is_long=True)
    >>> found.tier, round(float(found.price), 4)
    (1, 29140.7035)
    """
    sign = 1 if is_long else -1
    lots, paid = positive(size, "size"), positive(entry, "entry")
    factor = not_negative(margin_share, "margin_share")
    fee = share(taker_fee, "taker_fee")
    others = factor * exact(other_maintenance, "other_maintenance")
    free = exact(wallet, "wallet") - others + exact(other_pnl, "other_pnl")
    start = free - sign * lots * paid
    tiers = ladder.tiers
    for k in range(len(tiers) - 1, -1, -1) if is_long else range(len(tiers)):
        rate = factor * (tiers[k].maintenance_rate + fee)
        if rate >= 1 and is_long:
            raise ValueError(f"margin_share is {float(factor):g}: the requirement would exceed the notional")
        price = (start + factor * tiers[k].deduction) / (lots * (rate - sign))
        low = tiers[k].floor / lots
        high = tiers[k + 1].floor / lots if k + 1 < len(tiers) else None
        if not is_long and price < low and k > 0:
            return Liquidation(low, k)  # the jump of the requirement at this floor
        if price >= low and (high is None or price < high):
            return Liquidation(price, k) if price > 0 else None
    return None


def bankruptcy(wallet: Number, size: Number, entry: Number, *, is_long: bool, other_pnl: Number = 0) -> Fraction | None:
    """The price at which equity is 0: `EP - s · (WB + UPNL) / q`. None where it is not above 0 (a long that is more than
    paid for)."""
    sign = 1 if is_long else -1
    equity = exact(wallet, "wallet") + exact(other_pnl, "other_pnl")
    price = positive(entry, "entry") - sign * equity / positive(size, "size")
    return price if price > 0 else None


def bybit(
    entry: Number,
    size: Number,
    initial: Number,
    maintenance: Number,
    *,
    is_long: bool,
    extra: Number = 0,
    unpaid_funding: Number = 0,
) -> Fraction | None:
    """Bybit, isolated: `EP - s·(IM - MM)/q - s·extra/q`; funding that could not be paid from the wallet lowers `extra`.

    1 BTC at 20,000 with 50x and 0.5 %: a long, and a short with 3,000 of extra margin (P6):

    >>> [int(bybit(20_000, 1, 400, 100, is_long=long, extra=extra)) for long, extra in ((True, 0), (False, 3_000))]
    [19700, 23300]
    """
    sign = 1 if is_long else -1
    buffer = not_negative(initial, "initial") - not_negative(maintenance, "maintenance")
    more = exact(extra, "extra") - not_negative(unpaid_funding, "unpaid_funding")
    price = positive(entry, "entry") - sign * (buffer + more) / positive(size, "size")
    return price if price > 0 else None


def okx(entry: Number, size: Number, margin: Number, rate: Number, taker_fee: Number, *, is_long: bool) -> Fraction | None:
    """OKX and Gate, isolated, fee inside: `(EP - s·M/q) / (1 - s·(mmr + taker))`.

    >>> round(float(okx(10, 1, 2, "0.01", "0.0006", is_long=True)), 7)  # P7
    8.0857085
    """
    sign = 1 if is_long else -1
    scale = 1 - sign * (share(rate, "rate") + share(taker_fee, "taker_fee"))
    if scale <= 0:
        raise ValueError("rate and taker_fee add up to the whole notional: there is no such price")
    price = (positive(entry, "entry") - sign * exact(margin, "margin") / positive(size, "size")) / scale
    return price if price > 0 else None


def hyperliquid(
    price: Number, size: Number, margin: Number, max_leverage: Number, *, is_long: bool, deduction: Number = 0
) -> Fraction | None:
    """Hyperliquid: `P - s·(M - MM)/q/(1 - s·l)` with `l = 1 / (2 · max leverage)` and `MM = q·P·l - deduction`.

    Args:
        price: P, at which `margin` M was counted: the mark of a cross position, the entry of an isolated one.

    >>> round(float(hyperliquid("2458.5", "0.015", "36.864593", 50, is_long=True)), 5)  # P8
    0.86916
    """
    sign = 1 if is_long else -1
    lots, at = positive(size, "size"), positive(price, "price")
    rate = 1 / (2 * positive(max_leverage, "max_leverage"))
    maintenance = lots * at * rate - not_negative(deduction, "deduction")
    found = at - sign * (exact(margin, "margin") - maintenance) / lots / (1 - sign * rate)
    return found if found > 0 else None
