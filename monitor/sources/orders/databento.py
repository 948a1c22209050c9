"""Databento's market-by-order records: DBN (also zstd-compressed) and csv, to messages.

Documents: databento.com/docs/schemas-and-data-formats/mbo. A add, C cancel (takes `size`), M modify, R clear, T trade (the
taker's side, changes no book), F fill (a resting order traded; a C or M of it follows and takes the lots out). Prices have
nine decimals. Records with the flag F_SNAPSHOT say what rested before.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Final, NamedTuple

from monitor.sources import SourceError
from monitor.sources.files import Member
from monitor.sources.orders.messages import Add, Cancel, Change, Clear, Fill, Message

HEADER: Final = b"ts_recv,ts_event,action,side,price,size,order_id"
DBN_MAGIC: Final = b"DBN"

_SNAPSHOT: Final = 32
_UNDEFINED: Final = 2**63 - 1
_SCALE: Final = 1e-9
_COLUMNS: Final = ("ts_recv", "ts_event", "action", "side", "price", "size", "order_id", "flags", "instrument_id")


class _Record(NamedTuple):
    received_ns: int
    event_ns: int
    action: str
    side: str
    price: int
    size: int
    number: int
    flags: int
    instrument: int


def looks_like_mbo(head: bytes) -> bool:
    """Whether a file's first bytes are a DBN file or the csv of one."""
    return head.startswith((HEADER, DBN_MAGIC))


def read(member: Member, rejects: list[tuple[int, str]]) -> Iterator[tuple[int, Message]]:
    """(number of the record, message), in the order of the file; what is none is appended to `rejects`.

    Raises:
        SourceError: the file is torn, or lacks a column.
    """
    is_csv = member.head(len(HEADER)) == HEADER
    for number, record in _from_csv(member, rejects) if is_csv else _from_dbn(member):
        try:
            message = _message(record)
        except ValueError as error:
            rejects.append((number, str(error)))
            continue
        yield number, message


def _message(record: _Record) -> Message:
    symbol = f"instrument:{record.instrument}"
    is_old = bool(record.flags & _SNAPSHOT)
    # What rested before has the time when it entered, days ago; it is known since it was received.
    ts_ns = record.received_ns if is_old else record.event_ns
    if ts_ns <= 0:
        raise ValueError("record without a time")
    if record.action == "R":
        return Clear(symbol, ts_ns)
    if record.action == "T":
        raise ValueError("trade record, told by the fills of resting orders")
    if record.side not in ("A", "B"):
        raise ValueError("record without a side")
    if record.price == _UNDEFINED or record.price <= 0:
        raise ValueError("record without a price above zero")
    is_bid, price, size = record.side == "B", record.price * _SCALE, float(record.size)
    if record.action == "A":
        return Add(symbol, ts_ns, record.number, is_bid, price, size, is_old)
    if record.action == "C":
        return Cancel(symbol, ts_ns, record.number, size, is_bid, price)
    if record.action == "M":
        return Change(symbol, ts_ns, record.number, size, is_bid, price)
    if record.action == "F":
        return Fill(symbol, ts_ns, record.number, size, None, is_bid, price, is_told=True)
    raise ValueError("record with an unknown action")


def _from_csv(member: Member, rejects: list[tuple[int, str]]) -> Iterator[tuple[int, _Record]]:
    lines = (line.decode("latin-1") for line in member.lines())
    rows = csv.reader(lines)
    header = next(rows, [])
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise SourceError(f"lacks the columns {', '.join(missing)}", str(member), "Export all columns of the mbo schema")
    places = [header.index(name) for name in _COLUMNS]
    for number, row in enumerate(rows, 2):
        try:
            values = [row[place] for place in places]
            numbers = [int(values[n]) for n in (0, 1, 4, 5, 6, 7, 8)]
        except (IndexError, ValueError):
            rejects.append((number, "row that is no record"))
            continue
        yield number, _Record(numbers[0], numbers[1], values[2], values[3], *numbers[2:])


def _from_dbn(member: Member) -> Iterator[tuple[int, _Record]]:
    from databento_dbn import DBNDecoder, DBNError, MBOMsg

    decoder = DBNDecoder()
    try:
        decoder.write(member.read())
        records = decoder.decode()
    except (DBNError, ValueError, OSError) as error:
        raise SourceError(f"is no DBN file that can be read: {error}", str(member), "Download or copy it again") from error
    number = 0
    for record in records:
        if isinstance(record, MBOMsg):
            number += 1
            yield number, _Record(
                record.ts_recv, record.ts_event, str(record.action), str(record.side), record.price, record.size,
                record.order_id, int(record.flags), record.instrument_id,
            )  # fmt: skip
