"""What known times explain: thin books around a funding settlement, and nothing else."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from engine.instruments import load_pack
from models.anomaly import Anomaly, Contribution
from monitor.incidents.expected import Calendar
from monitor.incidents.planned import PlannedError, load_planned
from monitor.metrics.catalogue import METRIC_NAMES, column

SECOND = 10**9
ENTRY = '[[planned]]\nwhat = "x"\n'
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


def seen(calendar, first_s, last_s, *, closed_ms=0.0, messages=5.0):
    """Windows that end at the seconds from `first_s` to `last_s`, after SETTLED, in all of which this stood."""
    for second in range(first_s, last_s + 1):
        values = np.zeros((1, len(METRIC_NAMES)))
        values[0, column("closed_ms")], values[0, column("messages")] = closed_ms, messages
        values[0, column("mid_usd")] = 100.0 if messages else np.nan
        calendar.see(SETTLED + second * SECOND, values)


def test_a_market_that_was_closed_is_explained_until_a_minute_after_it_opened():
    calendar = Calendar((BTC,))
    seen(calendar, 1000, 1010)
    assert calendar.why(line(SETTLED + 1010 * SECOND, "cancels")) == ""
    seen(calendar, 1011, 1020, closed_ms=1000.0, messages=0.0)
    closed = calendar.why(line(SETTLED + 1020 * SECOND, "prices"))
    assert closed == "the venue closed the market at 08:16:51 UTC"
    seen(calendar, 1021, 1100)
    # However far out: what one sees of a closed market compares with nothing.
    told = [
        calendar.why(line(SETTLED + s * SECOND, family, value=1.0)) for s in (1021, 1081) for family in ("cancels", "depth")
    ]
    assert told == ["the venue closed the market at 08:16:51 UTC and opened it again at 08:17 UTC".removesuffix(" UTC")] * 4
    assert calendar.why(line(SETTLED + 1082 * SECOND, "cancels")) == ""


def test_a_symbol_that_comes_later_is_new_and_one_that_was_there_is_not():
    calendar = Calendar((BTC,))
    seen(calendar, 1000, 1400, messages=0.0)
    seen(calendar, 1401, 1800)
    assert (
        calendar.why(line(SETTLED + 1700 * SECOND, "leverage"))
        == "the symbol is new: nothing was heard of it before 08:23:21 UTC"
    )
    assert calendar.why(line(SETTLED + 1703 * SECOND, "leverage")) == ""
    early = Calendar((BTC,))
    seen(early, 1000, 1010, messages=0.0)
    seen(early, 1011, 1020)
    assert early.why(line(SETTLED + 1015 * SECOND, "leverage")) == ""


def test_the_rate_of_a_new_interval_rests_on_little():
    calendar = Calendar((BTC,))

    def funding(after_s, value):
        part = Contribution("funding_rate_bps", value, -1.0, 3.0, "bps", 1.0)
        return msgspec.structs.replace(line(SETTLED + after_s * SECOND, "prices"), contributions=(part,))

    assert "funding was settled at 08:00 UTC" in calendar.why(funding(30, 4.0))
    assert calendar.why(funding(30, 7.0)) == ""
    assert calendar.why(funding(121, 4.0)) == ""


def test_what_was_planned_says_so_and_only_for_whom_it_was(tmp_path):
    file = tmp_path / "calendar.toml"
    file.write_text(
        '[[planned]]\nwhat = "maintenance <b>"\nstart = 2026-01-01T09:00:00Z\nend = 2026-01-01T09:10:00\n'
        'symbols = ["BTC-PERP"]\nfamilies = ["cancels"]\n'
    )
    calendar = Calendar((BTC,), load_planned(file))
    during = SETTLED + 3700 * SECOND
    assert calendar.why(line(during, "cancels")) == "planned: maintenance <b>"
    assert calendar.why(line(during, "prices")) == calendar.why(line(during, "cancels", symbol="OTHER")) == ""
    assert (
        calendar.why(line(SETTLED + 3600 * SECOND, "cancels")) == calendar.why(line(SETTLED + 4201 * SECOND, "cancels")) == ""
    )


@pytest.mark.parametrize(("text", "says"), [
    (ENTRY + "start = 2026-01-01T09:00:00Z\nend = 2026-01-01T09:00:00Z\n", "entry 1 (x) ends at or before it starts"),
    (ENTRY + "start = 2026-01-01T09:00:00Z\n", "end"),
    (ENTRY + 'start = "soon"\nend = 2026-01-01T09:00:00Z\n', "planned"),
    ('[[plan]]\nwhat = "x"\n', "plan"),
    ("[[planned\n", "calendar.toml"),
    (None, "give a readable calendar file"),
])  # fmt: skip
def test_a_calendar_that_cannot_be_used_says_why(tmp_path, text, says):
    file = tmp_path / "calendar.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(PlannedError) as raised:
        load_planned(file)
    assert str(file) in str(raised.value)
    assert says in str(raised.value)
