"""The simulation's one source of randomness: xoshiro256++ with its state in an array, so that a snapshot holds it.

Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021; seeded by splitmix64 as they advise.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_23, _45, _17, _11 = (np.uint64(n) for n in (23, 45, 17, 11))
_64 = np.uint64(64)
_TO_UNIT = 1.0 / (1 << 53)


def new_generator(*seed: int) -> np.ndarray:
    """A generator's state, uint64[4]. Several integers give streams that have nothing to do with each other."""
    mask = 2**64 - 1
    z = 0
    for part in seed:
        z = ((z ^ (part & mask)) * 0xD1342543DE82EF95 + 0x9E3779B97F4A7C15) & mask
    state = []
    for _ in range(4):
        z = (z + 0x9E3779B97F4A7C15) & mask
        x = z
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        state.append(x ^ (x >> 31))
    return np.array(state, np.uint64)


@njit(cache=True, nogil=True)
def _rotate(x: np.uint64, k: np.uint64) -> np.uint64:
    return (x << k) | (x >> (_64 - k))


@njit(cache=True, nogil=True)
def uniform(g: np.ndarray) -> float:
    """A number in [0, 1)."""
    result = _rotate(g[0] + g[3], _23) + g[0]
    t = g[1] << _17
    g[2] ^= g[0]
    g[3] ^= g[1]
    g[1] ^= g[2]
    g[0] ^= g[3]
    g[2] ^= t
    g[3] = _rotate(g[3], _45)
    return np.float64(result >> _11) * _TO_UNIT


@njit(cache=True, nogil=True)
def between(g: np.ndarray, low: float, high: float) -> float:
    """A number in [low, high)."""
    return low + (high - low) * uniform(g)


@njit(cache=True, nogil=True)
def below(g: np.ndarray, n: int) -> int:
    """An integer in 0 … n - 1."""
    return int(uniform(g) * n)


@njit(cache=True, nogil=True)
def exponential(g: np.ndarray, mean: float) -> float:
    """A waiting time."""
    return -mean * math.log(1.0 - uniform(g))


@njit(cache=True, nogil=True)
def normal(g: np.ndarray) -> float:
    """A standard normal number (Box and Muller)."""
    return math.sqrt(-2.0 * math.log(1.0 - uniform(g))) * math.cos(2.0 * math.pi * uniform(g))
