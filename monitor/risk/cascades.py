"""`perpwatch risk cascade`: a shock over a venue's holdings, what carried it, and the measures beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.risk.shared import JSON, all_ladders, load_holdings, rules_said, show, with_holdings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.cascade.graph import Graph
    from engine.cascade.october import Target
    from engine.cascade.report import Report
    from engine.cascade.run import Run


class _Shock(click.ParamType[tuple[str, float]]):
    name = "name=move"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        if isinstance(value, tuple):
            return value
        name, equals, move = str(value).rpartition("=")
        try:
            if not equals or not name:
                raise ValueError
            return name, float(move)
        except ValueError:
            self.fail(f"{value!r} must be <market or asset>=<move>, for example BTC-PERP=-0.05", param, ctx)


@click.command()
@with_holdings
@click.option("--shock", "shocks", type=_Shock(), multiple=True, help="BTC-PERP=-0.05, also of collateral; repeat it.")
@click.option("--over", type=click.IntRange(1, 3_600), default=60, show_default=True, help="Seconds that the shock takes.")
@click.option("--rounds", type=click.IntRange(1, 86_400), default=3_600, show_default=True, help="Seconds at most.")
@click.option("--liquidity", type=click.FloatRange(1e-6, 1), default=1.0, show_default=True, help="Of the book that stays.")
@click.option("--correlation", type=click.FloatRange(0, 1), default=0.8, show_default=True, help="Stressed, of any two.")
@click.option("--lasting", type=click.FloatRange(0, 1), default=0.06, show_default=True, help="Of forced impact that stays.")
@click.option("--refill", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Of an eaten book a second.")
@click.option("--mark-lag", type=click.IntRange(0, 60), default=1, show_default=True, help="Seconds from price to mark.")
@click.option("--order-lag", type=click.IntRange(0, 60), default=1, show_default=True, help="Seconds from distress to order.")
@click.option("--spread-lag", type=click.IntRange(0, 60), default=1, show_default=True, help="Seconds from market to market.")
@click.option("--edges", type=click.IntRange(0, 1_000), default=5, show_default=True, help="How many of each kind.")
@click.option("--october", is_flag=True, help="Instead: a stylised venue on 10 October 2025, beside that day's figures.")
@JSON
def cascade(
    holdings_file: Path | None,
    seed: int,
    seconds: int,
    pack: str | None,
    shocks: tuple[tuple[str, float], ...],
    over: int,
    rounds: int,
    liquidity: float,
    correlation: float,
    lasting: float,
    refill: float,
    mark_lag: int,
    order_lag: int,
    spread_lag: int,
    edges: int,
    october: bool,
    as_json: bool,
) -> None:
    """Propagates a shock: marks, distress, forced orders into the book, impact, and again. docs/cascade.md has the rules.

    Without --shock every market falls by the largest move of its class in the pack's stress.
    """
    from engine.cascade.graph import CascadeRules, graph_of, shock_table
    from engine.cascade.report import report
    from engine.cascade.run import run
    from engine.holdings import HoldingsError

    if october:
        _october(seed, edges, as_json=as_json)
        return
    held = load_holdings(holdings_file, seed, seconds, pack)
    moves = held.pack.stress.moves_bps
    usual = {
        market.instrument.symbol: -max(moves[market.instrument.kind]) / 1e4
        for market in held.markets
        if market.instrument.kind in moves
    }
    million = 1_000_000
    rules = CascadeRules(
        rounds=rounds,
        shock_rounds=over,
        refill_ppm=round(refill * million),
        lasting_ppm=round(lasting * million),
        liquidity_ppm=round(liquidity * million),
        correlation_ppm=round(correlation * million),
        mark_lag=mark_lag,
        order_lag=order_lag,
        spread_lag=spread_lag,
    )
    try:
        graph = graph_of(held, rules)
        done = run(graph, held.pack, rules, *shock_table(graph, dict(shocks) or usual))
    except HoldingsError as error:
        raise click.UsageError(str(error)) from None
    found = report(graph, done, edges)
    said = {**_said(found), **_beside(graph, done)}
    said["rules"] = rules_said(held.pack, *all_ladders(held))
    show(said, _tables(said), as_json=as_json)


def _october(seed: int, edges: int, *, as_json: bool) -> None:
    from engine.cascade.october import october
    from engine.cascade.report import report

    graph, done, _, targets = october(seed)
    said = _said(report(graph, done, edges))
    said["targets"] = _targets(targets)
    title = "10 October 2025 (RISK-SPEC 7); distance is ln(found / published), 0.7 a factor of two"
    show(said, [(title, said["targets"]), *_tables(said)], as_json=as_json)


def _targets(targets: Sequence[Target]) -> list[dict[str, Any]]:
    return [
        {
            "what": target.fact,
            "published": target.published,
            "found": target.found,
            "distance": target.distance,
            "source": target.source,
        }
        for target in targets
    ]


def _said(found: Report) -> dict[str, Any]:
    said = found._asdict()
    said["peak_minute"] = {"notional": found.peak_minute[0], "from_s": found.peak_minute[1]}
    said["prices"] = {symbol: {"shock": alone, "end": end} for symbol, (alone, end) in found.prices.items()}
    said["edges"] = [edge._asdict() for edge in found.edges]
    return said


def _beside(graph: Graph, done: Run) -> dict[str, Any]:
    """Clearing at once, DebtRank and exits, for the same shock."""
    import numpy as np

    from engine.cascade.clearing import settle_at_once
    from engine.cascade.debtrank import debtrank, leverage_of
    from engine.cascade.exits import orderly_exits
    from engine.cascade.report import equities_around

    before, alone = equities_around(graph, done)
    settled = settle_at_once(before.tolist(), alone.tolist(), int(graph.arrays.fund[0]))
    operator, equity = leverage_of(graph)
    lost = np.clip(np.where(before > 0, (before - alone) / np.maximum(before, 1), 0), 0, 1)
    ranked = debtrank(operator, lost, equity)
    worst = np.argsort(-(ranked.distress - lost) * equity, kind="stable")[:5]
    million = 1e6
    return {
        "settled_at_once": {
            "owed": float(settled.owed) / million,
            "paid": float(settled.paid) / million,
            "shortfall": float(settled.shortfall) / million,
            "fund_paid": float(settled.fund_paid) / million,
            "winners_share": float(settled.winners_share),
            "cannot_pay": settled.cannot_pay,
        },
        "debtrank": {
            "lost_by_shock": float(lost @ equity / max(1e-12, equity.sum())),
            "lost_beyond": ranked.lost_share,
            "rounds": ranked.rounds,
            "worst": [
                {
                    "account": graph.units[u],
                    "equity": float(equity[u]),
                    "lost_by_shock": float(lost[u]),
                    "lost_at_the_end": float(ranked.distress[u]),
                }
                for u in worst.tolist()
                if ranked.distress[u] > lost[u]
            ],
        },
        "no_exit": orderly_exits(graph),
    }


def _tables(said: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Everything but the edges in three columns, then prices, edges and the measures beside."""
    peak = said["peak_minute"]
    rows = [
        ("amplification", said["amplification"]),
        ("loss by the shock alone", said["first_loss"]),
        ("loss of the same positions at the end, with forced costs", said["total_loss"]),
        ("loss of the accounts themselves", said["account_loss"]),
        ("rounds (seconds)", said["rounds"]),
        ("came to rest", said["settled"]),
        ("liquidated notional", said["liquidated"]),
        ("forced orders", said["liquidations"]),
        ("slippage of forced orders", said["slippage"]),
        ("their fees", said["fees"]),
        ("taken over by the fund, notional", said["taken"]),
        ("takeovers", said["takeovers"]),
        ("deleveraged notional", said["deleveraged"]),
        ("positions deleveraged", said["deleveragings"]),
        ("ADL share", said["adl_share"]),
        ("first liquidation, s", said["first_liquidation_s"]),
        ("first ADL, s", said["first_adl_s"]),
        ("accounts that ended below zero", said["bankrupt"]),
        ("their equity", said["bankrupt_equity"]),
        ("long share of liquidated notional", said["long_share"]),
        (f"busiest minute, from second {peak['from_s']}", peak["notional"]),
        ("fund before", said["fund_before"]),
        ("fund after", said["fund_after"]),
        ("fund use", said["fund_use"]),
        ("socialised", said["socialised"]),
        ("uncovered", said["uncovered"]),
        ("residual of money, micro-units, and of lots", f"{said['residual_micro']} and {said['residual_lots']}"),
    ]
    prices = [{"what": symbol, "shock": row["shock"], "end": row["end"]} for symbol, row in said["prices"].items()]
    edges = [
        {"kind": edge["kind"], "from": edge["source"], "to": edge["target"], "carried": edge["carried"]}
        for edge in said["edges"]
    ]
    tables = [
        ("The cascade", [{"what": name, "value": value} for name, value in rows]),
        ("Prices, share that they moved", prices),
        ("The edges that carried it, largest of each kind", edges),
    ]
    if "settled_at_once" in said:
        once = said["settled_at_once"]
        tables.append(("Settled at once, without a liquidation (Eisenberg and Noe)", [once]))
        rank = said["debtrank"]
        title = (
            f"DebtRank: {rank['lost_by_shock']:.2%} of equity lost by the shock, {rank['lost_beyond']:.2%} beyond; worst beyond"
        )
        tables.append((title, rank["worst"]))
        tables.append(("No orderly exit: selling all costs more than the equity", said["no_exit"][:5]))
    return tables
