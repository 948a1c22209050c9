"""What the baselines read: each family's metrics, on a scale on which ordinary values are roughly even."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.features import Side

Floats = NDArray[np.float64]

WARM_UP: Final = 600
"""Windows that a baseline learns from before it says anything: ten minutes of seconds."""


class Scale(Enum):
    """What is done to a metric before it is judged."""

    LOG = "sign(x)·log(1 + |x|): counts, amounts and ratios, which double as easily as they halve"
    PLAIN = "x"


class Column(msgspec.Struct, frozen=True):
    """One metric: its scale, the side of it that is unusual, and the least spread it is taken to have on that scale.

    Side and floor are for the baselines that judge a metric by itself. Without the floor a metric that usually lies still,
    as a count of rejects does, would be infinitely far out at its first change.
    """

    metric: str
    scale: Scale = Scale.LOG
    side: Side = Side.HIGH
    floor: float = 0.1


def _plain(metric: str, side: Side, floor: float) -> Column:
    return Column(metric, Scale.PLAIN, side, floor)


FAMILIES: Final[dict[str, tuple[Column, ...]]] = {
    "cancels": (
        Column("cancels"),
        Column("fleeting_cancels"),
        Column("order_to_trade_ratio"),
        _plain("top_cancel_share", Side.HIGH, 0.05),
        Column("messages"),
        Column("rejects"),
    ),
    "depth": (
        Column("depth_bid_5_usd", side=Side.LOW),
        Column("depth_ask_5_usd", side=Side.LOW),
        Column("spread_bps"),
        Column("slippage_buy_bps"),
        Column("slippage_sell_bps"),
    ),
    "leverage": (
        Column("open_interest_usd", side=Side.BOTH, floor=0.005),
        Column("leverage_weighted"),
        Column("leverage_p90"),
        Column("leverage_new"),
        _plain("top_position_share", Side.HIGH, 0.02),
        Column("liquidations"),
    ),
    "prices": (
        _plain("mark_index_bps", Side.BOTH, 1.0),
        _plain("mark_last_bps", Side.BOTH, 1.0),
        _plain("mid_index_bps", Side.BOTH, 1.0),
        Column("index_age_ms"),
        Column("mark_age_ms"),
    ),
    "market": (
        Column("messages"),
        Column("cancels"),
        Column("spread_bps"),
        Column("slippage_2x_bps"),
        Column("realised_vol_bps"),
        Column("liquidations"),
        _plain("mark_index_bps", Side.BOTH, 1.0),
    ),
}
"""The columns of each family. They were chosen by what the metrics mean, before any drill was run, and are not fitted."""


class Picker:
    """Takes a family's columns out of metric rows. A metric that the rows do not have is missing in all of them."""

    def __init__(self, family: str, metric_names: tuple[str, ...]) -> None:
        self.columns = FAMILIES[family]
        where = {name: column for column, name in enumerate(metric_names)}
        self._at = [where.get(column.metric, -1) for column in self.columns]

    def pick(self, values: Floats) -> Floats:
        """float64[W, S, F] on the columns' scales, of values float64[W, S, M]; NaN is missing, infinities are missing too."""
        picked = np.full((*values.shape[:2], len(self.columns)), np.nan)
        for f, (column, at) in enumerate(zip(self.columns, self._at, strict=True)):
            if at >= 0:
                x = values[:, :, at]
                picked[:, :, f] = np.sign(x) * np.log1p(np.abs(x)) if column.scale is Scale.LOG else x
        picked[~np.isfinite(picked)] = np.nan
        return picked


def pieces(seen: int, windows: int, every: int) -> Iterator[slice]:
    """Cuts a block of `windows` that follows `seen` others wherever their number is a multiple of `every`.

    What is refreshed at these places is refreshed at the same windows, however the windows come in blocks.

    >>> list(pieces(5, 8, 6))
    [slice(0, 1, None), slice(1, 7, None), slice(7, 8, None)]
    """
    start = 0
    while start < windows:
        stop = min(start + every - (seen + start) % every, windows)
        yield slice(start, stop)
        start = stop


def quantile(rows: Floats, q: float) -> Floats:
    """The q-quantile (nearest rank) of rows [N, ...] over what is present of the first axis; NaN where nothing is."""
    ordered = np.sort(rows, axis=0)  # NaN goes to the end
    present = np.sum(~np.isnan(rows), axis=0)
    rank = np.rint(q * np.maximum(present - 1, 0)).astype(np.int64)
    taken: Floats = np.take_along_axis(ordered, rank[None], axis=0)[0]
    return taken


def widest(z: Floats) -> Floats:
    """The largest of the last axis, what is missing left out; NaN where all is missing."""
    largest = np.max(np.where(np.isnan(z), -np.inf, z), axis=-1)
    return np.where(np.isneginf(largest), np.nan, largest)


def one_sided(z: Floats, columns: tuple[Column, ...]) -> Floats:
    """How far z [..., F] lies on each column's unusual side: |z| for both sides, at least 0."""
    sides = np.array([column.side for column in columns])
    return np.maximum(np.where(sides == Side.BOTH, np.abs(z), z * sides), 0.0)
