"""What people decided, kept: an append-only file of records, each holding the hash of the one before.

One file a subject in the folder of `PERPWATCH_STATE` (without it `~/.local/state/perpwatch`). A record is a canonical JSON line
as in the audit chain; a changed, missing or torn one is found when the file is read, and nothing is added to such a file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from monitor.guardrails.audit import NO_PREVIOUS, Chain

STATE_VARIABLE: Final = "PERPWATCH_STATE"

_encoder: Final = msgspec.json.Encoder(order="sorted")


class RegisterError(ValueError):
    """A register that cannot be read or written: which file, where in it, and what to do."""


def state_folder() -> Path:
    """Where registers are kept."""
    given = os.environ.get(STATE_VARIABLE)
    return Path(given) if given else Path.home() / ".local" / "state" / "perpwatch"


class Register:
    """The records of one subject."""

    def __init__(self, subject: str) -> None:
        self.path = state_folder() / f"{subject}.jsonl"

    def records(self) -> list[dict[str, Any]]:
        """All records in their order; none if there is no file. Raises RegisterError."""
        try:
            return _checked(self.path, self.path.read_bytes())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RegisterError(f"{self.path}: {error.strerror}: permit reading, or set {STATE_VARIABLE}") from error

    def add(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Adds a record and returns it as it stands. Raises RegisterError."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                before = _checked(self.path, file.read())
                chain = Chain(before[-1]["hash"] if before else NO_PREVIOUS, len(before))
                line = chain.seal(content)
                file.write(line + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RegisterError(f"{self.path}: {error.strerror}: permit writing, or set {STATE_VARIABLE}") from error
        added: dict[str, Any] = msgspec.json.decode(line)
        return added


def _checked(path: Path, data: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    head = NO_PREVIOUS
    lines = data.split(b"\n")
    if lines[-1]:
        raise RegisterError(f"{path}: the last record is torn: cut the file after its last line end")
    for n, line in enumerate(lines[:-1]):
        try:
            record = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise RegisterError(f"{path}: line {n + 1} is no record: restore the file from a copy") from None
        body = {key: value for key, value in record.items() if key != "hash"}
        sealed = hashlib.sha256(_encoder.encode(body)).hexdigest()
        if record.get("hash") != sealed or record.get("prev") != head or record.get("n") != n:
            raise RegisterError(f"{path}: line {n + 1} was changed, or one before it is missing: restore the file from a copy")
        head = sealed
        found.append(record)
    return found
