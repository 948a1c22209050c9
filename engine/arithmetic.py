"""Multiply and divide through 128 bits, for products of scaled 64-bit integers do not fit in them; and the fold of hashes."""

from __future__ import annotations

import numpy as np
from numba import njit

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_TOP = np.uint64(63)


@njit(cache=True, nogil=True)
def mul_div_floor(a: int, b: int, c: int) -> int:
    """`floor(a * b / c)` for 64-bit signed `a` and `b` and positive `c`, exact for any product.

    Raises:
        OverflowError: the quotient does not fit in a signed 64-bit integer.
        ValueError: `c` is not positive.

    >>> mul_div_floor(-7, 10**18, 2 * 10**18)
    -4
    """
    if c <= 0:
        raise ValueError("the divisor must be positive")
    negative = (a < 0) != (b < 0)
    # abs() of the smallest integer wraps to itself, and read as unsigned it is then right.
    x, y, d = np.uint64(abs(np.int64(a))), np.uint64(abs(np.int64(b))), np.uint64(c)
    x1, x0, y1, y0 = x >> _HALF, x & _LOW, y >> _HALF, y & _LOW
    low = x0 * y0
    middle = x1 * y0 + (low >> _HALF)
    cross = x0 * y1 + (middle & _LOW)
    high = x1 * y1 + (middle >> _HALF) + (cross >> _HALF)
    low = (cross << _HALF) | (low & _LOW)
    if high >= d:
        raise OverflowError("the quotient does not fit in 64 bits")
    if high == _ZERO:
        quotient, rest = low // d, low % d
    else:
        quotient, rest = _ZERO, high
        for _ in range(64):
            # d is below 2**63, so the remainder's shift loses no bit.
            rest = (rest << _ONE) | (low >> _TOP)
            low = low << _ONE
            quotient = quotient << _ONE
            if rest >= d:
                rest -= d
                quotient |= _ONE
    if negative and rest != _ZERO:
        quotient += _ONE
    if quotient > np.uint64(2**63 - 1):
        raise OverflowError("the quotient does not fit in 64 bits")
    result: int = -np.int64(quotient) if negative else np.int64(quotient)  # type: ignore[assignment]
    return result


@njit(cache=True, nogil=True)
def fold(h: np.uint64, value: int) -> np.uint64:
    """`z ^ (z >> 32)` with `z = (h ^ value) * 0xFF51AFD7ED558CCD` modulo 2**64: one step of every state hash."""
    h = (h ^ np.uint64(value)) * np.uint64(0xFF51AFD7ED558CCD)
    return h ^ (h >> np.uint64(32))
