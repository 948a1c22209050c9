"""What accounts ask of the venue besides orders, and what the venue itself decides: TRANSFER, MARGIN, DELIST and RULE.

All of them are answered by one event with the flag REPLY, or refused by a REJECT with a Reason:

- TRANSFER without a symbol is a deposit or a withdrawal. It takes no token of the throttle. A withdrawal beyond what positions
  and orders leave free is INSUFFICIENT_MARGIN. The insurance fund's account takes deposits, too. With a symbol it moves money
  between the wallet and the symbol's isolated wallet, within what is free on the side it leaves.
- MARGIN sets the mode of a symbol (CROSS, ISOLATED) or of everything else (CROSS, PORTFOLIO). It is POSITION_OPEN with a
position
  or an order there, NO_PORTFOLIO where the pack has none. Money in the isolated wallet goes back with the mode.
- DELIST cancels the symbol's orders, settles every position at the mark through the fund, and halts the symbol for good.
Without
  a mark it is PRICE_UNKNOWN: nothing could be settled fairly.
- RULE changes the throttle of all accounts or a fee of all tiers from now on. Its symbol is -1, its account is not looked at.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.contract import EventFlag, EventKind, LedgerLine, MarginMode, OpKind, Reason, SymbolState, VenueRule
from engine.derived import NOWHERE, Desk
from engine.margining import Terms, assess_alone, available, initial_of
from engine.matching import MAX_TIME_NS
from engine.rules import MAX_ORDER_MICRO
from engine.wallets import value_micro

KINDS: Final = (OpKind.TRANSFER, OpKind.MARGIN, OpKind.DELIST, OpKind.RULE)

_RANGES: Final = {
    VenueRule.THROTTLE: (1, 10**9),
    VenueRule.TAKER_FEE: (-10_000, 10_000),
    VenueRule.MAKER_FEE: (-10_000, 10_000),
}
"""Lowest and highest value of each rule."""

_REPLY: Final = EventFlag.REPLY
_SECOND_NS: Final = 1_000_000_000
_UNUSED: Final = ("order_id", "price", "trigger", "display", "link", "expire_s", "side", "order_type", "tif", "stp", "flags")


class Treasury:
    """Does these ops on a venue's arrays."""

    def __init__(self, desk: Desk, terms: Terms, *, portfolio: bool) -> None:
        self._desk = desk
        self._terms = terms
        self._portfolio = portfolio

    def apply(self, op: np.void) -> None:
        """Does one op, or refuses it; the events are the desk's."""
        desk = self._desk
        engine = desk.market.heads[0]
        reason = self._refusal(op)
        now_ns = int(op["ts_ns"])
        if reason == Reason.TIME_WENT_BACK:
            now_ns = int(engine["now_ns"])
        elif reason not in (Reason.UNKNOWN_ACCOUNT, Reason.UNKNOWN_SYMBOL) and now_ns <= MAX_TIME_NS:
            engine["now_ns"] = now_ns
            desk.market.books["ts_ns"] = now_ns
        desk.now_ns = now_ns
        if reason == Reason.NONE:
            reason = self._do(op)
        if reason != Reason.NONE:
            desk.tell(
                EventKind.REJECT, account=op["account"], symbol=op["symbol"], order_id=op["order_id"], price=op["price"],
                qty=op["qty"], flags=_REPLY, code=reason,
            )  # fmt: skip

    def _refusal(self, op: np.void) -> Reason:
        """What needs no look at the account's money."""
        desk = self._desk
        kind, symbol = op["kind"], int(op["symbol"])
        if op["ts_ns"] > MAX_TIME_NS or (
            symbol == NOWHERE if kind == OpKind.DELIST else kind == OpKind.RULE and symbol != NOWHERE
        ):
            return Reason.BAD_FIELD
        if not NOWHERE <= symbol < len(desk.prices):
            return Reason.UNKNOWN_SYMBOL
        last = desk.fund if kind == OpKind.TRANSFER and symbol == NOWHERE and op["qty"] > 0 else desk.fund - 1
        if kind not in (OpKind.DELIST, OpKind.RULE) and not 0 <= op["account"] <= last:
            return Reason.UNKNOWN_ACCOUNT
        if op["ts_ns"] < desk.market.heads[0]["now_ns"]:
            return Reason.TIME_WENT_BACK
        if any(op[name] != 0 for name in _UNUSED) or (kind in (OpKind.MARGIN, OpKind.DELIST) and op["qty"] != 0):
            return Reason.BAD_FIELD
        allowed = {NOWHERE: (MarginMode.CROSS, MarginMode.PORTFOLIO)}.get(symbol, (MarginMode.CROSS, MarginMode.ISOLATED))
        codes = {OpKind.MARGIN: allowed, OpKind.RULE: tuple(VenueRule)}.get(kind, (0,))
        if op["code"] not in codes:
            return Reason.BAD_FIELD
        if symbol != NOWHERE and desk.prices[symbol]["ended"]:
            return Reason.DELISTED
        if kind == OpKind.TRANSFER and not -MAX_ORDER_MICRO <= op["qty"] <= MAX_ORDER_MICRO:
            return Reason.BAD_QUANTITY
        if kind == OpKind.RULE:
            lowest, highest = _RANGES[VenueRule(op["code"])]
            if not lowest <= op["qty"] <= highest:
                return Reason.BAD_QUANTITY
        return Reason.NONE

    def _do(self, op: np.void) -> Reason:
        account, symbol = int(op["account"]), int(op["symbol"])
        if op["kind"] == OpKind.DELIST:
            return self._delist(symbol)
        if op["kind"] == OpKind.RULE:
            return self._change_rule(VenueRule(op["code"]), int(op["qty"]))
        if op["kind"] == OpKind.MARGIN:
            return self._set_mode(account, symbol, int(op["code"]))
        return self._transfer(account, symbol, int(op["qty"]))

    def _change_rule(self, rule: VenueRule, value: int) -> Reason:
        desk = self._desk
        if rule == VenueRule.THROTTLE:
            throttle = desk.market.heads[0]["throttle"]
            throttle["interval_ns"] = _SECOND_NS // value
            throttle["burst"] = value
        else:
            desk.wallets.rates[:, 0 if rule == VenueRule.TAKER_FEE else 1] = value
        desk.tell(EventKind.ACK, qty=value, code=rule, flags=_REPLY)
        return Reason.NONE

    def _transfer(self, account: int, symbol: int, money: int) -> Reason:
        desk, wallets = self._desk, self._desk.wallets
        if symbol != NOWHERE and not wallets.alone[account, symbol]:
            return Reason.BAD_FIELD
        if symbol != NOWHERE and money < 0:
            free = self._free_alone(account, symbol)
        else:
            free = available(wallets, self._terms, desk.market.holdings, account)
        leaving = -money if symbol == NOWHERE else abs(money)
        if leaving > 0 and (leaving > free or self._is_doubtful(account, symbol)):
            return Reason.INSUFFICIENT_MARGIN
        wallets.cash[account] += money if symbol == NOWHERE else -money
        if symbol != NOWHERE:
            wallets.isolated[account, symbol] += money
        kind = EventKind.TRANSFER if symbol == NOWHERE else EventKind.ACK
        desk.tell(kind, account=account, symbol=symbol, qty=money, flags=_REPLY)
        return Reason.NONE

    def _free_alone(self, account: int, symbol: int) -> int:
        """What an isolated wallet holds beyond the initial margin of its position and orders."""
        holding = self._desk.market.holdings[account, symbol]
        equity, _ = assess_alone(self._desk.wallets, self._terms, account, symbol)
        larger = max(holding["lots"] + holding["open"][0], holding["open"][1] - holding["lots"])
        return int(equity - initial_of(self._terms, symbol, int(larger)))

    def _is_doubtful(self, account: int, symbol: int) -> bool:
        """Whether a position that the money stands for has no sure price."""
        wallets = self._desk.wallets
        held = (wallets.held[account] != 0) & (self._terms.doubtful != 0) & (self._terms.ladders["count"] != 0)
        of_wallet = wallets.alone[account] == 0
        if symbol != NOWHERE:
            of_wallet[symbol] = True
        return bool((held & of_wallet).any())

    def _set_mode(self, account: int, symbol: int, mode: int) -> Reason:
        desk, wallets = self._desk, self._desk.wallets
        holdings = desk.market.holdings[account]
        there = slice(None) if symbol == NOWHERE else slice(symbol, symbol + 1)
        if (holdings["lots"][there] != 0).any() or (holdings["orders"][there] != 0).any():
            return Reason.POSITION_OPEN
        if mode == MarginMode.PORTFOLIO and not self._portfolio:
            return Reason.NO_PORTFOLIO
        if symbol == NOWHERE:
            wallets.portfolio[account] = mode == MarginMode.PORTFOLIO
        else:
            wallets.cash[account] += wallets.isolated[account, symbol]
            wallets.isolated[account, symbol] = 0
            wallets.alone[account, symbol] = mode == MarginMode.ISOLATED
        desk.tell(EventKind.ACK, account=account, symbol=symbol, code=mode, flags=_REPLY)
        return Reason.NONE

    def _delist(self, symbol: int) -> Reason:
        desk, wallets = self._desk, self._desk.wallets
        mark = int(desk.prices[symbol]["mark"])
        if mark == 0:
            return Reason.PRICE_UNKNOWN
        desk.tell(EventKind.ACK, symbol=symbol, price=mark, flags=_REPLY)
        desk.send(OpKind.STATE, symbol=symbol, code=SymbolState.CANCEL_ONLY, forced=False)
        for account in np.flatnonzero(desk.market.holdings[:, symbol]["orders"]):
            desk.cancel_all(int(account), symbol, forced=False)
        unit = int(self._terms.units[symbol])
        for account in np.flatnonzero(wallets.held[: desk.fund, symbol]):
            lots = int(wallets.held[account, symbol])
            desk.assign(desk.fund, int(account), symbol, lots, mark, int(value_micro(lots, mark, unit)), Reason.DELISTED)
            if wallets.alone[account, symbol]:
                # An isolated position loses no more than its wallet: the fund pays for the rest.
                missing = max(0, -int(wallets.isolated[account, symbol]))
                desk.change(int(account), missing, LedgerLine.TAKEOVER, symbol)
                desk.change(desk.fund, -missing, LedgerLine.TAKEOVER)
                wallets.cash[account] += wallets.isolated[account, symbol]
                wallets.isolated[account, symbol] = 0
        desk.send(OpKind.STATE, symbol=symbol, code=SymbolState.HALTED, forced=False)
        desk.prices[symbol]["ended"] = 1
        return Reason.NONE
