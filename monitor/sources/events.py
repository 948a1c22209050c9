"""Our own recordings (`--format events`): any source's events in a Parquet file, with what the source can tell about itself.

Reading a venue's frames again and again costs their parsing each time; a file of events is read a good deal faster and gives
the same rows. `write_events` makes one, `perpwatch convert` is its command. The columns are those of `EVENT_DTYPE`; the file's
metadata holds a `Header` as JSON under `METADATA`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from engine.book import LARGE, MEDIUM, SMALL, Capacity
from engine.contract import EVENT_DTYPE, SCHEMA_VERSION
from engine.instruments import Instrument
from monitor.sources import Capability, Label, Source, SourceError
from monitor.sources.files import PARQUET_MAGIC, Member

if TYPE_CHECKING:
    from polars._typing import SchemaDict

METADATA: Final = "perpwatch.events"

_BATCH: Final = 2**17
_CAPACITIES: Final = {capacity.name: capacity for capacity in (SMALL, MEDIUM, LARGE)}
_TYPES: Final = {"<i8": pl.Int64(), "<i4": pl.Int32(), "|u1": pl.UInt8()}
_SCHEMA: Final[dict[str, pl.DataType]] = {name: _TYPES[EVENT_DTYPE[name].str] for name in EVENT_DTYPE.names or ()}


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a source says about itself; see `monitor.sources.Source`."""

    contract: int
    instruments: tuple[Instrument, ...]
    capabilities: tuple[Capability, ...]
    accounts: int
    capacity: str
    lateness_ns: int
    step_ns: int


class EventsSource:
    """One file that `write_events` made."""

    total_hint: int | None = None

    def __init__(self, members: Sequence[Member]) -> None:
        """Reads the header. Raises SourceError."""
        if len(members) != 1 or members[0].entry is not None:
            raise SourceError("events are read from one file, which lies in no zip", str(members[0]), "Replay files apart")
        self._member = members[0]
        header = _header_of(self._member)
        self.instruments = header.instruments
        self.capabilities = frozenset(header.capabilities)
        self.accounts = header.accounts
        self.capacity: Capacity = _CAPACITIES[header.capacity]
        self.lateness_ns = header.lateness_ns
        self.step_ns = header.step_ns
        self.rejects: Counter[str] = Counter()
        self.notes: Sequence[str] = (f"{self._member.name}: events converted from another recording",)
        self.progress = 0.0

    def labels(self) -> Sequence[Label]:
        """A recording knows no truth about itself."""
        return ()

    def batches(self) -> Iterator[np.ndarray]:
        """EVENT_DTYPE batches as they were written."""
        seq = 1
        try:
            total = pl.scan_parquet(self._member.path).select(pl.len()).collect().item()
            for frame in pl.scan_parquet(self._member.path).collect_batches(chunk_size=_BATCH):
                events = np.zeros(frame.height, EVENT_DTYPE)
                for name in _SCHEMA:
                    events[name] = frame[name].to_numpy()
                wrong = np.flatnonzero(events["seq"] != np.arange(seq, seq + len(events)))
                if len(wrong):
                    at = int(wrong[0])
                    raise SourceError(
                        f"event {seq + at} has the number {events['seq'][at]}",
                        f"{self._member}, row {seq + at}",
                        "Events are missing or doubled; convert the recording again",
                    )
                seq += len(events)
                self.progress = (seq - 1) / max(total, 1)
                yield events
        except (pl.exceptions.PolarsError, OSError) as error:
            raise SourceError(
                f"the file is torn after {seq - 1} events ({_first_line(error)})", str(self._member), _TORN
            ) from error


def is_events(member: Member, head: bytes) -> bool:
    """Whether a Parquet file has our header."""
    if not head.startswith(PARQUET_MAGIC) or member.entry is not None:
        return False
    try:
        return METADATA in pl.read_parquet_metadata(member.path)
    except (pl.exceptions.PolarsError, OSError):
        return False


def write_events(source: Source, path: Path) -> int:
    """Writes all of a source's events to `path`, whole or not at all; returns how many. Raises SourceError and OSError."""
    header = Header(
        contract=SCHEMA_VERSION,
        instruments=source.instruments,
        capabilities=tuple(sorted(source.capabilities)),
        accounts=source.accounts,
        capacity=source.capacity.name,
        lateness_ns=source.lateness_ns,
        step_ns=source.step_ns,
    )
    count = 0

    def frames(*_: Any) -> Iterator[pl.DataFrame]:
        nonlocal count
        for events in source.batches():
            count += len(events)
            yield pl.DataFrame({name: np.ascontiguousarray(events[name]) for name in _SCHEMA}, schema=_SCHEMA)

    schema: SchemaDict = dict(_SCHEMA)
    temporary = path.with_name(f".{path.name}.tmp")
    metadata = {METADATA: msgspec.json.encode(header).decode()}
    try:
        register_io_source(frames, schema=schema).sink_parquet(
            temporary, compression="zstd", compression_level=1, row_group_size=_BATCH, maintain_order=True, metadata=metadata
        )
        temporary.replace(path)
    except pl.exceptions.ComputeError as error:
        # What the source raises in the middle of it comes wrapped.
        raise SourceError(f"the recording cannot be read to its end ({_first_line(error)})", "", _TORN) from error
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _header_of(member: Member) -> Header:
    try:
        text = pl.read_parquet_metadata(member.path)[METADATA]
        schema = dict(pl.read_parquet_schema(member.path))
        header = msgspec.json.decode(text, type=Header)
    except (pl.exceptions.PolarsError, OSError, KeyError, ValueError, msgspec.MsgspecError) as error:
        raise SourceError(f"this is no file of events ({_first_line(error)})", str(member), _MAKE) from error
    if header.contract != SCHEMA_VERSION or schema != _SCHEMA or header.capacity not in _CAPACITIES:
        raise SourceError(f"the events are of version {header.contract}, read is {SCHEMA_VERSION}", str(member), _MAKE)
    return header


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


_TORN: Final = "Convert or copy it again"
_MAKE: Final = "perpwatch convert makes one from a recording"
