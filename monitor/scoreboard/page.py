"""The scoreboard as one page that needs nothing else: tables, plots, and plotly's own script in it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from monitor.scoreboard import plots, words
from monitor.scoreboard.reduce import OURS
from monitor.scoreboard.results import FamilyBoard, ScenarioBoard, Scoreboard

_STYLE: Final = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.5rem 4rem; background: #fff; color: #18202a;
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: .8rem; border-top: 1px solid #e3e8ed; }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p { max-width: 60rem; margin: .3rem 0; }
.small { color: #525e6b; font-size: .87rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; min-width: 34rem; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .75rem; border-bottom: 1px solid #e3e8ed; text-align: right; white-space: nowrap; }
th { color: #525e6b; font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: .4rem; }
tr.ours td { font-weight: 650; background: #eef5fa; }
"""


def page(board: Scoreboard) -> str:
    """The whole page. The same scoreboard gives the same text; all text in it is escaped."""
    parts = [
        "<h1>Scoreboard</h1>",
        f"<p>{escape(words.about(board))}</p>",
        f'<p class="small">{escape(words.rules(board))}</p>',
        "<h2>By family</h2>",
        _plot("precision", plots.precision(board), "Average precision: mean over seeds, whiskers from least to most."),
        *(_family(family) for family in board.families if family.events),
    ]
    harmful = [row for row in board.scenarios if not row.benign]
    if harmful:
        parts += [
            "<h2>By scenario</h2>",
            _plot("recall", plots.recall(board), "Share of incidents with an alarm, at the same number of quiet false alarms."),
            _plot("delay", plots.delay(board), "Detection delay. Where there is no mark, nothing was detected."),
            f"<h3>{escape(OURS)} by scenario</h3>",
            _table(words.SCENARIO_HEAD, map(words.scenario_row, harmful)),
        ]
    benign = [row for row in board.scenarios if row.benign]
    if benign:
        parts += ["<h2>Benign scenarios</h2>", _table(words.BENIGN_HEAD, map(words.benign_row, benign))]
    stated = [(family.family, rate) for family in board.families for rate in family.rates if rate.windows]
    if stated:
        parts += [
            "<h2>False-alarm rates: stated and realised</h2>",
            _plot(
                "rates",
                plots.rates(board),
                "Bars: 95% intervals as if windows were independent. A hollow triangle: no hit, drawn at the upper bound.",
            ),
            _table(words.RATES_HEAD, (words.rate_row(family, rate) for family, rate in stated)),
        ]
    if board.trips:
        parts += ["<h2>Guardrails: rises of a level</h2>", _table(words.TRIPS_HEAD, map(words.trips_row, board.trips))]
    if any(row.says for row in board.scenarios):
        parts += ["<h2>What the scenarios are</h2>", _table(("scenario", "strengths", "what happens"), _told(board.scenarios))]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Perpwatch scoreboard</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script></head><body>{''.join(parts)}</body></html>\n"
    )


def _family(family: FamilyBoard) -> str:
    named = " ".join(
        f"{words.counted(share)} detected ones named {what} first."
        for what, share in (("a right metric", family.named_metric), ("a right account", family.named_account))
        if share.of
    )
    return (
        f"<h3>{escape(family.family)}</h3>"
        f'<p class="small">{family.events} incidents on {family.seeds} seeds. {escape(named)}</p>'
        + _table(words.FAMILY_HEAD, map(words.family_row, family.methods))
    )


def _told(rows: Iterable[ScenarioBoard]) -> list[tuple[str, ...]]:
    told = {row.scenario: (row.scenario, ", ".join(f"{x:g}" for x in sorted(set(row.strengths))), row.says) for row in rows}
    return [told[name] for name in sorted(told)]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr{' class=ours' if row[0] == OURS else ''}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _plot(name: str, figure: go.Figure, says: str) -> str:
    shown = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config={"displayModeBar": False})
    return f'<p class="small">{escape(says)}</p>{shown}'
