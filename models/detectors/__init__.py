"""The detectors of each family, and the panel that runs them all."""

from models.detectors.panel import Panel

__all__ = ["Panel"]
