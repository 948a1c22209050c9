"""Every source and what it can tell at most: the README's table of sources x metrics. A recording may hold less."""

from __future__ import annotations

from typing import Final, NamedTuple

from monitor.metrics.catalogue import CATALOGUE
from monitor.sources import ALL_CAPABILITIES, VENUE_CAPABILITIES, Capability

_BOOK: Final[frozenset[Capability]] = frozenset(("book", "deep_book", "trades"))
_REFERENCES: Final[frozenset[Capability]] = frozenset(("mark", "index", "funding"))
_INTEREST: Final[frozenset[Capability]] = frozenset(("open_interest",))
_FORCED: Final[frozenset[Capability]] = frozenset(("liquidations",))
_LAST: Final[frozenset[Capability]] = frozenset(("last",))
_ORDERS: Final[frozenset[Capability]] = frozenset(("orders",))
_ARRIVAL: Final[frozenset[Capability]] = frozenset(("arrival",))


class Entry(NamedTuple):
    """`format` as of `perpwatch replay --format`; "" for the built-in venue."""

    name: str
    format: str
    capabilities: frozenset[Capability]


SOURCES: Final = (
    Entry("the built-in venue", "", VENUE_CAPABILITIES),
    Entry("its journal (demo --journal)", "journal", VENUE_CAPABILITIES),
    Entry("LOBSTER", "lobster", frozenset(("book", "orders", "trades"))),
    Entry("Databento MBO (DBN, csv)", "orders", _BOOK | _ORDERS),
    Entry("Bitstamp order log", "orders", _BOOK | _ORDERS),
    Entry("Bitfinex raw books", "orders", _BOOK - {"trades"} | _ORDERS),
    Entry("Binance USDⓈ-M frames", "binance-futures", _BOOK | _REFERENCES),
    Entry("Binance spot, COIN-M", "frames", _BOOK | _REFERENCES | _ARRIVAL),
    Entry("Bybit v5, ob500", "frames", _BOOK | _REFERENCES | _INTEREST | _ARRIVAL),
    Entry("OKX v5", "frames", _BOOK | _REFERENCES | _INTEREST | _ARRIVAL),
    Entry("Deribit v2", "frames", _BOOK | _REFERENCES | _INTEREST | _FORCED | _ARRIVAL),
    Entry("BitMEX", "frames", _BOOK | _REFERENCES | _INTEREST | _ARRIVAL),
    Entry("Kraken futures", "frames", _BOOK | _REFERENCES | _INTEREST | _FORCED | _ARRIVAL),
    Entry("Coinbase", "frames", _BOOK | _ARRIVAL),
    Entry("dYdX v3, v4", "frames", _BOOK | _FORCED | _ARRIVAL),
    Entry("Hyperliquid", "frames", _BOOK - {"deep_book"} | _REFERENCES | _INTEREST | _ARRIVAL),
    Entry("Lighter", "frames", _BOOK | _REFERENCES | _FORCED | _ARRIVAL),
    Entry("tardis.dev csv", "frames", _BOOK | _REFERENCES | _INTEREST | _ARRIVAL),
    Entry("events that perpwatch convert wrote", "events", ALL_CAPABILITIES),
    Entry("series (CSV, Parquet)", "series", _REFERENCES | _INTEREST | _FORCED | _LAST),
)


def told(capabilities: frozenset[Capability]) -> dict[str, tuple[int, int]]:
    """By family: how many of its metrics a source with these capabilities has, and how many there are."""
    found: dict[str, tuple[int, int]] = {}
    for metric in CATALOGUE:
        has, total = found.get(metric.family, (0, 0))
        found[metric.family] = (has + metric.told_by(capabilities), total + 1)
    return found
