"""The ingest process: takes a venue's own events over HTTP and, if asked to, from a Redis stream, and keeps them for feed.

It needs no run's server, so events are taken while Redis, feed or the models are away.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Final

import uvicorn

from monitor.bus.client import connect
from monitor.config import ConfigError, IngestSpec, RunConfig, load_config
from monitor.ingest.client import TOKEN_VARIABLE
from monitor.ingest.description import DescriptionError, load_description
from monitor.ingest.desk import Desk
from monitor.ingest.store import EventWriter
from monitor.ingest.stream import read_stream
from monitor.ingest.web import build
from monitor.live.spool import SpoolError
from monitor.roles.runtime import EXIT_INPUT

_LOOK_S: Final = 0.2

log = logging.getLogger("perpwatch")


async def _serve(config: RunConfig, spec: IngestSpec) -> None:
    writer = EventWriter(config.live_folder)
    desk = Desk(writer, load_description(Path(spec.description)))
    app = build(desk, os.environ[TOKEN_VARIABLE])
    server = uvicorn.Server(
        uvicorn.Config(app, host=spec.host, port=spec.port, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    )
    if spec.stream is not None and spec.stream_url is not None:
        arguments = (connect(spec.stream_url), spec.stream, desk)
        threading.Thread(target=read_stream, args=arguments, daemon=True).start()
    serving = asyncio.create_task(server.serve())
    while not serving.done() and not desk.ended:
        await asyncio.sleep(_LOOK_S)
        try:
            desk.tick()
        except OSError as error:
            log.error("a clock cannot be kept: %s", error)
    # The venue's last request is answered before this ends.
    await asyncio.sleep(_LOOK_S)
    server.should_exit = True
    await serving


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    # Ctrl-C is for the supervisor, which stops everything in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        config = load_config(Path(sys.argv[1]))
        assert isinstance(config.source, IngestSpec)
        asyncio.run(_serve(config, config.source))
    except (ConfigError, DescriptionError, SpoolError) as error:
        print(error, file=sys.stderr)
        return EXIT_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
