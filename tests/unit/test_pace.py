"""Events are let through when they are due, in the order in which they came."""

from __future__ import annotations

import numpy as np
import pytest

from engine.contract import EVENT_DTYPE
from monitor.bus.keys import Keys
from monitor.roles import pace
from monitor.roles.pace import Pace

S = 1_000_000_000


class Store(dict):
    """What Pace uses of Redis."""

    def set(self, key, value):
        self[key] = value


@pytest.fixture
def clock(monkeypatch):
    """A wall clock that only sleeping moves; `clock.slept` holds how long each wait was."""

    class Clock:
        def __init__(self):
            self.now_ns = 50 * S
            self.slept = []

        def time_ns(self):
            return self.now_ns

        def sleep(self, seconds):
            self.slept.append(seconds)
            self.now_ns += int(seconds * S)

    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def events(*seconds):
    batch = np.zeros(len(seconds), EVENT_DTYPE)
    batch["ts_ns"] = (np.array(seconds) * S).astype(np.int64)
    batch["seq"] = np.arange(1, len(seconds) + 1)
    return batch


def go(paced, batch, clock, going=lambda: True):
    """[(wall second, event numbers)] of every piece."""
    return [((clock.now_ns - 50 * S) / S, piece["seq"].tolist()) for piece in paced.pieces(batch, going)]


def test_without_a_rate_everything_goes_through_at_once(clock):
    assert go(Pace(Store(), Keys("r"), None, None), events(1, 500, 2), clock) == [(0.0, [1, 2, 3])]
    assert clock.slept == []


def test_a_recording_at_1x_keeps_its_time(clock):
    pieces = go(Pace(Store(), Keys("r"), 1.0, None), events(100, 100.001, 101, 103), clock)
    assert [numbers for _, numbers in pieces] == [[1], [2], [3], [4]]
    assert [wall for wall, _ in pieces] == pytest.approx([0, 0.02, 1.0, 3.0], abs=0.03)


def test_four_times_as_fast(clock):
    assert go(Pace(Store(), Keys("r"), 4.0, None), events(100, 108), clock)[-1][0] == pytest.approx(2.0, abs=0.03)


def test_history_goes_through_at_once_and_the_clock_starts_after_it(clock):
    paced = Pace(Store(), Keys("r"), 1.0, 200 * S)
    assert go(paced, events(10, 150, 199.9), clock) == [(0.0, [1, 2, 3])]
    assert go(paced, events(199.95, 200.5), clock) == [(0.0, [1]), (pytest.approx(0.5, abs=0.03), [2])]


def test_an_event_that_came_late_is_due_with_those_before_it(clock):
    pieces = go(Pace(Store(), Keys("r"), 1.0, None), events(100, 102, 101, 103), clock)
    assert [numbers for _, numbers in pieces] == [[1], [2, 3], [4]]


def test_no_wait_is_long_and_the_caller_can_give_up(clock):
    asked = []

    def going():
        asked.append(clock.now_ns)
        return len(asked) < 4

    assert go(Pace(Store(), Keys("r"), 1.0, None), events(100, 10_000), clock, going) == [(0.0, [1])]
    assert len(asked) == 4
    assert max(clock.slept) <= 0.2


def test_a_feed_that_comes_back_goes_on_in_the_same_time(clock):
    store = Store()
    go(Pace(store, Keys("r"), 1.0, None), events(100, 101), clock)
    clock.now_ns += 5 * S  # down for five seconds
    again = Pace(store, Keys("r"), 1.0, None)
    pieces = go(again, events(100, 101, 104, 107), clock)
    assert pieces[0][1] == [1, 2, 3]
    assert pieces[1] == (pytest.approx(7.0, abs=0.03), [4])
    assert again.wall_ns(103 * S) == 53 * S


def test_nobody_waits_for_a_time_that_one_event_alone_claims(clock):
    paced = Pace(Store(), Keys("r"), 1.0, None)
    far = 10_000  # more than the hour by which one event may move time on
    assert go(paced, events(1, far, 2), clock)[-1][1][-1] == 3
    assert go(paced, events(3, far), clock)[-1][1][-1] == 2
    assert sum(clock.slept) < 3
    assert go(paced, events(far, far + 1), clock)[-1][1][-1] == 2
    assert sum(clock.slept) > far - 10
