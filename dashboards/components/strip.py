"""The trust strip: is the screen true? Ages of the roles, the viewer's own delay, mode, event time, run."""

from __future__ import annotations

from dash import html

from dashboards.components.attributes import attributes
from dashboards.freshness import ROLES


def strip(run_id: str) -> html.Header:
    """The strip, with the banner under it that stays hidden while all is well."""
    ages = [
        html.Div([html.Dt(role), html.Dd([_shape(), html.Span("–", className="age-text")])], id=f"age-{role}", className="age")
        for role in ROLES
    ]
    delay = html.Div(
        [html.Dt("screen"), html.Dd(html.Span("–", id="delay"))], className="age", title="from the server's send to this screen"
    )
    return html.Header(
        [
            html.H1("Perpwatch", className="brand"),
            html.Span("CONNECTING", id="mode", className="mode"),
            html.Div(
                [html.Span("–", id="event-time", className="clock"), html.Span("UTC", className="zone")],
                className="when",
                title="event time",
            ),
            html.Dl([*ages, delay], className="ages", **attributes(aria_label="age of what each part of the system said last")),
            html.Div(id="feed-faults", className="faults"),
            html.Div([html.Span("run ", className="quiet"), html.Span(run_id, id="run-id")], className="run"),
        ],
        className="strip",
    )


def banner() -> html.Div:
    return html.Div([_shape(), html.Span(id="banner-text")], id="banner", className="banner", hidden=True)


def speech() -> list[html.Div]:
    """The page's two live regions: counts politely; breaches and feed loss at once. Row ticks are never announced."""
    return [
        html.Div(id="say-politely", className="unseen", role="status", **attributes(aria_live="polite")),
        html.Div(id="say-now", className="unseen", role="alert", **attributes(aria_live="assertive")),
    ]


def _shape() -> html.Span:
    return html.Span(className="shape", **attributes(aria_hidden="true"))
