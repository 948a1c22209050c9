"""What the commands of `perpwatch risk` share: their options, packs, ladders and holdings, and how results are shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from engine.holdings import Holdings
    from engine.instruments import Pack
    from engine.margin.ladder import Ladder

JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
PACK = click.option("--pack", default="core", show_default=True, help="Rule pack, by name or as a .toml file.")
LADDERS = click.option(
    "--file", "file", type=click.Path(path_type=Path, dir_okay=False), help="File of Binance brackets that has it instead."
)
_FILE = click.Path(path_type=Path, dir_okay=False)


class _Decimal(click.ParamType[Fraction]):
    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        from engine.exact import exact

        try:
            return value if isinstance(value, Fraction) else exact(str(value), param.name if param and param.name else "number")
        except ValueError as error:
            self.fail(str(error), param, ctx)


NUMBER = _Decimal()


def with_holdings(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say whose positions: a file, or the built-in venue after a while."""
    options = (
        click.option("--holdings", "holdings_file", type=_FILE, help="File of what a venue holds; else the built-in venue."),
        click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of the built-in venue."),
        click.option(
            "--seconds", type=click.IntRange(1, 86_400), default=600, show_default=True, help="How long that venue traded."
        ),
        click.option("--pack", default=None, help="Rule pack, by name or as a .toml file, instead of the file's own."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def load(pack: str) -> Pack:
    """A pack by name or path. Raises click.UsageError."""
    from engine.instruments import PackError, load_pack, read_pack

    try:
        if not pack.endswith(".toml"):
            return load_pack(pack)
        return read_pack(_bytes(Path(pack)), pack)
    except PackError as error:
        raise click.UsageError(str(error)) from None


def ladder_of(name: str, pack: str, file: Path | None) -> Ladder:
    """The ladder of an instrument of a pack, or of a symbol of a file. Raises click.UsageError."""
    if file is not None:
        from monitor.sources import SourceError
        from monitor.sources.ladders import read_ladders

        try:
            ladders = read_ladders(file)
        except SourceError as error:
            raise click.UsageError(str(error)) from None
        if name not in ladders:
            raise click.UsageError(f"{file} has no symbol {name!r}")
        return ladders[name]
    rules = load(pack)
    try:
        found = rules.ladder(rules.instrument(name))
    except KeyError:
        symbols = ", ".join(instrument.symbol for instrument in rules.instruments)
        raise click.UsageError(f"pack {pack} has no instrument {name!r}, but {symbols}") from None
    if found is None:
        raise click.UsageError(f"{name} has no margin in pack {pack}")
    return found


def load_holdings(file: Path | None, seed: int, seconds: int, pack: str | None) -> Holdings:
    """What the options say. Raises click.UsageError."""
    from engine.holdings import HoldingsError, pack_named, read_holdings

    try:
        if file is not None:
            data = _bytes(file)
            return read_holdings(data, load(pack or pack_named(data)))
        if pack is not None:
            raise click.UsageError("--pack needs --holdings: the built-in venue has its own pack")
        from engine.holdings import holdings_of
        from monitor.risk.builtin import BuiltIn

        venue = BuiltIn(seed)
        venue.advance(seconds)
        return holdings_of(venue.venue, venue.pack)
    except HoldingsError as error:
        raise click.UsageError(f"{file}: {error}" if file else str(error)) from None


def rules_said(pack: Pack, *ladders: Ladder) -> dict[str, Any]:
    """Versions and digests of the rules that a result rests on; they stand in every one."""
    from engine.risk_rules import digest_of

    return {
        "pack": pack.name,
        "pack_version": pack.version,
        "ladders": {ladder.name: {"version": ladder.version, "digest": ladder.digest} for ladder in ladders},
        "fees": {"version": pack.fees.version, "digest": digest_of(pack.fees)},
    }


def all_ladders(holdings: Holdings) -> list[Ladder]:
    """Each ladder of the markets once."""
    found = {market.instrument.ladder: holdings.pack.ladder(market.instrument) for market in holdings.markets}
    return [ladder for ladder in found.values() if ladder is not None]


def show(said: dict[str, Any], tables: Sequence[tuple[str, Sequence[dict[str, Any]]]], *, as_json: bool) -> None:
    """Prints `said` as JSON, or the tables: (title, rows)."""
    if as_json:
        click.echo(json.dumps(said))
        return
    console = Console()
    for title, rows in tables:
        if not rows:
            console.print(f"{escape(title)}: none\n", style="bold", soft_wrap=True)
            continue
        console.print(escape(title), style="bold", soft_wrap=True)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for name, value in rows[0].items():
            is_text = isinstance(value, str) or name in _TEXTS
            table.add_column(escape(name.replace("_", " ")), justify="left" if is_text else "right", overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell(value)) for value in row.values()))
        console.print(table)
        console.print()
    rules = said.get("rules")
    if rules:
        ladders = ", ".join(f"{name} {row['digest'][:12]}" for name, row in rules["ladders"].items())
        fees = rules["fees"]
        text = f"Rules: pack {rules['pack']} {rules['pack_version']}; ladders {ladders or '-'}; fees {fees['digest'][:12]}"
        console.print(escape(text), soft_wrap=True)


_TEXTS = ("at", "what", "is", "from", "to", "kind", "side", "account")


def cell(value: object) -> str:
    """A value for people."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100_000 else f"{value:,.2f}" if abs(value) >= 1_000 else f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
