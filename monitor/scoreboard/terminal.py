"""The scoreboard on the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from monitor.scoreboard import words
from monitor.scoreboard.reduce import OURS
from monitor.scoreboard.results import Scoreboard


def show(board: Scoreboard, console: Console) -> None:
    """Prints the tables: by family with each method, the realised rates, by scenario, benign scenarios, the guard's trips."""
    console.print(escape(words.about(board)))
    console.print(f"[dim]{escape(words.rules(board))}[/dim]")
    for family in board.families:
        if family.events:
            table = _table(f"{family.family}: {family.events} incidents, {family.seeds} seeds", words.FAMILY_HEAD)
            for one in family.methods:
                table.add_row(*map(escape, words.family_row(one)), style="bold" if one.method == OURS else None)
            console.print(table)
            named = [
                f"{words.counted(share)} named {what} first"
                for what, share in (("a right metric", family.named_metric), ("a right account", family.named_account))
                if share.of
            ]
            if named:
                console.print(f"Incidents that {OURS} detected: " + "; ".join(named))
    _rows(console, "realised false-alarm rates", words.RATES_HEAD, [
        words.rate_row(family.family, rate) for family in board.families for rate in family.rates if rate.windows
    ])  # fmt: skip
    harmful = [row for row in board.scenarios if not row.benign]
    _rows(console, f"scenarios ({OURS})", words.SCENARIO_HEAD, map(words.scenario_row, harmful))
    _rows(console, f"benign scenarios ({OURS})", words.BENIGN_HEAD, [
        words.benign_row(row) for row in board.scenarios if row.benign
    ])  # fmt: skip
    _rows(console, "guardrails: rises of a level", words.TRIPS_HEAD, map(words.trips_row, board.trips))


def _rows(console: Console, title: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    table = _table(title, head)
    for row in rows:
        table.add_row(*map(escape, row))
    if table.row_count:
        console.print(table)


def _table(title: str, head: tuple[str, ...]) -> Table:
    table = Table(
        title=escape(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
    )
    for place, name in enumerate(head):
        table.add_column(escape(name), justify="left" if place == 0 else "right", no_wrap=place == 0, overflow="fold")
    return table
