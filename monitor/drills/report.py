"""What became of one drill: read from the folder that its run left, label by label."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

REPORT: Final = "report.json"
ALARM: Final = 1e-3
"""False-alarm rate at or below which a line counts as an alarm, unless it was expected."""

GRACE_NS: Final = 10_000_000_000
"""How long after a label's end a line still counts as its own: windows of up to a minute end later than what they show."""

SCHEMA_VERSION: Final = 1


def report(folder: Path, name: str, seed: int, strength: float) -> dict[str, Any]:
    """The report of the drill whose results lie in `folder`; JSON without NaN.

    Of each label: the first alarm of its family and symbol, the best line of its symbol in any family with its place
    among all lines of that family in the live part, the first guardrail verdict that was not ok, the first liquidation;
    times are seconds after the label's start. Raises OSError where a file is missing.
    """
    labels, lines, verdicts = (_read(folder / f"{part}.jsonl") for part in ("labels", "anomalies", "verdicts"))
    live = [line for line in lines if line["phase"] != "HISTORY"]
    rows = pl.read_parquet(folder / "metrics.parquet", columns=["window_end_ns", "symbol", "liquidations"])
    alarms = [line for line in live if _is_alarm(line)]
    own = {id(line) for label in labels for line in alarms if _belongs(line, label)}
    return {
        "v": SCHEMA_VERSION,
        "scenario": name,
        "seed": seed,
        "strength": strength,
        "labels": [_of_label(label, live, verdicts, rows) for label in labels],
        "alarms": len(alarms),
        "alarms_elsewhere": sum(id(line) not in own for line in alarms),
    }


def _of_label(label: dict[str, Any], live: list[Any], verdicts: list[Any], rows: pl.DataFrame) -> dict[str, Any]:
    start_ns = label["start_ns"]
    mine = [line for line in live if _belongs(line, label)]
    alarms = [line for line in mine if line["family"] == label["family"] and _is_alarm(line)]
    best = min(mine, key=lambda line: (line["false_alarm_rate"], -line["score"]), default=None)
    trips = [
        verdict
        for verdict in verdicts
        if verdict["symbol"] == label["symbol"] and verdict["level"] != "ok" and verdict["window_end_ns"] > start_ns
    ]
    forced = rows.filter(
        (pl.col("symbol") == label["symbol"]) & (pl.col("window_end_ns") > start_ns) & (pl.col("liquidations") > 0)
    )
    return {
        **label,
        "began": datetime.fromtimestamp(start_ns / 1e9, UTC).strftime("%H:%M:%S"),
        "lasted_s": (label["end_ns"] - start_ns) / 1e9,
        "alarm_after_s": _after(min((line["window_end_ns"] for line in alarms), default=None), start_ns),
        "best": None if best is None else _best(best, live),
        "guardrail": None
        if not trips
        else {
            "rule": trips[0]["rule"],
            "level": trips[0]["level"],
            "after_s": _after(trips[0]["window_end_ns"], start_ns),
        },
        "liquidation_after_s": None if forced.is_empty() else _after(forced["window_end_ns"][0], start_ns),
    }


def _best(best: dict[str, Any], live: list[Any]) -> dict[str, Any]:
    # The file is in ranking order, so a line's place is how many of its family come before it.
    family = [line for line in live if line["family"] == best["family"]]
    return {
        "family": best["family"],
        "place": 1 + next(n for n, line in enumerate(family) if line is best),
        "false_alarm_rate": best["false_alarm_rate"],
        "first_contribution": best["contributions"][0]["feature"],
    }


def _is_alarm(line: dict[str, Any]) -> bool:
    return bool(line["false_alarm_rate"] <= ALARM and not line["expected"])


def _belongs(line: dict[str, Any], label: dict[str, Any]) -> bool:
    in_time = label["start_ns"] < line["window_end_ns"] <= label["end_ns"] + GRACE_NS
    return bool(in_time and line["symbol"] == label["symbol"])


def _after(at_ns: int | None, start_ns: int) -> float | None:
    return None if at_ns is None else round((at_ns - start_ns) / 1e9, 3)


def _read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]
