"""The guard: every rule of a pack over every symbol, window by window, with a record of each step for the audit chain.

Deterministic: the same metric rows and pack give the same bytes, however the windows are split into calls. There is no
clock, no run id, no randomness, and nothing a model could reach.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.guardrails.audit import Chain, rows_sha256, states_sha256
from monitor.guardrails.pack import Layer, Pack, Rule
from monitor.guardrails.rules import PriceMemory, measure
from monitor.guardrails.verdict import START, Level, RuleState, Thresholds, advance

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SHOWN_DIGITS: Final = 4


class Verdict(msgspec.Struct, frozen=True):
    """One change of a rule's level for one symbol: a line of `verdicts.jsonl` and a part of the window's audit record."""

    window_end_ns: int
    symbol: str
    layer: Layer
    rule: str
    level: str
    previous: str
    value: float | None
    limit: float
    unit: str
    text: str
    pack_sha256: str


class StateView(msgspec.Struct, frozen=True):
    """How a rule stands now for one symbol, as the board shows it."""

    rule: str
    symbol: str
    layer: Layer
    state: str
    since_ns: int
    window_end_ns: int
    value: float | None
    limit: float
    unit: str
    text: str


class AuditEntry(msgspec.Struct, frozen=True):
    """One record of the chain as its canonical line, and the window it belongs to (the first record: the one before)."""

    window_end_ns: int
    record: bytes


class GuardOutput(msgspec.Struct, frozen=True):
    """What one call found: level changes and audit records in window order, and all states after the last window."""

    verdicts: list[Verdict]
    audit: list[AuditEntry]
    states: list[StateView]


class _Cell(msgspec.Struct):
    """One rule for one symbol: its state and memory."""

    state: RuleState = START
    memory: PriceMemory = PriceMemory()
    value: float | None = None


class _Snapshot(msgspec.Struct):
    cells: list[list[_Cell]]
    chain: Chain | None


class GuardEngine:
    """All rules of `pack` over `symbols`, fed with metric rows whose columns are `metric_names`."""

    def __init__(self, symbols: tuple[str, ...], metric_names: tuple[str, ...], pack: Pack) -> None:
        self._symbols = symbols
        self._metric_names = metric_names
        self._pack = pack
        self._sha256 = pack.sha256
        self._rules: list[tuple[Rule, Thresholds, int]] = [
            (rule, pack.thresholds(rule), metric_names.index(rule.input)) for rule in pack.rules
        ]
        self._cells = [[_Cell() for _ in symbols] for _ in self._rules]
        self._chain: Chain | None = None
        self._window_end_ns = 0

    def process(self, window_end_ns: IntArray, values: FloatArray) -> GuardOutput:
        """Judges windows in order. `window_end_ns` int64 [W]; `values` float64 [W, S, M], NaN is missing."""
        expected = (len(window_end_ns), len(self._symbols), len(self._metric_names))
        if values.shape != expected:
            raise ValueError(f"guard: metric rows of shape {values.shape}, expected {expected} (windows, symbols, metrics)")
        verdicts: list[Verdict] = []
        audit: list[AuditEntry] = []
        for end_ns, window in zip(window_end_ns.tolist(), values, strict=True):
            if self._chain is None:
                self._chain = Chain()
                genesis = {
                    "symbols": self._symbols,
                    "metrics": self._metric_names,
                    "pack": self._pack,
                    "pack_sha256": self._sha256,
                }
                audit.append(AuditEntry(end_ns, self._chain.seal(genesis)))
            changes = self._judge(end_ns, window)
            content = {
                "window_end_ns": end_ns,
                "rows_sha256": rows_sha256(end_ns, window),
                "states_sha256": states_sha256([[cell.state for cell in row] for row in self._cells]),
                "verdicts": changes,
            }
            audit.append(AuditEntry(end_ns, self._chain.seal(content)))
            verdicts.extend(changes)
            self._window_end_ns = end_ns
        return GuardOutput(verdicts, audit, self._views())

    def _judge(self, end_ns: int, window: FloatArray) -> list[Verdict]:
        changes: list[Verdict] = []
        for (rule, thresholds, column), cells in zip(self._rules, self._cells, strict=True):
            for symbol, cell, raw in zip(self._symbols, cells, window[:, column].tolist(), strict=True):
                before = cell.state
                cell.memory, cell.value = measure(rule, cell.memory, raw)
                cell.state = advance(before, cell.value, thresholds, end_ns)
                if cell.state.level != before.level or before is START:
                    changes.append(
                        Verdict(
                            window_end_ns=end_ns,
                            symbol=symbol,
                            layer=rule.layer,
                            rule=rule.name,
                            level=cell.state.level.word,
                            previous=before.level.word,
                            value=cell.value,
                            limit=thresholds.limit(cell.state.held),
                            unit=rule.unit,
                            text=_sentence(rule, thresholds, cell),
                            pack_sha256=self._sha256,
                        )
                    )
        return changes

    def _views(self) -> list[StateView]:
        return [
            StateView(
                rule=rule.name,
                symbol=symbol,
                layer=rule.layer,
                state=cell.state.level.word,
                since_ns=cell.state.since_ns,
                window_end_ns=self._window_end_ns,
                value=cell.value,
                limit=thresholds.limit(cell.state.held),
                unit=rule.unit,
                text=_sentence(rule, thresholds, cell),
            )
            for (rule, thresholds, _), cells in zip(self._rules, self._cells, strict=True)
            for symbol, cell in zip(self._symbols, cells, strict=True)
        ]

    @property
    def head(self) -> tuple[str, int]:
        """(hash of the chain's last record, number of records); an empty chain has no head."""
        return (self._chain.head, self._chain.count) if self._chain is not None else ("", 0)

    def snapshot(self) -> bytes:
        """Everything that later verdicts and records depend on, as JSON."""
        return msgspec.json.encode((self._window_end_ns, _Snapshot(self._cells, self._chain)))

    def restore(self, snapshot: bytes) -> None:
        """Takes the state of a guard with the same symbols and pack."""
        self._window_end_ns, state = msgspec.json.decode(snapshot, type=tuple[int, _Snapshot])
        if [len(row) for row in state.cells] != [len(self._symbols)] * len(self._rules):
            raise ValueError("guard: the snapshot is of other symbols or another pack; start the run anew")
        self._cells, self._chain = state.cells, state.chain


def _sentence(rule: Rule, thresholds: Thresholds, cell: _Cell) -> str:
    level = cell.state.level
    if level == Level.UNKNOWN:
        return f"{rule.input} is missing, so {rule.name} cannot be judged"
    if cell.value is None:
        return f"{rule.input} is missing; a halt stays until it can be checked"
    said = rule.text.replace("{value}", _amount(cell.value, rule.unit))
    return f"{said}; {level.word}, limit {_amount(thresholds.limit(cell.state.held), rule.unit)}"


def _amount(value: float, unit: str) -> str:
    return f"{value:.{_SHOWN_DIGITS}g} {unit}" if abs(value) < 10**_SHOWN_DIGITS else f"{value:.0f} {unit}"
