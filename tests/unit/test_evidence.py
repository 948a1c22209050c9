"""Who is behind an anomaly: asked of what its first contribution is about, over the windows in which it can have happened."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from engine.instruments import Instrument
from models.anomaly import Anomaly, Contribution
from monitor.incidents.evidence import LONGEST_WINDOWS, Account, Evidence
from monitor.incidents.expected import Calendar
from monitor.metrics.actors import MEASURES, new_actors
from monitor.metrics.catalogue import METRIC_NAMES

SECOND = 1_000_000_000
FIRST = 1_700_000_000
SYMBOLS = ("A", "B")


@pytest.fixture
def evidence():
    return Evidence(SYMBOLS, LONGEST_WINDOWS, Calendar(tuple(Instrument(name, "0.01", "1") for name in SYMBOLS)))


def windows(*told, first=FIRST):
    """One window for each of `told`: {measure: {account: amount}}, in symbol B."""
    actors = new_actors(len(told), len(SYMBOLS))
    for w, measures in enumerate(told):
        for measure, did in measures.items():
            at = (w, 1, list(MEASURES).index(measure))
            most = sorted(did.items(), key=lambda item: (-item[1], item[0]))
            for k, (account, amount) in enumerate(most):
                actors.accounts[at][k], actors.amounts[at][k] = account, amount
            actors.whole[at] = sum(did.values()) + 10
    index = first + np.arange(len(told))
    values = np.zeros((len(told), len(SYMBOLS), len(METRIC_NAMES)))
    return SimpleNamespace(window_end_ns=index * SECOND, values=values, actors=actors)


def line(window, feature, family="leverage", seconds=1, value=9.0, low=0.0, account=None):
    end_ns = (FIRST + window) * SECOND
    first = Contribution(feature, value, low, 5.0, "", 1.0)
    return Anomaly(
        end_ns - seconds * SECOND, end_ns, seconds * 1000, "B", account, family, "margin", "", 1.0, 1.0, 1e-4, (first,)
    )  # fmt: skip


def accounts(evidence, seen, *lines):
    return [[(one.account, one.metric) for one in found.accounts] for found in evidence.explain(lines, seen, "LIVE")]


@pytest.mark.parametrize(
    ("family", "feature", "measure"),
    [
        ("cancels", "cancels", "slow_fleeting_cancels"),
        ("cancels", "throttled", "rejects"),
        ("cancels", "trades", "taken_lots"),
        ("depth", "depth_5_usd", "near_cancelled_lots"),
        ("leverage", "leverage_weighted_change_bps", "exposure_usd"),
        ("leverage", "open_interest_change_bps", "exposure_usd"),
        ("leverage", "top_position_share", "position_lots"),
        ("leverage", "withdrawals_usd", "withdrawn_usd"),
        ("leverage", "liquidations", "forced_lots"),
        ("prices", "mark_last_bps", "taken_lots"),
    ],
)
def test_the_feature_says_which_measure_is_asked(evidence, family, feature, measure):
    every = {name: {account: 5} for account, name in enumerate(MEASURES)}
    assert accounts(evidence, windows(every), line(0, feature, family)) == [[(list(MEASURES).index(measure), measure)]]


def test_open_interest_that_fell_asks_who_was_forced_and_then_who_closed(evidence):
    fell = line(0, "open_interest_change_bps", value=-900.0, low=-50.0)
    both = {"exposure_usd": {1: 5}, "forced_lots": {2: 5}, "reduced_lots": {3: 5}}
    assert accounts(evidence, windows(both), fell) == [[(2, "forced_lots")]]
    fell = line(1, "open_interest_change_bps", value=-900.0, low=-50.0)
    assert accounts(evidence, windows({"reduced_lots": {3: 5}}, first=FIRST + 1), fell) == [[(3, "reduced_lots")]]


def test_the_sum_over_the_lines_windows_counts_with_its_share(evidence):
    seen = windows({"cancels": {9: 999}}, {"cancels": {7: 30, 8: 20}}, {"cancels": {8: 40, 6: 1, 5: 1}})
    (found,) = evidence.explain([line(2, "cancels", "cancels", seconds=2)], seen, "LIVE")
    whole = 30 + 20 + 10 + 42 + 10
    assert found.accounts == tuple(Account(a, "cancels", part / whole) for a, part in ((8, 60), (7, 30), (5, 1)))


def test_a_level_may_have_been_raised_before_the_lines_windows_and_a_flow_not(evidence):
    seen = windows({"exposure_usd": {3: 100}}, *[{}] * 20, {"exposure_usd": {4: 50}})
    level, flow = line(21, "leverage_weighted"), line(21, "leverage_weighted_change_bps")
    assert accounts(evidence, seen, level, flow) == [
        [(3, "exposure_usd"), (4, "exposure_usd")],
        [(4, "exposure_usd")],
    ]


def test_what_nobody_did_in_the_lines_windows_is_looked_for_before_them(evidence):
    seen = windows({"exposure_usd": {3: 100}}, {}, {})
    assert accounts(evidence, seen, line(2, "leverage_weighted_change_bps")) == [[(3, "exposure_usd")]]


def test_a_burst_is_never_blamed_on_what_was_before_it(evidence):
    assert accounts(evidence, windows({"cancels": {9: 500}}, {}), line(1, "cancels", "cancels")) == [[]]


def test_holding_is_a_stock_and_only_the_last_window_counts(evidence):
    seen = windows({"position_lots": {3: 100}}, {"position_lots": {4: 50}})
    assert accounts(evidence, seen, line(1, "top_position_share", seconds=10)) == [[(4, "position_lots")]]


def test_without_accounts_nobody_is_named(evidence):
    seen = windows({})
    seen.actors.whole[:] = np.nan
    assert accounts(evidence, seen, line(0, "cancels", "cancels"), line(0, "x", "market")) == [[], []]


def test_a_line_of_an_account_names_it_with_its_share_as_far_as_it_is_known(evidence):
    seen = windows({"cancels": {7: 30, 8: 60}}, {"slow_fleeting_cancels": {7: 10}})
    (found,) = evidence.explain([line(1, "account_cancels", "cancels", seconds=2, account=7)], seen, "LIVE")
    assert found.accounts == (Account(7, "slow_fleeting_cancels", 0.5),)
    (found,) = evidence.explain([line(2, "account_rejects", "cancels", account=9)], windows({}, first=FIRST + 2), "LIVE")
    assert found.accounts == (Account(9, "rejects", 0.0),)


def test_what_is_remembered_survives_a_pickle(evidence):
    evidence.explain([], windows({"exposure_usd": {3: 100}}), "LIVE")
    other = pickle.loads(pickle.dumps(evidence))
    assert accounts(other, windows({}, first=FIRST + 1), line(1, "leverage_weighted")) == [[(3, "exposure_usd")]]


def test_an_anomaly_of_another_window_is_refused(evidence):
    with pytest.raises(AssertionError, match="not one of those given"):
        evidence.explain([line(5, "cancels")], windows({}), "LIVE")
