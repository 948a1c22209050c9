"""The families of a panel, each of which has a module of its own."""

from __future__ import annotations

from typing import Final

from models.detectors.cancels import CANCELS
from models.detectors.depth import DEPTH
from models.detectors.leverage import LEVERAGE
from models.detectors.prices import PRICES

FAMILIES: Final = (CANCELS, DEPTH, LEVERAGE, PRICES)
