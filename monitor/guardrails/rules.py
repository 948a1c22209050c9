"""What a rule measures: pure functions from the rule's memory and a window's metric to the value to be judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from monitor.guardrails.pack import Horizon, Rule

_PRICE_UNIT: Final = 10**9
"""Prices enter the rolling means as integers of this fraction, so that a sum does not depend on what went through it."""


class PriceMemory(msgspec.Struct, frozen=True):
    """The last prices of one symbol, oldest first, as integers of 1e-9: enough for the longest horizon."""

    prices: tuple[int, ...] = ()


def measure(rule: Rule, memory: PriceMemory, value: float) -> tuple[PriceMemory, float | None]:
    """(memory after the window, value to judge or None when it cannot be known).

    `value` is the rule's input metric in the rule's unit, NaN when missing.
    """
    if math.isnan(value) or math.isinf(value):
        return memory, None
    if rule.kind == "price_bounds":
        return price_bounds(rule.horizons, memory, value)
    return memory, abs(value) if rule.absolute else value


def price_bounds(horizons: Sequence[Horizon], memory: PriceMemory, price: float) -> tuple[PriceMemory, float | None]:
    """Share of its bound that `price` uses: the largest over horizons of |price / mean − 1| / bound (RISK-SPEC 9.3).

    The mean is over the prices before this window; a horizon counts from its tenth part on, and none counts before:
    the value is then unknown. A price that is not positive is unknown too.
    """
    if price <= 0.0:
        return memory, None
    now = round(price * _PRICE_UNIT)
    used: float | None = None
    for horizon in horizons:
        past = memory.prices[-horizon.seconds :]
        if 10 * len(past) < horizon.seconds:
            continue
        total = sum(past)
        # |now/mean − 1| with mean = total/n, in integers until the one division.
        share = abs(now * len(past) - total) / total / horizon.bound
        used = share if used is None else max(used, share)
    longest = max(horizon.seconds for horizon in horizons)
    return PriceMemory((*memory.prices[-(longest - 1) :], now) if longest > 1 else (now,)), used
