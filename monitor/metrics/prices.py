"""The price family: mark, index, last and mid, their distances, ages and movement, per symbol, compiled.

References stand in micro-ticks, mids in ticks. A value older in event time than the one that stands never replaces it.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit

from engine.contract import MICRO, Reference
from monitor.metrics.catalogue import column

NEVER: Final = np.iinfo(np.int64).min
"""The time of a value that has not come yet."""

PRICES_DTYPE: Final = np.dtype(
    [
        ("mark", "<i8"),
        ("mark_ns", "<i8"),
        ("index", "<i8"),
        ("index_ns", "<i8"),
        ("last", "<i8"),
        ("last_ns", "<i8"),
        ("funding", "<i8"),
        ("funding_ns", "<i8"),
        ("open_interest", "<i8"),
        ("open_interest_ns", "<i8"),
        ("sampled_mid", "<f8"),
        ("closed_price", "<f8"),
        ("squares", "<f8"),
        ("returns", "<i8"),
    ]
)
"""One symbol. `sampled_mid` and `closed_price` (0: none): the last sample's mid, the price at the previous window's end."""

_MID: Final = column("mid_usd")
_LAST: Final = column("last_usd")
_MARK: Final = column("mark_usd")
_INDEX: Final = column("index_usd")
_MARK_INDEX: Final = column("mark_index_bps")
_MARK_LAST: Final = column("mark_last_bps")
_MID_INDEX: Final = column("mid_index_bps")
_REALISED_VOL: Final = column("realised_vol_bps")
_RETURN: Final = column("return_bps")
_FUNDING: Final = column("funding_rate_bps")
_FUNDING_VOL: Final = column("funding_vol")
_INDEX_AGE: Final = column("index_age_ms")
_MARK_AGE: Final = column("mark_age_ms")

_INDEX_CODE: Final = int(Reference.INDEX)
_MARK_CODE: Final = int(Reference.MARK)
_LAST_CODE: Final = int(Reference.LAST)
_FUNDING_CODE: Final = int(Reference.FUNDING_RATE)
_OPEN_INTEREST_CODE: Final = int(Reference.OPEN_INTEREST)


def new_prices(symbols: int) -> np.ndarray:
    """PRICES_DTYPE [symbols] that know nothing yet."""
    prices = np.zeros(symbols, PRICES_DTYPE)
    for name in ("mark_ns", "index_ns", "last_ns", "funding_ns", "open_interest_ns"):
        prices[name] = NEVER
    return prices


@njit(cache=True, nogil=True)
def on_reference(prices: Any, code: int, value: int, ts_ns: int) -> None:
    """Takes a reference value. The venue's own best quotes (BEST_BID, BEST_ASK) are for checking books, not for metrics."""
    if code == _MARK_CODE:
        if ts_ns >= prices["mark_ns"]:
            prices["mark"] = value
            prices["mark_ns"] = ts_ns
    elif code == _INDEX_CODE:
        if ts_ns >= prices["index_ns"]:
            prices["index"] = value
            prices["index_ns"] = ts_ns
    elif code == _LAST_CODE:
        on_last(prices, value, ts_ns)
    elif code == _FUNDING_CODE:
        if ts_ns >= prices["funding_ns"]:
            prices["funding"] = value
            prices["funding_ns"] = ts_ns
    elif code == _OPEN_INTEREST_CODE and ts_ns >= prices["open_interest_ns"]:
        prices["open_interest"] = value
        prices["open_interest_ns"] = ts_ns


@njit(cache=True, nogil=True)
def on_last(prices: Any, micro_ticks: int, ts_ns: int) -> None:
    if ts_ns >= prices["last_ns"]:
        prices["last"] = micro_ticks
        prices["last_ns"] = ts_ns


@njit(cache=True, nogil=True)
def on_samples(prices: Any, mid: float, samples: int) -> None:
    """The next `samples` samples, all with this two-sided mid: one return, and then returns of zero."""
    if mid <= 0.0:
        return
    if prices["sampled_mid"] > 0.0:
        move = math.log(mid / prices["sampled_mid"])
        prices["squares"] += move * move
        prices["returns"] += 1
    prices["returns"] += samples - 1
    prices["sampled_mid"] = mid


@njit(cache=True, nogil=True)
def start(prices: Any) -> None:
    """The first window, or the first after windows left out: nothing is measured against what was before."""
    prices["sampled_mid"] = 0.0
    prices["closed_price"] = 0.0


@njit(cache=True, nogil=True)
def valuation(prices: Any, mid: float) -> float:
    """The price in ticks that values positions: the mark, without one `mid` (0: none), without that the last; 0: none."""
    if prices["mark_ns"] != NEVER and prices["mark"] > 0:
        return float(prices["mark"] / MICRO)
    if mid > 0.0:
        return mid
    return last_price(prices)


@njit(cache=True, nogil=True)
def last_price(prices: Any) -> float:
    """The last price in ticks, 0 for none."""
    return float(prices["last"] / MICRO) if prices["last_ns"] != NEVER else 0.0


@njit(cache=True, nogil=True)
def close(prices: Any, mid: float, price: float, end_ns: int, tick: float, out: Any) -> None:
    """Writes the family's metrics into `out` [M] and starts the next window.

    `mid` in ticks (0: none), `price` what returns are of: mid, or the last where the source has no book; `tick` in USD.
    """
    mark = prices["mark"] / MICRO if prices["mark_ns"] != NEVER else 0.0
    index = prices["index"] / MICRO if prices["index_ns"] != NEVER else 0.0
    last = last_price(prices)
    out[_MID] = mid * tick if mid > 0.0 else np.nan
    out[_LAST] = last * tick if prices["last_ns"] != NEVER else np.nan
    out[_MARK] = mark * tick if prices["mark_ns"] != NEVER else np.nan
    out[_INDEX] = index * tick if prices["index_ns"] != NEVER else np.nan
    out[_MARK_INDEX] = _log_bps(mark, index)
    out[_MARK_LAST] = _log_bps(mark, last)
    out[_MID_INDEX] = _log_bps(price, index)
    out[_REALISED_VOL] = 1e4 * math.sqrt(prices["squares"]) if prices["returns"] > 0 else np.nan
    out[_RETURN] = _log_bps(price, prices["closed_price"])
    out[_FUNDING] = prices["funding"] / MICRO if prices["funding_ns"] != NEVER else np.nan
    out[_FUNDING_VOL] = out[_FUNDING] * out[_REALISED_VOL]
    out[_INDEX_AGE] = _age_ms(end_ns, prices["index_ns"])
    out[_MARK_AGE] = _age_ms(end_ns, prices["mark_ns"])
    prices["closed_price"] = price
    prices["squares"] = 0.0
    prices["returns"] = 0


@njit(cache=True, nogil=True)
def _log_bps(price: float, base: float) -> float:
    if price <= 0.0 or base <= 0.0:
        return np.nan
    return 1e4 * math.log(price / base)


@njit(cache=True, nogil=True)
def _age_ms(end_ns: int, ts_ns: int) -> float:
    if ts_ns == NEVER:
        return np.nan
    return max(end_ns - ts_ns, 0) / 1e6
