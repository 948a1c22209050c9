"""A Redis server for tests: the embedded one, and Debian's where it is there."""

from __future__ import annotations

import shutil

import pytest

KINDS = [
    "embedded",
    pytest.param(
        "redis-server",
        marks=[
            pytest.mark.redis_server,
            pytest.mark.skipif(not shutil.which("redis-server"), reason="needs a redis-server: apt-get install redis-server"),
        ],
    ),
]
"""Parameters for a fixture that starts a server of each kind."""
