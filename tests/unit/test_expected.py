"""What known times explain: thin books around a funding settlement, and nothing else."""

from __future__ import annotations

import msgspec
import pytest

from engine.instruments import load_pack
from models.anomaly import Anomaly, Contribution
from monitor.incidents.expected import Calendar

SECOND = 10**9
SETTLED = 1_767_254_400 * SECOND  # 08:00 UTC
BTC = load_pack("core").instrument("BTC-PERP")


def line(end_ns, family="depth", symbol="BTC-PERP", window_s=1, value=60.0, low=100.0, high=200.0):
    part = Contribution("depth_5_usd", value, low, high, "usd", 1.0)
    start_ns, window_ms = end_ns - window_s * SECOND, 1000 * window_s
    return Anomaly(start_ns, end_ns, window_ms, symbol, None, family, "execution", "", 1.0, 1.0, 1e-4, (part,))


@pytest.mark.parametrize(("after_s", "window_s", "is_expected"), [
    (-61, 1, False), (-60, 1, True), (-1, 1, True), (0, 1, True), (5, 1, True), (11, 1, True), (12, 1, False),
    (12, 10, True), (3600, 1, False), (14_400, 1, False),
])  # fmt: skip
def test_a_thin_book_around_a_settlement_is_expected(after_s, window_s, is_expected):
    why = Calendar((BTC,)).why(line(SETTLED + after_s * SECOND, window_s=window_s))
    assert why == ("makers show less around 08:00 UTC, when funding is settled" if is_expected else "")


def test_nothing_else_is():
    calendar = Calendar((BTC, msgspec.structs.replace(BTC, symbol="NONE", funding_interval_s=0)))
    for family in ("cancels", "leverage", "prices", "market"):
        assert calendar.why(line(SETTLED, family)) == ""
    assert calendar.why(line(SETTLED, symbol="NONE")) == ""
    assert calendar.why(line(SETTLED, symbol="UNKNOWN")) == ""
    assert Calendar().why(line(SETTLED)) == ""
    assert calendar.why(line(SECOND)) == ""


@pytest.mark.parametrize(
    ("value", "low", "high", "is_expected"),
    [(51.0, 100.0, 200.0, True), (49.0, 100.0, 200.0, False), (390.0, 100.0, 200.0, True), (410.0, 100.0, 200.0, False),
     (None, 100.0, 200.0, True), (5.0, None, None, True)],
)  # fmt: skip
def test_what_is_far_out_is_no_dip(value, low, high, is_expected):
    assert bool(Calendar((BTC,)).why(line(SETTLED, value=value, low=low, high=high))) == is_expected
