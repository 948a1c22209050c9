"""A set of small integers as a three-level bitmap: set, clear, and "largest member not above i" in constant time.

A bit of `mid` says whether a word of `low` has any bit set, a bit of `top` whether a word of `mid` has. With 64-bit words
that reaches 64³ = 262,144 members. All zeros is the empty set, so fresh memory needs no initialisation.

Words and what is shifted or indexed with them are unsigned: Numba turns int64 with uint64 into float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from engine.kernel import wide

MAX_SIZE: Final = 64**3

_ONE: Final = np.uint64(1)
_SIX: Final = np.uint64(6)
_LOW_SIX: Final = np.uint64(63)
_ALL: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_NO_BITS: Final = np.uint64(0)


def bitmap_dtype(size: int) -> np.dtype[np.void]:
    """The record of a set of integers 0 … size-1; `size` is a multiple of 64, at most 64³. Raises ValueError otherwise."""
    if size % 64 or not 64 <= size <= MAX_SIZE:
        raise ValueError(f"a bitmap holds a multiple of 64 from 64 to {MAX_SIZE} members, not {size}")
    words = size // 64
    return np.dtype([("low", "<u8", (words,)), ("mid", "<u8", (-(-words // 64),)), ("top", "<u8")])


@intrinsic
def _count_leading_zeros(_context: Any, word: types.Type) -> tuple[Any, Any]:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], cgutils.true_bit)

    return types.uint64(types.uint64), generate


def highest_bit(word: np.uint64) -> np.uint64:
    """Position 0 … 63 of the highest bit set in `word`, which must not be zero."""
    return np.uint64(int(word).bit_length() - 1)


@overload(highest_bit, strict=False)
def _highest_bit_compiled(word: types.Type) -> Callable[[np.uint64], np.uint64]:
    return lambda word: np.uint64(63) - _count_leading_zeros(word)  # type: ignore[call-arg]


@njit(cache=True, nogil=True)
def insert(bitmap: np.void, i: int) -> None:
    """Put `i` into the set."""
    bit = np.uint64(i)
    low = bit >> _SIX
    mid = low >> _SIX
    bitmap["low"][low] |= _ONE << (bit & _LOW_SIX)
    bitmap["mid"][mid] |= _ONE << (low & _LOW_SIX)
    bitmap["top"] |= _ONE << mid


@njit(cache=True, nogil=True)
def discard(bitmap: np.void, i: int) -> None:
    """Take `i` out of the set, if it is there."""
    bit = np.uint64(i)
    low = bit >> _SIX
    bitmap["low"][low] &= ~(_ONE << (bit & _LOW_SIX))
    if bitmap["low"][low] == _NO_BITS:
        mid = low >> _SIX
        bitmap["mid"][mid] &= ~(_ONE << (low & _LOW_SIX))
        if bitmap["mid"][mid] == _NO_BITS:
            bitmap["top"] &= ~(_ONE << mid)


@njit(cache=True, nogil=True)
def at_or_below(bitmap: np.void, i: int) -> int:
    """The largest member that is not above `i`, or -1."""
    bit = np.uint64(i)
    low = bit >> _SIX
    word = bitmap["low"][low] & (_ALL >> (_LOW_SIX - (bit & _LOW_SIX)))
    if word == _NO_BITS:
        mid = low >> _SIX
        word = bitmap["mid"][mid] & ((_ONE << (low & _LOW_SIX)) - _ONE)
        if word == _NO_BITS:
            word = bitmap["top"] & ((_ONE << mid) - _ONE)
            if word == _NO_BITS:
                return -1
            mid = highest_bit(word)
            word = bitmap["mid"][mid]
        low = (mid << _SIX) | highest_bit(word)
        word = bitmap["low"][low]
    return wide((low << _SIX) | highest_bit(word))
