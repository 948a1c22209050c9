"""`perpwatch history`: a lasting store of what runs left behind, questions to it in SQL, and the orders behind an anomaly."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from monitor.launch import Wrong, prepare

if TYPE_CHECKING:
    import polars as pl

    from monitor.history.adding import Added

_WIDEST: Final = 200
"""Rows that are printed at most as a table; --json prints all."""
_FIRST: Final = 20
"""Rows of each table of evidence that are printed."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS: Final = {"d": 1, "w": 7}
_FOLDER: Final = click.Path(path_type=Path, file_okay=False)


def _age(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """Days."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,5})([dw])", value)
    if not found:
        raise click.BadParameter(f"{value!r}: give days such as 30d, or weeks such as 4w")
    return int(found[1]) * _DAYS[found[2]]


def _date(_context: click.Context, _parameter: click.Parameter, value: str | None) -> date | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r}: give a day such as 2026-01-01") from None


@click.group()
def history() -> None:
    """Keeps what runs left behind, and asks it."""


@history.command("add")
@click.argument("store", type=_FOLDER, metavar="STORE")
@click.argument("folders", nargs=-1, required=True, type=_FOLDER, metavar="DIR…")
def add_runs(store: Path, folders: tuple[Path, ...]) -> None:
    """Takes the runs in the folders DIR… into STORE, which is made if it is not there.

    A run that is in it already changes nothing.
    """
    from monitor.history.adding import add
    from monitor.history.store import StoreError, locked, make_store

    try:
        with locked(store):
            into = make_store(store)
            for folder in folders:
                click.echo(f"{folder}: {_told(add(into, folder), store)}")
    except StoreError as error:
        raise Wrong(str(error)) from error


def _told(added: Added, store: Path) -> str:
    said = []
    if added.written:
        rows = ", ".join(f"{count:,} {name}" for name, count in added.rows.items())
        said.append(f"run {added.run} was added: {_span(added.days)}; {rows}")
    elif added.left_out:
        said.append(f"run {added.run} was not added")
    elif added.days:
        said.append(f"run {added.run} is in {store} already; nothing was changed")
    else:
        said.append(f"run {added.run} has no rows; nothing was changed")
    if added.left_out:
        said.append(f"{_span(added.left_out)} left out, because {store} has dropped such old days")
    return "; ".join(said)


def _span(days: tuple[str, ...]) -> str:
    if not days:
        return "no day"
    return f"1 day ({days[0]})" if len(days) == 1 else f"{len(days)} days ({days[0]} to {days[-1]})"


@history.command("drop")
@click.argument("store", type=_FOLDER, metavar="STORE")
@click.option(
    "--older-than",
    "age",
    callback=_age,
    metavar="AGE",
    help="Drops days that lie more than AGE before the newest day of the store: 30d, 4w.",
)
@click.option("--before", callback=_date, metavar="DAY", help="Drops days before DAY (UTC, such as 2026-01-01) instead.")
def drop_days(store: Path, age: int | None, before: date | None) -> None:
    """Removes old days from STORE, for good, and says what it removed."""
    from monitor.history.store import Store, StoreError, locked

    if (age is None) == (before is None):
        raise Wrong("what shall be dropped? give either --older-than AGE or --before DAY")
    try:
        held = Store(store)  # before the lock, which would make the folder
        with locked(store):
            held = Store(store)
            if before is None:
                newest = held.newest_day()
                if not newest:
                    click.echo(f"{store}: has no rows; nothing was dropped")
                    return
                before = _back(date.fromisoformat(newest), age or 0)
            done = held.drop(before)
    except StoreError as error:
        raise Wrong(str(error)) from error
    left = f"{done.days_left} {'day is' if done.days_left == 1 else 'days are'} left"
    if done.days:
        click.echo(
            f"{store}: dropped {_span(done.days)}: {done.files:,} files, {done.rows:,} rows, {done.size / 1e6:,.1f} MB; "
            f"{done.runs} {'run is' if done.runs == 1 else 'runs are'} gone; {left}"
        )
    else:
        click.echo(f"{store}: no day is before {done.before}; nothing was dropped; {left}")
    if done.strays:
        click.echo(f"{store}: {done.strays:,} files that interrupted work had left were removed, too")


def _back(day: date, days: int) -> date:
    try:
        return day - timedelta(days=days)
    except OverflowError:
        return date.min


@history.command()
@click.argument("sql")
@click.argument("folders", nargs=-1, required=True, type=_FOLDER, metavar="DIR…")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a row, all rows, instead of a table.")
def query(sql: str, folders: tuple[Path, ...], as_json: bool) -> None:
    """Asks SQL of DIR…, folders of runs and stores: tables metrics, metrics_10s, metrics_60s, anomalies, verdicts and labels.

    The folder, or the run's name in a store, is in the column `run`, the UTC date in `day`.

    Nothing is written: only SELECT is known.
    """
    import polars as pl

    from monitor.history.adding import FILES
    from monitor.history.store import StoreError
    from monitor.history.tables import tables

    try:
        here = tables(folders)
    except StoreError as error:
        raise Wrong(str(error)) from None
    if not here:
        raise Wrong(f"none of {', '.join(map(str, folders))} holds what a run leaves: {', '.join(FILES.values())}")
    try:
        found = pl.SQLContext(here, eager=False).execute(sql).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = " ".join(str(error).split())
        raise Wrong(f"{reason}. Tables here: {', '.join(sorted(here))}") from None
    if as_json:
        for row in found.iter_rows(named=True):
            click.echo(json.dumps(row, default=str))
        return
    _print(found)


@history.command("evidence")
@click.argument("recording", type=click.Path(path_type=Path), metavar="RECORDING")
@click.argument("what", nargs=-1, required=True, metavar="EVENT | SYMBOL START END")
@click.option(
    "--run", "runs", multiple=True, type=_FOLDER, metavar="DIR", help="Results of a run, or a store, that hold EVENT."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object with all rows instead of tables of the first.")
def fetch_evidence(recording: Path, what: tuple[str, ...], runs: tuple[Path, ...], as_json: bool) -> None:
    """Fetches the orders behind an anomaly: accounts, price levels and order ids.

    RECORDING is what has the events: a file that perpwatch convert wrote, a folder that demo --journal kept, or a recording
    order by order. EVENT is the `event` of an anomaly's lines in --run DIR; START and END are UTC, as nanoseconds or as
    2026-01-01T00:30:00.
    """
    if len(what) not in (1, 3):
        raise Wrong(f"{' '.join(what)}: give one EVENT with --run DIR, or SYMBOL START END")
    if len(what) == 1 and not runs:
        raise Wrong(f"{what[0]}: whose event is that? give --run DIR, or SYMBOL START END instead")
    prepare()
    from monitor.incidents.orders import OrdersError, Stretch, fetch, stretch_of
    from monitor.sources import SourceError

    try:
        stretch = stretch_of(runs, what[0]) if len(what) == 1 else Stretch(what[0], _moment(what[1]), _moment(what[2]))
        found = fetch(recording, stretch)
    except (OrdersError, SourceError) as error:
        raise Wrong(str(error)) from error
    if as_json:
        rows = {name: table.to_dicts() for name, table in found._asdict().items()}
        click.echo(json.dumps({**stretch._asdict(), **rows}))
        return
    for name, table in found._asdict().items():
        click.echo(f"{stretch.symbol}, {name}: {len(table):,}" + (f", the first {_FIRST}" if len(table) > _FIRST else ""))
        _print(_readable(table.head(_FIRST)))


def _readable(table: pl.DataFrame) -> pl.DataFrame:
    """Ids as they are, and when an order came as a time of day; how long it lived says when it went."""
    import polars as pl

    ids = [name for name in ("account", "order_id") if name in table.columns]
    table = table.with_columns(pl.col(ids).cast(pl.String))
    if "added_ns" not in table.columns:
        return table
    came = pl.from_epoch("added_ns", "ns").dt.strftime("%H:%M:%S%.3f")
    short = {"added_lots": "added", "cancelled_lots": "gone", "added_ns": "came_utc"}
    return table.with_columns(came.alias("added_ns")).rename(short).drop("cancelled_ns")


def _moment(text: str) -> int:
    """UTC nanoseconds of a number or of an ISO time."""
    if re.fullmatch(r"[0-9]{1,19}", text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Wrong(f"{text!r}: give UTC nanoseconds, or a time such as 2026-01-01T00:30:00") from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000


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
