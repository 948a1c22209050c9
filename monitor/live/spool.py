"""The spool between capture and feed: a folder of numbered files of lines, appended to by one process, read by another.

A line is whole once its newline is there; the writer cuts what a killed one before it left half-written. Files are closed at
`SEGMENT_BYTES`, and each begins with the same header line, so that each can be replayed by itself. The reader says how far it
needs the spool no more, and those files go, unless they are to be kept.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, Final, NamedTuple

SEGMENT_BYTES: Final = 64 << 20
SUFFIX: Final = ".frames"

_READ_BYTES: Final = 1 << 20
_TAIL_BYTES: Final = 1 << 16
_LOCK: Final = ".lock"


class SpoolError(Exception):
    """The spool cannot be written or read: what, where, what to do."""

    exit_code: Final = 2


class Place(NamedTuple):
    """The end of a line: `offset` bytes into file `segment`, counted from 1."""

    segment: int = 1
    offset: int = 0


class Appender:
    """A file to whose end whole pieces are added: a piece is there in full or not at all. `size` is in bytes."""

    def __init__(self, path: Path) -> None:
        # Unbuffered: a buffer would keep a piece that found no room, and write it before the next one.
        self._file = path.open("ab", buffering=0)
        self.size = path.stat().st_size

    def append(self, content: bytes) -> None:
        """Hands `content` to the operating system. Raises OSError, with nothing of it in the file."""
        left = memoryview(content)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            os.ftruncate(self._file.fileno(), self.size)
            raise
        self.size += len(content)

    def close(self) -> None:
        self._file.close()


class Writer:
    """Appends lines. One at a time in a folder: a second one is refused while the first lives.

    Raises SpoolError where the folder cannot be used.
    """

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._lock = claim(folder)
        found = segments(folder)
        self._number = found[-1] if found else 1
        path = _path(folder, self._number)
        _cut_torn_end(path)
        self._file = Appender(path)
        self.header = _first_line(_path(folder, found[0])) if found else b""
        """The first line of every file; b"" before there is one."""

    def begin(self, header: bytes) -> None:
        """Sets the header of a spool that has none yet."""
        self.header = header
        self._file.append(header + b"\n")

    def write(self, lines: list[bytes]) -> None:
        """Appends whole lines, given without their newlines, and hands them to the operating system.

        Raises OSError, with what was appended cut off again, so that a line is never there in part.
        """
        if self._file.size >= self._segment_bytes:
            self._file.close()
            self._number += 1
            self._file = Appender(_path(self._folder, self._number))
        if not self._file.size and self.header:
            self._file.append(self.header + b"\n")
        self._file.append(b"\n".join(lines) + b"\n")

    def close(self) -> None:
        self._file.close()
        self._lock.close()


class Reader:
    """Reads lines in order from `place` on."""

    def __init__(self, folder: Path, place: Place = Place()) -> None:  # noqa: B008 — a constant
        self._folder = folder
        self.place = place

    def lines(self) -> list[bytes]:
        """The whole lines that came since the last call, some of them if they are many; empty if there is none.

        Raises SpoolError where a file that is needed is gone.
        """
        while True:
            path = _path(self._folder, self.place.segment)
            try:
                with path.open("rb") as file:
                    file.seek(self.place.offset)
                    content = file.read(_READ_BYTES)
                    while content and b"\n" not in content and (more := file.read(_READ_BYTES)):
                        content += more
            except FileNotFoundError:
                if self.place == Place():  # not begun, or begun so long ago that its first files are gone
                    found = segments(self._folder)
                    if not found:
                        return []
                    self.place = Place(found[0], 0)
                    continue
                raise SpoolError(f"{path}: is gone, and was not read to its end; begin the run again") from None
            end = content.rfind(b"\n") + 1
            if end:
                self.place = Place(self.place.segment, self.place.offset + end)
                return content[: end - 1].split(b"\n")
            # A next file is begun only after this one's last line was written.
            if not _path(self._folder, self.place.segment + 1).exists():
                return []
            if path.stat().st_size == self.place.offset:
                self.place = Place(self.place.segment + 1, 0)

    def drop_behind(self) -> None:
        """Removes the files before the one that is being read."""
        for number in segments(self._folder):
            if number < self.place.segment:
                _path(self._folder, number).unlink(missing_ok=True)


def claim(folder: Path) -> IO[str]:
    """Takes `folder` (made if missing) for this process, as long as what is returned stays open. Raises SpoolError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SpoolError(f"{folder}: another process writes there; give another folder") from None
    except OSError as error:
        raise SpoolError(f"{folder}: nothing can be kept there ({error.strerror}); give another folder") from error
    return lock


def segments(folder: Path) -> list[int]:
    """The numbers of the files in a spool, rising."""
    return sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}{SUFFIX}"


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        line = file.readline()
    return line[:-1] if line.endswith(b"\n") else b""


def _cut_torn_end(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _TAIL_BYTES)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                file.truncate(start + at + 1)
                return
            end = start
        file.truncate(0)
