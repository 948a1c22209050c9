"""Anomalies that belong together: one event over families, symbols and accounts, and whether it is worth an alert.

A line belongs to the event of the lines before it of its own symbol and family, those of its accounts included
(`EVENT_GAP_NS`). A *strong* line (`STRONG`) may also belong to one that is under way elsewhere:

- of the same symbol, another family: cancels burst, and then the book thins;
- of another symbol, if the same account is behind both;
- of another symbol in the same family, if so many symbols speak within seconds that it is the market (`TOGETHER`), or if a line
  of the market itself is in it.

Sharing the time alone joins nothing: at any moment something is a little unusual somewhere. Weak lines join nothing else
either, or a panel of forty cells would be one event for ever. A line gets its event when it comes and keeps it: what was said
is not taken back. So two events that turn out to be one stay two.

**The rate of an event** is the Cauchy combination of its members' lowest rates, over as many cells as the panel has symbols and
families (those that said nothing count as one half): the probability that a window of the whole panel looks so unusual by
chance. **An alert** is an event whose rate, of the lines that nothing explains, is below

    budget a day · `WINDOWS_AN_EVENT` / windows a day:

so many windows a day pass that by chance, in events of so many windows each. The threshold follows from the budget alone.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, Protocol, TypeVar

import msgspec

from models.anomaly import LAYERS
from models.detectors.kinds import CONTEXT

SCHEMA_VERSION: Final = 1

EVENT_GAP_NS: Final = 30_000_000_000
"""Lines of one symbol and family no further apart than this are one event; so long an event is under way."""
STRONG: Final = 1e-3
"""Rate from which on a line may join another symbol's or family's event."""
SHARE: Final = 0.3
"""Share of what a line is about from which on an account is behind it."""
TOGETHER_NS: Final = 5_000_000_000
TOGETHER: Final = 3
"""So many symbols with strong lines of one family within `TOGETHER_NS` are the market."""
WINDOWS_AN_EVENT: Final = 1.7
"""Windows at a rate of 1e-3 that an event of quiet data has, on average (simulated venue, tuning seeds)."""
DAY_NS: Final = 86_400_000_000_000
MOST_MEMBERS: Final = 64
"""Members an event keeps apart; the lines of further ones count, and their number is told."""
MOST_OPEN: Final = 1024
"""Events under way at most: the one that has been silent for longest gives way."""

MARKET: Final = "market"

Cell = tuple[str, str, str]


class _Account(Protocol):
    @property
    def account(self) -> int: ...
    @property
    def share(self) -> float: ...


class Line(Protocol):
    """What is read of an anomaly line with its evidence."""

    @property
    def window_start_ns(self) -> int: ...
    @property
    def window_end_ns(self) -> int: ...
    @property
    def symbol(self) -> str: ...
    @property
    def account(self) -> int | str | None: ...
    @property
    def family(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def expected(self) -> str: ...
    @property
    def false_alarm_rate(self) -> float: ...
    @property
    def accounts(self) -> tuple[Any, ...]: ...


L = TypeVar("L", bound=Line)


class Member(msgspec.Struct, frozen=True):
    """What one family said of one symbol, or of an account in it, within an event.

    `first_ns` and `last_ns` are ends of windows; `lag_ms` how long after the event's first line it spoke; `false_alarm_rate`
    its lowest, `explained` whether every line of it was to be expected or is context.
    """

    family: str
    symbol: str
    account: int | str | None
    kind: str
    first_ns: int
    last_ns: int
    lag_ms: int
    lines: int
    false_alarm_rate: float
    explained: bool


class Event(msgspec.Struct, frozen=True):
    """One event as it stands: its members in the order in which they spoke, the account that they share, if one does.

    `false_alarm_rate` is of a window of the whole panel; `alert` says whether it is below `alert_rate`, by the lines that
    nothing explains; `unlisted_members` how many more members there are than are kept apart. A line of `events.jsonl`.
    """

    event: str
    layer: str
    first_ns: int
    last_ns: int
    members: tuple[Member, ...]
    unlisted_members: int
    account: int | str | None
    lines: int
    false_alarm_rate: float
    alert: bool
    alert_rate: float
    alert_number: int
    """Which alert of its day it is, from 1; 0 if it is none."""
    over_budget: bool
    """Whether the day's budget was spent before it. It is an alert all the same."""
    v: int = SCHEMA_VERSION


class _Open:
    """An event under way. Rates are kept as cotangents, of which the Cauchy combination is a mean."""

    def __init__(self, event: str, first_ns: int) -> None:
        self.event = event
        self.first_ns = first_ns
        self.last_ns = first_ns
        self.strong_ns: int | None = None
        self.members: dict[Cell, Member] = {}
        self.unlisted: set[Cell] = set()
        self.best: dict[Cell, float] = {}
        self.accounts: dict[str, int | str] = {}
        self.lines = 0
        self.alert_number = 0
        self.over_budget = False


class Correlator:
    """Gives lines their events, as they come, and says what became of each event.

    Lines must come in the order of their windows' ends. The same lines give the same events however they are cut; the state is
    bounded and can be pickled. `budget` is the number of false alerts a day that is accepted for each symbol.
    """

    def __init__(self, symbols: int, step_ns: int, budget: float) -> None:
        self._step_ns = step_ns
        self._cells = max(1, symbols) * len(LAYERS)
        self._budget = budget * max(1, symbols)
        self.alert_rate = min(0.5, self._budget * WINDOWS_AN_EVENT * step_ns / DAY_NS)
        self._open: dict[str, _Open] = {}
        self._of_cell: dict[tuple[str, str], str] = {}
        self._recent: deque[tuple[int, str, str]] = deque()
        self._newest_ns = 0
        self._day = -1
        self._alerts = 0

    def assign(self, lines: Iterable[L]) -> tuple[list[L], list[Event]]:
        """The lines with their `event`, in the order given, and every event that they changed, in the order of its last line.

        Raises ValueError for a line of a window that ends before one already seen.
        """
        done: list[L] = []
        changed: dict[str, _Open] = {}
        for line in lines:
            found = self._take(line)
            done.append(msgspec.structs.replace(line, event=found.event))  # type: ignore[type-var]
            # Those that have closed meanwhile are told too: what is told must not depend on where lines are cut.
            changed.pop(found.event, None)
            changed[found.event] = found
        return done, [self._told(event) for event in changed.values()]

    def _take(self, line: Line) -> _Open:
        end_ns = line.window_end_ns
        if end_ns < self._newest_ns:
            raise ValueError(
                f"{line.family} {line.symbol}: a window that ends at {end_ns} came after one that ends at {self._newest_ns}; "
                "give lines in the order of their windows"
            )
        if end_ns > self._newest_ns:
            self._newest_ns = end_ns
            self._close_old(end_ns)
        cell = (line.family, line.symbol, "" if line.account is None else str(line.account))
        strong = line.false_alarm_rate <= STRONG
        if strong:
            self._recent.append((end_ns, line.family, line.symbol))
        found = self._event_of(line, cell, strong)
        self._note(found, line, cell, strong)
        return found

    def _close_old(self, now_ns: int) -> None:
        old = [event for event, open_ in self._open.items() if now_ns - open_.last_ns > EVENT_GAP_NS]
        if len(self._open) - len(old) >= MOST_OPEN:
            left = sorted((open_.last_ns, event) for event, open_ in self._open.items() if event not in set(old))
            old += [event for _, event in left[: len(left) - MOST_OPEN + 1]]
        for event in old:
            for cell in (*self._open[event].members, *self._open[event].unlisted):
                if self._of_cell.get(cell[:2]) == event:
                    del self._of_cell[cell[:2]]
            del self._open[event]
        while self._recent and now_ns - self._recent[0][0] > TOGETHER_NS:
            self._recent.popleft()

    def _event_of(self, line: Line, cell: Cell, strong: bool) -> _Open:
        own = self._open.get(self._of_cell.get(cell[:2], ""))
        if own is not None and line.window_end_ns - self._last_of(own, cell) > EVENT_GAP_NS:
            own = None
        if not strong or (own is not None and own.strong_ns is not None):
            return own or self._new(line, cell)
        behind = {_name(account) for account in _behind(line)}
        speaking = {symbol for _, family, symbol in self._recent if family == line.family}
        for other in self._open.values():
            if other.strong_ns is None or line.window_end_ns - other.strong_ns > EVENT_GAP_NS:
                continue
            symbols = {member.symbol for member in other.members.values() if member.false_alarm_rate <= STRONG}
            families = {member.family for member in other.members.values() if member.false_alarm_rate <= STRONG}
            if line.symbol in symbols or behind & other.accounts.keys():
                return other
            if line.family in families and (line.family == MARKET or len(speaking) >= TOGETHER):
                return other
        return own or self._new(line, cell)

    @staticmethod
    def _last_of(event: _Open, cell: Cell) -> int:
        same = [one.last_ns for one in event.members.values() if (one.family, one.symbol) == cell[:2]]
        return max(same, default=event.last_ns)

    def _new(self, line: Line, cell: Cell) -> _Open:
        name = f"{cell[0]}-{cell[1]}-{line.window_end_ns // self._step_ns}"
        return self._open.setdefault(name, _Open(name, line.window_end_ns))

    def _note(self, event: _Open, line: Line, cell: Cell, strong: bool) -> None:
        self._of_cell[cell[:2]] = event.event
        end_ns, rate = line.window_end_ns, line.false_alarm_rate
        explained = bool(line.expected) or line.kind in CONTEXT
        event.last_ns = end_ns
        event.lines += 1
        if strong:
            event.strong_ns = end_ns
            event.accounts.update((_name(account), account) for account in _behind(line))
        before = event.members.get(cell)
        if before is not None:
            best = rate < before.false_alarm_rate
            event.members[cell] = msgspec.structs.replace(
                before,
                last_ns=end_ns,
                lines=before.lines + 1,
                false_alarm_rate=min(rate, before.false_alarm_rate),
                kind=line.kind if best else before.kind,
                explained=before.explained and explained,
            )
        elif len(event.members) < MOST_MEMBERS:
            event.members[cell] = Member(
                line.family, line.symbol, line.account, line.kind, end_ns, end_ns, (end_ns - event.first_ns) // 1_000_000, 1,
                rate, explained,
            )  # fmt: skip
        else:
            event.unlisted.add(cell)
        if not explained:
            event.best[cell] = min(rate, event.best.get(cell, 1.0))
            self._alert(event, end_ns)

    def _alert(self, event: _Open, end_ns: int) -> None:
        if event.alert_number or self._combined(event.best.values()) > self.alert_rate:
            return
        day = end_ns // DAY_NS
        if day != self._day:
            self._day, self._alerts = day, 0
        self._alerts += 1
        event.alert_number = self._alerts
        event.over_budget = self._alerts > self._budget

    def _combined(self, rates: Iterable[float]) -> float:
        """The Cauchy combination of these and of one half in each of the panel's other cells."""
        mean = math.fsum(1.0 / math.tan(math.pi * max(min(rate, 0.5), 1e-300)) for rate in rates) / self._cells
        return 0.5 - math.atan(mean) / math.pi if mean < 1e8 else 1.0 / (math.pi * mean)

    def _told(self, event: _Open) -> Event:
        members = tuple(sorted(event.members.values(), key=lambda one: (one.first_ns, one.false_alarm_rate, one.symbol)))
        shared = next(iter(event.accounts.values())) if len(event.accounts) == 1 else None
        return Event(
            event=event.event,
            layer=LAYERS.get(members[0].family, "execution"),
            first_ns=event.first_ns,
            last_ns=event.last_ns,
            members=members,
            unlisted_members=len(event.unlisted),
            account=shared,
            lines=event.lines,
            false_alarm_rate=self._combined(one.false_alarm_rate for one in members),
            alert=event.alert_number > 0,
            alert_rate=self.alert_rate,
            alert_number=event.alert_number,
            over_budget=event.over_budget,
        )


def _behind(line: Line) -> list[int | str]:
    """The accounts behind a line: its own, or those with a large part of what it is about."""
    if line.account is not None:
        return [line.account]
    return [each.account for each in line.accounts if each.share >= SHARE]


def _name(account: int | str) -> str:
    return str(account)
