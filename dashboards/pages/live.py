"""`/`: what is happening now, in the order in which a person on call asks."""

from __future__ import annotations

from dash import html

from dashboards.components.drill import drill
from dashboards.components.market import book, heatmap, prices
from dashboards.components.ranked import ranked
from dashboards.components.strip import banner, speech, strip
from dashboards.components.tiles import tiles
from dashboards.components.why import why


def layout(run_id: str) -> html.Div:
    """The page's frame; everything in it comes from the stream."""
    keys = ("j", "k", "next, previous"), ("Enter", "why"), ("Esc", "back to the top of the list")
    hints = [[html.Kbd(key) for key in hint[:-1]] + [html.Span(hint[-1])] for hint in keys]
    return html.Div(
        [
            html.A("Skip to the ranked anomalies", href="#ranked-panel", className="skip"),
            strip(run_id),
            banner(),
            html.Main(
                [
                    tiles(),
                    html.Div([ranked(), why()], className="row row-why"),
                    html.Div([heatmap(), prices(), book()], className="row row-where"),
                ]
            ),
            html.Footer([*(part for hint in hints for part in hint), drill()], className="keys"),
            *speech(),
        ],
        id="board",
        className="board",
    )
