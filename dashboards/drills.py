"""The one thing that can be done from the board: asking a simulated venue for a drill.

Nothing is sent where the source is a real feed or a recording: then there is no drill to ask for. A request needs the type
JSON, which a page of another origin cannot send unasked.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response
from redis.asyncio import Redis
from redis.exceptions import RedisError

from monitor.bus.asked import Asked
from monitor.bus.keys import Keys
from monitor.bus.meta import RunMeta

MOST_WAITING: Final = 8
"""Requests that feed has not taken yet."""

_TIMEOUT_S: Final = 2.0
_MOST_BYTES: Final = 1024


def routes(redis_url: str, run_id: str) -> APIRouter:
    """`GET /api/drills`: a JSON list of what can be asked for. `POST /api/drills`: 202, or a sentence that says why not."""
    router = APIRouter(prefix="/api")
    keys = Keys(run_id)
    redis = Redis.from_url(redis_url, protocol=2, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)

    async def meta() -> RunMeta | None:
        data = await redis.get(keys.meta)
        return None if data is None else msgspec.json.decode(data, type=RunMeta)

    @router.get("/drills")
    async def drills() -> Response:
        try:
            found = await meta()
        except RedisError:
            return _said("the data store does not answer", 503)
        return Response(msgspec.json.encode(found.drills if found else ()), media_type="application/json")

    @router.post("/drills")
    async def ask(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _said("send JSON", 415)
        body = await request.body()
        if len(body) > _MOST_BYTES:
            return _said("that is too long for a drill", 413)
        try:
            asked = msgspec.json.decode(body, type=Asked)
        except msgspec.MsgspecError as error:
            return _said(f"that is no drill: {error}", 400)
        try:
            found = await meta()
            if found is None or not found.drills:
                return _said("there are no drills here: only the built-in venue has them", 409)
            if asked.name not in {drill.name for drill in found.drills}:
                return _said("there is no drill of that name; see perpwatch drill list", 404)
            if asked.symbol and asked.symbol not in found.symbols:
                return _said("there is no market of that name here", 404)
            waiting: Any = redis.llen(keys.drills)
            if await waiting >= MOST_WAITING:
                return _said("as many drills as may wait are waiting already", 429)
            pushed: Any = redis.rpush(keys.drills, msgspec.json.encode(asked))
            await pushed
        except RedisError:
            return _said("the data store does not answer", 503)
        return _said("asked for; it begins within a second, or when the one under way is over", 202)

    return router


def _said(words: str, status: int) -> Response:
    return Response(words, status_code=status, media_type="text/plain", headers={"Cache-Control": "no-store"})
