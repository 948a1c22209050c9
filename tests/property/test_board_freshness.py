"""No combination of failures may show OK on old data."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dashboards.freshness import LAYERS, STALE_MS, tiles
from dashboards.freshness import doubt as doubt_of
from dashboards.readmodel import ReadModel

STEP_NS = 1_000_000_000
SYMBOLS = ("A", "B")
LEVELS = ("ok", "ok", "ok", "warn", "breach", "halt", "unknown")
NO_FAULTS: dict[str, Any] = {"late": 0, "gaps": 0, "rejects": {}}

verdicts = st.lists(
    st.fixed_dictionaries(
        {
            "rule": st.sampled_from(["r1", "r2"]),
            "symbol": st.sampled_from(SYMBOLS),
            "layer": st.sampled_from(LAYERS),
            "state": st.sampled_from(LEVELS),
            "since_ns": st.just(1),
            "value": st.none() | st.floats(0, 10),
            "limit": st.just(5.0),
            "unit": st.just("bps"),
            "text": st.just("words"),
        }
    ),
    max_size=12,
)

# What may happen within one quarter of a second: windows pass, or a part of the system is dead.
turns = st.lists(
    st.fixed_dictionaries(
        {
            "feed": st.booleans(),
            "guard": st.booleans(),
            "guard_beats": st.booleans(),
            "rank": st.booleans(),
            "store": st.booleans(),
            "ends": st.sampled_from([False] * 20 + [True]),
            "seconds": st.sampled_from([0.25, 0.25, 1.0, 4.0]),
            "phase": st.sampled_from(["HISTORY", "LIVE", "LIVE", "REPLAY"]),
        }
    ),
    min_size=1,
    max_size=40,
)


@given(verdicts, turns)
def test_ok_is_only_ever_shown_on_fresh_data(states: list[dict[str, Any]], story: list[dict[str, Any]]) -> None:
    model = ReadModel("run", "epoch")
    now, feed, guard = 0.0, 100, 100
    feed_at = guard_at = None
    down_since: float | None = None
    phase = None
    ended = False
    for turn in story:
        now += turn["seconds"]
        if turn["store"]:
            down_since = None
            if turn["feed"]:
                feed += 1
                phase = turn["phase"]
                head = {"window_index": feed, "window_start_ns": (feed - 1) * STEP_NS, "window_end_ns": feed * STEP_NS}
                model.metrics([{**head, "phase": phase, "symbol": s} for s in SYMBOLS], NO_FAULTS, None, now)
                feed_at = now if feed > 101 else None
            if turn["guard"] and guard < feed:
                guard = feed
                guard_at = now
            if turn["guard"] or turn["guard_beats"]:
                model.health({"guard": {"last_window": guard}}, now)
            model.verdicts(states)
            if turn["rank"]:
                model.ranked(feed, [], [], [], None, now)
            if turn["ends"]:
                model.end()
                ended = True
        elif down_since is None:
            down_since = now
        model.judge(now, down_since)
        shown = model.snapshot()["delta"]["tiles"]

        old = (
            not turn["store"]
            or ended
            or phase in (None, "HISTORY")
            or feed_at is None
            or guard_at is None
            or (now - feed_at) * 1e3 > STALE_MS
            or (now - guard_at) * 1e3 > STALE_MS
        )
        for tile in shown:
            own = [state["state"] for state in states if state["layer"] == tile["layer"]]
            if tile["state"] == "ok":
                assert not old
                assert own
                assert set(own) == {"ok"}
            if old:
                assert tile["state"] == "unknown"


@given(verdicts, st.none() | st.just("guard is silent"))
def test_no_tile_is_milder_than_its_worst_verdict(states: list[dict[str, Any]], reason: str | None) -> None:
    severity = {"unknown": 1, "ok": 0, "warn": 2, "breach": 3, "halt": 4}
    for tile in tiles(states, reason):
        own = [severity[state["state"]] for state in states if state["layer"] == tile["layer"]]
        if reason is not None or not own:
            assert tile["state"] == "unknown"
        else:
            assert severity[tile["state"]] >= max(own)


def test_a_model_that_was_told_nothing_claims_nothing() -> None:
    model = ReadModel("run", "epoch")
    model.judge(0.0, None)
    assert doubt_of(model.status) is not None
    assert {tile["state"] for tile in model.snapshot()["delta"]["tiles"]} == {"unknown"}
