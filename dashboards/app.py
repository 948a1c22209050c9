"""The board's web application: Dash on FastAPI, the live endpoints beside it, and what keeps both to themselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

from dash import Dash
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards import drills, theme
from dashboards.pages import live
from dashboards.reader import Reader
from dashboards.stream import Hub, routes

ASSETS: Final = Path(__file__).with_name("assets")

_INDEX: Final = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
{%favicon%}
<meta name="color-scheme" content="light dark">
<style>/*theme*/</style>
{%css%}
</head>
<body>
{%app_entry%}
{%config%}{%scripts%}{%renderer%}
</body>
</html>"""


class SafeHeaders:
    """Adds headers to every response: only our own scripts run, nobody frames the board, no type is guessed."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._headers]}
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def build(redis_url: str, run_id: str, on_failure: Callable[[BaseException], None]) -> FastAPI:
    """The application for one run. Its reader starts and stops with it; if the reader fails, `on_failure` is told, once."""
    hub = Hub()
    reader = Reader(redis_url, run_id, hub.publish)

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                on_failure(error)

        reading = asyncio.create_task(reader.run())
        reading.add_done_callback(ended)
        yield
        hub.close()
        reading.cancel()
        await asyncio.wait([reading])

    server = FastAPI(lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    server.include_router(routes(hub))
    server.include_router(drills.routes(redis_url, run_id))
    board = Dash(
        "dashboards",
        server=False,
        backend="fastapi",
        title="Perpwatch",
        update_title="",
        assets_folder=str(ASSETS),
        # The shared worker runs in a thread of its own; the page must not run it.
        assets_ignore=r"worker\.js$",
        index_string=_INDEX.replace("/*theme*/", theme.css()),
        compress=True,
        eager_loading=True,
        add_log_handler=False,
        enable_mcp=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    # Dash's own WebSocket is for callbacks; nothing here uses it, and it would leave each tab trying to connect for ever.
    board.backend.websocket_capability = False
    board.init_app(server)
    board.layout = live.layout(run_id)
    server.add_middleware(SafeHeaders, policy=_policy(board))
    # Without this, a page on the internet could rebind its own name to 127.0.0.1 and read the board.
    server.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    return server


def _policy(board: Any) -> str:
    scripts = " ".join(board.csp_hashes())
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {scripts}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
