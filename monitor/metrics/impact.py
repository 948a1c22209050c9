"""What trading does to the price, and how quickly the book comes back: Kyle's lambda, VPIN, resilience, per symbol, compiled.

**Kyle's lambda** is the slope of the window's return on its signed trading, through the origin, over the windows before and
this one with a half-life of five minutes (Kyle 1985; here r in bps and q in millions of the quote).

**VPIN** cuts trading into buckets of equal volume and takes the mean share by which buyers and sellers differ in the last
`BUCKETS` of them (Easley, Lopez de Prado and O'Hara 2012; the aggressor is known here, nothing is classified). A bucket holds
`BUCKET_WINDOWS` windows' worth of the usual trading, which has the half-life of the usual depth.

**Resilience** is the time from the sample in which a side's five-level depth lay below half of the usual until the sample in
which it had regained half of what it lacked at its lowest.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from monitor.metrics.catalogue import column

LAMBDA_HALF_LIFE_NS: Final = 300_000_000_000
LAMBDA_LEAST: Final = 30
"""Windows with trades before a slope is told."""
BUCKETS: Final = 50
BUCKETS_LEAST: Final = 10
BUCKET_WINDOWS: Final = 10

IMPACT_DTYPE: Final = np.dtype(
    [
        ("signed_lots", "<i8"),
        ("traded_lots", "<i8"),
        ("window", "<i8"),
        ("xy", "<f8"),
        ("xx", "<f8"),
        ("windows", "<i8"),
        ("usual_sum", "<f8"),
        ("usual_weight", "<f8"),
        ("bucket_lots", "<i8"),
        ("bucket_left", "<i8"),
        ("bucket_signed", "<i8"),
        ("buckets", "<i8"),
        ("shares", "<f8", (BUCKETS,)),
        ("fallen", "<i8", (2,)),
        ("usual", "<f8", (2,)),
        ("lowest", "<f8", (2,)),
        ("elapsed", "<i8", (2,)),
        ("refilled", "<i8"),
    ]
)
"""One symbol. The window's trading; the decayed sums of the slope up to `window`; the usual trading of a window; the open
bucket and the last ones' shares; for each side whether its depth has `fallen`, from which usual depth, how low, and for how
many samples; and the longest refill that this window completed, in samples."""

_RETURN: Final = column("return_bps")
_KYLE: Final = column("kyle_lambda")
_VPIN: Final = column("vpin")
_RESILIENCE: Final = column("resilience_ms")


@njit(cache=True, nogil=True)
def start(state: Any) -> None:
    """The first window, or the first after windows left out: a side that was low then is forgotten."""
    state["fallen"][:] = 0


@njit(cache=True, nogil=True)
def on_trade(state: Any, side: int, lots: int) -> None:
    """A trade that counts: `side` is the taker's."""
    state["traded_lots"] += lots
    state["signed_lots"] += lots if side == 0 else -lots
    while lots > 0 and state["bucket_lots"] > 0:
        part = min(lots, state["bucket_left"])
        state["bucket_left"] -= part
        state["bucket_signed"] += part if side == 0 else -part
        lots -= part
        if state["bucket_left"] == 0:
            state["shares"][state["buckets"] % BUCKETS] = abs(state["bucket_signed"]) / state["bucket_lots"]
            state["buckets"] += 1
            _open_bucket(state)


@njit(cache=True, nogil=True)
def _open_bucket(state: Any) -> None:
    usual = state["usual_sum"] / state["usual_weight"] if state["usual_weight"] > 0.0 else 0.0
    state["bucket_lots"] = np.int64(np.ceil(BUCKET_WINDOWS * usual))
    state["bucket_left"] = state["bucket_lots"]
    state["bucket_signed"] = 0


@njit(cache=True, nogil=True)
def on_samples(state: Any, side: int, value: float, usual: float, count: int) -> None:
    """The next `count` samples of a known book, all with this five-level depth of `side` against this usual one."""
    for _ in range(count):
        if not state["fallen"][side]:
            if value >= 0.5 * usual:
                return
            state["fallen"][side] = 1
            state["usual"][side] = usual
            state["lowest"][side] = value
            state["elapsed"][side] = 1
        elif value >= 0.5 * (state["lowest"][side] + state["usual"][side]):
            state["refilled"] = max(state["refilled"], state["elapsed"][side])
            state["fallen"][side] = 0
        else:
            state["lowest"][side] = min(state["lowest"][side], value)
            state["elapsed"][side] += 1


@njit(cache=True, nogil=True)
def close(
    state: Any, window: int, step_ns: int, samples: int, usual_decay: float, value_usd: float, price: float, out: Any
) -> None:
    """Writes the metrics into `out` [M] and starts the next window; its return stands in `out` already.

    `usual_decay` is what one window leaves of the usual trading's weights, `price` in ticks (0: none).
    """
    passed = float(window - state["window"]) if state["window"] > 0 else 0.0
    kept = 0.5 ** (passed * step_ns / LAMBDA_HALF_LIFE_NS)
    state["xy"] *= kept
    state["xx"] *= kept
    moved = out[_RETURN]
    if state["traded_lots"] > 0 and price > 0.0 and not np.isnan(moved):
        signed = state["signed_lots"] * price * value_usd / 1e6
        state["xy"] += moved * signed
        state["xx"] += signed * signed
        state["windows"] += 1
    out[_KYLE] = state["xy"] / state["xx"] if state["windows"] >= LAMBDA_LEAST and state["xx"] > 0.0 else np.nan
    kept = usual_decay**passed
    state["usual_sum"] = kept * state["usual_sum"] + state["traded_lots"]
    state["usual_weight"] = kept * state["usual_weight"] + 1.0
    if state["bucket_lots"] == 0 and state["usual_sum"] > 0.0:
        _open_bucket(state)
    filled = min(state["buckets"], BUCKETS)
    total = 0.0
    for i in range(filled):
        total += state["shares"][i]
    out[_VPIN] = total / filled if filled >= BUCKETS_LEAST else np.nan
    out[_RESILIENCE] = state["refilled"] * step_ns / samples / 1e6 if state["refilled"] > 0 else np.nan
    state["window"] = window
    state["signed_lots"] = 0
    state["traded_lots"] = 0
    state["refilled"] = 0
