"""Verdict levels, and the one state machine with hysteresis that every rule goes through.

Pure: no clock (time is the window's end), no IO, nothing learnt.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

NS_PER_S: Final = 1_000_000_000


class Level(IntEnum):
    """What a rule says. UNKNOWN is no place on the scale: its input is missing, and that is never OK."""

    UNKNOWN = -1
    OK = 0
    WARN = 1
    BREACH = 2
    HALT = 3

    @property
    def word(self) -> str:
        return self.name.lower()


class Thresholds(msgspec.Struct, frozen=True):
    """Values at which a rule enters WARN, BREACH and HALT, and how it leaves them.

    `halt` None: the value alone never halts. `halt_after_ns` > 0: BREACH held that long becomes HALT.
    """

    warn: float
    breach: float
    halt: float | None
    halt_after_ns: int
    hysteresis: float
    dwell_ns: int
    halt_min_ns: int

    def entered(self, value: float) -> Level:
        """The highest level whose threshold `value` reaches."""
        if self.halt is not None and value >= self.halt:
            return Level.HALT
        if value >= self.breach:
            return Level.BREACH
        return Level.WARN if value >= self.warn else Level.OK

    def kept(self, value: float, below: Level) -> Level:
        """The highest level under `below` that `value` is still too high to leave."""
        for level, threshold in ((Level.BREACH, self.breach), (Level.WARN, self.warn)):
            if level < below and value >= threshold * (1.0 - self.hysteresis):
                return level
        return Level.OK

    def limit(self, level: Level) -> float:
        """The threshold to show beside `level`: the one that was entered, or the next one to come."""
        if level == Level.HALT and self.halt is not None:
            return self.halt
        return self.breach if level >= Level.BREACH else self.warn


class RuleState(msgspec.Struct, frozen=True):
    """Where a rule stands for one symbol.

    `held` is the level the state machine stands at; while the input is missing, `level` says UNKNOWN and `held` is
    remembered, so that a breach cannot be washed to OK by an input that goes away for a moment.
    """

    level: Level
    held: Level
    since_ns: int
    held_since_ns: int
    calm_since_ns: int | None
    """Since when the value has been low enough to leave `held`; None while it is not."""


START: Final = RuleState(level=Level.UNKNOWN, held=Level.OK, since_ns=0, held_since_ns=0, calm_since_ns=None)


def advance(state: RuleState, value: float | None, at: Thresholds, now_ns: int) -> RuleState:
    """The state after one window that ended at `now_ns` with `value` (None: missing).

    Up at once. Down only after the value stayed below threshold × (1 − hysteresis) for the dwell time, without a
    missing window in between. HALT also wants its least duration to have passed; a missing value never ends it.
    """
    if value is None:
        shown = Level.HALT if state.held == Level.HALT else Level.UNKNOWN
        return RuleState(shown, state.held, _since(state, shown, now_ns), state.held_since_ns, None)

    entered = at.entered(value)
    held, held_since, calm_since = state.held, state.held_since_ns, state.calm_since_ns
    if entered > held:
        held, held_since, calm_since = entered, now_ns, None
    elif held > Level.OK:
        if _may_leave(held, value, at):
            calm_since = now_ns if calm_since is None else calm_since
            rested = now_ns - calm_since >= at.dwell_ns
            served = held != Level.HALT or now_ns - held_since >= at.halt_min_ns
            if rested and served:
                held, held_since, calm_since = at.kept(value, held), now_ns, None
        else:
            calm_since = None
    if held == Level.BREACH and at.halt_after_ns > 0 and calm_since is None and now_ns - held_since >= at.halt_after_ns:
        held, held_since = Level.HALT, now_ns
    return RuleState(held, held, _since(state, held, now_ns), held_since, calm_since)


def _may_leave(held: Level, value: float, at: Thresholds) -> bool:
    # A halt that came from staying at BREACH has no threshold of its own: it is left as a breach is.
    threshold = at.warn if held == Level.WARN else at.halt if held == Level.HALT and at.halt is not None else at.breach
    return value < threshold * (1.0 - at.hysteresis)


def _since(state: RuleState, level: Level, now_ns: int) -> int:
    return state.since_ns if level == state.level and state.since_ns else now_ns
