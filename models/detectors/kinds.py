"""What sort of anomaly it is: rules over the last rows of the symbol, told apart for people. Nothing is scored here.

Each rule reads only what stands in the metrics, so that anybody can check it. Where a metric is missing a rule that needs it
does not apply.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.anomaly import Contribution

LOOK_BACK: Final = 60
"""Rows that the rules look at."""

STUFFING: Final = "stuffing"
STORM: Final = "storm"
LAYERING: Final = "layering"
FAST: Final = "fast"
SLOW_FADE: Final = "slow fade"
BY_TRADES: Final = "explained by trades"
RAMP: Final = "ramp"
WITHDRAWAL: Final = "withdrawal"
DELEVERAGING: Final = "deleveraging"
CROWDING: Final = "crowding"
SUSPECT: Final = "suspect data"
STALE: Final = "stale source"
ONE_PRINT: Final = "one-print outlier"
DIVERGENCE: Final = "divergence"
FUNDING: Final = "funding"

CONTEXT: Final = frozenset({CROWDING})
"""Kinds that tell of the state of a market and are no reason to wake anybody."""

_FLEETING: Final = 0.5
"""Share of the cancels that were of orders younger than 100 ms, from which they are stuffing."""
_ONE_SIDED: Final = 0.6
"""|buy − sell| / cancels, from which a stack stood on one side."""
_AFTER_FILL: Final = 0.3
"""Share of the cancels that came within a second of a fill on the other side."""
_SWEEP_ROWS: Final = 5
"""Rows whose trades are held against what the book lost."""
_SUDDEN: Final = 0.4
"""Share of a fade that must have come in the last ten rows for it to be fast."""
_ODD_BPS: Final = 3.0
"""Two prices this close to each other agree."""
_CHANGES: Final = frozenset({"open_interest_change_bps", "leverage_weighted_change_bps", "leverage_new"})


class Rows(NamedTuple):
    """The last rows of a symbol, the newest last: `values` float64 [n, M], `at` the columns by metric name, `length` how many
    of the rows the anomaly's window has."""

    values: NDArray[np.float64]
    at: dict[str, int]
    length: int

    def total(self, metric: str, rows: int | None = None) -> float:
        """The sum over the window's rows, or over the last `rows`; NaN without a value."""
        known = self._known(metric)[-(rows or self.length) :]
        return float(np.nansum(known)) if np.isfinite(known).any() else np.nan

    def mean(self, metric: str, first: int, last: int) -> float:
        """The mean over the rows from `first` to `last` (exclusive) before the newest, which is 0."""
        known = self._known(metric)
        part = known[max(len(known) - last, 0) : max(len(known) - first, 0)]
        return float(np.nanmean(part)) if np.isfinite(part).any() else np.nan

    def last(self, metric: str) -> float:
        known = self._known(metric)
        return float(known[-1]) if len(known) else np.nan

    def _known(self, metric: str) -> NDArray[np.float64]:
        column = self.at.get(metric)
        return np.full(len(self.values), np.nan) if column is None else self.values[:, column]


Told = tuple[str, tuple[str, ...]]


def kind_of(family: str, contributions: tuple[Contribution, ...], rows: Rows) -> Told:
    """(kind, notes) of an anomaly of `family` whose contributions are these, the largest first."""
    rule = _RULES.get(family)
    return rule(contributions, rows) if rule is not None else ("", ())


def _cancels(contributions: tuple[Contribution, ...], rows: Rows) -> Told:
    cancels, adds = rows.total("cancels"), rows.total("adds")
    notes: list[str] = []
    life = rows.last("lifetime_p50_ms")
    if np.isfinite(life):
        notes.append(f"half of the orders cancelled in the last second had lived {_life(life)} or less")
    if contributions[0].feature == "rejects":
        throttled, retries = rows.total("throttled"), rows.total("retries")
        rejects = rows.total("rejects")
        if throttled > 0.0:
            notes.append(f"{throttled / rejects:.0%} of the refusals came from the throttle or a ban")
        if retries > 0.0:
            notes.append(f"{retries / rejects:.0%} were sent within a second of the refusal before: nobody backs off")
        return STORM, tuple(notes)
    one_sided = abs(rows.total("cancels_buy") - rows.total("cancels_sell")) / max(cancels, 1.0)
    if rows.total("cancels_after_fill") >= _AFTER_FILL * cancels and one_sided >= _ONE_SIDED:
        side = "buy" if rows.total("cancels_buy") > rows.total("cancels_sell") else "sell"
        notes.insert(0, f"{side} orders were pulled right after a fill on the other side")
        return LAYERING, tuple(notes)
    if rows.total("fleeting_cancels") >= _FLEETING * cancels and adds >= 0.5 * cancels:
        notes.insert(0, "orders came and went faster than anybody could trade with them")
        return STUFFING, tuple(notes)
    return STORM, tuple(notes)


def _depth(contributions: tuple[Contribution, ...], rows: Rows) -> Told:
    traded = rows.total("traded_lots", _SWEEP_ROWS)
    pulled = rows.total("cancelled_lots", _SWEEP_ROWS) - rows.total("added_lots", _SWEEP_ROWS)
    trades, usual = rows.total("trades", _SWEEP_ROWS), rows.mean("trades", _SWEEP_ROWS, LOOK_BACK) * _SWEEP_ROWS
    if traded > max(pulled, 0.0) and trades > 3.0 * usual:
        return BY_TRADES, (f"{trades:.0f} trades in {_SWEEP_ROWS} rows took more than was withdrawn",)
    now, before, long_before = (_depth_at(rows, *span) for span in ((0, 3), (10, 20), (40, 60)))
    fade, lately = np.log(long_before / now), np.log(before / now)
    if fade > 0.0 and lately < _SUDDEN * fade:
        return SLOW_FADE, (f"the book lost {1.0 - now / long_before:.0%} within a minute, little of it in the last ten rows",)
    return FAST, ()


def _depth_at(rows: Rows, first: int, last: int) -> float:
    depth = rows.mean("depth_bid_5_usd", first, last) + rows.mean("depth_ask_5_usd", first, last)
    return max(depth, 1e-9)


def _leverage(contributions: tuple[Contribution, ...], rows: Rows) -> Told:
    first = contributions[0]
    change = rows.total("open_interest_change_lots")
    moved = rows.total("traded_lots") + rows.total("deleveraged_lots", rows.length)
    if first.feature == "open_interest_change_bps" and abs(change) > moved:
        # Every lot of open interest is opened or closed by a trade, or by the venue.
        return SUSPECT, (f"open interest moved by {abs(change):,.0f} lots and {moved:,.0f} were traded",)
    if first.feature == "open_interest_change_bps" and (first.value or 0.0) < 0.0:
        forced = rows.total("liquidated_lots")
        return DELEVERAGING, (f"{forced:,.0f} lots were liquidated",) if forced > 0.0 else ()
    taken, paid = rows.total("withdrawals_usd", LOOK_BACK), rows.total("deposits_usd", LOOK_BACK)
    if (
        first.feature != "open_interest_change_bps"
        and taken > 2.0 * paid
        and change <= 0.02 * rows.total("traded_lots", LOOK_BACK)
    ):
        return WITHDRAWAL, (f"{taken:,.0f} USD of collateral left within a minute, {paid:,.0f} came in",)
    if not any(part.feature in _CHANGES and part.contribution > 0.2 * first.contribution for part in contributions):
        return CROWDING, ("the level is high; nothing changed in a hurry",)
    return RAMP, ()


def _prices(contributions: tuple[Contribution, ...], rows: Rows) -> Told:
    first = contributions[0].feature
    if first.endswith("_age_ms"):
        return STALE, (f"no {first.removesuffix('_age_ms')} price for {rows.last(first) / 1000.0:.1f} s",)
    if first == "funding_rate_bps":
        return FUNDING, ()
    prices = {name: rows.last(f"{name}_usd") for name in ("mark", "index", "last", "mid")}
    odd = _odd_one_out(prices)
    notes = (f"the {odd} price is the odd one out: the others agree within {_ODD_BPS:.0f} bps",) if odd else ()
    if odd == "last" and rows.last("trades") <= 1.0:
        return ONE_PRINT, (*notes, "one print says so; the next one decides")
    return DIVERGENCE, notes


def _odd_one_out(prices: dict[str, float]) -> str:
    """The one price without which all others agree; "" if there is none, or more than one."""
    known = {name: price for name, price in prices.items() if price > 0.0}
    if len(known) < 3:
        return ""
    found = [name for name in known if _agree([price for other, price in known.items() if other != name])]
    return found[0] if len(found) == 1 and not _agree(list(known.values())) else ""


def _agree(prices: list[float]) -> bool:
    return bool(1e4 * np.log(max(prices) / min(prices)) <= _ODD_BPS)


def _life(ms: float) -> str:
    return f"{ms:.0f} ms" if ms < 1000.0 else f"{ms / 1000.0:.1f} s"


_RULES: Final[dict[str, Callable[[tuple[Contribution, ...], Rows], Told]]] = {
    "cancels": _cancels,
    "depth": _depth,
    "leverage": _leverage,
    "prices": _prices,
}
