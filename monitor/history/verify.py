"""`perpwatch audit verify`: proves a run's verdicts from its metrics, with nothing but the files of the run.

Four questions, in this order: are the files those that the summary sealed; is the chain whole; do the rules, applied
again to the recorded metrics, give the recorded chain byte for byte; do the verdicts stand in it as they stand in
`verdicts.jsonl`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from monitor.guardrails.audit import NO_PREVIOUS
from monitor.guardrails.engine import GuardEngine
from monitor.guardrails.pack import Pack, PackError, check_pack
from monitor.history.seal import seal

_encoder = msgspec.json.Encoder(order="sorted")
_WINDOWS_A_CALL = 4096


class AuditError(Exception):
    """The run is not what its audit says: what differs, where, and what that means."""


class AuditReport(msgspec.Struct, frozen=True):
    """A chain that holds."""

    records: int
    windows: int
    verdicts: int
    head: str


def verify(folder: Path) -> AuditReport:
    """Checks the run in `folder`. Raises AuditError at the first fault, OSError when a file cannot be read."""
    summary = _sealed_summary(folder)
    records = _whole_chain(folder / "audit.jsonl", summary)
    verdicts = _same_again(folder, records)
    return AuditReport(records=len(records), windows=len(records) - 1, verdicts=verdicts, head=summary["audit"]["head"])


def _sealed_summary(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    try:
        summary = json.loads(path.read_bytes())
        files, recorded, audit = dict(summary["files"]), str(summary["seal"]), dict(summary["audit"])
        audit["head"], audit["count"]
    except (ValueError, KeyError, TypeError) as error:
        raise AuditError(
            f"{path}: cannot be read as a run's summary ({error!r}); take the file from where the run wrote it"
        ) from error
    if seal(summary) != recorded:
        raise AuditError(f"{path}: its content does not match its seal {recorded[:16]}…; the file was changed after the run")
    for name in ("metrics.parquet", "verdicts.jsonl", "audit.jsonl"):
        if name not in files:
            raise AuditError(f"{path}: files: {name} is not sealed; the run did not finish")
    for name, expected in sorted(files.items()):
        actual = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if actual != expected:
            raise AuditError(
                f"{folder / name}: SHA-256 is {actual[:16]}…, sealed was {expected[:16]}…; the file was changed after the run"
            )
    return dict(summary)


def _whole_chain(path: Path, summary: dict[str, Any]) -> list[bytes]:
    lines = path.read_bytes().splitlines()
    previous = NO_PREVIOUS
    for n, line in enumerate(lines):
        where = f"{path} line {n + 1}"
        try:
            record = msgspec.json.decode(line)
            body = {key: value for key, value in record.items() if key != "hash"}
            stated, link, number = record["hash"], record["prev"], record["n"]
        except (msgspec.DecodeError, AttributeError, KeyError) as error:
            raise AuditError(f"{where}: not an audit record ({error!r})") from error
        if number != n:
            raise AuditError(f"{where}: record {number} stands where {n} belongs; records were removed, added or moved")
        if link != previous:
            raise AuditError(f"{where}: it follows {str(link)[:16]}…, but the record before it is {previous[:16]}…")
        if hashlib.sha256(_encoder.encode(body)).hexdigest() != stated:
            raise AuditError(f"{where}: its content does not match its hash {str(stated)[:16]}…; the record was changed")
        previous = stated
    if (previous, len(lines)) != (summary["audit"]["head"], summary["audit"]["count"]):
        raise AuditError(
            f"{path}: it ends with record {len(lines)}, {previous[:16]}…; the summary says "
            f"{summary['audit']['count']}, {str(summary['audit']['head'])[:16]}…; the end was cut off or put on"
        )
    if not lines:
        raise AuditError(f"{path}: the chain is empty; a run that judged a window has at least two records")
    return lines


def _same_again(folder: Path, records: list[bytes]) -> int:
    genesis = msgspec.json.decode(records[0])
    try:
        symbols, metrics = tuple(genesis["symbols"]), tuple(genesis["metrics"])
        pack = check_pack(msgspec.convert(genesis["pack"], Pack), metrics)
    except (KeyError, TypeError, msgspec.ValidationError, PackError) as error:
        raise AuditError(f"{folder / 'audit.jsonl'} line 1: its pack cannot be read ({error})") from error
    if pack.sha256 != genesis.get("pack_sha256"):
        raise AuditError(f"{folder / 'audit.jsonl'} line 1: the pack's hash is not that of the pack beside it")

    guard = GuardEngine(symbols, metrics, pack)
    recorded_verdicts = (folder / "verdicts.jsonl").read_bytes().splitlines()
    n_record = n_verdict = 0
    for window_end_ns, values in _windows(folder / "metrics.parquet", symbols, metrics):
        output = guard.process(window_end_ns, values)
        for entry in output.audit:
            if n_record >= len(records) or records[n_record] != entry.record:
                raise AuditError(
                    f"{folder / 'audit.jsonl'} line {n_record + 1}: the rules, applied again to the recorded metrics of the "
                    f"window that ended at {entry.window_end_ns}, give another record; metrics, verdicts or rules are not "
                    "those of the run"
                )
            n_record += 1
        for verdict in output.verdicts:
            if n_verdict >= len(recorded_verdicts) or recorded_verdicts[n_verdict] != _encoder.encode(verdict):
                raise AuditError(f"{folder / 'verdicts.jsonl'} line {n_verdict + 1}: the rules give {verdict}")
            n_verdict += 1
    if n_record != len(records):
        raise AuditError(f"{folder / 'metrics.parquet'}: it holds {n_record - 1} windows, the chain {len(records) - 1}")
    if n_verdict != len(recorded_verdicts):
        raise AuditError(f"{folder / 'verdicts.jsonl'}: it holds {len(recorded_verdicts)} verdicts, the rules give {n_verdict}")
    return n_verdict


def _windows(
    path: Path, symbols: tuple[str, ...], metrics: tuple[str, ...]
) -> Iterator[tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.float64]]]]:
    """(window_end_ns [W], values [W, S, M]) in pieces, from rows sorted by window and then by the run's symbol order."""
    try:
        rows = pl.read_parquet(path)
        ends = rows["window_end_ns"].to_numpy()
        named = rows["symbol"].to_list()
        values = np.column_stack([rows[name].cast(pl.Float64).to_numpy() for name in metrics])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise AuditError(f"{path}: cannot be read as metrics ({error})") from error
    if len(named) % len(symbols) or named != list(symbols) * (len(named) // len(symbols)):
        raise AuditError(f"{path}: rows are not one for each window and symbol, in the order {', '.join(symbols)}")
    ends = ends.reshape(-1, len(symbols))
    values = np.ascontiguousarray(values, dtype=np.float64).reshape(-1, len(symbols), len(metrics))
    if (ends != ends[:, :1]).any() or (np.diff(ends[:, 0]) <= 0).any():
        raise AuditError(f"{path}: the windows' ends do not rise")
    for start in range(0, len(ends), _WINDOWS_A_CALL):
        yield ends[start : start + _WINDOWS_A_CALL, 0].astype(np.int64), values[start : start + _WINDOWS_A_CALL]
