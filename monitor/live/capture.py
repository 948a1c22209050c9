"""Records a venue's public streams into a spool: all connections, a line each second, and the end.

recorder → header, frames, remarks → spool → feed, replay
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from monitor.live.connection import Connection
from monitor.live.endpoints import ENDPOINTS, Endpoint
from monitor.live.rest import Rest
from monitor.live.spool import SEGMENT_BYTES, SpoolError, Writer
from monitor.sources.wire.recorded import ENDED, SECOND_PASSED, VERSION, Header, Lost, header_of
from monitor.sources.wire.source import venue_named

if TYPE_CHECKING:
    from monitor.config import LiveSpec

SYMBOLS_A_CONNECTION: Final = 50
"""Three channels each are less than any venue's limit."""
STALL_S: Final = 30.0

_SECOND_NS: Final = 1_000_000_000


class _Clock:
    """Local time that never goes back: the system's clock as this process began, and what has passed since."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        return time.monotonic_ns() + self._offset_ns


class Recorder:
    """Records what `spec` names into `folder` until its duration is over, or it is cancelled.

    A recorder that died may be followed by another one of the same `name`.

    Raises:
        SpoolError: the folder cannot be used, or holds another recording.
    """

    def __init__(self, spec: LiveSpec, folder: Path, name: str, stall_s: float = STALL_S) -> None:
        self._spec = spec
        self._name = name
        self._endpoint = endpoint_of(spec)
        self._writer = Writer(folder, SEGMENT_BYTES)
        if self._writer.header and header_of(self._writer.header, str(folder)).recording != name:
            raise SpoolError(f"{folder}: holds another recording; give an empty folder")
        self._clock = _Clock()
        self._stall_s = stall_s

    async def run(self) -> None:
        """Raises CaptureError where the venue cannot be reached, or does not know a symbol; OSError where the disk is full."""
        try:
            async with Rest(self._endpoint) as rest:
                await self._record(rest)
            self._write(ENDED)
        finally:
            self._writer.close()

    async def _record(self, rest: Rest) -> None:
        began_ns = await self._begin(rest)
        try:
            async with asyncio.TaskGroup() as tasks:
                connections = [
                    tasks.create_task(
                        Connection(
                            self._endpoint,
                            route,
                            venue_named(self._endpoint.venue),
                            self._spec.symbols[first : first + SYMBOLS_A_CONNECTION],
                            rest,
                            self._write,
                            self._stall_s,
                        ).run()
                    )
                    for route in self._endpoint.routes
                    for first in range(0, len(self._spec.symbols), SYMBOLS_A_CONNECTION)
                ]
                await self._tick(began_ns)
                for connection in connections:
                    connection.cancel()
        except* Exception as group:
            raise group.exceptions[0] from group

    async def _begin(self, rest: Rest) -> int:
        """Writes the header, or a remark that a recorder went. Returns when the recording began."""
        if self._writer.header:
            began_ns = int(self._writer.header.split(b" ", 1)[0])
            self._write(msgspec.json.encode(Lost(self._spec.symbols, "the recorder began again")))
            return began_ns
        endpoint = self._endpoint
        instruments = await rest.instruments(self._spec.symbols)
        header = Header(VERSION, self._name, endpoint.venue, instruments, tuple(sorted(endpoint.capabilities)))
        began_ns = self._clock.now_ns()
        self._writer.begin(b"%d %s" % (began_ns, msgspec.json.encode(header)))
        return began_ns

    async def _tick(self, began_ns: int) -> None:
        """Writes that time passes, until the duration is over."""
        duration_s = self._spec.duration_seconds
        while True:
            now_ns = self._clock.now_ns()
            if duration_s is not None and now_ns >= began_ns + duration_s * _SECOND_NS:
                return
            await asyncio.sleep((_SECOND_NS - now_ns % _SECOND_NS) / _SECOND_NS)
            self._write(SECOND_PASSED)

    def _write(self, content: bytes) -> None:
        self._writer.write([b"%d %s" % (self._clock.now_ns(), content)])


def endpoint_of(spec: LiveSpec) -> Endpoint:
    """The venue's endpoint, at another address where `spec` gives one."""
    endpoint = ENDPOINTS[spec.venue]
    routes = tuple(route._replace(url=_at(route.url, spec.url)) for route in endpoint.routes)
    return endpoint._replace(routes=routes, rest=spec.rest_url or endpoint.rest)


def _at(url: str, base: str | None) -> str:
    """`url` with scheme and host of `base`."""
    if base is None:
        return url
    parts = urlsplit(base)
    return urlunsplit((parts.scheme, parts.netloc, urlsplit(url).path, "", ""))
