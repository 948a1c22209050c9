"""Files to a source: `open_source`. What a file is, its content says; names only tell a LOBSTER file's symbol and day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

from monitor.config import Format
from monitor.sources import Source, SourceError
from monitor.sources.binance import BinanceFuturesSource
from monitor.sources.binance_survey import looks_like_frames
from monitor.sources.events import EventsSource, is_events
from monitor.sources.files import Member, find_members
from monitor.sources.journal import JournalSource, is_journal
from monitor.sources.lobster import LobsterSource
from monitor.sources.orders.source import KINDS, OrdersSource, kind_of
from monitor.sources.series import SeriesSource, is_mapping, looks_like_series
from monitor.sources.wire.binance import BINANCE
from monitor.sources.wire.recorded import is_header
from monitor.sources.wire.source import VENUES, FramesSource, venue_of

FORMATS: Final[tuple[Format, ...]] = get_args(Format)

_HEAD: Final = 2**16
_SPOT: Final = re.compile(rb'"depthUpdate"(?!.*"pu")|@bookTicker"(?!.*"e")')
"""A line of Binance's spot market: depth updates of its futures have `pu`, book tickers a type."""
_NUMBERS: Final = re.compile(rb"-?[0-9.]+(?:,[^,\s]*){3,}\r?")
"""A line of a LOBSTER file: a number, and at least three more columns."""


def open_source(paths: Sequence[Path], format: Format = "auto") -> Source:
    """The source that reads `paths`, all of one format.

    Args:
        paths: files, plain, gzip or zip.
        format: `auto` looks into them.

    Raises:
        SourceError: a path cannot be read, holds no known format, or the paths hold different ones.
    """
    if format == "journal" or (format == "auto" and _is_journal(paths)):
        if len(paths) != 1:
            raise SourceError("a journal is replayed by itself", str(paths[0]), "Replay them apart")
        return JournalSource(paths[0])
    members = find_members(paths)
    if format == "auto":
        format = _format_of(members)
    if format == "lobster":
        return LobsterSource(members)
    if format == "events":
        return EventsSource(members)
    if format == "series":
        return SeriesSource(members)
    if format == "orders":
        return OrdersSource([member for member in members if member.entry is None or kind_of(member.head(_HEAD))] or members)
    if format == "frames":
        return FramesSource([member for member in members if member.entry is None or venue_of(member)] or members)
    return BinanceFuturesSource(_frames(members))


def resolve_format(paths: Sequence[Path], format: Format) -> Format:
    """`format`, or what `auto` finds in the files. Raises SourceError as `open_source` does."""
    if format == "auto" and _is_journal(paths):
        return "journal"
    return _format_of(find_members(paths)) if format == "auto" else format


def _is_journal(paths: Sequence[Path]) -> bool:
    return len(paths) == 1 and is_journal(paths[0])


def _format_of(members: Sequence[Member]) -> Format:
    if any(is_mapping(member) for member in members):
        return "series"
    found: dict[Format, Member] = {}
    for member in members:
        head = member.head(_HEAD)
        if is_events(member, head):
            found.setdefault("events", member)
        elif looks_like_series(head):
            found.setdefault("series", member)
        elif is_header(head):
            found.setdefault("frames", member)
        elif kind_of(head):
            found.setdefault("orders", member)
        elif (venue := venue_of(member)) and not (venue is BINANCE and looks_like_frames(head) and not _is_spot(head)):
            found.setdefault("frames", member)
        elif looks_like_frames(head):
            found.setdefault("binance-futures", member)
        elif _NUMBERS.fullmatch(head.split(b"\n", 1)[0]):
            found.setdefault("lobster", member)
        elif member.entry is None:  # a zip may hold a readme beside its data
            raise SourceError("this is no format known here", str(member), _KNOWN)
    if not found:
        raise SourceError("none of the files in it is of a format known here", str(members[0].path), _KNOWN)
    if len(found) > 1:
        (one, first), (other, second) = found.items()
        raise SourceError(f"{first} is {one} and {second} is {other}", "", "Replay them apart")
    return next(iter(found))


def _is_spot(head: bytes) -> bool:
    """Whether one of the whole lines at a file's start is of Binance's spot market."""
    return _SPOT.search(head.rpartition(b"\n")[0] or head) is not None


def _frames(members: Sequence[Member]) -> list[Member]:
    """Without the readme files of zips."""
    frames = [member for member in members if member.entry is None or looks_like_frames(member.head(_HEAD))]
    if not frames:
        raise SourceError("none of the files in it holds `<local time> <frame>` lines", str(members[0].path), _KNOWN)
    return frames


_KNOWN: Final = (
    "Known are LOBSTER (a zip, or the message and the orderbook csv), Binance futures (`<local time> <frame>` lines),"
    f" recorded streams of {', '.join(venue.name for venue in VENUES)}; order by order"
    f" {', '.join(kind.name for kind in KINDS)}; and series (CSV or Parquet) with a mapping beside them"
)
