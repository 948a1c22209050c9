"""Metric rows as tables: one row a (window, symbol), to and from arrays, and as the Arrow IPC bytes that go through the stream.

Rows are sorted by window and then by the run's order of symbols. Missing is NaN in arrays and null in tables. Going through a
table changes no bit of a value.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from monitor.metrics.catalogue import METRIC_NAMES

if TYPE_CHECKING:
    from monitor.metrics.windows import Block

Phase = Literal["HISTORY", "LIVE", "REPLAY", "DRILL"]

SCHEMA: Final[dict[str, pl.DataType]] = {
    "window_index": pl.Int64(),
    "window_start_ns": pl.Int64(),
    "window_end_ns": pl.Int64(),
    "phase": pl.String(),
    "symbol": pl.String(),
    **dict.fromkeys(METRIC_NAMES, pl.Float64()),
    "top_cancel_account": pl.Int64(),
    "top_position_account": pl.Int64(),
}
"""Columns of the rows and of `metrics.parquet`. Times are UTC nanoseconds, start inclusive, end exclusive."""


class RowsError(ValueError):
    """Bytes or a table that are no metric rows of this version."""


class Windows(NamedTuple):
    """Rows as arrays: W windows, S symbols, M metrics in the order of METRIC_NAMES."""

    window_index: npt.NDArray[np.int64]
    window_end_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def block_rows(block: Block, symbols: Sequence[str], phase: Phase) -> pl.DataFrame:
    """The rows of a block's windows."""
    windows, n, metrics = block.values.shape
    if n != len(symbols):
        raise RowsError(f"the block has {n} symbols, not the {len(symbols)} of {', '.join(symbols)}")
    ends = np.repeat(block.window_end_ns, n)
    values = pl.from_numpy(block.values.reshape(windows * n, metrics), schema=list(METRIC_NAMES))
    accounts = pl.DataFrame(
        {
            "top_cancel_account": block.top_cancel_account.reshape(-1),
            "top_position_account": block.top_position_account.reshape(-1),
        }
    )
    return pl.DataFrame(
        [
            pl.Series("window_index", np.repeat(block.window_index, n)),
            pl.Series("window_start_ns", ends - block.step_ns),
            pl.Series("window_end_ns", ends),
            pl.repeat(phase, windows * n, dtype=pl.String, eager=True).alias("phase"),
            pl.Series("symbol", list(symbols) * windows, dtype=pl.String),
            *values.select(pl.all().fill_nan(None)),
            *accounts.select(pl.when(pl.all() >= 0).then(pl.all())),
        ]
    )


def empty_rows() -> pl.DataFrame:
    """The table of a run without a window."""
    return pl.DataFrame(schema=SCHEMA)


def encode_block(blocks: Sequence[Block], symbols: Sequence[str], phase: Phase) -> bytes:
    """The rows of blocks that follow each other, as one Arrow IPC file."""
    return encode_rows(pl.concat([block_rows(block, symbols, phase) for block in blocks]))


def encode_rows(rows: pl.DataFrame) -> bytes:
    """Rows as an Arrow IPC file. Raises RowsError for a table of another schema."""
    _check(rows)
    buffer = io.BytesIO()
    rows.rechunk().write_ipc(buffer)
    return buffer.getvalue()


def decode_rows(data: bytes) -> pl.DataFrame:
    """What `encode_rows` made. Raises RowsError for anything else."""
    try:
        rows = pl.read_ipc(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RowsError(f"these {len(data)} bytes are no Arrow IPC file: {error}") from error
    _check(rows)
    return rows


def to_windows(rows: pl.DataFrame, symbols: Sequence[str]) -> Windows:
    """Rows back as arrays, the same values as in the block they came from.

    Raises RowsError unless there is one row for each window and symbol, in their order.
    """
    _check(rows)
    n = len(symbols)
    if rows.height % n or rows["symbol"].to_list() != list(symbols) * (rows.height // n):
        raise RowsError(f"the rows are not one for each window and symbol, in the order {', '.join(symbols)}")
    index = rows["window_index"].to_numpy().reshape(-1, n)
    ends = rows["window_end_ns"].to_numpy().reshape(-1, n)
    if (index != index[:, :1]).any() or (np.diff(index[:, 0]) <= 0).any() or (ends != ends[:, :1]).any():
        raise RowsError("the rows' windows do not rise, or one lacks a symbol")
    values = rows.select(pl.col(METRIC_NAMES).fill_null(np.nan)).to_numpy(order="c").reshape(-1, n, len(METRIC_NAMES))
    return Windows(index[:, 0].copy(), ends[:, 0].copy(), values)


def _check(rows: pl.DataFrame) -> None:
    if dict(rows.schema) != SCHEMA:
        raise RowsError(f"these are no metric rows of this version: {dict(rows.schema)}")
