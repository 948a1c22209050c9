"""Metric rows as tables and bytes: nothing is lost, and what is no row is refused."""

import io
import re

import numpy as np
import polars as pl
import pytest

from monitor.metrics.accounts import COLUMNS, AccountRows, joined
from monitor.metrics.actors import CANCELS, MEASURES, POSITION, TOP, Actors
from monitor.metrics.catalogue import CATALOGUE, METRIC_NAMES, column
from monitor.metrics.rows import (
    SCHEMA,
    RowsError,
    block_rows,
    decode_accounts,
    decode_rows,
    empty_rows,
    encode_accounts,
    encode_block,
    encode_rows,
    to_actors,
    to_windows,
)
from monitor.metrics.windows import Block
from monitor.sources import ALL_CAPABILITIES

SYMBOLS = ("ONE", "TWO", "THREE")
SECOND = 1_000_000_000


def new_block(first=1_700_000_001, windows=4, seed=1):
    rng = np.random.default_rng(seed)
    index = first + np.arange(windows)
    values = rng.normal(size=(windows, len(SYMBOLS), len(METRIC_NAMES)))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[0, 0, :4] = [0.0, -0.0, 5e-324, 1.7e308]
    did = (windows, len(SYMBOLS), len(MEASURES))
    whole = np.where(rng.random(did) < 0.3, np.nan, 9.0)
    actors = Actors(rng.integers(-1, 5, (*did, TOP)), rng.random((*did, TOP)), whole)
    ends = np.repeat(index[index % 10 == 0], 3)
    n = len(ends)
    accounts = AccountRows(ends, np.arange(n), rng.integers(-1, 3, (n, 2)), rng.random((n, len(COLUMNS))))
    return Block(SECOND, index, index * SECOND, values, actors, accounts, None)


def test_a_block_comes_back_to_the_bit():
    blocks = [new_block(), new_block(first=1_700_000_009, seed=2)]
    rows = decode_rows(encode_block(blocks, SYMBOLS, "LIVE"))
    assert rows.schema == SCHEMA
    windows = to_windows(rows, SYMBOLS)
    assert windows.values.tobytes() == np.concatenate([block.values for block in blocks]).tobytes()
    assert windows.values.flags.c_contiguous
    assert windows.window_index.tolist() == np.concatenate([block.window_index for block in blocks]).tolist()
    assert windows.window_end_ns.tolist() == (windows.window_index * SECOND).tolist()
    actors = to_actors(rows, len(windows.window_index), len(SYMBOLS))
    for array, parts in zip(actors, zip(*(block.actors for block in blocks), strict=True), strict=True):
        assert array.tobytes() == np.concatenate(parts).tobytes()


def test_rows_stand_by_window_and_then_by_symbol_with_nulls_for_what_is_missing():
    block = new_block()
    rows = block_rows(block, SYMBOLS, "HISTORY")
    assert rows["symbol"].to_list() == list(SYMBOLS) * 4
    assert rows["window_index"].is_sorted()
    assert (rows["window_end_ns"] - rows["window_start_ns"]).unique().to_list() == [SECOND]
    assert rows["phase"].unique().to_list() == ["HISTORY"]
    assert rows.select(METRIC_NAMES).null_count().sum_horizontal().item() == np.isnan(block.values).sum()
    assert not rows.select(pl.any_horizontal(pl.col(METRIC_NAMES).is_nan().any())).item()
    assert rows["top_cancel_account"].fill_null(-1).to_list() == block.actors.accounts[:, :, CANCELS, 0].ravel().tolist()
    assert rows["top_position_account"].fill_null(-1).to_list() == block.actors.accounts[:, :, POSITION, 0].ravel().tolist()
    assert rows["all_cancels"].null_count() == np.isnan(block.actors.whole[:, :, CANCELS]).sum()


def test_a_block_in_parts_is_the_same_table():
    assert encode_block([new_block()], SYMBOLS, "LIVE") == encode_block([new_block()], SYMBOLS, "LIVE")
    parts = decode_rows(encode_block([new_block().cut(0, 1), new_block().cut(1, 4)], SYMBOLS, "LIVE"))
    assert parts.equals(block_rows(new_block(), SYMBOLS, "LIVE"), null_equal=True)


def test_rows_of_accounts_come_back_to_the_bit():
    blocks = [new_block(first=1_700_000_005, windows=10), new_block(first=1_700_000_019, seed=2)]
    rows = decode_accounts(encode_accounts(blocks))
    assert len(rows.window) == 6
    for array, expected in zip(rows, joined([block.accounts for block in blocks]), strict=True):
        assert array.tobytes() == expected.tobytes()
    parts = [blocks[0].cut(0, 6), blocks[0].cut(6, 10), blocks[1]]
    assert encode_accounts(parts) == encode_accounts(blocks)
    assert encode_accounts([new_block(windows=3)]) == b""
    assert len(decode_accounts(b"").window) == 0
    with pytest.raises(RowsError, match="no rows of accounts"):
        decode_accounts(b"nonsense")


def test_no_rows_are_rows_too():
    rows = decode_rows(encode_rows(empty_rows()))
    assert to_windows(rows, SYMBOLS).values.shape == (0, 3, len(METRIC_NAMES))


def test_what_is_no_row_is_refused():
    with pytest.raises(RowsError, match="no Arrow IPC file"):
        decode_rows(b"nonsense")
    with pytest.raises(RowsError, match="no Arrow IPC file"):
        decode_rows(encode_block([new_block()], SYMBOLS, "LIVE")[:-40])
    other = io.BytesIO()
    pl.DataFrame({"a": [1]}).write_ipc(other)
    with pytest.raises(RowsError, match="no metric rows of this version"):
        decode_rows(other.getvalue())
    with pytest.raises(RowsError, match="no metric rows of this version"):
        encode_rows(empty_rows().drop("late"))
    with pytest.raises(RowsError, match="3 symbols, not the 1"):
        block_rows(new_block(), ("ONE",), "LIVE")


def test_rows_out_of_order_or_incomplete_are_refused():
    rows = block_rows(new_block(), SYMBOLS, "LIVE")
    for wrong in (rows.reverse(), rows.head(5), rows.sort("symbol"), rows.with_columns(symbol=pl.lit("ONE"))):
        with pytest.raises(RowsError, match="one for each window and symbol"):
            to_windows(wrong, SYMBOLS)
    for wrong in (
        rows.with_columns(window_index=pl.lit(1, pl.Int64)),
        rows.with_columns(window_index=pl.int_range(pl.len(), dtype=pl.Int64)),
    ):
        with pytest.raises(RowsError, match="do not rise"):
            to_windows(wrong, SYMBOLS)


def test_the_catalogue_is_sound():
    assert len(set(METRIC_NAMES)) == len(METRIC_NAMES)
    assert [column(name) for name in METRIC_NAMES] == list(range(len(METRIC_NAMES)))
    for metric in CATALOGUE:
        assert set(re.split("[|&]", metric.needs)) <= ALL_CAPABILITIES | {""}
        assert metric.formula
        unit = metric.name.rsplit("_", 1)[-1]
        assert unit not in {"ms", "bps", "usd", "lots"} or metric.unit == unit
    for family in ("cancels", "depth", "leverage", "prices", "data"):
        assert sum(metric.family == family for metric in CATALOGUE) >= 5
