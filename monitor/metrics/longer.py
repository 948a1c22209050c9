"""Longer windows, built from the rows of short ones and never from events: 10 s and 60 s of 1 s.

How a metric is put together follows from what it is. What was counted is summed; what was averaged is averaged; what stood at
the window's end is the last there was; ratios are taken of the sums. Three cannot be had exactly from the rows and are the
means of the short windows' values, weighted by their cancels: `lifetime_p50_ms`, `cancel_burstiness` and `top_cancel_share`.
Values that are missing are left out; where all are, the longer window's is missing too.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from monitor.metrics.catalogue import METRIC_NAMES

SECONDS: Final = (10, 60)

_SUMMED: Final = frozenset((
    "messages", "late", "gaps", "crossed_ms", "adds", "cancels", "cancels_buy", "cancels_sell", "cancels_near",
    "cancels_after_fill", "fleeting_cancels", "slow_fleeting_cancels", "replaces", "rejects", "throttled", "retries",
    "added_lots", "cancelled_lots", "trades", "traded_lots", "signed_lots", "ofi_lots", "open_interest_change_lots",
    "liquidations", "liquidated_lots", "liquidated_long_usd", "liquidated_short_usd", "takeovers", "deleveraged_lots",
    "deposits_usd", "withdrawals_usd", "funding_paid_usd", "fees_paid_usd", "liquidation_cost_usd", "return_bps",
))  # fmt: skip
_AVERAGED: Final = frozenset((
    "spread_bps", "depth_bid_5_usd", "depth_ask_5_usd", "depth_bid_10bps_usd", "depth_ask_10bps_usd", "levels_10bps",
    "slippage_buy_bps", "slippage_sell_bps", "slippage_2x_bps", "slippage_convexity_bps", "usual_depth_usd", "leverage_new",
))  # fmt: skip
_BY_CANCELS: Final = frozenset(("lifetime_p50_ms", "cancel_burstiness", "top_cancel_share"))
_LARGEST: Final = frozenset(("resilience_ms", "feed_lag_ms"))


def longer(rows: pl.DataFrame, seconds: int) -> pl.DataFrame:
    """The windows of `seconds` of metric rows (`monitor.metrics.rows.SCHEMA`) in their order, one row a window and symbol.

    `windows` is how many short ones there were: fewer at a run's ends and where time jumped. Window k covers the event times
    (k − 1) · seconds ≤ t < k · seconds. HISTORY, LIVE and REPLAY are that of the last short window.
    """
    length_ns = seconds * 1_000_000_000
    index = (pl.col("window_end_ns") - 1) // length_ns + 1
    found = rows.group_by(index.alias("window_index"), "symbol", maintain_order=True).agg(
        pl.col("phase").last(), pl.len().alias("windows"), *(_built(name).alias(name) for name in METRIC_NAMES)
    )
    end = pl.col("window_index") * length_ns
    return found.select(
        "window_index",
        (end - length_ns).alias("window_start_ns"),
        end.alias("window_end_ns"),
        "phase",
        "symbol",
        pl.col("windows").cast(pl.Int64),
        *METRIC_NAMES,
    )


def _built(name: str) -> pl.Expr:
    column = pl.col(name)
    if name in _SUMMED:
        return _sum(name)
    if name in _AVERAGED:
        return column.mean()
    if name in _LARGEST:
        return column.max()
    if name in _BY_CANCELS:
        weight = pl.when(column.is_not_null()).then(pl.col("cancels"))
        return _ratio((column * pl.col("cancels")).sum(), weight.sum())
    ratio = _RATIOS.get(name)
    if ratio is not None:
        return ratio
    return column.drop_nulls().last()


def _sum(name: str) -> pl.Expr:
    """A sum that is missing where every value is."""
    return pl.when(pl.col(name).count() > 0).then(pl.col(name).sum())


def _ratio(above: pl.Expr, below: pl.Expr) -> pl.Expr:
    return pl.when(below > 0).then(above / below)


def _to_trades(added: str, cancelled: str, traded: str) -> pl.Expr:
    return (_sum(added) + _sum(cancelled)) / pl.max_horizontal(_sum(traded), 1.0) - 1.0


def _volatility() -> pl.Expr:
    column = pl.col("realised_vol_bps")
    return pl.when(column.count() > 0).then((column * column).sum().sqrt())


def _imbalance() -> pl.Expr:
    bid, ask = pl.col("depth_bid_5_usd").mean(), pl.col("depth_ask_5_usd").mean()
    return _ratio(bid - ask, bid + ask)


_RATIOS: Final = {
    "order_to_trade_ratio": pl.when(pl.col("order_to_trade_ratio").count() > 0).then(_to_trades("adds", "cancels", "trades")),
    "volume_to_trade_ratio": pl.when(pl.col("volume_to_trade_ratio").count() > 0).then(
        _to_trades("added_lots", "cancelled_lots", "traded_lots")
    ),
    "cancel_to_add": _ratio(_sum("cancels"), _sum("adds")),
    "imbalance": _imbalance(),
    "realised_vol_bps": _volatility(),
    "funding_vol": pl.col("funding_rate_bps").drop_nulls().last() * _volatility(),
}
