"""Commands about the rules themselves: ladders, liquidation prices, reference prices, and every formula by name."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.risk.shared import (
    JSON,
    LADDERS,
    NUMBER,
    PACK,
    ladder_of,
    load,
    load_holdings,
    rules_said,
    show,
)

if TYPE_CHECKING:
    from engine.holdings import Holdings


@click.command()
@click.argument("name")
@PACK
@LADDERS
@click.option("--notional", type=NUMBER, help="Quote units: also shows what a position of this size must hold.")
@JSON
def ladder(name: str, pack: str, file: Path | None, notional: Fraction | None, as_json: bool) -> None:
    """Shows the margin ladder of an instrument, or of a symbol of a file."""
    from engine.margin.ladder import initial_margin, maintenance_margin

    found = ladder_of(name, pack, file)
    tiers: list[dict[str, Any]] = [
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
    said: dict[str, Any] = {
        "ladder": found.name, "version": found.version, "digest": found.digest, "maintenance": found.maintenance,
        "initial": found.initial, "cap": None if found.cap is None else float(found.cap), "tiers": tiers,
    }  # fmt: skip
    tables = [(f"{found.name} ({found.version}, {found.digest[:12]})", tiers)]
    if notional is not None:
        try:
            said["notional"] = float(notional)
            said["initial_margin"] = float(initial_margin(found, notional))
            said["maintenance_margin"] = float(maintenance_margin(found, notional))
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        row = {name: said[name] for name in ("notional", "initial_margin", "maintenance_margin")}
        tables.append(("A position of this size", [row]))
    show(said, tables, as_json=as_json)


@click.command("liquidation-price")
@click.argument("name")
@click.option("--wallet", type=NUMBER, required=True, help="Quote units that the position lives on.")
@click.option("--size", type=NUMBER, required=True, help="Base units.")
@click.option("--entry", type=NUMBER, required=True, help="Entry price.")
@click.option("--side", type=click.Choice(["long", "short"]), required=True)
@click.option(
    "--other-maintenance", type=NUMBER, default="0", help="Maintenance margin of the account's other cross positions."
)
@click.option("--other-pnl", type=NUMBER, default="0", help="Their unrealised profit.")
@PACK
@LADDERS
@JSON
def liquidation_price(
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

    found = ladder_of(name, pack, file)
    rules = load(pack)
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
    rows: list[dict[str, Any]] = [
        {"at": step, "price": None if price is None else float(price)} for step, price in band.prices.items()
    ]
    said: dict[str, Any] = {
        "ladder": found.name,
        "version": found.version,
        "digest": found.digest,
        "side": side,
        "prices": rows,
        "rules": rules_said(rules, found),
    }
    show(said, [(f"{side} {float(size):g} at {float(entry):g}, ladder {found.name}", rows)], as_json=as_json)


@click.command()
@click.option("--pack", default=None, help="Rule pack, by name or as a .toml file; core without it, or the file's own.")
@click.option(
    "--holdings",
    "holdings_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of what a venue holds: also shows how far its prices are apart now.",
)
@click.option("--builtin", "is_builtin", is_flag=True, help="The same for the built-in venue after ten minutes.")
@JSON
def references(pack: str | None, holdings_file: Path | None, is_builtin: bool, as_json: bool) -> None:
    """Says which price drives margin, which one triggers, where last is still used, and how far apart they are."""
    holdings = load_holdings(holdings_file, 1, 600, pack) if holdings_file or is_builtin else None
    rules = load(pack or "core") if holdings is None else holdings.pack
    said: dict[str, Any] = {
        "pack": rules.name,
        "margin": rules.prices.margin,
        "triggers": rules.orders.trigger_by,
        "mark": rules.prices.mark,
        "index": rules.prices.index,
        "last_drives": list(rules.prices.last_drives),
        "stale_s": rules.prices.stale_s,
        "liquidates_at_equality": rules.margin.liquidate_at_equality,
    }
    rows: list[dict[str, Any]] = [
        {"what": key.replace("_", " "), "is": "; ".join(value) or "nowhere" if isinstance(value, list) else str(value)}
        for key, value in said.items()
    ]
    tables = [(f"reference prices of pack {rules.name}", rows)]
    if holdings is not None:
        said["now"] = _apart(holdings)
        tables.append(("now, distances from the index in basis points", said["now"]))
    show(said, tables, as_json=as_json)


def _apart(holdings: Holdings) -> list[dict[str, Any]]:
    rows = []
    for market in holdings.markets:
        tick = market.instrument.tick
        index, last = market.index_price, market.last_price
        rows.append(
            {
                "what": market.instrument.symbol,
                "index": index / 1e6 * tick if index else None,
                "mark": market.mark / 1e6 * tick,
                "last": last / 1e6 * tick if last else None,
                "mark_bps": (market.mark / index - 1) * 1e4 if index else None,
                "last_bps": (last / index - 1) * 1e4 if index and last else None,
                "last_from_mark_bps": (last / market.mark - 1) * 1e4 if last else None,
            }
        )
    return rows


@click.command()
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1)
@PACK
@JSON
def formula(name: str | None, arguments: tuple[str, ...], pack: str, as_json: bool) -> None:
    """Calls any formula of the risk core: NAME PARAMETER=VALUE …; without NAME lists them all.

    A value is a number, true, false, a text, or JSON for lists and objects; a ladder is the name of an instrument of the
    pack, or a list of [floor, initial rate, maintenance rate].
    """
    from engine.formulas import FORMULAS, FormulaError, arguments_of, call, plain, signature

    if name is None:
        rows: list[dict[str, Any]] = [
            {"what": each, "is": (function.__doc__ or "").strip().splitlines()[0]} for each, function in FORMULAS.items()
        ]
        show({"formulas": {row["what"]: row["is"] for row in rows}}, [("formulas", rows)], as_json=as_json)
        return
    if name in FORMULAS and not arguments:
        doc = FORMULAS[name].__doc__ or ""
        said = {"formula": name, "signature": signature(name), "documentation": doc}
        if as_json:
            show(said, [], as_json=True)
        else:
            click.echo(f"{name}{signature(name)}\n\n    {doc.strip()}")
        return
    try:
        result = plain(call(name, arguments_of(arguments), lambda symbol: ladder_of(symbol, pack, None)))
    except FormulaError as error:
        raise click.UsageError(str(error)) from None
    table = result if isinstance(result, dict) else {"result": result}
    rows = [{"what": key, "is": str(value)} for key, value in table.items()]
    show({"formula": name, "result": result}, [(name, rows)], as_json=as_json)
