"""Bitfinex's raw books (R0) to messages: frames `[channel, [order id, price, ±amount]]`, a list of them or one a line.

Documents: docs.bitfinex.com, "WS Raw Books". Price 0 deletes the order; amount below 0 is an ask. A deleted order was
cancelled or traded, the stream does not say which: it counts as a cancel. Frames have no time; where the recording has none
either, one frame a millisecond is told, and the notes say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from monitor.sources.files import Member
from monitor.sources.orders.messages import Add, Cancel, Change, Clear, Message

START_NS: Final = 1_600_000_000_000_000_000
_MS: Final = 1_000_000
_JSON: Final = msgspec.json.Decoder()


def looks_like_raw_book(head: bytes) -> bool:
    """Whether a file's first bytes are of a raw book's recording."""
    start = head.lstrip()
    return start.startswith(b"[") and b'"prec": "R0"' in head.replace(b'"prec":"R0"', b'"prec": "R0"')


def read(member: Member, rejects: list[tuple[int, str]]) -> Iterator[tuple[int, Message]]:
    """(number of the frame, message); what is none is appended to `rejects`. Raises SourceError for a torn file."""
    content = member.read()
    try:
        frames = _JSON.decode(content)
    except msgspec.DecodeError:
        frames = [_line(line) for line in content.splitlines() if line.strip()]
    channels: dict[int, str] = {}
    seen: set[int] = set()
    for number, frame in enumerate(frames if isinstance(frames, list) else [], 1):
        ts_ns = START_NS + number * _MS
        if isinstance(frame, dict):
            if frame.get("event") == "subscribed" and frame.get("prec") == "R0" and isinstance(frame.get("chanId"), int):
                channels[frame["chanId"]] = str(frame.get("symbol", ""))
            else:
                rejects.append((number, "frame without data"))
            continue
        if not isinstance(frame, list) or len(frame) < 2 or not isinstance(frame[0], int) or frame[0] not in channels:
            rejects.append((number, "frame of no known channel"))
            continue
        symbol, body = channels[frame[0]], frame[1]
        if isinstance(body, list) and all(isinstance(row, list) for row in body):
            seen.clear()
            yield number, Clear(symbol, ts_ns)
            rows, is_old = body, True
        else:
            rows, is_old = [body], False
        for row in rows:
            message = _message(symbol, ts_ns, row, seen, is_old=is_old)
            if message is None:
                rejects.append((number, "heartbeat" if body == "hb" else "frame that is no order"))
            else:
                yield number, message


def _line(line: bytes) -> Any:
    try:
        return _JSON.decode(line)
    except msgspec.DecodeError:
        return None


def _message(symbol: str, ts_ns: int, row: Any, seen: set[int], *, is_old: bool) -> Message | None:
    if not isinstance(row, list) or len(row) != 3 or not all(isinstance(value, (int, float)) for value in row):
        return None
    number, price, amount = int(row[0]), float(row[1]), float(row[2])
    if not 0 <= number < 2**61 or amount == 0 or price < 0:
        return None
    if price == 0:
        seen.discard(number)
        return Cancel(symbol, ts_ns, number)
    if number in seen:
        return Change(symbol, ts_ns, number, abs(amount), amount > 0, price)
    seen.add(number)
    return Add(symbol, ts_ns, number, amount > 0, price, abs(amount), is_old)
