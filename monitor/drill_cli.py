"""`perpwatch drill`: scenarios by name, at full speed by themselves or live on the board of a running demo."""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.table import Table

from monitor.config import VenueSpec
from monitor.launch import DEFAULT_PORT, Wrong, carry_out, prepare

if TYPE_CHECKING:
    from engine.simulation.scenario import Scenario

_ANSWER_S: Final = 5.0
_MIN, _MAX = 0.1, 10.0


@click.group()
def drill() -> None:
    """Drills ("game days"): what a market can be made to go through, and whether it is noticed."""


@drill.command("list")
def list_drills() -> None:
    """Lists the scenarios: what each does, which family should notice it, and the metrics that it moves."""
    prepare()
    from engine.simulation.scenarios import SCENARIOS

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("scenario", "family", "what happens", "moves"):
        table.add_column(column, overflow="fold")
    for name, scenario in SCENARIOS.items():
        family = "benign" if scenario.benign else scenario.family
        table.add_row(name, family, scenario.says, ", ".join(scenario.metrics))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@drill.command("run")
@click.argument("name")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of the market and of the drill.")
@click.option(
    "--strength", type=click.FloatRange(_MIN, _MAX), default=1.0, show_default=True, help="Factor on what the scenario draws."
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Folder that gets results and report."
)
@click.option("--live", is_flag=True, help="On the board of the demo that runs on --port, instead of by itself.")
@click.option("--symbol", metavar="SYMBOL", default="", help="Market of a live drill; without it, any.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True, help="Port of the running demo's board."
)
def run_drill(name: str, seed: int, strength: float, out: Path | None, live: bool, symbol: str, port: int) -> None:
    """Runs one scenario through the whole path, at full speed, and says who noticed it when.

    NAME is one of perpwatch drill list. The same name, seed and strength give the same results to the byte.
    """
    prepare()
    scenario = _scenario(name)
    if live:
        if out is not None:
            raise click.UsageError("--live shows on the running demo's board, and its results are the demo's: leave --out away")
        _ask(name, strength, symbol, port)
        return
    if symbol:
        raise click.UsageError("--symbol is for --live; by itself a drill's market is drawn from the seed")
    if out is not None:
        _finish(name, scenario, seed, strength, out)
    else:
        with tempfile.TemporaryDirectory(prefix="perpwatch-drill-") as folder:
            _finish(name, scenario, seed, strength, Path(folder))


def _scenario(name: str) -> type[Scenario]:
    from engine.simulation.scenarios import SCENARIOS

    try:
        return SCENARIOS[name]
    except KeyError:
        raise Wrong(f"{name!r} is no scenario; perpwatch drill list names them") from None


def _finish(name: str, scenario: type[Scenario], seed: int, strength: float, folder: Path) -> None:
    """Carries the drill out into `folder`, writes the report beside the results, and prints it."""
    from monitor.drills.report import REPORT, report
    from monitor.drills.timing import HISTORY_S, duration_s, start_ns

    duration = duration_s(name, seed, strength)
    source = VenueSpec(seed, start_ns(), HISTORY_S, duration, scenario=name, strength=strength)
    (folder / REPORT).unlink(missing_ok=True)
    code = carry_out(source, speed="max", out=folder, port=None, browser=False)
    if code:
        sys.exit(code)
    found = report(folder, name, seed, strength)
    try:
        (folder / REPORT).write_text(json.dumps(found, indent=2, sort_keys=True, allow_nan=False) + "\n")
    except OSError as error:
        raise Wrong(f"{folder / REPORT}: cannot be written ({error.strerror}); make room or choose another --out") from error
    _show(found, scenario)


def _show(found: dict[str, Any], scenario: type[Scenario]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{found['scenario']}: {scenario.says}")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("symbol", "began", "lasted", "first alarm", "best line", "first guardrail", "first liquidation"):
        table.add_column(column)
    for label in found["labels"]:
        best = label["best"]
        table.add_row(
            label["symbol"],
            label["began"],
            f"{label['lasted_s']:.1f} s",
            _after(label["alarm_after_s"]),
            "none" if best is None else f"#{best['place']} of {best['family']}, once in {1 / best['false_alarm_rate']:,.0f}",
            "none" if label["guardrail"] is None else f"{label['guardrail']['rule']} {_after(label['guardrail']['after_s'])}",
            _after(label["liquidation_after_s"]),
        )
    console.print(table)
    console.print(f"alarms elsewhere in the live part: {found['alarms_elsewhere']}")


def _after(seconds: float | None) -> str:
    return "none" if seconds is None else f"after {seconds:.1f} s"


def _ask(name: str, strength: float, symbol: str, port: int) -> None:
    """Asks the board of a running demo for the drill."""
    import httpx

    url = f"http://127.0.0.1:{port}/api/drills"
    asked = {"id": secrets.token_hex(8), "name": name, "strength": strength, "symbol": symbol}
    try:
        answer = httpx.post(url, json=asked, timeout=_ANSWER_S)
    except httpx.HTTPError as error:
        raise Wrong(f"no board answers at {url} ({error}); start perpwatch demo, or give its --port") from error
    if answer.status_code != httpx.codes.ACCEPTED:
        raise Wrong(f"{url}: {answer.text[:200]}")
    click.echo(f"{name}: {answer.text}")
