"""Who is behind an anomaly: the accounts that did most of what its family counts, over the anomaly's own windows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from models.anomaly import Anomaly
from monitor.incidents.expected import Calendar
from monitor.metrics.catalogue import METRIC_NAMES

LONGEST_WINDOWS: Final = 60
"""Windows that evidence is to be kept for: at least as many as the longest window of a detector has."""

_MOST_ACCOUNTS: Final = 3

_CANCELS: Final = METRIC_NAMES.index("cancels")
_CANCEL_SHARE: Final = METRIC_NAMES.index("top_cancel_share")
_INTEREST: Final = METRIC_NAMES.index("open_interest_usd")
_POSITION_SHARE: Final = METRIC_NAMES.index("top_position_share")

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Windows(Protocol):
    """Some windows as feed tells them: W windows, S symbols, M metrics."""

    @property
    def window_end_ns(self) -> Ints: ...
    @property
    def values(self) -> Floats: ...
    @property
    def top_cancel_account(self) -> Ints: ...
    @property
    def top_position_account(self) -> Ints: ...


class Account(msgspec.Struct, frozen=True):
    """An account and its share of `metric` over the anomaly's windows: a lower bound, since only each window's largest
    account is known."""

    account: int
    metric: str
    share: float


class RankedAnomaly(Anomaly, frozen=True):
    """An anomaly as it is published: its event, the accounts behind it, why it was expected. A line of `anomalies.jsonl`."""

    accounts: tuple[Account, ...] = ()
    expected: str = ""
    """Why it was to be expected (`monitor.incidents.expected`), "" if it was not."""


class _Window(msgspec.Struct, frozen=True):
    """One window's largest accounts: per measure the account [S], its part [S] and the whole [S]."""

    end_ns: int
    cancels: tuple[Ints, Floats, Floats]
    positions: tuple[Ints, Floats, Floats]


class Evidence:
    """Remembers the last windows' largest accounts, as many as the longest anomaly spans. Can be pickled."""

    def __init__(self, symbols: tuple[str, ...], windows: int, calendar: Calendar) -> None:
        self._calendar = calendar
        self._symbol_at = {symbol: s for s, symbol in enumerate(symbols)}
        self._windows: deque[_Window] = deque(maxlen=windows)

    def see(self, end_ns: int, values: Floats, top_cancel: Ints, top_position: Ints) -> None:
        """One window: `values` [S, M], the accounts [S] with -1 for none."""
        self._windows.append(
            _Window(
                end_ns,
                (top_cancel, *_part_and_whole(values, _CANCEL_SHARE, _CANCELS)),
                (top_position, *_part_and_whole(values, _POSITION_SHARE, _INTEREST)),
            )
        )

    def explain(self, found: Sequence[Anomaly], windows: Windows, phase: str) -> list[RankedAnomaly]:
        """`found`, the anomalies of these windows in their order, with the evidence; the windows follow those seen before.

        Raises AssertionError for an anomaly of another window.
        """
        lines: list[RankedAnomaly] = []
        left = iter(found)
        anomaly = next(left, None)
        for w, end_ns in enumerate(windows.window_end_ns.tolist()):
            self.see(end_ns, windows.values[w], windows.top_cancel_account[w], windows.top_position_account[w])
            while anomaly is not None and anomaly.window_end_ns == end_ns:
                lines.append(self.attach(anomaly, phase))
                anomaly = next(left, None)
        if anomaly is not None:
            raise AssertionError(f"an anomaly of the window that ended at {anomaly.window_end_ns}, not one of those given")
        return lines

    def attach(self, anomaly: Anomaly, phase: str) -> RankedAnomaly:
        """`anomaly` with the accounts behind it; its last window must be the one seen last."""
        symbol = self._symbol_at[anomaly.symbol]
        seen = [window for window in self._windows if window.end_ns > anomaly.window_start_ns]
        accounts: tuple[Account, ...] = ()
        if anomaly.family == "cancels":
            accounts = _largest([window.cancels for window in seen], symbol, "cancels")
        elif anomaly.family == "leverage":
            # Open interest is a stock, not a flow: the window's end counts, not the sum over windows.
            accounts = _largest([window.positions for window in seen[-1:]], symbol, "open_interest_usd")
        fields = {name: getattr(anomaly, name) for name in Anomaly.__struct_fields__}
        return RankedAnomaly(**{**fields, "phase": phase}, accounts=accounts, expected=self._calendar.why(anomaly))


def _part_and_whole(values: Floats, share: int, whole: int) -> tuple[Floats, Floats]:
    total = np.nan_to_num(values[:, whole])
    return np.nan_to_num(values[:, share]) * total, total


def _largest(windows: list[tuple[Ints, Floats, Floats]], symbol: int, metric: str) -> tuple[Account, ...]:
    parts: dict[int, float] = {}
    whole = 0.0
    for accounts, part, total in windows:
        whole += float(total[symbol])
        account = int(accounts[symbol])
        if account >= 0:
            parts[account] = parts.get(account, 0.0) + float(part[symbol])
    if whole <= 0.0:
        return ()
    first = sorted(parts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_ACCOUNTS]
    return tuple(Account(account, metric, part / whole) for account, part in first)
