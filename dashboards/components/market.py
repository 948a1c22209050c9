"""Where and when: the heatmap over symbols and time; the chosen symbol's prices and book."""

from __future__ import annotations

from dash import html

from dashboards.components.attributes import attributes
from dashboards.readmodel import BOOK_LEVELS


def heatmap() -> html.Section:
    return html.Section(
        [
            html.Div(
                [html.H2("Symbols × time"), html.Span("last 10 min by false-alarm rate; blank: no data", className="quiet")],
                className="panel-head",
            ),
            html.Div(id="heatmap", className="plot", role="img", **attributes(aria_label="Heatmap of anomalies")),
        ],
        id="heatmap-panel",
        className="panel",
    )


def prices() -> html.Section:
    return html.Section(
        [
            html.Div([html.H2("Prices"), html.Span(id="prices-title", className="named")], className="panel-head"),
            html.Div(id="prices", className="plot", role="img", **attributes(aria_label="Index, mark and last price")),
            html.Div("no price yet", id="prices-empty", className="empty"),
        ],
        id="prices-panel",
        className="panel",
    )


def book() -> html.Section:
    """A ladder: asks above, best in the middle, bids below; the bar is the level's size."""

    def level(side: str, place: int) -> html.Tr:
        return html.Tr(
            [
                html.Td(className="figure price"),
                html.Td(className="figure size"),
                html.Td(html.Div(className="bar"), className="depth"),
            ],
            id=f"{side}-{place}",
            className=f"level {side} place-{place}",
        )

    spread = html.Tr(
        [html.Th("spread", scope="row", className="figure"), html.Td(id="book-spread", colSpan=2)], className="spread"
    )
    head = html.Tr(
        [
            html.Th("price", scope="col", className="figure"),
            html.Th("lots", scope="col", className="figure"),
            html.Th("depth", scope="col"),
        ]
    )
    return html.Section(
        [
            html.Div([html.H2("Book"), html.Span(id="book-title", className="named")], className="panel-head"),
            html.Div(
                html.Table(
                    [
                        html.Caption("Best levels of the book", className="unseen"),
                        html.Thead(head),
                        html.Tbody([level("ask", place) for place in reversed(range(BOOK_LEVELS))]),
                        html.Tbody(spread),
                        html.Tbody([level("bid", place) for place in range(BOOK_LEVELS)]),
                    ],
                    className="ladder",
                ),
                id="book",
                className="ladder-box",
            ),
            html.Div("no book yet", id="book-empty", className="empty"),
        ],
        id="book-panel",
        className="panel",
    )
