"""Every metric of a window: its name, family, layer, unit and formula, in column order.

One row of `metrics.parquet` is one (window, symbol). A metric that the source cannot give is missing (null), never zero.
The table in the README is generated from this list; a test holds it and the code together.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Family = Literal["data", "cancels", "depth", "leverage", "prices"]
Layer = Literal["data", "pricing", "margin", "execution", "post-trade"]


class Metric(msgspec.Struct, frozen=True):
    """One column. `needs` is the capability a source must have for it (see `monitor.sources`)."""

    name: str
    family: Family
    layer: Layer
    unit: str
    needs: str
    formula: str


def _metrics(family: Family, layer: Layer, rows: list[tuple[str, str, str, str]]) -> list[Metric]:
    return [Metric(name, family, layer, unit, needs, formula) for name, unit, needs, formula in rows]


CATALOGUE: Final[tuple[Metric, ...]] = tuple(
    _metrics("data", "data", [
        ("messages", "count", "", "all order-flow events of the symbol (adds, cancels, trades, level changes, rejects)"),
        ("late", "count", "", "events that arrived after their window had closed, counted where they arrived"),
        ("gaps", "count", "", "GAP events"),
        ("crossed_ms", "ms", "book", "time within the window in which best bid ≥ best ask"),
        ("book_age_ms", "ms", "book", "window end − time of the last event that touched the book"),
    ])
    + _metrics("cancels", "execution", [
        ("adds", "count", "book", "orders (L3) or level increases (L2) added"),
        ("cancels", "count", "book", "cancels, full or partial (L3), or level decreases no trade explains (L2)"),
        ("cancels_buy", "count", "book", "cancels on the bid side"),
        ("cancels_sell", "count", "book", "cancels on the ask side"),
        ("cancels_near", "count", "book", "cancels within 10 bps of the opposite touch's side mid"),
        ("fleeting_cancels", "count", "orders", "cancels of orders that lived < 100 ms"),
        ("rejects", "count", "ops", "ops refused"),
        ("added_lots", "lots", "book", "lots added"),
        ("cancelled_lots", "lots", "book", "lots cancelled"),
        ("trades", "count", "trades", "fills"),
        ("traded_lots", "lots", "trades", "lots traded, each fill once"),
        ("order_to_trade_ratio", "ratio", "orders", "(adds + cancels) / max(trades, 1) − 1 (RISK-SPEC 10, by number)"),
        ("lifetime_p50_ms", "ms", "orders", "median life of the orders cancelled in full; missing if none was"),
        ("top_cancel_share", "share", "accounts", "largest account's share of the cancels; missing without cancels"),
    ])
    + _metrics("depth", "execution", [
        ("spread_bps", "bps", "book", "time-weighted (ask − bid) / mid"),
        ("depth_bid_5_usd", "usd", "book", "quote value of the best five bid levels, mean of ten samples a window"),
        ("depth_ask_5_usd", "usd", "book", "the same on the ask side"),
        ("depth_bid_10bps_usd", "usd", "deep_book", "quote value of bids within 10 bps of mid, mean of ten samples"),
        ("depth_ask_10bps_usd", "usd", "deep_book", "the same on the ask side"),
        ("levels_10bps", "count", "deep_book", "price levels within 10 bps of mid, both sides, mean of ten samples"),
        ("imbalance", "share", "book", "(bid − ask) / (bid + ask) of the five-level depth"),
        ("slippage_buy_bps", "bps", "book", "cost over mid of buying the usual one-side depth; see windows.py"),
        ("slippage_sell_bps", "bps", "book", "the same for selling"),
        ("slippage_2x_bps", "bps", "book", "cost of twice that size on the dearer side"),
        ("usual_depth_usd", "usd", "book", "slow mean (half-life 1 h) of one side's five-level depth: the size slippage is asked for"),
        ("ofi_lots", "lots", "book", "order-flow imbalance: signed changes of the best quotes' size (Cont et al.)"),
    ])
    + _metrics("leverage", "margin", [
        ("open_interest_usd", "usd", "open_interest", "open interest (one side) at the mark"),
        ("open_interest_change_lots", "lots", "open_interest", "change of open interest over the window"),
        ("leverage_p50", "x", "accounts", "median over accounts in the symbol of account notional / (wallet + unrealised)"),
        ("leverage_p90", "x", "accounts", "90th percentile of the same"),
        ("leverage_weighted", "x", "accounts", "the same weighted by the account's notional in the symbol"),
        ("leverage_new", "x", "accounts", "the same over accounts that increased a position here, weighted by the increase; missing if none"),
        ("positions", "count", "accounts", "accounts with a position in the symbol"),
        ("underwater", "count", "accounts", "of those, accounts with wallet + unrealised ≤ 0 (they count as leverage 125)"),
        ("top_position_share", "share", "accounts", "largest account's share of the open interest"),
        ("hhi_open_interest", "index", "accounts", "Σ share² of open interest over accounts, long and short apart, the larger"),
    ])
    + _metrics("prices", "pricing", [
        ("mid_usd", "usd", "book", "mid price at window end"),
        ("last_usd", "usd", "trades", "last trade's price"),
        ("mark_usd", "usd", "mark", "mark price at window end"),
        ("index_usd", "usd", "index", "index price at window end"),
        ("mark_index_bps", "bps", "mark", "10⁴ · ln(mark / index)"),
        ("mark_last_bps", "bps", "mark", "10⁴ · ln(mark / last)"),
        ("mid_index_bps", "bps", "index", "10⁴ · ln(mid / index)"),
        ("realised_vol_bps", "bps", "book", "√Σ r² of ten 100 ms mid returns a window"),
        ("return_bps", "bps", "book", "10⁴ · ln(mid at end / mid at the previous window's end)"),
        ("funding_rate_bps", "bps", "funding", "funding rate of the running interval"),
        ("index_age_ms", "ms", "index", "window end − time of the last index"),
        ("mark_age_ms", "ms", "mark", "window end − time of the last mark"),
    ])
)

METRIC_NAMES: Final[tuple[str, ...]] = tuple(metric.name for metric in CATALOGUE)
