"""What was to be expected: known times that explain a line. They explain it and hide nothing.

Makers show less shortly before funding is settled, for a position over that moment may cost more than a quote earns. A book
that is somewhat thinner then is no news, and its line says so. One that is a good deal thinner is, whatever the hour.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from engine.instruments import Instrument
from models.anomaly import Anomaly, Contribution

BEFORE_NS: Final = 60_000_000_000
AFTER_NS: Final = 10_000_000_000
"""How long before and after a settlement a thin book is expected."""

MOST: Final = 2.0
"""By what factor a feature may be outside its expected range and still be explained. In the recordings about a third of the
depth goes before funding."""

_SECOND_NS: Final = 1_000_000_000


class Calendar:
    """The times at which each symbol's funding is settled: whole intervals of UTC time. Without an interval there are none."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._interval_ns = {each.symbol: each.funding_interval_s * _SECOND_NS for each in instruments}

    def why(self, anomaly: Anomaly) -> str:
        """The reason why the line was to be expected, as part of a sentence; "" if there is none."""
        interval_ns = self._interval_ns.get(anomaly.symbol, 0)
        if anomaly.family != "depth" or interval_ns <= 0:
            return ""
        settled_ns = (anomaly.window_end_ns + BEFORE_NS) // interval_ns * interval_ns
        if settled_ns <= 0 or anomaly.window_start_ns > settled_ns + AFTER_NS:
            return ""
        if any(_is_beyond(part) for part in anomaly.contributions):
            return ""
        at = datetime.fromtimestamp(settled_ns // _SECOND_NS, UTC).strftime("%H:%M")
        return f"makers show less around {at} UTC, when funding is settled"


def _is_beyond(part: Contribution) -> bool:
    """Whether a feature is farther outside its range than a known time explains."""
    value, low, high = part.value, part.expected_low, part.expected_high
    if value is None:
        return False
    return (low is not None and value * MOST < low) or (high is not None and high > 0 and value > MOST * high)
