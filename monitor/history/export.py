"""The folder that a run leaves: what went over the streams, kept while it runs and written out at its end.

The exporter follows the streams as they grow and spools them into the run's state folder, so that the server can forget
what everybody has read. At the end it writes the result files, each whole or not at all, `summary.json` last. Two runs
over one input give the same bytes in all of them but for the key `wall` of the summary.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl

from monitor.bus.position import START, Position
from monitor.bus.streams import Entry, StreamError, read_after
from monitor.config import STEP_NS
from monitor.history.seal import seal
from monitor.metrics.longer import SECONDS, longer
from monitor.metrics.rows import decode_rows, empty_rows

if TYPE_CHECKING:
    from redis import Redis

    from monitor.bus.keys import Keys

SCHEMA_VERSION: Final = 1

_LONGER_FILES: Final = {f"metrics_{seconds}s.parquet": seconds for seconds in SECONDS}

RESULT_FILES: Final = (
    "metrics.parquet",
    *_LONGER_FILES,
    "anomalies.jsonl",
    "events.jsonl",
    "challenger.jsonl",
    "drifts.jsonl",
    "verdicts.jsonl",
    "audit.jsonl",
    "labels.jsonl",
    "summary.json",
)
"""Everything a run writes into its folder. Files of other names there are left alone."""

_SPOOLED: Final = ("metrics", "anomalies", "events", "challenger", "drifts", "verdicts", "audit")

READER: Final = "export"
"""The exporter's name among the readers that feed waits for."""

_BLOBS: Final = 16
_RECORDS: Final = 2048
_ROW_GROUP: Final = 131_072
"""Rows a group of the Parquet file, and its compression below, are fixed: they decide the file's bytes."""
_LENGTH_BYTES: Final = 8


class ExportError(Exception):
    """The results cannot be written: where, why, and what to do."""

    exit_code: Final = 2


class _LineKey(msgspec.Struct):
    """What of an anomaly line decides its place in the file."""

    false_alarm_rate: float
    score: float
    window_end_ns: int
    symbol: str
    family: str
    account: int | str | None


class _EventKey(msgspec.Struct):
    """What of an event decides its place in the file."""

    event: str
    false_alarm_rate: float
    alert: bool


_raw_items: Final = msgspec.json.Decoder(list[msgspec.Raw])
_line_key: Final = msgspec.json.Decoder(_LineKey)
_event_key: Final = msgspec.json.Decoder(_EventKey)


def prepare_folder(folder: Path) -> None:
    """Makes `folder`, checks that files can be written there, and takes an earlier run's results out of it.

    Whatever becomes of this run, nobody shall find the other one's files and take them for its results. Raises ExportError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".perpwatch-writable"
        probe.write_bytes(b"")
        probe.unlink()
        for name in RESULT_FILES:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(f"{folder}: cannot be written ({error.strerror}); choose another --out, or permit it") from error


class Exporter:
    """Follows one run's streams. `drain` while it runs, `finish` at its end."""

    def __init__(self, redis: Redis, keys: Keys, folder: Path, spool: Path) -> None:
        spool.mkdir(parents=True, exist_ok=True)
        self._redis = redis
        self._keys = keys
        self._folder = folder
        self._spool = {name: (spool / name).open("w+b") for name in _SPOOLED}
        self._at = dict.fromkeys((keys.metrics, keys.ranked, keys.verdicts, keys.audit), START)
        self._ended: set[str] = set()
        self._counts = {"anomalies": 0, "events": 0, "alerts": 0, "challenger": 0, "drifts": 0, "verdicts": 0, "audit": 0}
        self._last_record: bytes = b""
        self._live: dict[Position, int] = {}  # windows of the blobs whose ranking is still to come
        self._lags_ns: list[int] = []  # from a window's close (at full speed: its publication) to its ranked anomalies
        self._counters: dict[str, Any] = {}
        self._closing: dict[str, Any] = {}  # what only the end of a source tells

    @property
    def done(self) -> bool:
        """Whether every stream was read to the run's end."""
        return len(self._ended) == len(self._at)

    def position(self, stream: str) -> Position:
        """Up to where `stream` has been spooled."""
        return self._at[stream]

    @property
    def behind(self) -> Position:
        """Up to where all blob streams have been spooled: what feed must not run too far ahead of."""
        return min(position for stream, position in self._at.items() if stream != self._keys.audit)

    def drain(self) -> bool:
        """Spools what is new, a limited amount of each stream. Returns whether there was anything.

        Raises:
            StreamError: an entry is gone that was not spooled.
            OSError: the spool cannot be written.
        """
        keys = self._keys
        found = False
        for stream, take in ((keys.metrics, self._metrics), (keys.ranked, self._ranked), (keys.verdicts, self._verdicts)):
            for entry in read_after(self._redis, stream, self._at[stream], _BLOBS):
                if entry.prev != self._at[stream]:
                    raise StreamError(f"{stream}: entry {entry.position} follows {entry.prev}, exported was {self._at[stream]}")
                take(entry)
                self._at[stream] = entry.position
                found = True
                if entry.is_end:
                    self._ended.add(stream)
        records = read_after(self._redis, keys.audit, self._at[keys.audit], _RECORDS)
        for entry in records:
            self._last_record = entry.fields[b"record"]
            self._line("audit", self._last_record)
            self._at[keys.audit] = entry.position
            found = True
        # A record is committed with its verdicts: once those have ended, what is there is all there will be.
        if keys.verdicts in self._ended and len(records) < _RECORDS:
            self._ended.add(keys.audit)
        return found

    def _metrics(self, entry: Entry) -> None:
        self._counters = json.loads(entry.fields[b"counters"])
        if entry.is_end:
            self._closing = json.loads(entry.fields[b"closing"])
            return
        rows = entry.fields[b"rows"]
        self._spool["metrics"].write(len(rows).to_bytes(_LENGTH_BYTES, "little") + rows)
        if entry.fields[b"phase"] != b"HISTORY":
            self._live[entry.position] = int(entry.fields[b"last"]) - int(entry.fields[b"first"]) + 1

    def _ranked(self, entry: Entry) -> None:
        if entry.is_end:
            return
        for line in _raw_items.decode(entry.fields[b"items"]):
            self._line("anomalies", bytes(line))
        for event in _raw_items.decode(entry.fields[b"events"]):
            self._spool["events"].write(bytes(event) + b"\n")
        for line in _raw_items.decode(entry.fields.get(b"challenger", b"[]")):
            self._line("challenger", bytes(line))
        for line in _raw_items.decode(entry.fields.get(b"drifts", b"[]")):
            self._line("drifts", bytes(line))
        lag_ns = int(entry.fields[b"done_wall_ns"]) - int(entry.fields[b"closed_wall_ns"])
        self._lags_ns += [lag_ns] * self._live.pop(entry.position, 0)

    def _verdicts(self, entry: Entry) -> None:
        if not entry.is_end:
            for line in _raw_items.decode(entry.fields[b"items"]):
                self._line("verdicts", bytes(line))

    def _line(self, name: str, line: bytes) -> None:
        self._spool[name].write(line + b"\n")
        self._counts[name] += 1

    # The end --------------------------------------------------------------------------------------------------------------

    def finish(self, facts: Mapping[str, Any], wall: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the result files and returns the summary.

        `facts` and `wall` are what the caller knows beside the streams: what is the same in every run of this input, and
        what is not.

        Raises:
            ExportError: a file cannot be written. The summary is then missing, so that nobody takes the folder for whole.
        """
        for file in self._spool.values():
            file.flush()
        try:
            return self._write(facts, wall)
        except OSError as error:
            where = error.filename or self._folder
            raise ExportError(f"{where}: cannot be written ({error.strerror}); make room or choose another --out") from error

    def _write(self, facts: Mapping[str, Any], wall: Mapping[str, Any]) -> dict[str, Any]:
        rows = self._rows()
        files = {
            "metrics.parquet": self._write_file("metrics.parquet", partial(_write_rows, rows)),
            "anomalies.jsonl": self._write_file("anomalies.jsonl", partial(self._write_lines, "anomalies")),
            "events.jsonl": self._write_file("events.jsonl", self._write_events),
            "verdicts.jsonl": self._write_file("verdicts.jsonl", lambda file: self._copy("verdicts", file)),
            "audit.jsonl": self._write_file("audit.jsonl", lambda file: self._copy("audit", file)),
        }
        if rows.is_empty() or rows["window_end_ns"][0] - rows["window_start_ns"][0] == STEP_NS:
            for name, length in _LONGER_FILES.items():
                files[name] = self._write_file(name, partial(_write_rows, longer(rows, length)))
        if self._counts["challenger"]:
            files["challenger.jsonl"] = self._write_file("challenger.jsonl", partial(self._write_lines, "challenger"))
        if self._counts["drifts"]:
            files["drifts.jsonl"] = self._write_file("drifts.jsonl", partial(self._copy, "drifts"))
        labels = self._closing.get("labels")
        if labels is not None:
            lines = b"".join(_canonical(label) + b"\n" for label in labels)
            files["labels.jsonl"] = self._write_file("labels.jsonl", lambda file: file.write(lines))

        seconds = float(wall["seconds"])
        events = int(self._counters.get("events", 0))
        head = json.loads(self._last_record)["hash"] if self._last_record else ""
        summary: dict[str, Any] = {
            **facts,
            **self._counters,
            "v": SCHEMA_VERSION,
            "complete": bool(self._closing.get("complete", False)) and self.done,
            "notes": self._closing.get("notes", []),
            "anomalies": self._counts["anomalies"],
            "anomaly_events": self._counts["events"],
            "alerts": self._counts["alerts"],
            "verdicts": self._counts["verdicts"],
            "audit": {"head": head, "count": self._counts["audit"]},
            "files": files,
            "wall": {**wall, "events_per_second": round(events / seconds, 1), "lag_ms": self._lag_ms()},
        }
        summary["seal"] = seal(summary)
        data = json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        self._write_file("summary.json", lambda file: file.write(data))
        return summary

    def _write_file(self, name: str, write: Callable[[IO[bytes]], object]) -> str:
        """Writes one result file, whole or not at all. Returns its SHA-256."""
        temporary = self._folder / f".{name}.tmp"
        with temporary.open("w+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        temporary.replace(self._folder / name)
        return digest

    def _rows(self) -> pl.DataFrame:
        blobs = [decode_rows(rows) for rows in self._blobs()]
        # One chunk, so that how the run was cut into blobs does not show in the file.
        return pl.concat(blobs, rechunk=True) if blobs else empty_rows()

    def _blobs(self) -> Iterator[bytes]:
        spool = self._spool["metrics"]
        spool.seek(0)
        while head := spool.read(_LENGTH_BYTES):
            yield spool.read(int.from_bytes(head, "little"))

    def _write_lines(self, name: str, file: IO[bytes]) -> None:
        spool = self._spool[name]
        spool.seek(0)
        lines = spool.read().splitlines(keepends=True)
        file.writelines(sorted(lines, key=_place))

    def _write_events(self, file: IO[bytes]) -> None:
        """Each event as it stood last, the rarest first."""
        spool = self._spool["events"]
        spool.seek(0)
        last = {_event_key.decode(line).event: line for line in spool}
        file.writelines(sorted(last.values(), key=_event_place))
        self._counts["events"] = len(last)
        self._counts["alerts"] = sum(_event_key.decode(line).alert for line in last.values())

    def _copy(self, name: str, file: IO[bytes]) -> None:
        self._spool[name].seek(0)
        shutil.copyfileobj(self._spool[name], file)

    def _lag_ms(self) -> dict[str, Any]:
        """Percentiles of the time from a live window's close to its ranked anomalies; without live windows only a count."""
        if not self._lags_ns:
            return {"windows": 0}
        lags_ms = np.array(self._lags_ns) / 1e6
        points = np.percentile(lags_ms, (50, 90, 99, 100))
        return {"windows": len(lags_ms)} | {
            name: round(float(value), 3) for name, value in zip(("p50", "p90", "p99", "max"), points, strict=True)
        }


def _write_rows(rows: pl.DataFrame, file: IO[bytes]) -> None:
    rows.write_parquet(file, compression="zstd", compression_level=3, statistics=True, row_group_size=_ROW_GROUP)


def _place(line: bytes) -> tuple[float, float, int, str, str, str]:
    """Where a line stands in `anomalies.jsonl`: false-alarm rate ascending, then score descending, then without ties."""
    key = _line_key.decode(line)
    account = "" if key.account is None else str(key.account)
    return (key.false_alarm_rate, -key.score, key.window_end_ns, key.symbol, key.family, account)


def _event_place(line: bytes) -> tuple[float, str]:
    """Where a line stands in `events.jsonl`."""
    key = _event_key.decode(line)
    return (key.false_alarm_rate, key.event)


def _canonical(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")
