"""Live streams against a real server on loopback that drops, repeats, reorders, stalls and goes away."""

from __future__ import annotations

import asyncio
import contextlib
import time

import numpy as np
import pytest

from engine.contract import EventKind
from monitor.config import LiveSpec
from monitor.live.capture import Recorder
from monitor.live.endpoints import ENDPOINTS
from monitor.live.rest import CaptureError
from monitor.live.spool import SpoolError, segments
from monitor.sources import SourceError
from monitor.sources.detect import open_source, resolve_format
from monitor.sources.live import LiveSource
from tests.live_kit import Exchange

STYLES = {"bybit": "bybit", "binance-futures": "binance"}


def spec(exchange, venue, seconds=None):
    return LiveSpec(venue, (exchange.symbol,), seconds, None, exchange.url, exchange.rest_url)


def record(exchange, venue, folder, until, stall_s=0.7, timeout_s=30.0):
    """Records until `until()` holds, and then half a second with the market at rest."""

    async def go():
        recording = asyncio.ensure_future(Recorder(spec(exchange, venue), folder, "test", stall_s).run())
        deadline = time.monotonic() + timeout_s
        while not until() and not recording.done():
            assert time.monotonic() < deadline, (exchange.done, exchange.connections)
            await asyncio.sleep(0.05)
        exchange.paused = True
        await asyncio.sleep(0.5)
        recording.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await recording

    asyncio.run(go())


def replayed(folder):
    paths = sorted(folder.glob("*.frames"))
    source = open_source(paths, resolve_format(paths, "auto"))
    return source, np.concatenate(list(source.batches()))


def book_of(events):
    """The book at the end, by the events alone."""
    book = {}
    for event in events:
        if event["kind"] == EventKind.CLEAR:
            book = {}
        elif event["kind"] == EventKind.LEVEL:
            book[int(event["side"]), int(event["price"])] = int(event["qty"])
    return {level: lots for level, lots in book.items() if lots}


@pytest.mark.parametrize("venue", STYLES)
@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_the_connection_does_the_book_is_the_venues_again(tmp_path, venue, seed):
    faults = {160: "repeat", 220: "drop", 420: "reorder", 640: "garbage", 800: "close", 1000: "stall", 1300: "drop"}
    with Exchange(STYLES[venue], seed=seed, faults=faults) as exchange:
        record(exchange, venue, tmp_path / "spool", lambda: len(exchange.done) == len(faults) and exchange.sequence > 1700)
        truth = exchange.truth()
    source, events = replayed(tmp_path / "spool")
    assert source.capabilities == ENDPOINTS[venue].capabilities
    assert book_of(events) == truth
    # Every hole is counted: two updates dropped, one late, two connections lost. What a stall or a close swallowed is in those.
    gaps = int((events["kind"] == EventKind.GAP).sum())
    assert 5 <= gaps <= 10, source.notes
    assert source.rejects["book update that came before"] >= 2
    assert exchange.connections >= 3
    assert (events["kind"] == EventKind.CLOCK).sum() >= 3


def test_a_replay_of_the_spool_is_what_the_live_source_told(tmp_path):
    faults = {200: "drop", 400: "close"}
    with Exchange("bybit", faults=faults) as exchange:
        record(exchange, "bybit", tmp_path / "spool", lambda: exchange.sequence > 700)
    _, events = replayed(tmp_path / "spool")
    (tmp_path / "state").mkdir()
    live = LiveSource(tmp_path / "spool", tmp_path / "state", keep=True)
    parts = []
    for batch in live.batches():
        if not len(batch):
            break
        parts.append(batch)
    assert np.concatenate(parts).tobytes() == events.tobytes()
    assert any("connection lost" in note for note in live.notes)


def test_a_source_that_comes_back_goes_on_to_the_byte(tmp_path):
    with Exchange("binance", faults={300: "drop"}) as exchange:
        record(exchange, "binance-futures", tmp_path / "spool", lambda: exchange.sequence > 900)
    (path,) = (tmp_path / "spool").glob("*.frames")
    lines = path.read_bytes().splitlines(keepends=True)
    whole = tmp_path / "whole"
    (whole / "spool").mkdir(parents=True)
    (whole / "spool" / path.name).write_bytes(b"".join(lines))
    undisturbed = LiveSource(whole / "spool", whole, keep=True)
    expected = drained(undisturbed)
    for cut in (3, len(lines) // 3, len(lines) - 2):
        folder = tmp_path / f"cut-{cut}"
        (folder / "spool").mkdir(parents=True)
        target = folder / "spool" / path.name
        target.write_bytes(b"".join(lines[:cut]))
        first = LiveSource(folder / "spool", folder, keep=True)
        assert first.load() is None
        told = drained(first)
        first.save(b"beside")
        target.write_bytes(b"".join(lines))
        second = LiveSource(folder / "spool", folder, keep=True)
        assert second.load() == b"beside"
        assert told + drained(second) == expected
        assert second.notes == undisturbed.notes


def drained(source):
    """What there is, as bytes."""
    parts = []
    for batch in source.batches():
        if not len(batch) and parts:
            break
        parts.append(batch.tobytes())
        if len(parts) > 50:
            break
    return b"".join(parts)


def test_a_recorder_that_was_killed_is_followed_by_another(tmp_path):
    folder = tmp_path / "spool"
    with Exchange("bybit") as exchange:
        record(exchange, "bybit", folder, lambda: exchange.sequence > 300)
        (path,) = folder.glob("*.frames")
        with path.open("ab") as file:
            file.write(b'1767225600000000000 {"topic":"orderbook.200.BTCUSDT","ty')  # torn by the kill
        exchange.paused = False
        record(exchange, "bybit", folder, lambda: exchange.sequence > 600)
        truth = exchange.truth()
    source, events = replayed(folder)
    assert book_of(events) == truth
    assert (events["kind"] == EventKind.GAP).sum() == 1
    assert not any("JSON" in note for note in source.notes)
    with pytest.raises(SpoolError, match="another recording"):
        Recorder(LiveSpec("bybit", ("BTCUSDT",)), folder, "other")


def test_a_venue_that_is_away_is_tried_again(tmp_path):
    with Exchange("bybit", refuse=3) as exchange:
        record(exchange, "bybit", tmp_path, lambda: exchange.connections == 1)
        assert exchange.refuse == 0
    assert book_of(replayed(tmp_path)[1])


def test_what_cannot_be_recorded_is_said(tmp_path, monkeypatch):
    async def run(spec):
        await Recorder(spec, tmp_path / spec.symbols[0], "test").run()

    monkeypatch.setattr("monitor.live.rest.FIRST_TRIES", 2)
    with Exchange("bybit") as exchange:
        known = spec(exchange, "bybit")
        with pytest.raises(CaptureError, match="lists no 'DOGE'"):
            asyncio.run(run(LiveSpec("bybit", ("DOGE",), None, None, known.url, known.rest_url)))
        with pytest.raises(CaptureError, match=r"refused .*HTTP 404"):
            asyncio.run(run(LiveSpec("okx", ("X",), None, None, known.url, known.rest_url)))
    with pytest.raises(CaptureError, match="cannot be reached"):
        asyncio.run(run(LiveSpec("bybit", ("Y",), None, None, known.url, known.rest_url)))


def test_a_second_recorder_is_refused(tmp_path):
    first = Recorder(LiveSpec("bybit", ("X",)), tmp_path, "test")
    with pytest.raises(SpoolError, match="another process"):
        Recorder(LiveSpec("bybit", ("X",)), tmp_path, "test")
    del first


def test_files_are_closed_when_large_and_dropped_when_read(tmp_path, monkeypatch):
    monkeypatch.setattr("monitor.live.capture.SEGMENT_BYTES", 20_000)
    with Exchange("bybit") as exchange:
        record(exchange, "bybit", tmp_path / "spool", lambda: exchange.sequence > 900)
        truth = exchange.truth()
    assert len(segments(tmp_path / "spool")) >= 4
    source, events = replayed(tmp_path / "spool")
    assert not source.rejects
    assert book_of(events) == truth
    live = LiveSource(tmp_path / "spool", tmp_path, keep=False)
    assert drained(live) == events.tobytes()
    live.save(b"")
    assert len(segments(tmp_path / "spool")) == 1
    again = LiveSource(tmp_path / "spool", tmp_path, keep=False)
    assert again.load() == b""
    assert again.instruments == live.instruments


def test_a_header_of_another_version_is_refused(tmp_path):
    with Exchange("bybit") as exchange:
        record(exchange, "bybit", tmp_path, lambda: exchange.sequence > 200)
    (path,) = tmp_path.glob("*.frames")
    path.write_bytes(path.read_bytes().replace(b'"v":1', b'"v":9', 1))
    with pytest.raises(SourceError, match="version 9"):
        replayed(tmp_path)
