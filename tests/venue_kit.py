"""Venues for tests: packs with parts of the rules changed, ops, and what must hold whatever was done."""

from __future__ import annotations

import msgspec
import numpy as np

from engine.contract import MICRO, OP_DTYPE, EventKind, OpKind, Reference
from engine.instruments import Pack
from engine.venue import Venue

SECOND = 10**9
T0 = 1_767_225_600 * SECOND
NOWHERE = (OpKind.CLOCK, OpKind.TRANSFER, OpKind.DEAD_MAN)


def without_margin(pack: Pack) -> Pack:
    """The pack without ladders and fees: nobody needs a wallet."""
    instruments = tuple(msgspec.structs.replace(instrument, ladder="") for instrument in pack.instruments)
    fees = msgspec.structs.replace(pack.fees, tiers=((0, 0, 0),), liquidation_ppm=0)
    return msgspec.structs.replace(pack, instruments=instruments, fees=fees)


def changed(pack: Pack, **sections: dict[str, object]) -> Pack:
    """The pack with some keys of some sections changed: `changed(pack, liquidation={"path": "market"})`."""
    replaced = {name: msgspec.structs.replace(getattr(pack, name), **keys) for name, keys in sections.items()}
    return msgspec.structs.replace(pack, **replaced)


def op(kind: OpKind, **fields: int) -> np.ndarray:
    """One op at T0 in symbol 0, or in none where its kind has none."""
    row = np.zeros(1, OP_DTYPE)
    row["kind"] = kind
    row["ts_ns"] = T0
    row["symbol"] = -1 if kind in NOWHERE else 0
    for name, value in fields.items():
        row[name] = value
    return row


def index(price: int, **fields: int) -> np.ndarray:
    """An index in ticks."""
    return op(OpKind.REFERENCE, code=Reference.INDEX, price=price * MICRO, **fields)


def check_books(venue: Venue, transferred: int) -> None:
    """What holds at any time: money and lots are conserved, and the wallets know the market's positions."""
    wallets = venue.wallets
    assert int(wallets.cash.sum()) + int(wallets.isolated.sum()) == transferred
    assert not wallets.held.sum(axis=0).any()
    assert np.array_equal(wallets.held, venue.market.holdings["lots"])


def replayed(events: np.ndarray, accounts: int, units: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(money, lots): every account's wallets together and its positions, from the events alone, int64 [A] and [A, S]."""
    money = np.zeros(accounts, np.int64)
    lots = np.zeros((accounts, len(units)), np.int64)
    charges = {EventKind.TRANSFER, EventKind.LEDGER}
    for event in events:
        account, contra, symbol, qty = (int(event[name]) for name in ("account", "contra_account", "symbol", "qty"))
        if event["kind"] in charges:
            money[account] += qty
        elif event["kind"] in (EventKind.TRADE, EventKind.ASSIGN):
            got = qty if event["side"] == 0 else -qty
            trade = event["kind"] == EventKind.TRADE
            paid = got * int(event["price"]) * units[symbol] if trade else int(event["leaves"])
            money[account] -= paid
            money[contra] += paid
            lots[account, symbol] += got
            lots[contra, symbol] -= got
    return money, lots
