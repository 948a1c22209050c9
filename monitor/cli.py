"""The command line: `perpwatch demo | watch | ingest | replay | convert | audit verify | risk | history | doctor`.

Exit codes: 0 done; 1 a check failed (audit, doctor) or a run broke down; 2 the input or the call is wrong (a file, a port,
a folder, an option); 130 Ctrl-C before the end. Every error is one line that says what, where, and what to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Final, NoReturn, get_args

import click
from rich.console import Console
from rich.table import Table

from monitor.config import SPEED_PATTERN, FilesSpec, Format, IngestSpec, LiveSpec, LiveVenue, RunConfig, Spec, VenueSpec
from monitor.history_cli import history
from monitor.risk.cli import risk
from monitor.roles.kernels import CacheError, use_cache

DEMO_START_NS: Final = 1_767_225_600_000_000_000
"""Event time at which a demo starts: 2026-01-01 00:00 UTC. The venue's clock is simulated, so the same seed gives the same
bytes on any day."""

HISTORY_SECONDS: Final = 1800
DEFAULT_PORT: Final = 8050

_SHORTEST_TOKEN: Final = 16
_STATE_PREFIX: Final = "perpwatch-run-"
_LOCK: Final = "lock"

_OUT = click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Folder that gets the run's results."
)
_PORT = click.option(
    "--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True, help="Port of the board on 127.0.0.1."
)
_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
_FORMAT = click.option(
    "--format", "format_", type=click.Choice(get_args(Format)), default="auto", show_default=True,
    help="Format of the recordings; auto recognises it by content.",
)  # fmt: skip
_NO_BROWSER = click.option("--no-browser", is_flag=True, help="Do not open the board in a browser.")


class _Wrong(click.ClickException):
    """An error of the caller's, shown in one line."""

    exit_code = 2

    def show(self, file: object = None) -> None:
        click.echo(f"perpwatch: {self.message}", err=True)


def _speed(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if value != "max" and not (re.fullmatch(SPEED_PATTERN, value) and float(value[:-1]) > 0):
        raise click.BadParameter(f"{value!r}: give max, or a factor above zero such as 1x or 10x")
    return value


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(metadata.version("perpwatch"), prog_name="perpwatch")
def main() -> None:
    """Watches a perpetual-futures venue and warns before stress becomes an outage or a cascade."""


@main.command()
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of the simulated venue.")
@click.option(
    "--duration",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="Event seconds of the live part; without it, until Ctrl-C.",
)
@click.option("--headless", is_flag=True, help="No board.")
@click.option(
    "--journal", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Folder to keep all ops in, for replay."
)
@_PORT
@_OUT
@_NO_BROWSER
def demo(
    seed: int, duration: int | None, headless: bool, journal: Path | None, port: int, out: Path | None, no_browser: bool
) -> None:
    """Runs the built-in venue with three injected incidents, and shows it on the board.

    Thirty minutes of history are simulated at full speed first; then time runs as on the clock.
    """
    _prepare()
    kept = None if journal is None else str(journal.absolute())
    source = VenueSpec(seed, DEMO_START_NS, HISTORY_SECONDS, duration, kept)
    _run(source, speed="1x", out=out, port=None if headless else port, browser=not (headless or no_browser))


@main.command()
@_FILES
@_FORMAT
@click.option(
    "--speed",
    default="max",
    show_default=True,
    metavar="max|1x|Nx",
    callback=_speed,
    help="Event seconds per second of the clock.",
)
@click.option("--board", is_flag=True, help="Show the run on the board, which stays up after the end until Ctrl-C.")
@_PORT
@_OUT
@_NO_BROWSER
def replay(
    files: tuple[Path, ...], format_: Format, speed: str, board: bool, port: int, out: Path | None, no_browser: bool
) -> None:
    """Runs recorded files through the whole path; several files are one run."""
    _prepare()
    from monitor.sources import SourceError
    from monitor.sources.detect import open_source, resolve_format

    if out is None and not board:
        raise click.UsageError("nothing would be left of this run: give --out DIR, --board or both")
    try:
        format_ = resolve_format(files, format_)
        open_source(files, format_)  # an input that cannot be read is said before anything is started
    except SourceError as error:
        raise _Wrong(str(error)) from error
    source = FilesSpec(paths=tuple(str(path.absolute()) for path in files), format=format_)
    _run(source, speed=speed, out=out, port=port if board else None, browser=board and not no_browser)


@main.command()
@click.argument("venue", type=click.Choice(get_args(LiveVenue)), metavar="VENUE")
@click.argument("symbols", nargs=-1, required=True, metavar="SYMBOL…")
@click.option("--duration", type=click.IntRange(min=1), metavar="SECONDS", help="Ends after so long; without it, at Ctrl-C.")
@click.option("--headless", is_flag=True, help="No board.")
@_PORT
@_OUT
@click.option(
    "--record",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder to keep the frames in, for replay.",
)
@click.option("--url", metavar="WS", help="Scheme and host instead of the venue's, such as wss://testnet.example.")
@click.option("--rest-url", metavar="HTTP", help="The same of its REST interface.")
@_NO_BROWSER
def watch(
    venue: LiveVenue,
    symbols: tuple[str, ...],
    duration: int | None,
    headless: bool,
    port: int,
    out: Path | None,
    record: Path | None,
    url: str | None,
    rest_url: str | None,
    no_browser: bool,
) -> None:
    """Watches the live public streams of a venue.

    \b
    VENUE: binance-futures, binance-spot, bybit, okx, deribit, bitmex,
           kraken-futures, coinbase, dydx, hyperliquid, lighter
    SYMBOL: as the venue writes it, such as BTCUSDT
    """
    _prepare()
    if headless and out is None and record is None:
        raise click.UsageError("nothing would be left of this run: give --out DIR, --record DIR, or a board")
    if len(set(symbols)) != len(symbols):
        raise _Wrong("a symbol was given twice; give each once")
    kept = None if record is None else str(record.absolute())
    source = LiveSpec(venue, symbols, duration, kept, url, rest_url)
    _run(source, speed="max", out=out, port=None if headless else port, browser=not (headless or no_browser))


@main.command()
@click.argument("description", type=click.Path(path_type=Path, dir_okay=False), metavar="DESCRIPTION")
@click.option("--listen", default="127.0.0.1:8060", show_default=True, metavar="HOST:PORT", help="Where to take batches.")
@click.option("--stream", metavar="KEY", help="A Redis stream to take batches from as well, on the server of REDIS_URL.")
@click.option("--record", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Folder to keep the events in.")
@click.option("--headless", is_flag=True, help="No board.")
@_PORT
@_OUT
@_NO_BROWSER
def ingest(
    description: Path,
    listen: str,
    stream: str | None,
    record: Path | None,
    headless: bool,
    port: int,
    out: Path | None,
    no_browser: bool,
) -> None:
    """Watches what a venue sends itself: events under the contract, over HTTP or a Redis stream.

    DESCRIPTION is a TOML file that says what the feed tells; docs/ingest.md has an example. Whoever sends needs the token in
    PERPWATCH_INGEST_TOKEN.
    """
    _prepare()
    from monitor.ingest.client import TOKEN_VARIABLE
    from monitor.ingest.description import DescriptionError, load_description

    try:
        load_description(description)
    except DescriptionError as error:
        raise _Wrong(str(error)) from error
    host, _, digits = listen.rpartition(":")
    if not host or not digits.isdigit():
        raise _Wrong(f"--listen {listen!r}: give HOST:PORT, such as 127.0.0.1:8060")
    if len(os.environ.get(TOKEN_VARIABLE, "")) < _SHORTEST_TOKEN:
        raise _Wrong(f"{TOKEN_VARIABLE} holds no token of {_SHORTEST_TOKEN} characters or more; make one: openssl rand -hex 32")
    if stream is not None and not os.environ.get("REDIS_URL"):
        raise _Wrong("--stream: the stream is on the server of REDIS_URL, which is not set")
    source = IngestSpec(
        str(description.absolute()),
        host,
        int(digits),
        stream,
        os.environ.get("REDIS_URL") if stream is not None else None,
        None if record is None else str(record.absolute()),
    )
    _run(source, speed="max", out=out, port=None if headless else port, browser=not (headless or no_browser))


@main.command()
@_FILES
@_FORMAT
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="PARQUET", required=True, help="File to write.")
def convert(files: tuple[Path, ...], format_: Format, out: Path) -> None:
    """Writes the events of recordings as one Parquet file, which replay reads much faster than frames."""
    _prepare()
    from monitor.sources import SourceError
    from monitor.sources.detect import open_source
    from monitor.sources.events import write_events

    try:
        source = open_source(files, format_)
        count = write_events(source, out)
    except SourceError as error:
        raise _Wrong(str(error)) from error
    except OSError as error:
        raise _Wrong(f"{out}: cannot be written ({error.strerror}); make room or choose another --out") from error
    for note in source.notes:
        click.echo(note, err=True)
    click.echo(f"{out}: {count:,} events of {len(source.instruments)} symbols")


main.add_command(risk)
main.add_command(history)


@main.group()
def audit() -> None:
    """Proves what the guardrails decided."""


@audit.command("verify")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def audit_verify(folder: Path) -> None:
    """Recomputes the audit chain of the run in DIR and applies the rules again to its metrics."""
    from monitor.history.verify import AuditError, verify

    try:
        report = verify(folder)
    except AuditError as error:
        click.echo(f"AUDIT FAILED: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        raise _Wrong(f"{error.filename or folder}: {error.strerror}; give the folder that a run left with --out") from error
    click.echo(
        f"{folder}: the audit holds: {report.records} records over {report.windows} windows, {report.verdicts} verdicts, "
        f"head {report.head}"
    )


@main.command()
@_PORT
def doctor(port: int) -> None:
    """Says what this machine has and lacks for a run."""
    from monitor.doctor import examine

    findings = examine(port)
    table = Table(box=None, header_style="bold")
    for column in ("", "what", "found"):
        table.add_column(column, overflow="fold")
    words = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "fault": "[bold red]fault[/]"}
    for finding in findings:
        table.add_row(words[finding.standing], finding.what, finding.said)
    Console().print(table)
    if any(finding.standing == "fault" for finding in findings):
        sys.exit(1)


def _run(source: Spec, *, speed: str, out: Path | None, port: int | None, browser: bool) -> NoReturn:
    from monitor.bus.server import ServerError
    from monitor.roles.supervisor import RunError, run

    with state_dir() as folder:
        config = RunConfig(
            run_id=folder.name,
            source=source,
            state_dir=str(folder),
            speed=speed,
            out_dir=None if out is None else str(out.absolute()),
            board_port=port,
            redis_url=os.environ.get("REDIS_URL") or None,
        )
        try:
            code = run(config, on_board=_open_board if browser else _show_board)
        except (ServerError, RunError) as error:
            raise _Wrong(str(error)) from error
    sys.exit(code)


def _prepare() -> None:
    """Before anything imports numba."""
    try:
        use_cache()
    except CacheError as error:
        raise _Wrong(str(error)) from error


def _show_board(url: str) -> None:
    click.echo(f"the board is at {url}", err=True)


def _open_board(url: str) -> None:
    _show_board(url)
    click.launch(url)


@contextmanager
def state_dir() -> Iterator[Path]:
    """The run's own folder, gone when the run has ended; those that killed runs left go first."""
    for left in Path(tempfile.gettempdir()).glob(f"{_STATE_PREFIX}*"):
        _sweep(left)
    folder = Path(tempfile.mkdtemp(prefix=_STATE_PREFIX))
    try:
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Removes the folder of a run that is no more: its lock can be had."""
    with contextlib.suppress(OSError), (folder / _LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
