"""The command line: `perpwatch demo | watch | ingest | replay | drill | evaluate | convert | audit | risk | history | doctor`.

Exit codes: 0 done; 1 a check failed (audit, doctor) or a run broke down; 2 the input or the call is wrong (a file, a port,
a folder, an option); 130 Ctrl-C before the end. Every error is one line that says what, where, and what to do.
"""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Final, get_args

import click
from rich.console import Console
from rich.table import Table

from monitor.config import ALERT_BUDGET, SPEED_PATTERN, FilesSpec, Format, IngestSpec, LiveSpec, LiveVenue, VenueSpec
from monitor.drill_cli import drill
from monitor.evaluate_cli import evaluate
from monitor.feedback_cli import feedback
from monitor.history_cli import history
from monitor.launch import DEFAULT_PORT, DEMO_START_NS, HISTORY_SECONDS, Wrong, carry_out, prepare
from monitor.models_cli import models
from monitor.risk.cli import risk

_SHORTEST_TOKEN: Final = 16

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
_CALENDAR = click.option(
    "--calendar", type=click.Path(path_type=Path, dir_okay=False), metavar="TOML", help="File of what is planned and expected."
)
_BUDGET = click.option(
    "--alert-budget", type=click.FloatRange(min=0.0, min_open=True, max=1000.0), default=ALERT_BUDGET, show_default=True,
    metavar="N", help="False alerts a day that are accepted for each symbol.",
)  # fmt: skip
_CHALLENGER = click.option(
    "--challenger", default="", metavar="NAME", help="A variant of the detectors that runs in shadow on the same rows."
)
_NO_BROWSER = click.option("--no-browser", is_flag=True, help="Do not open the board in a browser.")


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
@_CALENDAR
@_BUDGET
@_CHALLENGER
@_NO_BROWSER
def demo(
    seed: int,
    duration: int | None,
    headless: bool,
    journal: Path | None,
    port: int,
    out: Path | None,
    calendar: Path | None,
    alert_budget: float,
    challenger: str,
    no_browser: bool,
) -> None:
    """Runs the built-in venue with three injected incidents, and shows it on the board.

    Thirty minutes of history are simulated at full speed first; then time runs as on the clock.
    """
    prepare()
    kept = None if journal is None else str(journal.absolute())
    source = VenueSpec(seed, DEMO_START_NS, HISTORY_SECONDS, duration, kept)
    shown = None if headless else port
    sys.exit(
        carry_out(
            source,
            speed="1x",
            out=out,
            port=shown,
            browser=not (headless or no_browser),
            calendar=calendar,
            alert_budget=alert_budget,
            challenger=challenger,
        )
    )


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
@_CALENDAR
@_BUDGET
@_CHALLENGER
@_NO_BROWSER
def replay(
    files: tuple[Path, ...],
    format_: Format,
    speed: str,
    board: bool,
    port: int,
    out: Path | None,
    calendar: Path | None,
    alert_budget: float,
    challenger: str,
    no_browser: bool,
) -> None:
    """Runs recorded files through the whole path; several files are one run."""
    prepare()
    from monitor.sources import SourceError
    from monitor.sources.detect import open_source, resolve_format

    if out is None and not board:
        raise click.UsageError("nothing would be left of this run: give --out DIR, --board or both")
    try:
        format_ = resolve_format(files, format_)
        open_source(files, format_)  # an input that cannot be read is said before anything is started
    except SourceError as error:
        raise Wrong(str(error)) from error
    source = FilesSpec(paths=tuple(str(path.absolute()) for path in files), format=format_)
    shown = port if board else None
    sys.exit(
        carry_out(
            source,
            speed=speed,
            out=out,
            port=shown,
            browser=board and not no_browser,
            calendar=calendar,
            alert_budget=alert_budget,
            challenger=challenger,
        )
    )


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
@_CALENDAR
@_BUDGET
@_CHALLENGER
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
    calendar: Path | None,
    alert_budget: float,
    challenger: str,
    no_browser: bool,
) -> None:
    """Watches the live public streams of a venue.

    \b
    VENUE: binance-futures, binance-spot, bybit, okx, deribit, bitmex,
           kraken-futures, coinbase, dydx, hyperliquid, lighter
    SYMBOL: as the venue writes it, such as BTCUSDT
    """
    prepare()
    if headless and out is None and record is None:
        raise click.UsageError("nothing would be left of this run: give --out DIR, --record DIR, or a board")
    if len(set(symbols)) != len(symbols):
        raise Wrong("a symbol was given twice; give each once")
    kept = None if record is None else str(record.absolute())
    source = LiveSpec(venue, symbols, duration, kept, url, rest_url)
    shown = None if headless else port
    sys.exit(
        carry_out(
            source,
            speed="max",
            out=out,
            port=shown,
            browser=not (headless or no_browser),
            calendar=calendar,
            alert_budget=alert_budget,
            challenger=challenger,
        )
    )


@main.command()
@click.argument("description", type=click.Path(path_type=Path, dir_okay=False), metavar="DESCRIPTION")
@click.option("--listen", default="127.0.0.1:8060", show_default=True, metavar="HOST:PORT", help="Where to take batches.")
@click.option("--stream", metavar="KEY", help="A Redis stream to take batches from as well, on the server of REDIS_URL.")
@click.option("--record", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Folder to keep the events in.")
@click.option("--headless", is_flag=True, help="No board.")
@_PORT
@_OUT
@_CALENDAR
@_BUDGET
@_CHALLENGER
@_NO_BROWSER
def ingest(
    description: Path,
    listen: str,
    stream: str | None,
    record: Path | None,
    headless: bool,
    port: int,
    out: Path | None,
    calendar: Path | None,
    alert_budget: float,
    challenger: str,
    no_browser: bool,
) -> None:
    """Watches what a venue sends itself: events under the contract, over HTTP or a Redis stream.

    DESCRIPTION is a TOML file that says what the feed tells; docs/ingest.md has an example. Whoever sends needs the token in
    PERPWATCH_INGEST_TOKEN.
    """
    prepare()
    from monitor.ingest.client import TOKEN_VARIABLE
    from monitor.ingest.description import DescriptionError, load_description

    try:
        load_description(description)
    except DescriptionError as error:
        raise Wrong(str(error)) from error
    host, _, digits = listen.rpartition(":")
    if not host or not digits.isdigit():
        raise Wrong(f"--listen {listen!r}: give HOST:PORT, such as 127.0.0.1:8060")
    if len(os.environ.get(TOKEN_VARIABLE, "")) < _SHORTEST_TOKEN:
        raise Wrong(f"{TOKEN_VARIABLE} holds no token of {_SHORTEST_TOKEN} characters or more; make one: openssl rand -hex 32")
    if stream is not None and not os.environ.get("REDIS_URL"):
        raise Wrong("--stream: the stream is on the server of REDIS_URL, which is not set")
    source = IngestSpec(
        str(description.absolute()),
        host,
        int(digits),
        stream,
        os.environ.get("REDIS_URL") if stream is not None else None,
        None if record is None else str(record.absolute()),
    )
    shown = None if headless else port
    sys.exit(
        carry_out(
            source,
            speed="max",
            out=out,
            port=shown,
            browser=not (headless or no_browser),
            calendar=calendar,
            alert_budget=alert_budget,
            challenger=challenger,
        )
    )


@main.command()
@_FILES
@_FORMAT
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="PARQUET", required=True, help="File to write.")
def convert(files: tuple[Path, ...], format_: Format, out: Path) -> None:
    """Writes the events of recordings as one Parquet file, which replay reads much faster than frames."""
    prepare()
    from monitor.sources import SourceError
    from monitor.sources.detect import open_source
    from monitor.sources.events import write_events

    try:
        source = open_source(files, format_)
        count = write_events(source, out)
    except SourceError as error:
        raise Wrong(str(error)) from error
    except OSError as error:
        raise Wrong(f"{out}: cannot be written ({error.strerror}); make room or choose another --out") from error
    for note in source.notes:
        click.echo(note, err=True)
    click.echo(f"{out}: {count:,} events of {len(source.instruments)} symbols")


main.add_command(risk)
main.add_command(history)
main.add_command(drill)
main.add_command(evaluate)
main.add_command(feedback)
main.add_command(models)


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
        raise Wrong(f"{error.filename or folder}: {error.strerror}; give the folder that a run left with --out") from error
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
