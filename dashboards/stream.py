"""Frames to viewers: encoded once, sent as the same bytes to all, by server-sent events or by polling.

A viewer holds no queue of its own. All share a short ring of encoded frames; one that fell out of it (a slow reader, a
tab that slept) gets a fresh snapshot instead, so that no viewer can make the server grow.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from dashboards.readmodel import ReadModel

RING: Final = 32
"""Frames kept for viewers that lag: eight seconds of a busy board."""

VIEWERS_MAX: Final = 500
"""Most open streams; the next viewer polls instead."""

_encode = msgspec.json.Encoder().encode


class _Sent(msgspec.Struct, frozen=True):
    number: int
    epoch: str
    seq: int
    is_delta: bool
    data: bytes
    event: bytes


class Hub:
    """Takes frames from the reader, hands encoded ones to viewers."""

    def __init__(self) -> None:
        self.model: ReadModel | None = None
        self.viewers = 0
        self._ring: deque[_Sent] = deque(maxlen=RING)
        self._number = 0
        self._news = asyncio.Event()
        self.closed = False

    def publish(self, model: ReadModel, frame: dict[str, Any]) -> None:
        """Encode a frame of `model` and wake every viewer."""
        self.model = model
        self._number += 1
        data = encode(frame)
        is_delta = frame["kind"] == "delta"
        self._ring.append(_Sent(self._number, frame["epoch"], frame["seq"], is_delta, data, event(frame, data)))
        news, self._news = self._news, asyncio.Event()
        news.set()

    def close(self) -> None:
        """End all streams."""
        self.closed = True
        self._news.set()

    def since(self, epoch: str, seq: int) -> list[_Sent] | None:
        """The deltas after `seq`, or None when only a snapshot helps."""
        if self.model is None or epoch != self.model.epoch or seq > self.model.seq:
            return None
        later = [sent for sent in self._ring if sent.is_delta and sent.epoch == epoch and sent.seq > seq]
        return later if self.model.seq - seq == len(later) else None

    def _snapshot_event(self) -> bytes:
        if self.model is None:
            return b": nothing yet\n\n"
        frame = self.model.snapshot()
        return event(frame, encode(frame))

    async def events(self, epoch: str, seq: int) -> AsyncIterator[bytes]:
        """Server-sent events for one viewer that holds (`epoch`, `seq`): what it missed, then all that come, for ever."""
        missed = self.since(epoch, seq)
        number = self._number
        for data in [self._snapshot_event()] if missed is None else [sent.event for sent in missed]:
            yield data
        while not self.closed:
            # Taken before the ring is looked at, so that no frame can slip in between unseen.
            news = self._news
            waiting = [sent for sent in self._ring if sent.number > number]
            if not waiting:
                await news.wait()
                continue
            if waiting[0].number > number + 1:
                number = self._number
                yield self._snapshot_event()
                continue
            for sent in waiting:
                number = sent.number
                yield sent.event


def encode(frame: dict[str, Any]) -> bytes:
    """A frame as JSON with its time of sending (UTC ms): ages in it are true at that moment."""
    return _encode({**frame, "t_server": time.time() * 1e3})


def event(frame: dict[str, Any], data: bytes) -> bytes:
    """An encoded frame as one server-sent event; its id is what a viewer holds after it."""
    return b"id: %s:%d\ndata: %s\n\n" % (frame["epoch"].encode(), frame["seq"], data)


def routes(hub: Hub) -> APIRouter:
    """The endpoints of the live data. All are reads."""
    router = APIRouter(prefix="/api")
    fresh = {"Cache-Control": "no-store"}

    def held(text: str) -> tuple[str, int]:
        epoch, _, seq = text.rpartition(":")
        return epoch, int(seq) if seq.isdecimal() else -1

    @router.get("/stream")
    async def stream(request: Request) -> Response:
        if hub.viewers >= VIEWERS_MAX:
            return Response("too many open streams: poll /api/frame", status_code=503, headers=fresh | {"Retry-After": "5"})

        async def body() -> AsyncIterator[bytes]:
            hub.viewers += 1
            try:
                yield b"retry: 1000\n\n"
                async for data in hub.events(*held(request.headers.get("last-event-id", ""))):
                    yield data
            finally:
                hub.viewers -= 1

        return StreamingResponse(body(), media_type="text/event-stream", headers=fresh | {"X-Accel-Buffering": "no"})

    @router.get("/frame")
    async def frame(since: str = "") -> Response:
        """JSON list of frames: what came after `since` (`epoch:seq`) or a snapshot, and a beat with the ages of now."""
        if hub.model is None:
            return Response(b"[]", media_type="application/json", headers=fresh)
        missed = hub.since(*held(since))
        deltas = [encode(hub.model.snapshot())] if missed is None else [sent.data for sent in missed]
        parts = [*deltas, encode(hub.model.beat())]
        return Response(b"[" + b",".join(parts) + b"]", media_type="application/json", headers=fresh)

    @router.get("/series")
    async def series(symbol: str) -> Response:
        """The price lines of one symbol: {epoch, seq, symbol, columns, points}."""
        model = hub.model
        body: dict[str, Any] = {"symbol": symbol, "points": model.series(symbol) if model else []}
        if model:
            body |= {"epoch": model.epoch, "seq": model.seq}
        return Response(_encode(body), media_type="application/json", headers=fresh)

    @router.get("/clock")
    async def clock() -> Response:
        """The server's UTC time in ms, for the viewer's latency."""
        return Response(_encode({"now_ms": time.time() * 1e3}), media_type="application/json", headers=fresh)

    return router
