"""Mark prices of several venues, from index, funding, basis and last. Prices in quote units.

The venue's own integer kernels are `engine.prices.kernel` and `engine.prices.state`; tests hold them to these.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import exp
from typing import Final, NamedTuple

from engine.exact import Number, exact, not_negative, positive
from engine.prices.index import median

EXTERNAL_WEIGHTS: Final = {"binance": 3, "okx": 2, "bybit": 2, "gate": 1, "mexc": 1}
"""Of other venues' perpetual mids in Hyperliquid's mark."""

_GRAIN: Final = 10**18


def fair(index: Number, funding_rate: Number, remaining: Number, interval: Number) -> Fraction:
    """BitMEX fair price and Binance's P1: `index · (1 + funding · t / interval)`, with `t` left of the interval, in any one
    unit.

    >>> fair(100, "0.001", 4, 8)
    Fraction(2001, 20)
    """
    left, whole = not_negative(remaining, "remaining"), positive(interval, "interval")
    if left > whole:
        raise ValueError("remaining is more than the interval")
    return positive(index, "index") * (1 + exact(funding_rate, "funding_rate") * left / whole)


def with_basis(index: Number, mids: Sequence[tuple[Number, Number]]) -> Fraction:
    """Binance's P2: the index with the mean of `mid - index` over the samples (mid, index), one a second; the index without
    any.

    30 samples since 18 September 2025, 60 before; 2.5 minutes on COIN-M.
    """
    base = positive(index, "index")
    if not mids:
        return base
    return base + sum((positive(mid, "mid") - positive(at, "index sample") for mid, at in mids), Fraction(0)) / len(mids)


def binance(funding_price: Number | None, basis_price: Number | None, last: Number | None) -> Fraction | None:
    """`median(P1, P2, last)`. An input that is missing does not count; without any there is no mark.

    >>> binance(100, 99, "100.5"), binance(100, 99, None)
    (Fraction(100, 1), Fraction(199, 2))
    """
    inputs = {"funding_price": funding_price, "basis_price": basis_price, "last": last}
    known = [positive(value, name) for name, value in inputs.items() if value is not None]
    return median(known) if known else None


class Average(NamedTuple):
    """A moving average of irregular samples: numerator and denominator."""

    numerator: Fraction = Fraction(0)
    denominator: Fraction = Fraction(0)

    @property
    def value(self) -> Fraction | None:
        """None before the first sample."""
        return self.numerator / self.denominator if self.denominator else None


def averaged(average: Average, sample: Number, elapsed_s: Number, *, horizon_s: Number = 150) -> Average:
    """Hyperliquid's recursion: `num ← num·e^(-t/150) + x·t`, `den ← den·e^(-t/150) + t`, `t` seconds since the last sample.

    The exponential is irrational: it counts to 18 decimals, rounded half to even, which makes it the same everywhere. Numerator
    and denominator are kept to 18 decimals, too.

    >>> float(averaged(averaged(Average(), 2, 3), 4, 3).value)
    3.0099...
    """
    t = positive(elapsed_s, "elapsed_s")
    kept = Fraction(round(exp(-float(t / positive(horizon_s, "horizon_s"))) * _GRAIN), _GRAIN)
    return Average(
        _grained(average.numerator * kept + exact(sample, "sample") * t),
        _grained(average.denominator * kept + t),
    )


def hyperliquid(
    oracle: Number | None,
    basis: Number | None,
    bid: Number | None,
    ask: Number | None,
    last: Number | None,
    external: dict[str, Number],
    short_basis: Number | None = None,
) -> Fraction | None:
    """Median of: oracle + basis; median(bid, ask, last); weighted median of other venues' mids. None where nothing is known.

    Args:
        oracle: spot oracle price.
        basis: 150 s average of mid - oracle, see `averaged`.
        bid, ask, last: of the own book.
        external: mids by venue, names of `EXTERNAL_WEIGHTS`.
        short_basis: 30 s average of mid - oracle, which is added to the oracle as a third input if exactly two are known.
    """
    inputs = []
    if oracle is not None and basis is not None:
        inputs.append(positive(oracle, "oracle") + exact(basis, "basis"))
    own = [positive(v, name) for name, v in (("bid", bid), ("ask", ask), ("last", last)) if v is not None]
    if own:
        inputs.append(median(own))
    unknown = set(external) - set(EXTERNAL_WEIGHTS)
    if unknown:
        raise ValueError(f"external has {sorted(unknown)}, it may have {sorted(EXTERNAL_WEIGHTS)}")
    if external:
        inputs.append(weighted_median([(positive(mid, name), EXTERNAL_WEIGHTS[name]) for name, mid in external.items()]))
    if len(inputs) == 2 and oracle is not None and short_basis is not None:
        inputs.append(positive(oracle, "oracle") + exact(short_basis, "short_basis"))
    return median(inputs) if inputs else None


def weighted_median(values: Sequence[tuple[Fraction, int]]) -> Fraction:
    """The value at which half of the weight is reached; where it is reached exactly, the mean with the next one.

    >>> weighted_median([(Fraction(10), 3), (Fraction(11), 2), (Fraction(20), 2)])
    Fraction(11, 1)
    """
    ordered = sorted(values)
    half = Fraction(sum(weight for _, weight in ordered), 2)
    so_far = Fraction(0)
    for k, (value, weight) in enumerate(ordered):
        so_far += weight
        if so_far == half:
            return (value + ordered[k + 1][0]) / 2
        if so_far > half:
            return value
    raise ValueError("there are no values")


def _grained(value: Fraction) -> Fraction:
    return Fraction(round(value * _GRAIN), _GRAIN)
