"""Recorded files as bytes and lines: plain, gzip, zstd and zip, with every way to fail told as a `SourceError`."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BufferedIOBase, BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, Final, cast

import zstandard

from monitor.sources import SourceError

GZIP_MAGIC: Final = b"\x1f\x8b"
ZIP_MAGIC: Final = b"PK"
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
PARQUET_MAGIC: Final = b"PAR1"

_TORN: Final = "Download or copy it again"
_BLOCK: Final = 2**17
_LONGEST_LINE: Final = 16 * 2**20
"""A file without line ends must not fill the memory: no frame of an order feed comes near this many bytes."""


class Member:
    """One recorded file: a path of its own, gzip-compressed or not, or an entry of a zip."""

    def __init__(self, path: Path, entry: str | None = None) -> None:
        self.path = path
        self.entry = entry
        self.fraction = 0.0
        """How much of it `lines` has read."""

    @property
    def name(self) -> str:
        """The file name without directories and without `.gz` or `.zst`."""
        name = (self.entry or self.path.name).replace("\\", "/").rsplit("/", 1)[-1]
        return name.removesuffix(".gz").removesuffix(".zst")

    def __str__(self) -> str:
        return f"{self.path}, entry {self.entry}" if self.entry else str(self.path)

    def read(self) -> bytes:
        """All of it. Raises SourceError."""
        parts: list[bytes] = []
        with self._errors(lambda: sum(part.count(b"\n") for part in parts)), self._open() as (content, _, _):
            while part := content.read(2**20):
                parts.append(part)
        return b"".join(parts)

    def head(self, size: int) -> bytes:
        """The first `size` bytes, or as many as can be had. Raises SourceError if that is not one."""
        part = b""
        try:
            with self._errors(lambda: 0), self._open() as (content, _, _):
                while len(part) < size and (more := content.read(min(1024, size - len(part)))):
                    part += more
        except SourceError:
            if not part:
                raise
        return part

    def lines(self) -> Generator[bytes]:
        """Line by line, without the newlines, in bounded memory. Raises SourceError, for a torn file after its last line."""
        count = 0
        rest = b""
        with self._errors(lambda: count), self._open() as (content, position, size):
            # read1 gives what one step of decompression gave, so a tear loses nothing that stands before it.
            while block := cast(BufferedIOBase, content).read1(_BLOCK):
                lines = (rest + block).split(b"\n")
                rest = lines.pop()
                if len(rest) > _LONGEST_LINE:
                    raise SourceError(
                        f"a line of more than {_LONGEST_LINE // 2**20} MiB",
                        f"{self}, line {count + len(lines) + 1}",
                        "This is no recording of frames",
                    )
                self.fraction = min(position.tell() / size, 1.0)
                for line in lines:
                    count += 1
                    yield line
            if rest:
                yield rest
        self.fraction = 1.0

    @contextmanager
    def _open(self) -> Iterator[tuple[IO[bytes], IO[bytes], int]]:
        """The content, decompressed; the stream whose position tells the progress; and that stream's size."""
        with ExitStack() as stack:
            if self.entry:
                archive = stack.enter_context(zipfile.ZipFile(self.path))
                size = archive.getinfo(self.entry).file_size
                raw = stack.enter_context(archive.open(self.entry))
            else:
                size = self.path.stat().st_size
                raw = stack.enter_context(self.path.open("rb"))
            start = raw.read(4)
            raw.seek(0)
            content = raw
            if start[:2] == GZIP_MAGIC:
                content = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=raw)))
            elif start == ZSTD_MAGIC:
                reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
                content = cast(IO[bytes], stack.enter_context(BufferedReader(cast(RawIOBase, reader))))
            yield content, raw, max(size, 1)

    @contextmanager
    def _errors(self, lines_read: Callable[[], int]) -> Iterator[None]:
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, zstandard.ZstdError) as error:
            raise SourceError(f"the file is torn after {lines_read()} lines ({error})", str(self), _TORN) from error
        except RuntimeError as error:  # what zipfile says of encryption and of foreign compression
            raise SourceError(f"the zip cannot be unpacked ({error})", str(self), "Unpack it and give its files") from error
        except OSError as error:
            raise _unreadable(self.path, error) from error


def find_members(paths: Sequence[Path]) -> list[Member]:
    """Every file in `paths`, zips taken apart, in the order given.

    Raises:
        SourceError: there is no path, one is missing, a directory, empty, not permitted, a torn zip, or given twice.
    """
    if not paths:
        raise SourceError("no file was given")
    members: list[Member] = []
    seen: dict[Path, Path] = {}
    for path in paths:
        start = _first_bytes(path)
        real = path.resolve()
        if real in seen:
            raise SourceError("the same file was given twice", str(path), "Give each file once")
        seen[real] = path
        if start[:2] == ZIP_MAGIC:
            members += [Member(path, entry) for entry in _entries(path)]
        else:
            members.append(Member(path))
    return members


def _first_bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise SourceError("this is a directory", str(path), "Give the files in it")
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not start:
        raise SourceError("the file is empty", str(path))
    return start


def _entries(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry.filename for entry in archive.infolist() if not entry.is_dir() and entry.file_size > 0]
    except zipfile.BadZipFile as error:
        raise SourceError(
            f"the zip is torn: its table of contents, which stands at the end, is missing or damaged ({error})",
            str(path),
            "Download or copy it again",
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not entries:
        raise SourceError("the zip holds no file", str(path))
    return entries


def _unreadable(path: Path, error: OSError) -> SourceError:
    if isinstance(error, FileNotFoundError):
        return SourceError("there is no such file", str(path))
    if isinstance(error, PermissionError):
        return SourceError("no permission to read the file", str(path), "Change its mode, or run as a user who may read it")
    return SourceError(f"the file cannot be read: {error.strerror or error}", str(path))
