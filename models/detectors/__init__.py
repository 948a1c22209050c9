"""The detectors of each family over symbols and over accounts, and the panels that run them all.

The panels come when they are asked for: they load river's trees and drift detection, which most who look at an anomaly's kind
or a family's features do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.detectors.accounts import AccountPanel
    from models.detectors.panel import Panel

__all__ = ["AccountPanel", "Panel"]


def __getattr__(name: str) -> Any:
    if name == "Panel":
        from models.detectors.panel import Panel

        return Panel
    if name == "AccountPanel":
        from models.detectors.accounts import AccountPanel

        return AccountPanel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
