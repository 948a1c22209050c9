"""The order of anomalies, and the events that their lines belong to."""

from __future__ import annotations

import pickle

import pytest

from models.anomaly import Anomaly, Contribution
from models.ranking import EVENT_GAP_NS, EventGrouper, ranked

SECOND = 1_000_000_000


def _line(second: int, rate: float = 1e-3, score: float = 5.0, symbol: str = "BTC", family: str = "cancels") -> Anomaly:
    return Anomaly(
        window_start_ns=(second - 1) * SECOND,
        window_end_ns=second * SECOND,
        window_ms=1000,
        symbol=symbol,
        account=None,
        family=family,
        layer="execution",
        event="",
        score=score,
        rarity=0.999,
        false_alarm_rate=rate,
        contributions=(Contribution("cancels", 9.0, 1.0, 4.0, "count", score),),
    )


def test_the_least_likely_false_alarm_comes_first() -> None:
    lines = [_line(4, 1e-3, 9.0), _line(3, 1e-5, 2.0), _line(2, 1e-3, 11.0), _line(1, 1e-3, 9.0), _line(1, 1e-3, 9.0, "ADA")]
    assert [(a.window_end_ns // SECOND, a.symbol) for a in ranked(lines)] == [
        (3, "BTC"), (2, "BTC"), (1, "ADA"), (1, "BTC"), (4, "BTC"),
    ]  # fmt: skip
    assert ranked(reversed(lines)) == ranked(lines)


def test_lines_within_thirty_seconds_are_one_event() -> None:
    gap = EVENT_GAP_NS // SECOND
    lines = EventGrouper().assign([_line(100), _line(101), _line(101 + gap), _line(102 + 2 * gap)])
    assert [a.event for a in lines] == ["cancels-BTC-100"] * 3 + [f"cancels-BTC-{102 + 2 * gap}"]


def test_symbols_and_families_have_events_of_their_own() -> None:
    lines = EventGrouper().assign([_line(100), _line(101, symbol="ETH"), _line(102, family="depth"), _line(103)])
    assert [a.event for a in lines] == ["cancels-BTC-100", "cancels-ETH-101", "depth-BTC-102", "cancels-BTC-100"]


def test_events_are_the_same_however_the_lines_arrive() -> None:
    lines = [_line(s) for s in (5, 9, 70, 71, 130, 131, 180)]
    whole = EventGrouper().assign(lines)
    grouper, parts = EventGrouper(), []
    for line in lines:
        parts += grouper.assign([line])
        grouper = pickle.loads(pickle.dumps(grouper))
    assert parts == whole


def test_a_line_from_the_past_is_refused() -> None:
    grouper = EventGrouper()
    grouper.assign([_line(100)])
    with pytest.raises(ValueError, match=r"cancels BTC: a window that ends at 99000000000 came after"):
        grouper.assign([_line(99)])
