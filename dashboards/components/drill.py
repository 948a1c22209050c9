"""Asking for a drill: which one, how strong, where, and a button. Hidden where there is none to ask for."""

from __future__ import annotations

from dash import html

from dashboards.components.attributes import attributes


def drill() -> html.Details:
    """The script fills the lists (`60-drill.js`)."""
    return html.Details(
        [
            html.Summary("Drill…"),
            html.Div(
                [
                    html.P(
                        "Makes the built-in venue go through a scenario. Everything it causes is marked DRILL.",
                        className="quiet",
                    ),
                    _field("Scenario", html.Select([], id="drill-name")),
                    html.P(id="drill-says", className="drill-says"),
                    _field("Market", html.Select([html.Option("any", value="")], id="drill-symbol")),
                    _field(
                        "Strength",
                        html.Select(
                            [
                                html.Option(words, value=value)
                                for value, words in (("1", "usual"), ("0.5", "half"), ("2", "double"))
                            ],
                            id="drill-strength",
                        ),
                    ),
                    html.Div(
                        [
                            html.Button("Start drill", id="drill-start", className="drill-start", type="button"),
                            html.Span(id="drill-answer", className="quiet", role="status"),
                        ],
                        className="drill-row",
                    ),
                ],
                className="drill-body",
            ),
        ],
        id="drill",
        className="drill",
        hidden=True,
    )


def _field(name: str, control: html.Select) -> html.Label:
    return html.Label([html.Span(name), control], className="drill-row", **attributes(data_field=name.lower()))
