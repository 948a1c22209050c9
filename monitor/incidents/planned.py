"""What is planned: a file in which people write down when something unusual is to be expected, and why.

```toml
[[planned]]
what = "maintenance of the matching engine"
start = 2026-12-01T03:00:00Z
end = 2026-12-01T03:20:00Z
symbols = ["BTC-PERP"]      # all, if it is left out
families = ["depth"]        # all, if it is left out
```
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

Family = Literal["cancels", "depth", "leverage", "prices", "market"]
MOST: Final = 10_000
"""Entries of a calendar at most."""


class PlannedError(ValueError):
    """A calendar that cannot be used; the message says which file, what, and what to do."""


class Planned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that is planned. Lines that overlap [start_ns, end_ns) say so; without symbols or families, all do."""

    what: str
    start_ns: int
    end_ns: int
    symbols: tuple[str, ...] = ()
    families: tuple[Family, ...] = ()

    def covers(self, symbol: str, family: str, start_ns: int, end_ns: int) -> bool:
        """Whether [start_ns, end_ns) of this symbol and family overlaps it."""
        return (
            start_ns < self.end_ns
            and end_ns > self.start_ns
            and (not self.symbols or symbol in self.symbols)
            and (not self.families or family in self.families)
        )


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    what: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    start: datetime
    end: datetime
    symbols: tuple[str, ...] = ()
    families: tuple[Family, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    planned: Annotated[tuple[_Entry, ...], msgspec.Meta(max_length=MOST)] = ()


def load_planned(path: Path) -> tuple[Planned, ...]:
    """The entries of a calendar file, in its order. Times without a zone are UTC. Raises PlannedError."""
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise PlannedError(f"{path}: {error.strerror}: give a readable calendar file") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PlannedError(f"{path}: {error}: see README, Calendar, for what an entry holds") from error
    found = []
    for n, entry in enumerate(file.planned, 1):
        start_ns, end_ns = _ns(entry.start), _ns(entry.end)
        if end_ns <= start_ns:
            raise PlannedError(f"{path}: entry {n} ({entry.what}) ends at or before it starts: give a later end")
        found.append(Planned(entry.what, start_ns, end_ns, entry.symbols, entry.families))
    return tuple(found)


def _ns(at: datetime) -> int:
    whole = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return int(whole.replace(microsecond=0).timestamp()) * 1_000_000_000 + whole.microsecond * 1000
