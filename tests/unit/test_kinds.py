"""Kinds of anomalies: rules over the last rows, each told apart from its neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from models.anomaly import Contribution
from models.detectors import kinds
from models.detectors.kinds import Rows, kind_of


def _parts(*features: str, value: float = 1.0) -> tuple[Contribution, ...]:
    return tuple(Contribution(feature, value, 0.0, 1.0, "count", 9.0 / (n + 1)) for n, feature in enumerate(features))


def _rows(length: int = 1, rows: int = 60, **last: float | list[float]) -> Rows:
    """Rows of zeros but for the newest ones that are given."""
    values = np.zeros((rows, len(last)))
    for column, given in enumerate(last.values()):
        tail = np.atleast_1d(np.asarray(given, float))
        values[len(values) - len(tail) :, column] = tail
    return Rows(values, {name: column for column, name in enumerate(last)}, length)


@pytest.mark.parametrize(
    ("expected", "rows"),
    [
        (kinds.STUFFING, _rows(cancels=200, adds=210, fleeting_cancels=190, cancels_buy=9, cancels_sell=9)),
        (kinds.STORM, _rows(cancels=400, adds=20, fleeting_cancels=3, cancels_buy=200, cancels_sell=200, cancels_after_fill=2)),
        (kinds.LAYERING, _rows(cancels=70, adds=70, fleeting_cancels=0, cancels_buy=66, cancels_sell=4, cancels_after_fill=60)),
        # One side alone is no layering: nothing was filled.
        (kinds.STORM, _rows(cancels=70, adds=5, fleeting_cancels=0, cancels_buy=66, cancels_sell=4, cancels_after_fill=1)),
    ],
)  # fmt: skip
def test_kinds_of_cancels(expected: str, rows: Rows) -> None:
    assert kind_of("cancels", _parts("cancels"), rows)[0] == expected


def test_refusals_are_a_storm_that_says_who_does_not_back_off() -> None:
    rows = _rows(cancels=5, adds=5, rejects=100, throttled=90, retries=80)
    kind, notes = kind_of("cancels", _parts("rejects"), rows)
    assert kind == kinds.STORM
    assert any("90%" in note for note in notes)
    assert any("80%" in note and "backs off" in note for note in notes)


def _book(path: list[float], **more: list[float]) -> Rows:
    return _rows(depth_bid_5_usd=path, depth_ask_5_usd=path, **more)


def test_a_book_that_thins_slowly_fades() -> None:
    assert kind_of("depth", _parts("depth_5_usd"), _book(list(np.linspace(100.0, 40.0, 60))))[0] == kinds.SLOW_FADE


def test_a_book_that_goes_at_once_is_fast() -> None:
    assert kind_of("depth", _parts("depth_5_usd"), _book([100.0] * 57 + [40.0] * 3))[0] == kinds.FAST


def test_a_book_that_was_traded_away_is_explained_by_trades() -> None:
    swept = _book(
        [100.0] * 57 + [40.0] * 3,
        trades=[1.0] * 55 + [20.0] * 5,
        traded_lots=[1.0] * 55 + [50.0] * 5,
        cancelled_lots=[5.0] * 60,
        added_lots=[5.0] * 60,
    )
    assert kind_of("depth", _parts("depth_5_usd"), swept)[0] == kinds.BY_TRADES


def test_open_interest_that_moves_more_than_was_traded_is_suspect() -> None:
    rows = _rows(open_interest_change_lots=-500, traded_lots=100, liquidated_lots=0, deleveraged_lots=0)
    assert kind_of("leverage", _parts("open_interest_change_bps", value=-90.0), rows)[0] == kinds.SUSPECT


def test_open_interest_that_falls_with_its_trades_is_deleveraging() -> None:
    rows = _rows(open_interest_change_lots=-500, traded_lots=800, liquidated_lots=300, deleveraged_lots=0)
    kind, notes = kind_of("leverage", _parts("open_interest_change_bps", value=-90.0), rows)
    assert kind == kinds.DELEVERAGING
    assert "300 lots were liquidated" in notes


def test_collateral_that_leaves_is_a_withdrawal() -> None:
    rows = _rows(
        open_interest_change_lots=0, traded_lots=800, deleveraged_lots=0, withdrawals_usd=[9e4, 9e4], deposits_usd=[0.0, 1e3]
    )
    assert kind_of("leverage", _parts("leverage_weighted_change_bps"), rows)[0] == kinds.WITHDRAWAL


def test_a_high_level_is_crowding_and_context_only() -> None:
    rows = _rows(open_interest_change_lots=5, traded_lots=800, deleveraged_lots=0, withdrawals_usd=0, deposits_usd=0)
    assert kind_of("leverage", _parts("leverage_p90", "leverage_weighted"), rows)[0] == kinds.CROWDING
    assert kinds.CROWDING in kinds.CONTEXT
    assert kind_of("leverage", _parts("leverage_p90", "leverage_new"), rows)[0] == kinds.RAMP


def test_kinds_of_prices() -> None:
    stale = _rows(index_age_ms=5200, mark_usd=100, index_usd=100, last_usd=100, mid_usd=100, trades=3)
    assert kind_of("prices", _parts("index_age_ms"), stale) == (kinds.STALE, ("no index price for 5.2 s",))
    print_ = _rows(mark_usd=100, index_usd=100.01, last_usd=103, mid_usd=100.01, trades=1)
    assert kind_of("prices", _parts("mark_last_bps"), print_)[0] == kinds.ONE_PRINT
    index = _rows(mark_usd=100, index_usd=102, last_usd=100.01, mid_usd=100.01, trades=9)
    kind, notes = kind_of("prices", _parts("mid_index_bps"), index)
    assert kind == kinds.DIVERGENCE
    assert notes[0].startswith("the index price is the odd one out")
    # Two against two: nobody can be blamed.
    split = _rows(mark_usd=100, index_usd=100, last_usd=102, mid_usd=102, trades=9)
    assert kind_of("prices", _parts("mark_last_bps"), split) == (kinds.DIVERGENCE, ())


def test_missing_metrics_make_no_kind_up() -> None:
    nothing = Rows(np.full((3, 1), np.nan), {"cancels": 0}, 1)
    for family in ("cancels", "depth", "leverage", "prices"):
        assert isinstance(kind_of(family, _parts("leverage_p90"), nothing)[0], str)
    assert kind_of("market", _parts("market_vol_bps"), nothing) == ("", ())
