"""The state of a source that goes on from where it was: one file, there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from monitor.sources import SourceError

BEGIN_ANEW: Final = "Begin the run again"


class StateFile:
    """A state in `folder`, as bytes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "feed.state"

    def write(self, state: bytes) -> None:
        """Replaces the state; on the disk itself when this returns. Raises OSError."""
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(state)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)

    def read(self) -> bytes | None:
        """The state, None before there is one."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def unusable(self, error: Exception) -> SourceError:
        """What to raise where the state makes no sense."""
        return SourceError(f"the snapshot cannot be used: {error}", str(self.path), BEGIN_ANEW)
