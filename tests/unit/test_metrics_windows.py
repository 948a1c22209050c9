"""When windows open and close, what counts in which, and what a source's capabilities do to the rows."""

import re

import numpy as np
import pytest

from engine.contract import EventKind, Reason, Reference
from monitor.metrics.accounts import COLUMNS, MOST, SPAN
from monitor.metrics.catalogue import CATALOGUE, METRIC_NAMES
from monitor.metrics.rows import block_rows
from monitor.sources import ALL_CAPABILITIES
from tests.oracle.event_streams import HOUR, START_NS, events_of
from tests.shared_data import shared_data
from tests.windows_kit import (
    BUY,
    INSTRUMENTS,
    SECOND,
    SELL,
    add,
    at,
    cancel,
    clear,
    clock,
    measure,
    missing,
    new_engine,
    reference,
    rows_of,
    snapshot,
    trade,
    transfer,
)

QUOTES = [add(0, 1, BUY, 9_990, 10), add(0, 2, SELL, 10_010, 10)]


def test_an_event_at_a_windows_end_belongs_to_the_next():
    rows = measure([*QUOTES, add(999.999_999, 3, BUY, 9_980, 1), add(1_000, 4, BUY, 9_980, 1), clock(2_000)])
    assert [(row["window"], row["adds"]) for row in rows] == [(1, 3), (2, 1)]


def test_windows_close_with_the_clock_alone():
    engine = new_engine()
    assert engine.push(events_of(QUOTES)) is None
    rows = rows_of(engine.push(events_of([clock(3_000)])))
    assert [row["window"] for row in rows] == [1, 2, 3]
    assert [row["messages"] for row in rows] == [2, 0, 0]
    assert [row["book_age_ms"] for row in rows] == [1_000, 2_000, 3_000]
    assert engine.finish() is None


def test_finish_closes_a_window_only_if_something_happened_in_it():
    engine = new_engine()
    engine.push(events_of([*QUOTES, clock(1_500)]))
    assert engine.finish() is None
    engine = new_engine()
    engine.push(events_of([*QUOTES, clock(1_500), add(1_600, 3, BUY, 9_980, 1)]))
    assert [row["adds"] for row in rows_of(engine.finish())] == [1]


def test_nothing_at_all_gives_nothing():
    engine = new_engine()
    assert engine.push(events_of([])) is None
    assert engine.finish() is None
    assert engine.counters()["events"] == 0


def test_one_event_alone_gives_its_window():
    assert [row["messages"] for row in measure([add(5, 1, BUY, 100, 1)])] == [1]


def test_events_out_of_order_within_the_lateness_count_where_they_belong():
    events = [*QUOTES, add(1_200, 3, BUY, 9_980, 1), add(900, 4, BUY, 9_970, 1), clock(2_500)]
    in_time = measure(events, lateness_ns=400_000_000)
    assert [(row["adds"], row["late"]) for row in in_time] == [(3, 0), (1, 0)]
    late = measure(events)
    assert [(row["adds"], row["late"]) for row in late] == [(2, 0), (1, 1)]


def test_a_late_event_still_changes_the_book():
    engine = new_engine()
    engine.push(events_of([*QUOTES, clock(1_500), add(900, 3, BUY, 9_995, 7), clock(2_000)]))
    assert engine.counters()["late"] == 1
    assert list(engine.finish() or []) == []
    block = new_engine().push(events_of([*QUOTES, clock(1_500), add(900, 3, BUY, 9_995, 7), clock(2_000)]))
    (symbol, book), _ = block.books(INSTRUMENTS)
    assert symbol == "ONE"
    assert book == b'{"window_end_ns":%d,"bids":[[99.95,7],[99.9,10]],"asks":[[100.1,10]]}' % at(2_000)


def test_windows_that_time_jumped_over_are_left_out_and_counted():
    engine = new_engine()
    far = 2 * HOUR / 1e6
    events = [*QUOTES, clock(far + 100), add(far + 200, 3, BUY, 9_980, 1), clock(far + 1_000)]
    rows = rows_of(engine.push(events_of(events)), engine.finish())
    assert [row["window"] for row in rows] == [1, 7_201]
    assert engine.counters()["skipped_windows"] == 7_199
    # Nothing is measured across the jump.
    assert missing(rows[1], "return_bps", "open_interest_change_lots")


def test_silence_of_less_than_an_hour_is_closed_window_by_window():
    assert len(measure([*QUOTES, clock(1_800_000), clock(3_600_000)])) == 3_600


def test_one_wrong_clock_does_not_move_time():
    engine = new_engine()
    events = [*QUOTES, add(10 * HOUR / 1e6, 3, BUY, 9_980, 1), add(500, 4, BUY, 9_970, 1), clock(1_000)]
    rows = rows_of(engine.push(events_of(events)), engine.finish())
    assert [(row["window"], row["adds"], row["late"]) for row in rows] == [(1, 4, 0)]
    assert engine.counters()["wrong_times"] == 1


def test_a_wrong_clock_on_the_first_event_does_not_move_time():
    events = [add(10 * HOUR / 1e6, 1, BUY, 9_990, 10), add(100, 2, SELL, 10_010, 10), clock(1_000)]
    assert [(row["window"], row["adds"]) for row in measure(events)] == [(1, 2)]


def test_snapshot_events_build_the_book_and_are_no_flow():
    rows = measure([*map(snapshot, QUOTES), clock(1_000)])
    assert rows[0]["depth_bid_5_usd"] == pytest.approx(999.0)
    assert all(rows[0][name] == 0 for name in ("messages", "adds", "added_lots", "ofi_lots"))


def test_a_cleared_book_is_unknown_until_it_has_both_sides_again():
    events = [
        *QUOTES,
        clear(1_000),
        snapshot(add(1_500, 3, BUY, 9_000, 1)),
        clock(3_000),
        snapshot(add(3_500, 4, SELL, 9_100, 1)),
    ]
    rows = measure([*events, clock(4_000)])
    depth = [metric.name for metric in CATALOGUE if metric.family == "depth" and metric.name != "ofi_lots"]
    assert not missing(rows[0], "spread_bps", "mid_usd")
    assert missing(rows[1], *depth, "mid_usd")
    assert missing(rows[2], *depth, "mid_usd")
    assert rows[3]["mid_usd"] == pytest.approx(90.5)
    assert rows[3]["ofi_lots"] == 0


def test_gaps_without_a_symbol_are_everybodys():
    gap = {"ts_ns": at(10), "kind": EventKind.GAP}
    events = [*QUOTES, gap | {"symbol": -1}, gap | {"symbol": 1}, clock(1_000)]
    assert measure(events, symbol=0)[0]["gaps"] == 1
    assert measure(events, symbol=1)[0]["gaps"] == 2


@pytest.mark.parametrize("metric", [metric for metric in CATALOGUE if metric.needs], ids=lambda metric: metric.name)
def test_a_metric_that_the_source_cannot_give_is_missing_in_every_row(metric):
    events = [
        *QUOTES,
        transfer(1, 0, 10**9),
        *(reference(1, code, 10_000_000_000) for code in Reference),
        trade(2, SELL, 9_990, 1, maker_id=1),
        cancel(3, 1, BUY, 9_990, 2),
        clock(2_000),
    ]
    rows = measure(events, capabilities=ALL_CAPABILITIES - set(re.split("[|&]", metric.needs)))
    assert all(missing(row, metric.name) for row in rows)


def test_bad_events_are_counted_and_harm_nothing():
    engine = new_engine()
    bad = [
        add(1, 9, BUY, 9_990, 1, symbol=7),
        trade(2, BUY, 0, 5, maker_id=1),
        trade(2, BUY, 2**62, 5, maker_id=1),
        trade(2, BUY, 10_010, 1, maker_id=2, taker=99, maker=-1),
        {"ts_ns": at(3), "kind": EventKind.LEVEL, "side": 9, "price": -5, "qty": 3},
        {"ts_ns": at(3), "kind": 200},
        add(4, 1, BUY, 9_990, 1),
        cancel(5, 77, BUY, 9_990, 1),
        transfer(6, 1_000, 5),
        add(7, 8, 9, 9_990, 1),
    ]
    rows = rows_of(engine.push(events_of([*QUOTES, *bad, clock(1_000)])), engine.finish())
    counters = engine.counters()
    assert counters["unknown_symbol"] == 1
    assert counters["bad_trade"] == 2
    assert counters["unknown_account"] == 3
    assert counters["book_duplicate_order"] == 1
    assert counters["book_unknown_order"] == 1
    assert counters["book_bad_value"] == 2
    assert np.isfinite([rows[0][name] for name in ("spread_bps", "mid_usd", "slippage_buy_bps")]).all()
    assert rows[0]["traded_lots"] == 1


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="step_ns is 15"):
        new_engine(step_ns=15)
    with pytest.raises(ValueError, match="lateness_ns is -1"):
        new_engine(lateness_ns=-1)
    with pytest.raises(ValueError, match="EVENT_DTYPE"):
        new_engine().push(np.zeros(3))


def test_a_snapshot_of_something_else_is_refused_and_changes_nothing():
    engine, other = new_engine(), new_engine(step_ns=10 * SECOND)
    engine.push(events_of(QUOTES))
    before = engine.snapshot()
    with pytest.raises(ValueError, match="another source or version"):
        engine.restore(other.snapshot())
    with pytest.raises(ValueError, match="no snapshot"):
        engine.restore(b"\x10\x00\x00\x00\x00\x00\x00\x00nonsense")
    assert engine.snapshot() == before


def test_a_block_can_be_cut():
    engine = new_engine()
    block = engine.push(events_of([*QUOTES, clock(3_000)]))
    symbols = [instrument.symbol for instrument in INSTRUMENTS]
    first, rest = block.cut(0, 1), block.cut(1, 3)
    assert first.boards is None
    assert list(first.books(INSTRUMENTS)) == []
    assert len(list(rest.books(INSTRUMENTS))) == 2
    whole = block_rows(block, symbols, "LIVE")
    assert block_rows(first, symbols, "LIVE").vstack(block_rows(rest, symbols, "LIVE")).equals(whole, null_equal=True)


def test_the_recorded_day_has_its_windows_and_its_burst():
    from monitor.metrics.windows import WindowEngine
    from monitor.sources.detect import open_source

    path = shared_data("1_l3", "lobster", "LOBSTER_SampleFile_AMZN_2012-06-21_5.zip")
    source = open_source([path], "auto")
    engine = WindowEngine(source.instruments, source.capabilities, source.capacity, 0, SECOND, source.lateness_ns)
    blocks = [block for batch in source.batches() if (block := engine.push(batch)) is not None]
    blocks += [block for block in [engine.finish()] if block is not None]
    ends = np.concatenate([block.window_end_ns for block in blocks])
    values = np.concatenate([block.values for block in blocks])[:, 0]
    open_ns = 1_340_285_400 * SECOND  # 2012-06-21 09:30 US/Eastern
    assert ends.tolist() == list(range(open_ns + SECOND, open_ns + 23_401 * SECOND, SECOND))
    burst = values[(15 * 3600 + 4 * 60 + 19) - (9 * 3600 + 30 * 60)]
    assert burst[METRIC_NAMES.index("cancels")] == 172
    assert burst[METRIC_NAMES.index("adds")] == 171
    assert burst[METRIC_NAMES.index("trades")] == 1
    assert np.nanmax(values[:, METRIC_NAMES.index("crossed_ms")]) == 0
    thin = slice(14 * 3600 + 42 * 60 + 30 - 34_200, 14 * 3600 + 43 * 60 - 34_200)
    slippage = np.fmax(values[:, METRIC_NAMES.index("slippage_buy_bps")], values[:, METRIC_NAMES.index("slippage_sell_bps")])
    assert np.median(slippage[thin]) > 2 * np.median(slippage)


def test_a_span_tells_what_each_account_did_and_where():
    events = [*[transfer(0, a, 1_000_000_000) for a in (1, 2)], reference(0, Reference.MARK, 10_000_000_000)]
    events += [add(1, 1, BUY, 9_990, 5, account=1), add(2, 2, SELL, 10_010, 5, account=2), add(3, 3, BUY, 9_980, 1, account=1)]
    events += [cancel(1_500, 3, BUY, 9_980, 1, account=1), trade(2_000, BUY, 10_010, 2, maker_id=2, taker=1, maker=2)]
    refused = {"kind": EventKind.REJECT, "account": 2, "code": Reason.BAD_TICK}
    events += [{"ts_ns": at(2_500), "symbol": 1, **refused}, clock(30_000)]
    engine = new_engine()
    rows = engine.push(events_of(events)).accounts
    first, where = START_NS // SECOND, [list(COLUMNS).index(name) for name in ("adds", "cancels", "rejects", "fills")]
    end = -(-(first + 1) // SPAN) * SPAN
    assert rows.window.tolist() == [end, end]
    assert rows.account.tolist() == [1, 2]
    assert rows.symbol.tolist() == [[0, 0], [1, 0]]
    assert rows.values[:, where].tolist() == [[2, 1, 0, 1], [1, 0, 1, 1]]
    taken, grown, exposure, leverage, equity = rows.values[0, -5:].tolist()
    assert (taken, grown, leverage) == (200, 200, pytest.approx(0.2, rel=0.01))
    assert exposure == pytest.approx(200 * leverage)
    assert equity == pytest.approx(1_000 - 2 * 0.1)
    assert engine.counters()["accounts_left_out"] == 0


def test_of_too_many_accounts_those_that_did_most_have_rows_and_the_rest_is_counted():
    accounts = 700
    events = [add(1 + n / 1_000, 1 + n, BUY, 9_000, 1, account=n) for n in range(accounts)]
    events += [add(5 + n / 1_000, 1_000 + n, BUY, 9_000, 1, account=n) for n in range(100, accounts)]
    events += [transfer(10, a, 1_000_000_000) for a in (3, 5)]
    events += [trade(11, BUY, 9_000, 1, taker=3, maker=5), clock(30_000)]
    engine = new_engine(accounts=accounts)
    rows = engine.push(events_of(events)).accounts
    assert len(rows.window) == MOST
    # 3 and 5 added exposure; then those with two orders, the lowest numbers first.
    assert rows.account.tolist() == [3, 5, *range(100, 100 + MOST - 2)]
    assert engine.counters()["accounts_left_out"] == accounts - MOST


def test_a_span_that_time_jumps_out_of_has_no_rows():
    day = 86_400_000
    events = [add(1, 1, BUY, 9_000, 1, account=1), add(day, 2, BUY, 9_000, 1, account=2), clock(day + 1)]
    rows = new_engine().push(events_of([*events, clock(day + 30_000)])).accounts
    assert rows.account.tolist() == [2]
