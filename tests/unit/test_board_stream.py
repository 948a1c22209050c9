"""Frames to viewers: in order, without a hole, and bounded however slow a viewer is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from dashboards.readmodel import ReadModel
from dashboards.stream import RING, Hub

STEP_NS = 1_000_000_000


def run(story: Coroutine[Any, Any, None]) -> None:
    """Runs `story` in a thread of its own: the browser tests keep an event loop running in the main one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, story).result()


def advance(hub: Hub, model: ReadModel, window: int) -> None:
    head = {"window_index": window, "window_start_ns": (window - 1) * STEP_NS, "window_end_ns": window * STEP_NS}
    model.metrics([{**head, "phase": "LIVE", "symbol": "BTC-PERP"}], {}, None, now=float(window))
    model.judge(float(window), None)
    hub.publish(model, model.take_delta())


def read(event: bytes) -> dict[str, Any]:
    (data,) = [line[6:] for line in event.splitlines() if line.startswith(b"data: ")]
    return msgspec.json.decode(data)


async def take(events: AsyncIterator[bytes], count: int) -> list[dict[str, Any]]:
    return [read(await asyncio.wait_for(anext(events), 1)) for _ in range(count)]


def started() -> tuple[Hub, ReadModel]:
    hub, model = Hub(), ReadModel("run", "epoch")
    for window in range(1, 4):
        advance(hub, model, window)
    return hub, model


def test_a_new_viewer_gets_a_snapshot_and_then_every_delta() -> None:
    async def story() -> None:
        hub, model = started()
        events = hub.events("", -1)
        (first,) = await take(events, 1)
        assert (first["kind"], first["seq"]) == ("snapshot", 3)
        for window in range(4, 7):
            advance(hub, model, window)
        assert [(frame["kind"], frame["seq"]) for frame in await take(events, 3)] == [("delta", 4), ("delta", 5), ("delta", 6)]

    run(story())


def test_a_viewer_that_comes_back_gets_what_it_missed() -> None:
    async def story() -> None:
        hub, model = started()
        for window in range(4, 8):
            advance(hub, model, window)
        assert [frame["seq"] for frame in await take(hub.events("epoch", 5), 2)] == [6, 7]
        for epoch, seq in (("other epoch", 5), ("epoch", 99), ("epoch", -1)):
            (frame,) = await take(hub.events(epoch, seq), 1)
            assert frame["kind"] == "snapshot"

    run(story())


def test_a_viewer_that_does_not_read_gets_a_snapshot_later_and_costs_nothing_meanwhile() -> None:
    async def story() -> None:
        hub, model = started()
        events = hub.events("", -1)
        await take(events, 1)
        for window in range(4, 4 + 3 * RING):
            advance(hub, model, window)
        (frame,) = await take(events, 1)
        assert (frame["kind"], frame["seq"]) == ("snapshot", model.seq)
        advance(hub, model, 1000)
        assert [(frame["kind"], frame["seq"]) for frame in await take(events, 1)] == [("delta", model.seq)]
        assert len(hub._ring) <= RING

    run(story())


def test_a_stream_waits_without_news_and_ends_with_the_hub() -> None:
    async def story() -> None:
        hub, _ = started()
        events = hub.events("", -1)
        await take(events, 1)
        waiting = asyncio.ensure_future(anext(events))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.05)
        hub.close()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(waiting, 1)

    run(story())


def test_polling_gives_the_same_frames() -> None:
    hub, model = started()
    advance(hub, model, 4)
    missed = hub.since("epoch", 3)
    assert missed is not None
    assert [msgspec.json.decode(sent.data)["seq"] for sent in missed] == [4]
    assert hub.since("epoch", model.seq) == []
    assert hub.since("epoch", -1) is None
