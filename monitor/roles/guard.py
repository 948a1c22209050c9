"""The guard role: rules over every window, verdicts, and the audit chain, all in the commit of the blob.

Imports nothing learnt: if the models die, slow down or lie, the guard does not notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from monitor.bus.commit import Output, SetValue
from monitor.bus.position import Position
from monitor.guardrails.engine import GuardEngine
from monitor.guardrails.pack import load_core
from monitor.metrics.catalogue import METRIC_NAMES
from monitor.roles.follower import SCHEMA_VERSION, Blob, follow, items_json
from monitor.roles.runtime import Role, run_role

if TYPE_CHECKING:
    from monitor.bus.keys import Keys
    from monitor.bus.meta import RunMeta


class Guard:
    """A `Follower` around the guard engine."""

    def __init__(self, keys: Keys, meta: RunMeta) -> None:
        self._keys = keys
        self._step_ns = meta.step_ns
        self._engine = GuardEngine(meta.symbols, METRIC_NAMES, load_core(METRIC_NAMES))

    def process(self, blob: Blob) -> tuple[list[Output], list[SetValue]]:
        found = self._engine.process(blob.window_end_ns, blob.values)
        outputs = [Output(self._keys.verdicts, blob.position, {"v": SCHEMA_VERSION, "items": items_json(found.verdicts)})]
        previous = None
        for entry in found.audit:
            # The chain's first record belongs to the first window too: records of a window are told apart by their part.
            window = entry.window_end_ns // self._step_ns
            previous = Position(window, previous.part + 1 if previous is not None and previous.window == window else 0)
            outputs.append(Output(self._keys.audit, previous, {"record": entry.record}))
        states = [
            SetValue(self._keys.guard_states, f"{state.rule}|{state.symbol}", msgspec.json.encode(state, order="sorted"))
            for state in found.states
        ]
        return outputs, states

    def snapshot(self) -> bytes:
        return self._engine.snapshot()

    def restore(self, state: bytes) -> None:
        self._engine.restore(state)


def main(role: Role) -> None:
    meta = role.wait_for_meta()
    if meta is not None:
        follow(role, meta, Guard(role.keys, meta), role.keys.verdicts)


if __name__ == "__main__":
    run_role("guard", main)
