"""Who is behind an anomaly: the accounts that did most of what its first contribution is about.

What is asked follows from the feature: a line on refusals asks who was refused, one on open interest who grew, or, if it fell,
who was liquidated or closed; one on withdrawals who withdrew. A flow is what it is in the anomaly's own windows; a level is a
stock, and what raised it may lie up to `LONGEST_WINDOWS` back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from models.anomaly import Anomaly
from models.detectors.kinds import FAST
from models.detectors.reads import METRICS_OF
from monitor.incidents.expected import Calendar
from monitor.metrics import actors
from monitor.metrics.actors import MEASURES, Actors

LONGEST_WINDOWS: Final = 60
"""Windows that evidence is to be kept for: at least as many as the longest window of a detector has."""

EXPECTED: Final = "expected"
"""Kind of a depth line that a known time explains."""

_MOST_ACCOUNTS: Final = 3

_PULLED_WINDOWS: Final = 2
"""Windows, of the last minute, in which most was pulled near the touch."""

_MOST_FEATURES: Final = 2
_TOLD: Final = 0.2
"""How many features a sentence tells at most, and what share of the score a feature must have to be told."""

_OF_FAMILY: Final = {
    "cancels": (actors.FLEETING, actors.CANCELS),
    "depth": (actors.NEAR_CANCELLED, actors.TAKEN),
    "leverage": (actors.EXPOSURE, actors.REDUCED),
    "prices": (actors.TAKEN,),
}
"""What is asked where the first contribution asks nothing of its own: the first measure of which anybody did anything."""

_OF_METRIC: Final = {
    **dict.fromkeys(("rejects", "throttled", "retries"), (actors.REJECTS,)),
    **dict.fromkeys(("liquidations", "liquidated_lots", "liquidated_long_usd", "liquidated_short_usd"), (actors.FORCED,)),
    **dict.fromkeys(("takeovers", "deleveraged_lots", "accounts_liquidating"), (actors.FORCED, actors.REDUCED)),
    **dict.fromkeys(("trades", "traded_lots", "signed_lots"), (actors.TAKEN,)),
    "withdrawals_usd": (actors.WITHDRAWN,),
    "top_position_share": (actors.POSITION,),
    "hhi_open_interest": (actors.POSITION,),
}
_FALLEN: Final = (actors.FORCED, actors.REDUCED)
"""What is asked of open interest that fell."""
_INTEREST: Final = frozenset(("open_interest_usd", "open_interest_change_lots"))
_LEVELS: Final = frozenset((
    "leverage_p50", "leverage_p90", "leverage_weighted", "positions", "underwater", "accounts_reminded", "accounts_restricted",
))  # fmt: skip
"""Stocks: what raised them may lie before the anomaly's own windows."""

Ints = npt.NDArray[np.int64]
_NAMES: Final = tuple(MEASURES)


class Windows(Protocol):
    """Some windows as feed tells them: W of them, and who did most in each."""

    @property
    def window_end_ns(self) -> Ints: ...
    @property
    def values(self) -> npt.NDArray[np.float64]: ...
    @property
    def actors(self) -> Actors: ...


class Account(msgspec.Struct, frozen=True):
    """An account and its share of `metric`, a measure of `monitor.metrics.actors`, over the windows asked about: a lower bound,
    since only each window's first accounts are known."""

    account: int
    metric: str
    share: float


class RankedAnomaly(Anomaly, frozen=True):
    """An anomaly as it is published: its event, the accounts behind it, why it was expected. A line of `anomalies.jsonl`."""

    accounts: tuple[Account, ...] = ()
    expected: str = ""
    """Why it was to be expected (`monitor.incidents.expected`), "" if it was not."""
    says: str = ""
    """What happened, who did it and what else is to be known, in one sentence."""


class Evidence:
    """Remembers who did most in the last windows, as many as the longest anomaly spans. Can be pickled."""

    def __init__(self, symbols: tuple[str, ...], windows: int, calendar: Calendar) -> None:
        self._calendar = calendar
        self._symbol_at = {symbol: s for s, symbol in enumerate(symbols)}
        self._windows: deque[tuple[int, Actors]] = deque(maxlen=windows)

    def see(self, end_ns: int, did: Actors) -> None:
        """One window: who did most in it, without an axis of windows."""
        # Copies: a view would keep its whole block.
        self._windows.append((end_ns, Actors(did.accounts.copy(), did.amounts.copy(), did.whole.copy())))

    def explain(self, found: Sequence[Anomaly], windows: Windows, phase: str) -> list[RankedAnomaly]:
        """`found`, the anomalies of these windows in their order, with the evidence; the windows follow those seen before.

        Raises AssertionError for an anomaly of another window.
        """
        lines: list[RankedAnomaly] = []
        left = iter(found)
        anomaly = next(left, None)
        for w, end_ns in enumerate(windows.window_end_ns.tolist()):
            self._calendar.see(end_ns, windows.values[w])
            self.see(end_ns, windows.actors.at(w))
            while anomaly is not None and anomaly.window_end_ns == end_ns:
                lines.append(self.attach(anomaly, phase))
                anomaly = next(left, None)
        if anomaly is not None:
            raise AssertionError(f"an anomaly of the window that ended at {anomaly.window_end_ns}, not one of those given")
        return lines

    def attach(self, anomaly: Anomaly, phase: str) -> RankedAnomaly:
        """`anomaly` with the accounts behind it; its last window must be the one seen last."""
        fields = {name: getattr(anomaly, name) for name in Anomaly.__struct_fields__}
        expected = self._calendar.why(anomaly)
        if expected and anomaly.family == "depth":
            fields["kind"] = EXPECTED
        accounts = self._behind(anomaly)
        says = _sentence(anomaly, accounts)
        return RankedAnomaly(**{**fields, "phase": phase}, accounts=accounts, expected=expected, says=says)

    def _behind(self, anomaly: Anomaly) -> tuple[Account, ...]:
        symbol = self._symbol_at[anomaly.symbol]
        measures, is_level = _asked(anomaly)
        own = [did for end_ns, did in self._windows if end_ns > anomaly.window_start_ns]
        all_seen = [did for _, did in self._windows]
        # Accounts move their positions one at a time: what a leverage line is about may have been done before its windows.
        if isinstance(anomaly.account, int):
            return _share_of(anomaly.account, own, symbol, (*measures, *_OF_FAMILY.get(anomaly.family, ())))
        if measures == _OF_FAMILY["depth"]:
            # A book is thinned by who pulls and by who takes: whoever took more lots out of it is asked first.
            most = {measure: max(_sums(own, symbol, measure)[0].values(), default=0.0) for measure in measures}
            measures = tuple(sorted(measures, key=lambda measure: -most[measure]))
            if measures[0] == actors.NEAR_CANCELLED and anomaly.kind == FAST:
                # Makers move their quotes all the time; those who left did it when most was pulled.
                pulled = sorted(all_seen, key=lambda did: -float(np.nan_to_num(did.whole[symbol, actors.NEAR_CANCELLED])))
                return _largest(pulled[:_PULLED_WINDOWS], symbol, actors.NEAR_CANCELLED)
        for seen in (all_seen,) if is_level else (own, all_seen) if anomaly.family == "leverage" else (own,):
            for measure in measures:
                # What somebody holds is a stock: the last window's counts, not the sum over windows.
                found = _largest(seen[-1:] if measure == actors.POSITION else seen, symbol, measure)
                if found:
                    return found
        return ()


def _sentence(anomaly: Anomaly, accounts: tuple[Account, ...]) -> str:
    """E.g. "cancels 172 a second against at most 10 expected; 61% of the cancels from account 117; half of the orders …"."""
    first = [part for part in anomaly.contributions if part.says and part.contribution >= _TOLD * anomaly.score]
    parts = [part.says for part in first[:_MOST_FEATURES]]
    if accounts:
        did = accounts[0].metric.removesuffix("_usd").removesuffix("_lots").replace("_", " ")
        parts.append(f"{accounts[0].share:.0%} of {did} by account {accounts[0].account}")
    return "; ".join((*parts, *anomaly.notes[:1]))


def _asked(anomaly: Anomaly) -> tuple[tuple[int, ...], bool]:
    """(measures to ask for, the first that anybody did anything of; whether the windows before count too)."""
    usual = _OF_FAMILY.get(anomaly.family, ())
    if not anomaly.contributions:
        return usual, False
    first = anomaly.contributions[0]
    metrics = METRICS_OF.get((anomaly.family, first.feature), (first.feature,))
    if not _INTEREST.isdisjoint(metrics):
        below = first.value is not None and first.expected_low is not None and first.value < first.expected_low
        return (_FALLEN if below else usual), False
    asked = next((_OF_METRIC[metric] for metric in metrics if metric in _OF_METRIC), usual)
    return asked, not _LEVELS.isdisjoint(metrics) and not first.feature.endswith("_change_bps")


def _share_of(account: int, windows: list[Actors], symbol: int, measures: tuple[int, ...]) -> tuple[Account, ...]:
    """The account itself, with its share of the first measure of which it was ever among those that did most; else 0."""
    for measure in measures:
        part = sum(float(did.amounts[symbol, measure][did.accounts[symbol, measure] == account].sum()) for did in windows)
        if part > 0.0:
            return (Account(account, _NAMES[measure], part / sum(float(did.whole[symbol, measure]) for did in windows)),)
    return (Account(account, _NAMES[measures[0]], 0.0),)


def _sums(windows: Iterable[Actors], symbol: int, measure: int) -> tuple[dict[int, float], float]:
    """What each account did over the windows, and what all did."""
    parts: dict[int, float] = {}
    whole = 0.0
    for did in windows:
        whole += float(np.nan_to_num(did.whole[symbol, measure]))
        for account, amount in zip(did.accounts[symbol, measure].tolist(), did.amounts[symbol, measure].tolist(), strict=True):
            if account >= 0:
                parts[account] = parts.get(account, 0.0) + amount
    return parts, whole


def _largest(windows: Iterable[Actors], symbol: int, measure: int) -> tuple[Account, ...]:
    parts, whole = _sums(windows, symbol, measure)
    if whole <= 0.0:
        return ()
    first = sorted(parts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_ACCOUNTS]
    return tuple(Account(account, _NAMES[measure], part / whole) for account, part in first)
