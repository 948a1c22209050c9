"""How what a run left in its folder comes into the lasting store: checked against its summary, split by UTC day and symbol."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import polars as pl

from monitor.history.export import RESULT_FILES, SCHEMA_VERSION
from monitor.history.seal import seal
from monitor.history.store import (
    BY_SYMBOL,
    TABLES,
    Part,
    Record,
    Store,
    StoreError,
    Table,
    day_of,
    is_store,
    iso_day,
    part_name,
)

DAY_NS: Final = 86_400_000_000_000
END_NS: Final = {name: "end_ns" if name == "labels" else "window_end_ns" for name in TABLES}
"""The column of each table that says when: UTC nanoseconds, exclusive. A row is of the day of its last nanosecond."""
FILES: Final = {name: f"{name}.{'parquet' if name in BY_SYMBOL else 'jsonl'}" for name in TABLES}
"""The file of a run's folder that holds each table."""

_RUN_DIGITS: Final = 16
_ROWS_AT_ONCE: Final = 500_000
"""Rows in memory at a time, about half a gigabyte; a (day, symbol) of 1 s windows is 86,400."""
_ROW_GROUP: Final = 131_072
_NOT_FILED: Final = {"audit.jsonl", "summary.json"}
"""The chain proves one run from its own folder and is no table; the summary goes into the record."""


class Added(msgspec.Struct, frozen=True):
    """What came of an add: the run's name, whether anything was written, rows of each table, the days, and the days that were
    left out because the store has dropped them."""

    run: str
    written: bool
    rows: dict[str, int]
    days: tuple[str, ...]
    left_out: tuple[str, ...]


def day_number(column: str) -> pl.Expr:
    """Days since 1970-01-01 of the last nanosecond before an exclusive end in UTC nanoseconds."""
    return (pl.col(column) - 1) // DAY_NS


def add(store: Store, folder: Path) -> Added:
    """Takes the run in `folder` into the store. The caller holds the store's lock.

    A run is known by the seal of its summary, which covers the hash of each of its files; the same run again changes nothing,
    wherever its folder lies. One whose files in the store are missing or torn is written again.

    Raises:
        StoreError: it is no finished run of this version, a file is not the one that the run sealed, or the store cannot be
            written. Nothing of the run is then seen in the store.
    """
    summary = _summary(folder)
    files = _checked_files(folder, summary)
    run = str(summary["seal"])[:_RUN_DIGITS]
    known = store.record(run)
    if known is not None and not store.amiss(known):
        days = {day_of(part) for table in known.tables.values() for part in table.parts if store.kept(part)}
        return Added(run, False, {}, tuple(sorted(days)), ())
    tables: dict[str, Table] = {}
    left_out: set[str] = set()
    for name, path in files.items():
        try:
            table = _add_table(store, run, name, path, left_out)
        except pl.exceptions.PolarsError as error:
            raise StoreError(f"{path}: cannot be read ({_first_line(error)}); take the folder again from the run") from error
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error.strerror or error}); permit it") from error
        if table.parts:
            tables[name] = table
    if tables:
        store.write_record(Record(run, summary, tables))
    rows = {name: sum(part.rows for part in table.parts.values()) for name, table in tables.items()}
    days = {day_of(part) for table in tables.values() for part in table.parts}
    return Added(run, bool(tables), rows, tuple(sorted(days)), tuple(sorted(left_out)))


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    if is_store(folder):
        raise StoreError(f"{folder}: is a history store, not a run; give the folders that runs left with --out")
    try:
        summary = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise StoreError(f"{path}: is missing, so no run finished here; give a folder that a run left with --out") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); give a folder that a run left, and permit it") from error
    except ValueError as error:
        raise StoreError(f"{path}: is torn ({error}); take the folder again from where the run wrote it") from error
    if not isinstance(summary, dict) or not {"v", "seal", "files"} <= summary.keys() or not isinstance(summary["files"], dict):
        raise StoreError(f"{path}: is no summary of a run; take the folder again from where the run wrote it")
    if summary["v"] != SCHEMA_VERSION:
        raise StoreError(
            f"{path}: the run is of schema version {summary['v']}, this perpwatch knows {SCHEMA_VERSION}; "
            "add it with the version that made it, to a store of its own"
        )
    if seal(summary) != summary["seal"]:
        raise StoreError(f"{path}: its content does not match its seal; it was changed or torn, take it again from the run")
    return summary


def _checked_files(folder: Path, summary: dict[str, Any]) -> dict[str, Path]:
    """The file of each table that the run left, after all were compared with their hashes."""
    sealed = summary["files"]
    for name in RESULT_FILES:
        path = folder / name
        if name in _NOT_FILED:
            continue
        try:
            with path.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            if name in sealed:
                raise StoreError(
                    f"{path}: is missing, but the summary has it; take it again from where the run wrote it"
                ) from None
            continue
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error.strerror}); permit it") from error
        if name not in sealed:
            raise StoreError(f"{path}: is not in the run's summary, so it is of another run; take it out of the folder")
        if actual != sealed[name]:
            raise StoreError(f"{path}: is torn or was changed (not the SHA-256 of the summary); take it again from the run")
    return {table: folder / file for table, file in FILES.items() if file in sealed and (folder / file).stat().st_size}


def _add_table(store: Store, run: str, name: str, path: Path, left_out: set[str]) -> Table:
    parquet = path.suffix == ".parquet"
    # Types of JSON lines are those of the whole file, as in a query of the folder itself.
    rows = pl.scan_parquet(path, glob=False) if parquet else pl.read_ndjson(path, infer_schema_length=None).lazy()
    schema = rows.collect_schema()
    for column in (END_NS[name], "symbol") if parquet else (END_NS[name],):
        if column not in schema:
            raise StoreError(f"{path}: has no column {column}; it is not what a run leaves, take it again from the run")
    if not schema[END_NS[name]].is_integer() or rows.select(pl.col(END_NS[name]).null_count()).collect().item():
        raise StoreError(f"{path}: {END_NS[name]} is not in every row; it is not what a run leaves, take it again from the run")
    rows = rows.with_columns(pl.lit(run).alias("run"))
    parts = {}
    for day, symbol, piece in _pieces(rows, END_NS[name], by_symbol=parquet):
        try:
            part = part_name(day, symbol)
        except StoreError as error:
            raise StoreError(f"{path}: {error}") from None
        if not store.kept(part):
            left_out.add(day)
            continue

        def write(file: IO[bytes], piece: pl.DataFrame = piece) -> None:
            piece.write_parquet(file, compression="zstd", compression_level=3, statistics=True, row_group_size=_ROW_GROUP)

        parts[part] = Part(piece.height, store.write_part(name, part, run, write))
    columns = json.dumps([[column, str(kind)] for column, kind in schema.items()])
    return Table(hashlib.sha256(columns.encode()).hexdigest()[:16], parts)


def _pieces(rows: pl.LazyFrame, end: str, *, by_symbol: bool) -> Iterator[tuple[str, str | None, pl.DataFrame]]:
    """(ISO day, symbol, rows) in the order of days; the rows of each in their old order."""
    number = day_number(end)
    if not by_symbol:
        found = rows.with_columns(number.alias("_day")).collect()
        for (day,), piece in found.partition_by("_day", maintain_order=True, include_key=False, as_dict=True).items():
            yield iso_day(day), None, piece
        return
    counts = rows.group_by(number.alias("_day"), pl.col("symbol").fill_null("")).len().sort("_day", "symbol").collect()
    for (day,), group in counts.partition_by("_day", maintain_order=True, as_dict=True).items():
        # Limits on the time itself, and not on the day, let Parquet skip row groups of other days.
        within = rows.filter(pl.col(end).is_between(day * DAY_NS + 1, (day + 1) * DAY_NS))
        for symbols in _batches(list(group.select("symbol", "len").iter_rows())):
            found = within.filter(pl.col("symbol").fill_null("").is_in(symbols)).collect()
            for (symbol,), piece in found.partition_by("symbol", maintain_order=True, as_dict=True).items():
                yield iso_day(day), symbol or "", piece


def _batches(counts: Sequence[tuple[str, int]]) -> Iterator[list[str]]:
    """Symbols in groups whose rows together are at most _ROWS_AT_ONCE, or that are one symbol alone."""
    batch: list[str] = []
    rows = 0
    for symbol, count in counts:
        if batch and rows + count > _ROWS_AT_ONCE:
            yield batch
            batch, rows = [], 0
        batch.append(symbol)
        rows += count
    if batch:
        yield batch


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
