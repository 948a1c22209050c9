"""The metrics of each family on small books, by hand."""

import math

import numpy as np
import pytest

from engine.contract import EventFlag, EventKind, Reason, Reference
from monitor.metrics.cancels import bin_middle_ns, life_bin
from tests.oracle.event_streams import events_of
from tests.windows_kit import (
    BUY,
    L2,
    SELL,
    add,
    at,
    cancel,
    clock,
    level,
    measure,
    missing,
    new_engine,
    reference,
    rows_of,
    trade,
    transfer,
)

QUOTES = [add(0, 1, BUY, 9_990, 10), add(0, 2, SELL, 10_010, 10)]
LEVELS = [level(0, BUY, 9_990, 10), level(0, SELL, 10_010, 10)]

# ---- cancels ----


def test_a_level_that_orders_already_tell_is_not_told_twice():
    flow = [add(100, 3, BUY, 9_990, 4), cancel(300, 1, BUY, 9_990, 3), trade(500, BUY, 10_010, 2, maker_id=2)]
    told = [
        level(100, BUY, 9_990, 14, flags=EventFlag.DERIVED),
        level(300, BUY, 9_990, 11, flags=EventFlag.DERIVED),
        level(500, SELL, 10_010, 8, flags=EventFlag.DERIVED),
    ]
    plain = measure([*QUOTES, *flow, clock(1_000)])
    twice = [event for pair in zip(flow, told, strict=True) for event in pair]
    assert repr(measure([*QUOTES, *twice, clock(1_000)])) == repr(plain)
    assert plain[0]["messages"] == 5


def test_an_auctions_trade_takes_from_both_orders_and_counts_once():
    rows = measure(
        [
            *QUOTES,
            add(100, 3, BUY, 10_020, 6, account=2),
            trade(600, BUY, 10_015, 4, maker_id=2, order_id=3, taker=2, maker=0, flags=EventFlag.AUCTION),
            cancel(700, 3, BUY, 10_020, 2, account=2),
            clock(1_000),
        ]
    )
    row = rows[0]
    expected = {"trades": 1, "traded_lots": 4, "adds": 3, "cancels": 1, "cancelled_lots": 2, "positions": 2}
    assert {name: row[name] for name in expected} == expected
    assert row["crossed_ms"] == pytest.approx(600)  # from the crossing bid to its cancel
    assert row["last_usd"] == pytest.approx(100.15)
    assert row["mid_usd"] == pytest.approx(100.0)
    assert row["lifetime_p50_ms"] == pytest.approx(600, rel=0.008)


def test_cancels_of_the_venue_count_and_other_answers_do_not():
    engine = new_engine()
    kinds = (EventKind.ARM, EventKind.TRIGGER, EventKind.ACK, EventKind.STATE)
    others = [{**add(400, 9, BUY, 9_000, 3), "kind": kind} for kind in kinds]
    answers = [{"ts_ns": at(500), "kind": kind, "symbol": -1, "account": 2} for kind in (EventKind.ACK, EventKind.REJECT)]
    amended = [cancel(200, 1, BUY, 9_990, 10, code=Reason.AMENDED), add(200, 1, BUY, 9_980, 12)]
    expired = [cancel(300, 1, BUY, 9_980, 12, code=Reason.EXPIRED)]
    events = [*QUOTES, *amended, *expired, *others, *answers, clock(1_000)]
    (row,) = rows_of(engine.push(events_of(events)), engine.finish())
    expected = {"messages": 5, "adds": 3, "cancels": 2, "rejects": 0, "trades": 0, "order_to_trade_ratio": 4.0}
    assert {name: row[name] for name in expected} == expected
    troubles = {name: count for name, count in engine.counters().items() if name != "events"}
    assert not any(troubles.values()), troubles


def test_flow_counts_of_an_order_feed():
    rows = measure(
        [
            *QUOTES,
            add(100, 3, BUY, 9_990, 4, account=2),
            add(100, 4, BUY, 9_500, 4, account=3),
            cancel(150, 3, BUY, 9_990, 1, account=2),
            cancel(300, 3, BUY, 9_990, 3, account=2),
            cancel(400, 4, BUY, 9_500, 4, account=3),
            cancel(500, 2, SELL, 10_010, 1, account=0),
            trade(600, BUY, 10_010, 2, maker_id=2),
            trade(700, BUY, 10_000, 3, flags=EventFlag.HIDDEN),
            {**add(800, 9, BUY, 9_990, 1), "kind": EventKind.REJECT},
            {**add(800, 9, BUY, 9_990, 1), "kind": EventKind.DONE},
            clock(1_000),
        ]
    )
    row = rows[0]
    expected = {
        "messages": 11, "adds": 4, "added_lots": 28, "cancels": 4, "cancels_buy": 3, "cancels_sell": 1, "cancels_near": 3,
        "cancelled_lots": 9, "fleeting_cancels": 1, "trades": 2, "traded_lots": 5, "rejects": 1, "order_to_trade_ratio": 3.0,
        "top_cancel_share": 0.5,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    # Two orders were cancelled in full, after 200 and 300 ms.
    assert row["lifetime_p50_ms"] == pytest.approx(200, rel=0.008)
    assert row["last_usd"] == pytest.approx(100.0)
    # The hidden fill took nothing that was displayed; a sample sees what stood just before its time.
    assert row["depth_ask_5_usd"] == pytest.approx(0.1 * (5 * 10 + 1 * 9 + 4 * 7) * 100.10)


def test_ratios_without_anything_to_divide_by():
    row = measure([*QUOTES, clock(1_000), clock(2_000)])[1]
    assert row["order_to_trade_ratio"] == -1
    assert missing(row, "lifetime_p50_ms", "top_cancel_share")
    assert row["who_cancels"] == {}


def test_the_lowest_account_is_the_top_one_among_equals():
    orders = [add(1, 10 + account, BUY, 9_900, 1, account=account) for account in (4, 3, 1)]
    row = measure([*QUOTES, *orders, *(cancel(2, 10 + a, BUY, 9_900, 1, account=a) for a in (4, 3, 1)), clock(1_000)])[0]
    assert list(row["who_cancels"].items()) == [(1, 1), (3, 1), (4, 1)]
    assert row["top_cancel_share"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("life_ns", [0, 1, 63, 64, 65, 127, 128, 1_000, 999_999_937, 3_600 * 10**9, 2**52 - 1])
def test_a_lifetimes_bin_is_within_eight_tenths_of_a_percent(life_ns):
    assert bin_middle_ns(life_bin(life_ns)) == pytest.approx(life_ns, rel=1 / 128)


def test_lifetimes_bins_rise_and_end():
    bins = [life_bin(int(x)) for x in np.geomspace(1, 2**52, 5_000)]
    assert bins == sorted(bins)
    assert life_bin(2**62) == life_bin(2**52) == 3_008
    assert life_bin(-5) == 0


@pytest.mark.parametrize("after_ms", [-200, -0.001, 0, 0.001, 200])
def test_a_decrease_that_a_trade_explains_is_no_cancel(after_ms):
    pair = [trade(500 + after_ms, SELL, 9_990, 4), level(500, BUY, 9_990, 6)]
    row = measure([*LEVELS, *sorted(pair, key=lambda event: event["ts_ns"]), clock(1_000)], capabilities=L2)[0]
    assert (row["cancels"], row["cancelled_lots"], row["cancels_buy"], row["cancels_near"]) == (0, 0, 0, 0)
    assert (row["trades"], row["traded_lots"], row["adds"]) == (1, 4, 2)


@pytest.mark.parametrize("trade_first", [True, False])
def test_what_the_trade_does_not_explain_is_a_cancel(trade_first):
    pair = [trade(500, SELL, 9_990, 4), level(500, BUY, 9_990, 1)]
    row = measure([*LEVELS, *(pair if trade_first else pair[::-1]), clock(1_000)], capabilities=L2)[0]
    assert (row["cancels"], row["cancelled_lots"], row["cancels_buy"], row["cancels_near"]) == (1, 5, 1, 1)


@pytest.mark.parametrize(
    "other",
    [
        trade(200, SELL, 9_990, 4),  # too long ago
        trade(800, SELL, 9_990, 4),  # too late
        trade(500, SELL, 9_989, 4),  # another price
        trade(500, BUY, 9_990, 4),  # the other side
        trade(500, SELL, 9_990, 4, flags=EventFlag.HIDDEN),
    ],
)
def test_a_trade_elsewhere_explains_nothing(other):
    events = sorted([level(500, BUY, 9_990, 6), other], key=lambda event: event["ts_ns"])
    row = measure([*LEVELS, *events, clock(1_000)], capabilities=L2)[0]
    assert (row["cancels"], row["cancelled_lots"]) == (1, 4)


def test_a_level_that_is_refilled_after_a_trade_is_an_add():
    row = measure([*LEVELS, trade(500, SELL, 9_990, 4), level(510, BUY, 9_990, 9), clock(1_000)], capabilities=L2)[0]
    assert (row["adds"], row["added_lots"], row["cancels"]) == (3, 23, 0)


def test_a_trade_explains_one_decrease_only_even_over_a_windows_end():
    events = [*LEVELS, level(990, BUY, 9_990, 6), trade(1_010, SELL, 9_990, 4), level(1_020, BUY, 9_990, 2), clock(2_000)]
    rows = measure(events, capabilities=L2)
    assert [(row["cancels"], row["cancelled_lots"]) for row in rows] == [(1, 4), (1, 4)]


def test_a_trade_alone_leaves_an_aggregated_book_as_it_is():
    row = measure([*LEVELS, trade(1, SELL, 9_990, 4), clock(1_000)], capabilities=L2)[0]
    assert row["depth_bid_5_usd"] == pytest.approx(999.0)


# ---- depth ----


def test_the_spread_is_weighted_by_time():
    # 20 ticks for 250 ms, then 10 ticks for 750 ms.
    row = measure([*QUOTES, add(250, 3, BUY, 10_000, 1), clock(1_000)])[0]
    expected = 0.25 * 20 / 10_000 + 0.75 * 10 / 10_005
    assert row["spread_bps"] == pytest.approx(1e4 * expected)


def test_depth_is_the_mean_of_ten_samples():
    # 9 samples stand at the end of the tenths 2 … 10: those after 150 ms.
    row = measure([*QUOTES, add(150, 3, BUY, 9_980, 10), clock(1_000)])[0]
    assert row["depth_bid_5_usd"] == pytest.approx(999.0 + 0.9 * 998.0)


def test_depth_counts_five_levels_and_near_depth_ten_basis_points():
    bids = [add(0, 10 + n, BUY, 10_000 - n, 1) for n in range(1, 21)]
    asks = [add(0, 50 + n, SELL, 10_000 + n, 2) for n in range(1, 8)]
    row = measure([*bids, *asks, clock(1_000)])[0]
    assert row["depth_bid_5_usd"] == pytest.approx(sum(99.99 - 0.01 * n for n in range(5)))
    assert row["depth_ask_5_usd"] == pytest.approx(2 * sum(100.01 + 0.01 * n for n in range(5)))
    assert row["depth_bid_10bps_usd"] == pytest.approx(sum(99.99 - 0.01 * n for n in range(10)))
    assert row["levels_10bps"] == 17
    bid, ask = row["depth_bid_5_usd"], row["depth_ask_5_usd"]
    assert row["imbalance"] == pytest.approx((bid - ask) / (bid + ask))


def test_slippage_walks_the_book_and_prices_what_it_lacks_beyond_it():
    # The usual size is the first sample's mean depth: (100·10 + 100·30)/2 = 2,000 ticks·lots around a mid of 100: 20 lots.
    events = [
        add(0, 1, BUY, 99, 10),
        add(0, 2, SELL, 101, 10),
        add(0, 3, SELL, 103, 100),
        cancel(0, 3, SELL, 103, 80),
        clock(1_000),
    ]
    row = measure(events)[0]
    size = ((99 * 10) + (101 * 10 + 103 * 20)) / 2 / 100
    assert row["usual_depth_usd"] == pytest.approx(size)
    bought = (101 * 10 + 103 * (size - 10)) / size
    # Ten lots at 99, the rest twice as far from mid as 99: at 98.
    sold = (99 * 10 + 98 * (size - 10)) / size
    assert row["slippage_buy_bps"] == pytest.approx(100 * (bought - 100))
    assert row["slippage_sell_bps"] == pytest.approx(100 * (100 - sold))
    bought_twice = (101 * 10 + 103 * 20 + 106 * (2 * size - 30)) / (2 * size)
    assert row["slippage_2x_bps"] == pytest.approx(100 * (bought_twice - 100))


def test_a_side_that_empties_is_a_blow_out_and_not_missing():
    rows = measure([*QUOTES, clock(1_000), cancel(1_000, 1, BUY, 9_990, 10), clock(2_000)])
    blown = rows[1]
    assert blown["spread_bps"] == 20_000
    assert blown["slippage_sell_bps"] == blown["slippage_2x_bps"] == 10_000
    assert blown["slippage_buy_bps"] == pytest.approx(10.0)  # against the last mid
    assert (blown["depth_bid_5_usd"], blown["imbalance"]) == (0, -1)
    assert missing(blown, "mid_usd", "return_bps")


def test_both_sides_gone_are_no_imbalance_but_the_largest_cost():
    gone = [cancel(1_000, 1, BUY, 9_990, 10), cancel(1_000, 2, SELL, 10_010, 10)]
    row = measure([*QUOTES, *gone, clock(2_000)])[1]
    assert row["slippage_buy_bps"] == row["slippage_sell_bps"] == 10_000
    assert row["spread_bps"] == 20_000
    assert missing(row, "imbalance")


def test_the_usual_depth_forgets_half_in_an_hour():
    # One hour with a depth of 999.0 and 1,001.0, then a minute with twice that.
    events = [
        *QUOTES,
        clock(3_600_000),
        add(3_600_000, 3, BUY, 9_990, 10),
        add(3_600_000, 4, SELL, 10_010, 10),
        clock(3_661_000),
    ]
    usual = [row["usual_depth_usd"] for row in measure(events)]
    assert usual[:3_601] == pytest.approx([1_000.0] * 3_601)
    decay = 0.5 ** (1 / 3_600)
    old, new = decay**60 * (1 - decay**3_600), 1 - decay**60
    assert usual[3_660] == pytest.approx((old * 1_000 + new * 2_000) / (old + new))


def test_crossed_time_is_counted():
    row = measure([*QUOTES, add(400, 3, BUY, 10_010, 1), cancel(650, 3, BUY, 10_010, 1), clock(1_000)])[0]
    assert row["crossed_ms"] == 250
    assert row["spread_bps"] == pytest.approx(0.75 * 20)


def test_order_flow_imbalance_adds_up_the_best_quotes():
    events = [
        *QUOTES,
        add(100, 3, BUY, 9_990, 5),  # +5 at the best bid
        add(200, 4, BUY, 9_995, 7),  # +7: a new best bid
        add(300, 5, SELL, 10_010, 2),  # -2 at the best ask
        cancel(400, 4, BUY, 9_995, 7),  # -7: the best bid falls back
        trade(500, BUY, 10_010, 10, maker_id=2),  # +10: taken from the ask
        add(600, 6, BUY, 9_000, 100),  # below the touch
        clock(1_000),
    ]
    assert measure(events)[0]["ofi_lots"] == 5 + 7 - 2 - 7 + 10


# ---- leverage ----


def wallets(*amounts):
    return [transfer(0, account, round(1e6 * usd)) for account, usd in enumerate(amounts)]


def test_leverage_is_notional_over_equity_across_symbols():
    events = [
        *wallets(1_000, 100, 50, 0),
        reference(0, Reference.MARK, 10_000_000_000),  # 100 USD
        reference(0, Reference.MARK, 4_000_000_000, symbol=1),  # 2,000 USD; a lot is 0.001
        trade(1, BUY, 10_000, 8, taker=0, maker=1),
        trade(2, BUY, 10_000, 1, taker=0, maker=2),
        trade(3, BUY, 4_000, 500, taker=0, maker=1, symbol=1),
        clock(1_000),
        reference(1_500, Reference.MARK, 10_600_000_000),  # 106 USD: account 1 and 2 lose
        trade(1_600, SELL, 10_600, 3, taker=0, maker=3),
        clock(2_000),
    ]
    first, second = measure(events)
    leverage = {0: (900 + 1_000) / 1_000, 1: (800 + 1_000) / 100, 2: 100 / 50}
    assert first["leverage_p50"] == pytest.approx(leverage[2])
    assert first["leverage_p90"] == pytest.approx(leverage[1])
    weighted = (9 * leverage[0] + 8 * leverage[1] + 1 * leverage[2]) / 18
    assert first["leverage_weighted"] == pytest.approx(weighted)
    assert first["leverage_new"] == pytest.approx(weighted)
    assert (first["positions"], first["underwater"]) == (3, 0)
    assert first["who_position_lots"] == {0: 9, 1: 8, 2: 1}
    assert first["top_position_share"] == 1
    assert first["hhi_open_interest"] == 1
    assert first["open_interest_usd"] == pytest.approx(900)
    # Account 3 bought with an empty wallet: no equity at all, and the only one whose position grew.
    assert (second["positions"], second["underwater"]) == (4, 1)
    assert second["leverage_new"] == 125
    assert second["leverage_p90"] == 125
    assert second["open_interest_change_lots"] == 0
    assert second["open_interest_usd"] == pytest.approx(9 * 106)
    assert measure(events, symbol=1)[0]["leverage_p90"] == pytest.approx(leverage[1])


def test_concentration_takes_the_side_that_is_worse():
    fills = [
        trade(1, BUY, 100, 4, taker=0, maker=4),
        trade(1, BUY, 100, 4, taker=1, maker=4),
        trade(1, BUY, 100, 2, taker=2, maker=3),
    ]
    row = measure([*wallets(9, 9, 9, 9, 9), *fills, clock(1_000)])[0]
    assert row["hhi_open_interest"] == pytest.approx(0.8**2 + 0.2**2)
    assert row["top_position_share"] == pytest.approx(0.8)


def test_a_position_that_turns_is_new_and_a_self_trade_is_none():
    events = [*wallets(90, 90), trade(1, BUY, 100, 5, taker=0, maker=1), clock(1_000)]
    events += [trade(1_100, SELL, 100, 10, taker=0, maker=1), trade(1_200, BUY, 100, 50, taker=1, maker=1), clock(2_000)]
    row = measure(events)[1]
    assert row["leverage_new"] == pytest.approx(5 / 90)
    assert row["positions"] == 2
    assert row["traded_lots"] == 60


def test_positions_are_valued_at_mid_without_a_mark_and_at_last_without_a_mid():
    fills = [*wallets(100, 100), trade(1, BUY, 10_000, 1, taker=0, maker=1)]
    assert measure([*fills, clock(1_000)])[0]["open_interest_usd"] == pytest.approx(100.0)
    quotes = [add(2, 1, BUY, 10_190, 1), add(2, 2, SELL, 10_210, 1)]
    assert measure([*fills, *quotes, clock(1_000)])[0]["open_interest_usd"] == pytest.approx(102.0)


def test_reported_open_interest_goes_before_a_rebuilt_one():
    fills = [*wallets(9, 9), trade(1, BUY, 100, 4, taker=0, maker=1)]
    reports = [
        reference(2, Reference.OPEN_INTEREST, 70),
        clock(1_000),
        reference(1_500, Reference.OPEN_INTEREST, 65),
        clock(2_000),
    ]
    rows = measure([*fills, *reports])
    assert rows[0]["open_interest_usd"] == pytest.approx(70.0)
    assert rows[1]["open_interest_change_lots"] == -5


def test_nobody_with_a_position():
    row = measure([*QUOTES, clock(1_000)])[0]
    assert (row["positions"], row["underwater"], row["who_position_lots"]) == (0, 0, {})
    assert missing(
        row, "leverage_p50", "leverage_p90", "leverage_weighted", "leverage_new", "top_position_share", "hhi_open_interest"
    )


def test_who_added_exposure_grew_or_withdrew():
    start = [
        *wallets(1_000, 100, 50, 1_000),
        reference(0, Reference.MARK, 10_000_000_000),
        trade(1, BUY, 10_000, 4, taker=0, maker=1),
    ]
    events = [
        *start,
        clock(1_000),
        trade(1_100, BUY, 10_000, 1, taker=2, maker=3),
        transfer(1_200, 0, -900_000_000),
        clock(2_000),
    ]
    first, second = measure(events)
    assert first["who_exposure_usd"] == pytest.approx({1: 400 * 4.0, 0: 400 * 0.4})
    # Account 0 did not trade, but with 100 left its 400 are at leverage 4 instead of 0.4.
    assert second["who_exposure_usd"] == pytest.approx({0: 400 * (4.0 - 0.4), 2: 100 * 2.0, 3: 100 * 0.1})
    assert list(second["who_exposure_usd"]) == [0, 2, 3]
    assert second["who_withdrawn_usd"] == {0: 900}
    assert second["who_taken_lots"] == {2: 1}


def test_who_was_forced_out_and_whose_position_shrank():
    fills = [
        *wallets(90, 90, 90),
        trade(1, BUY, 100, 5, taker=0, maker=1),
        trade(2, BUY, 100, 3, taker=2, maker=1),
        clock(1_000),
    ]
    forced = [
        trade(1_100, SELL, 100, 2, taker=0, maker=1, flags=EventFlag.LIQUIDATION),
        {"ts_ns": at(1_200), "kind": EventKind.ASSIGN, "code": Reason.TAKEOVER, "symbol": 0, "side": BUY, "qty": 3}
        | {"account": 4, "contra_account": 2, "leaves": 0},
        clock(2_000),
    ]
    row = measure([*fills, *forced])[1]
    assert row["who_forced_lots"] == {2: 3, 0: 2}
    assert row["who_reduced_lots"] == {2: 3, 0: 2, 1: 2}
    assert row["who_position_lots"] == {1: 6, 0: 3, 4: 3}


def test_who_was_refused_and_whose_orders_left_the_touch():
    orders = [add(100, 10, BUY, 9_999, 7, account=3), add(100, 11, BUY, 9_000, 50, account=4)]
    gone = [cancel(300, 10, BUY, 9_999, 7, account=3), cancel(301, 11, BUY, 9_000, 50, account=4)]
    refused = [
        {"ts_ns": at(400 + n), "kind": EventKind.REJECT, "symbol": 0, "account": 2, "code": Reason.BAD_TICK} for n in (0, 1)
    ]
    row = measure([*QUOTES, *orders, *gone, *refused, clock(1_000)])[0]
    assert row["who_near_cancelled_lots"] == {3: 7}
    assert row["who_slow_fleeting_cancels"] == {3: 1, 4: 1}
    assert row["who_rejects"] == {2: 2}


# ---- prices ----


def test_prices_their_distances_and_ages():
    events = [
        *QUOTES,
        reference(100, Reference.INDEX, 9_995_500_000),
        reference(300, Reference.MARK, 10_005_000_000),
        reference(400, Reference.FUNDING_RATE, 1_250_000),
        trade(500, BUY, 10_010, 1, maker_id=2),
        reference(500, Reference.LAST, 10_009_500_000),
        clock(1_000),
    ]
    row = measure(events)[0]
    assert row["mid_usd"] == pytest.approx(100.0)
    assert row["index_usd"] == pytest.approx(99.955)
    assert row["mark_usd"] == pytest.approx(100.05)
    assert row["last_usd"] == pytest.approx(100.095)
    assert row["mark_index_bps"] == pytest.approx(1e4 * math.log(100.05 / 99.955))
    assert row["mark_last_bps"] == pytest.approx(1e4 * math.log(100.05 / 100.095))
    assert row["mid_index_bps"] == pytest.approx(1e4 * math.log(100 / 99.955))
    assert row["funding_rate_bps"] == 1.25
    assert (row["index_age_ms"], row["mark_age_ms"]) == (900, 700)


def test_what_has_not_come_yet_is_missing():
    row = measure([*QUOTES, clock(1_000)])[0]
    assert missing(
        row, "last_usd", "mark_usd", "index_usd", "mark_index_bps", "funding_rate_bps", "index_age_ms", "mark_age_ms"
    )


def test_an_older_value_replaces_no_newer_one():
    events = [reference(1_100, Reference.MARK, 2_000_000), reference(900, Reference.MARK, 1_000_000), clock(2_000)]
    assert measure(events)[0]["mark_usd"] == pytest.approx(0.02)


def test_returns_and_volatility_come_from_mids():
    moves = [add(350, 3, BUY, 9_992, 1), cancel(650, 3, BUY, 9_992, 1), add(1_250, 4, BUY, 9_996, 1)]
    first, second = measure([*QUOTES, *moves, clock(2_000)])
    up = 1e4 * math.log(10_001 / 10_000)
    assert first["realised_vol_bps"] == pytest.approx(math.sqrt(2) * up)
    assert missing(first, "return_bps")
    assert second["return_bps"] == pytest.approx(1e4 * math.log(10_003 / 10_000))
    assert second["realised_vol_bps"] == pytest.approx(second["return_bps"])
