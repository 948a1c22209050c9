"""The detectors of each family over symbols and over accounts, and the panels that run them all."""

from models.detectors.accounts import AccountPanel
from models.detectors.panel import Panel

__all__ = ["AccountPanel", "Panel"]
