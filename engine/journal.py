"""The append-only log of ops, and snapshots beside it: the only input and output of the engine.

A journal is a directory of segments, one a fencing epoch: `<epoch>.journal`. A segment starts with a header (format and
schema version, epoch, configuration hash, how many ops stand before it) and goes on with frames, each one batch of
`OP_DTYPE` under a checksum. A new epoch opens a new segment after the last whole frame of the older ones. So a process
that was replaced but still runs can only write behind the point where its successor took over, where nobody reads; and
its next `flush` tells it so.

    journal = Journal.open(directory, config_hash, "append", epoch=1)
    journal.append(ops)   # before the ops are applied
    journal.flush()       # before anything that follows from them is published
    for batch in journal.batches(): ...

What a killed process leaves half-written at the end is cut, and `torn` says what was cut. Damage anywhere else is a
`JournalError`: a log with a hole cannot be replayed.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Literal, NamedTuple

import numpy as np

from engine.contract import OP_DTYPE, SCHEMA_VERSION

FORMAT_VERSION: Final = 1

_MAGIC = b"PERPLOG\n"
_HEADER = struct.Struct("<8sHHIQQ32s")
_FRAME = struct.Struct("<4sIQQI")
_FRAME_MARK = b"OPS\x00"
_CHECKSUM = struct.Struct("<I")
_SNAPSHOT = struct.Struct("<8sHH4xQQ32s")
_SNAPSHOT_MAGIC = b"PERPSNAP"
_KEPT_SNAPSHOTS = 2
_BUFFER_BYTES = 1 << 20


class JournalError(Exception):
    """A journal or snapshot that cannot be used; the message says what is wrong, where, and what to do."""


class FencedError(JournalError):
    """A newer epoch owns the journal: this process was replaced and must stop."""


class _Segment(NamedTuple):
    path: Path
    epoch: int
    first_op: int


class _Frame(NamedTuple):
    first_op: int
    ops: int
    start: int
    end: int


class Journal:
    """Ops in the order in which they were applied. Make one with `open`."""

    def __init__(self, directory: Path, config_hash: bytes, epoch: int) -> None:
        self._directory = directory
        self._config_hash = config_hash
        self.epoch = epoch
        self.torn: str | None = None
        """What was cut from a half-written end when the journal was opened."""
        self.ops = 0
        """How many ops the journal holds, those not yet flushed included."""
        self._file: BinaryIO | None = None
        self._seen_mtime_ns = 0

    @classmethod
    def open(cls, directory: Path, config_hash: bytes, mode: Literal["read", "append"], epoch: int = 0) -> Journal:
        """The journal in `directory`; appending creates what is missing.

        Args:
            directory: where the segments are; holds nothing else.
            config_hash: 32 bytes over everything that decides what the ops do. A journal of another one is refused.
            mode: "read" cuts nothing and keeps no file open.
            epoch: the fencing epoch to append under, from 1.

        Raises:
            FencedError: the journal belongs to a newer epoch, or another process has this epoch open.
            JournalError: another configuration or version, or damage before the end.
        """
        if len(config_hash) != 32:
            raise ValueError(f"config_hash must be 32 bytes, not {len(config_hash)}")
        journal = cls(directory, config_hash, epoch)
        if mode == "append":
            if epoch < 1:
                raise ValueError(f"epoch must be at least 1, not {epoch}")
            directory.mkdir(parents=True, exist_ok=True)
            journal._refuse_newer_epoch()
        segments = journal._segments()
        end = _HEADER.size + _CHECKSUM.size
        if segments and segments[0].first_op:
            raise JournalError(f"{directory}: the ops before {segments[0].first_op} are missing; restore the older segments")
        for number, segment in enumerate(segments):
            last = number == len(segments) - 1
            limit = None if last else segments[number + 1].first_op
            journal.ops, end = journal._scan(segment, limit)
        if mode == "append":
            journal._open_for_append(segments, end)
        return journal

    def append(self, ops: np.ndarray) -> None:
        """Adds a batch. It reaches the operating system with the next `flush`; an empty batch is nothing."""
        if self._file is None:
            raise ValueError("the journal is not open for appending")
        if ops.dtype != OP_DTYPE:
            raise ValueError(f"the journal holds OP_DTYPE, not {ops.dtype}")
        if len(ops) == 0:
            return
        payload = ops.tobytes()
        self._file.write(_frame_head(len(ops), self.epoch, self.ops, payload))
        self._file.write(payload)
        self.ops += len(ops)

    def flush(self) -> None:
        """Hands everything appended to the operating system: it survives a kill -9 of this process from here on.

        Raises:
            FencedError: a newer epoch has opened the journal. What was appended since is in nobody's history.
        """
        if self._file is None:
            raise ValueError("the journal is not open for appending")
        self._file.flush()
        # A new segment changes the directory's time; looking at names each time would cost more than a tick.
        changed = os.stat(self._directory).st_mtime_ns
        if changed != self._seen_mtime_ns:
            self._refuse_newer_epoch()
            self._seen_mtime_ns = changed

    def close(self) -> None:
        """Flushes to the disk itself and gives the journal up. Closing twice is nothing."""
        if self._file is not None:
            file, self._file = self._file, None
            file.flush()
            os.fsync(file.fileno())
            file.close()

    def batches(self, first_op: int = 0) -> Iterator[np.ndarray]:
        """The ops from number `first_op` on (counted from 0), as the batches in which they were appended.

        Covers what was in the files when the journal was opened, and what was flushed before the iteration reached it.
        """
        segments = self._segments()
        for number, segment in enumerate(segments):
            last = number == len(segments) - 1
            limit = None if last else segments[number + 1].first_op
            if limit is not None and limit <= first_op:
                continue
            with _mapped(segment.path) as data:
                for frame in _frames(data, segment, limit):
                    ops = np.frombuffer(data[frame.start : frame.end], OP_DTYPE)
                    if frame.first_op + frame.ops > first_op:
                        yield ops[max(0, first_op - frame.first_op) :]

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _segments(self) -> list[_Segment]:
        """Segments with a whole header, by epoch. A header cut short belongs to a process that died before its first op."""
        found = []
        for path in sorted(self._directory.glob("*.journal")):
            head = _read_head(path)
            if head is None:
                continue
            epoch, first_op, config_hash = head
            if config_hash != self._config_hash:
                raise JournalError(
                    f"{path}: written under configuration {config_hash.hex()[:12]}, this one is {self._config_hash.hex()[:12]};"
                    " start with the configuration it was written under, or with an empty directory"
                )
            found.append(_Segment(path, epoch, first_op))
        return found

    def _refuse_newer_epoch(self) -> None:
        newest = max((int(path.stem) for path in self._directory.glob("*.journal") if path.stem.isdigit()), default=0)
        if newest > self.epoch:
            raise FencedError(
                f"{self._directory}: epoch {newest} owns this journal, epoch {self.epoch} was replaced and must stop"
            )

    def _scan(self, segment: _Segment, limit: int | None) -> tuple[int, int]:
        """Ops up to the segment's end, and the byte after its last whole frame. Notes a torn end."""
        ops, end = segment.first_op, _HEADER.size + _CHECKSUM.size
        with _mapped(segment.path) as data:
            for frame in _frames(data, segment, limit):
                ops, end = frame.first_op + frame.ops, frame.end
            size = len(data)
        if limit is None and end < size:
            self.torn = f"{segment.path}: the last {size - end} bytes are a half-written batch after op {ops}; they were cut"
        if limit is not None and ops < limit:
            raise JournalError(f"{segment.path}: holds ops up to {ops}, the next segment starts at {limit}; restore the file")
        return ops, end

    def _open_for_append(self, segments: list[_Segment], end: int) -> None:
        path = self._directory / f"{self.epoch:012d}.journal"
        existing = bool(segments) and segments[-1].epoch == self.epoch
        file = open(path, "r+b" if existing else "w+b", buffering=_BUFFER_BYTES)  # noqa: SIM115 - stays open until close()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise FencedError(f"{path}: another process has epoch {self.epoch} open; start under a higher epoch") from None
        if existing:
            file.truncate(end)
            file.seek(end)
        else:
            versions = (FORMAT_VERSION, SCHEMA_VERSION, OP_DTYPE.itemsize)
            head = _HEADER.pack(_MAGIC, *versions, self.epoch, self.ops, self._config_hash)
            file.write(head + _CHECKSUM.pack(zlib.crc32(head)))
            file.flush()
            os.fsync(file.fileno())
            _sync_directory(self._directory)
        self._file = file
        self._seen_mtime_ns = os.stat(self._directory).st_mtime_ns
        self._refuse_newer_epoch()


def write_snapshot(directory: Path, config_hash: bytes, position: int, payload: bytes) -> Path:
    """Writes `<position>.snapshot` so that it is there whole or not at all, and removes all but the newest two.

    Args:
        directory: where snapshots are kept; made if missing.
        config_hash: 32 bytes; `newest_snapshot` refuses a snapshot of another configuration.
        position: how far the state had come, for example the count of ops applied.
        payload: the state.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{position:020d}.snapshot"
    head = _SNAPSHOT.pack(_SNAPSHOT_MAGIC, FORMAT_VERSION, SCHEMA_VERSION, position, len(payload), config_hash)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        file.write(head + _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(head))))
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    _sync_directory(directory)
    for old in sorted(directory.glob("*.snapshot"))[:-_KEPT_SNAPSHOTS]:
        old.unlink(missing_ok=True)
    return path


def newest_snapshot(directory: Path, config_hash: bytes, at_most: int | None = None) -> tuple[int, bytes] | None:
    """Position and payload of the newest whole snapshot, not beyond position `at_most`; None if there is none.

    A torn or damaged snapshot is passed over: an older one and a longer replay give the same state.

    Raises:
        JournalError: the newest whole snapshot was written under another configuration or version.
    """
    for path in sorted(directory.glob("*.snapshot"), reverse=True):
        data = path.read_bytes()
        body = _SNAPSHOT.size + _CHECKSUM.size
        if len(data) < body:
            continue
        magic, version, schema, position, size, written_under = _SNAPSHOT.unpack_from(data)
        (checksum,) = _CHECKSUM.unpack_from(data, _SNAPSHOT.size)
        payload = data[body:]
        if magic != _SNAPSHOT_MAGIC or len(payload) != size:
            continue
        if zlib.crc32(payload, zlib.crc32(data[: _SNAPSHOT.size])) != checksum:
            continue
        _check_version(path, version, schema)
        if written_under != config_hash:
            raise JournalError(f"{path}: written under another configuration; start with that one, or with an empty directory")
        if at_most is None or position <= at_most:
            return position, payload
    return None


def _frame_head(count: int, epoch: int, first_op: int, payload: bytes) -> bytes:
    checksum = zlib.crc32(payload, zlib.crc32(struct.pack("<IQQ", count, epoch, first_op)))
    return _FRAME.pack(_FRAME_MARK, count, epoch, first_op, checksum)


def _frame_at(data: mmap.mmap | bytes, offset: int) -> tuple[_Frame, int] | None:
    """The whole frame that starts at `offset` and its epoch, or None."""
    start = offset + _FRAME.size
    if start > len(data):
        return None
    mark, count, epoch, first_op, checksum = _FRAME.unpack_from(data, offset)
    end = start + count * OP_DTYPE.itemsize
    if mark != _FRAME_MARK or end > len(data):
        return None
    if zlib.crc32(data[start:end], zlib.crc32(struct.pack("<IQQ", count, epoch, first_op))) != checksum:
        return None
    return _Frame(first_op, count, start, end), epoch


def _frames(data: mmap.mmap | bytes, segment: _Segment, limit: int | None) -> Iterator[_Frame]:
    """The segment's whole frames below op `limit`. Raises `JournalError` for damage that is not a torn end."""
    offset, expected = _HEADER.size + _CHECKSUM.size, segment.first_op
    while offset < len(data) and (limit is None or expected < limit):
        found = _frame_at(data, offset)
        if found is None:
            # A torn end has nothing whole behind it. Something whole means that earlier bytes were changed or lost.
            later = data.find(_FRAME_MARK, offset + 1)
            while later != -1:
                if _frame_at(data, later) is not None:
                    raise JournalError(f"{segment.path}: damaged at byte {offset}, after op {expected}; restore the file")
                later = data.find(_FRAME_MARK, later + 1)
            return
        frame, epoch = found
        if epoch != segment.epoch or frame.first_op != expected:
            raise JournalError(
                f"{segment.path}: at byte {offset} expected op {expected} of epoch {segment.epoch},"
                f" found op {frame.first_op} of epoch {epoch}; restore the file"
            )
        yield frame
        offset, expected = frame.end, expected + frame.ops


def _read_head(path: Path) -> tuple[int, int, bytes] | None:
    with open(path, "rb") as file:
        data = file.read(_HEADER.size + _CHECKSUM.size)
    if len(data) < _HEADER.size + _CHECKSUM.size:
        return None
    magic, version, schema, itemsize, epoch, first_op, config_hash = _HEADER.unpack_from(data)
    (checksum,) = _CHECKSUM.unpack_from(data, _HEADER.size)
    if magic != _MAGIC or zlib.crc32(data[: _HEADER.size]) != checksum:
        raise JournalError(f"{path}: is not a journal, or its header is damaged; move it away or restore it")
    _check_version(path, version, schema)
    if itemsize != OP_DTYPE.itemsize or path.stem != f"{epoch:012d}":
        raise JournalError(f"{path}: the header does not fit the file (epoch {epoch}, {itemsize} bytes an op); restore it")
    return epoch, first_op, config_hash


def _check_version(path: Path, version: int, schema: int) -> None:
    if (version, schema) != (FORMAT_VERSION, SCHEMA_VERSION):
        raise JournalError(
            f"{path}: format {version} and schema {schema}, this program reads {FORMAT_VERSION} and {SCHEMA_VERSION};"
            " use the program that wrote it"
        )


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    """Read-only bytes of a file that is not empty, mapped: a day's journal is larger than the memory it deserves."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
