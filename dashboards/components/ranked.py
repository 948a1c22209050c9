"""The ranked anomalies: one row an event, by false-alarm rate ascending, then score descending."""

from __future__ import annotations

from typing import Any, Final

from dash import html
from dash_ag_grid import AgGrid

from dashboards.components.attributes import attributes
from dashboards.components.choice import choice

FAMILIES: Final = ("cancels", "depth", "leverage", "prices", "market")
RANGES: Final = {"10m": "10 min", "1h": "1 h", "run": "run"}


def ranked() -> html.Section:
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Ranked anomalies"),
                    html.Span(id="ranked-count", className="quiet"),
                    html.Span(id="ranked-held", className="held", hidden=True),
                    choice("family", "Family", {"": "all", **{name: name for name in FAMILIES}}),
                    choice("range", "Range", RANGES),
                ],
                className="panel-head",
            ),
            html.Div(id="ranked-stale", className="panel-note", hidden=True),
            html.Div(_grid(), className="grid-box"),
            html.Div("no anomaly in this range", id="ranked-empty", className="empty", hidden=True),
            html.Div(id="ranked-odds", className="quiet odds"),
        ],
        id="ranked-panel",
        className="panel",
        **attributes(aria_label="Ranked anomalies"),
    )


def _column(field: str, name: str, width: int, tip: str, **more: Any) -> dict[str, Any]:
    return {"field": field, "headerName": name, "width": width, "headerTooltip": tip, **more}


def _grid() -> AgGrid:
    right = {"type": "rightAligned"}
    return AgGrid(
        id="ranked",
        className="ranked-grid",
        # No rowData and no selection: the component would report each change of either to Dash, which keeps every state a
        # property ever had. Rows come as transactions, and being chosen is data.
        getRowId="params.data.id",
        columnDefs=[
            # Rank is data: the order is the column's, never the row's index.
            _column("rank", "#", 36, "place by false-alarm rate, then score", sort="asc", **right),
            _column("symbol", "Symbol", 98, "symbol"),
            _column("family", "Family", 76, "metric family that spoke"),
            _column("far_text", "FAR", 72, "false-alarm rate: share of quiet windows that would look this unusual", **right),
            _column("score_text", "Score", 60, "unusualness; the contributions add up to it", **right),
            _column("driver", "First driver", 240, "largest contribution", flex=1, minWidth=150, tooltipField="driver"),
            _column("time", "Peak UTC", 76, "end of the strongest window", **right),
            _column("window", "Window", 64, "length of the window that spoke loudest", **right),
            _column("rarity_text", "Rarity", 96, "rank among all that was seen", **right),
            _column("age", "Age", 58, "since the event last showed", **right),
        ],
        defaultColDef={"sortable": False, "resizable": True, "suppressMovable": True, "suppressHeaderMenuButton": True},
        dashGridOptions={
            "loading": False,
            "rowClassRules": {"chosen": "params.data.chosen"},
            "rowHeight": 30,
            "headerHeight": 30,
            "animateRows": False,
            "suppressCellFocus": False,
            "tooltipShowDelay": 500,
            "suppressNoRowsOverlay": True,
            "ensureDomOrder": True,
        },
        style={"height": "100%", "width": "100%"},
    )
