"""What every command does that starts a run: the kernels' cache, a state folder of its own, errors in one line."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from monitor.config import ALERT_BUDGET, RunConfig, Spec
from monitor.incidents.planned import PlannedError, load_planned
from monitor.roles.kernels import CacheError, use_cache

DEMO_START_NS: Final = 1_767_225_600_000_000_000
"""Event time at which a demo starts: 2026-01-01 00:00 UTC. The venue's clock is simulated, so the same seed gives the same
bytes on any day."""

HISTORY_SECONDS: Final = 1800
DEFAULT_PORT: Final = 8050

_STATE_PREFIX: Final = "perpwatch-run-"
_LOCK: Final = "lock"


class Wrong(click.ClickException):
    """An error of the caller's, shown in one line."""

    exit_code = 2

    def show(self, file: object = None) -> None:
        click.echo(f"perpwatch: {self.message}", err=True)


def carry_out(
    source: Spec,
    *,
    speed: str,
    out: Path | None,
    port: int | None,
    browser: bool,
    calendar: Path | None = None,
    alert_budget: float = ALERT_BUDGET,
    challenger: str = "",
) -> int:
    """Carries out one run in a state folder of its own; returns its exit code. Raises Wrong for what can be said in a line."""
    from models.detectors.variants import VARIANTS
    from monitor.bus.server import ServerError
    from monitor.incidents.promotions import champion
    from monitor.incidents.register import RegisterError
    from monitor.roles.supervisor import RunError, run

    if challenger and challenger not in VARIANTS:
        raise Wrong(f"--challenger {challenger!r}: there is no such variant; there are {', '.join(VARIANTS)}")
    try:
        variant = champion()
    except RegisterError as error:
        raise Wrong(str(error)) from error
    try:
        planned = () if calendar is None else load_planned(calendar)
    except PlannedError as error:
        raise Wrong(str(error)) from error
    with state_dir() as folder:
        config = RunConfig(
            run_id=folder.name,
            source=source,
            state_dir=str(folder),
            speed=speed,
            out_dir=None if out is None else str(out.absolute()),
            board_port=port,
            redis_url=os.environ.get("REDIS_URL") or None,
            planned=planned,
            alert_budget=alert_budget,
            variant=variant,
            challenger=challenger,
        )
        try:
            code = run(config, on_board=_open_board if browser else _show_board)
        except (ServerError, RunError) as error:
            raise Wrong(str(error)) from error
    return code


def prepare() -> None:
    """Before anything imports numba."""
    try:
        use_cache()
    except CacheError as error:
        raise Wrong(str(error)) from error


def _show_board(url: str) -> None:
    click.echo(f"the board is at {url}", err=True)


def _open_board(url: str) -> None:
    _show_board(url)
    click.launch(url)


@contextmanager
def state_dir() -> Iterator[Path]:
    """The run's own folder, gone when the run has ended; those that killed runs left go first."""
    for left in Path(tempfile.gettempdir()).glob(f"{_STATE_PREFIX}*"):
        _sweep(left)
    folder = Path(tempfile.mkdtemp(prefix=_STATE_PREFIX))
    try:
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Removes the folder of a run that is no more: its lock can be had."""
    with contextlib.suppress(OSError), (folder / _LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
