"""A row of buttons of which one is pressed."""

from __future__ import annotations

from collections.abc import Mapping

from dash import html

from dashboards.components.attributes import attributes


def choice(name: str, label: str, options: Mapping[str, str]) -> html.Div:
    """`options`: value → words. The script keeps the pressed one, and the page's address with it."""
    return html.Div(
        [
            html.Button(
                words, className="choice", type="button", **attributes(data_choice=name, data_value=value, aria_pressed="false")
            )
            for value, words in options.items()
        ],
        className="choices",
        role="group",
        **attributes(aria_label=label),
    )
