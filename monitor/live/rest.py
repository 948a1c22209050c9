"""REST requests to a venue: limited, retried, and with every failure told in one sentence."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import httpx
import msgspec

from engine.instruments import Instrument
from monitor.live.endpoints import Endpoint, Listing, Request
from monitor.live.limits import Backoff, Gate

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT_S: Final = 10.0
FIRST_TRIES: Final = 5
"""How often the instruments are asked for before the run is given up: about ten seconds."""
LONGEST_WAIT_S: Final = 300.0
"""A venue that bans a client for longer is asked again all the same: the wait it names is a clock's word against ours."""

_BUSY: Final = (418, 425, 429)
_SERVER_ERROR: Final = 500
_FINEST_MONEY: Final = 6

log = logging.getLogger("perpwatch")


class CaptureError(Exception):
    """Nothing can be recorded: what, where, what to do."""

    exit_code: Final = 2


class RefusedError(Exception):
    """A request that failed, and how long the venue wants to be left alone."""

    def __init__(self, what: str, wait_s: float = 0.0, *, final: bool = False) -> None:
        super().__init__(what)
        self.wait_s = wait_s
        self.final = final


class Rest:
    """One venue's REST interface. Use it as an asynchronous context manager."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._gate = Gate(endpoint.sends_a_second)
        self._client = httpx.AsyncClient(base_url=endpoint.rest, timeout=TIMEOUT_S, headers={"User-Agent": "perpwatch"})

    async def __aenter__(self) -> Rest:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, request: Request) -> bytes:
        """An answer's content. Raises RefusedError."""
        await self._gate.pass_through()
        where = f"{self._endpoint.rest}{request.path}"
        try:
            if request.body is None:
                answer = await self._client.get(request.path)
            else:
                answer = await self._client.post(request.path, json=request.body)
        except httpx.HTTPError as error:
            raise RefusedError(f"{where}: {error or type(error).__name__}") from error
        if answer.is_success:
            return answer.content
        words = f"{where}: HTTP {answer.status_code} {answer.text[:200]!r}"
        busy = answer.status_code in _BUSY or answer.status_code >= _SERVER_ERROR
        raise RefusedError(words, _retry_after(answer), final=not busy)

    async def instruments(self, symbols: Sequence[str]) -> tuple[Instrument, ...]:
        """What the venue says of `symbols`. Raises CaptureError."""
        answers: dict[tuple[str, str], object] = {}
        found = []
        for symbol in symbols:
            request = self._endpoint.instruments(symbol)
            key = (request.path, str(request.body))
            if key not in answers:
                answers[key] = await self._answer(request, symbol)
            try:
                listing = self._endpoint.listing(answers[key], symbol)
            except (KeyError, TypeError, IndexError, AttributeError, ArithmeticError) as error:
                raise CaptureError(
                    f"{self._endpoint.rest}{request.path}: the list of instruments is not as known here ({error!r})"
                ) from error
            if listing is None:
                raise CaptureError(f"the venue lists no {symbol!r}; give the symbol as {self._endpoint.rest} writes it")
            found.append(_instrument(symbol, listing))
        return tuple(found)

    async def _answer(self, request: Request, symbol: str) -> object:
        backoff = Backoff()
        for attempt in range(1, FIRST_TRIES + 1):
            try:
                return msgspec.json.decode(await self.get(request))
            except msgspec.DecodeError as error:
                raise CaptureError(f"{self._endpoint.rest}{request.path}: the answer is no JSON ({error})") from error
            except RefusedError as error:
                if error.final:
                    raise CaptureError(f"{symbol!r} was refused ({error}); give the symbol as the venue writes it") from error
                if attempt == FIRST_TRIES:
                    raise CaptureError(f"the venue cannot be reached ({error}); look at the network and the address") from error
                log.warning("%s", error)
                await asyncio.sleep(backoff.next_s(error.wait_s))
        raise AssertionError("unreachable")


def _retry_after(answer: httpx.Response) -> float:
    try:
        return min(max(float(answer.headers.get("Retry-After", 0)), 0.0), LONGEST_WAIT_S)
    except ValueError:
        return 0.0


def _instrument(symbol: str, listing: Listing) -> Instrument:
    tick, lot = Decimal(listing.tick), Decimal(listing.lot)
    # A lot at a tick is worth a micro-unit at least, so a venue's finest sizes may be finer than a lot.
    lot = max(lot, Decimal(1).scaleb(-_FINEST_MONEY) / Decimal(1).scaleb(tick.adjusted()))
    try:
        return Instrument(symbol=symbol, tick_size=_plain(tick), lot_size=_plain(lot), quote=listing.quote)
    except ValueError as error:
        raise CaptureError(f"{symbol!r} cannot be watched: {error}") from error


def _plain(value: Decimal) -> str:
    return format(value.normalize(), "f")
