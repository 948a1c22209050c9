"""The price levels of one side of a book: a window of ticks around the touch, and a sorted table of the levels beyond it.

Prices appear here as *keys*, which are larger the better they are: a bid's key is its price, an ask's key is minus its
price. Both sides then share every line of code, and the touch is the level with the largest key.

**Window.** Keys `base … base + ticks - 1` have a level each, stored as a ring (slot = key modulo `ticks`, a power of two),
so that moving the window moves no level that stays inside. A bitmap over the slots finds the next level.

**Far table.** Levels below the window (stub quotes, old orders that the market left behind) lie in a table sorted by key,
best last. They are worse than every level in the window, so the touch is always in the window.

**Anchoring.** These three rules are part of the book's defined behaviour, because the far table has a size and an order is
refused when its level finds no place. `room` is a quarter of the window, the room kept above a touch:

1. The first level of an empty side at key k sets `base = k - ticks + room`.
2. So does a level above the window. Window levels that are then below `base` move to the far table, if all of them fit.
3. When the touch closes and the best key k that is left is less than `base + room`, `base` becomes `k - ticks + room`, and
   the far levels that are then in the window move in.

A level's slot is good until the next level opens or closes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from engine.bitmap import at_or_below, bitmap_dtype, discard, insert

NO_KEY: Final = -(2**63)
"""The key of "no level": worse than every key, so that "the touch is at least as good as a limit" is one comparison."""

NO_LEVEL: Final = -1
"""The slot of a level that has no place."""

LEVEL_DTYPE: Final = np.dtype([("lots", "<i8"), ("head", "<u4"), ("tail", "<u4")])
"""Lots displayed, and the first and last order of the queue (order slots; 0 and 0 where the level is closed)."""


def ladder_dtype(ticks: int, far_levels: int) -> np.dtype[np.void]:
    """The record of one side. `ticks` is a power of two from 64 to 262,144. Raises ValueError otherwise."""
    if ticks & (ticks - 1) or far_levels < 1:
        raise ValueError(f"a ladder has a power of two of ticks and at least one far level, not {ticks} and {far_levels}")
    return np.dtype(
        [
            ("touch", "<i8"),  # the best key, or NO_KEY
            ("base", "<i8"),
            ("lots", "<i8"),  # all levels together; the book keeps it below 2**63, so no sum over levels overflows
            ("far_count", "<i8"),
            ("bitmap", bitmap_dtype(ticks)),
            ("far_keys", "<i8", (far_levels,)),
            ("levels", LEVEL_DTYPE, (ticks + far_levels,)),  # the window's ring, then the far table
        ]
    )


@njit(cache=True, nogil=True)
def window_ticks(ladder: np.void) -> int:
    """The size of the window, a constant of the record's type."""
    ticks: int = ladder["levels"].shape[0] - ladder["far_keys"].shape[0]
    return ticks


@njit(cache=True, nogil=True)
def window_slot(ladder: np.void, key: int) -> int:
    """The slot of a key that lies in the window; the touch always does."""
    return key & (window_ticks(ladder) - 1)


@njit(cache=True, nogil=True)
def find_level(ladder: np.void, key: int) -> int:
    """The slot of `key`'s level, which may be a closed one of the window, or NO_LEVEL."""
    offset = key - ladder["base"]
    if 0 <= offset < window_ticks(ladder):
        return window_slot(ladder, key)
    if offset < 0:
        at = _far_position(ladder, key)
        if at < ladder["far_count"] and ladder["far_keys"][at] == key:
            return window_ticks(ladder) + at
    return NO_LEVEL


@njit(cache=True, nogil=True)
def next_key(ladder: np.void, key: int) -> int:
    """The best key worse than `key` that has an open level, in the window or far, or NO_KEY."""
    below = _next_in_window(ladder, key)
    if below == NO_KEY and ladder["far_count"] > 0:
        at = _far_position(ladder, key)
        if at > 0:
            below = ladder["far_keys"][at - 1]
    return below


@njit(cache=True, nogil=True)
def open_level(ladder: np.void, key: int) -> int:
    """The slot of `key`'s level, opened if it was closed. The caller puts an order into it.

    Returns NO_LEVEL, with nothing changed, where the far table has no room.
    """
    ticks = window_ticks(ladder)
    if key > ladder["touch"]:
        if ladder["touch"] == NO_KEY:
            ladder["base"] = _base_for(ladder, key)
        elif key - ladder["base"] >= ticks and not _raise_window(ladder, _base_for(ladder, key)):
            return NO_LEVEL
        ladder["touch"] = key
    if key < ladder["base"]:
        return _open_far(ladder, key)
    slot = window_slot(ladder, key)
    insert(ladder["bitmap"], slot)
    return slot


@njit(cache=True, nogil=True)
def close_level(ladder: np.void, key: int, slot: int) -> None:
    """Close the level of `key` at `slot`, whose queue is empty."""
    ticks = window_ticks(ladder)
    if slot >= ticks:
        _remove_far(ladder, slot - ticks)
        return
    discard(ladder["bitmap"], slot)
    if key == ladder["touch"]:
        touch = next_key(ladder, key)
        ladder["touch"] = touch
        if touch != NO_KEY and touch - ladder["base"] < ticks // 4:
            _lower_window(ladder, _base_for(ladder, touch))


@njit(cache=True, nogil=True)
def _base_for(ladder: np.void, touch: int) -> int:
    ticks = window_ticks(ladder)
    return touch - (ticks - ticks // 4)


@njit(cache=True, nogil=True)
def _next_in_window(ladder: np.void, key: int) -> int:
    ticks = window_ticks(ladder)
    highest = min(key - ladder["base"], ticks) - 1  # the offset to search down from
    if highest < 0:
        return NO_KEY
    slot = at_or_below(ladder["bitmap"], window_slot(ladder, ladder["base"] + highest))
    if slot < 0:
        slot = at_or_below(ladder["bitmap"], ticks - 1)
        if slot < 0:
            return NO_KEY
    # The search runs down the ring's slots. It may pass the window's lower end and find a slot of its upper end instead.
    offset = (slot - ladder["base"]) & (ticks - 1)
    below: int = ladder["base"] + offset if offset <= highest else NO_KEY
    return below


@njit(cache=True, nogil=True)
def _far_position(ladder: np.void, key: int) -> int:
    """How many far keys are worse than `key`."""
    low, high = 0, ladder["far_count"]
    while low < high:
        middle = (low + high) // 2
        if ladder["far_keys"][middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _open_far(ladder: np.void, key: int) -> int:
    ticks = window_ticks(ladder)
    keys, levels, count = ladder["far_keys"], ladder["levels"], ladder["far_count"]
    at = _far_position(ladder, key)
    if at < count and keys[at] == key:
        return ticks + at
    if count == keys.shape[0]:
        return NO_LEVEL
    for i in range(count, at, -1):
        keys[i] = keys[i - 1]
        _move_level(levels, ticks + i - 1, ticks + i)
    keys[at] = key
    _blank_level(levels, ticks + at)
    ladder["far_count"] = count + 1
    return ticks + at


@njit(cache=True, nogil=True)
def _remove_far(ladder: np.void, at: int) -> None:
    ticks = window_ticks(ladder)
    keys, levels, count = ladder["far_keys"], ladder["levels"], ladder["far_count"] - 1
    for i in range(at, count):
        keys[i] = keys[i + 1]
        _move_level(levels, ticks + i + 1, ticks + i)
    ladder["far_count"] = count


@njit(cache=True, nogil=True)
def _raise_window(ladder: np.void, base: int) -> bool:
    """Move the window up to `base`; False, with nothing changed, where the levels that leave find no room."""
    ticks = window_ticks(ladder)
    highest = _next_in_window(ladder, base)
    leaving = 0
    key = highest
    while key != NO_KEY:
        leaving += 1
        key = _next_in_window(ladder, key)
    count = ladder["far_count"] + leaving
    if count > ladder["far_keys"].shape[0]:
        return False
    key = highest
    for at in range(count - 1, count - 1 - leaving, -1):
        slot = window_slot(ladder, key)
        ladder["far_keys"][at] = key
        _move_level(ladder["levels"], slot, ticks + at)
        _blank_level(ladder["levels"], slot)
        discard(ladder["bitmap"], slot)
        key = _next_in_window(ladder, key)
    ladder["far_count"] = count
    ladder["base"] = base
    return True


@njit(cache=True, nogil=True)
def _lower_window(ladder: np.void, base: int) -> None:
    """Move the window down to `base`. What leaves at its upper end is above the touch, so it is closed."""
    ticks = window_ticks(ladder)
    ladder["base"] = base
    while ladder["far_count"] > 0:
        at = ladder["far_count"] - 1
        key = ladder["far_keys"][at]
        if key < base:
            return
        slot = window_slot(ladder, key)
        _move_level(ladder["levels"], ticks + at, slot)
        insert(ladder["bitmap"], slot)
        ladder["far_count"] = at


@njit(cache=True, nogil=True)
def _move_level(levels: np.ndarray, source: int, target: int) -> None:
    levels[target]["lots"] = levels[source]["lots"]
    levels[target]["head"] = levels[source]["head"]
    levels[target]["tail"] = levels[source]["tail"]


@njit(cache=True, nogil=True)
def _blank_level(levels: np.ndarray, slot: int) -> None:
    levels[slot]["lots"] = 0
    levels[slot]["head"] = 0
    levels[slot]["tail"] = 0
