"""Our own recordings of live streams: files of `<local ns> <frame>` lines like others', and lines of the recorder itself.

A file begins with a `Header`, which says what no frame says: whose streams these are, and the instruments as the venue lists
them. Between the frames stand the recorder's remarks: each second that time passes, when a connection was lost and with it
whatever was told until the next one, and the recording's end. Local times are those of a clock that never goes back.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from engine.instruments import Instrument
from monitor.sources import Capability, SourceError
from monitor.sources.wire.messages import Frame

VERSION: Final = 1
KEY: Final = "perpwatch"
"""The key that no venue's frame has."""

SECOND_PASSED: Final = b'{"perpwatch":"clock"}'
ENDED: Final = b'{"perpwatch":"end"}'

_MARK: Final = b' {"perpwatch":"recording"'


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field=KEY, tag="recording"):
    """The first line of each file. `recording` names it: files of one recording are one stream."""

    v: int
    recording: str
    venue: str
    instruments: tuple[Instrument, ...]
    capabilities: tuple[Capability, ...]


class Lost(msgspec.Struct, frozen=True, tag_field=KEY, tag="lost"):
    """A connection ended. `book`: nothing is known of these symbols' books any more; else only that messages are missing."""

    symbols: tuple[str, ...]
    why: str
    book: bool = True


Remark = Literal["clock", "end"] | Lost


def is_header(head: bytes) -> bool:
    """Whether a file that starts so is a recording of ours."""
    return _MARK in head[:64]


def header_of(head: bytes, where: str) -> Header:
    """The header in a file's first bytes. Raises SourceError."""
    line = head.split(b"\n", 1)[0]
    try:
        header = msgspec.json.decode(line.partition(b" ")[2], type=Header)
    except msgspec.MsgspecError as error:
        raise SourceError(
            f"the recording's first line is torn ({error})", where, "Record again; frames alone do not suffice"
        ) from None
    if header.v != VERSION:
        raise SourceError(f"the recording is of version {header.v}, read is {VERSION}", where, "Use the program that wrote it")
    return header


def remark_of(frame: Frame) -> Remark | None:
    """What the recorder says in a line of its own; None for a venue's frame, or a header."""
    kind: Any = frame.get(KEY)
    if kind == "lost":
        return msgspec.convert(frame, Lost)
    return kind if kind in ("clock", "end") else None
