"""The memory of a book: capacities, the record of an order and of a book, and the allocation of books.

A book is one NumPy structured record with nested arrays, because compiled code then holds one pointer and no reference counts.
`engine.book` has the functions on it.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from engine.id_index import FIRST_WORDS
from engine.ladder import NO_KEY, ladder_dtype

MAX_PRICE: Final = 2**62 - 1
"""Highest price in ticks; twice a price is still an int64."""

MAX_QTY: Final = 2**63 - 1
"""Highest quantity in lots, of one order and of all orders of a side together."""

_CACHE_LINE: Final = 64


class Capacity(msgspec.Struct, frozen=True):
    """What one book can hold. Each capacity is a record type of its own: kernels compile once for each that is used."""

    name: str
    ladder_ticks: int
    """Ticks of the window around the touch, each side: a power of two from 64 to 262,144."""
    orders: int
    """Resting orders, both sides together; aggregated levels of an L2 feed count as orders."""
    ids: int
    """Entries of the id index: a power of two, at least twice `orders` so that probes stay short."""
    far_levels: int
    """Price levels outside the window, each side."""
    triggers: int
    """Conditional and timed orders, where a book is matched; a rebuilt book has none."""


SMALL: Final = Capacity("small", ladder_ticks=1024, orders=2048, ids=4096, far_levels=512, triggers=512)
"""0.2 MB a book: many thinly populated symbols."""

MEDIUM: Final = Capacity("medium", ladder_ticks=8192, orders=32_768, ids=65_536, far_levels=4096, triggers=4096)
"""3 MB a book: a busy symbol of the built-in venue, a recorded equity."""

LARGE: Final = Capacity("large", ladder_ticks=65_536, orders=262_144, ids=524_288, far_levels=16_384, triggers=16_384)
"""24 MB a book (touched only as it fills): a full-depth feed with a fine tick."""

ORDER_DTYPE: Final = np.dtype(
    [
        ("order_id", "<i8"),
        ("account", "<i8"),
        ("price", "<i8"),
        ("qty", "<i8"),
        ("ts_ns", "<i8"),
        ("next", "<u4"),
        ("prev", "<u4"),
        ("side", "u1"),
        # The next three are for a book that is matched: `engine.market`.
        ("state", "u1"),
        ("stp", "u1"),
        ("reserved", "u1", (11,)),  # to a cache line; a gap without a name would make copies differ in its bytes
        ("flags", "<u2"),
    ]
)
"""One resting order. `qty` is what it displays, `ts_ns` when it entered; `next` and `prev` link its level's queue (0: none)."""


def book_dtype(capacity: Capacity) -> np.dtype[np.void]:
    """The record of one book. Raises ValueError where the capacity is not possible."""
    if capacity.ids & (capacity.ids - 1) or capacity.ids < 2 * capacity.orders or not 1 <= capacity.orders < 2**31:
        raise ValueError(f"capacity {capacity.name}: ids must be a power of two and at least twice orders")
    fields: list[tuple[str, object, tuple[int, ...]]] = [
        ("orders", ORDER_DTYPE, (capacity.orders + 1,)),  # slot 0 is no order: links to it need no branch
        ("ts_ns", "<i8", ()),  # the time of the last op or event
        ("free", "<u4", ()),  # head of the free list, linked by `next`
        ("used", "<u4", ()),  # slots ever used: fresh memory needs no free list
        ("sides", ladder_dtype(capacity.ladder_ticks, capacity.far_levels), (2,)),
        ("index_mask", "<u8", ()),
        ("indexed", "<u8", ()),
        ("index", "<u8", (capacity.ids,)),
    ]
    size = np.dtype(fields).itemsize
    fields.append(("padding", "u1", (-size % _CACHE_LINE,)))
    return np.dtype(fields)


def new_books(capacity: Capacity, n: int) -> np.ndarray:
    """`n` empty books, shape [n], aligned so that an order is one cache line. Memory is touched only as books fill."""
    dtype = book_dtype(capacity)
    memory = np.zeros(n * dtype.itemsize + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    books = memory[start : start + n * dtype.itemsize].view(dtype)
    books["sides"]["touch"] = NO_KEY
    books["index_mask"] = min(FIRST_WORDS, capacity.ids) - 1
    return books
