"""Fill or kill: whether an order would trade whole, by walking the book as the trade would (`docs/matching.md`, section 5)."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.contract import SelfTrade
from engine.kernel import constant, inner
from engine.ladder import find_level, next_key
from engine.market import HAS_EXTRA, NOTHING, REDUCING, reducible

_EXPIRE_MAKER: Final = constant(SelfTrade.EXPIRE_MAKER)
_ALLOW: Final = constant(SelfTrade.ALLOW)


@inner
def is_fillable(book: np.void, desk: np.void, holdings: np.ndarray, taker: np.void, symbol: int) -> bool:
    """Whether a fill-or-kill taker would trade whole: of each level displayed lots come first, then hidden ones."""
    makers = book["sides"][1 - taker["side"]]
    left = taker["qty"]
    key = makers["touch"]
    while left > 0 and key >= taker["limit"]:
        first = np.uint64(makers["levels"][find_level(makers, key)]["head"])
        slot = first
        while slot and left > 0:
            maker = book["orders"][slot]
            if maker["account"] != taker["account"] or taker["stp"] == _ALLOW:
                left -= _countable(book, desk, holdings, taker, slot, symbol)
            elif taker["stp"] != _EXPIRE_MAKER:
                return False
            slot = np.uint64(maker["next"])
        slot = first
        while slot and left > 0:
            maker = book["orders"][slot]
            if maker["account"] != taker["account"] or taker["stp"] == _ALLOW:
                left -= _hidden(desk, maker, slot)
            slot = np.uint64(maker["next"])
        key = next_key(makers, key)
    fillable: bool = left <= 0
    return fillable


@inner
def _hidden(desk: np.void, order: np.void, slot: np.uint64) -> int:
    return desk["extras"][slot]["hidden"] if order["flags"] & HAS_EXTRA else NOTHING


@inner
def _countable(book: np.void, desk: np.void, holdings: np.ndarray, taker: np.void, slot: np.uint64, symbol: int) -> int:
    """Displayed lots that the order at `slot` will have when a fill-or-kill taker comes to it."""
    maker = book["orders"][slot]
    account = maker["account"]
    if not maker["flags"] & REDUCING or account == taker["account"]:
        lots: int = maker["qty"]
        return lots
    # A reduce-only order has what its account's other orders before it leave of the position.
    makers = book["sides"][1 - taker["side"]]
    position = reducible(holdings[account, symbol]["lots"], maker["side"])
    key = makers["touch"]
    while True:
        first = np.uint64(makers["levels"][find_level(makers, key)]["head"])
        at = first
        while at:
            order = book["orders"][at]
            if order["account"] == account:
                lots = order["qty"]
                if order["flags"] & REDUCING and lots > position:
                    lots = max(0, position) if desk["rules"]["shrink_reduce_only"] else 0
                if at == slot:
                    return lots
                position -= lots
            at = np.uint64(order["next"])
        at = first
        while at:
            if book["orders"][at]["account"] == account:
                position -= _hidden(desk, book["orders"][at], at)
            at = np.uint64(book["orders"][at]["next"])
        key = next_key(makers, key)
