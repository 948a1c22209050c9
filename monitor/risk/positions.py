"""Commands about a venue's positions: what it holds, the liquidation band, the stress grid, and sizes that survive."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.risk.shared import JSON, NUMBER, all_ladders, load_holdings, rules_said, show, with_holdings

if TYPE_CHECKING:
    from engine.holdings import Holdings


@click.command()
@with_holdings
def holdings(holdings_file: Path | None, seed: int, seconds: int, pack: str | None) -> None:
    """Writes what a venue holds, as the file that the other commands read with --holdings."""
    from engine.holdings import written

    click.echo(written(load_holdings(holdings_file, seed, seconds, pack)).decode())


@click.command()
@click.argument("symbol")
@with_holdings
@click.option("--width-bps", type=click.IntRange(1, 5_000), default=50, show_default=True, help="Of a bucket of distance.")
@click.option("--buckets", type=click.IntRange(1, 1_000), default=20, show_default=True)
@click.option("--positions", type=click.IntRange(0, 1_000), default=10, show_default=True, help="How many, the nearest first.")
@JSON
def band(
    symbol: str,
    holdings_file: Path | None,
    seed: int,
    seconds: int,
    pack: str | None,
    width_bps: int,
    buckets: int,
    positions: int,
    as_json: bool,
) -> None:
    """At which prices positions come to each step, what each bucket of prices forces, and the depth against it."""
    from engine.banding import band_of
    from engine.holdings import HoldingsError

    held = load_holdings(holdings_file, seed, seconds, pack)
    try:
        found = band_of(held, symbol, width_bps=width_bps, buckets=buckets)
    except (HoldingsError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    rows: list[dict[str, Any]] = [
        {
            "side": "long" if bucket.is_long else "short",
            "from_bps": bucket.from_bps,
            "to_bps": bucket.to_bps,
            **{step: float(notional) for step, notional in bucket.notional.items()},
            "depth": float(bucket.depth),
            "coverage": None if bucket.coverage is None else float(bucket.coverage),
            "seconds": bucket.seconds,
        }
        for bucket in found.buckets
    ]
    nearest: list[dict[str, Any]] = [
        {
            "account": name,
            "side": "long" if each.is_long else "short",
            "size": float(each.size),
            **{step: None if price is None else float(price) for step, price in each.prices.items()},
        }
        for name, each in found.positions[:positions]
    ]
    ladder = held.pack.ladder(held.markets[held.market(symbol)].instrument)
    said = {
        "symbol": symbol,
        "mark": float(found.mark),
        "buckets": rows,
        "positions": nearest,
        "rules": rules_said(held.pack, *([ladder] if ladder else [])),
    }
    shown = [row for row in rows if any(row[step] for step in ("remind", "liquidate", "bankruptcy"))]
    title = f"{symbol} at {float(found.mark):,.10g}: notional that comes to each step, by distance of the price"
    show(said, [(title, shown), ("Positions, the nearest to liquidation first", nearest)], as_json=as_json)


@click.command()
@with_holdings
@click.option("--account", help="Explains the worst cell of this account or pool.")
@click.option("--top", type=click.IntRange(1, 1_000), default=10, show_default=True, help="How many, the worst first.")
@JSON
def stress(
    holdings_file: Path | None, seed: int, seconds: int, pack: str | None, account: str | None, top: int, as_json: bool
) -> None:
    """The stress grid: the worst cell of every portfolio, what each position adds to it, and what one more lot does."""
    from engine.holdings import HoldingsError
    from engine.stressing import stress_venue

    held = load_holdings(holdings_file, seed, seconds, pack)
    try:
        found = stress_venue(held)
    except HoldingsError as error:
        raise click.UsageError(str(error)) from None
    order = found.order()
    if account is not None:
        order = [u for u in order if found.names[u] == account]
        if not order:
            raise click.UsageError(f"there is no account or pool {account!r} with positions in the holdings")
    rows: list[dict[str, Any]] = []
    for u in order[:top]:
        at = found.cell(u)
        rows.append(
            {
                "account": found.names[u],
                "equity": float(found.equity[u]),
                "loss": float(found.loss[u]),
                "left": float(found.equity[u] - found.loss[u]),
                "row": at.row,
                "price": at.price,
                "volatility": at.volatility,
                "correlation": at.correlation,
                "liquidity": at.liquidity,
            }
        )
    tables = [(f"Worst cells of {len(found.names)} portfolios, {found.cells} cells each", rows)]
    said: dict[str, Any] = {"cells": found.cells, "portfolios": rows, "rules": rules_said(held.pack, *all_ladders(held))}
    if account is not None:
        said["contributions"] = _contributions(found, order[0], held)
        tables.append((f"What each position of {account} adds to that loss", said["contributions"]))
    show(said, tables, as_json=as_json)


def _contributions(found: Any, u: int, held: Holdings) -> list[dict[str, Any]]:
    explained = found.explain(u)
    rows = [
        {
            "what": market.instrument.symbol,
            "notional": float(found.notionals[u, k]),
            "adds": float(explained.contributions[k]),
            "one_lot_more_adds": float(explained.more[k]),
        }
        for k, market in enumerate(held.markets)
        if found.notionals[u, k]
    ]
    return sorted(rows, key=lambda row: -float(row["adds"]))


@click.command()
@click.argument("symbol")
@with_holdings
@click.option("--side", type=click.Choice(["long", "short"]), required=True)
@click.option("--move", type=NUMBER, required=True, help="How far the price goes against it, a share: 0.1 for 10 %.")
@click.option("--liquidity", type=NUMBER, default="1", help="Share of the book that is left when it must be closed.")
@click.option("--correlation", type=NUMBER, default="1", help="Of the account's other markets with this one, in the stress.")
@click.option("--wallet", type=NUMBER, help="Quote units that an isolated position lives on.")
@click.option("--account", help="Account that would add it to its cross positions, instead of --wallet.")
@JSON
def size(
    symbol: str,
    holdings_file: Path | None,
    seed: int,
    seconds: int,
    pack: str | None,
    side: str,
    move: Fraction,
    liquidity: Fraction,
    correlation: Fraction,
    wallet: Fraction | None,
    account: str | None,
    as_json: bool,
) -> None:
    """The largest position that survives a stress: it can be entered, is not liquidated, and can be left."""
    from engine.contract import MICRO
    from engine.holdings import HoldingsError
    from engine.sizing import Stress, largest_cross, largest_isolated

    if (wallet is None) == (account is None):
        raise click.UsageError("say either --wallet (isolated) or --account (cross)")
    held = load_holdings(holdings_file, seed, seconds, pack)
    try:
        stress_said = Stress(move, liquidity, correlation)
        if wallet is not None:
            found = largest_isolated(held, symbol, int(wallet * MICRO), stress_said, is_long=side == "long")
        else:
            found = largest_cross(held, symbol, str(account), stress_said, is_long=side == "long")
    except (HoldingsError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    instrument = held.markets[held.market(symbol)].instrument
    rows: list[dict[str, Any]] = []
    for name, lots, outcome in (("largest", found.lots, found.at), ("one step more", None, found.beyond)):
        money = {field: value / MICRO for field, value in outcome._asdict().items() if field != "bound"}
        rows.append(
            {"what": name, "size": None if lots is None else lots * instrument.lot, **money, "breaks": outcome.bound or None}
        )
    ladder = held.pack.ladder(instrument)
    said = {
        "symbol": symbol, "side": side, "mode": "isolated" if wallet is not None else "cross", "lots": found.lots,
        "size": found.lots * instrument.lot, "bound": found.beyond.bound, "at": rows[0], "beyond": rows[1],
        "rules": rules_said(held.pack, *([ladder] if ladder else [])),
    }  # fmt: skip
    fields = [name for name in rows[0] if name != "what"]
    across = [{"what": name.replace("_", " "), "largest": rows[0][name], "one step more": rows[1][name]} for name in fields]
    title = f"{side} {symbol}, {said['mode']}: {said['size']:,.10g} at most; bound by {found.beyond.bound or 'nothing'}"
    show(said, [(title, across)], as_json=as_json)
