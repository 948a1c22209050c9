"""The feed role: events from the source into books and metrics, closed windows into the stream.

Recovery: the last snapshot, in the venue's journal, holds venue, windows and counts as they were between two batches.
A source that cannot be snapshotted (files) is read again from its start. Either way the same windows close again with the
same content, and those up to the checkpoint, which stand in the stream, are not published again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

from engine.simulation import SimulationConfig
from engine.simulation.scenarios import SCENARIOS
from monitor.bus.meta import SCHEMA_VERSION, RunMeta, write_meta
from monitor.bus.position import Position
from monitor.config import FilesSpec, IngestSpec, LiveSpec, RunConfig, VenueSpec
from monitor.history.export import READER
from monitor.metrics.catalogue import METRIC_NAMES
from monitor.metrics.windows import WindowEngine
from monitor.roles.drills import OFFERED, Drills
from monitor.roles.pace import Pace
from monitor.roles.publish import Publisher
from monitor.roles.runtime import Role, State, log, run_role
from monitor.sources import Resumable
from monitor.sources.journal import describe
from monitor.sources.venue import VenueSource

if TYPE_CHECKING:
    from monitor.metrics.windows import Block
    from monitor.sources import Source

SNAPSHOT_WINDOWS: Final = 600
"""Windows between two snapshots of a venue: simulating ten minutes again takes some seconds, a snapshot of all books a
tenth of one."""

_GAPS: Final = METRIC_NAMES.index("gaps")
_KINDS: Final[dict[type, Literal["venue", "files", "live"]]] = {
    VenueSpec: "venue",
    FilesSpec: "files",
    LiveSpec: "live",
    IngestSpec: "live",
}


class _State(msgspec.Struct):
    """What stands beside the venue in a snapshot: windows, and what was counted."""

    windows: bytes
    closed: int
    gaps: int
    newest_ns: int


class Feed:
    """One feed: source → windows → publisher."""

    def __init__(self, role: Role) -> None:
        config = role.config
        spec = config.source
        self._role = role
        self._source = open_source(config, role.committer.epoch)
        source = self._source
        self._engine = WindowEngine(
            source.instruments, source.capabilities, source.capacity, source.accounts, source.step_ns, source.lateness_ns
        )
        self._meta = RunMeta(
            v=SCHEMA_VERSION,
            source=_KINDS[type(spec)],
            instruments=source.instruments,
            capabilities=tuple(sorted(source.capabilities)),
            accounts=source.accounts,
            step_ns=source.step_ns,
            live_from_ns=_live_from_ns(config),
            until_ns=spec.end_ns if isinstance(spec, VenueSpec) else None,
            drills=OFFERED if isinstance(spec, VenueSpec) and not spec.scenario else (),
        )
        readers = ("guard", "score", "rank") + ((READER,) if config.out_dir is not None else ())
        self._pace = Pace(role.redis, role.keys, config.rate, self._meta.live_from_ns)
        self._publisher = Publisher(role, self._meta, readers, self._pace.wall_ns, self._counters, self._is_drill)
        self._drills: Drills | None = None
        if isinstance(source, VenueSource):
            self._drills = Drills(role.redis, role.keys, Path(config.state_dir), self._meta.symbols, source.ask)
        self._snapshot_closed = 0
        self._closed = 0
        self._gaps = 0
        self._newest_ns = 0

    def run(self) -> None:
        """Publishes the whole source, or what comes until the role is told to stop, and then the end marker."""
        self._restore()
        write_meta(self._role.redis, self._role.keys, self._meta)
        self._beat("recovering" if self._publisher.published else "running")
        stopped = False
        for batch in self._source.batches():
            if not len(batch):
                self._waiting()
            for piece in self._pace.pieces(batch, self._waiting):
                self._take(self._engine.push(piece))
                self._publisher.flush_if_old()
                self._beat("running")
            if self._may_stop():
                stopped = True
                break
            self._look_at_drills()
            if isinstance(self._source, Resumable) and self._closed - self._snapshot_closed >= SNAPSHOT_WINDOWS:
                self._snapshot(self._source)
        self._take(self._engine.finish())
        endless = self._role.config.is_endless and self._publisher.phase(self._newest_ns) == "LIVE"
        labels = [msgspec.to_builtins(label) for label in self._source.labels()]
        self._publisher.end(
            {
                "complete": not stopped or endless,
                "labels": labels if labels or self._meta.source == "venue" else None,
                "notes": list(self._source.notes),
            }
        )

    def _look_at_drills(self) -> None:
        """Between two batches of a venue that is live."""
        source = self._source
        if self._drills is not None and isinstance(source, VenueSource) and source.next_ns > source.history_end_ns:
            self._drills.look(source.next_ns)

    def _is_drill(self, window_end_ns: int) -> bool:
        start_ns = window_end_ns - self._meta.step_ns
        return any(
            label.drill and label.start_ns < window_end_ns and start_ns < label.end_ns for label in self._source.labels()
        )

    def _take(self, block: Block | None) -> None:
        if block is not None:
            self._closed += len(block.window_index)
            self._gaps += int(np.nansum(block.values[:, :, _GAPS]))
            self._newest_ns = int(block.window_end_ns[-1])
            self._publisher.add(block)

    def _waiting(self) -> bool:
        """Nothing is due: whoever watches gets what has closed."""
        self._publisher.flush()
        self._beat("running")
        return not self._may_stop()

    def _may_stop(self) -> bool:
        """Told to stop; but not before what an earlier process published has been counted again."""
        return self._role.stopping and self._newest_ns // self._meta.step_ns >= self._publisher.published

    def _counters(self) -> dict[str, Any]:
        return {
            **self._engine.counters(),
            "windows": self._closed,
            "gaps": self._gaps,
            "rejects": dict(sorted(self._source.rejects.items())),
        }

    def _beat(self, state: State) -> None:
        self._role.beat(
            state,
            progress=self._source.progress,
            events=self._engine.counters()["events"],
            event_time_ns=self._newest_ns,
            phase=self._publisher.phase(self._newest_ns),
        )

    def _snapshot(self, source: Resumable) -> None:
        # What a snapshot has behind it must be in the stream: it is not computed again.
        self._publisher.flush()
        state = _State(self._engine.snapshot(), self._closed, self._gaps, self._newest_ns)
        source.save(msgspec.msgpack.encode(state))
        self._snapshot_closed = self._closed
        self._role.snapshot_position = str(Position(self._newest_ns // self._meta.step_ns))

    def _restore(self) -> None:
        saved = self._source.load() if isinstance(self._source, Resumable) else None
        if self._drills is not None and isinstance(self._source, VenueSource):
            self._drills.restore(self._source.next_ns)
        if saved is None:
            return
        state = msgspec.msgpack.decode(saved, type=_State)
        self._engine.restore(state.windows)
        self._closed = self._snapshot_closed = state.closed
        self._gaps = state.gaps
        self._newest_ns = state.newest_ns
        position = Position(self._newest_ns // self._meta.step_ns)
        self._role.snapshot_position = str(position)
        log.info("feed recovered: snapshot at %s, published up to %s", position, self._role.committer.position)


def _live_from_ns(config: RunConfig) -> int | None:
    """Event time from which windows are LIVE; None for a replay."""
    spec = config.source
    if isinstance(spec, VenueSpec):
        return spec.live_from_ns
    return 0 if isinstance(spec, LiveSpec | IngestSpec) else None


def open_source(config: RunConfig, epoch: int) -> Source:
    """The source that `config` describes. Raises SourceError, or engine.journal.FencedError for a venue that was taken over."""
    spec = config.source
    if isinstance(spec, IngestSpec):
        from monitor.ingest.description import load_description
        from monitor.sources.ingest import IngestSource

        description = load_description(Path(spec.description))
        return IngestSource(config.live_folder, Path(config.state_dir), description, keep=spec.record_dir is not None)
    if isinstance(spec, LiveSpec):
        from monitor.sources.live import LiveSource

        return LiveSource(config.live_folder, Path(config.state_dir), keep=spec.record_dir is not None)
    if isinstance(spec, FilesSpec):
        from monitor.sources.detect import open_source as open_files  # the parsers' kernels are for files alone

        return open_files([Path(path) for path in spec.paths], spec.format)
    unlisted = SCENARIOS[spec.scenario].unlisted if spec.scenario else ""
    simulation = SimulationConfig(
        seed=spec.seed,
        start_ns=spec.start_ns,
        history_s=spec.history_seconds,
        scenario=spec.scenario,
        strength=spec.strength,
        unlisted=unlisted,
    )
    journal = Path(config.state_dir) / "journal"
    if spec.journal_dir is not None:
        journal = describe(Path(spec.journal_dir), simulation)
    return VenueSource(simulation, journal, epoch, spec.end_ns)


def main(role: Role) -> None:
    if not role.committer.position.is_end:
        Feed(role).run()


if __name__ == "__main__":
    run_role("feed", main)
