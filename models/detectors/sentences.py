"""A feature's number and what was expected of it, as people say it."""

from __future__ import annotations

from typing import Final

from models.features import Side

_UNITS: Final = {"bps": " bps", "ms": " ms", "usd": " USD", "x": "x", "ratio": "", "share": "", "count": ""}


def sentence(
    name: str, value: float | None, low: float | None, high: float | None, unit: str, seconds: float, side: Side
) -> str:
    """E.g. "cancels 9.4 a second against 2.1 to 3.8 expected"; of a one-sided feature only the end that counts is told.

    `seconds` is the window's length: counts are told a second. Raises KeyError for a unit that has no word.
    """
    words = name.replace("_bps", "").replace("_ms", "").replace("_usd", "").replace("_", " ")
    if value is None:
        return f"{words} missing"
    per, a_second = (seconds, " a second") if unit == "count" else (1.0, "")

    def told(x: float) -> str:
        return f"{100.0 * x:.3g}%" if unit == "share" else f"{_short(x / per)}{_UNITS[unit]}"

    if low is None or high is None:
        return f"{words} {told(value)}{a_second}"
    if side == Side.HIGH:
        expected = f"at most {told(high)}"
    elif side == Side.LOW:
        expected = f"at least {told(low)}"
    else:
        expected = f"{told(low)} to {told(high)}"
    return f"{words} {told(value)}{a_second} against {expected} expected"


def _short(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 1000.0 else f"{x:.3g}"
