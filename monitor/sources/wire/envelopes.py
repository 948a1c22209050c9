"""Recordings of frames, taken apart: the line's local time and its frame, whatever recorder wrote it.

Known are `{"t": "recv", "ts": s, "data": "<frame>"}` lines (cryptofeed), `<seconds>: <frame>` lines (the same, older), `<local
time> <frame>` lines (hftbacktest, Bitstamp's log apart), bare frames a line (exchanges' own archives), one JSON list of
`{"ts": s, "msg": "<frame>"}`, and the rows of tardis.dev's csv files.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from monitor.sources.files import Member
from monitor.sources.wire.messages import Frame, NotUsedError
from monitor.sources.wire.tardis import HEADER as TARDIS

_PREFIX: Final = re.compile(rb"\s*(\d{9,20}(?:\.\d+)?):? +(?=[\[{])")
_SECOND_NS: Final = 1_000_000_000
_LIST_START: Final = re.compile(rb"\s*\[\s*\{")


class _Recorded(msgspec.Struct):
    """A line of cryptofeed's recorder."""

    t: str
    ts: float | None = None
    data: str | None = None
    url: str = ""


class _Listed(msgspec.Struct):
    ts: float
    msg: str


class Line(NamedTuple):
    """`local_ns` 0: the recording has no clock of its own. `number` counts from 1."""

    number: int
    local_ns: int
    frame: Frame


_RECORDED: Final = msgspec.json.Decoder(_Recorded)
_LISTED: Final = msgspec.json.Decoder(list[_Listed])
_FRAME: Final = msgspec.json.Decoder()


def frames(member: Member, rejects: list[tuple[int, str]], most_lines: int | None = None) -> Iterator[Line]:
    """The frames of a file, or of its first lines, in its order. Lines without one are appended to `rejects`: (number, reason).

    Raises:
        SourceError: the file is torn, or cannot be read; frames before that are good.
    """
    head = member.head(4096)
    if head.startswith(TARDIS):
        yield from _from_table(member, rejects, most_lines)
        return
    if _LIST_START.match(head) and b'"msg"' in head:
        yield from _from_list(member, rejects)
        return
    for number, raw in enumerate(islice(member.lines(), most_lines), 1):
        if not raw.strip():
            continue
        try:
            yield opened(number, raw)
        except NotUsedError as error:
            rejects.append((number, str(error)))


def opened(number: int, raw: bytes) -> Line:
    """A line taken apart. Raises NotUsedError."""
    local_ns, content = _opened(raw)
    return Line(number, local_ns, _decoded(content))


def _from_table(member: Member, rejects: list[tuple[int, str]], most_lines: int | None) -> Iterator[Line]:
    """The rows of a csv, by their columns; its own clock is the second time of each."""
    rows = csv.reader(line.decode("latin-1") for line in islice(member.lines(), most_lines))
    columns = next(rows, [])
    place = columns.index("local_timestamp")
    for number, row in enumerate(rows, 2):
        if len(row) != len(columns):
            rejects.append((number, "row with another number of columns"))
            continue
        digits = row[place]
        local_ns = int(digits) * 1_000 if digits.isdigit() and len(digits) == 16 else 0
        yield Line(number, local_ns, dict(zip(columns, row, strict=True)))


def _from_list(member: Member, rejects: list[tuple[int, str]]) -> Iterator[Line]:
    try:
        rows = _LISTED.decode(member.read())
    except msgspec.DecodeError:
        rejects.append((1, "list that is no JSON of {ts, msg}"))
        return
    for number, row in enumerate(rows, 1):
        try:
            yield Line(number, round(row.ts * 1e6) * 1_000, _decoded(row.msg.encode()))
        except NotUsedError as error:
            rejects.append((number, str(error)))


def _opened(raw: bytes) -> tuple[int, bytes]:
    """(local time, frame) of a line."""
    found = _PREFIX.match(raw)
    if found:
        return _local(found[1]), raw[found.end() :]
    if raw.startswith(b'{"t":') or raw.startswith(b'{"t" :'):
        try:
            line = _RECORDED.decode(raw)
        except msgspec.DecodeError:
            raise NotUsedError("line that is no JSON") from None
        if line.t == "http" and line.data and line.ts and '"lastUpdateId"' in line.data[:40] and "symbol=" in line.url:
            # A REST snapshot names its symbol in the question alone.
            symbol = line.url.partition("symbol=")[2].partition("&")[0]
            return round(line.ts * 1e6) * 1_000, b'{"symbol":"%s",' % symbol.encode() + line.data.encode().lstrip()[1:]
        if line.t != "recv" or line.data is None or line.ts is None:
            raise NotUsedError(f"line of the recorder itself: {line.t[:12]}")
        return round(line.ts * 1e6) * 1_000, line.data.encode()
    if raw.startswith((b"{", b"[")):
        return 0, raw
    raise NotUsedError("line without a frame")


def _local(digits: bytes) -> int:
    """Seconds, milli-, micro- or nanoseconds, by their number of digits."""
    if b"." in digits or len(digits) < 12:
        whole, _, rest = digits.partition(b".")
        return int(whole) * _SECOND_NS + int(rest[:9].ljust(9, b"0"))
    unit = {13: 1_000_000, 16: 1_000, 19: 1}.get(len(digits))
    if unit is None:
        raise NotUsedError("local time in no known unit")
    return int(digits) * unit


def _decoded(content: bytes) -> Frame:
    try:
        frame = _FRAME.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotUsedError("frame that is no JSON") from None
    except RecursionError:
        raise NotUsedError("frame nested too deep") from None
    if not isinstance(frame, dict):
        raise NotUsedError("frame that is no object")
    return frame
