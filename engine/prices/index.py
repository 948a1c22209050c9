"""The index price from several sources: outliers, silence, exclusion and re-admission, as a pure state machine.

    state = IndexState()
    state, reading = step(state, POLICIES["binance-2025"], weights, quotes, now_ns)

A source that never spoke, or has been silent too long, has no weight. A quote that is not a finite number above zero, comes
from the future or is older than the source's last one is refused and counted, and leaves the source as it was. Where no
source is left the last value is held, and the reading says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

import msgspec

from engine.exact import Number, clamp, exact, positive, share

_SECOND_NS: Final = 1_000_000_000


class IndexPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done about sources that are far from the others, or silent.

    Attributes:
        outliers: beyond `limit` from the median of all live sources, a source is `drop`ped from this reading, `clamp`ed to
            the limit, or `exclude`d for `exclude_s` (then looked at again); `median` takes the median of all sources as the
            index.
        limit: share of the median.
        silent_s: a source that has said nothing for longer has no weight.
        many: from so many outliers on, the median itself is the index; 0 for never.
        exclude_s: how long an exclusion lasts.
        strikes: so many exclusions within `strike_window_s`, and a source stays out until somebody has looked at it; 0 for
            never.
        strike_window_s: see `strikes`.
    """

    outliers: Literal["drop", "clamp", "exclude", "median"]
    limit: Fraction
    silent_s: int
    many: int = 0
    exclude_s: int = 0
    strikes: int = 0
    strike_window_s: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.limit <= 1:
            raise ValueError(f"limit is {self.limit}, it must be above 0 and at most 1")
        if self.silent_s < 1 or min(self.many, self.exclude_s, self.strikes, self.strike_window_s) < 0:
            raise ValueError("silent_s must be at least 1, and many, exclude_s, strikes and strike_window_s not negative")


POLICIES: Final[Mapping[str, IndexPolicy]] = MappingProxyType(
    {
        # Binance support FAQ, the older text: drop beyond 5 %, the median from two outliers on, silent for 10 s.
        "binance-2019": IndexPolicy("drop", Fraction(5, 100), silent_s=10, many=2),
        # Binance support FAQ, the newer text: clamped to 3 % (BTC and ETH: 1 %), silent for 5 min.
        "binance-2025": IndexPolicy("clamp", Fraction(3, 100), silent_s=300),
        "binance-2025-major": IndexPolicy("clamp", Fraction(1, 100), silent_s=300),
        # BingX: out for 5 min from 3 % on, looked at again, 4 times in 30 min: manual review.
        "bingx": IndexPolicy("exclude", Fraction(3, 100), silent_s=300, exclude_s=300, strikes=4, strike_window_s=1800),
        # Vega 0009: the median of the sources that are not stale.
        "vega": IndexPolicy("median", Fraction(1), silent_s=300),
    }
)


class Quote(NamedTuple):
    """What a source says: a price and when it was made, nanoseconds."""

    price: Number
    ts_ns: int


class SourceState(msgspec.Struct, frozen=True):
    """One source. `price` None: it has not spoken. `out_until_ns`: excluded until then, 2**63 - 1 until `readmit`."""

    price: Fraction | None = None
    ts_ns: int = 0
    out_until_ns: int = 0
    strikes_ns: tuple[int, ...] = ()
    refused: int = 0


class IndexState(msgspec.Struct, frozen=True):
    """All sources by name, and the last index."""

    sources: dict[str, SourceState] = {}
    value: Fraction | None = None


class IndexReading(NamedTuple):
    """`value` None: there has never been one. `held`: no source is live, the last value stands. `sources`: what became of each:
    live, clamped, dropped, excluded, review, silent, unheard."""

    value: Fraction | None
    held: bool
    sources: dict[str, str]
    refused: dict[str, str]


_FOR_GOOD: Final = 2**63 - 1


def step(
    state: IndexState, policy: IndexPolicy, weights: Mapping[str, Number], quotes: Mapping[str, Quote], now_ns: int
) -> tuple[IndexState, IndexReading]:
    """The state and the index after new quotes.

    Args:
        state: before.
        policy: see `IndexPolicy`.
        weights: of every source, not negative, at least one above zero; a quote of any other source is refused.
        quotes: what came since the last step.
        now_ns: not before the last step.

    Raises:
        ValueError: weights that are none.

    The median of three sources is 20,000, one is 7 % above it, the cap is 3 % (P17, Binance):

    >>> quotes = {"a": Quote(20_000, 0), "b": Quote(21_400, 0), "c": Quote(19_900, 0)}
    >>> _, reading = step(IndexState(), POLICIES["binance-2025"], {"a": 0, "b": 1, "c": 0}, quotes, 0)
    >>> reading.value, reading.sources["b"]
    (Fraction(20600, 1), 'clamped')
    """
    shares = {name: exact(weight, f"weight of {name!r}") for name, weight in weights.items()}
    if not shares or min(shares.values()) < 0 or max(shares.values()) == 0:
        raise ValueError("weights must not be negative, and one must be above zero")
    sources = {name: state.sources.get(name, SourceState()) for name in shares}
    refused = {}
    for name, quote in quotes.items():
        if name not in sources:
            refused[name] = "is no source of this index"
            continue
        sources[name], why = _heard(sources[name], quote, now_ns)
        if why:
            refused[name] = why
    said = {name: _standing(source, policy, now_ns) for name, source in sources.items()}
    heard = {name: source.price for name, source in sources.items() if said[name] == "live" and source.price is not None}
    if not heard:
        return IndexState(sources, state.value), IndexReading(state.value, True, said, refused)
    middle = median(list(heard.values()))
    value = middle
    if policy.outliers != "median":
        far = {name for name, price in heard.items() if abs(price - middle) > policy.limit * middle}
        for name in far:
            said[name] = {"drop": "dropped", "clamp": "clamped", "exclude": "excluded"}[policy.outliers]
            if policy.outliers == "exclude":
                sources[name] = _excluded(sources[name], policy, now_ns)
        used = {
            name: clamp(price, middle * (1 - policy.limit), middle * (1 + policy.limit))
            for name, price in heard.items()
            if name not in far or policy.outliers == "clamp"
        }
        total = sum(shares[name] for name in used)
        if total > 0 and not (policy.many and len(far) >= policy.many):
            value = Fraction(sum(shares[name] * price for name, price in used.items())) / total
    return IndexState(sources, value), IndexReading(value, False, said, refused)


def readmit(state: IndexState, name: str) -> IndexState:
    """Lets a source in again that waits for review. KeyError for a name that is no source."""
    source = msgspec.structs.replace(state.sources[name], out_until_ns=0, strikes_ns=())
    return IndexState({**state.sources, name: source}, state.value)


def median(values: list[Fraction]) -> Fraction:
    """Of a list that is not empty; of an even number the mean of the middle two.

    >>> median([Fraction(4), Fraction(1), Fraction(2), Fraction(3)])
    Fraction(5, 2)
    """
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return (low + high) / 2


def clamped(price: Number, middle: Number, limit: Number) -> Fraction:
    """A source's price within `limit` (a share) of the median.

    >>> clamped(21_400, 20_000, "0.03")  # P17
    Fraction(20600, 1)
    """
    centre, most = positive(middle, "middle"), share(limit, "limit")
    return clamp(positive(price, "price"), centre * (1 - most), centre * (1 + most))


def throttled(value: Fraction, updated_ns: int, candidate: Number, now_ns: int, period_ns: int) -> tuple[Fraction, int]:
    """A price that is taken over at most once a period (Vega 0003): (price, when it was taken).

    What comes with the very time stamp of the last update belongs to it and replaces it.

    >>> ten_s = 10 * 10**9
    >>> throttled(Fraction(900), 0, 1200, 12 * 10**9, ten_s)[0]  # P25
    Fraction(1200, 1)
    """
    if now_ns < updated_ns:
        raise ValueError(f"now_ns is {now_ns}, before the last update at {updated_ns}")
    if now_ns == updated_ns or now_ns - updated_ns >= period_ns:
        return positive(candidate, "candidate"), now_ns
    return value, updated_ns


def _heard(source: SourceState, quote: Quote, now_ns: int) -> tuple[SourceState, str]:
    """The source after a quote, and why it was refused, if it was."""
    why = ""
    price = None
    try:
        price = positive(quote.price, "price")
    except ValueError as error:
        why = str(error)
    if not why and quote.ts_ns > now_ns:
        why = f"comes from the future: {quote.ts_ns} is after {now_ns}"
    if not why and source.price is not None and quote.ts_ns < source.ts_ns:
        why = f"its clock went back: {quote.ts_ns} is before {source.ts_ns}"
    if why:
        return msgspec.structs.replace(source, refused=source.refused + 1), why
    return msgspec.structs.replace(source, price=price, ts_ns=quote.ts_ns), ""


def _standing(source: SourceState, policy: IndexPolicy, now_ns: int) -> str:
    if source.price is None:
        return "unheard"
    if source.out_until_ns == _FOR_GOOD:
        return "review"
    if now_ns < source.out_until_ns:
        return "excluded"
    return "silent" if now_ns - source.ts_ns > policy.silent_s * _SECOND_NS else "live"


def _excluded(source: SourceState, policy: IndexPolicy, now_ns: int) -> SourceState:
    first = now_ns - policy.strike_window_s * _SECOND_NS
    strikes = (*(at for at in source.strikes_ns if at >= first), now_ns)
    review = policy.strikes > 0 and len(strikes) >= policy.strikes
    until = _FOR_GOOD if review else now_ns + policy.exclude_s * _SECOND_NS
    return msgspec.structs.replace(source, out_until_ns=until, strikes_ns=strikes)
