"""Where the real recordings are, and a clear skip where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(*parts: str) -> Path:
    """The path of one recording; skips the calling test where the recordings are not at hand."""
    root = Path(os.environ.get("PERPWATCH_DATA", _BESIDE_REPOSITORY))
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(
            f"no recording {'/'.join(parts)}: put the recordings into shared/data beside the checkout, or set PERPWATCH_DATA"
        )
    return path
