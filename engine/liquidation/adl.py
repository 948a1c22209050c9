"""Auto-deleveraging: whose profitable position is closed against one that nobody takes. Exact, with ties by account."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import Literal, NamedTuple

from engine.exact import Number, exact, positive

Rank = Literal["bitmex", "hyperliquid", "pro_rata"]

_FIRST = Fraction(10**30)
"""The effective leverage of who is beyond bankruptcy: before everybody."""


class Candidate(NamedTuple):
    """A position on the other side. Money in any one unit.

    `lots` > 0, `value` > 0 at the mark, `cost` > 0 what was paid for it, `is_long`, `equity` of what is margined with it.
    """

    account: int
    lots: int
    value: int
    cost: int
    is_long: bool
    equity: int


def profit_share(candidate: Candidate) -> Fraction:
    """Open profit over cost; below 0 for a loss."""
    gain = candidate.value - candidate.cost
    return Fraction(gain if candidate.is_long else -gain, max(1, candidate.cost))


def bitmex_score(candidate: Candidate) -> Fraction:
    """PnL% x effective leverage, PnL% / effective leverage for a loss; leverage is |MV| / (MV - bankrupt value) (BitMEX).

    The market value beyond the bankrupt value is the equity behind the position.
    """
    leverage = Fraction(candidate.value, candidate.equity) if candidate.equity > 0 else _FIRST
    share = profit_share(candidate)
    return share * leverage if share >= 0 else share / max(leverage, Fraction(1, 10**9))


def hyperliquid_score(candidate: Candidate) -> Fraction:
    """`(mark / entry) · (notional / account value)` for a long, with entry over mark for a short (Hyperliquid)."""
    moved = (
        Fraction(candidate.value, max(1, candidate.cost))
        if candidate.is_long
        else Fraction(candidate.cost, max(1, candidate.value))
    )
    return moved * (Fraction(candidate.value, candidate.equity) if candidate.equity > 0 else _FIRST)


def quintiles(lots: Sequence[Number]) -> list[int]:
    """Lights of the ADL indicator by rank, 1 to 5: `ceil(cumulative share · 5)` (BitMEX).

    >>> [20 * light for light in quintiles([10, 20, 30, 10, 10, 20])]  # P38, per cent
    [20, 40, 60, 80, 80, 100]
    """
    sizes = [positive(size, "lots") for size in lots]
    total, so_far, lights = sum(sizes), Fraction(0), []
    for size in sizes:
        so_far += size
        lights.append(ceil(so_far / exact(total) * 5))
    return lights


def deleverage(needed: int, candidates: Sequence[Candidate], rank: Rank) -> list[tuple[int, int]]:
    """(account, lots) that close `needed` lots, in the order in which they are closed; together less if there are not as many.

    Only who is in profit is deleveraged.

    Args:
        needed: lots, above 0.
        candidates: positions on the other side.
        rank: `bitmex` and `hyperliquid` take the highest score first and whole, `pro_rata` from everybody by lots.
    """
    if needed <= 0:
        raise ValueError(f"needed is {needed} lots, it must be above zero")
    winners = [candidate for candidate in candidates if profit_share(candidate) > 0]
    if rank == "pro_rata":
        return _pro_rata(needed, sorted(winners, key=lambda candidate: candidate.account))
    score = bitmex_score if rank == "bitmex" else hyperliquid_score
    taken, left = [], needed
    for candidate in sorted(winners, key=lambda candidate: (-score(candidate), candidate.account)):
        lots = min(left, candidate.lots)
        if lots > 0:
            taken.append((candidate.account, lots))
            left -= lots
    return taken


def _pro_rata(needed: int, winners: list[Candidate]) -> list[tuple[int, int]]:
    """By largest remainder, ties to the lower account."""
    total = sum(candidate.lots for candidate in winners)
    wanted = min(needed, total)
    if wanted == 0:
        return []
    shares = [divmod(wanted * candidate.lots, total) for candidate in winners]
    lots = [whole for whole, _ in shares]
    by_rest = sorted(range(len(winners)), key=lambda i: (-shares[i][1], winners[i].account))
    for i in by_rest[: wanted - sum(lots)]:
        lots[i] += 1
    return [(candidate.account, size) for candidate, size in zip(winners, lots, strict=True) if size > 0]
