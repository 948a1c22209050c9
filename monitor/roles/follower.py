"""How guard and score follow the metrics: recover, then one commit a blob, each window once.

1. The state is that of the last snapshot. From there up to the checkpoint the stream is processed again without writing:
   what it gave stands already. So the state at the checkpoint is, to the bit, that of the process that was here before.
2. Then blob after blob: process, and commit checkpoint, outputs and acknowledgement together; every so many windows the
   snapshot too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.bus.commit import Ack, Output, SetValue, Value
from monitor.bus.position import START, Position
from monitor.bus.snapshots import Snapshot, from_redis, to_sets
from monitor.bus.streams import Entry, OrderedReader, read_between
from monitor.metrics.actors import Actors
from monitor.metrics.rows import decode_rows, to_actors, to_windows
from monitor.roles.runtime import Role, log

if TYPE_CHECKING:
    from monitor.bus.meta import RunMeta

SCHEMA_VERSION: Final = 1

SNAPSHOT_WINDOWS: Final = 600
"""Windows between two snapshots. After a crash so many are processed again at most, which takes about a second; a
snapshot of a large panel costs some ten milliseconds, which is nothing against 600 windows."""

BLOCK_MS: Final = 250


class Blob(NamedTuple):
    """One blob of metric rows, decoded: `values` [W, S, M], NaN where missing, and who did most; `accounts` are the rows of
    accounts as feed encoded them (`monitor.metrics.rows.decode_accounts`), for whoever reads them."""

    position: Position
    phase: str
    window_index: npt.NDArray[np.int64]
    window_end_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    actors: Actors
    accounts: bytes


class Follower(Protocol):
    """What is done with the metrics. Deterministic: same windows, same outputs, however they are cut into blobs."""

    def process(self, blob: Blob) -> tuple[list[Output], list[SetValue]]:
        """Outputs for streams and values to set; the first output is the one that names the blob before it."""

    def snapshot(self) -> bytes: ...

    def restore(self, state: bytes) -> None: ...


def follow(role: Role, meta: RunMeta, follower: Follower, stream: str) -> None:
    """Follows the metrics up to the run's end or until the role is told to stop. `stream` gets the end marker too."""
    metrics = role.keys.metrics
    committer = role.committer
    since_snapshot = _recover(role, meta, follower)
    if committer.position.is_end:
        return
    reader = OrderedReader(role.redis, metrics, role.name, committer.position)
    while not role.stopping:
        role.beat("running")
        for entry in reader.read(BLOCK_MS):
            position = entry.position
            ack = Ack(metrics, role.name, position)
            if entry.is_end:
                marker: dict[str, Value] = {"v": SCHEMA_VERSION, "prev": str(committer.position), "end": 1}
                committer.commit(position, [Output(stream, position, marker)], acks=[ack])
                return
            blob = decode(entry, meta)
            outputs, sets = follower.process(blob)
            outputs[0].fields["prev"] = str(committer.position)
            outputs[0].fields["closed_wall_ns"] = entry.fields[b"closed_wall_ns"]
            since_snapshot += len(blob.window_index)
            if since_snapshot >= SNAPSHOT_WINDOWS:
                since_snapshot = 0
                sets += to_sets(role.keys, role.name, role.signer, Snapshot(position, follower.snapshot()))
                role.snapshot_position = str(position)
            committer.commit(position, outputs, sets, [ack])
            role.beat("running")
            if role.stopping:
                return


def _recover(role: Role, meta: RunMeta, follower: Follower) -> int:
    """Brings `follower` to the checkpoint. Returns how many windows it is past the last snapshot."""
    checkpoint = role.committer.position
    snapshot = from_redis(role.redis, role.keys, role.name, role.signer)
    position = START
    if snapshot is not None:
        follower.restore(snapshot.state)
        position = snapshot.position
        role.snapshot_position = str(position)
    windows = 0
    for entry in read_between(role.redis, role.keys.metrics, position, checkpoint):
        role.beat("recovering")
        if not entry.is_end:
            blob = decode(entry, meta)
            follower.process(blob)
            windows += len(blob.window_index)
    if checkpoint != START:
        log.info("%s recovered: snapshot at %s, %d windows processed again up to %s", role.name, position, windows, checkpoint)
    return windows


def decode(entry: Entry, meta: RunMeta) -> Blob:
    """The metric rows of one entry of `metrics`."""
    rows = decode_rows(entry.fields[b"rows"])
    windows = to_windows(rows, meta.symbols)
    actors = to_actors(rows, len(windows.window_index), len(meta.symbols))
    return Blob(entry.position, entry.fields[b"phase"].decode(), *windows, actors, entry.fields.get(b"accounts", b""))


def items_json(items: list[Any]) -> bytes:
    """A list of structs as canonical JSON: keys sorted, no space."""
    return msgspec.json.encode(items, order="sorted")
