"""The built-in venue as a source: a simulated market, its journal, and the events of both.

Ops are appended to the journal before they are applied, and flushed before their events are yielded. A source that comes back
after a crash decides everything since its snapshot again. As long as the journal has ops, each decision is held against it;
then it goes on from there. A difference means other code or another configuration, and ends the source.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from engine.book import MEDIUM, Capacity
from engine.contract import SCHEMA_VERSION, EventFlag, EventKind
from engine.journal import FencedError, Journal, JournalError
from engine.simulation import Label, Request, Simulation, SimulationConfig
from engine.wallets import OWN_ACCOUNTS
from monitor.config import STEP_NS
from monitor.sources import VENUE_CAPABILITIES, Capability, SourceError

if TYPE_CHECKING:
    from engine.instruments import Instrument, Pack

_HISTORY_TICKS: Final = 50
"""Ticks of a batch at full speed. In the live part each tick is one, so that nobody waits for it."""

_DO: Final = "Start with the program and configuration that wrote it, or with an empty directory"


def hash_of(config: SimulationConfig, pack: Pack) -> bytes:
    """What a journal's ops depend on besides the program, as 32 bytes."""
    return hashlib.sha256(msgspec.json.encode((SCHEMA_VERSION, config, pack), order="sorted")).digest()


def mark_opening(events: np.ndarray) -> np.ndarray:
    """The events that fill the books at the opening are no flow: all but what moves money and positions gets SNAPSHOT."""
    flow = np.isin(events["kind"], (EventKind.TRADE, EventKind.TRANSFER, EventKind.LEDGER, EventKind.ASSIGN))
    events["flags"][~flow] |= np.uint8(EventFlag.SNAPSHOT)
    return events


class VenueSource:
    """The venue of one simulation.

    Args:
        config: of the simulation.
        directory: the journal's; made if missing, and holding nothing else.
        epoch: the fencing epoch under which ops are appended, higher than any that was used there before, or the same one
            if its process is gone.
        end_ns: event time of the end, a whole second; None goes on for ever.

    Raises:
        FencedError: a newer epoch owns the journal. Also out of `batches`, as soon as that happens.
        SourceError: the journal cannot be used. Also out of `batches`, where it holds other ops than are decided again.
    """

    step_ns = STEP_NS

    def __init__(self, config: SimulationConfig, directory: Path, epoch: int, end_ns: int | None = None) -> None:
        self._config = config
        self._simulation = Simulation(config)
        self._venue = self._simulation.new_venue()
        self._end_ns = end_ns
        try:
            self._journal = Journal.open(directory, hash_of(config, self._simulation.pack), "append", epoch)
        except FencedError:
            raise
        except (JournalError, OSError) as error:
            raise SourceError(f"the journal cannot be used: {error}", str(directory), _DO) from error
        self._known_ops = self._journal.ops

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return self._simulation.instruments

    @property
    def capabilities(self) -> frozenset[Capability]:
        return VENUE_CAPABILITIES

    @property
    def capacity(self) -> Capacity:
        return MEDIUM

    @property
    def accounts(self) -> int:
        return self._venue.accounts + OWN_ACCOUNTS

    @property
    def lateness_ns(self) -> int:
        return 0

    @property
    def rejects(self) -> Counter[str]:
        """Always empty: what the venue refuses is an event."""
        return Counter()

    @property
    def notes(self) -> tuple[str, ...]:
        return () if self._journal.torn is None else (self._journal.torn,)

    @property
    def total_hint(self) -> int | None:
        return None

    @property
    def progress(self) -> float:
        """Fraction of the run, or of the history where the run has no end."""
        start_ns = self._config.start_ns
        end_ns = self._config.history_end_ns if self._end_ns is None else self._end_ns
        return min(1.0, (self._simulation.next_ns - start_ns) / max(1, end_ns - start_ns))

    @property
    def history_end_ns(self) -> int:
        """Event time at which the live part begins. The simulation knows no clock: whoever draws the batches paces them."""
        return self._config.history_end_ns

    @property
    def end_ns(self) -> int | None:
        """Event time of the end, if there is one."""
        return self._end_ns

    @property
    def next_ns(self) -> int:
        """Where the next batch begins."""
        return self._simulation.next_ns

    def ask(self, request: Request) -> None:
        """Lets a scenario happen besides, at `next_ns` or later."""
        self._simulation.ask(request)

    def labels(self) -> list[Label]:
        """The incidents that have begun so far."""
        return list(self._simulation.labels)

    def batches(self) -> Iterator[np.ndarray]:
        """EVENT_DTYPE batches: five seconds each in the history, 100 ms each after it.

        The events of the opening fill the books, so all but what moves money and positions carries the flag SNAPSHOT.
        """
        known = self._journal.batches(self._venue.ops)
        while not self._over():
            if self._simulation.next_ns < self._config.history_end_ns:
                parts = [self._step(known)]
                while len(parts) < _HISTORY_TICKS and self._simulation.next_ns < self._config.history_end_ns:
                    if self._over():
                        break
                    parts.append(self._step(known))
                events = np.concatenate(parts)
            else:
                events = self._step(known)
            self._journal.flush()
            yield events
        self._journal.close()

    def save(self, beside: bytes) -> None:
        """Puts a snapshot into the journal: venue and simulation as they are between two batches, and `beside`.

        Args:
            beside: what else belongs to this moment.

        Raises:
            FencedError: a newer epoch owns the journal.
        """
        self._journal.write_snapshot(self._venue, msgspec.msgpack.encode((self._simulation.snapshot(), beside)))

    def load(self) -> bytes | None:
        """Goes to the newest snapshot in the journal, before any batch is drawn, and returns what was saved beside it.

        None without a snapshot: the source stands at its start.

        Raises:
            SourceError: the snapshot is of another configuration or program.
        """
        try:
            snapshot = self._journal.newest_snapshot()
            if snapshot is None:
                return None
            simulation, beside = msgspec.msgpack.decode(snapshot.beside, type=tuple[bytes, bytes])
            self._venue.restore(snapshot.venue)
            self._simulation.restore(simulation)
        except (JournalError, msgspec.DecodeError, ValueError) as error:
            raise SourceError(f"the snapshot does not fit this venue: {error}", do=_DO) from error
        return beside

    def _over(self) -> bool:
        return self._end_ns is not None and self._simulation.next_ns >= self._end_ns

    def _step(self, known: Iterator[np.ndarray]) -> np.ndarray:
        opening = not self._simulation.opened
        ops = self._simulation.step(self._venue)
        if self._venue.ops < self._known_ops:
            self._check(ops, known)
        else:
            self._journal.append(ops)
        events = self._venue.apply(ops)
        self._simulation.observe(events)
        return mark_opening(events) if opening else events

    def _check(self, ops: np.ndarray, known: Iterator[np.ndarray]) -> None:
        if len(ops) == 0:
            return
        try:
            batch = next(known, None)
        except JournalError as error:
            raise SourceError(f"the journal cannot be read: {error}", do=_DO) from error
        if batch is None or batch.tobytes() != ops.tobytes():
            raise SourceError(f"after op {self._venue.ops} the journal holds other ops than this venue would get", do=_DO)
