"""State of a role at a position, in Redis, signed: a pickle is code, and none is unpickled that this run did not write itself.

What feed keeps is arrays and numbers, no code: it lies unsigned in the venue's journal.

The key is the run's own (`RunConfig.snapshot_key`). The signature covers role and position too, so that a snapshot
cannot be put in another's place.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from monitor.bus.commit import SetValue
from monitor.bus.keys import Keys
from monitor.bus.position import Position

if TYPE_CHECKING:
    from redis import Redis

_MAC_BYTES: Final = 32


class SnapshotError(Exception):
    """A snapshot that was not written by this run."""


class Snapshot(NamedTuple):
    """A role's state right after the blob at `position`."""

    position: Position
    state: bytes


class Signer:
    """Seals and opens the snapshots of one role with the run's key (hex)."""

    def __init__(self, key_hex: str, role: str) -> None:
        self._key = bytes.fromhex(key_hex)
        self._role = role
        if len(self._key) != _MAC_BYTES:
            raise SnapshotError(f"{role}: the run's configuration has no snapshot_key; start roles through the supervisor")

    def _mac(self, position: Position, state: bytes) -> bytes:
        head = f"{self._role}|{position}|".encode()
        return hmac.digest(self._key, head + state, hashlib.sha256)

    def seal(self, snapshot: Snapshot) -> bytes:
        return self._mac(*snapshot) + snapshot.state

    def open(self, position: Position, sealed: bytes, where: str) -> Snapshot:
        """The snapshot in `sealed`. Raises SnapshotError, naming `where`, if its signature does not hold."""
        state = sealed[_MAC_BYTES:]
        if not hmac.compare_digest(sealed[:_MAC_BYTES], self._mac(position, state)):
            raise SnapshotError(f"{where}: the snapshot at {position} is not signed by {self._role} of this run")
        return Snapshot(position, state)


def to_sets(keys: Keys, role: str, signer: Signer, snapshot: Snapshot) -> list[SetValue]:
    """What a commit must set so that Redis holds `snapshot`."""
    key = keys.snapshot(role)
    return [SetValue(key, "position", str(snapshot.position)), SetValue(key, "state", signer.seal(snapshot))]


def from_redis(redis: Redis, keys: Keys, role: str, signer: Signer) -> Snapshot | None:
    """The last snapshot that was committed, None if there is none. Raises SnapshotError."""
    reply: Any = redis.hmget(keys.snapshot(role), "position", "state")
    position, sealed = reply
    if position is None or sealed is None:
        return None
    return signer.open(Position.parse(position), sealed, keys.snapshot(role))
