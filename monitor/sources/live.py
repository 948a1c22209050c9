"""A venue's live streams as a source: the spool that capture writes, read as a recording that grows.

The events are those that a replay of the spool's files would give. State is saved beside the spool, so that a feed which comes
back goes on from its last snapshot and does not read days of frames again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from engine.book import LARGE, Capacity
from engine.instruments import Instrument
from monitor.config import STEP_NS
from monitor.live.spool import Place, Reader
from monitor.sources import Capability, Label, SourceError
from monitor.sources.binance_batch import EventBatch
from monitor.sources.state_file import StateFile
from monitor.sources.wire.envelopes import opened
from monitor.sources.wire.messages import NotUsedError
from monitor.sources.wire.recorded import KEY, Header, Lost, header_of, is_header, remark_of
from monitor.sources.wire.source import LATENESS_NS, venue_named
from monitor.sources.wire.telling import Stream, Teller

_LOOK_S: Final = 0.01
"""How soon new frames are seen."""
_FIRST_S: Final = 120.0
"""How long the header may take: capture has given up by then, and said why."""


class _State(msgspec.Struct):
    place: Place
    seq: int
    lines: int
    rejects: dict[str, int]
    first: dict[str, int]
    losses: dict[str, int]
    teller: bytes
    beside: bytes


class LiveSource:
    """The spool in `folder`.

    Args:
        state: folder for snapshots.
        keep: leave the files behind a snapshot where they are.

    Raises:
        SourceError: the spool has no header after two minutes, or one of another version.
    """

    step_ns = STEP_NS
    lateness_ns = LATENESS_NS
    accounts = 0
    capacity: Capacity = LARGE
    total_hint: int | None = None
    progress = 0.0

    def __init__(self, folder: Path, state: Path, *, keep: bool) -> None:
        self._reader = Reader(folder)
        self._saved = StateFile(state)
        self._keep = keep
        self._waiting: list[bytes] = []
        header = self._header(folder)
        self.instruments: tuple[Instrument, ...] = header.instruments
        self.capabilities: frozenset[Capability] = frozenset(header.capabilities)
        venue = venue_named(header.venue)
        symbols = frozenset(each.symbol for each in self.instruments)
        self._teller = Teller(self.instruments, keeps=symbols if venue.asks else frozenset())
        self._stream = Stream(venue, follows=True)
        self.rejects: Counter[str] = Counter()
        self._first: dict[str, int] = {}
        self._losses: Counter[str] = Counter()
        self._lines = 0
        self._seq = 1

    @property
    def notes(self) -> Sequence[str]:
        """The venue, connections lost, gaps, and each reason of rejects with its first line."""
        venue = self._stream.venue
        notes = [f"live streams of {venue.name}" + (f"; {venue.note}" if venue.note and not venue.asks else "")]
        notes += [f"{count} x connection lost: {why}" for why, count in self._losses.items()]
        notes += [
            f"{name}: {count} gaps; after each the book waits for a snapshot" for name, count in self._teller.gaps.items()
        ]
        notes += [f"{count} x {reason}, first in line {self._first[reason]}" for reason, count in self.rejects.items()]
        return notes

    def labels(self) -> Sequence[Label]:
        """A venue says nothing of the truth about it."""
        return ()

    def batches(self) -> Iterator[np.ndarray]:
        """EVENT_DTYPE batches as frames come; an empty one when there is nothing yet, so that nobody waits in here."""
        while True:
            lines = self._waiting or self._reader.lines()
            self._waiting = []
            if not lines:
                time.sleep(_LOOK_S)
            batch, ended = EventBatch(), False
            for raw in lines:
                ended = self._take(raw, batch) or ended
            events = batch.build(self._seq)
            self._seq += len(events)
            yield events
            if ended:
                return

    def save(self, beside: bytes) -> None:
        """Keeps where it is, and `beside`; what lies before it in the spool is needed no more. Raises OSError."""
        state = _State(
            self._reader.place,
            self._seq,
            self._lines,
            dict(self.rejects),
            self._first,
            dict(self._losses),
            self._teller.snapshot(self._stream),
            beside,
        )
        self._saved.write(msgspec.msgpack.encode(state))
        if not self._keep:
            self._reader.drop_behind()

    def load(self) -> bytes | None:
        """Goes to the last snapshot and returns what was saved beside it; None without one. Raises SourceError."""
        saved = self._saved.read()
        if saved is None:
            return None
        try:
            state = msgspec.msgpack.decode(saved, type=_State)
            self._teller.restore(state.teller, self._stream)
        except (msgspec.MsgspecError, ValueError) as error:
            raise self._saved.unusable(error) from error
        self._reader.place = Place(*state.place)
        self._waiting = []
        self._seq, self._lines = state.seq, state.lines
        self.rejects, self._first, self._losses = Counter(state.rejects), state.first, Counter(state.losses)
        return state.beside

    def _header(self, folder: Path) -> Header:
        deadline = time.monotonic() + _FIRST_S
        while not (lines := self._reader.lines()):
            if time.monotonic() > deadline:
                raise SourceError("nothing has been recorded", str(folder), "Look at the network, and at capture.log")
            time.sleep(_LOOK_S)
        if not is_header(lines[0]):
            raise SourceError("the spool begins with no header", str(folder), "Give an empty folder")
        self._waiting = lines[1:]
        return header_of(lines[0], str(folder))

    def _take(self, raw: bytes, batch: EventBatch) -> bool:
        """One line's events. Returns whether it is the recording's end."""
        self._lines += 1
        try:
            line = opened(self._lines, raw)
        except NotUsedError as error:
            self._reject(str(error))
            return False
        remark = remark_of(line.frame)
        if remark == "end":
            return True
        if remark is not None:
            if isinstance(remark, Lost):
                self._losses[remark.why] += 1
            self._teller.remark(remark, self._stream, line.local_ns, batch)
        elif KEY not in line.frame:
            for reason in self._teller.tell(self._stream, line, batch):
                self._reject(reason)
        return False

    def _reject(self, reason: str) -> None:
        self.rejects[reason] += 1
        self._first.setdefault(reason, self._lines)
