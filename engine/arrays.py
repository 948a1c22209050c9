"""State as bytes: named NumPy arrays behind a small header. What a snapshot is made of."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import msgspec
import numpy as np


class _Entry(msgspec.Struct, frozen=True):
    name: str
    nbytes: int
    packed: int


def pack_arrays(arrays: Mapping[str, np.ndarray], header: bytes = b"") -> bytes:
    """The arrays' memory and a header as one string. Books are mostly empty, so it is compressed, fast rather than small."""
    packed = [zlib.compress(array.tobytes(), 1) for array in arrays.values()]
    entries = [_Entry(name, array.nbytes, len(data)) for (name, array), data in zip(arrays.items(), packed, strict=True)]
    head = msgspec.msgpack.encode((header, entries))
    return len(head).to_bytes(8, "little") + head + b"".join(packed)


def unpack_arrays(data: bytes, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Fills `arrays`, which have the names and sizes that were packed, and returns the header.

    Raises:
        ValueError: the bytes hold other arrays than these, or none.
    """
    try:
        start = 8 + int.from_bytes(data[:8], "little")
        header, entries = msgspec.msgpack.decode(data[8:start], type=tuple[bytes, list[_Entry]])
    except msgspec.DecodeError as error:
        raise ValueError(f"this is no packed state: {error}") from error
    found = [(entry.name, entry.nbytes) for entry in entries]
    wanted = [(name, array.nbytes) for name, array in arrays.items()]
    if found != wanted:
        raise ValueError(f"the packed state holds {found}, expected {wanted}")
    for entry, array in zip(entries, arrays.values(), strict=True):
        memory = zlib.decompress(data[start : start + entry.packed])
        array.view(np.uint8).reshape(-1)[:] = np.frombuffer(memory, np.uint8)
        start += entry.packed
    return header
