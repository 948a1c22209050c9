"""The bytes of a journal's files: a segment's header and frames, a snapshot. What is whole, what is torn, what is damaged.

segment   header | CRC-32 | open or closed | frames (`engine.frames`)
snapshot  header | checksum | the venue's state | what was kept beside it
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from engine.contract import OP_DTYPE, SCHEMA_VERSION
from engine.frames import MARK, Frame, frame_at

FORMAT_VERSION: Final = 2

_VERSIONS: Final = (FORMAT_VERSION, SCHEMA_VERSION, OP_DTYPE.itemsize)
_MAGIC: Final = b"PERPLOG\n"
_HEADER: Final = struct.Struct("<8sHHIQQ32s")
# CRC-32 in every format version, so that a journal of another one is told from a damaged one.
_HEADER_CHECKSUM: Final = struct.Struct("<I")
_CHECKED_BYTES: Final = _HEADER.size + _HEADER_CHECKSUM.size

FENCE: Final = slice(_CHECKED_BYTES, _CHECKED_BYTES + 4)
"""The last bytes of a segment's header: OPEN, or CLOSED from when a newer epoch took over. All else of it stays as written."""
OPEN: Final = bytes(4)
CLOSED: Final = b"END\x00"

HEADER_BYTES: Final = FENCE.stop

_SNAPSHOT_MAGIC: Final = b"PERPSNAP"
_SNAPSHOT: Final = struct.Struct("<8sHHIQQQ32s")
_SNAPSHOT_CHECKSUM: Final = struct.Struct("<Q")


class JournalError(Exception):
    """A journal or snapshot that cannot be used; the message says what is wrong, where, and what to do."""


class Header(NamedTuple):
    """What stands at the start of a segment. `seed` is that of its frames' checksums."""

    epoch: int
    first_op: int
    config_hash: bytes
    closed: bool
    seed: int


class Snapshot(NamedTuple):
    """The state right after the first `ops` ops: the venue's, and what its keeper put beside it."""

    ops: int
    venue: bytes
    beside: bytes


def pack_header(epoch: int, first_op: int, config_hash: bytes) -> bytes:
    """The header of a segment that nobody has closed."""
    head = _HEADER.pack(_MAGIC, *_VERSIONS, epoch, first_op, config_hash)
    return head + _HEADER_CHECKSUM.pack(zlib.crc32(head)) + OPEN


def parse_header(path: Path, data: bytes) -> Header:
    """The header in `data`, the first `HEADER_BYTES` of `path`. Raises JournalError: something else, or damaged."""
    magic, version, schema, itemsize, epoch, first_op, config_hash = _HEADER.unpack_from(data)
    (checksum,) = _HEADER_CHECKSUM.unpack_from(data, _HEADER.size)
    if magic != _MAGIC or zlib.crc32(data[: _HEADER.size]) != checksum:
        raise JournalError(f"{path}: is not a journal, or its header is damaged; move it away or restore it")
    _check_version(path, version, schema)
    if itemsize != OP_DTYPE.itemsize or path.stem != f"{epoch:012d}":
        raise JournalError(f"{path}: the header does not fit the file (epoch {epoch}, {itemsize} bytes an op); restore it")
    if data[FENCE] not in (OPEN, CLOSED):
        raise JournalError(f"{path}: the end of its header is damaged; restore the file")
    return Header(epoch, first_op, config_hash, data[FENCE] == CLOSED, xxh3_64_intdigest(data[:_CHECKED_BYTES]))


def whole_frames(path: Path, data: mmap.mmap | bytes, header: Header, limit: int | None) -> Iterator[Frame]:
    """The frames of a segment up to op `limit` or its end, torn or not.

    Raises:
        JournalError: damage that is not a torn end.
    """
    offset, expected = HEADER_BYTES, header.first_op
    while offset < len(data) and (limit is None or expected < limit):
        frame = frame_at(data, offset, header.seed)
        if frame is None:
            # A torn end has nothing whole behind it. Something whole means that earlier bytes were changed or lost.
            later = data.find(MARK, offset + 1)
            while later != -1:
                if frame_at(data, later, header.seed) is not None:
                    raise JournalError(f"{path}: damaged at byte {offset}, after op {expected}; restore the file")
                later = data.find(MARK, later + 1)
            return
        if frame.first_op != expected:
            raise JournalError(f"{path}: at byte {offset} expected op {expected}, found op {frame.first_op}; restore the file")
        yield frame
        offset, expected = frame.end, expected + frame.ops


def snapshot_head(snapshot: Snapshot, config_hash: bytes) -> bytes:
    """What stands before the two states in a snapshot's file."""
    ops, venue, beside = snapshot
    head = _SNAPSHOT.pack(_SNAPSHOT_MAGIC, *_VERSIONS, ops, len(venue), len(beside), config_hash)
    return head + _SNAPSHOT_CHECKSUM.pack(_checksum(head, venue, beside))


def parse_snapshot(path: Path, data: bytes) -> tuple[Snapshot, bytes] | None:
    """The snapshot that is the whole of `data` and the hash of its configuration; None if it is cut short or damaged.

    Raises:
        JournalError: it is whole, and of another version.
    """
    body = _SNAPSHOT.size + _SNAPSHOT_CHECKSUM.size
    if len(data) < body:
        return None
    magic, version, schema, _, ops, venue_bytes, beside_bytes, config_hash = _SNAPSHOT.unpack_from(data)
    (checksum,) = _SNAPSHOT_CHECKSUM.unpack_from(data, _SNAPSHOT.size)
    if magic != _SNAPSHOT_MAGIC or len(data) != body + venue_bytes + beside_bytes:
        return None
    snapshot = Snapshot(ops, data[body : body + venue_bytes], data[body + venue_bytes :])
    if _checksum(data[: _SNAPSHOT.size], snapshot.venue, snapshot.beside) != checksum:
        return None
    _check_version(path, version, schema)
    return snapshot, config_hash


def _check_version(path: Path, version: int, schema: int) -> None:
    if (version, schema) != (FORMAT_VERSION, SCHEMA_VERSION):
        raise JournalError(
            f"{path}: format {version} and schema {schema}, this program reads {FORMAT_VERSION} and {SCHEMA_VERSION};"
            " use the program that wrote it"
        )


def _checksum(*parts: bytes) -> int:
    """XXH3 over the parts, one seeding the next."""
    seed = 0
    for part in parts:
        seed = xxh3_64_intdigest(part, seed)
    return seed
