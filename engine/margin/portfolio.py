"""Margin of a whole portfolio: scenario grids of Deribit, OKX and SPAN, and two floors that no offset goes below.

The floors are the point. EMIR article 27 lets at most 80 % of what offsetting saves be saved. The correlation-one row moves
every underlying by its own extreme in the same direction and sets no gain of one underlying against the loss of another,
because in stress a hedge is what fails first: correlations go to one, and forced selling adds covariance of its own (Cont
and Wagalath 2013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import isqrt
from typing import Final, NamedTuple

from engine.exact import Number, exact, not_negative, positive, round_to, share

_DERIBIT_STEPS: Final = 4
_DERIBIT_GRAIN: Final = Fraction(1, 10**9)
_MAINTENANCE_SHARE: Final = Fraction(8, 10)
_OFFSET_SHARE: Final = Fraction(8, 10)
_ROOT_GRAIN: Final = 10**9


class Leg(NamedTuple):
    """A position in a linear instrument: signed notional in quote units, of an underlying."""

    underlying: str
    notional: Number


class Deribit(NamedTuple):
    """`pnl`: of each price move, the same in all three volatility rows, for perpetuals and futures have no vega."""

    pnl: dict[Fraction, Fraction]
    worst: Fraction
    roll: Fraction
    delta: Fraction
    risk_matrix: Fraction
    maintenance: Fraction
    initial: Fraction


def inverse_pnl(size: Number, move: Number) -> Fraction:
    """P&L of an inverse contract in the base currency when the price moves by a share: `q · (1 - 1/(1 + m))`.

    >>> round(float(inverse_pnl("0.314538364", "-0.16")), 10)  # P27
    -0.0599120693
    """
    moved = 1 + exact(move, "move")
    if moved <= 0:
        raise ValueError("move is -1 or less: the price would be 0")
    return exact(size, "size") * (1 - 1 / moved)


def deribit(
    sizes: Sequence[Number],
    price_range: Number,
    min_move: Number,
    *,
    pnl_offset: Number = 0,
    delta_shock: Number = 0,
    mmp: Number = 0,
    open_orders: Number = 0,
) -> Deribit:
    """Deribit's risk matrix of inverse perpetuals and futures on one underlying, in the base currency (`private/pme/simulate`).

    Moves are `±range · i/4`. A gain in a cell counts `pnl_offset` of it. `RiskMatrix = round9(worst) + roll + delta`, where
    the worst loss is rounded to nine decimals before charges are added; `roll = Σ|q| · min move`; `MM = 0.8 · RiskMatrix`;
    `IM = RiskMatrix + mmp + open orders`.

    Args:
        sizes: of each instrument, base units, signed.
        price_range, min_move: shares.
        pnl_offset: share of gains that counts against other underlyings.
        delta_shock: charge for a net delta beyond 20 million USD, base units.
        mmp, open_orders: what market-maker protection and open orders add to the initial margin.

    The example of the official documentation (P27):

    >>> found = deribit(["0.314538364", "-0.001187534"], "0.16", "0.01", mmp="0.06", open_orders="0.000018212")
    >>> [float(found.risk_matrix), float(found.maintenance), round(float(found.initial), 9)]
    [0.06284313098, 0.050274504784, 0.122861343]
    """
    width = share(price_range, "price_range")
    quantities = [exact(size, f"size {number}") for number, size in enumerate(sizes, 1)]
    kept = share(pnl_offset, "pnl_offset")
    pnl = {}
    for i in range(-_DERIBIT_STEPS, _DERIBIT_STEPS + 1):
        move = width * i / _DERIBIT_STEPS
        total = sum((inverse_pnl(size, move) for size in quantities), Fraction(0))
        pnl[move] = total if total <= 0 else total * kept
    worst = max(Fraction(0), -min(pnl.values()))
    roll = sum((abs(size) for size in quantities), Fraction(0)) * share(min_move, "min_move")
    delta = not_negative(delta_shock, "delta_shock")
    matrix = round_to(worst, _DERIBIT_GRAIN, "half_even") + roll + delta
    initial = matrix + not_negative(mmp, "mmp") + not_negative(open_orders, "open_orders")
    return Deribit(pnl, worst, roll, delta, matrix, matrix * _MAINTENANCE_SHARE, initial)


def delta_shock(net_delta_usd: Number, rate: Number, *, free_usd: Number = 20_000_000) -> Fraction:
    """Charge for the part of a net delta beyond 20 million USD, in USD (Deribit)."""
    return max(Fraction(0), abs(exact(net_delta_usd, "net_delta_usd")) - not_negative(free_usd, "free_usd")) * share(
        rate, "rate"
    )


OKX_MOVES: Final[Mapping[str, tuple[Fraction, ...]]] = {
    "major": (Fraction(4, 100), Fraction(8, 100), Fraction(12, 100)),
    "mid": (Fraction(6, 100), Fraction(12, 100), Fraction(18, 100)),
    "other": (Fraction(8, 100), Fraction(16, 100), Fraction(25, 100)),
}
"""MR1, January 2025: BTC and ETH, mid caps, others; both signs and 0."""

EXTREMES: Final[Mapping[str, Fraction]] = {"major": Fraction(24, 100), "mid": Fraction(36, 100), "other": Fraction(50, 100)}
"""MR6, and the correlation-one row."""

OKX_BASIS: Final[Mapping[str, Fraction]] = {"major": Fraction(5, 100), "mid": Fraction(15, 100), "other": Fraction(30, 100)}
"""MR4: annual widening of the basis."""

OKX_CHARGES: Final = (1, 2, 4, 6, 8, 10, 12)
"""MR7: factors of the minimum charge, rising with its size."""


class Okx(NamedTuple):
    """OKX's risk units in quote units; `maintenance` is the largest of MR1 + MR4, MR6 and MR7."""

    mr1: Fraction
    mr4: Fraction
    mr6: Fraction
    mr7: Fraction
    maintenance: Fraction


def okx(perpetual: Number, dated: Sequence[tuple[Number, Number]], kind: str, charge: Number, floors: Sequence[Number]) -> Okx:
    """OKX portfolio margin of one underlying (January 2025).

    Args:
        perpetual: signed notional of spot and perpetual.
        dated: (signed notional, years to expiry) of futures.
        kind: `major`, `mid` or `other`.
        charge: minimum charge of closing everything, quote units, before its factor.
        floors: charges from which the second and each further factor of `OKX_CHARGES` holds.
    """
    if kind not in OKX_MOVES:
        raise ValueError(f"kind is {kind!r}, it must be one of {', '.join(OKX_MOVES)}")
    futures = [(exact(notional, "dated notional"), not_negative(years, "years")) for notional, years in dated]
    net = exact(perpetual, "perpetual") + sum((notional for notional, _ in futures), Fraction(0))
    mr1 = abs(net) * max(OKX_MOVES[kind])
    # The basis widens against each future that something else hedges.
    mr4 = sum((abs(notional) * years for notional, years in futures), Fraction(0)) * OKX_BASIS[kind]
    mr6 = abs(net) * EXTREMES[kind]
    least = not_negative(charge, "charge")
    factor = OKX_CHARGES[min(len(OKX_CHARGES) - 1, sum(least >= exact(floor, "floor") for floor in floors))]
    mr7 = least * factor
    return Okx(mr1, mr4, mr6, mr7, max(mr1 + mr4, mr6, mr7))


class Span(NamedTuple):
    """P&L of a long of one contract in the scenarios; `requirement` is the largest loss."""

    scenarios: tuple[Fraction, ...]
    requirement: Fraction


def span(scan: Number, extreme: Number, *, unit: Number = 10) -> Span:
    """SPAN's scenarios of a futures contract: price 0, ±1/3, ±2/3, ±3/3 with volatility up and down, and ±extreme, covered
    in part.

    Args:
        scan: price scan range of a contract, money.
        extreme: what of the extreme move's loss is covered, money.
        unit: scenarios are rounded to multiples of this.

    S&P with 10,000 and 7,000 (P28):

    >>> found = span(10_000, 7_000)
    >>> sorted({int(pnl) for pnl in found.scenarios if pnl > 0}), int(found.requirement)
    ([3330, 6670, 7000, 10000], 10000)
    """
    width, covered = positive(scan, "scan"), not_negative(extreme, "extreme")
    steps = [round_to(width * third / 3, unit, "half_even") for third in range(4)]
    rows = [Fraction(0), Fraction(0)]
    for step in steps[1:]:
        rows += [step, step, -step, -step]  # each with volatility up and down, which moves no future
    rows += [covered, -covered]
    return Span(tuple(rows), -min(rows))


def emir_floor(standalone: Number, combined: Number, *, offset_share: Number = _OFFSET_SHARE) -> Fraction:
    """`Σ - 80 % · (Σ - combined)`: the least that a portfolio must hold (Regulation 153/2013, article 27).

    >>> int(emir_floor(100, 20))
    36
    """
    total, together = not_negative(standalone, "standalone"), not_negative(combined, "combined")
    return total - share(offset_share, "offset_share") * max(Fraction(0), total - together)


def correlation_one(legs: Sequence[Leg], extremes: Mapping[str, Number], basis: Mapping[str, Number]) -> Fraction:
    """Loss of the row in which every underlying moves together by its own extreme, the worse direction.

    Legs of one underlying net, but the basis widens against each hedge: `min(longs, shorts) · basis`. No underlying's gain
    is set against another's loss.
    """
    longs, shorts = _sides(legs)
    down = up = widening = Fraction(0)
    for name in longs:
        net = longs[name] - shorts[name]
        move = share(extremes[name], f"extreme of {name!r}")
        down += max(Fraction(0), net) * move
        up += max(Fraction(0), -net) * move
        widening += min(longs[name], shorts[name]) * share(basis[name], f"basis of {name!r}")
    return max(down, up) + widening


class Portfolio(NamedTuple):
    """Every component of a portfolio's margin, quote units, and the one that binds."""

    standalone: Fraction
    combined: Fraction
    combined_stressed: Fraction
    emir_floor: Fraction
    correlation_one: Fraction
    margin: Fraction
    binding: str


def portfolio_margin(
    legs: Sequence[Leg],
    moves: Mapping[str, Number],
    extremes: Mapping[str, Number],
    basis: Mapping[str, Number],
    correlation: Mapping[tuple[str, str], Number],
    stressed: Number,
) -> Portfolio:
    """Margin of a cross portfolio: variance form at the given and at the stressed correlation, above both floors.

    `combined² = Σ ρ_ij · L_i · L_j` with `L_i` the signed loss of an underlying at its move. The stressed correlation is
    `max(ρ, ρ_stress)` for every pair; the larger of both results counts, for a hedge is better off with more correlation.

    Args:
        legs: positions.
        moves, extremes, basis: by underlying, shares.
        correlation: by pair of underlyings, in either order.
        stressed: ρ_stress.

    Raises:
        ValueError: an underlying or pair that is missing, or a correlation outside -1 to 1.
    """
    longs, shorts = _sides(legs)
    for table, what in ((moves, "moves"), (extremes, "extremes"), (basis, "basis")):
        missing = sorted(set(longs) - set(table))
        if missing:
            raise ValueError(f"{what} has no {', '.join(missing)}")
    lost = {name: (longs[name] - shorts[name]) * share(moves[name], f"move of {name!r}") for name in longs}
    standalone = sum((abs(loss) for loss in lost.values()), Fraction(0))
    least = exact(stressed, "stressed")
    if not -1 <= least <= 1:
        raise ValueError(f"stressed is {least}, it must be from -1 to 1")
    combined = _combined(lost, correlation, Fraction(-1))
    combined_stressed = _combined(lost, correlation, least)
    floor = emir_floor(standalone, min(standalone, max(combined, combined_stressed)))
    row = correlation_one(legs, extremes, basis)
    parts = {
        "combined": combined, "combined_stressed": combined_stressed, "emir_floor": floor, "correlation_one": row
    }  # fmt: skip
    binding = max(parts, key=lambda name: parts[name])
    return Portfolio(standalone, combined, combined_stressed, floor, row, parts[binding], binding)


def _sides(legs: Sequence[Leg]) -> tuple[dict[str, Fraction], dict[str, Fraction]]:
    longs: dict[str, Fraction] = {}
    shorts: dict[str, Fraction] = {}
    for leg in legs:
        notional = exact(leg.notional, f"notional of {leg.underlying!r}")
        for side in (longs, shorts):
            side.setdefault(leg.underlying, Fraction(0))
        (longs if notional > 0 else shorts)[leg.underlying] += abs(notional)
    return longs, shorts


def _combined(lost: Mapping[str, Fraction], correlation: Mapping[tuple[str, str], Number], least: Fraction) -> Fraction:
    """The variance form, its root rounded up to nine decimals."""
    total = Fraction(0)
    for one in lost:
        for other in lost:
            rho = Fraction(1)
            if one != other:
                pair = correlation.get((one, other), correlation.get((other, one)))
                if pair is None:
                    raise ValueError(f"correlation has no pair {one!r}, {other!r}")
                rho = exact(pair, f"correlation of {one!r} and {other!r}")
                if not -1 <= rho <= 1:
                    raise ValueError(f"correlation of {one!r} and {other!r} is {rho}, it must be from -1 to 1")
                rho = max(rho, least)
            total += rho * lost[one] * lost[other]
    if total <= 0:
        return Fraction(0)  # correlations that no portfolio can have
    scaled = total * _ROOT_GRAIN**2
    root = isqrt(scaled.numerator // scaled.denominator)
    return Fraction(root + (root * root < scaled), _ROOT_GRAIN)
