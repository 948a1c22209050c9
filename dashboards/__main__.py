"""The web role: `python -m dashboards --config run.json`.

Exit codes: 0 stopped, 1 the reader failed, 2 the configuration or the port cannot be used.
"""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from pathlib import Path
from typing import Final

import uvicorn

from dashboards.app import build
from monitor.config import ConfigError, load_config

log = logging.getLogger("perpwatch")

HOST: Final = "127.0.0.1"
"""Loopback only: the board has no log-in yet."""

GRACE_S: Final = 1
"""Open streams are cut so long after a stop was asked for."""

EXIT_INPUT: Final = 2
"""Starting again would end the same way."""


def listen(port: int) -> socket.socket:
    """A bound socket. Raises OSError when the port is taken."""
    bound = socket.socket()
    # A port whose last connections are still being wound down is free; one that somebody listens on is not.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, port))
    return bound


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dashboards", description="Serves the live board of one run.")
    parser.add_argument("--config", type=Path, required=True, help="the run's configuration, as the supervisor writes it")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s board %(levelname)s %(message)s")
    try:
        config = load_config(parser.parse_args().config)
    except ConfigError as error:
        print(f"board: {error}", file=sys.stderr)
        return EXIT_INPUT
    if config.redis_url is None or config.board_port is None:
        print(
            "board: the configuration names no server or no port; use perpwatch demo or perpwatch replay --board",
            file=sys.stderr,
        )
        return EXIT_INPUT
    try:
        bound = listen(config.board_port)
    except OSError as error:
        where = f"port {config.board_port} on {HOST}"
        print(f"board: {where} cannot be used ({error.strerror}); choose another with --port", file=sys.stderr)
        return EXIT_INPUT
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        # A board whose reader is dead must not look alive: end, and be started again.
        log.error("the reader failed", exc_info=error)
        failures.append(error)
        server.should_exit = True

    app = build(config.redis_url, config.run_id, failed)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_S))
    print(f"board: http://{HOST}:{config.board_port}/", flush=True)
    server.run(sockets=[bound])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
