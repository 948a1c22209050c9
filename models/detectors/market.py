"""What the whole market does: the symbols of a panel taken together, as one entity.

Cancels, depth, leverage and prices of the symbol in the middle (the median) are looked at as those of a single symbol are: what
half of the symbols do is the market's, however wild one of them is. So a move that no symbol shows alone, and all show a
little, is found; what is left of a symbol once all others are accounted for is its own part (`models.conditional`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.detectors.family import Family
from models.features import Feature, How, Input, Side, Transform

Floats = NDArray[np.float64]

FEWEST_SYMBOLS: Final = 4
"""Fewer are not a market."""
LENGTHS: Final = (10, 30)
"""Window lengths in rows: a market moves more slowly than one of its symbols."""


class _Column(NamedTuple):
    metric: str
    parts: tuple[str, ...] = ()
    """With it, the mean of these relative to `metric` is taken instead."""
    size: bool = False
    """The absolute value counts."""


_COLUMNS: Final = {
    "market_trades": _Column("trades"),
    "market_cancels": _Column("cancels"),
    "market_rejects": _Column("rejects"),
    "market_depth": _Column("usual_depth_usd", ("depth_bid_5_usd", "depth_ask_5_usd")),
    "market_leverage": _Column("leverage_weighted"),
    "market_return_bps": _Column("return_bps"),
    "market_basis_bps": _Column("mid_index_bps", size=True),
    "market_index_age_ms": _Column("index_age_ms"),
}
COLUMNS: Final = tuple(_COLUMNS)

READS: Final = {
    "market_cancels": ("cancels",),
    "market_rejects": ("rejects",),
    "market_depth": ("depth_bid_5_usd", "depth_ask_5_usd"),
    "market_leverage_change_bps": ("leverage_weighted",),
    "market_vol_bps": ("realised_vol_bps", "return_bps"),
    "market_basis_bps": ("mid_index_bps",),
    "market_index_age_ms": ("index_age_ms",),
}
"""Which metrics of the symbols each feature is made of."""


MARKET: Final = (
    Family(
        name="cancels",
        features=(
            Feature("market_cancels", Transform.COUNT, (Input("market_cancels", How.SUM),), "count", Side.HIGH),
            Feature("market_rejects", Transform.COUNT, (Input("market_rejects", How.SUM),), "count", Side.HIGH),
        ),
        context=(Feature("market_trades", Transform.COUNT, (Input("market_trades", How.SUM),), "count"),),
        half_life_s=3600,
        lengths=LENGTHS,
    ),
    Family(
        name="depth",
        features=(
            Feature(
                "market_depth", Transform.LOG, (Input("market_depth", How.MEAN),), "ratio", Side.LOW, prior=0.15, floor=0.05
            ),
        ),
        context=(),
        half_life_s=3600,
        lengths=LENGTHS,
    ),
    Family(
        name="leverage",
        features=(
            Feature(
                "market_leverage_change_bps", Transform.LOG_CHANGE,
                (Input("market_leverage", How.LAST), Input("market_leverage", How.BEFORE)), "bps", Side.HIGH,
                prior=100.0, floor=100.0,
            ),
        ),
        context=(Feature("market_return_bps", Transform.LINEAR, (Input("market_return_bps", How.SUM),), "bps"),),
        half_life_s=3600,
        lengths=LENGTHS,
    ),
    Family(
        name="prices",
        features=(
            Feature(
                "market_vol_bps", Transform.LOG, (Input("market_return_bps", How.ROOT_SQUARES),), "bps", Side.HIGH, 0.5,
                prior=0.35, floor=0.1, weight=2.0,
            ),
            Feature(
                "market_basis_bps", Transform.LOG, (Input("market_basis_bps", How.MEAN),), "bps", Side.HIGH, 1.0,
                prior=0.3, floor=0.1,
            ),
            Feature(
                "market_index_age_ms", Transform.LOG, (Input("market_index_age_ms", How.LAST),), "ms", Side.HIGH, 1000.0,
                prior=0.3, floor=0.12,
            ),
        ),
        context=(),
        half_life_s=3600,
        lengths=LENGTHS,
    ),
)  # fmt: skip
"""The market's part of each family, by the family's name."""


def market_rows(values: Floats, metric_names: tuple[str, ...]) -> Floats:
    """The market's columns float64[W, 1, len(COLUMNS)] of metric values float64[W, S, M]; NaN where fewer than
    `FEWEST_SYMBOLS` symbols have the metric, or the table does not."""
    at = {name: column for column, name in enumerate(metric_names)}
    out = np.full((len(values), 1, len(COLUMNS)), np.nan)
    for c, column in enumerate(_COLUMNS.values()):
        needed = (column.metric, *column.parts)
        if any(name not in at for name in needed):
            continue
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            x = values[:, :, at[column.metric]]
            if column.parts:
                parts = [values[:, :, at[name]] for name in column.parts]
                x = sum(parts[1:], parts[0]) / (len(parts) * x)
        known = np.isfinite(x)
        enough = known.sum(axis=1) >= FEWEST_SYMBOLS
        sure = np.where(known, np.abs(x) if column.size else x, np.nan)[enough]
        out[enough, 0, c] = np.nanmedian(sure, axis=1)
    return out
