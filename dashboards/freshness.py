"""What the board may claim: whether figures are current enough to be believed, and the five guardrail tiles.

Pure: the caller passes ages. The same rule runs again in the browser (`assets/20-freshness.js`), because there the
connection itself can be lost; a browser test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from dashboards.words import clean, clean_symbol, label, quantity

STALE_MS: Final = 3_000
"""Data older than this is not shown as true: its tile turns to UNKNOWN."""

LAYERS: Final = ("data", "pricing", "margin", "execution", "post-trade")
"""Troubleshooting order; what stands to the right rests on what stands to the left."""

SEVERITY: Final = {"halt": 4, "breach": 3, "warn": 2, "unknown": 1, "ok": 0}
RED: Final = 3
"""From this severity on a layer is broken, and what stands to its right rests on it."""

ENDED: Final = "the run has ended"

ROLES: Final = ("feed", "guard", "score", "rank")


class Status(msgspec.Struct):
    """What is known about the sources of the figures at one moment.

    `ages_ms`: time since each role was last *seen to advance* by one window; None until that has been seen, so that a
    board started beside a dead pipeline never takes its last words for fresh. `guard_lag_ms`: how far, in event time,
    the verdicts are behind the newest metrics.
    """

    run_id: str
    mode: str | None = None
    """HISTORY, LIVE, DRILL or REPLAY; None before the first window."""
    ended: bool = False
    store_ok: bool = False
    store_down_ms: float | None = None
    event_time_ms: float | None = None
    guard_lag_ms: float = 0.0
    faults: dict[str, int] = {}
    """Input that feed could not use as it came, by kind, since the start of the run."""
    ages_ms: dict[str, float | None] = msgspec.field(default_factory=lambda: dict.fromkeys(ROLES))


def doubt(status: Status) -> str | None:
    """Why guardrail verdicts cannot be believed now, in words; None when they can."""
    if not status.store_ok:
        return "the data store does not answer"
    if status.mode is None:
        return "no window has arrived yet"
    if status.ended:
        return ENDED
    if status.mode == "HISTORY":
        return "catching up on history"
    for role in ("feed", "guard"):
        age = status.ages_ms.get(role)
        if age is None:
            return f"{role} has not been seen to advance"
        if age > STALE_MS:
            return f"{role} is silent"
    if status.mode in ("LIVE", "DRILL") and status.guard_lag_ms > STALE_MS:
        return "guard is behind the feed"
    return None


def _describe(verdict: Mapping[str, Any]) -> str:
    text = verdict.get("text")
    if text:
        return clean(text)
    unit = str(verdict.get("unit") or "")
    return f"{quantity(verdict.get('value'), unit)} against a limit of {quantity(verdict.get('limit'), unit)}"


def worst_first(states: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Verdicts that are not ok, worst and then longest standing first, as shown: names cleaned, times in ms."""
    rows = [
        {
            "layer": state["layer"],
            "state": state["state"] if state["state"] in SEVERITY else "unknown",
            "rule": label(str(state["rule"]).replace("-", "_")),
            "symbol": clean_symbol(state["symbol"]) if state.get("symbol") else "",
            "since_ms": (state.get("since_ns") or 0) / 1e6,
            "text": _describe(state),
        }
        for state in states
        if state["state"] != "ok"
    ]
    rows.sort(key=lambda row: (-SEVERITY[row["state"]], row["since_ms"], row["rule"], row["symbol"]))
    return rows


def tiles(states: Iterable[Mapping[str, Any]], reason: str | None) -> list[dict[str, Any]]:
    """The five tiles in layer order.

    `states`: guard's present verdicts (`rule`, `symbol`, `layer`, `state`, …); `reason`: what `doubt` says. A tile is
    ok only if every verdict of its layer is ok and nothing is in doubt. Symbols whose data layer is red count as
    unknown in the layers to the right, and any red layer is named in `rests_on` of those.
    """
    by_layer: dict[str, list[Mapping[str, Any]]] = {layer: [] for layer in LAYERS}
    for state in states:
        if state["layer"] in by_layer:
            by_layer[state["layer"]].append(state)
    blind = {s["symbol"] for s in by_layer["data"] if SEVERITY.get(s["state"], 1) >= RED}
    out: list[dict[str, Any]] = []
    broken: str | None = None
    for layer in LAYERS:
        judged: list[Mapping[str, Any]] = by_layer[layer]
        if layer != "data" and blind:
            judged = [_demoted(s) if s["symbol"] in blind and s["state"] == "ok" else s for s in judged]
        tile = _tile(layer, judged, reason)
        tile["rests_on"] = broken if reason is None else None
        if broken is None and SEVERITY[tile["state"]] >= RED:
            broken = f"rests on broken {layer}: {tile['rule']}"
        out.append(tile)
    return out


def _demoted(state: Mapping[str, Any]) -> dict[str, Any]:
    return {**state, "state": "unknown", "text": "ok by its own rule, but its data is broken"}


def _tile(layer: str, states: list[Mapping[str, Any]], reason: str | None) -> dict[str, Any]:
    tile: dict[str, Any] = {
        "layer": layer,
        "state": "unknown",
        "rule": "",
        "symbols": [],
        "more": 0,
        "text": "",
        "since_ms": None,
        "rules": len({state["rule"] for state in states}),
    }
    if not states:
        tile["text"] = reason or "no rule watches this layer in this run"
        return tile
    troubled = worst_first(states)
    if reason is not None:
        tile["text"] = reason
        if troubled and SEVERITY[troubled[0]["state"]] > SEVERITY["unknown"]:
            tile["text"] += f"; last known: {troubled[0]['state']}, {troubled[0]['rule']}"
        elif reason == ENDED and not troubled:
            # Who reviews a recording wants its last verdict, too; who watches a market must not read an old "ok".
            tile["text"] += "; its last verdict: ok"
        return tile
    if not troubled:
        tile["state"] = "ok"
        tile["text"] = f"{tile['rules']} rule{'s' * (tile['rules'] != 1)} on {len({s['symbol'] for s in states})} symbols"
        return tile
    first = troubled[0]
    symbols = [row["symbol"] or "all" for row in troubled if row["rule"] == first["rule"] and row["state"] == first["state"]]
    others = len({row["rule"] for row in troubled}) - 1
    tile.update(
        state=first["state"],
        rule=first["rule"],
        symbols=symbols[:3],
        more=max(0, len(symbols) - 3),
        text=first["text"] + (f"; {others} more rule{'s' * (others != 1)} not ok" if others else ""),
        since_ms=first["since_ms"],
    )
    return tile
