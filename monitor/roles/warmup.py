"""Compiles the kernels that the roles of a run need, so that they find them cached: `python -m monitor.roles.warmup CONFIG`.

It goes the run's own way for a moment: its source, its books, the detectors. So exactly what will be called is compiled,
with the types it will be called with. The last line on standard output says what is being compiled.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from engine.contract import EVENT_DTYPE, EventKind
from monitor.config import ConfigError, FilesSpec, IngestSpec, LiveSpec, RunConfig, VenueSpec, load_config
from monitor.metrics.catalogue import METRIC_NAMES
from monitor.roles.runtime import EXIT_INPUT
from monitor.sources import SourceError

_WINDOWS: Final = 64
"""Enough closed windows for every kernel of the detectors to have run."""
_START_MS: Final = 1_767_225_600_000
_MOST_S: Final = 2.0
"""How long events are drawn after the first batch has gone through (which is when the compiling is over)."""


def warm_up(config: RunConfig) -> None:
    """Runs the first events of `config`'s source through windows and detectors. Raises what the source raises."""
    from models.detectors import AccountPanel, Panel
    from monitor.metrics.accounts import COLUMNS, SPAN
    from monitor.metrics.windows import WindowEngine
    from monitor.roles.feed import open_source

    # The venue's matching engine takes most of the time.
    print("the source, which takes a minute or two" if isinstance(config.source, VenueSpec) else "the source", flush=True)
    if isinstance(config.source, VenueSpec):
        config = msgspec.structs.replace(config, source=msgspec.structs.replace(config.source, journal_dir=None))
    elif isinstance(config.source, LiveSpec):
        config = msgspec.structs.replace(config, source=_recording(Path(config.state_dir)))
    elif isinstance(config.source, IngestSpec):
        config = msgspec.structs.replace(config, source=msgspec.structs.replace(config.source, record_dir=None))
        _send(config.live_folder)
    source = open_source(config, epoch=1)
    engine = WindowEngine(
        source.instruments, source.capabilities, source.capacity, source.accounts, source.step_ns, source.lateness_ns
    )
    deadline = None
    closed = 0
    for batch in source.batches():
        if deadline is None:
            print("books and metrics", flush=True)
        block = engine.push(batch)
        closed += 0 if block is None else len(block.window_index)
        deadline = deadline or time.monotonic() + _MOST_S
        if closed >= _WINDOWS or time.monotonic() > deadline:
            break
    engine.finish()
    print("detectors", flush=True)
    symbols = tuple(instrument.symbol for instrument in source.instruments)
    panel = Panel(symbols, METRIC_NAMES)
    accounts = AccountPanel(symbols, tuple(COLUMNS), source.step_ns, SPAN)
    for window in range(1, _WINDOWS + 1):
        ones = np.ones((2, len(COLUMNS)))
        accounts.process(np.full(2, window * SPAN), np.arange(2), np.zeros((2, 2), np.int64), ones)
    panel.process(np.arange(1, _WINDOWS + 1), np.ones((_WINDOWS, len(symbols), len(METRIC_NAMES))))


def _recording(folder: Path) -> FilesSpec:
    """A recording to warm up on before there is any frame: what a live source does is the same."""
    book = b'{"topic":"orderbook.50.X","type":"snapshot","ts":%d,"data":{"s":"X","b":[["1","2"]],"a":[["3","4"]],"u":%d}}'
    path = folder / "frames"
    path.write_bytes(b"\n".join(book % (_START_MS + 1000 * n, n) for n in range(2 * _WINDOWS)))
    return FilesSpec((str(path),), "frames")


def _send(folder: Path) -> None:
    """Events to warm up on before a venue has sent any."""
    from monitor.ingest.store import EventWriter

    writer = EventWriter(folder)
    events = np.zeros(2 * _WINDOWS, EVENT_DTYPE)
    events["ts_ns"] = (_START_MS + 1000 * np.arange(len(events))) * 1_000_000
    events["kind"], events["price"], events["qty"], events["order_id"] = EventKind.ADD, 1000, 1, np.arange(1, len(events) + 1)
    writer.append(events, len(events))
    writer.end()
    writer.close()


def main() -> int:
    try:
        config = load_config(Path(sys.argv[1]))
        # A journal of its own: the run's must begin with the run.
        folder = Path(config.state_dir) / "warmup"
        folder.mkdir(exist_ok=True)
        warm_up(msgspec.structs.replace(config, state_dir=str(folder)))
        shutil.rmtree(folder, ignore_errors=True)
    except (ConfigError, SourceError) as error:
        print(error, file=sys.stderr)
        return EXIT_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
