"""`perpwatch history`: questions to what runs left behind, in SQL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    import polars as pl

_TABLES: Final = {
    "metrics": "metrics.parquet",
    "metrics_10s": "metrics_10s.parquet",
    "metrics_60s": "metrics_60s.parquet",
    "anomalies": "anomalies.jsonl",
    "verdicts": "verdicts.jsonl",
    "labels": "labels.jsonl",
}
_WIDEST: Final = 200
"""Rows that are printed at most as a table; --json prints all."""


@click.group()
def history() -> None:
    """Questions to what runs left behind."""


@history.command()
@click.argument("sql")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a row, all rows, instead of a table.")
def query(sql: str, folders: tuple[Path, ...], as_json: bool) -> None:
    """Asks SQL of the runs in FOLDERS: tables metrics, metrics_10s, metrics_60s, anomalies, verdicts and labels.

    The folder is in the column `run`.

    Nothing is written: only SELECT is known.
    """
    import polars as pl

    context = pl.SQLContext(eager=False)
    for name, file in _TABLES.items():
        frame = _table(folders, file)
        if frame is not None:
            context.register(name, frame)
    if not context.tables():
        raise click.UsageError(f"none of {', '.join(map(str, folders))} holds what a run leaves: {', '.join(_TABLES.values())}")
    try:
        found = context.execute(sql).collect()
    except pl.exceptions.PolarsError as error:
        known = ", ".join(sorted(context.tables()))
        raise click.UsageError(f"{error}. Tables here: {known}") from None
    if as_json:
        for row in found.iter_rows(named=True):
            click.echo(json.dumps(row, default=str))
        return
    _print(found)


def _table(folders: tuple[Path, ...], file: str) -> pl.LazyFrame | None:
    """All runs' files of one name, below each other."""
    import polars as pl

    frames = []
    for folder in folders:
        path = folder / file
        if not path.is_file() or path.stat().st_size == 0:
            continue
        try:
            frame = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_ndjson(path, infer_schema_length=None)
            frame.collect_schema()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise click.UsageError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
        frames.append(frame.with_columns(pl.lit(str(folder)).alias("run")))
    return pl.concat(frames, how="diagonal_relaxed") if frames else None


def _print(found: pl.DataFrame) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from monitor.risk.shared import cell

    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, kind in found.schema.items():
        table.add_column(escape(name), justify="right" if kind.is_numeric() else "left", overflow="fold")
    for row in found.head(_WIDEST).iter_rows():
        table.add_row(*(escape(cell(value)) for value in row))
    console.print(table)
    if len(found) > _WIDEST:
        console.print(f"{len(found):,} rows, the first {_WIDEST} are shown; --json prints all")
