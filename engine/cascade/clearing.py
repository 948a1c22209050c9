"""Who pays whom after a shock: the clearing vector of Eisenberg and Noe ("Systemic risk in financial systems", 2001).

Nobody pays more than he has (limited liability), nobody keeps anything while he owes (priority), creditors of one debtor are
paid in proportion. The greatest such vector is found by the fictitious default algorithm: in each round those who cannot pay
although all others do are in default, and what the rest then pays is solved anew. It ends after at most as many rounds as
there are members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from engine.exact import Number, exact, not_negative


class Cleared(NamedTuple):
    """By member, in quote units, exact.

    `paid`: of what it owes. `equity`: what is left to it. `defaults`: members that cannot pay in full, and the round (from 1)
    in which they fell: later ones are dragged down by earlier ones.
    """

    paid: tuple[Fraction, ...]
    equity: tuple[Fraction, ...]
    defaults: Mapping[int, int]


def clear(owed: Sequence[Sequence[Number]], assets: Sequence[Number]) -> Cleared:
    """The greatest clearing vector.

    Args:
        owed: [n][n], what member i owes to member j, not negative; nobody owes himself.
        assets: [n], what each has besides what others owe it, not negative: a loss beyond that is a debt to somebody.

    Raises:
        ValueError: a table that is not square, or a debt or asset that is none.

    Two owe each other, and the first owes a third more than it has:

    >>> found = clear([[0, 10, 10], [5, 0, 0], [0, 0, 0]], [5, 10, 0])
    >>> [float(paid) for paid in found.paid], [float(left) for left in found.equity], found.defaults
    ([10.0, 5.0, 0.0], [0.0, 10.0, 5.0], {0: 1})
    """
    count = len(assets)
    if len(owed) != count or any(len(row) != count for row in owed):
        raise ValueError(f"owed must be {count} x {count}, a row and a column for each of the assets")
    debts = [[not_negative(amount, f"owed[{i}][{j}]") for j, amount in enumerate(row)] for i, row in enumerate(owed)]
    has = [not_negative(amount, f"assets[{i}]") for i, amount in enumerate(assets)]
    for i in range(count):
        if debts[i][i]:
            raise ValueError(f"owed[{i}][{i}] is {debts[i][i]}, nobody owes himself")
    total = [sum(row, Fraction(0)) for row in debts]
    paid = list(total)
    defaults: dict[int, int] = {}
    for number in range(1, count + 1):
        fallen = [i for i in range(count) if i not in defaults and has[i] + _received(debts, total, paid, i) < total[i]]
        if not fallen:
            break
        defaults |= dict.fromkeys(fallen, number)
        paid = _solved(debts, total, has, sorted(defaults))
    equity = [has[i] + _received(debts, total, paid, i) - paid[i] for i in range(count)]
    return Cleared(tuple(paid), tuple(equity), defaults)


class Settled(NamedTuple):
    """What settling a shock at once, without a liquidation, comes to; quote units.

    `owed` and `paid`: by those who lose. `shortfall`: the difference. `fund_paid`: what the insurance fund adds.
    `winners_share`: what winners get of what they won. `cannot_pay`: how many.
    """

    owed: Fraction
    paid: Fraction
    shortfall: Fraction
    fund_paid: Fraction
    winners_share: Fraction
    cannot_pay: int


def settle_at_once(before: Sequence[Number], after: Sequence[Number], fund: Number) -> Settled:
    """Clears a venue that stands between all: who lost owes it, and it owes who won; others outside make the sums equal.

    All who cannot pay give all they have, so they are one member of the system, and so are those who can.

    Args:
        before: equity of each before the shock; who has none has nothing to pay with.
        after: at the prices after it, be it negative.
        fund: equity of the insurance fund, at most all of it is paid.
    """
    pairs = [(exact(was, "before"), exact(now, "after")) for was, now in zip(before, after, strict=True)]
    lost = [(max(Fraction(0), was), was - now) for was, now in pairs if now < was]
    poor = [(has, owes) for has, owes in lost if owes > has]
    rich = [(has, owes) for has, owes in lost if owes <= has]
    won = sum((now - was for was, now in pairs if now > was), Fraction(0))
    outside = sum((was - now for was, now in pairs), Fraction(0))
    debts = [sum((owes for _, owes in group), Fraction(0)) for group in (poor, rich)]
    has = [sum((has for has, _ in group), Fraction(0)) for group in (poor, rich)]
    zero = Fraction(0)
    owed = [
        [zero, zero, debts[0], zero, zero],
        [zero, zero, debts[1], zero, zero],
        [zero, zero, zero, won, max(zero, outside)],
        [zero] * 5,
        [zero, zero, max(zero, -outside), zero, zero],
    ]
    reserve = max(zero, exact(fund, "fund"))
    found = clear(owed, [has[0], has[1], reserve, zero, max(zero, -outside)])
    paid = found.paid[0] + found.paid[1]
    due = won + max(zero, outside)
    return Settled(
        owed=debts[0] + debts[1],
        paid=paid,
        shortfall=debts[0] + debts[1] - paid,
        fund_paid=max(zero, reserve - found.equity[2]),
        winners_share=found.paid[2] / due if due else Fraction(1),
        cannot_pay=len(poor),
    )


def _received(debts: list[list[Fraction]], total: list[Fraction], paid: list[Fraction], i: int) -> Fraction:
    return sum((paid[j] * debts[j][i] / total[j] for j in range(len(paid)) if total[j]), Fraction(0))


def _solved(debts: list[list[Fraction]], total: list[Fraction], has: list[Fraction], fallen: list[int]) -> list[Fraction]:
    """Payments if exactly `fallen` pay all they have, and the rest in full: a linear system, by elimination, in Fractions."""
    place = {i: n for n, i in enumerate(fallen)}
    rows = []
    for i in fallen:
        fixed = has[i] + sum((debts[j][i] for j in range(len(has)) if j not in place), Fraction(0))
        rows.append([Fraction(i == j) - debts[j][i] / total[j] for j in fallen] + [fixed])
    for n in range(len(rows)):
        pivot = next((m for m in range(n, len(rows)) if rows[m][n]), None)
        if pivot is None:
            continue  # a ring that only owes itself: it pays nothing, as it has nothing
        rows[n], rows[pivot] = rows[pivot], rows[n]
        rows[n] = [cell / rows[n][n] for cell in rows[n]]
        for m in range(len(rows)):
            if m != n and rows[m][n]:
                factor = rows[m][n]
                rows[m] = [a - factor * b for a, b in zip(rows[m], rows[n], strict=True)]
    return [rows[place[i]][-1] if i in place else total[i] for i in range(len(has))]
