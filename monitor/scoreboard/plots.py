"""The scoreboard's plots: plotly figures, light, in colours that the colour-blind tell apart.

plotly reads a little HTML in names and labels, so every text that comes from outside is escaped here.
"""

from __future__ import annotations

from html import escape
from typing import Any, Final

import plotly.graph_objects as go

from monitor.scoreboard import words
from monitor.scoreboard.results import FamilyBoard, Rate, ScenarioBoard, Scoreboard

INK, MUTED, RULE = "#18202a", "#525e6b", "#e3e8ed"
COLOURS: Final = ("#0072b2", "#8a949e", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")
"""Okabe and Ito's; ours is the first, and the fixed thresholds are grey."""
MARKS: Final = ("circle", "x", "square", "diamond", "triangle-up", "triangle-down")
HEAT: Final = ((0.0, "#f7f4e6"), (0.5, "#b9b06f"), (1.0, "#00224e"))
_ROW: Final = 26
_DODGED_ROW: Final = 38
"""Pixels of a scenario."""
_DODGE: Final = 0.13
"""Rows between two methods of a scenario."""


def precision(board: Scoreboard) -> go.Figure:
    """Average precision by family and method: bars of the mean, whiskers from the least to the most of the seeds."""
    families = [family for family in board.families if family.events]
    figure = _figure(360)
    for colour, method in zip(COLOURS, _methods(board), strict=True):
        spreads = [next(one for one in family.methods if one.method == method).average_precision for family in families]
        up = [0.0 if s.mean is None or s.high is None else s.high - s.mean for s in spreads]
        down = [0.0 if s.mean is None or s.low is None else s.mean - s.low for s in spreads]
        figure.add_bar(
            x=[escape(family.family) for family in families],
            y=[s.mean for s in spreads],
            name=escape(method),
            marker_color=colour,
            error_y={"array": up, "arrayminus": down, "thickness": 1, "width": 2, "color": MUTED},
        )
    figure.update_layout(barmode="group", bargap=0.25, bargroupgap=0.05)
    figure.update_yaxes(title="average precision", range=[0, 1.02])
    return figure


def recall(board: Scoreboard) -> go.Figure:
    """Event recall by scenario and method, as a heat map with the counts in its cells."""
    rows = _harmful(board)
    methods = _methods(board)
    shares = [[one.recall for one in row.methods] for row in rows]
    figure = _figure(120 + _ROW * len(rows))
    figure.add_heatmap(
        x=[escape(method) for method in methods],
        y=[_label(row) for row in rows],
        z=[[share.share for share in line] for line in shares],
        text=[[words.NONE if share.share is None else f"{share.hits}/{share.of}" for share in line] for line in shares],
        texttemplate="%{text}",
        zmin=0,
        zmax=1,
        colorscale=[list(stop) for stop in HEAT],
        xgap=2,
        ygap=2,
        colorbar={"title": "recall", "thickness": 12, "outlinewidth": 0},
        hovertemplate="%{y}<br>%{x}: %{text}<extra></extra>",
    )
    figure.update_xaxes(side="top", showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def delay(board: Scoreboard) -> go.Figure:
    """Median detection delay by scenario and method; a scenario's marks stand a little under each other."""
    rows = _harmful(board)
    figure = _figure(150 + _DODGED_ROW * len(rows))
    methods = _methods(board)
    for place, method in enumerate(methods):
        found = [(at, row.methods[place].delay_windows) for at, row in enumerate(rows)]
        found = [(at, spread) for at, spread in found if spread.count]
        figure.add_scatter(
            x=[spread.median for _, spread in found],
            y=[at + _DODGE * (place - (len(methods) - 1) / 2) for at, _ in found],
            mode="markers",
            name=escape(method),
            marker={"color": COLOURS[place], "symbol": MARKS[place], "size": 11 if place == 0 else 9},
            text=[f"{_label(rows[at])}: {spread.median:g} windows, {spread.count} detected" for at, spread in found],
            hovertemplate="%{text}<extra>" + escape(method) + "</extra>",
        )
    latest = max((one.delay_windows.median or 0.0 for row in rows for one in row.methods), default=0.0)
    figure.update_xaxes(
        title="windows from start to first alarm, median of the detected", range=[-0.03 * latest - 0.3, 1.03 * latest + 0.3]
    )
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=[_label(row) for row in rows], range=[len(rows) - 0.4, -0.6], showgrid=False
    )
    for at in range(1, len(rows)):
        figure.add_hline(y=at - 0.5, line_color=RULE, line_width=1)
    return figure


def rates(board: Scoreboard) -> go.Figure:
    """Realised against stated false-alarm rate on quiet windows, both logarithmic, with the line on which they agree."""
    families = [family for family in board.families if family.rates]
    figure = _figure(420)
    ends = [3e-5, 3e-2]
    figure.add_scatter(x=ends, y=ends, mode="lines", name="as stated", line={"color": MUTED, "width": 1, "dash": "dash"})
    colours = (COLOURS[0], COLOURS[2], COLOURS[3], COLOURS[4])
    for place, (family, colour) in enumerate(zip(families, colours, strict=True)):
        # Families stand a little beside each other, or their intervals would hide one another.
        shift = 1.12 ** (place - (len(families) - 1) / 2)
        _add_rates(figure, family, colour, MARKS[2 * (place % 2)], shift)
    decades = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    told = [f"{rate:.6f}".rstrip("0") for rate in decades]
    figure.update_xaxes(type="log", title="stated false-alarm rate", range=[-4.5, -1.5], tickvals=decades, ticktext=told)
    figure.update_yaxes(type="log", title="realised on quiet windows", tickvals=decades, ticktext=told)
    return figure


def _add_rates(figure: go.Figure, family: FamilyBoard, colour: str, mark: str, shift: float) -> None:
    known = [rate for rate in family.rates if rate.windows]
    figure.add_scatter(
        x=[rate.stated * shift for rate in known],
        y=[_height(rate) for rate in known],
        mode="markers",
        name=escape(family.family),
        marker={"color": colour, "size": 9, "symbol": [mark if rate.hits else "triangle-down-open" for rate in known]},
        error_y={
            "array": [rate.high - _height(rate) for rate in known],
            "arrayminus": [_height(rate) - rate.low if rate.hits else 0.0 for rate in known],
            "thickness": 1,
            "width": 4,
        },
        text=[f"{rate.hits:,} of {rate.windows:,}" for rate in known],
        hovertemplate="%{text}<extra>" + escape(family.family) + "</extra>",
    )


def _height(rate: Rate) -> float:
    """Where a rate is drawn: none at all has no place on a logarithmic axis, and stands at its upper bound."""
    return rate.realised if rate.realised else rate.high


def _figure(height: int) -> go.Figure:
    figure = go.Figure()
    axis: dict[str, Any] = {"gridcolor": RULE, "linecolor": RULE, "zeroline": False, "automargin": True}
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 40, "b": 10},
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        xaxis=axis,
        yaxis=axis,
    )
    return figure


def _methods(board: Scoreboard) -> list[str]:
    return [one.method for one in board.families[0].methods]


def _harmful(board: Scoreboard) -> list[ScenarioBoard]:
    return [row for row in board.scenarios if not row.benign]


def _label(row: ScenarioBoard) -> str:
    return escape(f"{row.scenario} · {row.family}")
