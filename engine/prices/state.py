"""One symbol's prices as the venue keeps them: what an index, a second and a funding settlement do to them. Integers only.

Index, mark and last are micro-ticks, rates micro-basis-points. The formulas are `engine.prices.kernel`'s; how the mark is made
is the pack's: see `MARKS`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from engine.arithmetic import mul_div_floor
from engine.book import best, top_levels
from engine.contract import MICRO
from engine.prices.kernel import basis_price, funding_price, funding_rate, impact_price, mark_price, premium

SECOND_NS: Final = 1_000_000_000
MAX_SAMPLES: Final = 60
IMPACT_LEVELS: Final = 64

MEDIAN: Final = 0
"""Median of the index with the running funding, the index with the mean basis, and the last price (Binance)."""

ORACLE_MEDIAN: Final = 1
"""Median of the index with a 150 s average of the basis, of median(bid, ask, last), and, as there are no other venues here, of
the index with a 30 s average of the basis (Hyperliquid with two inputs)."""

FAIR: Final = 2
"""The index with the running funding (BitMEX)."""

INDEX: Final = 3
"""The index itself."""

MARKS: Final = {"median": MEDIAN, "oracle_median": ORACLE_MEDIAN, "fair": FAIR, "index": INDEX}

# exp(-1/150) and exp(-1/30) in parts per thousand million: what a second leaves of the averages of the basis.
_KEPT: Final = (993_355_506, 967_216_100)
_KEPT_ONE: Final = 1_000_000_000

SYMBOL_DTYPE: Final = np.dtype(
    [
        ("index", "<i8"),
        ("mark", "<i8"),
        ("last", "<i8"),
        ("funding_rate", "<i8"),
        ("settled_rate", "<i8"),
        ("next_funding_ns", "<i8"),
        ("due", "<i8"),  # a settlement that nobody has paid yet
        ("index_ns", "<i8"),  # when the index came
        ("ended", "<i8"),  # delisted
        ("premium_sum", "<i8"),
        ("sampled", "<i8"),
        ("basis", "<i8", (MAX_SAMPLES,)),
        ("average", "<i8", (2,)),  # numerator and …
        ("weight", "<i8", (2,)),  # … denominator of the 150 s and the 30 s average of the basis
        # What the rule pack says. Part of the state, because what follows depends on it.
        ("unit_micro", "<i8"),
        ("interval_s", "<i8"),
        ("interest", "<i8"),
        ("clamp", "<i8"),
        ("cap", "<i8"),
        ("impact_micro", "<i8"),
        ("samples", "<i8"),
        ("marked_by", "<i8"),
    ]
)
"""0 in index, mark and last: not known yet."""


@njit(cache=True, nogil=True)
def update_mark(price: np.void, book: np.void, now_ns: int) -> None:
    """The mark that follows from the index. Without a trade yet, the index stands for the last price."""
    index = price["index"]
    last = price["last"] if price["last"] > 0 else index
    mark = index
    if price["marked_by"] == ORACLE_MEDIAN:
        bid, ask = best(book, 0), best(book, 1)
        inner = last
        if bid > 0 and ask > 0:
            inner = mark_price(bid * MICRO, ask * MICRO, last)
        mark = mark_price(_averaged(price, 0), inner, _averaged(price, 1))
    elif price["marked_by"] != INDEX:
        with_funding = index
        if price["interval_s"] > 0:
            interval_ns = price["interval_s"] * SECOND_NS
            remaining = (interval_ns - now_ns % interval_ns) % interval_ns
            with_funding = funding_price(index, price["settled_rate"], remaining, interval_ns)
        mark = with_funding
        if price["marked_by"] == MEDIAN:
            count = min(price["sampled"], price["samples"])
            total = 0
            for k in range(count):
                total += price["basis"][k]
            mark = mark_price(with_funding, basis_price(index, total, count), last)
    price["mark"] = max(1, mark)


@njit(cache=True, nogil=True)
def sample(book: np.void, price: np.void, now_ns: int, scratch: np.ndarray) -> None:
    """Takes the one-second samples of basis and premium, and settles the rate where an interval ends.

    The mean premium is over the seconds since the interval began; seconds before the venue opened count as no premium.
    Prices beyond twice the index say nothing but that somebody quotes nonsense: they count as twice the index.
    """
    interval_ns = price["interval_s"] * SECOND_NS
    if now_ns >= price["next_funding_ns"]:
        if price["next_funding_ns"] > 0:
            price["settled_rate"] = price["funding_rate"]
            price["due"] = 1
        price["next_funding_ns"] = (now_ns // interval_ns + 1) * interval_ns
        price["premium_sum"] = 0
    index = price["index"]
    bid, ask = best(book, 0), best(book, 1)
    if bid > 0 and ask > 0:
        basis = min((bid + ask) * (MICRO // 2) - index, index)
        price["basis"][price["sampled"] % price["samples"]] = basis
        price["sampled"] += 1
        for i in range(2):
            price["average"][i] = mul_div_floor(price["average"][i], _KEPT[i], _KEPT_ONE) + basis
            price["weight"][i] = mul_div_floor(price["weight"][i], _KEPT[i], _KEPT_ONE) + MICRO
    impact_bid = min(_impact(book, 0, price, scratch), 2 * index)
    impact_ask = _impact(book, 1, price, scratch)
    price["premium_sum"] += premium(index, impact_bid, impact_ask)
    elapsed_s = max(1, (now_ns - (price["next_funding_ns"] - interval_ns)) // SECOND_NS)
    mean = mul_div_floor(price["premium_sum"], 1, elapsed_s)
    rate = funding_rate(mean, price["interest"], price["clamp"], price["interval_s"])
    price["funding_rate"] = min(max(rate, -price["cap"]), price["cap"]) if price["cap"] > 0 else rate


@njit(cache=True, nogil=True)
def _averaged(price: np.void, which: int) -> int:
    """The index with one of the averages of the basis."""
    if price["weight"][which] == 0:
        index: int = price["index"]
        return index
    moved: int = price["index"] + mul_div_floor(price["average"][which], MICRO, price["weight"][which])
    return moved


@njit(cache=True, nogil=True)
def _impact(book: np.void, side: int, price: np.void, scratch: np.ndarray) -> int:
    count = top_levels(book, side, IMPACT_LEVELS, scratch[0], scratch[1])
    return impact_price(scratch[0], scratch[1], count, price["impact_micro"], price["unit_micro"])
