"""The names of everything in Redis: one place, so that two rooms cannot disagree.

Every name carries the run id, so that runs share a server without meeting, and the shard as a hash tag (`{s0}`), so that
all keys of one commit lie in one slot of a Redis Cluster.

Streams (entries have explicit ids, `position.py` says which):

metrics      from feed: v, first, last, prev, phase, rows (Arrow IPC), counters (JSON), closed_wall_ns
anomalies    from score, one entry a blob: v, prev, items (JSON list), challenger (the same of a variant in shadow) and drifts
             (JSON list), if there are any, which rank passes on, the metrics entry's closed_wall_ns passed on
verdicts     from guard, one entry a blob: v, prev, items (JSON list)
audit        from guard, one entry a record: record (a canonical JSON line)
ranked       from rank, one entry a blob: v, prev, items (JSON list of final anomaly lines), events (JSON list of the events
             that they changed, as they stand), verdicts (guard's items of the same windows), closed_wall_ns, done_wall_ns

The run's end is an entry with the field `end` in each of metrics, anomalies, verdicts and ranked.
"""

from __future__ import annotations

import msgspec


class Keys(msgspec.Struct, frozen=True):
    """All key names of one shard of one run."""

    run_id: str
    shard: str = "s0"

    def _name(self, name: str) -> str:
        return f"perpwatch:{self.run_id}:{{{self.shard}}}:{name}"

    @property
    def meta(self) -> str:
        """String, JSON: what the source is (`monitor.bus.meta.RunMeta`). Written by feed before its first blob."""
        return self._name("meta")

    @property
    def metrics(self) -> str:
        return self._name("metrics")

    @property
    def anomalies(self) -> str:
        return self._name("anomalies")

    @property
    def verdicts(self) -> str:
        return self._name("verdicts")

    @property
    def audit(self) -> str:
        return self._name("audit")

    @property
    def ranked(self) -> str:
        return self._name("ranked")

    @property
    def guard_states(self) -> str:
        """Hash, `rule|symbol` -> JSON of how the rule stands (`monitor.guardrails.engine.StateView`)."""
        return self._name("guard:states")

    @property
    def books(self) -> str:
        """Hash, symbol -> JSON {window_end_ns, bids, asks}: the best levels as [price, quantity], best first."""
        return self._name("books")

    @property
    def pace(self) -> str:
        """String, JSON: which event time belongs to which wall-clock time, in a paced run (`monitor.roles.pace`)."""
        return self._name("pace")

    @property
    def drills(self) -> str:
        """List, JSON `monitor.roles.drills.Asked`: drills that people ask for, oldest first; feed takes them out."""
        return self._name("drills")

    @property
    def health(self) -> str:
        """Hash, role -> JSON heartbeat. The only place with wall-clock times that the board compares with its own clock."""
        return self._name("health")

    def role(self, role: str) -> str:
        """Hash of one role: epoch, position (its checkpoint), prev (the position before)."""
        return self._name(f"role:{role}")

    def snapshot(self, role: str) -> str:
        """Hash of one role's last snapshot: position and state (signed)."""
        return self._name(f"snapshot:{role}")

    def all(self, roles: tuple[str, ...]) -> tuple[str, ...]:
        """Every key of the run, for taking it off a server."""
        streams = (self.metrics, self.anomalies, self.verdicts, self.audit, self.ranked)
        state = (self.meta, self.guard_states, self.books, self.pace, self.drills, self.health)
        return (*streams, *state, *(key for role in roles for key in (self.role(role), self.snapshot(role))))
