"""Loss socialisation: a shortfall that no fund covers is taken from the winners, in proportion to what they won (Vega)."""

from __future__ import annotations

from collections.abc import Sequence


def socialise(shortfall: int, gains: Sequence[int]) -> list[int]:
    """What each of the winners pays, in the order of `gains`: integers that add up to the shortfall, or to all gains if they
    are less.

    Nobody pays more than it won. What rounding leaves goes by largest remainder, ties to the earlier.

    Args:
        shortfall: not negative.
        gains: not negative, in the same unit.

    >>> socialise(3_000, [8_000, 80])  # P39
    [2970, 30]
    """
    if shortfall < 0 or any(gain < 0 for gain in gains):
        raise ValueError("shortfall and gains must not be negative")
    total = sum(gains)
    paid = min(shortfall, total)
    if paid == 0:
        return [0] * len(gains)
    shares = [divmod(paid * gain, total) for gain in gains]
    result = [whole for whole, _ in shares]
    by_rest = sorted(range(len(gains)), key=lambda i: (-shares[i][1], i))
    for i in by_rest[: paid - sum(result)]:
        result[i] += 1
    return result
