"""Which lines are one event, what the event says, and when it is an alert."""

from __future__ import annotations

import pickle
import random

import msgspec
import pytest

from models.correlation import DAY_NS, EVENT_GAP_NS, MOST_MEMBERS, MOST_OPEN, Correlator, Event
from monitor.incidents.evidence import Account, RankedAnomaly

SECOND = 1_000_000_000
SYMBOLS = 8
BUDGET = 2.0
STRONG, WEAK, ALARM = 1e-4, 5e-3, 1e-7


def line(second, family="cancels", symbol="BTC", rate=STRONG, account=None, behind=None, share=0.8, kind="", expected=""):
    accounts = () if behind is None else (Account(behind, "cancels", share),)
    return RankedAnomaly(
        (second - 1) * SECOND, second * SECOND, 1000, symbol, account, family, "execution", "", 1.0, 1.0, rate, (),
        kind=kind, accounts=accounts, expected=expected,
    )  # fmt: skip


def correlator(budget=BUDGET):
    return Correlator(SYMBOLS, SECOND, budget)


def events_of(*lines):
    return [done.event for done in correlator().assign(lines)[0]]


def last_of(*lines, budget=BUDGET):
    """Every event as it stood last, by its id."""
    made, last = correlator(budget), {}
    for one in lines:
        last |= {event.event: event for event in made.assign([one])[1]}
    return last


def test_lines_of_one_cell_within_thirty_seconds_are_one_event():
    gap = EVENT_GAP_NS // SECOND
    for rate in (WEAK, STRONG):
        lines = [line(second, rate=rate) for second in (100, 101, 101 + gap, 102 + 2 * gap)]
        assert events_of(*lines) == ["cancels-BTC-100"] * 3 + [f"cancels-BTC-{102 + 2 * gap}"]


def test_weak_lines_join_nothing_but_their_own():
    assert events_of(line(100), line(101, "depth", rate=WEAK), line(101, symbol="ETH", rate=WEAK, behind=7)) == [
        "cancels-BTC-100", "depth-BTC-101", "cancels-ETH-101",
    ]  # fmt: skip


def test_a_symbols_families_are_one_event_and_the_time_alone_is_not_enough():
    assert events_of(line(100), line(103, "depth"), line(103, "depth", "ETH")) == ["cancels-BTC-100"] * 2 + ["depth-ETH-103"]


def test_three_symbols_and_one_account_are_one_event():
    lines = [
        line(100, symbol="BTC", behind=117), line(101, symbol="ETH", behind=117), line(104, symbol="SOL", behind=117),
        line(106, "depth", "SOL"), line(110, "depth", "BTC"), line(110, symbol="XRP", behind=118),
    ]  # fmt: skip
    assert events_of(*lines) == ["cancels-BTC-100"] * 5 + ["cancels-XRP-110"]
    event = last_of(*lines)["cancels-BTC-100"]
    assert [(one.family, one.symbol, one.lag_ms) for one in event.members] == [
        ("cancels", "BTC", 0), ("cancels", "ETH", 1000), ("cancels", "SOL", 4000),
        ("depth", "SOL", 6000), ("depth", "BTC", 10_000),
    ]  # fmt: skip
    assert event.account == 117


def test_an_account_with_a_small_part_is_not_behind_it():
    assert len(set(events_of(line(100, behind=117), line(101, symbol="ETH", behind=117, share=0.2)))) == 2


def test_a_line_of_an_account_meets_the_symbols_lines_that_name_it():
    assert len(set(events_of(line(100, behind=117), line(101, symbol="ETH", account=117)))) == 1


def test_many_symbols_in_one_family_within_seconds_are_the_market():
    together = events_of(*(line(100 + n, "prices", symbol) for n, symbol in enumerate(("BTC", "ETH", "SOL", "XRP"))))
    # The second is alone yet: what was said is not taken back.
    assert together == ["prices-BTC-100", "prices-ETH-101", "prices-BTC-100", "prices-BTC-100"]
    apart = events_of(*(line(100 + 10 * n, "prices", symbol) for n, symbol in enumerate(("BTC", "ETH", "SOL"))))
    assert len(set(apart)) == 3


def test_lines_of_the_market_are_one_event():
    assert len(set(events_of(*(line(100, "market", symbol) for symbol in ("BTC", "ETH", "SOL"))))) == 1


def test_a_cell_that_grows_strong_joins_what_is_under_way():
    lines = [line(100, rate=WEAK), line(101, "depth"), line(102, rate=WEAK), line(103), line(104)]
    assert events_of(*lines) == ["cancels-BTC-100", "depth-BTC-101", "cancels-BTC-100", "depth-BTC-101", "depth-BTC-101"]


def test_the_rate_of_an_event_counts_the_cells_of_the_panel():
    one = last_of(line(100, rate=1e-7))["cancels-BTC-100"]
    assert one.false_alarm_rate == pytest.approx(1e-7 * SYMBOLS * 5, rel=1e-3)
    two = last_of(line(100, rate=1e-7), line(101, "depth", rate=1e-7))["cancels-BTC-100"]
    assert two.false_alarm_rate == pytest.approx(one.false_alarm_rate / 2, rel=1e-3)
    # Something that is ordinary in one cell is not evidence.
    assert last_of(line(100, rate=0.01))["cancels-BTC-100"].false_alarm_rate > 0.2


def test_so_many_alerts_a_day_as_were_accepted():
    made = correlator(budget=2.0)
    windows_a_day = DAY_NS // SECOND
    # Of quiet data each window of the panel is below the threshold with this probability, in events of 1.7 windows.
    assert made.alert_rate * windows_a_day / 1.7 == pytest.approx(2.0 * SYMBOLS)
    of_a_line = made.alert_rate / (SYMBOLS * 5)
    assert 5e-6 < of_a_line < 1.2e-5
    assert last_of(line(100, rate=0.99 * of_a_line))["cancels-BTC-100"].alert
    assert not last_of(line(100, rate=1.01 * of_a_line))["cancels-BTC-100"].alert


def test_what_was_expected_and_what_is_context_alerts_nobody():
    for more in ({"expected": "funding"}, {"kind": "crowding"}):
        event = last_of(line(100, rate=1e-12, **more))["cancels-BTC-100"]
        assert not event.alert
        assert event.members[0].explained
    # ... but what is not explained beside it does.
    mixed = last_of(line(100, rate=1e-12, expected="funding"), line(101, rate=ALARM))["cancels-BTC-100"]
    assert mixed.alert
    assert not mixed.members[0].explained


def test_alerts_over_the_budget_are_numbered_and_said():
    lines = [line(100 + 100 * n, rate=ALARM) for n in range(4)]
    found = list(last_of(*lines, budget=0.25).values())
    assert [(event.alert_number, event.over_budget) for event in found] == [(1, False), (2, False), (3, True), (4, True)]
    tomorrow = line(DAY_NS // SECOND + 100, rate=ALARM)
    assert list(last_of(*lines, tomorrow, budget=0.25).values())[-1].alert_number == 1


def random_lines(seed, count=400):
    draw = random.Random(seed)
    second, lines = 1000, []
    for _ in range(count):
        second += draw.choice((0, 0, 1, 1, 3, 40))
        lines.append(
            line(
                second, draw.choice(("cancels", "depth", "leverage", "prices", "market")), f"S{draw.randrange(SYMBOLS)}",
                10.0 ** -draw.uniform(2, 8), behind=draw.choice((None, 1, 2, 3)), expected=draw.choice(("", "", "funding")),
            )
        )  # fmt: skip
    return lines


@pytest.mark.parametrize("seed", range(5))
def test_events_are_the_same_however_the_lines_arrive(seed):
    lines = random_lines(seed)
    whole, told = correlator().assign(lines)
    made, parts, last = correlator(), [], {}
    for one in lines:
        done, changed = made.assign([one])
        parts += done
        last |= {event.event: event for event in changed}
        made = pickle.loads(pickle.dumps(made))
    assert parts == whole
    assert {event.event: event for event in told} == last
    assert {done.event for done in whole} == set(last)
    for event in last.values():
        assert sum(member.lines for member in event.members) == event.lines
        assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event


def test_what_is_kept_is_bounded():
    made = correlator()
    for n in range(3 * MOST_OPEN):
        made.assign([line(100, symbol=f"S{n}")])
    assert len(pickle.dumps(made)) < 3_000_000
    crowd = correlator()
    for n in range(3 * MOST_MEMBERS):
        _, changed = crowd.assign([line(100 + n // 50, symbol=f"S{n}", behind=9)])
    assert len(changed[0].members) == MOST_MEMBERS
    assert changed[0].unlisted_members == 2 * MOST_MEMBERS
    assert changed[0].lines == 3 * MOST_MEMBERS
    # An hour later nothing of it is left.
    crowd.assign([line(5000)])
    assert len(pickle.dumps(crowd)) < 3_000


def test_a_line_from_the_past_is_refused():
    made = correlator()
    made.assign([line(100)])
    with pytest.raises(ValueError, match=r"cancels BTC: a window that ends at 99000000000 came after"):
        made.assign([line(99)])
