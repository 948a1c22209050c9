"""The throttle: a token bucket for each account, exact retry-afters, and bans for those who ignore them (RISK-SPEC 9.14).

Times are small numbers of nanoseconds. An op that the throttle lets pass is a cancel of no order, refused as UNKNOWN_ORDER: it
has paid its tokens all the same.
"""

from __future__ import annotations

import pytest

from engine.market import Throttle
from tests.matching_kit import (
    ANN,
    BOB,
    BUY,
    CLOSE_POSITION,
    OPEN,
    REDUCE_ONLY,
    SELL,
    Account,
    Op,
    Scene,
    Shown,
    clock,
    mark,
    state,
)

THREE_EVERY_TEN = Throttle(interval_ns=10, burst=3, ban_after=3, ban_first_ns=1_000, ban_longest_ns=3_500)
PASSED = ("REJECT", 9, "UNKNOWN_ORDER")


def at(scene: Scene, *times: int, who: Account = ANN) -> list[Shown]:
    """A cancel at each of the times."""
    return scene.do(*(who.cancel(9, ts_ns=time) for time in times))


def throttled(retry_after: int) -> Shown:
    return ("REJECT", 9, "THROTTLED", retry_after)


def banned(retry_after: int) -> Shown:
    return ("REJECT", 9, "BANNED", retry_after)


# -- the bucket --------------------------------------------------------------------------------------------------------


def test_a_burst_passes_and_the_next_op_is_told_when_its_token_is_there() -> None:
    scene = Scene(throttle=THREE_EVERY_TEN)
    assert at(scene, 100, 100, 100, 100) == [PASSED, PASSED, PASSED, throttled(10)]


def test_an_op_at_its_retry_after_passes() -> None:
    scene = Scene(throttle=THREE_EVERY_TEN)
    assert at(scene, 100, 100, 100, 100, 110, 110) == [PASSED, PASSED, PASSED, throttled(10), PASSED, throttled(10)]


def test_an_op_before_its_retry_after_is_told_the_same_moment_again() -> None:
    scene = Scene(throttle=THREE_EVERY_TEN)
    assert at(scene, 100, 100, 100, 104, 109, 110) == [PASSED, PASSED, PASSED, throttled(6), throttled(1), PASSED]


def test_tokens_come_back_one_by_one_up_to_the_burst() -> None:
    scene = Scene(throttle=THREE_EVERY_TEN)
    at(scene, 100, 100, 100)
    assert at(scene, 120, 120, 120) == [PASSED, PASSED, throttled(10)]
    assert at(scene, 900, 900, 900, 900) == [PASSED, PASSED, PASSED, throttled(10)]


def test_a_throttled_op_changes_nothing_but_the_throttle() -> None:
    scene = Scene(throttle=THREE_EVERY_TEN)
    scene.do(ANN.buy(1, 5, 90, ts_ns=100), ANN.buy(2, 5, 91, ts_ns=100), ANN.buy(3, 5, 92, ts_ns=100))
    assert scene.do(ANN.cancel(1, ts_ns=101)) == [("REJECT", 1, "THROTTLED", 9)]
    assert scene.do(ANN.buy(4, 5, 93, ts_ns=102)) == [("REJECT", 4, "THROTTLED", 8)]
    assert scene.levels(BUY) == [(92, 5), (91, 5), (90, 5)]


def test_every_account_has_a_bucket_of_its_own_for_all_symbols() -> None:
    scene = Scene(symbols=2, throttle=THREE_EVERY_TEN)
    at(scene, 100, 100, 100)
    assert scene.do(ANN.cancel(9, symbol=1, ts_ns=100)) == [throttled(10)]
    assert at(scene, 100, who=BOB) == [PASSED]


def test_without_an_interval_there_is_no_throttle() -> None:
    assert at(Scene(throttle=Throttle(burst=1)), *[100] * 50) == [PASSED] * 50


# -- weights -----------------------------------------------------------------------------------------------------------


def passes(scene: Scene, op: Op) -> int:
    """How many times in one instant `op` passes the throttle, whatever becomes of it then."""
    for count in range(100):
        if scene.do(op | {"ts_ns": 100})[-1][2:3] == ("THROTTLED",):
            return count
    raise AssertionError("it is never throttled")


@pytest.mark.parametrize(
    ("op", "times"),
    [
        (ANN.buy(1, 1, 100), 2),
        (ANN.amend(1, qty=5), 2),
        (ANN.quote(1, BUY, 1, 100), 2),
        (ANN.sell(1, 1, 100, flags=REDUCE_ONLY), 3),
        (ANN.sell(1, 0, flags=CLOSE_POSITION), 3),
        (ANN.cancel(1), 6),
        (ANN.cancel_all(symbol=0), 6),
        (ANN.cancel_all(symbol=-1), 6),
        (ANN.connect(cancel_on_disconnect=False), 6),
        (ANN.disconnect(), 6),
        (ANN.dead_man(0), 6),
    ],
)
def test_orders_weigh_3_reducing_orders_2_and_all_else_1_of_6_tokens(op: Op, times: int) -> None:
    throttle = Throttle(interval_ns=10, burst=6, order=3, reduce_only=2, cancel=1)
    assert passes(Scene(throttle=throttle), op) == times


def test_of_a_mass_quote_the_first_leg_pays() -> None:
    scene = Scene(throttle=Throttle(interval_ns=10, burst=2, order=1))
    group = [leg | {"ts_ns": 100} for leg in ANN.quotes((1, BUY, 1, 98), (2, BUY, 1, 97), (3, SELL, 1, 101))]
    scene.do(group, group)
    assert scene.do(group) == [
        ("REJECT", 1, "THROTTLED", 10),
        ("REJECT", 2, "QUOTE_BROKEN"),
        ("REJECT", 3, "QUOTE_BROKEN"),
    ]
    assert scene.levels(BUY) == [(98, 1), (97, 1)]


def test_ops_of_weight_0_pass_always_even_in_a_ban() -> None:
    throttle = Throttle(interval_ns=10, burst=1, cancel=0, ban_after=1, ban_first_ns=1_000)
    scene = Scene(throttle=throttle)
    assert scene.do(*(ANN.buy(i, 1, 90, ts_ns=100) for i in (1, 2, 3)))[-1] == ("REJECT", 3, "BANNED", 1_000)
    assert at(scene, *[101] * 50) == [PASSED] * 50
    assert scene.do(ANN.cancel(1, ts_ns=102)) == [("CANCEL", 1, 1, 0, "BY_OWNER")]


def test_the_venues_own_ops_are_never_throttled() -> None:
    scene = Scene(throttle=Throttle(interval_ns=10, burst=1))
    events = scene.do(*[op for second in range(10) for op in (clock(second), mark(100), state(OPEN))])
    assert [event[0] for event in events] == ["CLOCK", "REFERENCE", "STATE"] * 10


# -- bans --------------------------------------------------------------------------------------------------------------


def test_whoever_ignores_three_retry_afters_is_banned() -> None:
    scene = Scene(throttle=THREE_EVERY_TEN)
    at(scene, 100, 100, 100)
    assert at(scene, 101, 102, 103, 104) == [throttled(9), throttled(8), throttled(7), banned(1_000)]


def test_a_ban_ends_when_it_said_and_does_not_grow_by_trying() -> None:
    scene = Scene(throttle=THREE_EVERY_TEN)
    at(scene, 100, 100, 100, 101, 102, 103, 104)
    assert at(scene, 105, 600, 1_103, 1_104) == [banned(999), banned(504), banned(1), PASSED]


def test_a_success_forgives_what_was_ignored_before() -> None:
    scene = Scene(throttle=THREE_EVERY_TEN)
    at(scene, 100, 100, 100, 101, 102, 103)  # told at 101, ignored twice
    assert at(scene, 110, 111, 112, 113) == [PASSED, throttled(9), throttled(8), throttled(7)]


def ban(scene: Scene, time: int) -> int:
    """How long the ban is that an account of a full bucket earns at `time`: 3 ops, one refused, 3 that ignore it."""
    events = at(scene, *[time] * 7)
    assert [event[2] for event in events] == ["UNKNOWN_ORDER"] * 3 + ["THROTTLED"] * 3 + ["BANNED"]
    return int(events[-1][3])


def test_every_further_ban_is_twice_as_long_up_to_the_longest() -> None:
    scene = Scene(throttle=THREE_EVERY_TEN)
    time, lengths = 10_000, []
    for _ in range(5):
        lengths.append(ban(scene, time))
        time += lengths[-1] + 30  # the bucket is full again
    assert lengths == [1_000, 2_000, 3_500, 3_500, 3_500]


@pytest.mark.parametrize(("quiet", "length"), [(3_499, 3_500), (3_500, 1_000)])
def test_bans_are_forgotten_after_a_quiet_time_as_long_as_the_longest(quiet: int, length: int) -> None:
    scene = Scene(throttle=THREE_EVERY_TEN)
    assert ban(scene, 10_000) == 1_000
    assert ban(scene, 11_030) == 2_000
    assert ban(scene, 11_030 + 2_000 + quiet) == length


def test_as_risk_spec_has_it_bans_go_from_two_minutes_to_three_days() -> None:
    throttle = Throttle(interval_ns=1, burst=1)
    assert throttle.ban_first_ns == 2 * 60 * 10**9
    assert throttle.ban_longest_ns == 3 * 24 * 3_600 * 10**9
