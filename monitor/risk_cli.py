"""`perpwatch risk`: the rules of margin for people and scripts. Each command prints a table, or a JSON object with --json."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

# The engine is imported where it is needed: it imports numba, which must know its cache folder before a run begins.
if TYPE_CHECKING:
    from engine.instruments import Pack
    from engine.margin.ladder import Ladder

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
_PACK = click.option("--pack", default="core", show_default=True, help="Rule pack that has the ladder.")
_FILE = click.option(
    "--file", "file", type=click.Path(path_type=Path, dir_okay=False), help="File of Binance brackets that has it instead."
)


class _Decimal(click.ParamType[Fraction]):
    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        from engine.exact import exact

        try:
            return value if isinstance(value, Fraction) else exact(str(value), param.name if param and param.name else "number")
        except ValueError as error:
            self.fail(str(error), param, ctx)


NUMBER = _Decimal()


@click.group()
def risk() -> None:
    """Margin, liquidation prices and ladders of a rule pack."""


@risk.command()
@click.argument("name")
@_PACK
@_FILE
@click.option("--notional", type=NUMBER, help="Quote units: also shows what a position of this size must hold.")
@_JSON
def ladder(name: str, pack: str, file: Path | None, notional: Fraction | None, as_json: bool) -> None:
    """Shows the margin ladder of an instrument, or of a symbol of a file."""
    from engine.margin.ladder import initial_margin, maintenance_margin

    found = _ladder(name, pack, file)
    tiers: list[dict[str, object]] = [
        {
            "tier": number,
            "floor": float(tier.floor),
            "max_leverage": float(1 / tier.initial_rate),
            "initial_rate": float(tier.initial_rate),
            "maintenance_rate": float(tier.maintenance_rate),
            "deduction": float(tier.deduction),
        }
        for number, tier in enumerate(found.tiers, 1)
    ]
    said: dict[str, object] = {
        "ladder": found.name, "version": found.version, "digest": found.digest, "maintenance": found.maintenance,
        "initial": found.initial, "cap": None if found.cap is None else float(found.cap), "tiers": tiers,
    }  # fmt: skip
    if notional is not None:
        try:
            said["notional"] = float(notional)
            said["initial_margin"] = float(initial_margin(found, notional))
            said["maintenance_margin"] = float(maintenance_margin(found, notional))
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    _print(said, tiers, as_json, f"{found.name} ({found.version}, {found.digest[:12]})")


@risk.command("liquidation-price")
@click.argument("name")
@click.option("--wallet", type=NUMBER, required=True, help="Quote units that the position lives on.")
@click.option("--size", type=NUMBER, required=True, help="Base units.")
@click.option("--entry", type=NUMBER, required=True, help="Entry price.")
@click.option("--side", type=click.Choice(["long", "short"]), required=True)
@click.option(
    "--other-maintenance", type=NUMBER, default="0", help="Maintenance margin of the account's other cross positions."
)
@click.option("--other-pnl", type=NUMBER, default="0", help="Their unrealised profit.")
@_PACK
@_FILE
@_JSON
def liquidation_price_command(
    name: str,
    wallet: Fraction,
    size: Fraction,
    entry: Fraction,
    side: str,
    other_maintenance: Fraction,
    other_pnl: Fraction,
    pack: str,
    file: Path | None,
    as_json: bool,
) -> None:
    """Prices at which a position comes to each level of the pack, is taken over, and is bankrupt."""
    from engine.margin.band import position_band

    found = _ladder(name, pack, file)
    rules = _load(pack)
    try:
        band = position_band(
            found,
            wallet,
            size,
            entry,
            is_long=side == "long",
            thresholds=rules.states,
            takeover_ppm=rules.liquidation.takeover_ppm,
            other_maintenance=other_maintenance,
            other_pnl=other_pnl,
            taker_fee=Fraction(rules.fees.tiers[0][1], 10**6) if rules.margin.taker_fee_inside else 0,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    rows: list[dict[str, object]] = [
        {"at": step, "price": None if price is None else float(price)} for step, price in band.prices.items()
    ]
    said: dict[str, object] = {
        "ladder": found.name,
        "version": found.version,
        "digest": found.digest,
        "side": side,
        "prices": rows,
    }
    _print(said, rows, as_json, f"{side} {float(size):g} at {float(entry):g}, ladder {found.name}")


@risk.command()
@_PACK
@_JSON
def references(pack: str, as_json: bool) -> None:
    """Says which price drives margin, which one triggers, and where last is still used."""
    rules = _load(pack)
    said: dict[str, object] = {
        "pack": rules.name,
        "margin": rules.prices.margin,
        "triggers": rules.orders.trigger_by,
        "mark": rules.prices.mark,
        "index": rules.prices.index,
        "last_drives": list(rules.prices.last_drives),
        "stale_s": rules.prices.stale_s,
        "liquidates_at_equality": rules.margin.liquidate_at_equality,
    }
    rows: list[dict[str, object]] = [
        {"what": key.replace("_", " "), "is": "; ".join(value) or "nowhere" if isinstance(value, list) else value}
        for key, value in said.items()
    ]
    _print(said, rows, as_json, f"reference prices of pack {rules.name}")


def _load(pack: str) -> Pack:
    from engine.instruments import PackError, load_pack

    try:
        return load_pack(pack)
    except PackError as error:
        raise click.UsageError(str(error)) from None


def _ladder(name: str, pack: str, file: Path | None) -> Ladder:
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
    rules = _load(pack)
    try:
        found = rules.ladder(rules.instrument(name))
    except KeyError:
        symbols = ", ".join(instrument.symbol for instrument in rules.instruments)
        raise click.UsageError(f"pack {pack} has no instrument {name!r}, but {symbols}") from None
    if found is None:
        raise click.UsageError(f"{name} has no margin in pack {pack}")
    return found


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:,.10g}" if isinstance(value, float) else str(value)


def _print(said: dict[str, object], rows: list[dict[str, object]], as_json: bool, title: str) -> None:
    if as_json:
        click.echo(json.dumps(said))
        return
    table = Table(title=escape(title), title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="left" if name in ("at", "what", "is") else "right")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console = Console()
    console.print(table)
    for name, value in said.items():
        if name in ("notional", "initial_margin", "maintenance_margin"):
            console.print(f"{name.replace('_', ' ')}: {value:,.10g}")
