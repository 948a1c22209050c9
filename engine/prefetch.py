"""Asking for memory before it is needed: what an op will touch is known some ops ahead, and a miss costs as much as an op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload


def _ask(builder: Any, pointer: Any) -> None:
    """Writes the instruction: for writing, to be kept in all caches, data."""
    address = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    number = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
    function = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
    builder.call(function, [address, number(1), number(3), number(1)])


@intrinsic
def _prefetch_item(_context: Any, array: types.Type, _index: types.Type) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        made = context.make_array(kind)(context, builder, args[0])
        _ask(builder, cgutils.get_item_pointer(context, builder, kind, made, [args[1]], wraparound=False))  # type: ignore[no-untyped-call]
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def _prefetch_record(_context: Any, record: types.Type) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _ask(builder, args[0])
        return context.get_dummy_value()

    return types.void(record), generate


def prefetch_item(array: np.ndarray, index: int) -> None:
    """Asks for the cache line of `array[index]`, which must be there. Does nothing where the engine is not compiled."""


def prefetch_record(record: np.void) -> None:
    """Asks for a record's first cache line. Does nothing where the engine is not compiled."""


@overload(prefetch_item, strict=False)
def _prefetch_item_compiled(array: types.Type, index: types.Type) -> Callable[[np.ndarray, int], None]:
    return lambda array, index: _prefetch_item(array, index)  # type: ignore[call-arg, arg-type]  # noqa: PLW0108


@overload(prefetch_record, strict=False)
def _prefetch_record_compiled(record: types.Type) -> Callable[[np.void], None]:
    return lambda record: _prefetch_record(record)  # type: ignore[call-arg]  # noqa: PLW0108
