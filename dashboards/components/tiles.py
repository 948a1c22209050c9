"""The five guardrail tiles in layer order: what is deterministically broken?"""

from __future__ import annotations

from dash import html

from dashboards.components.attributes import attributes
from dashboards.freshness import LAYERS


def tiles() -> html.Section:
    return html.Section(
        [
            html.H2("Guardrails", className="unseen"),
            html.Ol([_tile(place, layer) for place, layer in enumerate(LAYERS, 1)], className="tiles"),
        ],
        **attributes(aria_label="Guardrails by layer"),
    )


def _tile(place: int, layer: str) -> html.Li:
    return html.Li(
        [
            html.Div(
                [
                    html.Span(str(place), className="tile-place", **attributes(aria_hidden="true")),
                    html.Span(layer, className="tile-layer"),
                    html.Span(className="shape", **attributes(aria_hidden="true")),
                    html.Span("UNKNOWN", className="tile-word"),
                ],
                className="tile-head",
            ),
            html.Div(className="tile-what"),
            html.Div("no window has arrived yet", className="tile-text"),
            html.Div(className="tile-rests"),
        ],
        id=f"tile-{layer}",
        className="tile",
        **attributes(data_state="unknown"),
    )
