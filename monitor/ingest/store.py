"""Where a venue's events are kept between ingest and feed: a folder of files of `EVENT_DTYPE` rows, appended to by one process.

A file is named by the number of its first event and of the venue's first event in it. The two differ, because ingest adds a
CLOCK where the venue is silent (`code` ADDED); the kept events are numbered anew without a hole. What a killed process left
half-written is cut: it was never acknowledged, and the venue sends it again.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from engine.contract import EVENT_DTYPE, EventKind
from monitor.live.spool import Appender, SpoolError, claim

SEGMENT_BYTES: Final = 64 << 20
ADDED: Final = 1
"""`code` of a CLOCK that ingest added."""

_SUFFIX: Final = ".events"
_END: Final = "end"
_ROW: Final = EVENT_DTYPE.itemsize
_READ_ROWS: Final = 2**15


class EventWriter:
    """Appends events. One at a time in a folder.

    `next_seq` is the number of the next event to keep, `next_sent` that of the next event of the venue's own numbering.
    Raises SpoolError where the folder cannot be used.
    """

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._lock = claim(folder)
        self.next_seq = self.next_sent = 1
        found = _files(folder)
        if found:
            first_seq, first_sent = found[-1]
            path = _path(folder, first_seq, first_sent)
            rows = path.stat().st_size // _ROW
            os.truncate(path, rows * _ROW)
            kept = np.fromfile(path, EVENT_DTYPE)
            added = int(((kept["kind"] == EventKind.CLOCK) & (kept["code"] == ADDED)).sum())
            self.next_seq, self.next_sent = first_seq + rows, first_sent + rows - added
            self._file = Appender(path)
        else:
            self._file = Appender(_path(folder, 1, 1))

    @property
    def ended(self) -> bool:
        """Whether the venue said that no more will come."""
        return (self._folder / _END).exists()

    def append(self, events: np.ndarray, sent: int) -> None:
        """Keeps `events` (EVENT_DTYPE), of which the venue sent `sent`, numbered anew.

        Raises OSError, with nothing of them kept.
        """
        if self._file.size >= self._segment_bytes:
            self._file.close()
            self._file = Appender(_path(self._folder, self.next_seq, self.next_sent))
        numbered = events.copy()
        numbered["seq"] = np.arange(self.next_seq, self.next_seq + len(events))
        self._file.append(numbered.tobytes())
        self.next_seq += len(events)
        self.next_sent += sent

    def end(self) -> None:
        """No more will come."""
        (self._folder / _END).touch()

    def close(self) -> None:
        self._file.close()
        self._lock.close()


class EventReader:
    """Reads events in order from number `next_seq` on."""

    def __init__(self, folder: Path, next_seq: int = 1) -> None:
        self._folder = folder
        self.next_seq = next_seq

    def events(self) -> np.ndarray:
        """What came since the last call, some of it if it is much; empty if nothing did. Raises SpoolError for a hole."""
        for first_seq, first_sent in reversed(_files(self._folder)):
            if first_seq > self.next_seq:
                continue
            rows = np.fromfile(
                _path(self._folder, first_seq, first_sent), EVENT_DTYPE, _READ_ROWS, offset=(self.next_seq - first_seq) * _ROW
            )
            if len(rows) and (rows["seq"][0] != self.next_seq or rows["seq"][-1] != self.next_seq + len(rows) - 1):
                raise SpoolError(f"{self._folder}: event {self.next_seq} is not where it should be; begin the run again")
            self.next_seq += len(rows)
            return rows
        if self.next_seq > 1 or _files(self._folder):
            raise SpoolError(f"{self._folder}: event {self.next_seq} is gone; begin the run again")
        return np.zeros(0, EVENT_DTYPE)

    @property
    def ended(self) -> bool:
        """Whether the venue said that no more will come. What came before may still have to be read."""
        return (self._folder / _END).exists()

    def drop_behind(self) -> None:
        """Removes the files that have been read to their end and are not the last."""
        files = _files(self._folder)
        for (first_seq, first_sent), (following, _) in pairwise(files):
            if following <= self.next_seq:
                _path(self._folder, first_seq, first_sent).unlink(missing_ok=True)


def _files(folder: Path) -> list[tuple[int, int]]:
    """(number of the first event, the venue's number of it) of each file, rising."""
    found = []
    for path in folder.glob(f"*{_SUFFIX}"):
        first_seq, _, first_sent = path.stem.partition("-")
        if first_seq.isdigit() and first_sent.isdigit():
            found.append((int(first_seq), int(first_sent)))
    return sorted(found)


def _path(folder: Path, first_seq: int, first_sent: int) -> Path:
    return folder / f"{first_seq:020d}-{first_sent:020d}{_SUFFIX}"
