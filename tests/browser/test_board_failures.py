"""What the board shows when something behind it is dead: the right label within seconds, and back without a reload."""

from __future__ import annotations

import time
from typing import Any

from dashboards.freshness import LAYERS
from tests.browser.conftest import Stack, within

LABELLED = 4.5
"""Data is old after 3 s; the rest is the last window's own second and the screen's quarter."""

BACK = 5.0


def states(page: Any) -> set[str]:
    return {page.get_attribute(f"#tile-{layer}", "data-state") for layer in LAYERS}


def banner(page: Any) -> str:
    return page.text_content("#banner-text") if page.is_visible("#banner") else ""


def live(page: Any) -> bool:
    return "ok" in states(page) and not page.is_visible("#banner")


def nothing_green(page: Any) -> bool:
    return states(page) == {"unknown"} and page.locator("[data-state=ok]").count() == 0


def test_a_silent_feed_turns_everything_unknown(stack: Stack, page: Any) -> None:
    within(BACK, lambda: live(page), "live before")
    stack.run.stop()
    within(LABELLED, lambda: nothing_green(page), "nothing is green")
    within(1, lambda: "Feed is silent" in banner(page), "the banner says so")
    assert "silent" in page.text_content("#age-feed")
    assert "Feed is silent" in page.text_content("#say-now")
    stack.run.start()
    within(BACK, lambda: live(page), "live again")


def test_a_dead_guard_is_not_an_ok_guard(stack: Stack, page: Any) -> None:
    within(BACK, lambda: live(page), "live before")
    stack.run.roles.discard("guard")
    within(LABELLED, lambda: nothing_green(page), "nothing is green")
    assert "guard" in banner(page).lower()
    assert "guard is silent" in page.text_content("#tile-data .tile-text")
    stack.run.roles.add("guard")
    within(BACK, lambda: live(page), "live again")


def test_guardrails_stay_live_when_only_the_models_died(stack: Stack, page: Any) -> None:
    within(BACK, lambda: live(page), "live before")
    stack.run.roles -= {"score", "rank"}
    within(LABELLED, lambda: page.is_visible("#ranked-stale"), "the ranking is said to be old")
    assert live(page)
    assert "Models are silent" in page.text_content("#ranked-stale")
    stack.run.verdicts[("index_staleness", "SOL-PERP")] = "warn"
    within(2.5, lambda: page.get_attribute("#tile-data", "data-state") == "warn", "a verdict still arrives")
    stack.run.verdicts.clear()
    stack.run.roles |= {"score", "rank"}
    within(BACK, lambda: not page.is_visible("#ranked-stale"), "the ranking is current again")


def test_a_killed_store_is_named_and_an_empty_one_starts_anew(stack: Stack, browser: Any, page: Any) -> None:
    within(BACK, lambda: live(page), "live before")
    epoch = page.evaluate("perpwatch.model.state.epoch")
    stack.run.stop()
    stack.redis.kill()
    within(3, lambda: "data store" in banner(page), "the banner names it")
    within(1, lambda: nothing_green(page), "nothing is green")
    newcomer = browser.new_page()
    newcomer.goto(stack.url)
    newcomer.wait_for_selector("#banner:not([hidden])")
    assert nothing_green(newcomer), "who comes now sees no live board either"
    newcomer.close()
    stack.start_redis()
    stack.run.start()
    within(BACK, lambda: live(page), "live again without a reload")
    assert page.evaluate("perpwatch.model.state.epoch") != epoch
    within(2, lambda: page.text_content("#ranked-count") == "0 events", "nothing of the lost run is left")


def test_a_killed_board_is_noticed_and_a_new_one_taken_up(stack: Stack, page: Any) -> None:
    within(BACK, lambda: live(page), "live before")
    stack.board.kill()
    within(LABELLED, lambda: "Connection lost" in banner(page), "the banner says so")
    assert nothing_green(page)
    stack.start_board()
    within(BACK, lambda: live(page), "live again without a reload")


def test_an_ended_replay_says_so_and_stays(stack: Stack, page: Any) -> None:
    """The last test: the run is over afterwards."""
    within(BACK, lambda: live(page), "live before")
    stack.run.phase = "REPLAY"
    within(3, lambda: page.text_content("#mode") == "REPLAY", "the mode is told")
    stack.run.stop()
    stack.run.end()
    within(2, lambda: page.text_content("#mode") == "REPLAY ENDED", "the end is told")
    assert nothing_green(page)
    assert banner(page).startswith("This run has ended")
    assert page.get_attribute("#banner", "data-kind") == "fact"
    time.sleep(3.5)
    assert banner(page).startswith("This run has ended"), "and nothing is called silent afterwards"
    assert page.get_attribute("[data-choice=range][data-value=run]", "aria-pressed") == "true"
