"""What the columns of a series are: a small TOML beside the file, or the columns' own names.

    [series]
    time = "timestamp"          # the column of times
    zone = "UTC"                # of times without an offset: a name such as Europe/Berlin, or an offset such as +03:00
    stamp = "start"             # whether a row's time is the start or the end of what it tells
    symbol = "pair"             # a column; or name = "BTCUSDT" for a file of one symbol
    venue = "exchange"          # a column, if one symbol stands there for several venues
    step = "1h"                 # s, m, h or d; without it, the usual distance of two rows

    [series.columns]
    price = "close"
    open_interest = { column = "oi_close", unit = "usd" }
    funding = { column = "rate", unit = "percent" }
    long_liquidations = "liq_long_usd"

Units are of what a column holds: `usd` (quote) or `base` for amounts, `fraction`, `percent` or `bps` for funding.
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from monitor.sources import SourceError
from monitor.sources.files import Member

Unit = Literal["", "usd", "base", "fraction", "percent", "bps"]

PRICES: Final = ("price", "mark", "index")
AMOUNTS: Final = ("open_interest", "long_liquidations", "short_liquidations")
COUNTS: Final = ("long_liquidation_count", "short_liquidation_count")
VALUES: Final = (*PRICES, *AMOUNTS, *COUNTS, "funding")

_UNITS: Final[dict[str, tuple[Unit, ...]]] = {
    **dict.fromkeys(PRICES, ("",)),
    **dict.fromkeys(AMOUNTS, ("usd", "base")),
    **dict.fromkeys(COUNTS, ("",)),
    "funding": ("fraction", "percent", "bps"),
}
"""The units each value can have, the usual one first."""

_OFFSET: Final = re.compile(r"([+-])(\d\d):?(\d\d)")
_STEP: Final = r"^[1-9][0-9]{0,5}[smhd]$"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column and the unit of what it holds; "" is the usual one."""

    column: str
    unit: Unit = ""


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[series]`. Of `symbol` and `name` one is given."""

    time: str = "time"
    zone: str = "UTC"
    stamp: Literal["start", "end"] = "start"
    symbol: str = ""
    name: str = ""
    venue: str = ""
    step: Annotated[str, msgspec.Meta(pattern=_STEP)] | None = None
    columns: dict[str, str | Column] = {}

    @property
    def step_ns(self) -> int | None:
        """The length of a window, where it is given."""
        return None if self.step is None else int(self.step[:-1]) * _SECONDS[self.step[-1]] * 1_000_000_000

    def column(self, value: str) -> Column | None:
        """Where a value stands and in which unit; None where the file does not have it."""
        found = self.columns.get(value)
        if found is None:
            return None
        column = Column(found) if isinstance(found, str) else found
        return msgspec.structs.replace(column, unit=column.unit or _UNITS[value][0])

    @property
    def tzinfo(self) -> tzinfo:
        """The zone of times without an offset. Raises ValueError for one that is not known."""
        if self.zone == "UTC":
            return UTC
        offset = _OFFSET.fullmatch(self.zone)
        if offset:
            length = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
            return timezone(-length if offset[1] == "-" else length)
        try:
            return ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"zone {self.zone!r} is not known; give UTC, an offset such as +03:00, or a name") from error


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    series: Mapping


def read_mapping(member: Member) -> Mapping:
    """The mapping in a TOML file. Raises SourceError."""
    try:
        mapping = msgspec.convert(tomllib.loads(member.read().decode()), type=_File).series
        _check(mapping)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, ValueError) as error:
        raise SourceError(f"this is no mapping of a series: {error}", str(member), _ADVICE) from error
    return mapping


def own_names(columns: list[str]) -> Mapping | None:
    """The mapping of a file whose columns have the names of the values themselves; None for another file."""
    found = [value for value in VALUES if value in columns]
    if "time" not in columns or not set(found) - set(COUNTS):
        return None
    symbol = "symbol" if "symbol" in columns else ""
    return Mapping(
        symbol=symbol,
        name="" if symbol else "SERIES",
        venue="venue" if "venue" in columns else "",
        columns={value: value for value in found},
    )


def _check(mapping: Mapping) -> None:
    """Raises ValueError for a mapping that cannot be meant."""
    if bool(mapping.symbol) == bool(mapping.name):
        raise ValueError("give symbol (a column) or name (of the only symbol)")
    if not set(mapping.columns) - set(COUNTS):
        raise ValueError(f"[series.columns] names no value; known are {', '.join(VALUES)}")
    for value in mapping.columns:
        if value not in VALUES:
            raise ValueError(f"{value!r} is no value of a series; known are {', '.join(VALUES)}")
        column = mapping.column(value)
        assert column is not None
        if column.unit not in _UNITS[value]:
            known = " or ".join(unit or '""' for unit in _UNITS[value])
            raise ValueError(f"{value} has the unit {known}, not {column.unit!r}")
    for count in COUNTS:
        if count in mapping.columns and count.replace("_count", "s") not in mapping.columns:
            raise ValueError(f"{count} needs {count.replace('_count', 's')} beside it")
    _ = mapping.tzinfo


_ADVICE: Final = "The documentation of monitor/sources/mapping.py has an example"
