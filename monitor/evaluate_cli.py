"""`perpwatch evaluate`: runs the drills and says how well detectors, guard and baselines did."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.launch import Wrong, prepare

if TYPE_CHECKING:
    from monitor.drills.result import Drilled


@click.command()
@click.option(
    "--scenarios", "names", multiple=True, metavar="NAME", help="Only this scenario; can be given again. Without it, all."
)
@click.option("--seeds", type=click.IntRange(1, 1000), default=3, show_default=True, help="How many of the reporting seeds.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for scoreboard.json and scoreboard.html.",
)
def evaluate(names: tuple[str, ...], seeds: int, out: Path | None) -> None:
    """Runs scenarios of the built-in venue and scores what was found in them, beside five baselines.

    The seeds are those kept for reporting: nothing was tuned on them.
    """
    prepare()
    from rich.console import Console

    from engine.simulation.scenarios import SCENARIOS
    from monitor.scoreboard.run import evaluate as scored
    from monitor.scoreboard.run import write
    from monitor.scoreboard.seeds import reporting_seeds
    from monitor.scoreboard.terminal import show

    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise Wrong(f"there is no scenario {unknown[0]!r}; there are {', '.join(sorted(SCENARIOS))}")
    chosen = tuple(dict.fromkeys(names)) or tuple(SCENARIOS)
    if out is not None:
        try:  # before the drills, which take minutes
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Wrong(f"{out}: {error.strerror}") from None
    says = {name: SCENARIOS[name].says for name in chosen}
    board = scored(_runs(chosen, reporting_seeds(seeds)), says)
    show(board, Console(width=None if sys.stdout.isatty() else 140))
    if out is not None:
        try:
            data, page = write(board, out)
        except OSError as error:
            raise Wrong(f"{out}: {error.strerror}") from None
        click.echo(f"wrote {data} and {page}")


def _runs(names: tuple[str, ...], seeds: tuple[int, ...]) -> Iterator[Drilled]:
    """Every drill of every seed, each told on the terminal as it is done."""
    from monitor.drills.run import drills

    for seed in seeds:
        for run in drills(names, seed):
            click.echo(f"seed {seed}: {run.scenario or 'quiet'}", err=True)
            yield run
