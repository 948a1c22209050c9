"""A venue's own feed as a source: the events that ingest has kept, as they come."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from monitor.config import STEP_NS
from monitor.ingest.store import EventReader
from monitor.sources import Capability, Label
from monitor.sources.state_file import StateFile

if TYPE_CHECKING:
    from engine.book import Capacity
    from engine.instruments import Instrument
    from monitor.ingest.description import Description

_LOOK_S: Final = 0.01


class _State(msgspec.Struct):
    next_seq: int
    beside: bytes


class IngestSource:
    """The events in `folder`, of a feed like `description`; snapshots go to the folder `state`.

    What is wrong was refused before it came here, so nothing is rejected.
    """

    step_ns = STEP_NS
    total_hint: int | None = None
    progress = 0.0

    def __init__(self, folder: Path, state: Path, description: Description, *, keep: bool) -> None:
        self._reader = EventReader(folder)
        self._saved = StateFile(state)
        self._keep = keep
        self.instruments: tuple[Instrument, ...] = description.instruments
        self.capabilities: frozenset[Capability] = frozenset(description.capabilities)
        self.capacity: Capacity = description.capacity
        self.accounts: int = description.accounts
        self.lateness_ns: int = description.lateness_ms * 1_000_000
        self.rejects: Counter[str] = Counter()
        self.notes: Sequence[str] = ()

    def labels(self) -> Sequence[Label]:
        """A venue says nothing of the truth about it."""
        return ()

    def batches(self) -> Iterator[np.ndarray]:
        """EVENT_DTYPE batches as they come; an empty one when there is nothing yet."""
        while True:
            ended = self._reader.ended  # before the read: what came before the end is read after it was seen
            events = self._reader.events()
            if not len(events):
                if ended:
                    return
                time.sleep(_LOOK_S)
            yield events

    def save(self, beside: bytes) -> None:
        """Keeps where it is, and `beside`; what lies before it is needed no more. Raises OSError."""
        self._saved.write(msgspec.msgpack.encode(_State(self._reader.next_seq, beside)))
        if not self._keep:
            self._reader.drop_behind()

    def load(self) -> bytes | None:
        """Goes to the last snapshot and returns what was saved beside it; None without one. Raises SourceError."""
        saved = self._saved.read()
        if saved is None:
            return None
        try:
            state = msgspec.msgpack.decode(saved, type=_State)
        except msgspec.MsgspecError as error:
            raise self._saved.unusable(error) from error
        self._reader.next_seq = state.next_seq
        return state.beside
