"""Several streams of events made one, by event time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def merge_by_time(streams: Sequence[Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    """Batches of all `streams` (EVENT_DTYPE, each stream in order of time) as batches in order of time.

    Events of equal time keep their order within a stream, and come in the order of the streams: the result is the same
    however the streams are cut into batches. Memory holds about one batch a stream.
    """
    pending: list[np.ndarray | None] = [next(stream, None) for stream in streams]
    while any(batch is not None for batch in pending):
        # No stream that goes on can bring an event before the earliest last time, so up to there the order is certain.
        horizon = min(int(batch["ts_ns"][-1]) for batch in pending if batch is not None)
        ready = []
        for k, batch in enumerate(pending):
            if batch is None:
                continue
            while batch["ts_ns"][-1] == horizon and (more := next(streams[k], None)) is not None:
                batch = np.concatenate([batch, more])
            cut = int(np.searchsorted(batch["ts_ns"], horizon, side="right"))
            ready.append(batch[:cut])
            pending[k] = batch[cut:] if cut < len(batch) else None
        merged = np.concatenate(ready)
        yield merged[np.argsort(merged["ts_ns"], kind="stable")]
