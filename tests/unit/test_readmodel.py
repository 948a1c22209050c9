"""The board's read model: what it keeps of a run, in which order, and how frames follow each other."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dashboards.freshness import LAYERS, STALE_MS, Status, doubt, tiles
from dashboards.readmodel import (
    BUCKET_MS,
    CONTRIBUTIONS_SHOWN,
    EVENTS_KEPT,
    SERIES_IN_DELTA,
    SERIES_POINTS,
    ReadModel,
    order_key,
    strength,
)
from dashboards.theme import DARK, LIGHT, TEXT_COLOURS
from dashboards.words import clean, clean_symbol, driver, expected, label, number, once_in, quantity
from models.anomaly import Anomaly, Contribution
from models.detectors.cancels import CANCELS
from models.detectors.depth import DEPTH
from models.detectors.leverage import LEVERAGE
from models.detectors.prices import PRICES
from models.ranking import sort_key

STEP_NS = 1_000_000_000
NO_FAULTS: dict[str, Any] = {"late": 0, "gaps": 0, "rejects": {}}


def row(window: int, symbol: str = "BTC-PERP", phase: str = "LIVE", **prices: float) -> dict[str, Any]:
    head = {"window_index": window, "window_start_ns": (window - 1) * STEP_NS, "window_end_ns": window * STEP_NS}
    return {
        **head,
        "phase": phase,
        "symbol": symbol,
        "index_usd": 1.0,
        "mark_usd": 1.0,
        "last_usd": None,
        "mid_usd": 1.0,
        **prices,
    }


def line(window: int, rate: float = 1e-4, score: float = 10.0, **more: Any) -> dict[str, Any]:
    part = {
        "feature": "cancels",
        "value": 9.0,
        "expected_low": 1.0,
        "expected_high": 3.0,
        "unit": "count",
        "contribution": score,
    }
    base = {
        "window_start_ns": (window - 1) * STEP_NS,
        "window_end_ns": window * STEP_NS,
        "window_ms": 1000,
        "symbol": "BTC-PERP",
        "account": None,
        "family": "cancels",
        "layer": "execution",
        "event": "cancels-BTC-PERP-1",
        "score": score,
        "rarity": 0.999,
        "false_alarm_rate": rate,
        "contributions": [part],
        "phase": "LIVE",
        "accounts": [],
    }
    return {**base, **more}


def model(*windows: int) -> ReadModel:
    made = ReadModel("run-1", "e1")
    for window in windows:
        made.metrics([row(window)], NO_FAULTS, None, now=float(window))
    return made


def rows_of(made: ReadModel) -> list[dict[str, Any]]:
    return sorted(made.snapshot()["delta"]["rows"], key=order_key)


def test_an_event_shows_its_strongest_line_and_its_whole_span() -> None:
    made = model(100)
    made.ranked(103, [line(101, 1e-3, 5), line(102, 1e-6, 30), line(103, 1e-4, 9)], (), (), 0.0, now=0)
    (shown,) = rows_of(made)
    assert (shown["far"], shown["score"], shown["end_ms"]) == (1e-6, 30, 102_000)
    assert (shown["first_ms"], shown["last_ms"], shown["windows"]) == (100_000, 103_000, 3)


def test_order_is_that_of_the_models() -> None:
    made = model(100)
    lines = [
        line(100 + n, rate, score, event=f"e{n}") for n, (rate, score) in enumerate([(1e-3, 9), (1e-5, 1), (1e-5, 2), (0.0, 0)])
    ]
    made.ranked(104, lines, (), (), 0.0, now=0)
    as_models = sorted(
        (
            Anomaly(
                **{k: v for k, v in one.items() if k not in ("accounts", "contributions")},
                contributions=tuple(Contribution(**part) for part in one["contributions"]),
            )
            for one in lines
        ),
        key=sort_key,
    )
    assert [shown["id"] for shown in rows_of(made)] == [one.event for one in as_models]


def test_the_contributions_sent_add_up_to_the_score() -> None:
    weights = [5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.25, -0.5, -6.0]
    parts = [line(1)["contributions"][0] | {"feature": f"f{n}", "contribution": w} for n, w in enumerate(weights)]
    made = model(100)
    made.ranked(101, [line(101, score=math.fsum(weights), contributions=parts)], (), (), 0.0, now=0)
    (shown,) = rows_of(made)
    sent = [part["contribution"] for part in shown["contributions"]]
    assert len(sent) == CONTRIBUTIONS_SHOWN
    assert sent == sorted(sent, reverse=True)
    assert -6.0 in sent, "a strong part that speaks against is shown too"
    assert shown["rest"]["count"] == len(weights) - CONTRIBUTIONS_SHOWN
    assert math.fsum([*sent, shown["rest"]["sum"]]) == pytest.approx(shown["score"], abs=1e-12)


def test_many_events_are_bounded_and_the_best_and_the_newest_stay() -> None:
    made = model(1)
    made.ranked(2, [line(2, 1e-12, event="best"), line(2, 9e-3, event="old and weak")], (), (), 0.0, now=0)
    for n in range(2 * EVENTS_KEPT):
        made.ranked(3000 + n, [line(3000 + n, 1e-3 / (n + 1), event=f"e{n}")], (), (), 0.0, now=0)
    made.metrics([row(4000)], NO_FAULTS, None, now=0)
    made.ranked(4000, [line(4000, 5e-3, event="newest")], (), (), 0.0, now=0)
    ids = {shown["id"] for shown in rows_of(made)}
    assert len(ids) <= EVENTS_KEPT
    assert {"best", "newest"} <= ids
    assert "old and weak" not in ids


def test_a_client_that_applies_deltas_holds_the_snapshot() -> None:
    made = model(100)
    start = made.snapshot()
    rows = {shown["id"]: shown for shown in start["delta"]["rows"]}
    seq = start["seq"]
    for n in range(2 * EVENTS_KEPT):
        made.metrics([row(101 + n)], NO_FAULTS, None, now=0)
        made.ranked(101 + n, [line(101 + n, 1e-4 / (1 + n % 7), event=f"e{n // 2}")], (), (), 0.0, now=0)
        if n % 3 == 0:
            made.judge(float(n), None)
            frame = made.take_delta()
            assert frame["seq"] == seq + 1
            seq = frame["seq"]
            rows.update({shown["id"]: shown for shown in frame["delta"].get("rows", [])})
            for gone in frame["delta"].get("gone", []):
                del rows[gone]
    made.judge(0.0, None)
    rows.update({shown["id"]: shown for shown in made.take_delta()["delta"].get("rows", [])})
    held = {shown["id"]: shown for shown in made.snapshot()["delta"]["rows"]}
    assert {key: rows[key] for key in held} == held


def test_beats_carry_the_sequence_but_do_not_count() -> None:
    made = model(100)
    made.judge(0.0, None)
    frame = made.take_delta()
    assert [made.beat()["seq"], made.beat()["seq"]] == [frame["seq"], frame["seq"]]


def test_a_backlog_is_not_sent_point_by_point() -> None:
    made = ReadModel("run", "e")
    made.metrics([row(window) for window in range(1, 2_000)], NO_FAULTS, None, now=0)
    assert made.take_delta()["delta"]["series"] is None
    assert len(made.series("BTC-PERP")) == SERIES_POINTS
    made.metrics([row(window) for window in range(2_000, 2_000 + SERIES_IN_DELTA)], NO_FAULTS, None, now=0)
    assert len(made.take_delta()["delta"]["series"]["BTC-PERP"]) == SERIES_IN_DELTA


def test_heat_is_the_strongest_of_a_cell_and_old_cells_go() -> None:
    made = model(100)
    made.ranked(103, [line(101, 1e-4), line(102, 1e-7), line(103, 1e-3, family="depth", event="d")], (), (), 0.0, now=0)
    (cells,) = {tuple(map(tuple, [cell[1:] for cell in made.snapshot()["delta"]["heat"]]))}
    assert set(cells) == {("BTC-PERP", "cancels", 7.0), ("BTC-PERP", "depth", 3.0)}
    made.metrics([row(103 + 601 + BUCKET_MS // 1000)], NO_FAULTS, None, now=0)
    assert made.snapshot()["delta"]["heat"] == []


@pytest.mark.parametrize(("rate", "shown"), [(0.0, 16.0), (1e-300, 16.0), (1e-6, 6.0), (1.0, 0.0), (2.0, 0.0)])
def test_strength(rate: float, shown: float) -> None:
    assert strength(rate) == shown


def test_ages_count_from_the_last_step_seen_never_from_the_first_sight() -> None:
    made = ReadModel("run", "e")
    beat = {"guard": {"last_window": 7, "wall_ms": 0}}
    made.health(beat, now=0.0)
    made.judge(1.0, None)
    assert made.status.ages_ms["guard"] is None, "seen once: its last word may be hours old"
    made.health(beat, now=2.0)
    made.judge(2.0, None)
    assert made.status.ages_ms["guard"] is None, "a heartbeat is not progress"
    made.health({"guard": {"last_window": 8}}, now=3.0)
    made.judge(4.5, None)
    assert made.status.ages_ms["guard"] == 1500


def test_faults_of_the_input_are_said() -> None:
    made = ReadModel("run", "e")
    made.metrics([row(1)], {"late": 3, "gaps": 0, "rejects": {"bad price": 2, "unknown symbol": 5}}, None, now=0)
    made.unreadable()
    made.judge(0.0, None)
    assert made.status.faults == {"late": 3, "rejected": 7, "unreadable": 1}


# ---- tiles ----


def state(rule: str, symbol: str, layer: str, level: str, **more: Any) -> dict[str, Any]:
    base = {
        "rule": rule,
        "symbol": symbol,
        "layer": layer,
        "state": level,
        "since_ns": 5,
        "value": 1.0,
        "limit": 2.0,
        "unit": "bps",
    }
    return {**base, "text": f"{rule} {level}", **more}


def by_layer(states: list[dict[str, Any]], reason: str | None = None) -> dict[str, dict[str, Any]]:
    return {tile["layer"]: tile for tile in tiles(states, reason)}


def test_tiles_stand_in_layer_order_and_one_without_rules_is_unknown() -> None:
    made = tiles([], None)
    assert [tile["layer"] for tile in made] == list(LAYERS)
    assert {tile["state"] for tile in made} == {"unknown"}
    assert all("no rule" in tile["text"] for tile in made)


def test_the_worst_verdict_leads_with_its_rule_and_symbols() -> None:
    states = [state("bounds", s, "pricing", "warn") for s in "ABCDE"] + [state("divergence", "C", "pricing", "breach")]
    tile = by_layer(states)["pricing"]
    assert (tile["state"], tile["rule"], tile["symbols"]) == ("breach", "divergence", ["C"])
    assert "1 more rule" in tile["text"]
    tile = by_layer(states[:-1])["pricing"]
    assert (tile["state"], tile["symbols"], tile["more"]) == ("warn", ["A", "B", "C"], 2)


def test_one_unknown_verdict_keeps_a_layer_from_being_ok() -> None:
    states = [state("a", "X", "data", "ok"), state("a", "Y", "data", "unknown")]
    assert by_layer(states)["data"]["state"] == "unknown"


def test_a_red_layer_is_named_to_its_right_and_only_there() -> None:
    states = [state("age", "X", "data", "ok"), state("gap", "X", "pricing", "breach"), state("rate", "X", "execution", "ok")]
    made = by_layer(states)
    assert made["data"]["rests_on"] is None
    assert made["pricing"]["rests_on"] is None
    assert made["execution"]["state"] == "ok"
    assert "pricing" in made["execution"]["rests_on"]
    assert "gap" in made["execution"]["rests_on"]


def test_broken_data_makes_the_same_symbol_unknown_to_the_right() -> None:
    states = [state("age", "X", "data", "breach"), state("rate", "X", "execution", "ok"), state("rate", "Y", "execution", "ok")]
    tile = by_layer(states)["execution"]
    assert (tile["state"], tile["symbols"]) == ("unknown", ["X"])


def test_in_doubt_every_tile_is_unknown_and_remembers_a_breach_in_words() -> None:
    made = by_layer([state("gap", "X", "pricing", "breach"), state("age", "X", "data", "ok")], "guard is silent")
    assert {tile["state"] for tile in made.values()} == {"unknown"}
    assert "last known: breach, gap" in made["pricing"]["text"]
    assert made["data"]["text"] == "guard is silent"


def fresh(**more: Any) -> Status:
    ages: dict[str, float | None] = {"feed": 10.0, "guard": 10.0, "score": 10.0, "rank": 10.0}
    return Status(**{"run_id": "r", "mode": "LIVE", "store_ok": True, "ages_ms": ages, **more})


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (fresh(), None),
        (fresh(mode="REPLAY", guard_lag_ms=1e9), None),
        (fresh(mode="LIVE", guard_lag_ms=STALE_MS + 1), "behind"),
        (fresh(store_ok=False), "data store"),
        (fresh(mode=None), "no window"),
        (fresh(mode="HISTORY"), "history"),
        (fresh(ended=True), "ended"),
        (fresh(ages_ms={"feed": STALE_MS + 1, "guard": 0}), "feed is silent"),
        (fresh(ages_ms={"feed": 0, "guard": None}), "guard has not"),
        (fresh(ages_ms={"feed": 0, "guard": 0, "score": None, "rank": 1e9}), None),
    ],
)
def test_doubt(status: Status, words: str | None) -> None:
    found = doubt(status)
    assert (found is None) if words is None else (found is not None and words in found)


# ---- words ----


def test_text_cannot_turn_or_hide_itself() -> None:
    assert clean("a\u202eb\u2066c\u200bd\x00e\ue000f") == "abcdef"
    assert len(clean("x" * 500)) == 120
    assert clean_symbol("BTC-PERP") == "BTC-PERP"
    assert clean_symbol("BTC\u202e-PERP") != "BTC-PERP"
    assert clean_symbol("BTC\u202e-PERP") != clean_symbol("BTC\u2066-PERP")
    assert clean_symbol("\ud800").isprintable()


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (412, "count", "412"),
        (1_234_567, "usd", "$1.23M"),
        (194_986, "usd", "$195k"),
        (999_900, "usd", "$999,900"),
        (-12.5, "usd", "−$12.5"),
        (0.615, "share", "61.5%"),
        (-3.25, "bps", "−3.25 bps"),
        (14.2, "x", "14.2×"),
        (0.00004, "", "4.0e−05"),
        (None, "bps", "–"),
        (math.nan, "bps", "–"),
    ],
)
def test_quantities(value: float | None, unit: str, shown: str) -> None:
    assert quantity(value, unit) == shown


def test_numbers_keep_three_figures() -> None:
    assert [number(x) for x in (0.0, 0.0312, 3.14159, 99.96, 123.4, 5_2345, 2e9, 3e15)] == [
        "0", "0.0312", "3.14", "100", "123", "52,345", "2B", "3.00e+15",
    ]  # fmt: skip


def test_a_driver_is_a_clause() -> None:
    part = {"feature": "cancels_near", "value": 412.0, "expected_low": 3.0, "expected_high": 19.0, "unit": "count"}
    assert driver(part) == "cancels near the touch 412, expected 3 to 19"
    assert driver({**part, "expected_low": None}) == "cancels near the touch 412, expected under 19"
    assert driver({**part, "expected_low": None, "expected_high": None}) == "cancels near the touch 412"
    assert expected(3, 19, "bps") == "3 to 19 bps"
    assert expected(6.6e-176, 1.4e175, "x") == "–", "a model that has learnt nothing yet expects nothing"
    assert label("spread_bps") == "spread"


def test_every_feature_has_a_name_without_its_unit() -> None:
    for family in (CANCELS, DEPTH, LEVERAGE, PRICES):
        for feature in family.features:
            words = label(feature.name, feature.unit)
            assert "_" not in words
            assert not words.endswith(f" {feature.unit}")


def test_rates_as_people_say_them() -> None:
    assert once_in(3.1e-6) == "about 1 window in 320,000"
    assert once_in(0.01) == "about 1 window in 100"
    assert "less than" in once_in(1e-30)
    assert once_in(0.0) == "rarer than the model can tell"


# ---- colours ----


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize("ground", ["ground", "surface", "raised", "fill"])
def test_text_can_be_read(palette: dict[str, str], ground: str) -> None:
    for name in TEXT_COLOURS:
        a, b = sorted((luminance(palette[name]), luminance(palette[ground])))
        assert (b + 0.05) / (a + 0.05) >= 4.5, f"{name} on {ground}"


def test_a_row_shows_what_became_of_its_event_and_the_foot_what_was_stated():
    made = model()
    lines = [line(101, 1e-8, 30, event="e"), line(102, 5e-3, 3, event="e")]
    member = {
        "family": "cancels",
        "symbol": "BTC-PERP",
        "account": None,
        "kind": "storm",
        "lag_ms": 0,
        "false_alarm_rate": 1e-8,
    }
    event = {
        "event": "e", "members": [member, {**member, "family": "depth", "symbol": "<b>", "account": 7, "lag_ms": 3000}],
        "unlisted_members": 2, "account": 7, "alert": True, "alert_number": 3, "over_budget": True, "false_alarm_rate": 4e-7,
        "alert_rate": 1e-4, "last_ns": 102 * 10**9,
    }  # fmt: skip
    drift = {"window_end_ns": 102 * 10**9, "symbol": "BTC-PERP", "says": "the level of depth fell"}
    made.ranked(102, lines, [event, {**event, "event": "nobody's"}], [drift], 0.0, now=0)
    row = rows_of(made)[0]
    assert row["alert"] == "alert 3 of the day, over the budget"
    assert [(one["text"], one["after_s"]) for one in row["members"]] == [("cancels storm", 0.0), ("depth storm", 3.0)]
    assert row["members"][1]["symbol"] == clean_symbol("<b>")
    assert (row["members"][1]["account"], row["more_members"], row["shared"]) == ("7", 2, "7")
    odds = made.snapshot()["delta"]["odds"]
    assert odds["alerts"] == 1
    assert [seen for _, _, seen in odds["rates"]] == [2, 1, 1]
    assert odds["drifts"][0]["text"] == "the level of depth fell"
    # A later line keeps what is known of the event.
    made.ranked(103, [line(103, 4e-3, 3, event="e")], (), (), 0.0, now=0)
    assert rows_of(made)[0]["alert"] == row["alert"]


def test_a_second_opinion_is_shown_beside_and_only_where_there_is_one():
    made = model()
    made.ranked(101, [line(101, event="a", second_opinion=0.9934), line(101, event="b")], (), (), 0.0, now=0)
    assert {row["id"]: row["second"] for row in rows_of(made)} == {
        "a": "half-space trees: less usual than 99.3% of what they saw", "b": "",
    }  # fmt: skip
