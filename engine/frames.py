"""A batch of ops as one frame of the journal, and back.

    mark | checksum | count of ops | number of the first op | widths | the first op | columns

What a journal costs is bytes to write, and most bytes of a batch say nothing new. An op is words of four bytes; of each word
the frame holds a column with its difference (exclusive or) to the first op's word, in as few bytes as the largest needs: 0,
1, 2 or 4, which `widths` tells in two bits a word. So an op takes 20 to 30 bytes in ordinary flow, not 80, and whatever
bytes the ops hold come back. Columns are padded with zeros to a multiple of four bytes.

The checksum is XXH3 over all that follows it, seeded by the segment: a frame of another segment is no frame of this one.
"""

from __future__ import annotations

import mmap
import struct
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from xxhash import xxh3_64_intdigest

from engine.contract import OP_DTYPE

MARK: Final = b"OPS\x00"

_PREFIX: Final = struct.Struct("<4sQ")
_HEAD: Final = struct.Struct("<IQQ")
_HEAD_BYTES: Final = _PREFIX.size + _HEAD.size
_HEAD_WORDS: Final = _HEAD_BYTES // 4
_WORDS: Final = OP_DTYPE.itemsize // 4
_LOW_BITS: Final = 0x5555_5555_5555_5555
assert OP_DTYPE.itemsize % 8 == 0, "ops are compared in words of eight bytes"
assert _WORDS <= 32, "a frame's head has room for the widths of 32 words"


class Frame(NamedTuple):
    """A whole frame within a segment's bytes: `ops` ops from number `first_op` on; bytes `start` to `end` hold them."""

    first_op: int
    ops: int
    widths: int
    start: int
    end: int


class Encoder:
    """Encodes batches for one segment into memory of its own, which is used again."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._room = np.zeros(0, np.uint32)
        self._bytes = memoryview(b"")

    def encode(self, ops: np.ndarray, first_op: int) -> memoryview:
        """The frame of a batch that is not empty (OP_DTYPE [n]); it stays until the next call."""
        pairs = np.frombuffer(np.ascontiguousarray(ops), np.uint64)
        most = _HEAD_WORDS + _WORDS * (len(ops) + 1)
        if most > len(self._room):
            self._room = np.zeros(2 * most, np.uint32)
            self._bytes = self._room.data.cast("B")
        end, widths = _encode(pairs, self._room)
        _HEAD.pack_into(self._bytes, _PREFIX.size, len(ops), first_op, widths)
        checksum = xxh3_64_intdigest(self._bytes[_PREFIX.size : 4 * end], self._seed)
        _PREFIX.pack_into(self._bytes, 0, MARK, checksum)
        return self._bytes[: 4 * end]


def frame_at(data: mmap.mmap | bytes, offset: int, seed: int) -> Frame | None:
    """The whole frame that starts at byte `offset`, or None: cut short, damaged, or of another segment."""
    start = offset + _HEAD_BYTES
    if start > len(data):
        return None
    mark, checksum = _PREFIX.unpack_from(data, offset)
    count, first_op, widths = _HEAD.unpack_from(data, offset + _PREFIX.size)
    if mark != MARK or count == 0 or widths >> 2 * _WORDS:
        return None
    low, high = widths & _LOW_BITS, widths >> 1 & _LOW_BITS
    ones, twos, fours = (low & ~high).bit_count(), (high & ~low).bit_count(), (low & high).bit_count()
    end = start + 4 * (_WORDS + ones * ((count + 3) // 4) + twos * ((count + 1) // 2) + fours * count)
    if end > len(data) or xxh3_64_intdigest(memoryview(data)[offset + _PREFIX.size : end], seed) != checksum:
        return None
    return Frame(first_op, count, widths, start, end)


def decode(data: mmap.mmap | bytes, frame: Frame) -> np.ndarray:
    """The ops of a frame of `data`, as they were (OP_DTYPE [n])."""
    ops = np.empty(frame.ops, OP_DTYPE)
    _decode(np.frombuffer(data, np.uint32, (frame.end - frame.start) // 4, frame.start), frame.widths, ops.view(np.uint32))
    return ops


@njit(cache=True, nogil=True)
def _encode(pairs: np.ndarray, out: np.ndarray) -> tuple[int, int]:
    """Writes the first op and the columns behind the place of the head. `pairs` are the ops as words of eight bytes.

    Returns (words of the frame, widths).
    """
    words, out16, out8 = pairs.view(np.uint32), out.view(np.uint16), out.view(np.uint8)
    count = len(words) // _WORDS
    out[_HEAD_WORDS : _HEAD_WORDS + _WORDS] = words[:_WORDS]
    at = _HEAD_WORDS + _WORDS
    widths = 0
    for j in range(_WORDS):
        if j % 2 == 0:
            # Two words at once: looking at all of them costs more than writing those that change.
            pair = pairs[j // 2 :: _WORDS // 2]
            varying = np.uint64(0)
            for i in range(count):
                varying |= pair[i] ^ pair[0]
        else:
            varying >>= np.uint64(32)
        bits = np.uint32(varying)
        if bits == 0:
            continue
        column, first = words[j::_WORDS], words[j]
        if bits < 1 << 8:
            widths |= 1 << 2 * j
            length = (count + 3) // 4
            out[at + length - 1] = 0
            column8 = out8[4 * at : 4 * at + count]
            for i in range(count):
                column8[i] = column[i] ^ first
        elif bits < 1 << 16:
            widths |= 2 << 2 * j
            length = (count + 1) // 2
            out[at + length - 1] = 0
            column16 = out16[2 * at : 2 * at + count]
            for i in range(count):
                column16[i] = column[i] ^ first
        else:
            widths |= 3 << 2 * j
            length = count
            column32 = out[at : at + count]
            for i in range(count):
                column32[i] = column[i] ^ first
        at += length
    return at, widths


@njit(cache=True, nogil=True)
def _decode(data: np.ndarray, widths: int, words: np.ndarray) -> None:
    """Fills `words` with the ops whose first op and columns are `data`."""
    data16, data8 = data.view(np.uint16), data.view(np.uint8)
    count = len(words) // _WORDS
    at = _WORDS
    for j in range(_WORDS):
        first, column = data[j], words[j::_WORDS]
        width = widths >> 2 * j & 3
        if width == 0:
            column[:] = first
        elif width == 1:
            column8 = data8[4 * at : 4 * at + count]
            for i in range(count):
                column[i] = column8[i] ^ first
            at += (count + 3) // 4
        elif width == 2:
            column16 = data16[2 * at : 2 * at + count]
            for i in range(count):
                column[i] = column16[i] ^ first
            at += (count + 1) // 2
        else:
            column32 = data[at : at + count]
            for i in range(count):
                column[i] = column32[i] ^ first
            at += count
