"""The rank role: joins anomalies and verdicts by blob, gives every anomaly its event, and publishes the final
lines and what became of each event.

It goes as far as both guard and score have gone. If score is dead, ranking waits; verdicts reach the board all the same,
straight from guard.
"""

from __future__ import annotations

import pickle
import time
from typing import Final

import msgspec

from models.correlation import Correlator
from models.ranking import sort_key
from monitor.bus.commit import Ack, Output, Value
from monitor.bus.snapshots import Snapshot, from_redis, to_sets
from monitor.bus.streams import Entry, OrderedReader, StreamError
from monitor.incidents.evidence import RankedAnomaly
from monitor.roles.follower import BLOCK_MS, SCHEMA_VERSION, items_json
from monitor.roles.runtime import Role, run_role

_anomalies: Final = msgspec.json.Decoder(list[RankedAnomaly])


def main(role: Role) -> None:
    meta = role.wait_for_meta()
    if meta is None:
        return
    keys, committer = role.keys, role.committer
    correlator = Correlator(len(meta.instruments), meta.step_ns, role.config.alert_budget)
    snapshot = from_redis(role.redis, keys, role.name, role.signer)
    if snapshot is not None:
        # The state is small and goes with every commit, so that nothing is ever done again.
        if snapshot.position != committer.position:
            raise StreamError(f"rank: its state is of {snapshot.position}, its checkpoint is {committer.position}")
        correlator = pickle.loads(snapshot.state)  # noqa: S301
    if committer.position.is_end:
        return

    scores = OrderedReader(role.redis, keys.anomalies, role.name, committer.position)
    verdicts = OrderedReader(role.redis, keys.verdicts, role.name, committer.position)
    scored: list[Entry] = []
    judged: list[Entry] = []
    while not role.stopping:
        role.beat("running")
        scored += [] if scored else scores.read(BLOCK_MS)
        judged += [] if judged else verdicts.read(BLOCK_MS)
        while scored and judged and not role.stopping:
            anomalies, judgement = scored.pop(0), judged.pop(0)
            position = anomalies.position
            if judgement.position != position:
                raise StreamError(f"rank: after {committer.position} score has {position}, guard {judgement.position}")
            fields: dict[str, Value] = {"v": SCHEMA_VERSION, "prev": str(committer.position)}
            if anomalies.is_end:
                fields["end"] = 1
            else:
                found = _anomalies.decode(anomalies.fields[b"items"])
                found.sort(key=lambda anomaly: (anomaly.window_end_ns, sort_key(anomaly)))
                lines, events = correlator.assign(found)
                fields["items"] = items_json(lines)
                fields["events"] = items_json(events)
                for passed in ("challenger", "drifts"):
                    if passed.encode() in anomalies.fields:
                        fields[passed] = anomalies.fields[passed.encode()]
                fields["verdicts"] = judgement.fields[b"items"]
                fields["closed_wall_ns"] = anomalies.fields[b"closed_wall_ns"]
                fields["done_wall_ns"] = time.time_ns()
            state = Snapshot(position, pickle.dumps(correlator, protocol=pickle.HIGHEST_PROTOCOL))
            committer.commit(
                position,
                [Output(keys.ranked, position, fields)],
                to_sets(keys, role.name, role.signer, state),
                [Ack(keys.anomalies, role.name, position), Ack(keys.verdicts, role.name, position)],
            )
            role.beat("running")
            if position.is_end:
                return


if __name__ == "__main__":
    run_role("rank", main)
