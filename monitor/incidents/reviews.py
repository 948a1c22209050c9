"""Reviews: what people said of events, and the order that follows from it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from models.feedback import Feedback, features_of
from models.ranking import ranked
from monitor.incidents.evidence import RankedAnomaly
from monitor.incidents.register import Register

SUBJECT: Final = "feedback"

_line: Final = msgspec.json.Decoder(RankedAnomaly)


class ReviewError(ValueError):
    """A review that cannot be taken: what is wrong, and what to do."""


def best_lines(folder: Path) -> dict[str, RankedAnomaly]:
    """The strongest line of each event of a run's folder, by event, the rarest first. Raises ReviewError."""
    path = folder / "anomalies.jsonl"
    found: dict[str, RankedAnomaly] = {}
    try:
        with path.open("rb") as file:
            lines = [_line.decode(line) for line in file if line.strip()]
    except OSError as error:
        raise ReviewError(f"{path}: {error.strerror}: give the folder that a run left with --out") from error
    except msgspec.DecodeError as error:
        raise ReviewError(f"{path}: {error}: it is no file of anomalies of this version") from error
    for line in ranked(lines):
        found.setdefault(line.event, line)  # type: ignore[arg-type]
    return found


def review(folder: Path, event: str, right: bool, by: str, note: str) -> dict[str, Any]:
    """Records a verdict on an event of a run, with what the model learns from it; returns the record.

    Raises ReviewError and `RegisterError`.
    """
    found = best_lines(folder)
    if event not in found:
        raise ReviewError(f"{event!r} is no event of {folder}: see the field `event` of its events.jsonl")
    line = found[event]
    return Register(SUBJECT).add(
        {
            "event": event,
            "verdict": "right" if right else "wrong",
            "by": by,
            "note": note,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "symbol": line.symbol,
            "family": line.family,
            "window_end_ns": line.window_end_ns,
            "false_alarm_rate": line.false_alarm_rate,
            "features": features_of(line),
        }
    )


def learnt() -> Feedback:
    """What all verdicts on record taught, in their order. Raises `RegisterError`."""
    feedback = Feedback()
    for record in Register(SUBJECT).records():
        feedback.learn(record["features"], record["verdict"] == "right")
    return feedback
