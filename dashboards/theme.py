"""Colours of both themes in one place: the page's CSS variables, which the scripts read too.

Hues are Okabe and Ito's, moved in lightness until text on its background reaches 4.5 : 1 (a test computes it). Red means
breach or halt and nothing else. The heatmap runs from the page's own ground into Cividis, so that quiet looks quiet.
"""

from __future__ import annotations

from typing import Final

DARK: Final = {
    "ground": "#0e1217",
    "surface": "#161c23",
    "raised": "#1f2730",
    "line": "#2c3641",
    "text": "#e7ebf0",
    "muted": "#a2aebb",
    "focus": "#6cc0f0",
    "ok": "#35c498",
    "warn": "#eeb02e",
    "breach": "#ff7d55",
    "unknown": "#a2aebb",
    "fill": "#21303c",
    "part-up": "#d9a441",
    "part-down": "#6aa9d8",
    "bid": "#5bb4e5",
    "ask": "#d78fb8",
    "index": "#5bb4e5",
    "mark": "#eeb02e",
    "last": "#d78fb8",
    "mid": "#a2aebb",
    "heat-0": "#1d2731",
    "heat-1": "#1f3f73",
    "heat-2": "#575d6d",
    "heat-3": "#8a8678",
    "heat-4": "#c4b56c",
    "heat-5": "#fee838",
}

LIGHT: Final = {
    "ground": "#f3f5f7",
    "surface": "#ffffff",
    "raised": "#eceff3",
    "line": "#d3dae1",
    "text": "#18202a",
    "muted": "#525e6b",
    "focus": "#0067a3",
    "ok": "#00704f",
    "warn": "#865400",
    "breach": "#b53500",
    "unknown": "#525e6b",
    "fill": "#e3ebf2",
    "part-up": "#c58a1c",
    "part-down": "#3f86b8",
    "bid": "#00629c",
    "ask": "#98416f",
    "index": "#00629c",
    "mark": "#946000",
    "last": "#98416f",
    "mid": "#525e6b",
    "heat-0": "#eef1f4",
    "heat-1": "#e7e1c3",
    "heat-2": "#d0c484",
    "heat-3": "#979070",
    "heat-4": "#565c6c",
    "heat-5": "#00224e",
}

TEXT_COLOURS: Final = ("text", "muted", "focus", "ok", "warn", "breach", "unknown", "bid", "ask")
"""Those that text is written in, on `ground`, `surface` and `raised`."""


def css() -> str:
    """The variables as CSS: light by default, dark where the operating system asks for it."""

    def block(palette: dict[str, str]) -> str:
        return ":root{" + "".join(f"--{name}:{value};" for name, value in palette.items()) + "}"

    return f"{block(LIGHT)}@media (prefers-color-scheme: dark){{{block(DARK)}}}"
