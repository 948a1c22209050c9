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


@click.group(invoke_without_command=True)
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
@click.option("--variant", metavar="NAME", help="Variant of the detectors; without it, the champion.")
@click.pass_context
def evaluate(context: click.Context, names: tuple[str, ...], seeds: int, out: Path | None, variant: str | None) -> None:
    """Runs scenarios of the built-in venue and scores what was found in them, beside five baselines.

    The seeds are those kept for reporting: nothing was tuned on them.
    """
    if context.invoked_subcommand is not None:
        return
    prepare()
    from rich.console import Console

    from engine.simulation.scenarios import SCENARIOS
    from models.detectors.variants import VARIANTS
    from monitor.incidents.promotions import champion
    from monitor.incidents.register import RegisterError
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
    try:
        used = champion() if variant is None else variant
    except RegisterError as error:
        raise Wrong(str(error)) from error
    if used not in VARIANTS:
        raise Wrong(f"--variant {used!r}: there is no such variant; there are {', '.join(VARIANTS)}")
    board = scored(_runs(chosen, reporting_seeds(seeds), used), says)
    show(board, Console(width=None if sys.stdout.isatty() else 140))
    if out is not None:
        try:
            data, page = write(board, out)
        except OSError as error:
            raise Wrong(f"{out}: {error.strerror}") from None
        click.echo(f"wrote {data} and {page}")


def _runs(names: tuple[str, ...], seeds: tuple[int, ...], variant: str) -> Iterator[Drilled]:
    """Every drill of every seed, each told on the terminal as it is done."""
    from monitor.drills.run import drills

    for seed in seeds:
        for run in drills(names, seed, variant=variant):
            click.echo(f"seed {seed}: {run.scenario or 'quiet'}", err=True)
            yield run


@evaluate.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="OUT",
    help="Folder for results/perpwatch, a file a series.",
)
def nab(folder: Path, out: Path | None) -> None:
    """Scores the series of a folder of the Numenta Anomaly Benchmark, with all settings frozen.

    DIR holds data/ and labels/combined_windows.json.
    """
    prepare()
    from monitor.scoreboard.nab import NabError, read, write
    from monitor.scoreboard.nab import evaluate as scored

    try:
        corpus = read(folder)
        scores, results = scored(corpus)
    except NabError as error:
        raise Wrong(str(error)) from error
    except ValueError as error:
        raise Wrong(f"{folder}: {error}") from error
    click.echo(f"{len(scores)} series")
    for name, result in results.items():
        click.echo(
            f"{name:20}  score {result.score:5.1f}  {result.found} of {result.windows} windows found, "
            f"{result.false_detections} false detections, threshold {result.threshold:.3f}"
        )
    if out is not None:
        try:
            write(corpus, scores, out)
        except OSError as error:
            raise Wrong(f"{out}: {error.strerror}") from None
        click.echo(f"wrote {out / 'results' / 'perpwatch'}")
