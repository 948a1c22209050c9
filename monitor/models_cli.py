"""`perpwatch models`: the variants of the detectors, and which of them is the champion."""

from __future__ import annotations

import click

from monitor.incidents.register import RegisterError
from monitor.launch import Wrong, prepare


@click.group()
def models() -> None:
    """Champion and challengers: which variant of the detectors runs use. A person decides, and it is on record."""


@models.command("list")
def list_() -> None:
    """The variants there are, and every promotion so far."""
    prepare()
    from models.detectors.variants import VARIANTS
    from monitor.incidents.promotions import SUBJECT, champion
    from monitor.incidents.register import Register

    try:
        current, records = champion(), Register(SUBJECT).records()
    except RegisterError as error:
        raise Wrong(str(error)) from error
    for variant in VARIANTS.values():
        click.echo(f"{'champion' if variant.name == current else '':8}  {variant.name:10}  {variant.says}")
    for record in records:
        click.echo(f"{record['at']}  {record['before']} → {record['variant']}  by {record['by']}: {record['why']}")


@models.command()
@click.argument("name")
@click.option("--by", required=True, metavar="NAME", help="Who decides.")
@click.option("--why", required=True, metavar="TEXT", help="On what grounds, such as a scoreboard.")
def promote(name: str, by: str, why: str) -> None:
    """Makes the variant NAME the champion of all later runs."""
    prepare()
    from models.detectors.variants import VARIANTS
    from monitor.incidents.promotions import promote as promoted

    if name not in VARIANTS:
        raise Wrong(f"there is no variant {name!r}; there are {', '.join(VARIANTS)}")
    try:
        record = promoted(name, by, why)
    except RegisterError as error:
        raise Wrong(str(error)) from error
    click.echo(f"{record['variant']} is the champion of later runs, instead of {record['before']}")
