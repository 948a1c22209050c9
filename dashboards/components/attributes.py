"""Attributes whose names Python cannot spell as keywords."""

from __future__ import annotations

from typing import Any


def attributes(**values: str) -> dict[str, Any]:
    """`aria_label="…"` → `{"aria-label": "…"}`, to be unpacked into a component."""
    return {name.replace("_", "-"): value for name, value in values.items()}
