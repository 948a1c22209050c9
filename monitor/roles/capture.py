"""The capture process: a venue's live streams into the run's spool. It needs no server, so frames are kept while it is away."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

from monitor.config import ConfigError, LiveSpec, load_config
from monitor.live.capture import Recorder
from monitor.live.rest import CaptureError
from monitor.live.spool import SpoolError
from monitor.roles.runtime import EXIT_FAILED, EXIT_INPUT
from monitor.sources import SourceError


async def _record(recorder: Recorder) -> None:
    recording = asyncio.ensure_future(recorder.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, recording.cancel)
    try:
        await recording
    except asyncio.CancelledError:
        logging.getLogger("perpwatch").info("told to stop")


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Ctrl-C is for the supervisor, which stops everything in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        config = load_config(Path(sys.argv[1]))
        assert isinstance(config.source, LiveSpec)
        asyncio.run(_record(Recorder(config.source, config.live_folder, config.run_id)))
    except (ConfigError, CaptureError, SpoolError, SourceError) as error:
        print(error, file=sys.stderr)
        return EXIT_INPUT
    except OSError as error:
        print(f"{error.filename or 'the spool'}: cannot be written ({error.strerror}); make room", file=sys.stderr)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
