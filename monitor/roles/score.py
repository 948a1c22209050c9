"""The score role: the detectors over every window and over accounts, and the accounts behind what they find."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from models.detectors import AccountPanel, Panel
from models.ranking import sort_key
from monitor.bus.commit import Output, SetValue, Value
from monitor.incidents.evidence import LONGEST_WINDOWS, Evidence
from monitor.incidents.expected import Calendar
from monitor.metrics.accounts import COLUMNS, SPAN
from monitor.metrics.catalogue import METRIC_NAMES
from monitor.metrics.rows import decode_accounts
from monitor.roles.follower import SCHEMA_VERSION, Blob, follow, items_json
from monitor.roles.runtime import Role, run_role

if TYPE_CHECKING:
    from monitor.bus.keys import Keys
    from monitor.bus.meta import RunMeta
    from monitor.config import RunConfig


class Scorer:
    """A `Follower` around the detectors."""

    def __init__(self, keys: Keys, meta: RunMeta, config: RunConfig) -> None:
        self._keys = keys
        self._panel = Panel(meta.symbols, METRIC_NAMES, meta.step_ns, config.variant)
        # In shadow: it sees the same rows, and nobody acts on what it says.
        shadow = config.challenger
        self._challenger = Panel(meta.symbols, METRIC_NAMES, meta.step_ns, shadow) if shadow else None
        self._accounts = AccountPanel(meta.symbols, tuple(COLUMNS), meta.step_ns, SPAN)
        self._evidence = Evidence(meta.symbols, LONGEST_WINDOWS, Calendar(meta.instruments, config.planned))

    def process(self, blob: Blob) -> tuple[list[Output], list[SetValue]]:
        found = self._panel.process(blob.window_index, blob.values)
        found += self._accounts.process(*decode_accounts(blob.accounts))
        found.sort(key=lambda line: (line.window_end_ns, sort_key(line)))
        items = self._evidence.explain(found, blob, blob.phase)
        fields: dict[str, Value] = {"v": SCHEMA_VERSION, "items": items_json(items)}
        drifts = self._panel.take_drifts()
        if drifts:
            fields["drifts"] = items_json(drifts)
        if self._challenger is not None:
            fields["challenger"] = items_json(self._challenger.process(blob.window_index, blob.values))
        return [Output(self._keys.anomalies, blob.position, fields)], []

    def snapshot(self) -> bytes:
        state = (self._panel, self._challenger, self._accounts, self._evidence)
        return pickle.dumps(state, protocol=pickle.HIGHEST_PROTOCOL)

    def restore(self, state: bytes) -> None:
        # The caller has checked the signature: these are bytes that this role of this run wrote.
        self._panel, self._challenger, self._accounts, self._evidence = pickle.loads(state)  # noqa: S301


def main(role: Role) -> None:
    meta = role.wait_for_meta()
    if meta is not None:
        follow(role, meta, Scorer(role.keys, meta, role.config), role.keys.anomalies)


if __name__ == "__main__":
    run_role("score", main)
