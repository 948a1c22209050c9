"""Venue-level series as a source (`--format series`): price, mark, index, open interest, liquidations and funding, by symbol.

A row becomes the reference values at the end of its window, and its liquidations become trades of forced orders there. The
windows are the series' own step: where rows stand off the step's grid (at 46 s of each minute), all are shifted onto it, and
that is said. A missing row is a gap; a missing cell leaves the value as it was. A series without any price counts amounts at
a price of 1.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from engine.book import MEDIUM, Capacity
from engine.contract import EVENT_DTYPE, MICRO, NO_ACCOUNT, EventFlag, EventKind, Reference, Side
from engine.instruments import SYMBOL_PATTERN, Instrument
from monitor.metrics.watermark import LATEST_NS
from monitor.sources import Capability, Label, SourceError
from monitor.sources.files import PARQUET_MAGIC, Member
from monitor.sources.mapping import AMOUNTS, COUNTS, PRICES, VALUES, Mapping, own_names, read_mapping
from monitor.sources.steps import step

BATCH: Final = 2**14
MOST_SYMBOLS: Final = 1024
MOST_LIQUIDATIONS: Final = 100_000
"""Of one row: a count above this is no count."""

_DIGITS: Final = 5
"""Digits of the median price that a tick shows. Reference values are finer by another six."""
_MONEY_PLACES: Final = 6
_FUNDING: Final = {"fraction": 1e10, "percent": 1e8, "bps": 1e6}
_MICRO_BPS: Final = 10**10
_EPOCHS: Final = ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3), (math.inf, 1))
"""Numbers below are whole seconds, milliseconds, microseconds or nanoseconds: times from 1973 to 5138."""
_LARGEST: Final = 2**53
_HIGHEST: Final = 2**40
"""Ticks beyond this are no price: in micro-ticks they must stay within 64 bits."""
_SYMBOL: Final = re.compile(SYMBOL_PATTERN)
_MINUTES: Final = (1, 2, 3, 5, 10, 15, 30, 60, 120, 180, 240, 360, 480, 720, 1440, 10_080)
_STEPS_S: Final = (1, 2, 5, 10, 15, 30, *(60 * minutes for minutes in _MINUTES))
_JITTER: Final = 0.05
"""How far the median distance of rows may be from a usual step: whoever samples each minute does not hit it exactly."""
_FORCED: Final = int(EventFlag.LIQUIDATION | EventFlag.HIDDEN)


class _Row(NamedTuple):
    """One row: its time, and its values by name as the file has them (None: no such cell)."""

    ts_ns: int
    values: dict[str, float | None]


class SeriesSource:
    """One or more files of one mapping."""

    lateness_ns = 0
    accounts = 0
    capacity: Capacity = MEDIUM
    total_hint: int | None = None

    def __init__(self, members: Sequence[Member]) -> None:
        """Reads the files. Raises SourceError."""
        mappings = [member for member in members if is_mapping(member)]
        tables = [member for member in members if not is_mapping(member)]
        if len(mappings) > 1 or not tables:
            raise SourceError("a series is one or more tables and at most one mapping", str(mappings[-1]), "Replay them apart")
        self.rejects: Counter[str] = Counter()
        self._first_reject: dict[str, str] = {}
        mapping = read_mapping(mappings[0]) if mappings else None
        rows: dict[str, list[_Row]] = {}
        given: set[str] = set()
        for member in tables:
            given |= self._read(member, mapping, rows)
        if not rows:
            raise SourceError("no row could be used", str(tables[0]), "; ".join(self._reject_notes()[:3]))
        if len(rows) > MOST_SYMBOLS:
            raise SourceError(f"{len(rows)} symbols, at most {MOST_SYMBOLS} can be read in one run", str(tables[0]))
        self.step_ns = (mapping.step_ns if mapping else None) or _step_of(rows, str(tables[0]))
        mapping = mapping or own_names(["time", *given])
        assert mapping is not None  # a table without a value was refused
        self._stamp = mapping.stamp
        self._units = {value: column.unit for value in given if (column := mapping.column(value))}
        self._phase_ns = _phase_of(rows, self.step_ns)
        self._rows = {name: self._on_grid(name, rows[name]) for name in sorted(rows)}
        self.instruments = tuple(_instrument(name, self._rows[name]) for name in self._rows)
        self._priced = bool(given & set(PRICES))
        found: set[Capability] = set()
        values: dict[str, Capability] = {
            "price": "last",
            "mark": "mark",
            "index": "index",
            "funding": "funding",
            "open_interest": "open_interest",
            "long_liquidations": "liquidations",
            "short_liquidations": "liquidations",
        }
        found.update(capability for value, capability in values.items() if value in given)
        self.capabilities = frozenset(found)
        self.progress = 0.0

    @property
    def notes(self) -> Sequence[str]:
        """The windows, what stands off their grid, and each reason of rejects with its first place."""
        notes = [f"windows are of {self.step_ns // 10**9} s, the step of the series"]
        if self._phase_ns:
            notes.append(f"rows stand {self._phase_ns / 1e9:g} s after a window's start; they count for all of it")
        if not self._priced:
            notes.append("there is no price: amounts are counted at a price of 1")
        if "liquidations" in self.capabilities and not set(COUNTS) & set(self._units):
            notes.append("liquidations of a row count as one, their number is not told")
        return notes + self._reject_notes()

    def _reject_notes(self) -> list[str]:
        return [f"{count} x {reason}, first at {self._first_reject[reason]}" for reason, count in self.rejects.items()]

    def labels(self) -> Sequence[Label]:
        """A series knows no truth about itself."""
        return ()

    def batches(self) -> Iterator[np.ndarray]:
        """EVENT_DTYPE batches in order of time."""
        symbols = {name: k for k, name in enumerate(self._rows)}
        rows = sorted((row.ts_ns, symbols[name], row) for name, found in self._rows.items() for row in found)
        before: dict[int, int] = {}
        prices: dict[int, float] = {}
        events: list[tuple[int, ...]] = []
        seq = 1
        for n, (ts_ns, symbol, row) in enumerate(rows):
            missing = (ts_ns - before.get(symbol, ts_ns - self.step_ns)) // self.step_ns - 1
            before[symbol] = ts_ns
            if missing > 0:
                events.append((ts_ns, symbol, int(EventKind.GAP), 0, 0, 0, missing, 0))
            row = self._within(row, self.instruments[symbol])
            prices[symbol] = self._price(row, prices.get(symbol))
            events += self._events(row, symbol, prices[symbol])
            if len(events) >= BATCH or n == len(rows) - 1:
                yield _built(events, seq)
                seq += len(events)
                events = []
                self.progress = (n + 1) / len(rows)

    def _within(self, row: _Row, instrument: Instrument) -> _Row:
        """A row without prices far beyond what is usual for its symbol; those are counted."""
        beyond = [name for name in PRICES if (row.values.get(name) or 0.0) > _HIGHEST * instrument.tick]
        for name in beyond:
            self._reject(f"{name} out of range", f"{instrument.symbol} at {_iso(row.ts_ns)}")
        return row._replace(values={**row.values, **dict.fromkeys(beyond)}) if beyond else row

    def _price(self, row: _Row, before: float | None) -> float:
        """What values a row's amounts: its own price, or the last there was; 1 in a series without any."""
        if not self._priced:
            return 1.0
        return next((price for name in PRICES if (price := row.values.get(name)) is not None), before or 0.0)

    def _events(self, row: _Row, symbol: int, price: float) -> Iterator[tuple[int, ...]]:
        """(time, symbol, kind, flags, side, price, qty, code) of one row."""
        instrument = self.instruments[symbol]
        reference = int(EventKind.REFERENCE)

        def lots_of(name: str) -> float | None:
            amount = row.values.get(name)
            if amount is None:
                return None
            base = amount if self._units[name] == "base" and self._priced else amount / price if price > 0 else math.nan
            lots = base / instrument.lot
            if not 0 <= lots <= _LARGEST:
                self._reject(f"{name} out of range, or without a price", f"{instrument.symbol} at {_iso(row.ts_ns)}")
                return None
            return lots

        ticks = max(round(price / instrument.tick), 1)
        for name, side in (("long_liquidations", Side.SELL), ("short_liquidations", Side.BUY)):
            lots = round(lots_of(name) or 0.0)
            told = row.values.get(name.removesuffix("s") + "_count")
            if told is not None and not 0 <= told <= MOST_LIQUIDATIONS:
                self._reject("count of liquidations out of range", f"{instrument.symbol} at {_iso(row.ts_ns)}")
                told = None
            parts = min(lots, max(1, round(told or 1)))
            for part in range(parts):
                share = lots * (part + 1) // parts - lots * part // parts
                yield row.ts_ns, symbol, int(EventKind.TRADE), _FORCED, int(side), ticks, share, 0
        codes = {"price": Reference.LAST, "mark": Reference.MARK, "index": Reference.INDEX}
        for name, code in codes.items():
            value = row.values.get(name)
            if value is not None:
                yield row.ts_ns, symbol, reference, 0, 0, round(value / instrument.tick * MICRO), 0, int(code)
        if not self._priced:
            yield row.ts_ns, symbol, reference, 0, 0, round(MICRO / instrument.tick), 0, int(Reference.LAST)
        funding = row.values.get("funding")
        if funding is not None:
            rate = funding * _FUNDING[self._units["funding"]]
            if abs(rate) < _MICRO_BPS:
                yield row.ts_ns, symbol, reference, 0, 0, round(rate), 0, int(Reference.FUNDING_RATE)
            else:
                self._reject("funding rate out of range", f"{instrument.symbol} at {_iso(row.ts_ns)}")
        interest = lots_of("open_interest")
        if interest is not None:
            yield row.ts_ns, symbol, reference, 0, 0, round(interest), 0, int(Reference.OPEN_INTEREST)

    def _reject(self, reason: str, where: str) -> None:
        self.rejects[reason] += 1
        self._first_reject.setdefault(reason, where)

    def _read(self, member: Member, mapping: Mapping | None, rows: dict[str, list[_Row]]) -> set[str]:
        """Adds the rows of one file; returns which values it has."""
        table = read_table(member)
        mapping = mapping or own_names(table.columns)
        if mapping is None:
            raise SourceError(f"the columns are {', '.join(table.columns[:12])}", str(member), _NO_MAPPING)
        wanted = {value: column.column for value in VALUES if (column := mapping.column(value))}
        needed = [mapping.time, *(c for c in (mapping.symbol, mapping.venue) if c), *wanted.values()]
        missing = [column for column in needed if column not in table.columns]
        if missing:
            raise SourceError(
                f"there is no column {missing[0]!r}", str(member), f"The columns are {', '.join(map(repr, table.columns[:24]))}"
            )
        zone = mapping.tzinfo
        cells = [table[column].to_list() for column in wanted.values()]
        names = table[mapping.symbol].to_list() if mapping.symbol else [mapping.name] * table.height
        venues = table[mapping.venue].to_list() if mapping.venue else [None] * table.height
        for n, (time, name, venue) in enumerate(zip(table[mapping.time].to_list(), names, venues, strict=True)):
            where = f"{member.name}, row {n + 1}"
            ts_ns = _time_of(time, zone)
            if ts_ns is None:
                self._reject("time that cannot be read", where)
                continue
            symbol = f"{venue}:{name}" if venue is not None else str(name)
            if not _SYMBOL.fullmatch(symbol):
                self._reject("symbol that cannot be used", f"{where}: {symbol[:40]!r}")
                continue
            values = {value: self._number(value, cell[n], where) for value, cell in zip(wanted, cells, strict=True)}
            rows.setdefault(symbol, []).append(_Row(ts_ns, values))
        return set(wanted)

    def _number(self, value: str, cell: Any, where: str) -> float | None:
        """A cell as a number; None where it is empty, or (counted) is none, or none of this value."""
        if cell is None or cell == "":
            return None
        try:
            number = float(cell)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number) or (value in PRICES and number <= 0) or (value in AMOUNTS and number < 0):
            self._reject(f"{value} that is no such number", f"{where}: {str(cell)[:40]!r}")
            return None
        return number

    def _on_grid(self, name: str, rows: list[_Row]) -> list[_Row]:
        """One symbol's rows in order, each at its window's last nanosecond; a window's first row with a value is taken."""
        if any(after.ts_ns < row.ts_ns for row, after in pairwise(rows)):
            self._reject("symbol whose rows were not in order; they were sorted", name)
        found: dict[int, _Row] = {}
        ends = self._stamp == "end"
        for row in sorted(rows, key=lambda row: row.ts_ns):
            k = (row.ts_ns - self._phase_ns + self.step_ns // 2) // self.step_ns + (0 if ends else 1)
            if k <= 0:
                self._reject("time before 1970", name)
            elif k in found and any(value is not None for value in found[k].values.values()):
                self._reject("second row of a symbol and window", f"{name} at {_iso(row.ts_ns)}")
            else:
                found[k] = row._replace(ts_ns=k * self.step_ns - 1)
        return list(found.values())


def is_mapping(member: Member) -> bool:
    """Whether a file is a series' mapping, by its name."""
    return member.name.endswith(".toml")


def looks_like_series(head: bytes) -> bool:
    """Whether a table's first bytes are a Parquet file's or a header with a series' own names."""
    columns = head.split(b"\n", 1)[0].decode(errors="replace").strip().split(",")
    return head.startswith(PARQUET_MAGIC) or own_names(columns) is not None


def read_table(member: Member) -> pl.DataFrame:
    """A CSV (all columns as text) or Parquet file. Raises SourceError."""
    data = member.read()
    try:
        if data.startswith(PARQUET_MAGIC):
            return pl.read_parquet(io.BytesIO(data))
        return pl.read_csv(io.BytesIO(data), infer_schema=False)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(f"this is no readable table ({said})", str(member), "Give a CSV with a header, or Parquet") from error


def _time_of(cell: Any, zone: tzinfo) -> int | None:
    """UTC ns of a time: ISO 8601, a number since 1970, or a date of its own type; None for none, or one after `LATEST_NS`."""
    if isinstance(cell, str):
        text = cell.strip()
        try:
            cell = float(text) if "." in text else int(text)
        except ValueError:
            try:
                cell = datetime.fromisoformat(text)
            except ValueError:
                return None
    if isinstance(cell, datetime):
        moment = cell if cell.tzinfo else cell.replace(tzinfo=zone)
        whole = moment.replace(microsecond=0)
        return int(whole.timestamp()) * 10**9 + moment.microsecond * 1000
    if hasattr(cell, "year"):
        return _time_of(datetime(cell.year, cell.month, cell.day), zone)  # noqa: DTZ001 (`zone` is given)
    if isinstance(cell, int | float) and math.isfinite(cell) and cell > 0:
        factor = next(factor for below, factor in _EPOCHS if cell < below)
        return round(cell * factor) if cell * factor <= LATEST_NS else None
    return None


def _step_of(rows: dict[str, list[_Row]], where: str) -> int:
    """The distance between two rows of a symbol: a usual one where the median is near it, else the most frequent."""
    distances: Counter[int] = Counter()
    for found in rows.values():
        times = np.unique([row.ts_ns for row in found])
        values, counts = np.unique(np.diff(times), return_counts=True)
        distances.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    if not distances:
        raise SourceError("the step cannot be told from one row of each symbol", where, 'Give step = "1h" in a mapping')
    middle = float(np.median(np.repeat(list(distances), list(distances.values()))))
    usual = min(_STEPS_S, key=lambda seconds: abs(seconds * 1e9 - middle))
    if abs(usual * 1e9 - middle) <= _JITTER * middle:
        return usual * 10**9
    chosen = max(distances, key=lambda distance: (distances[distance], -distance))
    return max(round(chosen / 10**9), 1) * 10**9


def _phase_of(rows: dict[str, list[_Row]], step_ns: int) -> int:
    """The most frequent distance of a row from the step's grid."""
    offsets = Counter(row.ts_ns % step_ns for found in rows.values() for row in found)
    return min(offsets, key=lambda offset: (-offsets[offset], offset))


def _instrument(name: str, rows: list[_Row]) -> Instrument:
    prices = [price for row in rows for value in PRICES if (price := row.values.get(value)) is not None]
    if not prices:
        return Instrument(symbol=name, tick_size="1", lot_size="0.01")
    places = min(max(0, _DIGITS - 1 - math.floor(math.log10(float(np.median(prices))))), 15)
    lot_places = _MONEY_PLACES - places
    lot_size = step(lot_places) if lot_places >= 0 else str(10**-lot_places)
    return Instrument(symbol=name, tick_size=step(places), lot_size=lot_size)


def _built(rows: list[tuple[int, ...]], seq: int) -> np.ndarray:
    events = np.zeros(len(rows), EVENT_DTYPE)
    events["account"] = events["contra_account"] = NO_ACCOUNT
    events["seq"] = np.arange(seq, seq + len(rows))
    names = ("ts_ns", "symbol", "kind", "flags", "side", "price", "qty", "code")
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        events[name] = column
    return events


def _iso(ts_ns: int) -> str:
    return str(np.datetime64(ts_ns, "ns").astype("datetime64[s]")) + "Z"


_NO_MAPPING: Final = (
    "Give a mapping (a .toml with a table [series]) beside it, or name the columns time, symbol and " + ", ".join(VALUES)
)
