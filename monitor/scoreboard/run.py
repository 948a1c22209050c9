"""From drills to a scoreboard, and the scoreboard to a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from monitor.drills.result import Drilled
from monitor.scoreboard.methods import Baselines
from monitor.scoreboard.page import page
from monitor.scoreboard.reduce import reduced
from monitor.scoreboard.results import Scoreboard
from monitor.scoreboard.tally import Tally

JSON_NAME: Final = "scoreboard.json"
PAGE_NAME: Final = "scoreboard.html"


def evaluate(runs: Iterable[Drilled], says: Mapping[str, str] | None = None) -> Scoreboard:
    """The scoreboard of `runs`, of which one at a time is held whole.

    Runs of quiet markets (scenario "") set the baselines' thresholds and show the realised rates. Runs that share a history
    should follow each other, for the baselines then learn it once. `says` tells of each scenario by its name. Raises
    ValueError for a label of a symbol that its run does not have.
    """
    baselines = Baselines()
    return Tally([reduced(run, baselines) for run in runs]).board(says or {})


def write(scoreboard: Scoreboard, folder: Path) -> tuple[Path, Path]:
    """Writes `scoreboard.json` and `scoreboard.html` into `folder`, which is made if it is not there; returns both paths.

    The same scoreboard gives the same bytes. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data, shown = folder / JSON_NAME, folder / PAGE_NAME
    data.write_bytes(encoded(scoreboard))
    shown.write_text(page(scoreboard), encoding="utf-8")
    return data, shown


def encoded(scoreboard: Scoreboard) -> bytes:
    """The scoreboard as JSON, keys sorted."""
    return msgspec.json.format(msgspec.json.encode(scoreboard, order="sorted"), indent=1) + b"\n"
