"""Progress on a terminal. Draws only when told to, from the caller's own thread: the supervisor starts processes, and
starting them beside a drawing thread is asking for trouble."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from monitor.config import FilesSpec, RunConfig, VenueSpec
from monitor.roles.runtime import Health

_FOLLOWERS: Final = ("guard", "score", "rank")


class Progress:
    """One line on standard error: what is going on, how far it is. Nothing where standard error is no terminal."""

    def __init__(self) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figure]}"),
            TimeElapsedColumn(),
            console=Console(file=sys.stderr),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._bars.add_task("starting", total=None, figure="")
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        if self._shown:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._bars.stop()

    def note(self, text: str) -> None:
        """Something without a measure."""
        self._draw(text, None, "")

    def show(self, config: RunConfig, health: Mapping[str, Health], stopping: bool) -> None:
        """How far the run is, by what the roles say of themselves."""
        feed = health.get("feed")
        if stopping:
            self._draw("finishing what has been read; Ctrl-C again stops at once", None, "")
        elif feed is None or feed.phase is None:
            self._draw("starting the roles", None, "")
        else:
            behind = max((feed.last_window - health[role].last_window for role in _FOLLOWERS if role in health), default=0)
            figure = f"{feed.events or 0:,} events"
            if behind > 1:
                figure += f", {behind:,} windows behind"
            self._draw(_phase(config, feed), feed.progress, figure)

    def _draw(self, text: str, fraction: float | None, figure: str) -> None:
        if self._shown:
            self._bars.update(
                self._task, description=text, total=None if fraction is None else 1.0, completed=fraction or 0.0, figure=figure
            )
            self._bars.refresh()


def _phase(config: RunConfig, feed: Health) -> str:
    source = config.source
    if isinstance(source, FilesSpec):
        return "replaying"
    if isinstance(source, VenueSpec) and feed.phase == "HISTORY":
        return f"simulating {source.history_seconds // 60} minutes of history"
    return "live" if source.duration_seconds is None else f"live for {source.duration_seconds} s"
