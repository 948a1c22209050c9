"""The live page as people use it: what stands where, choosing, keys, the held order, hostile names, small screens."""

from __future__ import annotations

import json
import math
import random
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from dashboards.freshness import LAYERS, STALE_MS, Status, doubt
from tests.browser.conftest import Stack, within
from tests.browser.publisher import anomaly

SETTLED = 2.5
"""Seconds for a change to reach the screen: windows close once a second, the ranking is drawn once a second."""

ROWS = """() => [...document.querySelectorAll('#ranked .ag-row')]
    .sort((a, b) => a.getAttribute('row-index') - b.getAttribute('row-index'))
    .map((row) => ({id: row.getAttribute('row-id'),
                    far: row.querySelector('[col-id=far_text]').textContent,
                    score: row.querySelector('[col-id=score_text]').textContent,
                    symbol: row.querySelector('[col-id=symbol]').textContent,
                    driver: row.querySelector('[col-id=driver]').textContent}))"""


def rows(page: Any) -> list[dict[str, str]]:
    return page.evaluate(ROWS)


def tile(page: Any, layer: str) -> str:
    return page.get_attribute(f"#tile-{layer}", "data-state")


def test_the_first_screen_answers_in_order(page: Any, errors: list[str]) -> None:
    assert page.get_attribute("html", "lang") == "en"
    assert page.text_content("#mode") == "LIVE"
    assert page.text_content("#run-id") == "fake"
    within(SETTLED, lambda: tile(page, "data") == "ok", "tiles come alive")
    assert page.locator(".tile-layer").all_text_contents() == list(LAYERS)
    assert [tile(page, layer) for layer in LAYERS] == ["ok", "ok", "ok", "ok", "unknown"]
    tops = [page.locator(at).bounding_box()["y"] for at in (".strip", ".tiles", "#ranked-panel", "#heatmap-panel")]
    assert tops == sorted(tops)
    shown = rows(page)
    keys = [(float(row["far"]), -float(row["score"])) for row in shown]
    assert keys == sorted(keys)
    assert shown[0]["driver"].startswith("cancels per trade 172, expected 0.4 to 6.1")
    assert page.text_content("#why-title") == "SOL-PERP · cancels"
    assert page.text_content("#prices-title") == page.text_content("#book-title") == "SOL-PERP"
    assert "412" in page.text_content("#why-accounts")
    assert page.locator("#heatmap .heatmaplayer").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    unnamed = "[...document.querySelectorAll('button, a, section')].filter(e => !(e.textContent.trim() || e.ariaLabel)).length"
    assert page.evaluate(unnamed) == 0
    assert errors == []


def test_choosing_a_row_shows_why_and_the_bars_add_up(page: Any, errors: list[str]) -> None:
    third = rows(page)[2]
    page.click(f"#ranked .ag-row[row-id='{third['id']}']")
    within(SETTLED, lambda: page.text_content("#why-title").startswith(third["symbol"]), "the why panel follows")
    assert page.text_content("#why-score") == third["score"]
    parts = page.eval_on_selector_all("[data-contribution]", "all => all.map(e => Number(e.dataset.contribution))")
    assert math.fsum(parts) == pytest.approx(float(third["score"]), abs=0.01)
    bars = page.eval_on_selector_all(
        "#why-parts .fill",
        "all => all.map(e => [parseFloat(e.style.left), parseFloat(e.style.width), e.classList.contains('up')])",
    )
    sums = [math.fsum(parts[:n]) for n in range(len(parts) + 1)]
    low, high = min(sums), max(sums)
    ends = [-100 * low / (high - low)]
    for left, width, up in bars:
        start, stop = (left, left + width) if up else (left + width, left)
        assert start == pytest.approx(ends[-1], abs=1e-6), "each bar starts where the last one ended"
        ends.append(stop)
    assert ends[-1] == pytest.approx(100 * (sums[-1] - low) / (high - low), abs=1e-6)
    assert page.text_content("#prices-title") == third["symbol"]

    # The choice is in the address: it survives a reload, and back undoes it.
    assert parse_qs(urlsplit(page.url).query)["event"] == [third["id"]]
    page.reload()
    page.wait_for_selector("#ranked .ag-row.chosen")
    assert page.get_attribute("#ranked .ag-row.chosen", "row-id") == third["id"]
    page.click("[data-choice=family][data-value=depth]")
    within(SETTLED, lambda: all("depth" in row["id"] for row in rows(page)), "only one family is left")
    page.go_back()
    within(SETTLED, lambda: any("cancels" in row["id"] for row in rows(page)), "back restores the filter")
    assert errors == []


def test_the_keyboard_alone_is_enough(page: Any) -> None:
    ids = [row["id"] for row in rows(page)]
    chosen = lambda: page.get_attribute("#ranked .ag-row.chosen", "row-id")  # noqa: E731
    page.keyboard.press("j")
    page.keyboard.press("j")
    within(SETTLED, lambda: chosen() == ids[2], "j goes down")
    page.keyboard.press("k")
    within(SETTLED, lambda: chosen() == ids[1], "k goes up")
    page.keyboard.press("Enter")
    within(SETTLED, lambda: page.evaluate("document.activeElement.id") == "why-panel", "Enter goes to the why")
    page.keyboard.press("Escape")
    within(SETTLED, lambda: chosen() == ids[0], "Esc returns to the top")
    within(SETTLED, lambda: "event" not in page.url, "the address forgets the event")


def test_a_breach_shows_with_rule_and_symbol_and_dims_what_rests_on_it(stack: Stack, page: Any) -> None:
    within(SETTLED, lambda: tile(page, "pricing") == "ok", "calm before")
    stack.run.verdicts[("mark_index_divergence", "ETH-PERP")] = "breach"
    within(SETTLED, lambda: tile(page, "pricing") == "breach", "the breach is on its tile")
    assert page.text_content("#tile-pricing .tile-word") == "BREACH"
    assert page.text_content("#tile-pricing .tile-what") == "ETH-PERP · mark index divergence"
    assert "rests on broken pricing" in page.text_content("#tile-margin .tile-rests")
    assert page.text_content("#tile-data .tile-rests") == ""
    assert "pricing breach" in page.text_content("#say-now")
    stack.run.verdicts.clear()
    within(SETTLED, lambda: tile(page, "pricing") == "ok", "calm after")


def test_a_new_anomaly_is_on_top_and_a_hovered_row_does_not_move(stack: Stack, page: Any) -> None:
    before = rows(page)
    page.hover(f"#ranked .ag-row[row-id='{before[3]['id']}']")
    place = page.locator(f"#ranked .ag-row[row-id='{before[3]['id']}']").bounding_box()
    stack.run.pending.append(anomaly(stack.run.window + 1, "LINK-PERP", "leverage", 1e-14, 120.0))
    within(
        SETTLED, lambda: page.is_visible("#ranked-held") and "1 new" in page.text_content("#ranked-held"), "it is said to wait"
    )
    time.sleep(1.2)
    assert [row["id"] for row in rows(page)] == [row["id"] for row in before]
    assert page.locator(f"#ranked .ag-row[row-id='{before[3]['id']}']").bounding_box() == place
    page.mouse.move(2, 2)
    within(SETTLED, lambda: rows(page)[0]["symbol"] == "LINK-PERP", "released, the new one leads")
    assert not page.is_visible("#ranked-held")
    assert page.text_content("#why-title") == "LINK-PERP · leverage", "nothing was chosen: the top is shown"


def test_a_line_that_was_to_be_expected_says_so_and_why(stack: Stack, page: Any) -> None:
    line = anomaly(stack.run.window + 1, "LTC-PERP", "depth", 3e-8, 80.0, expected="makers show <i>less</i> around 08:00 UTC")
    stack.run.pending.append(line)
    row = page.locator(f"#ranked .ag-row[row-id='{line['event']}']")
    within(5, lambda: row.count() == 1, "the line is there")
    assert row.locator("[col-id=driver]").text_content().startswith("expected · ")
    row.click()
    within(5, lambda: "Expected: makers show <i>less</i>" in page.text_content("#why-sentence"), "and why")


def test_a_click_in_the_heatmap_chooses_symbol_and_event(page: Any) -> None:
    box = page.locator("#heatmap .heatmaplayer image, #heatmap .hm image").first.bounding_box()
    row_height = box["height"] / 8
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 1.5 * row_height)
    within(SETTLED, lambda: page.text_content("#book-title") == "ETH-PERP", "the row's symbol is chosen")
    within(SETTLED, lambda: parse_qs(urlsplit(page.url).query)["symbol"] == ["ETH-PERP"], "the address tells the symbol")


def test_hostile_names_are_only_text(stack: Stack, page: Any, errors: list[str]) -> None:
    names = ["<img src=x onerror=pwned=1>", "=HYPERLINK('x')", "BTC\u202ePREP", "<a href='javascript:pwned=1'>x</a>", "W" * 120]
    usual = stack.run.symbols
    stack.run.symbols = (*usual, *names)
    for n, name in enumerate(names):
        event = f"<b>{name}</b>-{n}"
        stack.run.pending.append(
            anomaly(stack.run.window + 1, name, "cancels", 10 ** -(20.0 + n), 200.0 + n, event, account="<i>7</i>")
        )
        stack.run.verdicts[("message_rate", name)] = "warn"
    try:
        within(5, lambda: any("onerror" in row["symbol"] for row in rows(page)), "the hostile names arrive")
        for place in range(len(names)):
            page.keyboard.press("j")
            page.wait_for_timeout(250 if place else 1500)
        assert page.evaluate("typeof pwned") == "undefined"
        assert page.locator("#board img, #board i, #board b, #board .js-plotly-plot a[href^='javascript']").count() == 0
        text = page.evaluate("document.body.innerText")
        assert "\u202e" not in text
        assert "<img src=x onerror=pwned=1>~" in text
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    finally:
        stack.run.symbols = usual
        for name in names:
            del stack.run.verdicts[("message_rate", name)]
    assert errors == []


def test_a_phone_needs_no_sideways_scroll(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    try:
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        tops = [
            page.locator(at).bounding_box()["y"] for at in (".strip", ".tiles", "#ranked-panel", "#why-panel", "#heatmap-panel")
        ]
        assert tops == sorted(tops)
        second = page.get_attribute("#ranked .ag-row[row-index='1']", "row-id")
        page.click(f"#ranked .ag-row[row-id={json.dumps(second)}]")
        within(SETTLED, lambda: page.get_attribute("#ranked .ag-row.chosen", "row-id") == second, "a tap chooses a row")
    finally:
        page.set_viewport_size({"width": 1440, "height": 900})


def test_the_browser_judges_freshness_as_the_server_does(page: Any) -> None:
    rng = random.Random(7)
    ages = [None, 0.0, 2_000.0, float(STALE_MS), STALE_MS + 1.0, 60_000.0]
    cases = [
        Status(
            run_id="r",
            mode=rng.choice([None, "HISTORY", "LIVE", "LIVE", "REPLAY"]),
            ended=rng.random() < 0.15,
            store_ok=rng.random() < 0.85,
            guard_lag_ms=rng.choice([0.0, 3_000.0, 3_001.0]),
            ages_ms={role: rng.choice(ages) for role in ("feed", "guard", "score", "rank")},
        )
        for _ in range(400)
    ]
    given = json.loads(msgspec.json.encode(cases))
    judge = "(cases) => cases.map((status) => perpwatch.freshness.doubt(status, 0))"
    assert page.evaluate(judge, given) == [doubt(status) for status in cases]
    later = "(cases) => cases.map((status) => perpwatch.freshness.doubt(status, 3001)).filter((words) => words === null).length"
    assert page.evaluate(later, given) == 0, "a silent server leaves nothing believed"
    green = """(cases) => cases.map((status) => {
        const reason = perpwatch.freshness.doubt(status, 0);
        return reason !== null && perpwatch.freshness.shown({layer: 'data', state: 'ok', symbols: [], text: ''}, reason).state;
    }).filter((state) => state && state !== 'unknown').length"""
    assert page.evaluate(green, given) == 0


def test_eight_tabs_share_one_connection(stack: Stack, browser: Any, page: Any) -> None:
    """Browsers allow six connections a host: with one each, the seventh tab would not even load."""
    tabs = [browser.new_page() for _ in range(7)]
    for tab in tabs:
        # What is drawn does not matter here, and eight times Plotly takes its time.
        tab.route("**/_dash-component-suites/**", lambda route: route.abort())
        tab.goto(stack.url, wait_until="commit")
    seq = "perpwatch.model.state.seq"
    for tab in (*tabs, page):
        within(10, lambda tab=tab: tab.evaluate(f"window.perpwatch?.model ? {seq} : 0") > 0, "every tab loads")
    before = [tab.evaluate(seq) for tab in tabs]
    for tab, then in zip(tabs, before, strict=True):
        within(4, lambda tab=tab, then=then: tab.evaluate(seq) > then, "every tab goes on")
    for tab in tabs:
        tab.close()


def test_history_at_full_speed_does_not_freeze_the_page(stack: Stack, page: Any) -> None:
    page.evaluate(
        """() => {
            const { model } = perpwatch;
            const { apply } = model;
            const { react } = Plotly;
            window.counted = { frames: 0, drawings: 0 };
            model.apply = (frame) => { counted.frames += frame.kind === 'delta'; return apply(frame); };
            Plotly.react = (...given) => { counted.drawings += given[0].id === 'heatmap'; return react(...given); };
        }"""
    )
    stack.run.stop()
    start = time.monotonic()
    while time.monotonic() - start < 3:
        window = stack.run.window
        event = f"depth-XRP-PERP-{window // 600}"
        stack.run.pending = [anomaly(window + n, "XRP-PERP", "depth", 1e-3, 5.0 + n, event) for n in range(1, 61, 5)]
        stack.run.step(60)
    stack.run.start()
    page.hover("#ranked .ag-row[row-index='1']")
    held = page.get_attribute("#ranked .ag-row[row-index='1']", "row-id")
    page.click(f"#ranked .ag-row[row-id='{held}']")
    within(1, lambda: page.get_attribute("#ranked .ag-row.chosen", "row-id") == held, "a click is answered at once")
    seconds = time.monotonic() - start
    counted = page.evaluate("counted")
    assert 0 < counted["frames"] <= 4 * seconds + 2
    assert 0 < counted["drawings"] <= seconds + 2, "once a second, and once for the click"
