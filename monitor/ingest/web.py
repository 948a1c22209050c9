"""The desk's HTTP interface: POST /v1/events, GET /v1/next, POST /v1/end, with a bearer token on each."""

from __future__ import annotations

import hmac
import logging
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from monitor.ingest.batch import MOST_BYTES, BatchError
from monitor.ingest.desk import Desk

ARROW: Final = "application/vnd.apache.arrow.stream"
JSON: Final = "application/json"

log = logging.getLogger("perpwatch")


def build(desk: Desk, token: str) -> FastAPI:
    """The application. Every answer holds `next_seq`; one that refuses has `error`, a sentence."""
    app = FastAPI(openapi_url=None)

    def answer(status: int, **fields: object) -> JSONResponse:
        return JSONResponse({**fields, "next_seq": desk.next_seq}, status)

    def refusal(request: Request) -> JSONResponse | None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return JSONResponse({"error": "the header Authorization: Bearer <token> is missing or wrong"}, 401)
        return None

    @app.get("/v1/next")
    async def following(request: Request) -> JSONResponse:
        return refusal(request) or answer(200, ended=desk.ended, repeated=desk.repeated, refused=dict(desk.refused))

    @app.post("/v1/events")
    async def events(request: Request) -> JSONResponse:
        refused = refusal(request)
        if refused is not None:
            return refused
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind not in (ARROW, JSON):
            return answer(415, error=f"the content type is {kind[:60]!r}; taken are {ARROW} and {JSON}")
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return answer(413, error=f"the body has more than {MOST_BYTES} bytes; send smaller batches")
        try:
            taken = desk.take(bytes(body), is_json=kind == JSON)
        except BatchError as error:
            return answer(409 if error.reason == "numbers do not follow" else 422, error=str(error))
        except OSError as error:
            log.error("events cannot be kept: %s", error)
            return answer(507, error=f"events cannot be kept ({error.strerror}); send them again when there is room")
        return answer(200, taken=taken)

    @app.post("/v1/end")
    async def end(request: Request) -> JSONResponse:
        refused = refusal(request)
        if refused is not None:
            return refused
        desk.end()
        return answer(200, ended=True)

    return app
