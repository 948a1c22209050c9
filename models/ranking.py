"""The order in which anomalies are shown everywhere, and the events that their lines belong to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from models.anomaly import Anomaly

ALARM_RATE: Final = 1e-5
"""A line at or below this stated false-alarm rate is an alarm, unless it says why it was to be expected or is of a kind that is
context only. A day has 86,400 windows a symbol, and what is unusual lasts for some: about one false event a symbol and day."""

EVENT_GAP_NS: Final = 30_000_000_000
"""Lines of one symbol, account and family no further apart than this are one event."""

SortKey = tuple[float, float, int, str, str, str]


def sort_key(anomaly: Anomaly) -> SortKey:
    """False-alarm rate ascending, then score descending, then window, symbol, family and account, so that no two lines tie."""
    account = "" if anomaly.account is None else str(anomaly.account)
    return (anomaly.false_alarm_rate, -anomaly.score, anomaly.window_end_ns, anomaly.symbol, anomaly.family, account)


def ranked(anomalies: Iterable[Anomaly]) -> list[Anomaly]:
    """The anomalies, least likely to be a false alarm first."""
    return sorted(anomalies, key=sort_key)


class EventGrouper:
    """Gives each line the event it belongs to, as the lines come.

    Lines must come in order of their window's end. An event lasts as long as a line follows the one before it within
    `EVENT_GAP_NS`; its id names the family, the symbol and the index of its first window, so that a replay gives the same ids.
    The state is one entry for each symbol, account and family that ever had a line, and can be pickled.
    """

    def __init__(self, step_ns: int = 1_000_000_000) -> None:
        self._step_ns = step_ns
        self._open: dict[tuple[str, str, str], tuple[str, int]] = {}

    def assign(self, anomalies: Iterable[Anomaly]) -> list[Anomaly]:
        """The lines with their `event` filled, in the order given.

        Raises ValueError if a line is older than the one before it in its event.
        """
        return [self._assign(anomaly) for anomaly in anomalies]

    def _assign(self, anomaly: Anomaly) -> Anomaly:
        account = "" if anomaly.account is None else str(anomaly.account)
        key = (anomaly.family, anomaly.symbol, account)
        event, last = self._open.get(key, ("", 0))
        if event and anomaly.window_end_ns < last:
            raise ValueError(
                f"{anomaly.family} {anomaly.symbol}: a window that ends at {anomaly.window_end_ns} came after one that ends "
                f"at {last}; give lines in the order of their windows"
            )
        if not event or anomaly.window_end_ns - last > EVENT_GAP_NS:
            name = "-".join(part for part in (anomaly.family, anomaly.symbol, account) if part)
            event = f"{name}-{anomaly.window_end_ns // self._step_ns}"
        self._open[key] = (event, anomaly.window_end_ns)
        return msgspec.structs.replace(anomaly, event=event)
