"""Account detectors: who does what is unusual for it, at a rate that holds for all that were looked at."""

import pickle

import numpy as np
import pytest

from models.detectors.accounts import FAMILIES, MOST_LINES, NEW_NOTE, NEW_ROWS, STATED, AccountPanel
from models.pooled import judge, new_pooled
from models.ranking import ALARM_RATE
from monitor.metrics.accounts import COLUMNS, SPAN

SECOND = 1_000_000_000
SYMBOLS = ("A", "B")
MAKERS, OTHERS = 60, 3_000
WARM = 220
AT = {name: c for c, name in enumerate(COLUMNS)}


def span_rows(rng, busy=1.0):
    """A span's rows: makers who are always there, and some of many others. (accounts, symbols, values)"""
    others = np.sort(rng.choice(OTHERS, 150, replace=False)) + 1_000
    account = np.concatenate([np.arange(MAKERS), others])
    values = np.zeros((len(account), len(COLUMNS)))
    usual = np.where(account < MAKERS, 50.0 + account, 0.5 + account % 4)
    values[:, AT["adds"]] = rng.poisson(busy * usual) + 1
    values[:, AT["cancels"]] = rng.binomial(values[:, AT["adds"]].astype(int), 0.9)
    values[:, AT["slow_fleeting_cancels"]] = rng.binomial(values[:, AT["cancels"]].astype(int), 0.5)
    values[:, AT["fills"]] = rng.poisson(0.3 * values[:, AT["adds"]])
    values[:, AT["leverage"]] = rng.lognormal(0.5, 0.6, len(account))
    values[:, AT["equity_usd"]] = 5_000.0
    grown = (account >= MAKERS) & (rng.random(len(account)) < 0.7)
    values[:, AT["exposure_usd"]] = np.where(grown, 5_000.0 * rng.lognormal(-1.0, 1.0, len(account)), 0.0)
    return account, np.zeros((len(account), 2), np.int64), values


def stream(spans, seed=1, change=None):
    """(window, account, symbol, values) of spans 1 … `spans`; `change` may change those of a span."""
    rng = np.random.default_rng(seed)
    parts = []
    for span in range(1, spans + 1):
        account, symbol, values = span_rows(rng)
        if change is not None:
            account, symbol, values = change(span, account, symbol, values)
        parts.append((np.full(len(account), span * SPAN), account, symbol, values))
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def new_panel():
    return AccountPanel(SYMBOLS, tuple(COLUMNS), SECOND, SPAN)


@pytest.fixture(scope="module")
def warm():
    """A panel that knows the market, as bytes, and what it said on the way."""
    panel = new_panel()
    said = panel.process(*stream(WARM))
    return pickle.dumps(panel), said


def one_more(warm, account, seed=7, symbol=1, **columns):
    """The lines of a span in which `account` does `columns`, after the warm ones."""
    account_, symbol_, values = span_rows(np.random.default_rng(seed))
    keep = account_ != account
    row = np.zeros(len(COLUMNS))
    for name, value in ({"leverage": 1.0, "equity_usd": 5_000.0} | columns).items():
        row[AT[name]] = value
    account_ = np.append(account_[keep], account)
    symbol_ = np.vstack([symbol_[keep], [symbol, symbol]])
    values = np.vstack([values[keep], row])
    return pickle.loads(warm[0]).process(np.full(len(account_), (WARM + 1) * SPAN), account_, symbol_, values)


def test_quiet_spans_have_as_few_lines_as_their_rates_say(warm):
    _, said = warm
    # Two families, at most STATED each: with so many spans some ten lines are possible, more are not.
    assert len({(line.window_end_ns, line.family) for line in said}) <= 3 * 2 * STATED * WARM


def test_an_account_that_stuffs_quotes_is_named_where_it_did(warm):
    lines = one_more(warm, 1_234, adds=900, cancels=900, slow_fleeting_cancels=890)
    first = lines[0]
    assert (first.account, first.symbol, first.family, first.layer) == (1_234, "B", "cancels", "execution")
    assert first.false_alarm_rate < 1e-3
    assert first.contributions[0].feature in {"account_cancels", "account_adds"}
    assert sum(part.contribution for part in first.contributions) == pytest.approx(first.score)
    assert (first.window_end_ns, first.window_ms) == ((WARM + 1) * SPAN * SECOND, SPAN * 1_000)
    assert first.window_start_ns == first.window_end_ns - SPAN * SECOND
    cancels = next(part for part in first.contributions if part.feature == "account_cancels")
    assert cancels.value == pytest.approx(900)
    assert cancels.expected_high < 50
    assert cancels.says.startswith("cancels 900, usual is up to")


def test_what_is_usual_for_a_maker_is_not_for_another(warm):
    as_a_maker = {"adds": 100, "cancels": 90, "slow_fleeting_cancels": 45, "fills": 30}
    assert [line for line in one_more(warm, 50, **as_a_maker) if line.account == 50] == []
    assert one_more(warm, 1_234, **as_a_maker)[0].account == 1_234


def test_a_refused_account_and_one_on_high_leverage_are_named(warm):
    refused = one_more(warm, 1_500, rejects=200, cancels=1)[0]
    assert (refused.account, refused.contributions[0].feature) == (1_500, "account_rejects")
    levered = one_more(warm, 999_997, leverage=60.0, exposure_usd=60 * 60 * 5_000.0)[0]
    assert (levered.account, levered.family, levered.layer) == (999_997, "leverage", "margin")


def test_withdrawing_everything_counts_though_equity_is_gone(warm):
    levered = one_more(warm, 999_998, leverage=125.0, exposure_usd=1e9, equity_usd=-50.0)[0]
    assert levered.account == 999_998
    assert np.isfinite(levered.score)


def test_a_new_account_says_how_it_was_judged(warm):
    line = one_more(warm, 999_999, adds=900, cancels=900, slow_fleeting_cancels=890)[0]
    assert (line.account, line.notes) == (999_999, (NEW_NOTE,))
    assert one_more(warm, 3, adds=2_000, cancels=2_000)[0].notes == ()


def test_few_is_nothing(warm):
    assert [line.account for line in one_more(warm, 1_234, cancels=1)] == []
    assert [line.account for line in one_more(warm, 30, cancels=1)] == []


def test_when_all_are_busy_nobody_is_unusual(warm):
    account, symbol, values = span_rows(np.random.default_rng(9), busy=1.0)
    values[:, : AT["fills"] + 1] *= 3.0
    busy = pickle.loads(warm[0]).process(np.full(len(account), (WARM + 1) * SPAN), account, symbol, values)
    assert [line for line in busy if line.account < MAKERS and line.false_alarm_rate <= ALARM_RATE] == []


def test_a_span_has_few_lines_and_each_once(warm):
    account, symbol, values = span_rows(np.random.default_rng(9))
    values[:20, AT["cancels"]] = values[:20, AT["adds"]] = 5_000.0
    lines = pickle.loads(warm[0]).process(np.full(len(account), (WARM + 1) * SPAN), account, symbol, values)
    assert len(lines) == MOST_LINES
    assert len({(line.symbol, line.account, line.family, line.window_end_ns) for line in lines}) == len(lines)


def test_what_happened_nowhere_is_no_row(warm):
    assert one_more(warm, 1_234, symbol=-1, cancels=900, adds=900) == []


def test_blocks_and_pickles_change_nothing():
    def attack(span, account, symbol, values):
        if span == 200:
            values[0, AT["cancels"]] = 5_000.0
        return account, symbol, values

    rows = stream(210, change=attack)
    whole = new_panel().process(*rows)
    assert any(line.account == 0 for line in whole)
    panel, parts = new_panel(), []
    cuts = np.flatnonzero(np.diff(rows[0])) + 1
    for first, last in ((0, cuts[3]), (cuts[3], cuts[150]), (cuts[150], len(rows[0]))):
        parts += panel.process(*(array[first:last] for array in rows))
        panel = pickle.loads(pickle.dumps(panel))
    assert parts == whole


def test_accounts_that_come_and_go_leave_no_trace(monkeypatch):
    monkeypatch.setattr("models.detectors.accounts.MOST_ACCOUNTS", 400)

    def others(span, account, symbol, values):
        return np.where(account >= 1_000, account + 10_000 * span, account), symbol, values

    panel = new_panel()
    panel.process(*stream(40, change=others))
    for detector in panel._detectors:
        assert len(detector._slots) <= 400
        assert len(set(detector._slots.values())) == len(detector._slots)
    assert panel._detectors[0]._state.rows[panel._detectors[0]._slots[5]] == 40


def test_wrong_shapes_are_refused():
    none = np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="expected \\(0, 11\\)"):
        new_panel().process(none, none, np.zeros((0, 2), np.int64), np.zeros((0, 3)))
    assert new_panel().process(none, none, np.zeros((0, 2), np.int64), np.zeros((0, 11))) == []


def test_every_feature_reads_columns_that_there_are():
    for family in FAMILIES:
        assert set(family.acts) <= set(COLUMNS)
        for feature in family.features:
            assert {feature.above, feature.below or feature.above, feature.less or feature.above} <= set(COLUMNS)
            assert feature.metrics


def test_a_level_is_shrunk_and_residuals_have_the_scores_of_gaussians():
    rng = np.random.default_rng(3)
    state = new_pooled(200, 1, 2)
    levels = rng.normal(0.0, 3.0, (200, 2))
    scores = []
    for window in range(200):
        judged = judge(levels + rng.normal(size=(200, 2)), np.arange(200), np.zeros(200, np.int64), np.full(2, 0.1), state)
        assert np.isnan(judged.score).all() == (window < 40)
        scores.append(judged.score)
    # The smaller of two scores, so no larger than that of a Gaussian; and not far below for those far from their class.
    late = np.concatenate(scores[100:])
    assert np.mean(late > 3.0) < 0.01
    far = levels[:, 0] > 4.0
    assert far.any()
    moved = levels + np.where(far[:, None], 6.0, 0.0)
    judged = judge(moved, np.arange(200), np.zeros(200, np.int64), np.full(2, 0.1), state)
    assert judged.score[far].min() > 5.0 > np.quantile(judged.score[~far], 0.99)
    assert np.allclose(judged.contributions.sum(axis=1), judged.score)
    assert NEW_ROWS > 1
