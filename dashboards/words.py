"""Figures and names as a tired person reads them: units, ranges, rates, and text that cannot harm the screen.

Everything that comes from a venue (symbols, accounts, rule texts) passes `clean`; the client then writes it with
`textContent` only.
"""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from typing import Final

from monitor.metrics.catalogue import CATALOGUE

TEXT_LIMIT: Final = 120
"""Longest text shown, in characters. Longer ones end in an ellipsis."""

SYMBOL_PATTERN: Final = re.compile(r"[A-Za-z0-9._:/-]{1,32}")
"""The names a venue may give its symbols; anything else is shown in a defused form."""

_BOUNDLESS: Final = 1e15

_UNITS: Final = {metric.name: metric.unit for metric in CATALOGUE}

_LABELS: Final = {
    "exposure_usd": "leverage-weighted exposure added",
    "taken_lots": "aggressive volume",
    "near_cancelled_lots": "lots cancelled near the touch",
    "forced_lots": "forced lots",
    "position_lots": "open interest",
    "reduced_lots": "positions closed",
    "withdrawn_usd": "withdrawals",
    "cancels_near": "cancels near the touch",
    "cancels_buy": "bid-side cancels",
    "cancels_sell": "ask-side cancels",
    "fleeting_cancels": "cancels within 100 ms",
    "top_cancel_share": "largest account's share of cancels",
    "top_position_share": "largest account's share of open interest",
    "lifetime_p50_ms": "median quote lifetime",
    "depth_bid_5_usd": "bid depth, five levels",
    "depth_ask_5_usd": "ask depth, five levels",
    "depth_bid_10bps_usd": "bid depth within 10 bps",
    "depth_ask_10bps_usd": "ask depth within 10 bps",
    "levels_10bps": "levels within 10 bps",
    "slippage_buy_bps": "cost of buying the usual depth",
    "slippage_sell_bps": "cost of selling the usual depth",
    "slippage_2x_bps": "cost of twice the usual depth",
    "ofi_lots": "order-flow imbalance",
    "leverage_p50": "median leverage",
    "leverage_p90": "leverage, 90th percentile",
    "leverage_weighted": "weighted leverage",
    "leverage_new": "leverage of new positions",
    "underwater": "accounts under water",
    "hhi_open_interest": "concentration of open interest",
    "mark_index_bps": "mark away from index",
    "mark_last_bps": "mark away from last",
    "mid_index_bps": "mid away from index",
    "realised_vol_bps": "realised volatility",
    "cancel_to_trade_ratio": "cancels per trade",
    "top_account_cancels": "largest account's cancels",
    "one_sided_cancels": "one-sidedness of cancels",
    "depth_5_usd": "depth, five levels",
    "slippage_bps": "cost of the usual depth",
    "leverage_weighted_change_bps": "change of weighted leverage",
    "open_interest_change_bps": "change of open interest",
}
"""Plain words for the metrics and features whose name alone does not say them."""


def clean(text: object, limit: int = TEXT_LIMIT) -> str:
    """`text` without control, format (bidirectional, zero-width), surrogate and private characters, at most `limit` long."""
    kept = "".join(c for c in str(text) if unicodedata.category(c)[0] != "C")
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def clean_symbol(name: object) -> str:
    """A symbol's name to show and to key by. One outside the allow-list is cleaned and marked with a checksum of the raw
    name, so that two different names never look alike."""
    raw = str(name)
    if SYMBOL_PATTERN.fullmatch(raw):
        return raw
    checksum = zlib.crc32(raw.encode("utf-8", "surrogatepass"))
    return f"{clean(raw, 32)}~{checksum:08x}"


def label(name: str, unit: str = "") -> str:
    """A metric, feature or rule in words: `cancels_near` → "cancels near the touch"; others lose underscores and unit."""
    if name in _LABELS:
        return _LABELS[name]
    unit = unit or _UNITS.get(name, "")
    # "added lots" without its lots is no noun.
    short = name.removesuffix(f"_{unit}") if unit and unit != "lots" else name
    return clean(short.replace("_", " "))


def number(value: float) -> str:
    """Three significant figures without a trailing zero tail: 0.0312, 14.2, 1,240, 3.4M."""
    magnitude = abs(value)
    if not math.isfinite(value):
        return "–"
    if magnitude >= 1e9:
        return f"{value / 1e9:,.3g}B" if magnitude < 1e12 else f"{value:.2e}"
    if magnitude >= 1e6:
        return f"{value / 1e6:,.3g}M"
    if magnitude >= 100:
        return f"{value:,.0f}"
    if magnitude >= 1e-3 or magnitude == 0:
        return f"{value:.3g}"
    return f"{value:.1e}"


def quantity(value: float | None, unit: str) -> str:
    """A value with its unit: "$1.2M", "62%", "14.2 bps", "412". None or not finite: an en dash."""
    if value is None or not math.isfinite(value):
        return "–"
    unit = clean(unit, 16)
    if unit == "usd":
        size = abs(value)
        return ("−" if value < 0 else "") + "$" + (f"{size / 1e3:.3g}k" if 1e4 <= size < 999_500 else number(size))
    if unit == "share":
        return f"{value * 100:.3g}%"
    # Of a count a decimal is enough: "0 to 3.9", not "0.0151 to 3.88".
    text = (f"{value:.1f}".removesuffix(".0") if unit == "count" and abs(value) < 100 else number(value)).replace("-", "−")
    if unit in ("", "count", "ratio", "index"):
        return text
    return f"{text}×" if unit == "x" else f"{text} {unit}"


def expected(low: float | None, high: float | None, unit: str) -> str:
    """An expected range: "3 to 19", "under 19", "over 3", or an en dash when nothing is expected.

    A bound beyond 1e15 (or within 1e-15 of zero) is none: a model that has learnt nothing yet allows everything.
    """
    if low is not None and abs(low) < 1 / _BOUNDLESS:
        low = 0.0
    low, high = (bound if bound is not None and abs(bound) < _BOUNDLESS else None for bound in (low, high))
    if low is not None and high is not None:
        # "3 to 19 bps", but "2% to 31%": a sign belongs to its number, a word to the whole.
        first = quantity(low, unit)
        return f"{first.removesuffix(f' {unit}')} to {quantity(high, unit)}"
    if high is not None:
        return f"under {quantity(high, unit)}"
    return f"over {quantity(low, unit)}" if low else "–"


def driver(contribution: dict[str, object]) -> str:
    """One contribution as a clause: "cancels near the touch 412, expected 3 to 19". Keys as in `models.anomaly`."""
    unit = str(contribution.get("unit") or "")
    text = f"{label(str(contribution.get('feature')), unit)} {quantity(as_float(contribution.get('value')), unit)}"
    usual = expected(as_float(contribution.get("expected_low")), as_float(contribution.get("expected_high")), unit)
    return text if usual == "–" else f"{text}, expected {usual}"


def as_float(value: object) -> float | None:
    """`value` as a finite float, or None for anything else (missing, text, NaN, infinite)."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def rate(false_alarm_rate: float) -> str:
    """A false-alarm rate: "3.1e-06"."""
    return f"{false_alarm_rate:.1e}"


def rarity(share_lower: float) -> str:
    """A rarity (share of all scores seen that were lower) as the part at or above it: "top 0.03%"."""
    above = (1.0 - share_lower) * 100
    return "highest" if above <= 0 else f"top {above:.2g}%" if above >= 0.01 else f"top {above:.1g}%"


def once_in(false_alarm_rate: float) -> str:
    """A false-alarm rate as people say it: "about 1 window in 320,000"."""
    if false_alarm_rate <= 0:
        return "rarer than the model can tell"
    windows = 1 / false_alarm_rate
    if windows >= 1e9:
        return f"less than 1 window in {number(10.0 ** math.floor(math.log10(windows)))}"
    digits = max(0, math.floor(math.log10(windows)) - 1)
    return f"about 1 window in {round(windows, -digits):,.0f}"
