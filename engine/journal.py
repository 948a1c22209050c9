"""The append-only log of ops, and snapshots in it: the only input and output of the engine.

A journal is a directory of segments, one a fencing epoch: `<epoch>.journal`. A segment starts with a header (format and
schema version, epoch, configuration hash, how many ops stand before it) and goes on with frames, each one batch of
`OP_DTYPE` under a checksum. A new epoch marks the older segments as closed and opens its own after their last whole frame.
So a process that was replaced but still runs can only write behind the point where its successor took over, where nobody
reads; and its next `flush` tells it so.

    journal = Journal.open(directory, config_hash, "append", epoch=1)
    recover(journal, venue)          # to where the log ends
    journal.append(ops)              # before the ops are applied
    journal.flush()                  # before anything that follows from them is published
    events = venue.apply(ops)
    journal.write_snapshot(venue)    # now and then: so much less to replay

What a killed process leaves half-written at the end is cut, and `torn` says what was cut. Damage anywhere else is a
`JournalError`: a log with a hole cannot be replayed.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, NamedTuple

import numpy as np

from engine.contract import OP_DTYPE
from engine.frames import Encoder, decode
from engine.journal_format import (
    CLOSED,
    FENCE,
    HEADER_BYTES,
    OPEN,
    Header,
    JournalError,
    Snapshot,
    pack_header,
    parse_header,
    parse_snapshot,
    snapshot_head,
    whole_frames,
)

if TYPE_CHECKING:
    from engine.venue import Venue

__all__ = ["FencedError", "Journal", "JournalError", "Snapshot", "recover"]

_KEPT_SNAPSHOTS: Final = 2
_BUFFER_BYTES: Final = 1 << 20


class FencedError(JournalError):
    """A newer epoch owns the journal: this process was replaced and must stop."""


class _Segment(NamedTuple):
    path: Path
    header: Header
    limit: int | None
    """The op at which the next segment takes over."""


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
        self._own_path = directory / f"{epoch:012d}.journal"
        self._own: mmap.mmap | None = None
        self._file: BinaryIO | None = None
        self._encoder = Encoder(0)

    @classmethod
    def open(cls, directory: Path, config_hash: bytes, mode: Literal["read", "append"], epoch: int = 0) -> Journal:
        """The journal in `directory`; appending creates what is missing.

        Args:
            directory: where segments and snapshots are; holds nothing else.
            config_hash: 32 bytes over everything that decides what the ops do. A journal of another one is refused.
            mode: "read" cuts nothing and keeps no file open.
            epoch: the fencing epoch to append under, from 1.

        Raises:
            FencedError: the journal belongs to a newer epoch, or another process has this epoch open.
            JournalError: another configuration or version, damage before the end, or the loss of ops that a snapshot knows.
        """
        if len(config_hash) != 32:
            raise ValueError(f"config_hash must be 32 bytes, not {len(config_hash)}")
        journal = cls(directory, config_hash, epoch)
        if mode == "read":
            journal._scan()
        elif epoch < 1:
            raise ValueError(f"epoch must be at least 1, not {epoch}")
        else:
            journal._open_for_append()
        return journal

    def append(self, ops: np.ndarray) -> None:
        """Adds a batch. It reaches the operating system with the next `flush`; an empty batch is nothing."""
        if self._file is None:
            raise ValueError("the journal is not open for appending")
        # Mostly it is the very object; to compare two that are equal takes as long as to encode a hundred ops.
        if ops.dtype is not OP_DTYPE and ops.dtype != OP_DTYPE:
            raise ValueError(f"the journal holds OP_DTYPE, not {ops.dtype}")
        if len(ops) == 0:
            return
        self._file.write(self._encoder.encode(ops, self.ops))
        self.ops += len(ops)

    def flush(self) -> None:
        """Hands everything appended to the operating system: it survives a kill -9 of this process from here on.

        Raises:
            FencedError: a newer epoch has opened the journal. What was appended since is in nobody's history.
        """
        if self._file is None or self._own is None:
            raise ValueError("the journal is not open for appending")
        self._file.flush()
        # After the write: a successor closes first and then reads, so what was written while this was open is in its history.
        # A look at mapped memory, because a system call each time would cost more than to encode a tick.
        if self._own[FENCE] != OPEN:
            self._refuse_newer_epoch()
            raise FencedError(f"{self._own_path}: was closed by a process that is gone; start again under a higher epoch")

    def close(self) -> None:
        """Flushes to the disk itself and gives the journal up. Closing twice is nothing."""
        if self._file is not None:
            file, self._file, self._own = self._file, None, None
            with file:
                file.flush()
                os.fsync(file.fileno())

    def batches(self, first_op: int = 0) -> Iterator[np.ndarray]:
        """The ops from number `first_op` on (counted from 0), as the batches in which they were appended.

        Covers what was in the files when the journal was opened, and what was flushed before the iteration reached it.
        """
        for path, header, limit in self._segments():
            if limit is not None and limit <= first_op:
                continue
            data = _mapped(path)
            for frame in whole_frames(path, data, header, limit):
                if frame.first_op + frame.ops > first_op:
                    yield decode(data, frame)[max(0, first_op - frame.first_op) :]

    def write_snapshot(self, venue: Venue, beside: bytes = b"") -> None:
        """Writes the venue's state, so that it is there whole or not at all, and removes all but the newest two.

        The ops before it are brought to the disk first: no snapshot knows ops that the log could lose, or that a successor
        decides otherwise.

        Args:
            venue: has applied ops of this journal, not necessarily all.
            beside: what else belongs to this moment; the journal does not look into it.

        Raises:
            FencedError: as `flush`.
        """
        self.flush()
        assert self._file is not None
        os.fsync(self._file.fileno())
        snapshot = Snapshot(venue.ops, venue.snapshot(), beside)
        if snapshot.ops > self.ops:
            raise ValueError(f"the venue has applied {snapshot.ops} ops, the journal holds {self.ops}")
        temporary = self._directory / f"{self.epoch:012d}.tmp"
        with open(temporary, "wb") as file:
            file.write(snapshot_head(snapshot, self._config_hash))
            file.write(snapshot.venue)
            file.write(snapshot.beside)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._directory / f"{snapshot.ops:020d}.snapshot")
        _sync_directory(self._directory)
        left = [path for path in self._directory.glob("*.tmp") if int(path.stem) < self.epoch]
        for path in (*self._snapshots()[_KEPT_SNAPSHOTS:], *left):
            path.unlink(missing_ok=True)

    def newest_snapshot(self) -> Snapshot | None:
        """The newest whole snapshot of a state that this journal's ops lead to; None if there is none.

        A damaged snapshot is passed over: an older one and a longer replay give the same state.

        Raises:
            JournalError: the newest whole snapshot was written under another configuration or version.
        """
        for path in self._snapshots():
            found = parse_snapshot(path, path.read_bytes())
            if found is not None:
                snapshot, config_hash = found
                self._check_config(path, config_hash)
                if snapshot.ops <= self.ops:
                    return snapshot
        return None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _segments(self) -> list[_Segment]:
        """Segments with a whole header, by epoch. A header cut short belongs to a process that died before its first op."""
        found: list[tuple[Path, Header]] = []
        newest = self._newest_epoch()
        for path in sorted(self._directory.glob("*.journal")):
            with open(path, "rb") as file:
                data = file.read(HEADER_BYTES)
            if len(data) < HEADER_BYTES:
                continue
            header = parse_header(path, data)
            self._check_config(path, header.config_hash)
            if header.closed and header.epoch == newest:
                raise JournalError(f"{path}: a newer epoch took over, and its segment is missing; restore that")
            found.append((path, header))
        limits = [header.first_op for _, header in found[1:]]
        return [_Segment(*pair, limit) for pair, limit in zip(found, [*limits, None], strict=False)]

    def _snapshots(self) -> list[Path]:
        """Newest first."""
        return sorted(self._directory.glob("*.snapshot"), reverse=True)

    def _check_config(self, path: Path, config_hash: bytes) -> None:
        if config_hash != self._config_hash:
            raise JournalError(
                f"{path}: written under configuration {config_hash.hex()[:12]}, this one is {self._config_hash.hex()[:12]};"
                " start with the configuration it was written under, or with an empty directory"
            )

    def _newest_epoch(self) -> int:
        return max((int(path.stem) for path in self._directory.glob("*.journal") if path.stem.isdigit()), default=0)

    def _refuse_newer_epoch(self) -> None:
        newest = self._newest_epoch()
        if newest > self.epoch:
            raise FencedError(
                f"{self._directory}: epoch {newest} owns this journal, epoch {self.epoch} was replaced and must stop"
            )

    def _scan(self) -> int:
        """Looks at every frame and counts the ops. Returns the byte after the last whole frame of the last segment."""
        end = 0
        for number, (path, header, limit) in enumerate(self._segments()):
            if number == 0 and header.first_op:
                raise JournalError(
                    f"{self._directory}: the ops before {header.first_op} are missing; restore the older segments"
                )
            self.ops, end = header.first_op, HEADER_BYTES
            data = _mapped(path)
            for frame in whole_frames(path, data, header, limit):
                self.ops, end = frame.first_op + frame.ops, frame.end
            if limit is None and end < len(data):
                left = len(data) - end
                self.torn = f"{path}: the last {left} bytes are a half-written batch after op {self.ops}; they were cut"
            if limit is not None and self.ops != limit:
                raise JournalError(f"{path}: holds ops up to {self.ops}, the next segment starts at {limit}; restore the file")
        return end

    def _open_for_append(self) -> None:
        """The order counts: of two processes that open at once, the newer epoch closes the segment of the older one, or the
        older one, which looks again when its header is written, sees the file of the newer one and stops.
        """
        self._segments()  # a journal that is not ours is left as it is
        self._directory.mkdir(parents=True, exist_ok=True)
        self._refuse_newer_epoch()
        file = open(self._own_path, "ab", buffering=_BUFFER_BYTES)  # noqa: SIM115 - stays open until close()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sync_directory(self._directory)  # before a segment is closed in favour of this one
            self._close_older_segments()
            end = self._scan()
            self._refuse_lost_ops()
            self._start_segment(file, end)
            self._refuse_newer_epoch()
        except BlockingIOError:
            file.close()
            raise FencedError(
                f"{self._own_path}: another process has epoch {self.epoch} open; start under a higher epoch"
            ) from None
        except BaseException:
            file.close()
            raise
        self._file, self._own = file, _mapped(self._own_path)

    def _close_older_segments(self) -> None:
        for path, header, _ in self._segments():
            if header.epoch < self.epoch:
                with open(path, "r+b") as file:
                    file.seek(FENCE.start)
                    file.write(CLOSED)

    def _refuse_lost_ops(self) -> None:
        for path in self._snapshots():
            if int(path.stem) > self.ops:
                raise JournalError(
                    f"{path}: was written after op {int(path.stem)}, the journal ends at {self.ops}; restore the segments,"
                    " or remove the snapshot to go on without the ops that were lost"
                )

    def _start_segment(self, file: BinaryIO, end: int) -> None:
        """Cuts this epoch's segment behind its last whole frame, at `end`, or writes its header."""
        last = next(reversed(self._segments()), None)
        if last is not None and last.header.epoch == self.epoch:
            file.truncate(end)
            self._encoder = Encoder(last.header.seed)
            return
        data = pack_header(self.epoch, self.ops, self._config_hash)
        file.truncate(0)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        self._encoder = Encoder(parse_header(self._own_path, data).seed)


def recover(journal: Journal, venue: Venue) -> None:
    """Brings a new venue to the end of `journal`: to the newest snapshot, and from there on by the ops.

    By `state_hash` it is the state that all ops from the first one on lead to.

    Raises:
        JournalError: damage, or a snapshot of another venue or version.
    """
    snapshot = journal.newest_snapshot()
    if snapshot is not None:
        try:
            venue.restore(snapshot.venue)
        except ValueError as error:
            raise JournalError(f"the snapshot after op {snapshot.ops} does not fit this venue: {error}; remove it") from error
    for ops in journal.batches(venue.ops):
        venue.apply(ops)


def _mapped(path: Path) -> mmap.mmap:
    """Read-only bytes of a file that is not empty, mapped: a day's journal is larger than the memory it deserves.

    Closed by its last reader: arrays and views lie in it.
    """
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
