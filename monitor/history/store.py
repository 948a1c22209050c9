"""The lasting history of many runs: a folder of Parquet files by UTC day and symbol, and what belongs to it.

A store looks like this; every name in it is known before anything is read:

    store.json                                               what this is, and the first day that is kept
    runs/<run>.json                                          one record a run: its summary, and each file with rows and bytes
    metrics/day=2026-01-01/symbol=BTC-PERP/<run>.parquet     also metrics_10s, metrics_60s
    anomalies/day=2026-01-01/<run>.parquet                   also verdicts, labels

A run is in the store when its record is: the record is written last, so a run comes in whole or not at all, whatever dies on
the way. A day is gone when `store.json` says so: that is written before the files are removed. Files that no record knows are
read by nobody, and the next drop sweeps them.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import IO, Any, Final, Literal, TypeVar
from urllib.parse import quote

import msgspec

STORE_VERSION: Final = 1
HEAD: Final = "store.json"
_LOCK: Final = ".lock"
_EPOCH: Final = date(1970, 1, 1)
_LONGEST_NAME: Final = 240
"""Bytes of a folder's name at most; file systems end at 255, and the name must not be cut silently."""

_NO_SYMBOLS: Final = ("", "__HIVE_DEFAULT_PARTITION__")
"""What stands for null in a partition's name; polars takes the second for null even percent-encoded."""

BY_SYMBOL: Final = ("metrics", "metrics_10s", "metrics_60s")
BY_DAY: Final = ("anomalies", "verdicts", "labels")
TABLES: Final = (*BY_SYMBOL, *BY_DAY)

_PART: Final = re.compile(r"day=(\d{4}-\d\d-\d\d)(/symbol=[A-Z0-9_%-]+)?")
_RUN: Final = re.compile(r"[0-9a-f]{16}")


class StoreError(Exception):
    """The store, or what shall come into it, is not as it must be: what, where, and what to do."""

    exit_code: Final = 2


class Part(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One Parquet file: its rows and its length in bytes."""

    rows: int
    size: int


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run has of one table. `schema` names its columns and types, so that files alike can be scanned as one; the keys
    of `parts` are folders below the table's: `day=2026-01-01/symbol=BTC-PERP`, or `day=2026-01-01`."""

    schema: str
    parts: dict[str, Part]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run: its summary as the run wrote it, and its files here."""

    run: str
    summary: dict[str, Any]
    tables: dict[str, Table]
    v: int = STORE_VERSION


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`store.json`. Rows of days before `kept_from` (ISO date, empty: none) are no longer here and are not taken again."""

    kept_from: str = ""
    kind: Literal["perpwatch-history"] = "perpwatch-history"
    v: int = STORE_VERSION


class Dropped(msgspec.Struct, frozen=True):
    """What a drop removed: the days, their files, rows and bytes; runs of which nothing is left; strays, which are files that
    an interrupted add or drop had left behind; and how many days are still there."""

    before: str
    days: tuple[str, ...]
    files: int
    rows: int
    size: int
    runs: int
    strays: int
    days_left: int


class Store:
    """A store that is there. Reading needs no lock; who writes holds `locked`."""

    def __init__(self, root: Path) -> None:
        """Raises StoreError unless `root` is a store of this version."""
        _check_place(root)
        self.root = root
        self.head = _read(root / HEAD, Head)

    def records(self) -> list[Record]:
        """All runs, by their names. Raises StoreError when one cannot be read."""
        with _said(self.root, "read"):
            paths = sorted(path for path in (self.root / "runs").glob("*.json") if not path.name.startswith("."))
        return [_read(path, Record) for path in paths]

    def record(self, run: str) -> Record | None:
        """The record of `run`, if it is here."""
        path = self._record_path(run)
        return _read(path, Record) if path.is_file() else None

    def kept(self, part: str) -> bool:
        """Whether the day of a part has not been dropped."""
        return day_of(part) >= self.head.kept_from

    def path(self, table: str, part: str, run: str) -> Path:
        """Where a part's file lies."""
        return self.root / table / part / f"{run}.parquet"

    def amiss(self, record: Record) -> str:
        """What is wrong with the files of a run that should be here; empty if nothing is. Looks at lengths, not at content."""
        for name, table in record.tables.items():
            for part, expected in table.parts.items():
                if not self.kept(part):
                    continue
                path = self.path(name, part, record.run)
                try:
                    size = path.stat().st_size
                except FileNotFoundError:
                    return f"{path}: is missing"
                except OSError as error:
                    return f"{path}: cannot be read ({error.strerror})"
                if size != expected.size:
                    return f"{path}: is torn ({size:,} bytes, written were {expected.size:,})"
        return ""

    def write_part(self, table: str, part: str, run: str, write: Callable[[IO[bytes]], object]) -> int:
        """Writes the file of a part, whole or not at all. Returns its bytes. Raises StoreError."""
        return _write_whole(self.path(table, part, run), write)

    def write_record(self, record: Record) -> None:
        """Makes a run whose files are written a part of the store. Raises StoreError."""
        data = msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=1) + b"\n"
        _write_whole(self._record_path(record.run), lambda file: file.write(data))

    def newest_day(self) -> str:
        """The newest day of any table, ISO; empty in a store without rows."""
        return max((day for record in self.records() for day in self._days(record)), default="")

    def drop(self, before: date) -> Dropped:
        """Removes the rows of all days before `before`, and what interrupted adds and drops left. Raises StoreError."""
        records = self.records()
        gone = [
            (day_of(part), of)
            for record in records
            for table in record.tables.values()
            for part, of in table.parts.items()
            if self.kept(part) and day_of(part) < before.isoformat()
        ]
        if before.isoformat() > self.head.kept_from:
            self.head = Head(before.isoformat())
            _write_head(self.root, self.head)
        removed = self._sweep(records)
        empty = [record for record in records if not self._days(record)]
        for record in empty:
            with _said(self._record_path(record.run), "removed"):
                self._record_path(record.run).unlink(missing_ok=True)
        return Dropped(
            before=before.isoformat(),
            days=tuple(sorted({day for day, _ in gone})),
            files=len(gone),
            rows=sum(of.rows for _, of in gone),
            size=sum(of.size for _, of in gone),
            runs=len(empty),
            strays=max(removed - len(gone), 0),
            days_left=len({day for record in records for day in self._days(record)}),
        )

    def _days(self, record: Record) -> set[str]:
        return {day_of(part) for table in record.tables.values() for part in table.parts if self.kept(part)}

    def _record_path(self, run: str) -> Path:
        return self.root / "runs" / f"{run}.json"

    def _sweep(self, records: list[Record]) -> int:
        """Removes every file that is not of a kept day of a run here; returns how many. Only below the tables' folders."""
        known = {
            self.path(name, part, record.run)
            for record in records
            for name, table in record.tables.items()
            for part in table.parts
            if self.kept(part)
        }
        removed = 0
        for name in TABLES:
            # Deepest first, so that a folder is empty by the time it is looked at.
            with _said(self.root / name, "removed"):
                for folder, _, files in os.walk(self.root / name, topdown=False):
                    for file in files:
                        path = Path(folder) / file
                        # A file of another kind is not ours to remove.
                        if path not in known and file.endswith((".parquet", ".parquet.tmp")):
                            path.unlink(missing_ok=True)
                            removed += 1
                    if not os.listdir(folder):
                        os.rmdir(folder)
        return removed


_T = TypeVar("_T", Head, Record)


def is_store(folder: Path) -> bool:
    """Whether `folder` says that it is a store; it may still be of another version."""
    return (folder / HEAD).is_file()


def make_store(root: Path) -> Store:
    """The store at `root`; a new one where there is nothing yet. Raises StoreError where there is something else."""
    _check_place(root)
    if not is_store(root):
        with _said(root, "written"):
            root.mkdir(parents=True, exist_ok=True)
            others = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
        if others:
            raise StoreError(f"{root}: is no history store and not empty (it holds {others[0]}); give a new or empty folder")
        _write_head(root, Head())
    return Store(root)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Holds the store for one writer; the lock goes with the process. Raises StoreError if another has it."""
    with _said(root, "written"):
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / _LOCK).open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{root}: another add or drop is at work on it; wait for its end") from None
        yield


def day_of(part: str) -> str:
    """The ISO day of a part's folder."""
    return part[4:14]


def iso_day(number: int) -> str:
    """The ISO date of a day counted from 1970-01-01."""
    return (_EPOCH + timedelta(days=number)).isoformat()


def part_name(day: str, symbol: str | None) -> str:
    """The folder of a day and, where it is not None, a symbol. Raises StoreError for a symbol that no folder can stand for.

    All but capitals, digits, `-` and `_` is percent-encoded, small letters too: on file systems that fold case, kPEPE and
    KPEPE would else be one folder, and one of them lost. Readers of Hive partitions decode it.
    """
    if symbol is None:
        return f"day={day}"
    if symbol in _NO_SYMBOLS:
        raise StoreError(f"the symbol {symbol!r} means null to readers of partitions; a store needs another to file it under")
    encoded = "".join(char if _safe(char) else _encoded(char) for char in symbol)
    if len(encoded) > _LONGEST_NAME:
        raise StoreError(
            f"the symbol {symbol[:40]!r}… takes {len(encoded)} bytes in a path; at most {_LONGEST_NAME} can be filed"
        )
    return f"day={day}/symbol={encoded}"


def _safe(char: str) -> bool:
    return char in "-_" or (char.isascii() and (char.isdigit() or char.isupper()))


def _encoded(char: str) -> str:
    quoted = quote(char, safe="")
    return f"%{ord(char):02X}" if quoted == char else quoted


def _check_place(root: Path) -> None:
    # Polars reads partitions from the whole path of a file, the store's own folders included.
    if "=" in str(root):
        raise StoreError(f"{root}: a store's path must not hold '=', which readers take for a partition; choose another folder")


def _read(path: Path, kind: type[_T]) -> _T:
    what = "a history store" if path.name == HEAD else "a run's record"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise StoreError(f"{path.parent}: is no history store; give a folder that perpwatch history add made") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); permit it") from error
    try:
        version = msgspec.json.decode(data, type=dict[str, Any]).get("v")
        if version != STORE_VERSION:
            raise StoreError(
                f"{path}: is of version {version}, this perpwatch knows {STORE_VERSION}; use the one that wrote it"
            )
        found = msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise StoreError(f"{path}: is torn, or not {what} ({error}); put it back from a copy, or make a new store") from error
    if isinstance(found, Record):
        _check_record(path, found)
    return found


def _check_record(path: Path, record: Record) -> None:
    """A record names files that are read and removed: what it says must stay within the store."""
    parts = [part for table in record.tables.values() for part in table.parts]
    odd = [part for part in parts if not _PART.fullmatch(part)] + [name for name in record.tables if name not in TABLES]
    if odd or not _RUN.fullmatch(record.run) or path.name != f"{record.run}.json":
        raise StoreError(f"{path}: names {(odd or [record.run])[0]!r}, which is no place in a store; put it back from a copy")


def _write_head(root: Path, head: Head) -> None:
    data = msgspec.json.encode(head, order="sorted") + b"\n"
    _write_whole(root / HEAD, lambda file: file.write(data))


def _write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> int:
    """Writes a file under a temporary name and renames it. Returns its bytes."""
    temporary = path.with_name(f".{path.name}.tmp")
    with _said(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return size


@contextmanager
def _said(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where, why = error.filename or path, error.strerror or error
        raise StoreError(f"{where}: cannot be {done} ({why}); permit it, make room, or give another folder") from error
