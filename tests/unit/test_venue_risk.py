"""The venue's margin, levels, liquidation, takeover, ADL, funding and delisting: one scene each (docs/risk.md)."""

from __future__ import annotations

import numpy as np
import pytest

from engine.book import MEDIUM
from engine.contract import (
    MICRO,
    AccountLevel,
    EventFlag,
    EventKind,
    LedgerLine,
    MarginMode,
    OpFlag,
    OpKind,
    OrderType,
    Reason,
    Side,
    SymbolState,
    TimeInForce,
    VenueRule,
)
from engine.derived import FIRST_OWN_ID
from engine.instruments import load_pack
from engine.venue import Venue
from tests.venue_kit import SECOND, T0, changed, check_books, index, op, replayed

CORE = load_pack("core")
LONG, SHORT, MAKER, IDLE = range(4)
FUND, FEES = 4, 5


class Scene:
    """BTC-PERP, a tick of 5 USD and lots of 0.001 BTC; ETH-PERP beside it. The index of both is 12,800 ticks."""

    def __init__(self, pack=CORE, fund=0, **wallets):
        self.venue = Venue(pack, ("BTC-PERP", "ETH-PERP"), 4, MEDIUM)
        self.now = T0
        self.events = np.concatenate([self.venue.apply(index(12_800)), self.venue.apply(index(12_800, symbol=1))])
        self.ids = 0
        for account, usd in {LONG: 1_000, SHORT: 100_000, MAKER: 10_000_000, FUND: fund, **wallets}.items():
            if usd:
                self.do(op(OpKind.TRANSFER, account=account, qty=usd * MICRO))

    def do(self, *ops):
        for each in ops:
            each["ts_ns"] = self.now
        told = self.venue.apply(np.concatenate(ops))
        self.events = np.concatenate([self.events, told])
        check_books(self.venue, int(self.events["qty"][self.events["kind"] == EventKind.TRANSFER].sum()))
        units = [instrument.notional_micro for instrument in self.venue.instruments]
        money, lots = replayed(self.events, 6, units)
        wallets = self.venue.wallets
        untold = wallets.charged.sum(axis=1)
        untold[FEES] -= untold.sum()
        assert (money - untold == wallets.cash + wallets.isolated.sum(axis=1)).all()
        assert np.array_equal(lots, wallets.held)
        return told

    def order(self, account, side, lots, price, **fields):
        self.ids += 1
        return self.do(op(OpKind.NEW, account=account, side=side, qty=lots, price=price, order_id=self.ids, **fields))

    def refused(self, events):
        rejects = events[events["kind"] == EventKind.REJECT]
        return [Reason(code) for code in rejects["code"]]

    def hold(self, lots, price=12_800):
        """LONG buys from SHORT."""
        self.order(SHORT, Side.SELL, lots, price)
        self.order(LONG, Side.BUY, lots, price, tif=TimeInForce.IOC)

    def fall(self, price, seconds=1):
        """The index goes there and stays for some ticks. Returns all events of them."""
        told = []
        for _ in range(seconds):
            self.now += SECOND
            told.append(self.do(index(price), index(12_800, symbol=1), op(OpKind.CLOCK)))
        return np.concatenate(told)

    def level(self, account):
        return AccountLevel(int(self.venue.clearing.levels["level"][account]))

    def equity(self, account):
        return int(self.venue.clearing.equity[account])


def kinds(events, kind):
    return events[events["kind"] == kind]


def test_an_order_that_margin_does_not_bear_is_refused():
    scene = Scene()
    # 1,000 USD at 100x bear 100,000 USD in the second tier: 1,562 lots at 64 USD.
    assert scene.refused(scene.order(LONG, Side.BUY, 1_563, 12_800)) == [Reason.INSUFFICIENT_MARGIN]
    assert scene.refused(scene.order(LONG, Side.BUY, 1_562, 12_800)) == []
    # What rests counts, on the larger side only.
    assert scene.refused(scene.order(LONG, Side.BUY, 1, 12_800)) == [Reason.INSUFFICIENT_MARGIN]
    assert scene.refused(scene.order(LONG, Side.SELL, 1_562, 12_900)) == []


def test_what_an_order_pays_beyond_the_mark_is_asked_for_too():
    scene = Scene()
    # 1,000 lots at 1 % above the mark lose 640 USD at once and need 640 USD of margin.
    assert scene.refused(scene.order(LONG, Side.BUY, 1_000, 12_928)) == [Reason.INSUFFICIENT_MARGIN]
    assert scene.refused(scene.order(LONG, Side.BUY, 1_000, 12_800)) == []


def test_an_amendment_and_a_leg_of_a_mass_quote_are_tested_like_an_order():
    scene = Scene()
    scene.order(LONG, Side.BUY, 1_000, 12_800)
    assert scene.refused(scene.do(op(OpKind.AMEND, account=LONG, order_id=1, qty=1_563))) == [Reason.INSUFFICIENT_MARGIN]
    assert scene.refused(scene.do(op(OpKind.AMEND, account=LONG, order_id=1, qty=1_562))) == []
    legs = [
        op(OpKind.QUOTE, account=LONG, order_id=7, side=Side.SELL, price=12_900, qty=100, flags=OpFlag.MORE),
        op(OpKind.QUOTE, account=LONG, order_id=8, side=Side.BUY, price=12_700, qty=1_000),
    ]
    assert scene.refused(scene.do(*legs)) == [Reason.QUOTE_BROKEN, Reason.INSUFFICIENT_MARGIN]


def test_orders_that_reduce_are_always_taken():
    scene = Scene()
    scene.hold(1_000)
    scene.order(MAKER, Side.BUY, 5_000, 12_700)
    scene.fall(12_640)
    assert scene.level(LONG) >= AccountLevel.REDUCE_ONLY or scene.venue.positions[LONG, 0] < 1_000
    told = scene.order(LONG, Side.SELL, 1, 12_700, tif=TimeInForce.IOC, flags=OpFlag.REDUCE_ONLY)
    assert scene.refused(told) in ([], [Reason.NOT_REDUCING])


def test_positions_end_at_the_ladders_cap():
    scene = Scene()
    scene.venue.terms.ladders["cap_micro"][0] = 64_000 * MICRO
    assert scene.refused(scene.order(SHORT, Side.BUY, 1_001, 12_800)) == [Reason.POSITION_LIMIT]
    assert scene.refused(scene.order(SHORT, Side.BUY, 1_000, 12_800)) == []


def test_without_a_price_nothing_grows():
    venue = Venue(CORE, ("BTC-PERP",), 1, MEDIUM)
    venue.apply(op(OpKind.TRANSFER, account=0, qty=10**12))
    told = venue.apply(op(OpKind.NEW, order_id=1, account=0, price=12_800, qty=10))
    assert told["code"].tolist() == [Reason.PRICE_UNKNOWN]


def test_a_stale_index_stops_growth_and_forces_nobody():
    scene = Scene()
    scene.hold(1_000)
    scene.now += (CORE.prices.stale_s + 1) * SECOND
    scene.do(op(OpKind.CLOCK))
    assert scene.level(LONG) == AccountLevel.UNKNOWN
    assert scene.refused(scene.order(LONG, Side.SELL, 1, 12_800)) == [Reason.ACCOUNT_LEVEL]
    # A crash that nobody has seen: with the next index the truth is acted on.
    assert scene.venue.positions[LONG, 0] == 1_000
    scene.fall(12_000)
    assert scene.level(LONG) != AccountLevel.UNKNOWN


def test_fees_are_charged_with_the_trade_and_told_at_the_tick():
    scene = Scene()
    scene.hold(1_000)
    told = kinds(scene.fall(12_800), EventKind.LEDGER)
    assert [(int(e["account"]), int(e["qty"]), LedgerLine(e["code"])) for e in told] == [
        (LONG, -32 * MICRO, LedgerLine.FEE),  # 500 ppm of 64,000 USD
        (SHORT, -12_800_000, LedgerLine.MAKER_FEE),  # 200 ppm
        (FEES, 44_800_000, LedgerLine.FEE),
    ]


def test_a_position_is_disposed_of_step_by_step_and_pays_for_it():
    scene = Scene(fund=1_000_000)
    scene.hold(1_000)
    scene.order(MAKER, Side.BUY, 5_000, 12_620)
    told = np.concatenate([scene.fall(12_660), scene.fall(12_645), scene.fall(12_630)])
    forced = kinds(told, EventKind.TRADE)
    assert len(forced) > 1
    assert (forced["flags"] & EventFlag.LIQUIDATION).all()
    assert set(forced["order_id"] >= FIRST_OWN_ID) == {True}
    assert forced["qty"][0] == 200  # a fifth of the position
    lines = kinds(told, EventKind.LEDGER)
    extra = lines[lines["code"] == LedgerLine.LIQUIDATION_FEE]
    unit = scene.venue.instruments[0].notional_micro
    assert extra["qty"][0] == -(200 * int(forced["price"][0]) * unit * 500 // 10**6)
    assert extra["account"].tolist()[:2] == [LONG, FUND]
    assert not (told["flags"][np.isin(told["kind"], (EventKind.TRADE, EventKind.DONE))] & EventFlag.REPLY).any()


def test_its_orders_are_cancelled_first():
    scene = Scene(fund=1_000_000)
    scene.hold(1_000)
    scene.order(LONG, Side.SELL, 500, 12_900)
    told = scene.fall(12_640, 1)
    cancels = kinds(told, EventKind.CANCEL)
    assert cancels["order_id"].tolist() == [3]
    assert cancels["code"].tolist() == [Reason.MASS_CANCEL]


@pytest.mark.parametrize("path", ["stepwise", "auction", "market"])
def test_every_path_ends(path):
    scene = Scene(changed(CORE, liquidation={"path": path}), fund=1_000_000)
    scene.hold(1_000)
    scene.order(MAKER, Side.BUY, 5_000, 12_640)
    scene.fall(12_640, 40)
    assert scene.venue.positions[LONG, 0] == 0 or scene.level(LONG) < AccountLevel.LIQUIDATE
    assert scene.equity(FUND) > 0


def test_beyond_help_the_fund_takes_over():
    scene = Scene(fund=1_000_000)
    scene.hold(1_000)
    told = scene.fall(12_560)  # 1.9 % down at 64x
    took = kinds(told, EventKind.ASSIGN)
    assert [(int(e["account"]), int(e["contra_account"]), int(e["qty"]), Reason(e["code"])) for e in took] == [
        (FUND, LONG, 1_000, Reason.TAKEOVER)
    ]
    assert scene.venue.cash[LONG] == 0
    assert scene.level(SHORT) == AccountLevel.FREE


def test_an_empty_fund_deleverages_the_winners_at_the_bankruptcy_price():
    scene = Scene()
    scene.hold(1_000)
    scene.order(SHORT, Side.BUY, 100, 12_000)
    told = scene.fall(12_500)
    took = kinds(told, EventKind.ASSIGN)
    assert [(int(e["account"]), int(e["contra_account"]), Reason(e["code"])) for e in took] == [
        (SHORT, LONG, Reason.DELEVERAGED)
    ]
    assert scene.venue.cash[LONG] == 0
    assert scene.venue.positions[:, 0].tolist() == [0, 0, 0, 0]
    assert kinds(told, EventKind.CANCEL)["account"].tolist() == [SHORT]
    # LONG had 1,000 less 32 of fees on 64 USD a lot: bankrupt 0.968 USD below the entry.
    assert int(took["leaves"][0]) == 64_000 * MICRO - 968 * MICRO


def test_a_loss_that_no_fund_covers_is_shared_by_the_winners():
    scene = Scene(changed(CORE, fund={"adl_price": "mark"}))
    scene.do(op(OpKind.TRANSFER, account=IDLE, qty=100_000 * MICRO))
    scene.hold(1_000)
    scene.order(SHORT, Side.SELL, 500, 12_800)
    scene.order(IDLE, Side.BUY, 500, 12_800, tif=TimeInForce.IOC)
    told = kinds(scene.fall(12_500), EventKind.LEDGER)
    shared = told[told["code"] == LedgerLine.SOCIALISED]
    # LONG is out at the mark with 968 less about 1,500 USD; SHORT still wins on 500 lots and makes the fund whole.
    lost = 1_000 * (12_800 * MICRO - int(scene.venue.prices[0]["mark"])) * 5_000 // MICRO - 968 * MICRO
    assert 500 * MICRO < lost < 532 * MICRO
    assert [(int(e["account"]), int(e["qty"])) for e in shared] == [(SHORT, -lost), (FUND, lost)]
    assert scene.equity(FUND) <= 0
    assert scene.venue.cash[LONG] == scene.venue.wallets.cash[FUND] == 0
    assert scene.venue.clearing.uncovered[0] == 0


def test_nobody_is_forced_where_nothing_matches():
    scene = Scene(fund=1_000_000)
    scene.hold(1_000)
    scene.do(op(OpKind.STATE, code=SymbolState.HALTED))
    assert not len(kinds(scene.fall(12_000, 3), EventKind.ASSIGN))
    assert scene.level(LONG) == AccountLevel.CLAIM
    scene.do(op(OpKind.STATE, code=SymbolState.OPEN))
    assert len(kinds(scene.fall(12_000), EventKind.ASSIGN))


def test_funding_is_paid_and_its_rounding_kept():
    scene = Scene()
    scene.hold(7)
    scene.fall(12_800)
    scene.now = T0 + 8 * 3600 * SECOND - SECOND
    told = kinds(scene.fall(12_800), EventKind.LEDGER)
    lines = [(int(e["account"]), int(e["qty"])) for e in told if e["code"] == LedgerLine.FUNDING]
    assert [account for account, _ in lines] == [LONG, SHORT]
    assert lines[0][1] < 0 < lines[1][1]
    assert 0 <= -(lines[0][1] + lines[1][1]) <= 1


def test_an_isolated_position_loses_no_more_than_its_wallet():
    scene = Scene(fund=1_000_000)
    scene.do(op(OpKind.MARGIN, account=LONG, code=MarginMode.ISOLATED))
    assert scene.refused(scene.order(LONG, Side.BUY, 100, 12_800)) == [Reason.INSUFFICIENT_MARGIN]
    scene.do(op(OpKind.TRANSFER, account=LONG, symbol=0, qty=100 * MICRO))
    scene.hold(100)
    assert scene.refused(scene.do(op(OpKind.MARGIN, account=LONG, code=MarginMode.CROSS))) == [Reason.POSITION_OPEN]
    scene.fall(12_000)
    assert scene.venue.positions[LONG, 0] == 0
    assert scene.venue.wallets.isolated[LONG, 0] == 0
    assert scene.venue.cash[LONG] == 900 * MICRO


def test_withdrawals_leave_what_positions_need():
    scene = Scene()
    scene.hold(1_000)
    assert scene.refused(scene.do(op(OpKind.TRANSFER, account=LONG, qty=-400 * MICRO))) == [Reason.INSUFFICIENT_MARGIN]
    assert scene.refused(scene.do(op(OpKind.TRANSFER, account=LONG, qty=-300 * MICRO))) == []
    assert scene.refused(scene.do(op(OpKind.TRANSFER, account=IDLE, qty=-1))) == [Reason.INSUFFICIENT_MARGIN]
    assert scene.refused(scene.do(op(OpKind.TRANSFER, account=FUND, qty=-1))) == [Reason.UNKNOWN_ACCOUNT]


def test_a_delisted_symbol_settles_at_the_mark_and_takes_nothing_more():
    scene = Scene()
    scene.hold(1_000)
    scene.order(MAKER, Side.BUY, 10, 12_700)
    scene.fall(12_750)
    told = scene.do(op(OpKind.DELIST))
    assert not scene.venue.wallets.held.any()
    assert kinds(told, EventKind.CANCEL)["account"].tolist() == [MAKER]
    assert {Reason(code) for code in kinds(told, EventKind.ASSIGN)["code"]} == {Reason.DELISTED}
    assert scene.refused(scene.do(index(12_800))) == [Reason.DELISTED]
    assert scene.refused(scene.do(op(OpKind.STATE, code=SymbolState.OPEN))) == [Reason.DELISTED]
    assert scene.refused(scene.do(op(OpKind.DELIST))) == [Reason.DELISTED]
    assert scene.refused(scene.order(LONG, Side.BUY, 10, 12_700)) == [Reason.SYMBOL_STATE]


def test_a_rule_holds_for_everybody_from_now_on():
    scene = Scene()
    told = scene.do(op(OpKind.RULE, symbol=-1, code=VenueRule.MAKER_FEE, qty=-100))
    assert (told["kind"].tolist(), told["qty"].tolist(), told["flags"].tolist()) == ([EventKind.ACK], [-100], [EventFlag.REPLY])
    cash = int(scene.venue.cash[MAKER])
    scene.order(MAKER, Side.SELL, 10, 12_800)
    scene.order(LONG, Side.BUY, 10, 12_800)
    earned = int(scene.venue.cash[MAKER]) - cash - 10 * 12_800 * int(scene.venue.terms.units[0])
    assert earned == 10 * 12_800 * int(scene.venue.terms.units[0]) * 100 // 10**6
    scene.do(op(OpKind.RULE, symbol=-1, code=VenueRule.THROTTLE, qty=2))
    refused = [scene.refused(scene.order(SHORT, Side.SELL, 10, 13_000 + n)) for n in range(4)]
    assert refused == [[], [], [Reason.THROTTLED], [Reason.THROTTLED]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"code": 0}, Reason.BAD_FIELD),
        ({"code": 9}, Reason.BAD_FIELD),
        ({"symbol": 0}, Reason.BAD_FIELD),
        ({"price": 1}, Reason.BAD_FIELD),
        ({"qty": 0}, Reason.BAD_QUANTITY),
        ({"qty": 10**9 + 1}, Reason.BAD_QUANTITY),
        ({"code": VenueRule.TAKER_FEE, "qty": 10_001}, Reason.BAD_QUANTITY),
    ],
)
def test_a_rule_that_makes_no_sense_changes_nothing(change, reason):
    scene = Scene()
    before = scene.venue.market.heads["throttle"].copy()
    fields = {"symbol": -1, "code": VenueRule.THROTTLE, "qty": 5} | change
    assert scene.refused(scene.do(op(OpKind.RULE, **fields))) == [reason]
    assert scene.venue.market.heads["throttle"] == before


def test_the_venues_own_accounts_and_ids_are_its_own():
    scene = Scene()
    assert scene.refused(scene.order(FUND, Side.BUY, 10, 12_700)) == [Reason.UNKNOWN_ACCOUNT]
    told = scene.do(op(OpKind.NEW, account=MAKER, order_id=FIRST_OWN_ID, price=12_700, qty=10, order_type=OrderType.LIMIT))
    assert scene.refused(told) == [Reason.BAD_FIELD]


def test_a_level_gets_better_only_after_the_dwell_time():
    scene = Scene()
    scene.hold(1_000)
    scene.fall(12_660)
    assert scene.level(LONG) > AccountLevel.FREE
    worst = scene.level(LONG)
    scene.fall(13_000, CORE.states.dwell_s)
    assert scene.level(LONG) == worst
    scene.fall(13_000, 2)
    assert scene.level(LONG) == AccountLevel.FREE


def test_a_portfolio_needs_less_for_what_offsets_but_never_less_than_the_floors():
    scene = Scene()
    scene.do(op(OpKind.MARGIN, account=SHORT, symbol=-1, code=MarginMode.PORTFOLIO))
    scene.hold(500)
    scene.do(op(OpKind.NEW, account=MAKER, side=Side.SELL, qty=50, price=12_800, symbol=1, order_id=900))
    scene.do(op(OpKind.NEW, account=SHORT, side=Side.BUY, qty=50, price=12_800, symbol=1, order_id=901, tif=TimeInForce.IOC))
    scene.fall(12_800)
    longs, shorts = 3_200 * 4_000, 32_000 * 4_000  # micro-USD a ppm: 50 x 64 and 500 x 64 USD at 0.4 %
    together = longs + shorts
    assert scene.venue.clearing.needed[SHORT] == max(together - 8 * (together - (shorts - longs)) // 10, shorts)
