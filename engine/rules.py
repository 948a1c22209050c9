"""From the words of a rule pack to the numbers that the matching engine works with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from engine.contract import MICRO, Reference, SelfTrade
from engine.exact import exact
from engine.instruments import Instrument, Pack
from engine.layout import MAX_PRICE
from engine.margin.ladder import DOWN, HALF_EVEN, LADDER_DTYPE, UP, ladder_table
from engine.margining import Terms
from engine.market import Rules, Throttle

MAX_ORDER_MICRO: Final = 2**53
"""Highest value of one order, micro-units of the quote (nine billion): sums over accounts and trades then stay exact."""

_SECOND_NS: Final = 1_000_000_000
_ROUNDINGS: Final = {"up": UP, "from_zero": UP, "down": DOWN, "to_zero": DOWN, "half_even": HALF_EVEN}


def order_rules(pack: Pack, instrument: Instrument) -> Rules:
    """The rules of one instrument's orders, in ticks and lots.

    >>> from engine.instruments import load_pack
    >>> pack = load_pack("core")
    >>> order_rules(pack, pack.instrument("BTC-PERP")).min_notional  # 5 USD at 0.005 USD a lot and tick
    1000
    """
    unit_micro = instrument.notional_micro
    return Rules(
        price_step=instrument.price_step,
        lot_step=instrument.lot_step,
        min_notional=-(-instrument.min_notional_micro // unit_micro),
        max_notional=max_notional(unit_micro),
        bound_ppm=pack.orders.bound_ppm,
        market_bound_ppm=pack.orders.market_bound_ppm,
        self_trade=SelfTrade[pack.orders.self_trade.upper()],
        trigger_by=Reference[pack.orders.trigger_by.upper()],
        trailing_in_bps=pack.orders.trailing_unit == "bps",
        shrink_reduce_only=pack.orders.reduce_only_excess == "shrink",
        deltas=pack.orders.deltas,
    )


def risk_terms(pack: Pack, instruments: Sequence[Instrument]) -> Terms:
    """What margin checks of a venue with these instruments look at, before any price is known."""
    table = np.zeros(len(instruments), LADDER_DTYPE)
    unit = int(exact(pack.margin.rounding_unit) * MICRO)
    for k, instrument in enumerate(instruments):
        ladder = pack.ladder(instrument)
        if ladder is not None:
            table[k : k + 1] = ladder_table([ladder])
            is_usual = unit == 1 and {pack.margin.initial_rounding, pack.margin.maintenance_rounding} <= {"up", "from_zero"}
            table[k]["unit_micro"] = 0 if is_usual else unit
            table[k]["initial_rounding"] = _ROUNDINGS[pack.margin.initial_rounding]
            table[k]["maintenance_rounding"] = _ROUNDINGS[pack.margin.maintenance_rounding]
    return Terms(
        ladders=table,
        units=np.array([instrument.notional_micro for instrument in instruments], np.int64),
        prices=np.zeros(len(instruments), np.int64),
        doubtful=np.ones(len(instruments), np.uint8),
        closing_ppm=np.array([pack.fees.tiers[0][1] if pack.margin.taker_fee_inside else 0], np.int64),
    )


def max_notional(unit_micro: int) -> int:
    """Highest price x quantity of an order, tick-lots worth `unit_micro` each: any price is then an int64 in micro-ticks."""
    return min(MAX_ORDER_MICRO // unit_micro, MAX_PRICE // MICRO)


def throttle(pack: Pack) -> Throttle:
    """The throttle of every account, in nanoseconds."""
    rules = pack.throttle
    return Throttle(
        interval_ns=_SECOND_NS // rules.tokens_per_s if rules.tokens_per_s else 0,
        burst=rules.burst,
        order=rules.order,
        reduce_only=rules.reduce_only,
        cancel=rules.cancel,
        ban_after=rules.ban_after,
        ban_first_ns=rules.ban_first_s * _SECOND_NS,
        ban_longest_ns=rules.ban_longest_s * _SECOND_NS,
    )
