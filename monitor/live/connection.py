"""One connection to a venue's public streams, for as long as the run lasts: lost, it is made again.

Every frame goes into the spool as it came. A connection is given up when nothing came for too long, when the venue refuses
something, or when a book stays without a snapshot; each loss is written into the spool, because whatever was told until the
next one is missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from monitor.live.endpoints import Endpoint, Route
from monitor.live.limits import Backoff, Gate
from monitor.live.rest import CaptureError, RefusedError, Rest
from monitor.live.watch import Watch
from monitor.sources.wire.messages import Frame, Venue
from monitor.sources.wire.recorded import Lost

LARGEST_FRAME: Final = 16 << 20
FIRST_TRIES: Final = 6
"""How often a first connection is tried before the run is given up: about half a minute."""
SNAPSHOT_WAIT_S: Final = 30.0
RESYNC_S: Final = 5.0
"""A symbol is subscribed anew at most so often."""

log = logging.getLogger("perpwatch")


class _LostError(Exception):
    """The connection is of no use any more; the text says why."""


class Connection:
    """One route's connection for some symbols.

    Args:
        write: appends a venue's frame, or a remark, to the spool.
        stall_s: silence for so long ends a connection.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        route: Route,
        venue: Venue,
        symbols: tuple[str, ...],
        rest: Rest,
        write: Callable[[bytes], None],
        stall_s: float,
    ) -> None:
        self._endpoint = endpoint
        self._route = route
        self._venue = venue
        self._symbols = symbols
        self._rest = rest
        self._write = write
        self._stall_s = stall_s
        self._gate = Gate(endpoint.sends_a_second)
        self._backoff = Backoff()
        self._was_up = False
        self._watch = Watch(venue, symbols)
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Records until it is cancelled. Raises CaptureError where the venue was never reached."""
        for attempt in range(1, 2**62):
            subscribed = False
            try:
                async with connect(
                    self._route.url, max_size=LARGEST_FRAME, open_timeout=10, user_agent_header="perpwatch"
                ) as socket:
                    subscribed = True
                    await self._serve(socket)
                why = "the venue ended the connection"
            except ConnectionClosed as error:
                why = f"the venue ended the connection ({error})"
            except (_LostError, WebSocketException, OSError, TimeoutError) as error:
                why = str(error) or type(error).__name__
            finally:
                for task in self._asking.values():
                    task.cancel()
                self._asking.clear()
            log.warning("%s: %s", self._route.url, why)
            if subscribed:
                self._write(msgspec.json.encode(Lost(self._symbols, why[:200], self._route.has_book)))
            elif not self._was_up and attempt >= FIRST_TRIES:
                raise CaptureError(f"{self._route.url}: cannot be reached ({why}); look at the network and the address")
            await asyncio.sleep(self._backoff.next_s())

    async def _serve(self, socket: ClientConnection) -> None:
        self._watch = Watch(self._venue, self._symbols)
        channels = [each for symbol in self._symbols for each in self._endpoint.channels(self._route, symbol)]
        # What ends them ends the receiving too, which says why.
        helpers = [
            asyncio.create_task(self._send(socket, self._endpoint.subscribe(channels))),
            asyncio.create_task(self._ping(socket)),
        ]
        try:
            await self._receive(socket)
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _receive(self, socket: ClientConnection) -> None:
        while True:
            try:
                async with asyncio.timeout(self._stall_s):
                    raw = await socket.recv(decode=False)
            except TimeoutError:
                raise _LostError(f"nothing came for {self._stall_s:g} s") from None
            frame = _decoded(raw)
            if frame is None:
                continue  # a pong in plain text
            if frame.get("channel") in self._endpoint.ignores:
                continue
            if not self._venue.knows(frame):
                refused = refusal(frame)
                if refused:
                    raise _LostError(f"the venue refuses: {refused}")
                continue
            self._was_up = True
            # A line end in JSON is only ever space.
            self._write(raw.replace(b"\n", b" ").replace(b"\r", b" "))
            if self._route.has_book:
                for symbol in self._watch.see(frame):
                    self._want_snapshot(socket, symbol)
                if self._watch.without_book_s() > max(SNAPSHOT_WAIT_S, self._stall_s):
                    raise _LostError(f"a book has had no snapshot for {self._watch.without_book_s():.0f} s")

    def _want_snapshot(self, socket: ClientConnection, symbol: str) -> None:
        asking = self._asking.get(symbol)
        if asking is None or asking.done():
            ask = self._resync(socket, symbol) if self._endpoint.snapshot is None else self._ask(symbol)
            self._asking[symbol] = asyncio.create_task(ask)

    async def _resync(self, socket: ClientConnection, symbol: str) -> None:
        """Subscribes a symbol anew: its first message is a snapshot."""
        channels = self._endpoint.channels(self._route, symbol)[:1]
        try:
            await self._send(socket, self._endpoint.unsubscribe(channels))
            await self._send(socket, self._endpoint.subscribe(channels))
        except ConnectionClosed:
            return  # the receiving side says so
        await asyncio.sleep(RESYNC_S)

    async def _ask(self, symbol: str) -> None:
        """Asks for snapshots until one fits the updates."""
        assert self._endpoint.snapshot is not None
        backoff = Backoff()
        while self._watch.needs(symbol):
            try:
                content = await self._rest.get(self._endpoint.snapshot(symbol))
                body = content.strip().replace(b"\n", b" ")
                if not body.startswith(b"{"):
                    raise RefusedError(f"the snapshot of {symbol} is no JSON object")
                line = b'{"symbol":%s,%s' % (msgspec.json.encode(symbol), body[1:])
                frame = _decoded(line)
                if frame is None:
                    raise RefusedError(f"the snapshot of {symbol} is no JSON object")
                self._write(line)
                self._watch.see(frame)
                wait_s = 0.0
            except RefusedError as error:
                log.warning("%s", error)
                wait_s = error.wait_s
            if self._watch.needs(symbol):
                await asyncio.sleep(backoff.next_s(wait_s))

    async def _ping(self, socket: ClientConnection) -> None:
        while self._endpoint.ping is not None:
            await asyncio.sleep(self._endpoint.ping_s)
            await self._send(socket, [self._endpoint.ping])

    async def _send(self, socket: ClientConnection, texts: list[str]) -> None:
        for text in texts:
            await self._gate.pass_through()
            await socket.send(text)


def refusal(frame: Frame) -> str:
    """What a frame that holds no data refuses; "" if it refuses nothing."""
    kind = next((frame[key] for key in ("event", "type", "channel") if isinstance(frame.get(key), str)), "")
    said = frame.get("error") or frame.get("ret_msg") or frame.get("msg") or frame.get("message") or frame.get("data") or kind
    if frame.get("error") or kind in ("error", "alert") or frame.get("success") is False:
        return str(said)[:200]
    return ""


def _decoded(raw: bytes) -> Frame | None:
    try:
        frame = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return frame if isinstance(frame, dict) else None
