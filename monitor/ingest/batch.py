"""Batches of events as they are sent: an Arrow IPC stream or JSON rows, and every way in which one can be wrong.

A batch is taken whole or not at all. The first thing that is wrong with it is named by row, number and field, for whoever
sends it is the one who can mend it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np
import polars as pl

from engine.contract import EVENT_DTYPE, NO_ACCOUNT, EventKind

if TYPE_CHECKING:
    from monitor.ingest.description import Description

MOST_EVENTS: Final = 500_000
MOST_BYTES: Final = 64 << 20

LARGEST: Final = 2**40
"""Ticks, lots beyond this are no price and no quantity."""

_NO_SYMBOL: Final = frozenset((
    EventKind.CLOCK, EventKind.GAP, EventKind.TRANSFER, EventKind.LEDGER, EventKind.STANDING, EventKind.ACK, EventKind.REJECT,
))  # fmt: skip
_OF_BOOK: Final = (EventKind.ADD, EventKind.CANCEL, EventKind.TRADE, EventKind.LEVEL)
_EARLIEST_NS: Final = 0
_LATEST_NS: Final = 2**62
_OPTIONAL: Final = {"account": NO_ACCOUNT, "contra_account": NO_ACCOUNT, "symbol": -1}
_TYPES: Final = {
    name: {"<i8": pl.Int64, "<i4": pl.Int32, "|u1": pl.UInt8}[EVENT_DTYPE[name].str] for name in EVENT_DTYPE.fields or {}
}


Reason = Literal["unreadable", "too large", "wrong columns", "numbers do not follow", "wrong event", "feed has ended"]


class BatchError(ValueError):
    """A batch that is not taken: a sentence that says why, and the kind of reason it is counted under."""

    def __init__(self, what: str, reason: Reason) -> None:
        super().__init__(what)
        self.reason: Reason = reason


def decode(body: bytes, *, is_json: bool) -> np.ndarray:
    """EVENT_DTYPE rows out of a request's body. Columns that are left out are 0, accounts and symbol -1. Raises BatchError."""
    if len(body) > MOST_BYTES:
        raise BatchError(f"{len(body)} bytes, a batch has at most {MOST_BYTES}; send smaller ones", "too large")
    try:
        frame = _from_json(body) if is_json else pl.read_ipc_stream(io.BytesIO(body))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, TypeError, OverflowError) as error:
        what = "JSON array of objects" if is_json else "Arrow IPC stream"
        raise BatchError(f"the body is no {what} ({_first_line(error)})", "unreadable") from error
    unknown = sorted(set(frame.columns) - set(_TYPES))
    if unknown:
        raise BatchError(f"unknown column {unknown[0]!r}; known are {', '.join(_TYPES)}", "wrong columns")
    missing = [name for name in ("ts_ns", "seq", "kind") if name not in frame.columns]
    if missing:
        raise BatchError(f"the column {missing[0]!r} is missing", "wrong columns")
    if frame.height > MOST_EVENTS:
        raise BatchError(f"{frame.height} events, a batch has at most {MOST_EVENTS}; send smaller ones", "too large")
    events = np.zeros(frame.height, EVENT_DTYPE)
    for name, default in _OPTIONAL.items():
        events[name] = default
    for name in frame.columns:
        column = frame[name]
        if not column.dtype.is_integer():
            raise BatchError(f"column {name!r} holds {column.dtype}, not whole numbers", "wrong columns")
        if column.null_count():
            raise BatchError(f"row {int(column.is_null().arg_max() or 0) + 1}: {name} is missing", "wrong columns")
        try:
            events[name] = column.cast(_TYPES[name], strict=True).to_numpy()
        except pl.exceptions.PolarsError as error:
            raise BatchError(f"column {name!r}: a value is out of the range of {_TYPES[name]}", "wrong columns") from error
    return events


def encode(events: np.ndarray) -> bytes:
    """EVENT_DTYPE rows as an Arrow IPC stream."""
    buffer = io.BytesIO()
    frame = pl.DataFrame({name: np.ascontiguousarray(events[name]) for name in _TYPES}, schema=_TYPES)
    frame.write_ipc_stream(buffer)
    return buffer.getvalue()


def admit(events: np.ndarray, next_sent: int, description: Description) -> np.ndarray:
    """The events of a batch that are new. Raises BatchError.

    Args:
        events: EVENT_DTYPE; `seq` is the venue's own numbering, from 1 without a hole.
        next_sent: the number of the first event that is new; what comes before it was taken before.
    """
    if not len(events):
        return events
    seq = events["seq"]
    holes = np.flatnonzero(np.diff(seq) != 1)
    if len(holes):
        row = int(holes[0]) + 1
        raise BatchError(f"row {row + 1}: seq {seq[row]} follows {seq[row - 1]}; it rises by one", "numbers do not follow")
    if seq[0] > next_sent:
        raise BatchError(
            f"the batch begins with seq {seq[0]}, expected is {next_sent}: send what lies between, or a GAP in its place",
            "numbers do not follow",
        )
    new = events[max(0, next_sent - int(seq[0])) :]
    for wrong, what in _faults(new, description):
        if wrong.any():
            row = int(np.argmax(wrong))
            event = new[row]
            raise BatchError(f"row {row + 1 + len(events) - len(new)}, seq {event['seq']}: {what(event)}", "wrong event")
    return new


def _faults(events: np.ndarray, description: Description) -> list[tuple[np.ndarray, Any]]:
    """What can be wrong with single events: (which are, a sentence for one)."""
    symbols, accounts = len(description.instruments), description.accounts
    kind, symbol, side = events["kind"], events["symbol"], events["side"]
    needs_symbol = ~np.isin(kind, [int(each) for each in _NO_SYMBOL])
    of_book = np.isin(kind, [int(each) for each in _OF_BOOK])
    price, qty = events["price"], events["qty"]
    return [
        (~np.isin(kind, [int(each) for each in EventKind]), lambda e: f"kind {e['kind']} is none"),
        ((symbol < -1) | (symbol >= symbols), lambda e: f"symbol {e['symbol']} is none of {symbols} instruments"),
        (needs_symbol & (symbol < 0), lambda e: f"a {EventKind(int(e['kind'])).name} needs a symbol"),
        (side > 1, lambda e: f"side {e['side']} is neither 0 (buy) nor 1 (sell)"),
        *(
            ((events[name] < -1) | (events[name] >= max(accounts, 0)), _about_account(name, accounts))
            for name in ("account", "contra_account")
        ),
        (of_book & ((price < 1) | (price > LARGEST)), lambda e: f"price {e['price']} ticks is not in 1 … 2^40"),
        (of_book & ((qty < 0) | (qty > LARGEST)), lambda e: f"qty {e['qty']} lots is not in 0 … 2^40"),
        (
            (events["ts_ns"] <= _EARLIEST_NS) | (events["ts_ns"] > _LATEST_NS),
            lambda e: f"ts_ns {e['ts_ns']} is no time in UTC nanoseconds",
        ),
    ]


def _about_account(name: str, accounts: int) -> Any:
    return lambda event: f"{name} {event[name]} is none of {accounts} accounts, nor -1"


def _from_json(body: bytes) -> pl.DataFrame:
    rows = msgspec.json.decode(body, type=list[dict[str, int]])
    return pl.DataFrame(rows, infer_schema_length=None)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
