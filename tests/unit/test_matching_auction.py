"""Call auctions: one clearing price, and what trades at it.

Their books are worked out by hand: B is how many lots are bid for at a price or higher, A how many are offered at it or lower.
"""

from __future__ import annotations

import pytest

from engine.contract import EventFlag, EventKind
from tests.matching_kit import (
    ALLOW,
    ANN,
    AUCTION,
    BOB,
    BUY,
    CANCEL_ONLY,
    CID,
    DECREMENT,
    EXPIRE_BOTH,
    EXPIRE_MAKER,
    EXPIRE_TAKER,
    HALTED,
    LAST,
    OPEN,
    POST_ONLY,
    REDUCE_ONLY,
    REDUCE_ONLY_STATE,
    SELL,
    Scene,
    Shown,
    mark,
    state,
)

Levels = list[tuple[int, int]]


def auction(bids: Levels = [], asks: Levels = [], *, last: int = 0, at_mark: float = 0) -> Scene:  # noqa: B006
    """An auction with the orders (price, lots) of BOB's, 1, 2, …, and of CID's, 101, 102, …"""
    scene = Scene()
    if last:
        scene.trade_at(last)
    if at_mark:
        scene.do(mark(at_mark))
    scene.do(state(AUCTION))
    scene.do(*(BOB.buy(i, lots, price) for i, (price, lots) in enumerate(bids, 1)))
    scene.do(*(CID.sell(i, lots, price) for i, (price, lots) in enumerate(asks, 101)))
    return scene


def opened(scene: Scene) -> tuple[int, int]:
    """(clearing price, lots traded) of the opening. All trades are at that price."""
    events = scene.do(state(OPEN))
    price, lots = events[-1][2:]
    trades = [event for event in events if event[0] == "TRADE"]
    assert {trade[3] for trade in trades} <= {price}
    assert sum(int(trade[4]) for trade in trades) == lots
    return int(price), int(lots)


# -- the clearing price ------------------------------------------------------------------------------------------------

EVEN = ([(202, 300)], [(198, 300)])
"""No surplus at 198 nor at 202."""

BALANCED = ([(202, 300), (199, 100)], [(198, 300), (201, 100)])
"""300 lots trade at 198 and 199 with 100 bids too many, at 201 and 202 with 100 offers too many."""


@pytest.mark.parametrize(
    ("bids", "asks", "price", "lots"),
    [
        # B / A: 99: 100/40, 100: 80/70, 101: 50/70.
        pytest.param([(101, 50), (100, 30), (99, 20)], [(99, 40), (100, 30), (102, 50)], 100, 70, id="the most lots"),
        # B / A: 123: 560/135, 124: 480/290, 125: 280/380; nine levels a side.
        pytest.param(
            [(130, 45), (129, 95), (128, 25), (127, 35), (126, 25), (125, 55), (124, 200), (123, 80), (122, 60)],
            [(122, 10), (123, 125), (124, 155), (125, 90), (126, 20), (127, 10), (128, 15), (129, 10), (130, 50), (131, 35)],
            124,
            290,
            id="the most lots of a deep book",
        ),
        # B / A: 197: 700/400, 198: 700/600, 200: 700/700, 201: 400/700, 202: 200/700.
        pytest.param([(202, 200), (201, 200), (200, 300)], [(197, 400), (198, 200), (200, 100)], 200, 700, id="no surplus"),
        # B / A: 610: 3000/1000, 633: 3000/1000, 634: 2500/1000, 639: 1500/1000, 640: 500/1500. 1000 lots from 610 to 639.
        pytest.param(
            [(640, 500), (639, 500), (639, 500), (634, 1000), (633, 500)],
            [(610, 1000), (640, 500), (641, 520), (642, 550), (643, 519)],
            639,
            1000,
            id="of equal lots the smallest surplus",
        ),
        # B / A: 198: 600/200, 199: 600/500, 201: 600/500, 202: 400/500.
        pytest.param([(202, 400), (201, 200)], [(198, 200), (199, 300)], 201, 500, id="a surplus of bids: the highest"),
        # B / A: 198: 500/300, 199: 500/600, 201: 500/600, 202: 300/600.
        pytest.param([(202, 300), (201, 200)], [(198, 300), (199, 300)], 199, 500, id="a surplus of offers: the lowest"),
        pytest.param([(100, 5)], [(100, 3)], 100, 3, id="bid and offer are equal"),
    ],
)
def test_clearing_price(bids: Levels, asks: Levels, price: int, lots: int) -> None:
    assert opened(auction(bids, asks)) == (price, lots)


@pytest.mark.parametrize(
    ("book", "last", "price"),
    [
        (EVEN, 199, 198),
        (EVEN, 201, 202),
        (EVEN, 200, 198),  # both are equally near: the lower one
        (EVEN, 900, 202),
        (BALANCED, 100, 198),
        (BALANCED, 200, 199),
        (BALANCED, 201, 201),
        (BALANCED, 900, 202),
    ],
)
def test_what_is_still_even_is_decided_by_the_last_price(book: tuple[Levels, Levels], last: int, price: int) -> None:
    assert opened(auction(*book, last=last)) == (price, 300)


@pytest.mark.parametrize(("at_mark", "price"), [(199, 198), (201, 202), (200.75, 198)])
def test_without_a_last_price_the_mark_in_whole_ticks_decides(at_mark: float, price: int) -> None:
    assert opened(auction(*EVEN, at_mark=at_mark)) == (price, 300)


def test_the_last_price_goes_before_the_mark() -> None:
    assert opened(auction(*EVEN, last=202, at_mark=198)) == (202, 300)


@pytest.mark.parametrize("last", [150, 250])
def test_a_surplus_of_one_side_decides_before_the_last_price(last: int) -> None:
    """The books of `test_clearing_price` again: 500 lots from 199 to 201."""
    assert opened(auction([(202, 400), (201, 200)], [(198, 200), (199, 300)], last=last)) == (201, 500)
    assert opened(auction([(202, 300), (201, 200)], [(198, 300), (199, 300)], last=last)) == (199, 500)


def test_without_any_reference_it_is_the_lowest() -> None:
    assert opened(auction(*BALANCED)) == (198, 300)


def test_hidden_lots_count() -> None:
    """B / A: 100: 16/6, 102: 6/10. Of the 16 only 7 are displayed, and by those it would be 100."""
    scene = auction([(102, 6)], [(100, 6), (102, 4)])
    scene.do(BOB.buy(2, 10, 100, show=1))
    assert opened(scene) == (102, 6)


# -- before it ---------------------------------------------------------------------------------------------------------


def test_orders_rest_without_trading_post_only_and_reduce_only_too() -> None:
    scene = Scene()
    scene.hold(ANN, 5)
    scene.do(state(AUCTION))
    orders = BOB.buy(1, 9, 105), CID.sell(2, 1, 100, flags=POST_ONLY), ANN.sell(3, 9, 101, flags=REDUCE_ONLY)
    assert scene.do(*orders) == [("ADD", 1, 105, 9), ("ADD", 2, 100, 1), ("ADD", 3, 101, 5, "REDUCE_ONLY_EXCESS")]


@pytest.mark.parametrize("after", [AUCTION, HALTED], ids=lambda of: of.name)
def test_the_book_stays_crossed_in_auction_and_halt(after: int) -> None:
    scene = auction([(101, 5)], [(100, 5)])
    assert scene.do(state(after)) == [("STATE", after.name, 0, 0)]
    assert (scene.levels(BUY), scene.levels(SELL)) == ([(101, 5)], [(100, 5)])
    assert scene.do(state(OPEN))[-1] == ("STATE", "OPEN", 100, 5)


@pytest.mark.parametrize("after", [OPEN, CANCEL_ONLY, REDUCE_ONLY_STATE], ids=lambda of: of.name)
def test_every_other_state_uncrosses_it_first(after: int) -> None:
    scene = auction([(101, 5)], [(100, 5)])
    assert scene.do(state(after)) == [("TRADE", 101, 1, 100, 5), ("STATE", after.name, 100, 5)]


def test_a_book_that_is_not_crossed_opens_without_a_price() -> None:
    assert opened(auction([(100, 5)], [(101, 5)])) == (0, 0)


# -- the trades --------------------------------------------------------------------------------------------------------


def test_better_prices_trade_first_then_older_orders_and_the_later_order_is_the_taker() -> None:
    """B / A: 99: 9/3, 100: 9/9, 101: 5/9."""
    scene = auction()
    scene.do(BOB.buy(1, 5, 101), CID.sell(2, 3, 99), BOB.buy(3, 4, 100), CID.sell(4, 4, 100), ANN.sell(5, 2, 100))
    assert scene.do(state(OPEN), levels=True) == [
        ("TRADE", 2, 1, 100, 3),
        ("LEVEL", "BUY", 101, 2),
        ("LEVEL", "SELL", 99, 0),
        ("TRADE", 4, 1, 100, 2),
        ("LEVEL", "BUY", 101, 0),
        ("LEVEL", "SELL", 100, 4),
        ("TRADE", 4, 3, 100, 2),
        ("LEVEL", "BUY", 100, 2),
        ("LEVEL", "SELL", 100, 2),
        ("TRADE", 5, 3, 100, 2),
        ("LEVEL", "BUY", 100, 0),
        ("LEVEL", "SELL", 100, 0),
        ("STATE", "OPEN", 100, 9),
    ]
    assert [scene.position(who) for who in (ANN, BOB, CID)] == [-2, 9, -7]


def test_of_two_orders_of_the_same_time_the_buyer_is_the_taker() -> None:
    scene = auction()
    scene.do(BOB.buy(1, 5, 101, ts_ns=50), CID.sell(2, 5, 101, ts_ns=50))
    assert scene.do(state(OPEN))[0] == ("TRADE", 1, 2, 101, 5)


def test_a_trade_says_that_it_is_one_of_an_auction() -> None:
    scene = auction()
    scene.do(BOB.buy(1, 5, 101, ts_ns=50), CID.sell(2, 3, 100, ts_ns=60))
    trade = scene.events(state(OPEN, ts_ns=70))[0]
    # B / A: 100: 5/3, 101: 5/3. So 101, and 2 lots of the maker are left.
    named = dict(zip(trade.dtype.names, trade.item(), strict=True))
    assert named == {
        "ts_ns": 70, "seq": 6, "order_id": 2, "contra_order_id": 1, "account": CID.number, "contra_account": BOB.number,
        "price": 101, "qty": 3, "leaves": 2, "symbol": 0, "kind": EventKind.TRADE, "side": SELL, "flags": EventFlag.AUCTION,
        "code": 0,
    }  # fmt: skip


def test_an_iceberg_comes_back_between_the_trades_and_is_the_later_order_then() -> None:
    scene = auction()
    scene.do(BOB.buy(1, 5, 100, show=2), CID.sell(2, 5, 100))
    assert scene.do(state(OPEN)) == [
        ("TRADE", 2, 1, 100, 2),
        ("ADD", 1, 100, 2, "ICEBERG_REFRESH"),
        ("TRADE", 1, 2, 100, 2),
        ("ADD", 1, 100, 1, "ICEBERG_REFRESH"),
        ("TRADE", 1, 2, 100, 1),
        ("STATE", "OPEN", 100, 5),
    ]


def test_a_reduce_only_order_is_cut_between_the_trades() -> None:
    """ANN is long 3 with two reduce-only offers of 2. B / A: 100: 4/2, 101: 4/4."""
    scene = Scene()
    scene.hold(ANN, 3)
    scene.do(state(AUCTION), ANN.sell(1, 2, 100, flags=REDUCE_ONLY), ANN.sell(2, 2, 101, flags=REDUCE_ONLY), BOB.buy(3, 4, 101))
    assert scene.do(state(OPEN)) == [
        ("TRADE", 3, 1, 101, 2),
        ("CANCEL", 2, 1, 1, "REDUCE_ONLY_EXCESS"),
        ("TRADE", 3, 2, 101, 1),
        ("STATE", "OPEN", 101, 3),
    ]


def test_a_pair_of_which_one_trades_loses_the_other() -> None:
    scene = auction()
    scene.do(ANN.sell(1, 5, 100), ANN.sell(2, 5, stop=90, link=1), BOB.buy(3, 2, 100))
    assert scene.do(state(OPEN)) == [("TRADE", 3, 1, 100, 2), ("DONE", 2, 0, 5, "LINKED"), ("STATE", "OPEN", 100, 2)]


def test_stops_fire_after_the_opening() -> None:
    scene = auction([(101, 5), (95, 9)], [(101, 5)])
    scene.do(ANN.sell(1_000, 2, stop=101, by=LAST))
    assert scene.do(state(OPEN)) == [
        ("TRADE", 101, 1, 101, 5),
        ("STATE", "OPEN", 101, 5),
        ("TRIGGER", 1_000, 101, "LAST"),
        ("TRADE", 1_000, 2, 95, 2),
        ("DONE", 1_000, 2, 0, "FILLED"),
    ]


@pytest.mark.parametrize(
    ("mode", "between", "lots"),
    [
        (ALLOW, [("TRADE", 2, 1, 100, 3), ("TRADE", 3, 1, 100, 2)], 5),
        (EXPIRE_TAKER, [("CANCEL", 2, 3, 0, "SELF_TRADE", 1), ("TRADE", 3, 1, 100, 4)], 4),
        (EXPIRE_MAKER, [("CANCEL", 1, 5, 0, "SELF_TRADE", 2)], 0),
        (EXPIRE_BOTH, [("CANCEL", 1, 5, 0, "SELF_TRADE", 2), ("CANCEL", 2, 3, 0, "SELF_TRADE", 1)], 0),
        (
            DECREMENT,
            [
                ("CANCEL", 1, 3, 2, "SELF_TRADE_DECREMENT", 2),
                ("CANCEL", 2, 3, 0, "SELF_TRADE_DECREMENT", 1),
                ("TRADE", 3, 1, 100, 2),
            ],
            2,
        ),
    ],
    ids=["allow", "expire taker", "expire maker", "expire both", "decrement"],
)
def test_self_trade_prevention_by_the_later_orders_mode(mode: int, between: list[Shown], lots: int) -> None:
    """B / A: 99: 5/3, 100: 5/7, 101: 5/7. Order 2, ANN's offer, came after her own bid 1."""
    scene = auction()
    scene.do(ANN.buy(1, 5, 101), ANN.sell(2, 3, 99, stp=mode), BOB.sell(3, 4, 100))
    assert scene.do(state(OPEN)) == [*between, ("STATE", "OPEN", 100, lots)]


def test_what_self_trade_prevention_leaves_crossed_is_cleared_in_another_round() -> None:
    """B / A: 100: 10/10, so 100. ANN's offer goes; then 103: 10/5, 105: 10/5, so 105 by the surplus of bids."""
    scene = auction()
    scene.do(ANN.buy(1, 10, 105), ANN.sell(2, 10, 100, stp=EXPIRE_TAKER), BOB.sell(3, 5, 103))
    assert scene.do(state(OPEN)) == [
        ("CANCEL", 2, 10, 0, "SELF_TRADE", 1),
        ("TRADE", 3, 1, 105, 5),
        ("STATE", "OPEN", 105, 5),
    ]
