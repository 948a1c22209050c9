"""`perpwatch feedback`: verdicts of the people who review, and what was learnt from them."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.incidents.register import RegisterError
from monitor.launch import Wrong, prepare

_RUN = click.argument("run", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")


@click.group()
def feedback() -> None:
    """Verdicts on events: they re-order what is shown, and touch no rate, no alert and no guardrail."""


@feedback.command()
@_RUN
@click.argument("event")
@click.argument("verdict", type=click.Choice(["right", "wrong"]))
@click.option("--by", required=True, metavar="NAME", help="Who says so.")
@click.option("--note", default="", metavar="TEXT", help="Why.")
def add(run: Path, event: str, verdict: str, by: str, note: str) -> None:
    """Says that an EVENT of the run in DIR was right, or wrong."""
    prepare()
    from monitor.incidents.reviews import ReviewError, review

    try:
        record = review(run, event, verdict == "right", by, note)
    except (ReviewError, RegisterError) as error:
        raise Wrong(str(error)) from error
    click.echo(f"verdict {record['n'] + 1}: {event} is {verdict}, says {by}")


@feedback.command("list")
def list_() -> None:
    """All verdicts on record, the oldest first."""
    from monitor.incidents.register import Register
    from monitor.incidents.reviews import SUBJECT

    try:
        records = Register(SUBJECT).records()
    except RegisterError as error:
        raise Wrong(str(error)) from error
    for record in records:
        note = f"  {record['note']}" if record["note"] else ""
        click.echo(f"{record['at']}  {record['verdict']:5}  {record['event']}  by {record['by']}{note}")
    if not records:
        click.echo("nobody has said anything yet")


@feedback.command()
def weights() -> None:
    """Every weight that the verdicts taught, the largest first."""
    prepare()
    from monitor.incidents.reviews import learnt

    try:
        model = learnt()
    except RegisterError as error:
        raise Wrong(str(error)) from error
    click.echo(f"{model.verdicts} verdict{'' if model.verdicts == 1 else 's'}")
    for name, weight in model.weights.items():
        click.echo(f"{weight:+8.3f}  {name}")


@feedback.command()
@_RUN
@click.option("--first", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="How many to show.")
def rank(run: Path, first: int) -> None:
    """The events of the run in DIR in the order of their priority; one in twenty keeps the place of its rate."""
    prepare()
    from models.feedback import is_audited
    from monitor.incidents.reviews import ReviewError, best_lines, learnt

    try:
        lines, model = list(best_lines(run).values()), learnt()
    except (ReviewError, RegisterError) as error:
        raise Wrong(str(error)) from error
    places = {line.event: place for place, line in enumerate(lines, 1)}
    for line in model.ordered(lines)[:first]:
        told = "audit" if is_audited(line.event) else f"{model.priority(line):.2f}"
        click.echo(f"{told:>5}  {line.false_alarm_rate:8.1e}  was {places[line.event]:4}  {line.event}  {line.says}")
