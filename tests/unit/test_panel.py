"""The panel: what is unusual comes first, contributions add up, and the stated rates hold."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from models.anomaly import Anomaly
from models.detectors import Panel
from models.ranking import ranked
from tests.flow_rows import NAMES, SYMBOLS, column, quiet_rows

WINDOWS = 1860
INDEX = np.arange(WINDOWS) + 1_700_000_000


@pytest.fixture(scope="module")
def quiet() -> list[Anomaly]:
    return Panel(SYMBOLS, NAMES).process(INDEX, quiet_rows(WINDOWS, seed=11))


def _first(found: list[Anomaly], family: str) -> Anomaly:
    return ranked(a for a in found if a.family == family)[0]


def test_each_line_is_explained_to_its_last_digit(quiet: list[Anomaly]) -> None:
    assert len(quiet) > 100
    seen = set()
    for anomaly in quiet:
        parts = [c.contribution for c in anomaly.contributions]
        assert parts == sorted(parts, reverse=True)
        assert math.fsum(parts) == pytest.approx(anomaly.score, rel=1e-12)
        assert 0.0 < anomaly.false_alarm_rate <= 0.01
        assert 0.0 <= anomaly.rarity <= 1.0
        assert anomaly.window_end_ns - anomaly.window_start_ns == anomaly.window_ms * 1_000_000
        for c in anomaly.contributions:
            if c.contribution > 0.0:
                assert c.value is not None
                assert c.expected_low is not None
                assert c.expected_high is not None
                assert c.expected_low <= c.expected_high
        key = (anomaly.window_end_ns, anomaly.symbol, anomaly.family)
        assert key not in seen
        seen.add(key)
    assert {1000, 10_000} <= {a.window_ms for a in quiet} <= {1000, 10_000, 30_000, 60_000}


def test_stated_rates_hold_on_quiet_flow(quiet: list[Anomaly]) -> None:
    for family in ("cancels", "depth", "leverage", "prices"):
        rates = np.array([a.false_alarm_rate for a in quiet if a.family == family])
        lines = WINDOWS * len(SYMBOLS)
        assert 0.002 < len(rates) / lines < 0.015, family
        assert np.sum(rates <= 1e-3) / lines < 2e-3, family


def _burst(rows: np.ndarray, s: int) -> None:
    for name, times in (("cancels", 12.0), ("cancels_buy", 22.0), ("fleeting_cancels", 40.0), ("adds", 12.0)):
        rows[1820:1823, s, column(name)] = times * np.maximum(rows[1820:1823, s, column(name)], 5.0)
    rows[1820:1823, s, column("top_cancel_share")] = 0.9


def _ramp(rows: np.ndarray, s: int) -> None:
    steps = np.clip(np.arange(40) / 10.0, 0.0, 1.0)
    for name, most in (
        ("leverage_weighted", 0.3),
        ("leverage_p90", 0.3),
        ("open_interest_usd", 0.1),
        ("top_position_share", 0.2),
    ):
        rows[1820:, s, column(name)] *= np.exp(most * steps)
    rows[1820:1830, s, column("leverage_new")] *= 4.0


def _thin(rows: np.ndarray, s: int) -> None:
    for name, times in (("depth_bid_5_usd", 0.2), ("depth_ask_5_usd", 0.2), ("spread_bps", 3.0), ("slippage_buy_bps", 4.0)):
        rows[1820:1832, s, column(name)] *= times


def _stale(rows: np.ndarray, s: int) -> None:
    rows[1820:1832, s, column("index_age_ms")] += 1000.0 * np.arange(12)
    for name in ("mark_index_bps", "mid_index_bps"):
        rows[1820:1832, s, column(name)] += 25.0


@pytest.mark.parametrize(
    ("family", "inject", "moved"),
    [
        ("cancels", _burst, {"fleeting_cancels", "top_account_cancels"}),
        ("leverage", _ramp, {"open_interest_change_bps", "leverage_weighted_change_bps", "leverage_new"}),
        ("depth", _thin, {"depth_5_usd", "slippage_bps"}),
        ("prices", _stale, {"mark_index_bps", "mid_index_bps"}),
    ],
)
def test_what_was_injected_comes_first(family: str, inject: Callable[[np.ndarray, int], None], moved: set[str]) -> None:
    rows = quiet_rows(WINDOWS, seed=12)
    inject(rows, 5)
    found = Panel(SYMBOLS, NAMES).process(INDEX, rows)
    first = _first(found, family)
    assert first.symbol == SYMBOLS[5]
    assert 1820 <= first.window_end_ns // 1_000_000_000 - INDEX[0] <= 1842
    assert first.false_alarm_rate < 5e-4
    assert first.contributions[0].feature in moved


def test_news_is_no_cancel_burst() -> None:
    rows = quiet_rows(WINDOWS, seed=13)
    news = slice(1820, 1823)
    for name in ("cancels", "cancels_buy", "cancels_sell", "adds", "trades"):
        rows[news, 2, column(name)] = 8.0 * np.maximum(rows[news, 2, column(name)], 3.0)
    rows[news, 2, column("realised_vol_bps")] *= 6.0
    rows[news, 2, column("return_bps")] = (12.0, -8.0, 9.0)
    _burst(rows, 5)
    found = [a for a in Panel(SYMBOLS, NAMES).process(INDEX, rows) if a.family == "cancels"]
    of_news = [
        a.false_alarm_rate for a in found if a.symbol == SYMBOLS[2] and 1820 <= a.window_end_ns // 10**9 - INDEX[0] <= 1823
    ]
    assert _first(found, "cancels").symbol == SYMBOLS[5]
    assert min(of_news, default=1.0) > 10.0 * _first(found, "cancels").false_alarm_rate


def test_any_cut_gives_the_same_bits() -> None:
    rows = quiet_rows(700, seed=14)
    _burst(rows[-200:], 3)
    whole = Panel(SYMBOLS, NAMES).process(INDEX[:700], rows)
    generator = np.random.default_rng(0)
    panel, parts, at = Panel(SYMBOLS, NAMES), [], 0
    while at < 700:
        size = int(generator.integers(1, 60))
        parts += panel.process(INDEX[at : min(at + size, 700)], rows[at : at + size])
        panel = pickle.loads(pickle.dumps(panel))
        at += size
    assert parts == whole
    assert len(whole) > 20


def test_a_source_without_a_family_gives_no_lines_of_it() -> None:
    rows = quiet_rows(900, seed=15)
    for name in NAMES:
        if name.startswith(("leverage", "open_interest", "top_position", "mark", "index", "mid_index")):
            rows[:, :, column(name)] = np.nan
    found = Panel(SYMBOLS, NAMES).process(INDEX[:900], rows)
    assert {a.family for a in found} - {"market"} == {"cancels", "depth"}
    assert {a.kind for a in found if a.family == "market"} <= {"cancels", "depth", "prices"}
    assert Panel(("X",), ("messages",)).process(np.arange(300), np.ones((300, 1, 1))) == []


def test_a_run_too_young_states_nothing() -> None:
    rows = quiet_rows(60, seed=16)[:, :2]
    rows[40:] *= 50.0
    assert Panel(SYMBOLS[:2], NAMES).process(INDEX[:60], rows) == []


def test_windows_that_were_skipped_make_no_long_window() -> None:
    rows = quiet_rows(1200, seed=17)
    index = np.where(np.arange(1200) < 600, INDEX[:1200], INDEX[:1200] + 5000)
    found = Panel(SYMBOLS, NAMES).process(index, rows)
    assert not [a for a in found if a.window_ms == 10_000 and index[600] <= a.window_end_ns // 1_000_000_000 < index[600] + 9]


def test_wrong_blocks_are_refused() -> None:
    panel = Panel(("A", "B"), ("cancels",))
    with pytest.raises(ValueError, match=r"shape \(3, 1, 1\), expected \(3, 2, 1\)"):
        panel.process(np.arange(3), np.zeros((3, 1, 1)))
    panel.process(np.arange(3), np.zeros((3, 2, 1)))
    with pytest.raises(ValueError, match="window index 2 does not rise above 2"):
        panel.process(np.array([2]), np.zeros((1, 2, 1)))
    assert panel.process(np.empty(0, np.int64), np.empty((0, 2, 1))) == []
