"""Order id -> order slot: open addressing with linear probing, in an array of 64-bit words.

A word holds the upper half of the id's hash beside the slot (0: the word is free). A probe compares half hashes first and
asks the order itself only when they agree, so a miss rarely leaves the table. Deletion shifts the following entries back
instead of leaving tombstones: a book that lives through a billion orders probes as short as a new one.

Of the book's `index` only the first `index_mask + 1` words are in use, at most half of them taken; their number doubles as
the book fills. A table for the orders that are there fits into the cache, where one for all that could be there does not.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from engine.kernel import wide
from engine.prefetch import prefetch_item

FIRST_WORDS: Final = 1024
"""Words of a new book's table, if its capacity has as many."""

_SLOT_BITS: Final = np.uint64(32)
_SLOT_MASK: Final = np.uint64(0xFFFF_FFFF)
_FREE: Final = np.uint64(0)
_ONE: Final = np.uint64(1)
_MULTIPLIER_1: Final = np.uint64(0xFF51AFD7ED558CCD)  # both from MurmurHash3's 64-bit finaliser
_MULTIPLIER_2: Final = np.uint64(0xC4CEB9FE1A85EC53)
_HALF: Final = np.uint64(32)


@njit(cache=True, nogil=True)
def half_hash(order_id: int) -> np.uint64:
    """32 well-mixed bits of an id: runs, strides and ids that carry an account in their upper bits all spread."""
    h = np.uint64(order_id)
    h = (h ^ (h >> _HALF)) * _MULTIPLIER_1
    h = (h ^ (h >> _HALF)) * _MULTIPLIER_2
    return h >> _HALF


@njit(cache=True, nogil=True)
def find(book: np.void, order_id: int) -> tuple[np.uint64, np.uint64]:
    """(position in the index, order slot) of an id; slot 0 if it is not there, and then the position is where to `put` it."""
    index, orders, mask = book["index"], book["orders"], book["index_mask"]
    h = half_hash(order_id)
    position = h & mask
    while True:
        word = index[position]
        if word == _FREE:
            return position, _FREE
        if word >> _SLOT_BITS == h:
            slot = word & _SLOT_MASK
            if orders[slot]["order_id"] == order_id:
                return position, slot
        position = (position + _ONE) & mask


@njit(cache=True, nogil=True)
def expect(book: np.void, order_id: int) -> None:
    """Asks for the memory that `find` will read first."""
    prefetch_item(book["index"], wide(half_hash(order_id) & book["index_mask"]))


@njit(cache=True, nogil=True)
def put(book: np.void, position: np.uint64, order_id: int, slot: np.uint64) -> None:
    """Write an entry at the free position that `find` returned, with no other change in between. Positions may then change."""
    book["index"][position] = (half_hash(order_id) << _SLOT_BITS) | slot
    book["indexed"] += 1
    words = book["index_mask"] + _ONE
    if book["indexed"] + book["indexed"] > words and wide(words) < book["index"].shape[0]:
        _grow(book, wide(words))


@njit(cache=True, nogil=True)
def _grow(book: np.void, words: int) -> None:
    """Doubles the table, which has `words` words."""
    index = book["index"]
    entries = index[:words].copy()
    index[:words] = _FREE
    mask = np.uint64(2 * words - 1)
    book["index_mask"] = mask
    for i in range(words):
        if entries[i] != _FREE:
            position = (entries[i] >> _SLOT_BITS) & mask
            while index[position] != _FREE:
                position = (position + _ONE) & mask
            index[position] = entries[i]


@njit(cache=True, nogil=True)
def remove(book: np.void, position: np.uint64) -> None:
    """Free a position, moving back the entries that probed past it."""
    index, mask = book["index"], book["index_mask"]
    book["indexed"] -= 1
    hole = position
    while True:
        position = (position + _ONE) & mask
        word = index[position]
        if word == _FREE:
            break
        home = (word >> _SLOT_BITS) & mask
        # Its probe starts at `home`: it may move into the hole unless that lies before the start.
        if (position - home) & mask >= (position - hole) & mask:
            index[hole] = word
            hole = position
    index[hole] = _FREE
