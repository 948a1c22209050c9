"""The order in which anomalies are shown everywhere, and from when on one is an alarm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from models.anomaly import Anomaly

ALARM_RATE: Final = 1e-5
"""A line at or below this stated false-alarm rate is an alarm, unless it says why it was to be expected or is of a kind that is
context only. A day has 86,400 windows a symbol, and what is unusual lasts for some: about one false event a symbol and day."""

SortKey = tuple[float, float, int, str, str, str]


def sort_key(anomaly: Anomaly) -> SortKey:
    """False-alarm rate ascending, then score descending, then window, symbol, family and account, so that no two lines tie."""
    account = "" if anomaly.account is None else str(anomaly.account)
    return (anomaly.false_alarm_rate, -anomaly.score, anomaly.window_end_ns, anomaly.symbol, anomaly.family, account)


def ranked(anomalies: Iterable[Anomaly]) -> list[Anomaly]:
    """The anomalies, least likely to be a false alarm first."""
    return sorted(anomalies, key=sort_key)
