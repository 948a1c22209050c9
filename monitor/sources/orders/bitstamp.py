"""Bitstamp's order log to messages: `<local ms> <event> <JSON>` lines, as recorders of its live channels keep them.

order_created, order_changed (a fill: the amount that is left), order_deleted (amount 0: filled, else cancelled with what was
left), trade (a print without orders; the orders' own events tell it) and order_book (the venue's best levels).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from monitor.sources.files import Member
from monitor.sources.orders.messages import Add, Cancel, Fill, Levels, Message

SYMBOL: Final = "BTCUSD"
"""The channel of 2015 had one market and did not name it."""

_LINE: Final = re.compile(rb"(\d{13}) (order_created|order_changed|order_deleted|order_book|trade) (\{.*\})\s*")
_MS: Final = 1_000_000
_JSON: Final = msgspec.json.Decoder()


def looks_like_log(head: bytes) -> bool:
    """Whether a file's first line is of this log."""
    return _LINE.fullmatch(head.split(b"\n", 1)[0]) is not None


def read(member: Member, rejects: list[tuple[int, str]]) -> Iterator[tuple[int, Message]]:
    """(number of the line, message); what is none is appended to `rejects`. Raises SourceError for a torn file."""
    for number, line in enumerate(member.lines(), 1):
        found = _LINE.fullmatch(line)
        if found is None:
            if line.strip():
                rejects.append((number, "line that is none of the log"))
            continue
        try:
            yield number, _message(int(found[1]) * _MS, found[2].decode(), _JSON.decode(found[3]))
        except msgspec.DecodeError:
            rejects.append((number, "line that is no JSON"))
        except _NotUsedError as error:
            rejects.append((number, str(error)))
        except (KeyError, TypeError, ValueError):
            rejects.append((number, "line that lacks a value"))


class _NotUsedError(Exception):
    pass


def _message(ts_ns: int, event: str, row: dict[str, Any]) -> Message:
    if event == "trade":
        raise _NotUsedError("trade print, told by its orders")
    if event == "order_book":
        sides = [[(float(price), float(size)) for price, size in row[side]] for side in ("bids", "asks")]
        return Levels(SYMBOL, ts_ns, *sides)
    number, price, size, is_bid = int(row["id"]), float(row["price"]), float(row["amount"]), int(row["order_type"]) == 0
    if event == "order_created":
        if price <= 0 or size <= 0:
            raise _NotUsedError("order without a price or size above zero")
        return Add(SYMBOL, ts_ns, number, is_bid, price, size)
    if event == "order_changed":
        return Fill(SYMBOL, ts_ns, number, None, size, is_bid, price)
    if size > 0:
        return Cancel(SYMBOL, ts_ns, number, None, is_bid, price)
    return Fill(SYMBOL, ts_ns, number, None, 0.0, is_bid, price)
