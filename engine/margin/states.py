"""Where an account stands: the uniMMR levels by equity over maintenance margin, with hysteresis (RISK-SPEC 5 and 9, Binance).

A level is entered at its threshold at once. It is left for a better one only when the ratio has stood above the threshold times
one plus the hysteresis for the dwell time without a break. A missing price makes the level UNKNOWN, which hides the level held
and does not reset it. Without a requirement an account is FREE, or at CLAIM where its equity is negative.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
import numpy as np
from numba import njit

from engine.contract import MICRO, AccountLevel

_NEVER: Final = -1
_FREE: Final = int(AccountLevel.FREE)
_CLAIM: Final = int(AccountLevel.CLAIM)
_UNKNOWN: Final = int(AccountLevel.UNKNOWN)


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `[states]` of a pack. Ratios of equity over maintenance margin in ppm.

    Attributes:
        remind_ppm, reduce_only_ppm, liquidate_ppm, claim_ppm: a level holds from this ratio downwards.
        hysteresis_ppm: a level is left above its threshold times one plus this, held …
        dwell_s: … for so long.
    """

    remind_ppm: int = 1_500_000
    reduce_only_ppm: int = 1_200_000
    liquidate_ppm: int = 1_050_000
    claim_ppm: int = 1_000_000
    hysteresis_ppm: int = 100_000
    dwell_s: int = 60

    def __post_init__(self) -> None:
        ladder = [self.remind_ppm, self.reduce_only_ppm, self.liquidate_ppm, self.claim_ppm]
        if ladder[3] < 1 or ladder[0] > 100 * MICRO or ladder != sorted(ladder, reverse=True):
            raise ValueError(
                f"states: 100000000 >= remind_ppm >= reduce_only_ppm >= liquidate_ppm >= claim_ppm >= 1 must hold, not {ladder}"
            )
        if not 0 <= self.hysteresis_ppm <= MICRO:
            raise ValueError(f"states.hysteresis_ppm is {self.hysteresis_ppm}, it must be from 0 to {MICRO}")
        if not 0 <= self.dwell_s <= 86_400:
            raise ValueError(f"states.dwell_s is {self.dwell_s}, it must be from 0 to 86400")


class AccountState(NamedTuple):
    """`level` is what is held, whether it can be seen or not; `better_since_ns` when the ratio began to stand above it, or
    -1."""

    level: AccountLevel = AccountLevel.FREE
    better_since_ns: int = _NEVER
    is_known: bool = True

    @property
    def shown(self) -> AccountLevel:
        """The level that holds: UNKNOWN while a price is missing."""
        return self.level if self.is_known else AccountLevel.UNKNOWN


def step(
    state: AccountState,
    equity: int | None,
    requirement: int,
    now_ns: int,
    thresholds: Thresholds,
    *,
    at_equality: bool = True,
) -> AccountState:
    """The next state.

    Args:
        state: before.
        equity: micro-units; None where a price that it rests on is missing or stale.
        requirement: maintenance margin, micro-units, not negative.
        now_ns: not before the last step.
        at_equality: a ratio at a threshold counts as below it.

    >>> low = step(AccountState(), 104, 100, 0, Thresholds())
    >>> low.level.name, step(low, 170, 100, 10**9, Thresholds()).level.name
    ('LIQUIDATE', 'LIQUIDATE')
    >>> step(step(low, 170, 100, 10**9, Thresholds()), 170, 100, 61 * 10**9, Thresholds()).level.name
    'FREE'
    """
    if equity is None:
        return state._replace(is_known=False, better_since_ns=_NEVER)
    row = np.zeros(1, LEVEL_DTYPE)
    row["held"], row["better_since_ns"] = state.level, state.better_since_ns
    marks = np.array([[equity], [requirement]], np.int64)
    step_all(row, marks[0], marks[1], np.ones(1, np.uint8), now_ns, limits(thresholds), at_equality)
    return AccountState(AccountLevel(int(row["held"][0])), int(row["better_since_ns"][0]))


LEVEL_DTYPE: Final = np.dtype([("level", "<i8"), ("held", "<i8"), ("better_since_ns", "<i8")])
"""`level` is the one that holds, UNKNOWN included; `held` the one behind it. A new record must have `better_since_ns` -1 or
0."""


def limits(thresholds: Thresholds) -> np.ndarray:
    """The thresholds as `step_all` takes them: int64 [9], the four, the four with hysteresis, the dwell time in nanoseconds."""
    four = [thresholds.remind_ppm, thresholds.reduce_only_ppm, thresholds.liquidate_ppm, thresholds.claim_ppm]
    raised = [limit * (MICRO + thresholds.hysteresis_ppm) // MICRO for limit in four]
    return np.array([*four, *raised, thresholds.dwell_s * 1_000_000_000], np.int64)


@njit(cache=True, nogil=True)
def step_all(
    levels: np.ndarray,
    equity: np.ndarray,
    needed: np.ndarray,
    sure: np.ndarray,
    now_ns: int,
    limits: np.ndarray,
    at_equality: bool,
) -> None:
    """Makes one step of every account: LEVEL_DTYPE [A], int64 [A] micro-units twice, uint8 [A] (0: a price is missing)."""
    for a in range(len(levels)):
        row = levels[a]
        if not sure[a]:
            row["level"] = _UNKNOWN
            row["better_since_ns"] = _NEVER
            continue
        now = level_at(equity[a], needed[a], limits, 0, at_equality)
        calm = level_at(equity[a], needed[a], limits, 4, at_equality)
        row["held"] = max(row["held"], now)
        if calm >= row["held"]:
            row["better_since_ns"] = _NEVER
        else:
            if row["better_since_ns"] == _NEVER:
                row["better_since_ns"] = now_ns
            if now_ns - row["better_since_ns"] >= limits[8]:
                row["held"] = calm
                row["better_since_ns"] = _NEVER
        row["level"] = row["held"]


@njit(cache=True, nogil=True)
def level_at(equity: int, needed: int, limits: np.ndarray, first: int, at_equality: bool) -> int:
    """The level of a ratio, by the thresholds (`first` 0) or by those with hysteresis (4)."""
    if needed == 0:
        return _FREE if equity >= 0 else _CLAIM
    for k in range(3, -1, -1):
        limit = at_ppm(needed, limits[first + k])
        if equity < limit or (equity == limit and (at_equality or needed % MICRO * limits[first + k] % MICRO != 0)):
            return k + 1
    return _FREE


@njit(cache=True, nogil=True)
def at_ppm(amount: int, ppm: int) -> int:
    """`floor(amount · ppm / 10**6)`, in two parts, so that it needs no 128 bits. `amount` not negative."""
    return amount // MICRO * ppm + amount % MICRO * ppm // MICRO
