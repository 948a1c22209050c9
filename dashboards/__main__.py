"""The web role: `python -m dashboards --config run.json`.

Exit codes: 0 stopped, 1 the reader failed, 2 wrong configuration, 3 the port is taken.
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

HOST: Final = "127.0.0.1"
"""Loopback only: the board has no log-in yet."""

GRACE_S: Final = 1


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
        return 2
    if config.redis_url is None or config.board_port is None:
        print("board: the configuration lacks redis_url or board_port; start the board with perpwatch demo or perpwatch replay --board", file=sys.stderr)
        return 2
    try:
        bound = listen(config.board_port)
    except OSError as error:
        print(f"board: port {config.board_port} on {HOST} cannot be used ({error.strerror}); choose another with --port", file=sys.stderr)
        return 3
    app, hub = build(config.redis_url, config.run_id)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_S))
    hub.on_failure = lambda: setattr(server, "should_exit", True)
    print(f"board: http://{HOST}:{config.board_port}/", flush=True)
    server.run(sockets=[bound])
    return 1 if hub.failed else 0


if __name__ == "__main__":
    sys.exit(main())
