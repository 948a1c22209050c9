"""The tables that a query sees: what runs left in their folders, and what a store keeps of many, below each other and unread.

Every table has two columns beside its own: `run` (a folder as it was given, or a run's name in a store) and `day` (the UTC
date of the row's last nanosecond). A condition on `day` or `symbol` decides which files of a store are opened at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import polars as pl

from monitor.history.adding import END_NS, FILES, day_number
from monitor.history.store import BY_SYMBOL, TABLES, Store, StoreError, is_store


def tables(folders: Sequence[Path]) -> dict[str, pl.LazyFrame]:
    """The tables that any of `folders` (of runs, or stores) has, by name; rows are read only when they are collected.

    Raises:
        StoreError: a file cannot be read, or one of a store is missing or torn.
    """
    found: dict[str, list[pl.LazyFrame]] = {name: [] for name in TABLES}
    for folder in folders:
        for name, frames in (_stored(folder) if is_store(folder) else _left(folder)).items():
            found[name] += frames
    return {name: pl.concat(frames, how="diagonal_relaxed") for name, frames in found.items() if frames}


def _left(folder: Path) -> dict[str, list[pl.LazyFrame]]:
    """What one run left in its folder."""
    found = {}
    for name, file in FILES.items():
        path = folder / file
        try:
            if not path.is_file() or path.stat().st_size == 0:
                continue
            frame = pl.scan_parquet(path, glob=False) if name in BY_SYMBOL else pl.scan_ndjson(path, infer_schema_length=None)
            schema = frame.collect_schema()
        except (OSError, pl.exceptions.PolarsError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise StoreError(f"{path}: cannot be read ({reason}); take it again from the run") from None
        frame = frame.with_columns(pl.lit(str(folder)).alias("run"))
        if END_NS[name] in schema:
            frame = frame.with_columns(day_number(END_NS[name]).cast(pl.Int32).cast(pl.Date).alias("day"))
        found[name] = [frame]
    return found


def _stored(folder: Path) -> dict[str, list[pl.LazyFrame]]:
    """What a store keeps: one scan for all files of a table that have the same columns."""
    store = Store(folder)
    records = store.records()
    for record in records:
        if wrong := store.amiss(record):
            raise StoreError(f"{wrong}; add the run {record.run} again from its folder with perpwatch history add")
    found = {}
    for name in TABLES:
        files = sorted(
            (record.tables[name].schema, part, str(store.path(name, part, record.run)))
            for record in records
            if name in record.tables
            for part in record.tables[name].parts
            if store.kept(part)
        )
        hive: dict[str, pl.DataType] = {"day": pl.Date()}
        if name in BY_SYMBOL:
            hive["symbol"] = pl.String()
        found[name] = [
            pl.scan_parquet([path for _, _, path in alike], glob=False, hive_partitioning=True, hive_schema=hive)
            for _, alike in groupby(files, key=lambda file: file[0])
        ]
    return found
