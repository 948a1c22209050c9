"""What each account did in a span of `SPAN` windows, over all symbols: rows for those that did something, compiled.

A span has a row for each account that did something, at most `MOST`: half of them for those that added most exposure, the rest
for those with most messages; how many more there were is counted. Spans end with the windows whose index `SPAN` divides; one
that time jumps out of gives no rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

SPAN: Final = 10
"""Windows: ten of a second make an account's row worth reading, at a tenth of the cost."""
MOST: Final = 512
"""Rows a span at most."""

COLUMNS: Final[dict[str, str]] = {
    "adds": "orders that came to rest",
    "cancels": "orders cancelled, full or partial",
    "slow_fleeting_cancels": "of those, of orders that had rested < 2 s",
    "cancels_after_fill": "of those, within a second after a fill on the other side",
    "rejects": "ops refused",
    "fills": "fills, as maker or taker",
    "taken_usd": "value traded as taker, at each window's end",
    "grown_usd": "value of the lots by which positions grew or turned",
    "exposure_usd": "leverage-weighted exposure added (`monitor.metrics.actors`)",
    "leverage": "notional over equity at the span's end, at most 125; 125 without equity",
    "equity_usd": "wallet and unrealised profit at the span's end",
}
"""What a row holds, in the order of its columns."""

TOTALS_DTYPE: Final = np.dtype(
    [
        ("listed", "<i8"),
        ("counts", "<i8", (6,)),
        ("usd", "<f8", (3,)),
        ("flow_symbol", "<i8"),
        ("flow_most", "<i8"),
        ("exposure_symbol", "<i8"),
        ("exposure_most", "<f8"),
    ]
)
"""One account's span: the first six columns and the next three; the symbols in which it cancelled and was refused most in one
window, and added most exposure; whether it is in the list of those that did something."""


class AccountRows(NamedTuple):
    """R rows, by window and then by account: `window` int64 [R], the index of the window that ends the span; `account` int64
    [R]; `symbol` int64 [R, 2], where it cancelled and was refused most and where it added most exposure, -1 for nowhere;
    `values` float64 [R, C], the columns of `COLUMNS`."""

    window: npt.NDArray[np.int64]
    account: npt.NDArray[np.int64]
    symbol: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    def of_windows(self, first: int, last: int) -> AccountRows:
        """The rows of spans that end in windows `first` … `last`, as views."""
        start, stop = np.searchsorted(self.window, (first, last + 1))
        return self.part(int(start), int(stop))

    def part(self, start: int, stop: int) -> AccountRows:
        """Rows `start` … `stop - 1`, as views."""
        at = slice(start, stop)
        return AccountRows(self.window[at], self.account[at], self.symbol[at], self.values[at])


class Span(NamedTuple):
    """The span that goes on: `totals` TOTALS_DTYPE [N]; `busy` int64 [N], who did something; `tally` int64 [3]: how many those
    are, how many rows were written, and how many accounts were left out since the start of the run."""

    totals: np.ndarray
    busy: npt.NDArray[np.int64]
    tally: npt.NDArray[np.int64]


BUSY, WRITTEN, LEFT_OUT = range(3)


def new_span(accounts: int) -> Span:
    """Nobody did anything."""
    return Span(np.zeros(accounts, TOTALS_DTYPE), np.zeros(accounts, np.int64), np.zeros(3, np.int64))


def new_rows(windows: int, accounts: int) -> AccountRows:
    """Room for all rows that so many windows can have."""
    rows = (windows // SPAN + 1) * min(MOST, accounts)
    return AccountRows(
        np.zeros(rows, np.int64), np.zeros(rows, np.int64), np.zeros((rows, 2), np.int64), np.zeros((rows, len(COLUMNS)))
    )


def joined(parts: Sequence[AccountRows]) -> AccountRows:
    """The rows of parts that follow each other."""
    if not parts:
        return new_rows(0, 0)
    return AccountRows(
        np.concatenate([part.window for part in parts]),
        np.concatenate([part.account for part in parts]),
        np.concatenate([part.symbol for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


@njit(cache=True, nogil=True)
def _of(span: Any, account: int) -> Any:
    totals = span.totals[account]
    if not totals["listed"]:
        totals["listed"] = 1
        totals["flow_symbol"] = -1
        totals["exposure_symbol"] = -1
        span.busy[span.tally[BUSY]] = account
        span.tally[BUSY] += 1
    return totals


@njit(cache=True, nogil=True)
def add_flow(span: Any, s: int, account: int, record: Any, lot_usd: float) -> None:
    """Counts what an account did in a window of symbol `s`: its `record` of `monitor.metrics.actors`."""
    totals = _of(span, account)
    counts = totals["counts"]
    counts[0] += record["adds"]
    counts[1] += record["cancels"]
    counts[2] += record["slow_fleeting_cancels"]
    counts[3] += record["cancels_after_fill"]
    counts[4] += record["rejects"]
    counts[5] += record["fills"]
    totals["usd"][0] += record["taken_lots"] * lot_usd
    most = record["cancels"] + record["rejects"]
    if most > totals["flow_most"]:
        totals["flow_most"] = most
        totals["flow_symbol"] = s


@njit(cache=True, nogil=True)
def add_exposure(span: Any, s: int, account: int, grown_usd: float, exposure_usd: float) -> None:
    """Counts what an account's position and its withdrawals of a window added."""
    if exposure_usd <= 0.0:
        return
    totals = _of(span, account)
    totals["usd"][1] += grown_usd
    totals["usd"][2] += exposure_usd
    if exposure_usd > totals["exposure_most"]:
        totals["exposure_most"] = exposure_usd
        totals["exposure_symbol"] = s


@njit(cache=True, nogil=True)
def close(span: Any, window: int, leverage: Any, equity_micro: Any, rows: Any) -> None:
    """Writes the rows of the span that `window` ends, and starts the next one. `leverage` and `equity_micro` [N] are those of
    `monitor.metrics.leverage.value_accounts`."""
    kept = _busiest(span)
    span.tally[LEFT_OUT] += span.tally[BUSY] - len(kept)
    at = span.tally[WRITTEN]
    for account in kept:
        totals = span.totals[account]
        rows.window[at] = window
        rows.account[at] = account
        rows.symbol[at, 0] = totals["flow_symbol"]
        rows.symbol[at, 1] = totals["exposure_symbol"]
        for c in range(6):
            rows.values[at, c] = totals["counts"][c]
        for c in range(3):
            rows.values[at, 6 + c] = totals["usd"][c]
        rows.values[at, 9] = abs(leverage[account])
        rows.values[at, 10] = equity_micro[account] / 1e6
        at += 1
    span.tally[WRITTEN] = at
    drop(span)


@njit(cache=True, nogil=True)
def _busiest(span: Any) -> Any:
    """Who gets a row, the lowest number first: if there are too many, those that added most exposure, up to half of the rows,
    and then those with most orders, cancels, refusals and fills; the lower number among equals."""
    busy = np.sort(span.busy[: span.tally[BUSY]])
    if len(busy) <= MOST:
        return busy
    exposure = np.zeros(len(busy))
    acts = np.zeros(len(busy))
    for i in range(len(busy)):
        totals = span.totals[busy[i]]
        exposure[i] = -totals["usd"][2]
        acts[i] = -float(totals["counts"][0] + totals["counts"][1] + totals["counts"][4] + totals["counts"][5])
    chosen = np.zeros(len(busy), np.bool_)
    for i in np.argsort(exposure, kind="mergesort")[: MOST // 2]:
        chosen[i] = exposure[i] < 0.0
    left = MOST - chosen.sum()
    for i in np.argsort(acts, kind="mergesort"):
        if left > 0 and not chosen[i]:
            chosen[i] = True
            left -= 1
    return busy[chosen]


@njit(cache=True, nogil=True)
def drop(span: Any) -> None:
    """Starts the next span; what was counted is forgotten."""
    for i in range(span.tally[BUSY]):
        totals = span.totals[span.busy[i]]
        totals["listed"] = 0
        totals["counts"][:] = 0
        totals["usd"][:] = 0.0
        totals["flow_most"] = 0
        totals["exposure_most"] = 0.0
    span.tally[BUSY] = 0
