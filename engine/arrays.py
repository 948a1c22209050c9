"""State as bytes: named NumPy arrays behind a small header. What a snapshot is made of."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import msgspec
import numpy as np


class _Entry(msgspec.Struct, frozen=True):
    name: str
    layout: str
    packed: int


def pack_arrays(arrays: Mapping[str, np.ndarray], header: bytes = b"") -> bytes:
    """The memory of the arrays (contiguous ones) and a header as one string.

    Books are mostly empty, so it is compressed, fast rather than small.
    """
    packed = [zlib.compress(_memory(array).data, 1) for array in arrays.values()]
    entries = [_Entry(name, _layout(array), len(data)) for (name, array), data in zip(arrays.items(), packed, strict=True)]
    head = msgspec.msgpack.encode((header, entries))
    return b"".join([len(head).to_bytes(8, "little"), head, *packed])


def unpack_arrays(data: bytes, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Fills `arrays`, which have the names, types and shapes that were packed, and returns the header.

    Raises:
        ValueError: the bytes hold other arrays than these, or none. Damage is found too, but only after arrays were filled.
    """
    try:
        start = 8 + int.from_bytes(data[:8], "little")
        header, entries = msgspec.msgpack.decode(data[8:start], type=tuple[bytes, list[_Entry]])
        # By type, not by size alone: a program whose records have other fields would read sense into each byte.
        found = {entry.name: entry.layout for entry in entries}
        wanted = {name: _layout(array) for name, array in arrays.items()}
        if found != wanted:
            other = sorted(name for name in found | wanted if found.get(name) != wanted.get(name))
            raise ValueError(f"the packed state is not of the expected shape: {', '.join(other)}")
        for entry in entries:
            memory = zlib.decompress(data[start : start + entry.packed])
            _memory(arrays[entry.name])[:] = np.frombuffer(memory, np.uint8)
            start += entry.packed
    except (msgspec.DecodeError, zlib.error) as error:
        raise ValueError(f"this is no packed state: {error}") from error
    return header


def _memory(array: np.ndarray) -> np.ndarray:
    assert array.flags.c_contiguous, "what is filled would be a copy"
    return array.view(np.uint8).reshape(-1)


def _layout(array: np.ndarray) -> str:
    return f"{array.dtype}{array.shape}"
