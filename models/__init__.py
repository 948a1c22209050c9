"""What is unusual, and why: detectors over feature rows, with exact contributions and calibrated rates."""

from models.stream import Scores, StreamDetector

__all__ = ["Scores", "StreamDetector"]
