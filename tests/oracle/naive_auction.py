"""Section 10 of the oracle: a crossed book is uncrossed at one price."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.contract import EventFlag, Reason, SelfTrade
from tests.oracle.naive_book import BUY, MARK, SELL, NaiveBook, Order

if TYPE_CHECKING:
    from tests.oracle.naive_market import NaiveMarket

AUCTION = int(EventFlag.AUCTION)
SELF_TRADE = int(Reason.SELF_TRADE)


def uncross(market: NaiveMarket, book: NaiveBook) -> tuple[int, int]:
    """(clearing price, lots traded), 0 and 0 where the book is not crossed.

    Self-trade prevention and reduce-only orders may take away what the price was found for and leave the book crossed: then
    there is another round, and the last one's price counts.
    """
    price = traded = 0
    bids, asks = book.levels
    while bids and asks and book.touch_price(BUY) >= book.touch_price(SELL):
        price = clearing_price(book)
        while bids and asks and book.touch_price(BUY) >= price >= book.touch_price(SELL):
            traded += _match_fronts(market, book, price)
    return price, traded


def clearing_price(book: NaiveBook) -> int:
    """Of a crossed book."""
    best_bid, best_ask = book.touch_price(BUY), book.touch_price(SELL)
    lots = [
        {level.price: sum(order.lots_left for order in level.queue if order.qty) for level in side.values()}
        for side in book.levels
    ]
    candidates = []
    for price in sorted({p for side in lots for p in side if best_ask <= p <= best_bid}):
        bought = sum(n for p, n in lots[BUY].items() if p >= price)
        sold = sum(n for p, n in lots[SELL].items() if p <= price)
        candidates.append((min(bought, sold), -abs(bought - sold), price, bought - sold))
    most = max(candidate[:2] for candidate in candidates)
    best = [(price, surplus) for volume, imbalance, price, surplus in candidates if (volume, imbalance) == most]
    prices = [price for price, _ in best]
    if all(surplus > 0 for _, surplus in best):
        return prices[-1]
    if all(surplus < 0 for _, surplus in best):
        return prices[0]
    reference = book.last or book.reference(MARK)[0]
    return min(prices, key=lambda price: (abs(price - reference), price))


def _match_fronts(market: NaiveMarket, book: NaiveBook, price: int) -> int:
    """The oldest orders of the two best levels meet. Returns the lots traded."""
    bid, ask = (side.peekitem(0)[1].front() for side in book.levels)
    taker, maker = (ask, bid) if ask.ts_ns > bid.ts_ns else (bid, ask)
    lots = min(bid.qty, ask.qty)
    if taker.account == maker.account and taker.stp != SelfTrade.ALLOW:
        _prevent(market, book, taker, maker, lots)
        return 0
    levels = bid.level, ask.level
    book.take(taker, lots)
    market.trade(book, taker, maker, lots, price, AUCTION)
    for order in (bid, ask):
        if order.hidden and not order.qty:
            market.refresh(book, order)
    for level in levels:
        market.tell(level)
    for order in (bid, ask):
        market.after_fill(book, order)
    return lots


def _prevent(market: NaiveMarket, book: NaiveBook, taker: Order, maker: Order, lots: int) -> None:
    mode = taker.stp
    if mode == SelfTrade.DECREMENT:
        for order, other in ((maker, taker), (taker, maker)):
            market.decrement(book, order, lots, other)
            market.after_decrement(book, order)
        return
    if mode in (SelfTrade.EXPIRE_MAKER, SelfTrade.EXPIRE_BOTH):
        market.cancel(book, maker, SELF_TRADE, contra=taker.order_id)
    if mode in (SelfTrade.EXPIRE_TAKER, SelfTrade.EXPIRE_BOTH):
        market.cancel(book, taker, SELF_TRADE, contra=maker.order_id)
