"""The data family: how much arrived, how late, what was lost, and whether the book can be trusted, per symbol, compiled."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from engine.contract import SymbolState
from monitor.metrics.catalogue import column

DATA_DTYPE: Final = np.dtype(
    [
        ("messages", "<i8"),
        ("late", "<i8"),
        ("gaps", "<i8"),
        ("touched_ns", "<i8"),
        ("touched", "<i8"),
        ("closed", "<i8"),
        ("closed_from_ns", "<i8"),
        ("closed_ns", "<i8"),
        ("lag_ns", "<i8"),
        ("lagged", "<i8"),
    ]
)
"""One symbol's window; `touched_ns` is the time of the last event that touched the book, if `touched`; `lag_ns` the longest
way of a message, if `lagged`; `closed_ns` how long it was not open, without what has gone by since `closed_from_ns` if it is
`closed` now."""

_OPEN: Final = int(SymbolState.OPEN)
_MESSAGES: Final = column("messages")
_LATE: Final = column("late")
_GAPS: Final = column("gaps")
_CLOSED: Final = column("closed_ms")
_BOOK_AGE: Final = column("book_age_ms")
_FEED_LAG: Final = column("feed_lag_ms")


def new_data(symbols: int) -> np.ndarray:
    """DATA_DTYPE [symbols], at the start of a window."""
    return np.zeros(symbols, DATA_DTYPE)


@njit(cache=True, nogil=True)
def on_touched(data: Any, now_ns: int) -> None:
    data["touched_ns"] = now_ns
    data["touched"] = 1


@njit(cache=True, nogil=True)
def on_lag(data: Any, lag_ns: int) -> None:
    """A FEED_LAG reference."""
    data["lag_ns"] = max(data["lag_ns"], lag_ns) if data["lagged"] else lag_ns
    data["lagged"] = 1


@njit(cache=True, nogil=True)
def on_state(data: Any, state: int, now_ns: int, start_ns: int) -> None:
    """The venue puts the symbol into a `SymbolState`, in the window that began at `start_ns`."""
    if data["closed"]:
        # Windows that were left out in between are nobody's.
        data["closed_ns"] += now_ns - max(data["closed_from_ns"], start_ns)
    data["closed"] = state != _OPEN
    data["closed_from_ns"] = now_ns


@njit(cache=True, nogil=True)
def close(data: Any, end_ns: int, step_ns: int, out: Any) -> None:
    """Writes the family's metrics, but the time crossed, into `out` [M] and starts the next window."""
    out[_MESSAGES] = data["messages"]
    out[_LATE] = data["late"]
    out[_GAPS] = data["gaps"]
    if data["closed"]:
        data["closed_ns"] += end_ns - max(data["closed_from_ns"], end_ns - step_ns)
        data["closed_from_ns"] = end_ns
    out[_CLOSED] = data["closed_ns"] / 1e6
    data["closed_ns"] = 0
    out[_BOOK_AGE] = (end_ns - data["touched_ns"]) / 1e6 if data["touched"] else np.nan
    out[_FEED_LAG] = data["lag_ns"] / 1e6 if data["lagged"] else np.nan
    data["lagged"] = 0
    data["messages"] = 0
    data["late"] = 0
    data["gaps"] = 0
