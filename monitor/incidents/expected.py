"""What was to be expected: known times and states that explain a line. They explain it and hide nothing.

- Makers show less shortly before funding is settled, for a position over that moment may cost more than a quote earns; and the
  funding rate begins anew at the settlement. A book that is somewhat thinner then is no news, and its line says so. One that is
  a good deal thinner is, whatever the hour.
- A symbol that the venue has halted, or holds an auction in, does not trade as usual, nor does it in the minute after.
- A symbol that has just been listed has nothing that would be usual for it.
- What somebody has planned and written down: a maintenance, a listing, an upgrade (`monitor.incidents.planned`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from models.anomaly import Anomaly, Contribution
from models.detectors.reads import METRICS_OF
from monitor.metrics.catalogue import column

if TYPE_CHECKING:
    from engine.instruments import Instrument
    from monitor.incidents.planned import Planned

_SECOND_NS: Final = 1_000_000_000

BEFORE_NS: Final = 60 * _SECOND_NS
AFTER_NS: Final = 10 * _SECOND_NS
"""How long before and after a settlement a thin book is expected."""
ANEW_NS: Final = 120 * _SECOND_NS
"""How long after a settlement the rate of the interval that began rests on too little to say anything."""
OPENED_NS: Final = 60 * _SECOND_NS
"""How long after a market has opened again it is not as usual."""
LISTED_NS: Final = 300 * _SECOND_NS
"""How long a new symbol has nothing to be compared with."""

MOST: Final = 2.0
"""By what factor a feature may be outside its expected range and still be explained by a settlement. In the recordings about a
third of the depth goes before funding."""

_CLOSED: Final = column("closed_ms")
_MESSAGES: Final = column("messages")
_MID: Final = column("mid_usd")


class Calendar:
    """The times at which each symbol's funding is settled, what was planned, and since when each symbol has traded.

    Windows are seen in order; then lines that end with the last of them can be asked about. Can be pickled.
    """

    def __init__(self, instruments: Iterable[Instrument] = (), planned: Iterable[Planned] = ()) -> None:
        listed = tuple(instruments)
        self._interval_ns = {each.symbol: each.funding_interval_s * _SECOND_NS for each in listed}
        self._place = {each.symbol: s for s, each in enumerate(listed)}
        self._planned = tuple(planned)
        self._first_ns: int | None = None
        self._heard_ns = np.zeros(len(listed), np.int64)
        self._shut_ns = np.zeros(len(listed), np.int64)
        self._until_ns = np.zeros(len(listed), np.int64)
        """Ends of the first window in which anything was heard of each symbol, and of the first and last of the last windows
        in which it was not open; 0 for none."""

    def see(self, end_ns: int, values: npt.NDArray[np.float64]) -> None:
        """One window: `values` [S, M] in the order of the instruments and the catalogue."""
        if self._first_ns is None:
            self._first_ns = end_ns
        closed = values[:, _CLOSED] > 0.0
        fresh = closed & (end_ns - self._until_ns > OPENED_NS)
        self._shut_ns[fresh] = end_ns
        self._until_ns[closed] = end_ns
        heard = (values[:, _MESSAGES] > 0.0) | ~np.isnan(values[:, _MID])
        self._heard_ns[heard & (self._heard_ns == 0)] = end_ns

    def why(self, anomaly: Anomaly) -> str:
        """The reason why the line was to be expected, as part of a sentence; "" if there is none."""
        return self._trading(anomaly) or self._announced(anomaly) or self._funding(anomaly)

    def _trading(self, anomaly: Anomaly) -> str:
        s = self._place.get(anomaly.symbol)
        if s is None or self._first_ns is None or anomaly.family == "market":
            return ""
        until_ns, heard_ns = int(self._until_ns[s]), int(self._heard_ns[s])
        if until_ns and anomaly.window_start_ns <= until_ns + OPENED_NS:
            return f"the venue closed the market at {_clock(int(self._shut_ns[s]))} UTC" + (
                "" if until_ns >= anomaly.window_end_ns else f" and opened it again at {_clock(until_ns)}"
            )
        # What was there when the run began is not new.
        if heard_ns > self._first_ns + LISTED_NS and anomaly.window_start_ns <= heard_ns + LISTED_NS:
            return f"the symbol is new: nothing was heard of it before {_clock(heard_ns)} UTC"
        return ""

    def _announced(self, anomaly: Anomaly) -> str:
        where = (anomaly.symbol, anomaly.family, anomaly.window_start_ns, anomaly.window_end_ns)
        return next((f"planned: {each.what}" for each in self._planned if each.covers(*where)), "")

    def _funding(self, anomaly: Anomaly) -> str:
        interval_ns = self._interval_ns.get(anomaly.symbol, 0)
        if interval_ns <= 0:
            return ""
        about = {metric for part in anomaly.contributions[:1] for metric in _metrics(anomaly, part)}
        if "funding_rate_bps" in about:
            settled_ns = anomaly.window_end_ns // interval_ns * interval_ns
            if settled_ns > 0 and anomaly.window_end_ns <= settled_ns + ANEW_NS and not _is_beyond(anomaly.contributions[0]):
                return f"funding was settled at {_clock(settled_ns)} UTC, and the rate of the new interval rests on little"
            return ""
        if anomaly.family not in ("depth", "market") or (anomaly.family == "market" and anomaly.kind != "depth"):
            return ""
        settled_ns = (anomaly.window_end_ns + BEFORE_NS) // interval_ns * interval_ns
        if settled_ns <= 0 or anomaly.window_start_ns > settled_ns + AFTER_NS:
            return ""
        if any(_is_beyond(part) for part in anomaly.contributions):
            return ""
        return f"makers show less around {_clock(settled_ns)} UTC, when funding is settled"


def _metrics(anomaly: Anomaly, part: Contribution) -> tuple[str, ...]:
    return METRICS_OF.get((anomaly.family, part.feature), (part.feature,))


def _clock(ns: int) -> str:
    at = datetime.fromtimestamp(ns // _SECOND_NS, UTC)
    return at.strftime("%H:%M:%S" if at.second else "%H:%M")


def _is_beyond(part: Contribution) -> bool:
    """Whether a feature is farther outside its range than a known time explains."""
    value, low, high = part.value, part.expected_low, part.expected_high
    if value is None:
        return False
    return (low is not None and value * MOST < low) or (high is not None and high > 0 and value > MOST * high)
