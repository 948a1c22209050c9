"""The order of anomalies."""

from __future__ import annotations

from models.anomaly import Anomaly, Contribution
from models.ranking import ranked

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
