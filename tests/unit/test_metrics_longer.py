"""Longer windows: what was counted from ten short ones is what one ten times as long counts."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from monitor.metrics.catalogue import METRIC_NAMES
from monitor.metrics.longer import SECONDS, longer
from monitor.metrics.rows import block_rows
from monitor.sources import ALL_CAPABILITIES
from tests.oracle.event_streams import START_NS, order_stream
from tests.windows_kit import INSTRUMENTS, SECOND, new_engine

EXACT = (
    "messages", "gaps", "adds", "cancels", "cancels_buy", "cancels_near", "fleeting_cancels", "replaces", "rejects",
    "throttled", "added_lots", "cancelled_lots", "trades", "traded_lots", "signed_lots", "order_to_trade_ratio",
    "volume_to_trade_ratio", "cancel_to_add", "ofi_lots", "liquidations", "liquidated_long_usd", "takeovers",
    "deleveraged_lots", "open_interest_usd", "positions", "leverage_p50", "mid_usd", "last_usd", "mark_usd",
    "mark_index_bps", "funding_rate_bps", "depth_bid_25bps_usd", "long_short_skew",
)  # fmt: skip


@pytest.fixture(scope="module")
def events():
    stream = order_stream(11, n=12_000)
    stream["ts_ns"] = START_NS // (60 * SECOND) * 60 * SECOND + np.arange(len(stream)) * 10_000_000
    return stream


def rows_of(events, step_ns):
    engine = new_engine(ALL_CAPABILITIES, 0, step_ns)
    symbols = [instrument.symbol for instrument in INSTRUMENTS]
    return pl.concat([block_rows(b, symbols, "LIVE") for b in (engine.push(events), engine.finish()) if b is not None])


@pytest.mark.parametrize("seconds", SECONDS)
def test_what_is_counted_or_stands_at_the_end_equals_the_windows_of_that_length(events, seconds):
    built, measured = longer(rows_of(events, SECOND), seconds), rows_of(events, seconds * SECOND)
    assert built["window_end_ns"].to_list() == measured["window_end_ns"].to_list()
    assert built["symbol"].to_list() == measured["symbol"].to_list()
    for name in EXACT:
        ours, theirs = built[name].to_numpy(), measured[name].to_numpy()
        both = np.isfinite(theirs) & np.isfinite(ours)
        assert both.any(), name
        assert ours[both] == pytest.approx(theirs[both], rel=1e-9, abs=1e-9), name


def test_a_ratio_is_that_of_the_sums_and_a_volatility_the_root_of_the_squares(events):
    rows = rows_of(events, SECOND)
    built = longer(rows, 10)
    part = rows.filter((pl.col("symbol") == "ONE") & (pl.col("window_index") <= built["window_index"][0] * 10))
    row = built.row(0, named=True)
    assert row["windows"] == part.height == 10
    assert row["cancel_to_add"] == pytest.approx(part["cancels"].sum() / part["adds"].sum())
    assert row["realised_vol_bps"] == pytest.approx(float((part["realised_vol_bps"] ** 2).sum()) ** 0.5)


def test_what_is_missing_stays_missing():
    empty = {name: [None, None] for name in METRIC_NAMES}
    rows = pl.DataFrame(
        {"window_index": [1, 2], "window_start_ns": [0, SECOND], "window_end_ns": [SECOND, 2 * SECOND], "phase": "LIVE"}
        | {"symbol": "A"} | empty,
        schema_overrides=dict.fromkeys(METRIC_NAMES, pl.Float64),
    )  # fmt: skip
    row = longer(rows, 10).row(0, named=True)
    assert row["windows"] == 2
    assert all(row[name] is None for name in METRIC_NAMES)
