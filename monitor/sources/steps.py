"""Steps of price and quantity, where a feed does not tell them: the decimals that its numbers use."""

from __future__ import annotations

from typing import Final

import numpy as np

FINEST: Final = 12
"""Decimals of the finest price step that is looked for."""

_ON_STEP: Final = 0.999
"""Share of the prices that a step must explain: one damaged price must not make the whole book's tick finer."""


def decimals_of(prices: np.ndarray, finest: int = FINEST) -> int:
    """The fewest decimals that write nearly all of the prices (float64 [n]; what is not above 0 is left out)."""
    prices = prices[np.isfinite(prices) & (prices > 0)]
    if not len(prices):
        return 0
    # A double holds 15 digits: what lies beyond them is no decimal of the price.
    finest = max(0, min(finest, 13 - int(np.ceil(np.log10(np.median(prices) + 1)))))
    # From the finest on: a price with d decimals is off the step 10^-(d-1) by a tenth of it at least, but off a much coarser
    # one perhaps by too little to tell from rounding.
    for decimals in range(finest, 0, -1):
        coarser = prices * 10.0 ** (decimals - 1)
        if np.count_nonzero(np.abs(coarser - np.rint(coarser)) < 0.01) < _ON_STEP * len(prices):
            return decimals
    return 0


def step(decimals: int) -> str:
    """The decimal that is one at the last of these places."""
    return "1" if decimals == 0 else "0." + "1".zfill(decimals)
