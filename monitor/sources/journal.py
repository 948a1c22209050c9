"""A venue's journal as a source (`--format journal`): its ops applied again, and the events that follow from them.

`perpwatch demo --journal DIR` keeps one: `DIR/venue.json` says what venue it was, `DIR/journal` holds the ops. The venue is
deterministic, so the events are those of the run, whatever was killed in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from engine.book import MEDIUM, Capacity
from engine.contract import SCHEMA_VERSION
from engine.journal import Journal, JournalError
from engine.simulation import Simulation, SimulationConfig
from engine.wallets import OWN_ACCOUNTS
from monitor.config import STEP_NS
from monitor.sources import VENUE_CAPABILITIES, Capability, Label, SourceError
from monitor.sources.venue import hash_of, mark_opening

if TYPE_CHECKING:
    from engine.instruments import Instrument

DESCRIPTION: Final = "venue.json"
JOURNAL: Final = "journal"

_BATCH: Final = 50
_DO: Final = "Give a folder that perpwatch demo --journal left"


class _Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    contract: int
    simulation: SimulationConfig


def describe(folder: Path, config: SimulationConfig) -> Path:
    """Writes into `folder`, made if missing, whose journal it will hold; returns the journal's place. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).write_bytes(msgspec.json.encode(_Description(SCHEMA_VERSION, config)))
    return folder / JOURNAL


def is_journal(path: Path) -> bool:
    """Whether a folder holds a journal that can be read here."""
    return (path / DESCRIPTION).is_file() and (path / JOURNAL).is_dir()


class JournalSource:
    """The journal in `folder`. Raises SourceError where it is torn before its end, or of another program."""

    step_ns = STEP_NS
    lateness_ns = 0
    capacity: Capacity = MEDIUM
    capabilities: frozenset[Capability] = VENUE_CAPABILITIES

    def __init__(self, folder: Path) -> None:
        try:
            found = msgspec.json.decode((folder / DESCRIPTION).read_bytes(), type=_Description)
            simulation = Simulation(found.simulation)
            self._journal = Journal.open(folder / JOURNAL, hash_of(found.simulation, simulation.pack), "read")
        except (OSError, ValueError, msgspec.MsgspecError, JournalError) as error:
            raise SourceError(f"the journal cannot be used: {error}", str(folder), _DO) from error
        if found.contract != SCHEMA_VERSION:
            raise SourceError(f"the journal is of contract {found.contract}, read is {SCHEMA_VERSION}", str(folder), _DO)
        self._folder = folder
        self._venue = simulation.new_venue()
        self.instruments: tuple[Instrument, ...] = simulation.instruments
        self.accounts: int = self._venue.accounts + OWN_ACCOUNTS
        self.rejects: Counter[str] = Counter()
        self.total_hint: int | None = self._journal.ops
        self.progress = 0.0

    @property
    def notes(self) -> Sequence[str]:
        """How many ops were applied again, and what of the journal's end was torn."""
        torn = () if self._journal.torn is None else (self._journal.torn,)
        return (f"{self._venue.ops} ops of a journal, applied again", *torn)

    def labels(self) -> Sequence[Label]:
        """A journal knows no truth about itself."""
        return ()

    def batches(self) -> Iterator[np.ndarray]:
        """EVENT_DTYPE batches in the order of the ops. Raises SourceError for damage."""
        parts: list[np.ndarray] = []
        try:
            for ops in self._journal.batches():
                opening = self._venue.ops == 0
                events = self._venue.apply(ops)
                parts.append(mark_opening(events) if opening else events)
                if len(parts) == _BATCH:
                    self.progress = self._venue.ops / max(1, self._journal.ops)
                    yield np.concatenate(parts)
                    parts = []
        except JournalError as error:
            raise SourceError(f"the journal is damaged after op {self._venue.ops}: {error}", str(self._folder)) from error
        if parts:
            yield np.concatenate(parts)
        self.progress = 1.0
