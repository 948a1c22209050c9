"""What the market knows of an account, and section 8: its bucket of tokens and its bans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engine.contract import OpFlag, OpKind, Reason

NEW, AMEND, QUOTE = int(OpKind.NEW), int(OpKind.AMEND), int(OpKind.QUOTE)
REDUCING = int(OpFlag.REDUCE_ONLY | OpFlag.CLOSE_POSITION)
NONE, THROTTLED, BANNED = int(Reason.NONE), int(Reason.THROTTLED), int(Reason.BANNED)


class Throttle(Protocol):
    """Times in nanoseconds."""

    interval_ns: int
    burst: int
    order: int
    reduce_only: int
    cancel: int
    ban_after: int
    ban_first_ns: int
    ban_longest_ns: int


@dataclass(slots=True)
class Account:
    tat: int = 0
    retry: int = 0
    ignored: int = 0
    bans: int = 0
    banned_until: int = 0
    deadline: int = 0
    """Of the dead man's switch; 0 is off."""
    cancel_at_end: bool = False
    """The session was opened with CANCEL_ON_DISCONNECT."""

    def admit(self, now: int, tokens: int, throttle: Throttle) -> tuple[int, int]:
        """(reason, retry-after): NONE and 0 where an op of that weight may go on."""
        if not tokens or not throttle.interval_ns:
            return NONE, 0
        if now < self.banned_until:
            return BANNED, self.banned_until - now
        if now < self.retry:
            self.ignored += 1
            if self.ignored != throttle.ban_after:
                return THROTTLED, self.retry - now
            if now - self.banned_until >= throttle.ban_longest_ns:
                self.bans = 0
            self.bans += 1
            length = min(throttle.ban_first_ns * 2 ** (self.bans - 1), throttle.ban_longest_ns)
            self.banned_until = now + length
            self.ignored = self.retry = 0
            return BANNED, length
        full_again = max(self.tat, now) + tokens * throttle.interval_ns
        wait = full_again - now - throttle.burst * throttle.interval_ns
        if wait > 0:
            self.retry = now + wait
            return THROTTLED, wait
        self.tat = full_again
        self.ignored = 0
        return NONE, 0


def weight(kind: int, flags: int, first_leg: bool, throttle: Throttle) -> int:
    """Tokens that an op costs; `first_leg` is looked at for QUOTE."""
    if kind == QUOTE:
        return throttle.order if first_leg else 0
    if kind == NEW:
        return throttle.reduce_only if flags & REDUCING else throttle.order
    return throttle.order if kind == AMEND else throttle.cancel
