"""The equity bridge: why every account's equity changed between two ticks, from the events between them. Residual zero.

    change = trading + funding + fees + liquidation + socialised + transfers

Trading is the money of all trades and assignments with the change in value of the positions, which are followed through the
events; the change itself is taken from wallets and positions as the venue has them. So the residual is a check: what no
event tells shows in it. Fees are told at ticks: take the bridge from one tick to another.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from engine.contract import EVENT_DTYPE, MICRO, EventKind, LedgerLine, Reason

BRIDGE_DTYPE: Final = np.dtype(
    [
        (name, "<i8")
        for name in (
            "opening", "trading", "funding", "fees", "liquidation", "socialised", "transfers", "closing", "change", "residual",
            "throttled",
        )
    ]
)  # fmt: skip
"""Micro-units of the quote by account; `liquidation` is fees of forced execution and takeovers; `throttled` counts refused
ops."""

_COLUMNS: Final = {
    LedgerLine.FUNDING: "funding",
    LedgerLine.ROUNDING: "funding",
    LedgerLine.FEE: "fees",
    LedgerLine.MAKER_FEE: "fees",
    LedgerLine.LIQUIDATION_FEE: "liquidation",
    LedgerLine.TAKEOVER: "liquidation",
    LedgerLine.SOCIALISED: "socialised",
}
_PARTS: Final = ("trading", "funding", "fees", "liquidation", "socialised", "transfers")


class Position(NamedTuple):
    """A venue at one tick: all wallets of each account together int64 [A], lots int64 [A, S], margin prices int64 [S] in
    micro-ticks."""

    money: np.ndarray
    lots: np.ndarray
    prices: np.ndarray


def bridge(events: np.ndarray, opening: Position, closing: Position, units: np.ndarray) -> np.ndarray:
    """BRIDGE_DTYPE [A].

    Args:
        events: EVENT_DTYPE [n], all that came between the two.
        opening, closing: the venue before and after.
        units: int64 [S], micro-units of the quote that a lot is worth at a tick.

    Raises:
        ValueError: events of another layout, or of an account or symbol that the venue does not have.
    """
    if events.dtype != EVENT_DTYPE:
        raise ValueError(f"events must be EVENT_DTYPE, not {events.dtype}")
    accounts, symbols = opening.lots.shape
    table = np.zeros(accounts, BRIDGE_DTYPE)
    lots = opening.lots.copy()
    trades = events[(events["kind"] == EventKind.TRADE) | (events["kind"] == EventKind.ASSIGN)]
    ledger = events[events["kind"] == EventKind.LEDGER]
    transfers = events[events["kind"] == EventKind.TRANSFER]
    for told in (trades, ledger, transfers):
        if len(told) and not (told["account"].min() >= 0 and told["account"].max() < accounts):
            raise ValueError(f"an event names an account outside 0 to {accounts - 1}")
    if len(trades):
        if not (trades["symbol"].min() >= 0 and trades["symbol"].max() < symbols):
            raise ValueError(f"a trade names a symbol outside 0 to {symbols - 1}")
        got = np.where(trades["side"] == 0, trades["qty"], -trades["qty"])
        in_book = trades["kind"] == EventKind.TRADE
        paid = np.where(in_book, got * np.where(in_book, trades["price"], 0) * units[trades["symbol"]], trades["leaves"])
        for who, sign in (("account", 1), ("contra_account", -1)):
            np.add.at(lots, (trades[who], trades["symbol"]), sign * got)
            np.subtract.at(table["trading"], trades[who], sign * paid)
    for line, column in _COLUMNS.items():
        rows = ledger[ledger["code"] == line]
        np.add.at(table[column], rows["account"], rows["qty"])
    np.add.at(table["transfers"], transfers["account"], transfers["qty"])
    refused = events[(events["kind"] == EventKind.REJECT) & np.isin(events["code"], (Reason.THROTTLED, Reason.BANNED))]
    refused = refused[(refused["account"] >= 0) & (refused["account"] < accounts)]
    np.add.at(table["throttled"], refused["account"], 1)
    before = value(opening.lots, opening.prices, units)
    table["opening"] = opening.money + before
    table["closing"] = closing.money + value(closing.lots, closing.prices, units)
    table["trading"] += value(lots, closing.prices, units) - before
    table["change"] = table["closing"] - table["opening"]
    table["residual"] = table["change"] - sum(table[name] for name in _PARTS)
    return table


def value(lots: np.ndarray, prices: np.ndarray, units: np.ndarray) -> np.ndarray:
    """What positions are worth, int64 [A]: each rounded down to the micro-unit, as the venue does
    (`engine.wallets.value_micro`)."""
    whole, rest = prices // MICRO, prices % MICRO
    each = whole * units + rest * units // MICRO
    total: np.ndarray = (lots * each + lots * (rest * units % MICRO) // MICRO).sum(axis=1)
    return total


def unexpected(table: np.ndarray, share: float = 0.5, material_ppm: int = 1_000) -> np.ndarray:
    """Accounts whose equity fees, funding, liquidation or throttling changed beyond trading: a residual that is not zero;
    ops refused by the throttle in a losing stretch; or lines other than trading and transfers that make up more than `share`
    of what changed, and at least `material_ppm` of the equity that there was.

    "Did fees, funding or throttling change equity unexpectedly?" is this one query. Numbers of accounts, int64, ascending.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}, it must be above 0 and at most 1")
    if material_ppm < 0:
        raise ValueError(f"material_ppm is {material_ppm}, it must not be negative")
    charges = sum(np.abs(table[name]) for name in ("funding", "fees", "liquidation", "socialised"))
    moved = charges + np.abs(table["trading"])
    heavy = (charges > 0) & (charges > share * moved) & (charges >= np.abs(table["opening"]) / MICRO * material_ppm)
    held_up = (table["throttled"] > 0) & (table["trading"] < 0)
    return np.flatnonzero((table["residual"] != 0) | heavy | held_up)
