"""How functions of the engine are compiled, and the integers that they hand to each other.

Numba compiles a function anew for each constant that it is called with, if that is a Python integer, and for each width of
integer. So constants of compiled code are made by `constant`, and what is read from a narrow field is made `wide` before it is
handed on: then each function is compiled once for a capacity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., Any])


def inner(function: _Function) -> _Function:
    """Compiles a function that only compiled code calls: without a way in from Python that takes a fifth less time."""
    compiled = njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]
    return compiled(function)  # type: ignore[no-any-return]


def constant(value: int) -> int:
    """A code or number as compiled functions take it."""
    return np.int64(value)  # type: ignore[return-value]


@inner
def wide(value: int | np.uint64) -> int:
    """A field of any width as compiled functions take it."""
    return np.int64(value)  # type: ignore[return-value]
