"""The orders behind an anomaly, fetched from where the events are kept: a file of events, a journal, or a recording.

Raw events do not go through the stream and are in no result of a run. What a line of `anomalies.jsonl` was made of is found
again here: who added, cancelled and traded, at which prices lots came and went, and the orders themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl

from engine.contract import EVENT_DTYPE, EventFlag, EventKind, Reason
from monitor.history.store import StoreError
from monitor.history.tables import tables
from monitor.sources.detect import open_source, resolve_format

if TYPE_CHECKING:
    from engine.instruments import Instrument
    from monitor.sources import Source

_COLUMNS: Final = (
    "ts_ns", "order_id", "account", "contra_account", "price", "qty", "leaves", "symbol", "kind", "side", "flags", "code",
)  # fmt: skip
_NOBODY: Final = -1
_REPLACING: Final = (int(Reason.AMENDED), int(Reason.REPLACED))


class OrdersError(Exception):
    """The orders cannot be fetched: what, where and what to do."""

    exit_code: Final = 2


class Stretch(NamedTuple):
    """Where and when: [start, end), UTC nanoseconds."""

    symbol: str
    start_ns: int
    end_ns: int


class Orders(NamedTuple):
    """What happened in a stretch, the most first in each table.

    `accounts`: account (missing where the recording tells none), adds, cancels, rejects, trades (as maker or taker), traded
    lots, and the median life of the orders it took away whole, ms. `levels`: price in quote units, side, lots added, cancelled
    and traded, and how many orders were added. `orders`: those that were added or cancelled: id, account, side, price, lots
    added and cancelled, when it came (missing if that was not seen), when it was cancelled whole, and its life, ms.
    """

    accounts: pl.DataFrame
    levels: pl.DataFrame
    orders: pl.DataFrame


def stretch_of(folders: Sequence[Path], event: str) -> Stretch:
    """The symbol of the lines of `event` in results of runs or stores, from their first window's start to their last's end.

    Raises OrdersError.
    """
    where = ", ".join(map(str, folders))
    try:
        lines = tables(folders).get("anomalies")
        if lines is None:
            raise OrdersError(f"{where}: holds no anomalies; give a folder that a run left with --out, or a store")
        found = (
            lines.filter(pl.col("event") == event)
            .group_by("symbol")
            .agg(pl.col("window_start_ns").min(), pl.col("window_end_ns").max())
            .collect()
        )
    except (StoreError, pl.exceptions.PolarsError) as error:
        raise OrdersError(f"{where}: {' '.join(str(error).split())}") from error
    if found.is_empty():
        raise OrdersError(f"{where}: no line is of the event {event!r}; the column event of anomalies holds what there is")
    return Stretch(*found.row(0))


def fetch(recording: Path, stretch: Stretch) -> Orders:
    """The orders of a stretch. A file of events is scanned lazily, anything else read up to the stretch's end.

    Raises OrdersError for a stretch that holds nothing, and SourceError for a recording that cannot be read.
    """
    if stretch.end_ns <= stretch.start_ns:
        raise OrdersError(
            f"the stretch ends at {stretch.end_ns}, not after its start {stretch.start_ns}; give START before END"
        )
    source = open_source([recording])
    known = [instrument.symbol for instrument in source.instruments]
    if stretch.symbol not in known:
        raise OrdersError(f"{recording}: has no symbol {stretch.symbol!r}; it has {', '.join(known)}")
    if "orders" not in source.capabilities:
        raise OrdersError(f"{recording}: tells the size of price levels and no orders; give a recording order by order")
    symbol = known.index(stretch.symbol)
    if resolve_format([recording], "auto") == "events":
        events = pl.scan_parquet(recording, glob=False).select(_COLUMNS)
    else:
        events = _read(source, symbol, stretch.end_ns)
    found = orders_of(events.filter(pl.col("symbol") == symbol), source.instruments[symbol], stretch)
    if found.accounts.is_empty() and found.levels.is_empty():
        raise OrdersError(
            f"{recording}: {stretch.symbol} has no order from {stretch.start_ns} to {stretch.end_ns}; give UTC nanoseconds, or "
            "times such as 2026-01-01T00:30:00, that the recording covers"
        )
    return found


def orders_of(events: pl.LazyFrame, instrument: Instrument, stretch: Stretch) -> Orders:
    """The same of one symbol's events, columns of EVENT_DTYPE, from as early as orders that matter came."""
    flow = events.filter((pl.col("flags") & int(EventFlag.SNAPSHOT)) == 0)
    inside = flow.filter(pl.col("ts_ns").is_between(stretch.start_ns, stretch.end_ns, closed="left"))
    adds = inside.filter(pl.col("kind") == int(EventKind.ADD))
    cancels = inside.filter(pl.col("kind") == int(EventKind.CANCEL))
    trades = inside.filter(pl.col("kind") == int(EventKind.TRADE))
    # An order that was amended keeps its id: it came when it first did. How old an undated one is nobody knows.
    came = (
        events.filter((pl.col("kind") == int(EventKind.ADD)) & (pl.col("ts_ns") < stretch.end_ns))
        .filter((pl.col("flags") & int(EventFlag.UNDATED)) == 0)
        .group_by("order_id")
        .agg(pl.col("ts_ns").min().alias("added_ns"))
    )
    gone = (
        cancels.filter((pl.col("leaves") == 0) & ~pl.col("code").is_in(_REPLACING))
        .group_by("order_id")
        .agg(pl.col("ts_ns").max().alias("cancelled_ns"))
    )
    changed = pl.concat([adds.with_columns(added=pl.lit(True)), cancels.with_columns(added=pl.lit(False))])
    usd = pl.col("price") * instrument.tick
    side = pl.when(pl.col("side") == 0).then(pl.lit("bid")).otherwise(pl.lit("ask"))
    lots = {
        "added_lots": pl.col("qty").filter("added").sum(),
        "cancelled_lots": pl.col("qty").filter(~pl.col("added")).sum(),
    }
    orders = (
        changed.group_by("order_id")
        .agg(_known("account").last(), side.last().alias("side"), usd.last().alias("price"), **lots)
        .join(came, on="order_id", how="left")
        .join(gone, on="order_id", how="left")
        .with_columns(((pl.col("cancelled_ns") - pl.col("added_ns")) / 1e6).alias("life_ms"))
        .sort(-pl.max_horizontal("added_lots", "cancelled_lots"), "order_id")
    )
    takers = trades.select("account", "qty")
    makers = trades.select(pl.col("contra_account").alias("account"), "qty")
    rejects = inside.filter(pl.col("kind") == int(EventKind.REJECT))
    did = pl.concat([
        adds.select("account", did=pl.lit("adds"), lots=pl.lit(0, pl.Int64)),
        cancels.select("account", did=pl.lit("cancels"), lots=pl.lit(0, pl.Int64)),
        rejects.select("account", did=pl.lit("rejects"), lots=pl.lit(0, pl.Int64)),
        pl.concat([takers, makers]).select("account", did=pl.lit("trades"), lots="qty"),
    ]).with_columns(_known("account"))  # fmt: skip
    counts = ("adds", "cancels", "rejects", "trades")
    accounts = (
        did.group_by("account")
        .agg(*((pl.col("did") == name).sum().alias(name) for name in counts), pl.col("lots").sum().alias("traded_lots"))
        .join(orders.group_by("account").agg(pl.col("life_ms").median()), on="account", how="left", nulls_equal=True)
        .sort(-pl.sum_horizontal(pl.col(counts).cast(pl.Int64)), "account")
    )
    # A trade's side is the taker's: lots went from the other one.
    traded = trades.group_by("price", (1 - pl.col("side")).cast(pl.UInt8).alias("side")).agg(
        pl.col("qty").sum().alias("traded_lots")
    )
    levels = (
        changed.group_by("price", "side")
        .agg(**lots, orders=pl.col("added").sum())
        .join(traded, on=["price", "side"], how="full", coalesce=True)
        .with_columns(pl.col("added_lots", "cancelled_lots", "orders", "traded_lots").fill_null(0))
        .sort(
            pl.max_horizontal("added_lots", "cancelled_lots", "traded_lots"), "price", "side", descending=[True, False, False]
        )
        .select(usd.alias("price"), side.alias("side"), "added_lots", "cancelled_lots", "traded_lots", "orders")
    )
    return Orders(*pl.collect_all([accounts, levels, orders]))


def _known(name: str) -> pl.Expr:
    return pl.when(pl.col(name) > _NOBODY).then(pl.col(name)).alias(name)


def _read(source: Source, symbol: int, end_ns: int) -> pl.LazyFrame:
    """The events of one symbol up to `end_ns`, and a little later ones."""
    parts = [np.zeros(0, EVENT_DTYPE)]
    for batch in source.batches():
        parts.append(batch[(batch["symbol"] == symbol) & (batch["ts_ns"] < end_ns)])
        if len(batch) and int(batch["ts_ns"].min()) > end_ns + source.lateness_ns:
            break
    events = np.concatenate(parts)
    return pl.DataFrame({name: np.ascontiguousarray(events[name]) for name in _COLUMNS}).lazy()
