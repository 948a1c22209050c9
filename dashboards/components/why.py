"""Why the chosen event is unusual: its contributions, which add up to the score, and the accounts behind it."""

from __future__ import annotations

from dash import html

from dashboards.components.attributes import attributes


def why() -> html.Section:
    head = [
        html.Th("driver", scope="col"),
        html.Th("now", scope="col", className="figure"),
        html.Th("expected", scope="col", className="figure"),
        html.Th("share", scope="col", className="bars"),
        html.Th("adds", scope="col", className="figure"),
    ]
    return html.Section(
        [
            html.Div([html.H2("Why"), html.Span(id="why-title", className="why-title")], className="panel-head"),
            html.Div("choose a row: click it, or use j and k", id="why-empty", className="empty"),
            html.Div(
                [
                    html.P(id="why-sentence", className="why-sentence"),
                    html.P(id="why-odds", className="why-odds"),
                    html.Div(
                        [html.H3("In this event"), html.Ol(id="why-members", className="accounts")],
                        id="why-members-box",
                        className="why-side",
                    ),
                    html.Div(
                        [html.H3("Accounts behind it"), html.Ul(id="why-accounts", className="accounts")], className="why-side"
                    ),
                    html.Div([html.H3("Guardrails on this symbol"), html.P(id="why-rails")], className="why-side"),
                    html.Div(
                        html.Table(
                            [
                                html.Caption("Contributions to the score", className="unseen"),
                                html.Thead(html.Tr(head)),
                                html.Tbody(id="why-parts"),
                                html.Tfoot(
                                    html.Tr(
                                        [
                                            html.Th("score", scope="row", colSpan=3),
                                            html.Td(className="bars"),
                                            html.Td(id="why-score", className="figure"),
                                        ]
                                    )
                                ),
                            ],
                            className="parts",
                        ),
                        className="parts-box",
                    ),
                ],
                id="why-body",
                className="why-body",
                hidden=True,
            ),
        ],
        id="why-panel",
        className="panel",
        tabIndex="-1",
        **attributes(aria_label="Why the chosen anomaly is unusual"),
    )
