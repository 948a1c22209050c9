"""Every metric of a window: its name, family, layer, unit and formula, in column order.

One row of `metrics.parquet` is one (window, symbol). A metric that the source cannot give is missing (null), never zero.
The table in the README is generated from this list; a test holds it and the code together.

Terms of the formulas. The *touch* is the best bid and the best ask. *Mid* is their mean; while a side is empty it is the
last mid there was. A *sample* is taken at the end of each tenth of a window, of the book as it stands just before; a
metric over ten samples leaves out those without a book (none yet, or since a CLEAR that no content has followed). An event
counts in the window of its own time; one that comes after that window has closed counts in `late` alone, wherever it then
is, and one flagged SNAPSHOT counts nowhere. The dollar of a unit is the instrument's quote currency.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal

import msgspec

Family = Literal["data", "cancels", "depth", "leverage", "prices"]
Layer = Literal["data", "pricing", "margin", "execution", "post-trade"]


class Metric(msgspec.Struct, frozen=True):
    """One column. `needs` is the capability a source must have for it (see `monitor.sources`), or empty; of capabilities that
    `|` parts, one will do; of those that `&` joins, all are needed."""

    name: str
    family: Family
    layer: Layer
    unit: str
    needs: str
    formula: str

    def told_by(self, capabilities: Collection[str]) -> bool:
        """Whether a source with these capabilities gives it."""
        return not self.needs or any(set(need.split("&")) <= set(capabilities) for need in self.needs.split("|"))


def _metrics(family: Family, layer: Layer, rows: list[tuple[str, str, str, str]]) -> list[Metric]:
    return [Metric(name, family, layer, unit, needs, formula) for name, unit, needs, formula in rows]


CATALOGUE: Final[tuple[Metric, ...]] = tuple(
    _metrics("data", "data", [
        ("messages", "count", "", "order-flow events of the symbol: adds, cancels, trades, level changes, rejects"),
        ("late", "count", "", "events that arrived after their window had closed, counted where they arrived"),
        ("gaps", "count", "", "GAP events of the symbol, or of no symbol"),
        ("crossed_ms", "ms", "book", "time within the window in which best bid ≥ best ask"),
        ("closed_ms", "ms", "ops", "time within the window in which the venue said that the symbol is not open to all orders"),
        ("book_age_ms", "ms", "book", "window end − time of the last event that touched the book"),
        ("feed_lag_ms", "ms", "arrival", "longest way of a message: arrival − the venue's time in it, by their own clocks"),
    ])
    + _metrics("cancels", "execution", [
        ("adds", "count", "book", "orders that came to rest (L3) or increases of a level's size (L2)"),
        ("cancels", "count", "book",
         "cancels, full or partial (L3), or decreases of a level's size no trade explains (L2; see cancels.py)"),
        ("cancels_buy", "count", "book", "cancels on the bid side"),
        ("cancels_sell", "count", "book", "cancels on the ask side"),
        ("cancels_near", "count", "book", "cancels at prices within 10 bps of the mid before them"),
        ("cancels_after_fill", "count", "accounts",
         "cancels within a second after the same account traded on the other side (RISK-SPEC 10, opposite-side fill)"),
        ("fleeting_cancels", "count", "orders", "cancels, full or partial, of orders that had rested < 100 ms"),
        ("slow_fleeting_cancels", "count", "orders", "the same < 2 s (RISK-SPEC 10, fleeting)"),
        ("replaces", "count", "orders", "orders taken out to be entered anew: amended out of their place, or quoted anew"),
        ("rejects", "count", "ops", "ops refused"),
        ("throttled", "count", "ops", "of those, refused by the throttle or in a ban"),
        ("retries", "count", "ops&accounts", "ops refused within a second after the account's last refusal in the symbol"),
        ("added_lots", "lots", "book", "lots of the adds"),
        ("cancelled_lots", "lots", "book", "lots of the cancels"),
        ("trades", "count", "trades", "fills, hidden ones included"),
        ("traded_lots", "lots", "trades", "lots traded, each fill once"),
        ("signed_lots", "lots", "trades", "lots that takers bought less those they sold"),
        ("order_to_trade_ratio", "ratio", "orders", "(adds + cancels) / max(trades, 1) − 1 (RISK-SPEC 10, by number)"),
        ("volume_to_trade_ratio", "ratio", "orders",
         "(added lots + cancelled lots) / max(traded lots, 1) − 1 (RISK-SPEC 10, by volume)"),
        ("cancel_to_add", "ratio", "book", "cancels / adds; missing without adds"),
        ("cancel_burstiness", "ratio", "book",
         "variance / mean of the cancels in twentieths of the window (Fano): 1 if they come at random; missing without any"),
        ("lifetime_p50_ms", "ms", "orders", "median life of the orders cancelled in full, within 0.8%; missing if none was"),
        ("top_cancel_share", "share", "accounts", "largest account's share of the cancels; missing without cancels"),
    ])
    + _metrics("depth", "execution", [
        ("spread_bps", "bps", "book", "time-weighted (ask − bid) / mid; 20,000 while a side is empty, 0 while crossed"),
        ("depth_bid_5_usd", "usd", "book", "quote value of the best five bid levels, mean of ten samples"),
        ("depth_ask_5_usd", "usd", "book", "the same on the ask side"),
        ("depth_bid_10bps_usd", "usd", "deep_book", "quote value of the bids at or above mid − 10 bps, mean of ten samples"),
        ("depth_ask_10bps_usd", "usd", "deep_book", "quote value of the asks at or below mid + 10 bps, mean of ten samples"),
        ("levels_10bps", "count", "deep_book", "price levels within 10 bps of mid, both sides, mean of ten samples"),
        ("imbalance", "share", "book", "(bid − ask) / (bid + ask) of the two five-level depths; missing when both are 0"),
        ("slippage_buy_bps", "bps", "book",
         "cost over mid of buying usual_depth_usd at once, 0 … 10,000, mean of ten samples (see depth.py)"),
        ("slippage_sell_bps", "bps", "book", "the same for selling"),
        ("slippage_2x_bps", "bps", "book", "the same for twice that size, on the side where that is dearer"),
        ("slippage_convexity_bps", "bps", "book",
         "slippage of twice the size less that of the size, on the side where that is more: 0 in an even book"),
        ("usual_depth_usd", "usd", "book",
         "mean five-level depth of a side over the windows before, half-life 1 h: the size of slippage"),
        *((f"depth_{side}_{bps}bps_usd", "usd", "deep_book", f"value of the {side}s within {bps} bps of mid at window end")
          for bps in (5, 25, 50) for side in ("bid", "ask")),
        ("top5_depth_share", "share", "accounts",
         "five largest accounts' share of the lots within 10 bps of mid, both sides, at window end; missing without any"),
        ("hhi_depth", "index", "accounts", "Σ share² of the same lots by account"),
        ("resilience_ms", "ms", "book",
         "longest refill that ended in the window: from half of usual_depth_usd gone to half of that regained (see impact.py)"),
        ("kyle_lambda", "bps/musd", "trades",
         "slope of return_bps on signed trading in millions, half-life 5 min; missing before 30 windows with trades"),
        ("vpin", "share", "trades",
         "mean |buyers − sellers| / volume of the last 50 volume buckets (see impact.py); for information"),
        ("ofi_lots", "lots", "book", "order-flow imbalance: signed changes of the best quotes' size (Cont and others 2014)"),
    ])
    + _metrics("leverage", "margin", [
        ("open_interest_usd", "usd", "open_interest",
         "open interest (one side) at the mark, without one at mid, without that at last"),
        ("open_interest_change_lots", "lots", "open_interest", "change of open interest since the previous window's end"),
        ("leverage_p50", "x", "accounts",
         "median over accounts with a position here of account notional / equity (wallet + unrealised), at most 125"),
        ("leverage_p90", "x", "accounts", "90th percentile of the same (nearest rank)"),
        ("leverage_weighted", "x", "accounts", "the same weighted by the account's position in the symbol"),
        ("leverage_new", "x", "accounts",
         "the same over accounts whose position here grew or turned, weighted by the new lots; missing if none"),
        ("long_short_skew", "share", "accounts",
         "(accounts long − accounts short) / accounts with a position: +1 all long, −1 all short"),
        ("positions", "count", "accounts", "accounts with a position in the symbol"),
        ("underwater", "count", "accounts", "of those, accounts with equity ≤ 0 (they count as leverage 125)"),
        ("top_position_share", "share", "accounts", "largest position / open interest (one side); missing without positions"),
        ("hhi_open_interest", "index", "accounts", "Σ share² of open interest over accounts, long and short apart, the larger"),
        ("liquidations", "count", "liquidations", "trades of the venue's forced orders"),
        ("liquidated_lots", "lots", "liquidations", "their lots"),
        ("liquidated_long_usd", "usd", "liquidations", "quote value of those that sold: longs"),
        ("liquidated_short_usd", "usd", "liquidations", "quote value of those that bought: shorts"),
        ("takeovers", "count", "accounts", "positions that the insurance fund took over"),
        ("deleveraged_lots", "lots", "accounts", "lots closed by auto-deleveraging"),
        *((f"bankruptcies_{percent}pct_to_depth", "ratio", "accounts&deep_book",
           f"value of the longs whose equity a fall of {percent}% here would use up / bids within {percent}% of mid; or of the"
           " shorts against the asks, if that is more")
          for percent in (1, 2, 5)),
        ("accounts_reminded", "count", "accounts",
         "accounts with a position here told to be at REMIND or worse, or unknown (Binance: uniMMR under 150%)"),
        ("accounts_restricted", "count", "accounts",
         "accounts with a position here that may only reduce: told to be at REDUCE_ONLY or worse, or unknown (under 120%)"),
        ("accounts_liquidating", "count", "accounts", "of those, at LIQUIDATE or CLAIM (under 105%)"),
        ("deposits_usd", "usd", "accounts", "paid into the wallets of accounts that had a position here in the window"),
        ("withdrawals_usd", "usd", "accounts", "taken out of them"),
        ("funding_paid_usd", "usd", "accounts", "funding they paid, less what they got; over all symbols of an account"),
        ("fees_paid_usd", "usd", "accounts", "trading fees they paid, less rebates"),
        ("liquidation_cost_usd", "usd", "accounts", "extra cost of forced execution they paid"),
    ])
    + _metrics("prices", "pricing", [
        ("mid_usd", "usd", "book", "mid price at window end; missing while a side is empty"),
        ("last_usd", "usd", "trades|last", "last trade's price"),
        ("mark_usd", "usd", "mark", "mark price at window end"),
        ("index_usd", "usd", "index", "index price at window end"),
        ("mark_index_bps", "bps", "mark", "10⁴ · ln(mark / index)"),
        ("mark_last_bps", "bps", "mark", "10⁴ · ln(mark / last)"),
        ("mid_index_bps", "bps", "index", "10⁴ · ln(mid / index); the last price where the source has no book"),
        ("realised_vol_bps", "bps", "book", "√Σ r² over the mid returns between samples, from the last of the window before"),
        ("return_bps", "bps", "book|trades|last",
         "10⁴ · ln(mid at end / mid at the previous window's end); of last prices where the source has no book"),
        ("funding_rate_bps", "bps", "funding", "funding rate of the running interval"),
        ("funding_vol", "bps²", "funding", "funding_rate_bps · realised_vol_bps: funding amplifies crowding when prices move"),
        ("index_age_ms", "ms", "index", "window end − time of the last index"),
        ("mark_age_ms", "ms", "mark", "window end − time of the last mark"),
    ])
)  # fmt: skip

METRIC_NAMES: Final[tuple[str, ...]] = tuple(metric.name for metric in CATALOGUE)


def column(name: str) -> int:
    """Index of the metric `name` among the columns. Raises ValueError for a name that is none."""
    return METRIC_NAMES.index(name)
