"""Call auctions: one clearing price for a crossed book, and the trades at it. `docs/matching.md`, section 10."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.book import best, next_level, side_key
from engine.contract import MICRO, EventFlag, Reason, SelfTrade, Side
from engine.entering import after_both, decrement, take_links, use_up
from engine.kernel import constant, inner, wide
from engine.ladder import find_level, window_slot
from engine.market import HAS_EXTRA, NOTHING
from engine.orders import cancel
from engine.reports import report_trade, tell_level

_NONE_YET: Final = constant(-1)
_BUY: Final = constant(Side.BUY)
_SELL: Final = constant(Side.SELL)
_AUCTION: Final = constant(EventFlag.AUCTION)
_EXPIRE_TAKER: Final = constant(SelfTrade.EXPIRE_TAKER)
_EXPIRE_MAKER: Final = constant(SelfTrade.EXPIRE_MAKER)
_DECREMENT: Final = constant(SelfTrade.DECREMENT)
_ALLOW: Final = constant(SelfTrade.ALLOW)
_SELF_TRADE: Final = constant(Reason.SELF_TRADE)


@inner
def is_crossed(book: np.void) -> bool:
    """Whether the best bid reaches the best ask."""
    bid, ask = best(book, _BUY), best(book, _SELL)
    return bid >= ask > 0


@inner
def level_lots(book: np.void, desk: np.void, side: int, price: int) -> int:
    """Lots at a price, hidden ones too."""
    ladder = book["sides"][side]
    level = ladder["levels"][find_level(ladder, side_key(side, price))]
    lots: int = level["lots"]
    slot = level["head"]
    while slot:
        order = book["orders"][slot]
        if order["flags"] & HAS_EXTRA:
            lots += desk["extras"][slot]["hidden"]
        slot = order["next"]
    return lots


@inner
def _crossing_levels(book: np.void, desk: np.void, side: int, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Prices and lots of a side's levels, touch first, as far as they reach `limit`."""
    count = 0
    price = best(book, side)
    while price != 0 and (price >= limit if side == _BUY else price <= limit):
        count += 1
        price = next_level(book, side, price)[0]
    prices, lots = np.zeros(count, np.int64), np.zeros(count, np.int64)
    price = best(book, side)
    for i in range(count):
        prices[i] = price
        lots[i] = level_lots(book, desk, side, price)
        price = next_level(book, side, price)[0]
    return prices, lots


@inner
def clearing_price(book: np.void, desk: np.void) -> int:
    """The price at which most lots of a crossed book trade.

    Of several: the smallest imbalance; then the highest if all have more bids, the lowest if all have more asks; else the one
    nearest to the last price (without one, the mark).
    """
    bid_prices, bid_lots = _crossing_levels(book, desk, _BUY, best(book, _SELL))
    ask_prices, ask_lots = _crossing_levels(book, desk, _SELL, best(book, _BUY))
    reference: int = desk["last"] if desk["last"] else desk["mark"] // MICRO
    wanted = NOTHING  # bids at or above the price
    for i in range(len(bid_lots)):
        wanted += bid_lots[i]
    offered = NOTHING  # asks at or below the price
    b, a = len(bid_prices) - 1, 0
    most, least = _NONE_YET, NOTHING
    lowest = highest = nearest = NOTHING
    all_wanted = all_offered = True
    while b >= 0 or a < len(ask_prices):
        # The next price upwards, of either side.
        from_asks = b < 0 or (a < len(ask_prices) and ask_prices[a] <= bid_prices[b])
        price = ask_prices[a] if from_asks else bid_prices[b]
        if a < len(ask_prices) and ask_prices[a] == price:
            offered += ask_lots[a]
            a += 1
        traded, imbalance = min(wanted, offered), abs(wanted - offered)
        if traded > most or (traded == most and imbalance < least):
            most, least = traded, imbalance
            lowest = highest = nearest = price
            all_wanted, all_offered = wanted > offered, wanted < offered
        elif traded == most and imbalance == least:
            highest = price
            all_wanted = all_wanted and wanted > offered
            all_offered = all_offered and wanted < offered
            if abs(price - reference) < abs(nearest - reference):
                nearest = price
        if b >= 0 and bid_prices[b] == price:
            wanted -= bid_lots[b]
            b -= 1
    if all_wanted:
        return highest
    return lowest if all_offered else nearest


@inner
def uncross(book: np.void, desk: np.void, holdings: np.ndarray, page: np.void, head: np.void, symbol: int) -> None:
    """One trade at `work["clearing"]` between the fronts of both sides, which reach it, or what prevents it."""
    work = head["work"]
    price = work["clearing"]
    buy, sell = _front(book, _BUY), _front(book, _SELL)
    buyer, seller = book["orders"][buy], book["orders"][sell]
    taker_buys = buyer["ts_ns"] >= seller["ts_ns"]
    taker, maker = (buyer, seller) if taker_buys else (seller, buyer)
    if buyer["account"] == seller["account"] and taker["stp"] != _ALLOW:
        _prevent(book, desk, holdings[buyer["account"], symbol], taker_buys, buy, sell, page, head, symbol)
        return
    traded = min(buyer["qty"], seller["qty"])
    taker_id, taker_account, side = taker["order_id"], taker["account"], wide(taker["side"])
    report_trade(page, head, taker_id, taker_account, maker, symbol, side, price, traded, _AUCTION)
    work["volume"] += traded
    desk["last"] = price
    desk["moved"] = 1
    first, second = buyer["account"], seller["account"]
    bid, ask = buyer["price"], seller["price"]
    of_buyer, of_seller = holdings[first, symbol], holdings[second, symbol]
    of_buyer["lots"] += traded
    of_seller["lots"] -= traded
    first_link, first_other = take_links(desk, buyer, buy)
    second_link, second_other = take_links(desk, seller, sell)
    use_up(book, desk, of_buyer, buy, traded, page, head, symbol)
    use_up(book, desk, of_seller, sell, traded, page, head, symbol)
    tell_level(book, desk, page, head, symbol, _BUY, bid)
    tell_level(book, desk, page, head, symbol, _SELL, ask)
    after_both(
        book, desk, of_buyer, first, first_link, first_other, of_seller, second, second_link, second_other, page, head, symbol
    )


@inner
def _front(book: np.void, side: int) -> np.uint64:
    """The slot of the oldest order at the touch."""
    ladder = book["sides"][side]
    return np.uint64(ladder["levels"][window_slot(ladder, ladder["touch"])]["head"])


@inner
def _prevent(
    book: np.void,
    desk: np.void,
    holding: np.void,
    taker_buys: bool,
    buy: np.uint64,
    sell: np.uint64,
    page: np.void,
    head: np.void,
    symbol: int,
) -> None:
    """Self-trade prevention between the fronts of both sides."""
    taker, maker = (buy, sell) if taker_buys else (sell, buy)
    orders = book["orders"]
    mode, taker_id, maker_id = orders[taker]["stp"], orders[taker]["order_id"], orders[maker]["order_id"]
    if mode == _DECREMENT:
        lots = min(orders[taker]["qty"], orders[maker]["qty"])
        decrement(book, desk, holding, maker, lots, taker_id, page, head, symbol)
        decrement(book, desk, holding, taker, lots, maker_id, page, head, symbol)
        return
    if mode != _EXPIRE_TAKER:
        cancel(book, desk, holding, maker, page, head, symbol, _SELF_TRADE, NOTHING, taker_id)
    if mode != _EXPIRE_MAKER:
        cancel(book, desk, holding, taker, page, head, symbol, _SELF_TRADE, NOTHING, maker_id)
