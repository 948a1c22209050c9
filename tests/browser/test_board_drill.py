"""Asking for a drill on the board, and a board on which a drill shows."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import msgspec

from engine.instruments import load_pack
from monitor.bus.asked import Asked, Drill
from monitor.bus.meta import RunMeta, write_meta
from tests.browser.conftest import Stack, within
from tests.browser.publisher import anomaly

HOSTILE = Drill("<img src=x onerror=alert(1)>", "<b>boo</b>", benign=False)
CALM = Drill("news-shock", "news moves the index", benign=True)


def offer(stack: Stack, *drills: Drill) -> None:
    instruments = tuple(load_pack("core").instrument(symbol) for symbol in ("BTC-PERP", "ETH-PERP"))
    meta = RunMeta(1, "venue", instruments, (), 0, 1_000_000_000, 0, None, drills)
    write_meta(stack.run.redis, stack.run.keys, meta)


def asked(stack: Stack) -> list[Asked]:
    return [msgspec.json.decode(raw, type=Asked) for raw in stack.run.redis.lrange(stack.run.keys.drills, 0, -1)]


def test_without_drills_there_is_no_button_and_with_them_one_that_asks(stack: Stack, browser: Any) -> None:
    page = browser.new_page()
    try:
        page.goto(stack.url)
        page.wait_for_selector("#ranked .ag-row")
        page.wait_for_timeout(1500)
        assert page.locator("#drill").is_hidden()
        offer(stack, HOSTILE, CALM)
        page.reload()
        page.wait_for_selector("#drill summary")
        page.click("#drill summary")
        assert page.locator("#drill-name option").all_text_contents() == [HOSTILE.name, "news-shock (benign)"]
        assert page.text_content("#drill-says") == "<b>boo</b>."
        assert page.locator("#drill img, #drill b").count() == 0
        page.select_option("#drill-name", "news-shock")
        assert page.text_content("#drill-says") == "Ordinary business: news moves the index."
        page.select_option("#drill-symbol", "SOL-PERP")
        page.select_option("#drill-strength", "2")
        page.click("#drill-start")
        within(5, lambda: "no market of that name" in page.text_content("#drill-answer"), "the server's answer shows")
        page.select_option("#drill-symbol", "ETH-PERP")
        within(5, lambda: page.locator("#drill-start").is_enabled(), "the button can be pressed again")
        page.click("#drill-start")
        within(5, lambda: "asked for" in page.text_content("#drill-answer"), "the request is taken")
        (one,) = asked(stack)
        assert (one.name, one.strength, one.symbol) == ("news-shock", 2.0, "ETH-PERP")
        assert re.fullmatch("[0-9a-f]{16}", one.id)
    finally:
        page.close()
        stack.run.redis.delete(stack.run.keys.drills, stack.run.keys.meta)


def test_what_is_no_drill_is_refused_with_a_sentence(stack: Stack) -> None:
    url = stack.url + "api/drills"
    good = {"id": "0123456789abcdef", "name": "news-shock", "strength": 1.0, "symbol": ""}
    assert httpx.post(url, json=good).status_code == 409
    try:
        offer(stack, CALM)
        for body, status in (
            (json.dumps(good | {"strength": 1e9}), 400),
            (json.dumps(good | {"id": "../../x"}), 400),
            (json.dumps(good | {"more": 1}), 400),
            (json.dumps(good | {"name": "no-such-thing"}), 404),
            (json.dumps(good | {"name": "x" * 2000}), 413),
            ("no json", 400),
        ):
            answer = httpx.post(url, content=body, headers={"Content-Type": "application/json"})
            assert (answer.status_code, bool(answer.text)) == (status, True)
        # What a form of another origin could send.
        assert httpx.post(url, content=json.dumps(good), headers={"Content-Type": "text/plain"}).status_code == 415
        assert [httpx.post(url, json=good).status_code for _ in range(9)] == [202] * 8 + [429]
        assert len(asked(stack)) == 8
    finally:
        stack.run.redis.delete(stack.run.keys.drills, stack.run.keys.meta)


def test_a_drill_is_said_wherever_it_shows(stack: Stack, page: Any, errors: list[str]) -> None:
    run = stack.run
    run.phase = "DRILL"
    try:
        line = anomaly(run.window + 1, "LTC-PERP", "depth", 1e-9, 900.0, phase="DRILL")
        run.pending.append(line)
        within(5, lambda: page.text_content("#mode") == "DRILL", "the mode is DRILL")
        assert page.locator("#banner").is_visible()
        assert "It is no incident" in page.text_content("#banner-text")
        row = page.locator(f"#ranked .ag-row[row-id='{line['event']}']")
        within(5, lambda: row.count() == 1 and "DRILL" in row.locator("[col-id=driver]").text_content(), "the line is marked")
        row.click()
        within(5, lambda: page.text_content("#why-title") == "LTC-PERP · depth · DRILL", "the explanation is marked")
        within(5, lambda: page.get_attribute("#tile-data", "data-state") == "ok", "the tiles are believed in a drill")
    finally:
        run.phase = "LIVE"
    within(5, lambda: page.text_content("#mode") == "LIVE" and page.locator("#banner").is_hidden(), "it is over")
    assert errors == []
