"""The installed command, as a user calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND = Path(sys.executable).with_name("perpwatch")


def perpwatch(*arguments: object, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end. It uses a server of its own, whatever REDIS_URL says."""
    environment = {key: value for key, value in os.environ.items() if key != "REDIS_URL"}
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=timeout_s, env=environment
    )
