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
import polars.selectors as cs

from monitor.metrics.accounts import COLUMNS, AccountRows, joined
from monitor.metrics.actors import CANCELS, MEASURES, POSITION, TOP, Actors
from monitor.metrics.catalogue import METRIC_NAMES

if TYPE_CHECKING:
    from monitor.metrics.windows import Block

Phase = Literal["HISTORY", "LIVE", "REPLAY", "DRILL"]

_ACTORS: Final[dict[str, pl.DataType]] = {
    f"{part}_{measure}": kind
    for measure in MEASURES
    for part, kind in (("who", pl.Array(pl.Int64(), TOP)), ("top", pl.Array(pl.Float64(), TOP)), ("all", pl.Float64()))
}
_ACCOUNT_KEYS: Final = ("window_index", "account", "flow_symbol", "exposure_symbol")
_FIRST: Final = {"cancel": CANCELS, "position": POSITION}

SCHEMA: Final[dict[str, pl.DataType]] = {
    "window_index": pl.Int64(),
    "window_start_ns": pl.Int64(),
    "window_end_ns": pl.Int64(),
    "phase": pl.String(),
    "symbol": pl.String(),
    **dict.fromkeys(METRIC_NAMES, pl.Float64()),
    "top_cancel_account": pl.Int64(),
    "top_position_account": pl.Int64(),
    **_ACTORS,
}
"""Columns of the rows and of `metrics.parquet`. Times are UTC nanoseconds, start inclusive, end exclusive. For each measure of
`monitor.metrics.actors`: `who_` did most of it (-1: fewer did), how much (`top_`), and what all did together (`all_`)."""

ROW_BYTES: Final = 8 * (len(METRIC_NAMES) + len(MEASURES) * (2 * TOP + 1))
"""What a row takes in memory, about."""


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
    first = {f"top_{name}_account": block.actors.accounts[:, :, at, 0].reshape(-1) for name, at in _FIRST.items()}
    who, top, whole = (array.reshape(windows * n, len(MEASURES), -1) for array in block.actors)
    actors = {
        name: array
        for q, measure in enumerate(MEASURES)
        for name, array in ((f"who_{measure}", who[:, q]), (f"top_{measure}", top[:, q]), (f"all_{measure}", whole[:, q, 0]))
    }
    return pl.DataFrame(
        [
            pl.Series("window_index", np.repeat(block.window_index, n)),
            pl.Series("window_start_ns", ends - block.step_ns),
            pl.Series("window_end_ns", ends),
            pl.repeat(phase, windows * n, dtype=pl.String, eager=True).alias("phase"),
            pl.Series("symbol", list(symbols) * windows, dtype=pl.String),
            *values.select(pl.all().fill_nan(None)),
            *pl.DataFrame(first).select(pl.when(pl.all() >= 0).then(pl.all())),
            *pl.DataFrame(actors, schema=_ACTORS).with_columns(cs.float().fill_nan(None)),
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


def to_actors(rows: pl.DataFrame, windows: int, symbols: int) -> Actors:
    """Who did most, of rows that are those of so many windows and symbols (`to_windows`)."""
    who, top, whole = (
        np.stack([rows[f"{part}_{measure}"].to_numpy() for measure in MEASURES], axis=1).reshape(windows, symbols, *shape)
        for part, shape in (("who", (len(MEASURES), TOP)), ("top", (len(MEASURES), TOP)), ("all", (len(MEASURES),)))
    )
    return Actors(who, top, whole)


def encode_accounts(blocks: Sequence[Block]) -> bytes:
    """What accounts did in blocks that follow each other, as one Arrow IPC file; empty where nobody did anything."""
    rows = joined([block.accounts for block in blocks])
    if len(rows.window) == 0:
        return b""
    buffer = io.BytesIO()
    values = [pl.Series(name, rows.values[:, c]) for c, name in enumerate(COLUMNS)]
    keys = (rows.window, rows.account, rows.symbol[:, 0], rows.symbol[:, 1])
    pl.DataFrame([*map(pl.Series, _ACCOUNT_KEYS, keys), *values]).write_ipc(buffer)
    return buffer.getvalue()


def decode_accounts(data: bytes) -> AccountRows:
    """What `encode_accounts` made. Raises RowsError for anything else."""
    if not data:
        return joined([])
    try:
        rows = pl.read_ipc(io.BytesIO(data))
        window, account, flow, exposure = (rows[name].to_numpy() for name in _ACCOUNT_KEYS)
        values = rows.select(list(COLUMNS)).to_numpy(order="c")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RowsError(f"these {len(data)} bytes are no rows of accounts: {error}") from error
    return AccountRows(window, account, np.column_stack([flow, exposure]), values)


def _check(rows: pl.DataFrame) -> None:
    if dict(rows.schema) != SCHEMA:
        raise RowsError(f"these are no metric rows of this version: {dict(rows.schema)}")
