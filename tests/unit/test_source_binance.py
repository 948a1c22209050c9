"""Binance futures frames: sequence rules, what is known of a level, order of frames, and the books of the real recordings."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numba import njit

from engine.book import LARGE, apply_event, best, level_qty, new_books
from engine.contract import EVENT_DTYPE, EventFlag, EventKind, Reference, Side
from monitor.sources import SourceError, binance_depth
from monitor.sources.binance import BinanceFuturesSource
from monitor.sources.files import find_members
from tests.recordings import Frames
from tests.shared_data import shared_data

RAW = ("2_perp_l2", "binance_raw_hftbacktest")


def read(*paths: Path) -> tuple[BinanceFuturesSource, np.ndarray]:
    source = BinanceFuturesSource(find_members(paths))
    batches = list(source.batches())
    return source, np.concatenate(batches) if batches else np.zeros(0, EVENT_DTYPE)


def levels(events: np.ndarray) -> list[tuple[int, int, int, bool]]:
    """(side, price, qty, quiet) of the LEVEL events."""
    told = events[events["kind"] == EventKind.LEVEL]
    return [(int(e["side"]), int(e["price"]), int(e["qty"]), bool(e["flags"] & EventFlag.SNAPSHOT)) for e in told]


def final_book(events: np.ndarray) -> dict[tuple[int, int], int]:
    book: dict[tuple[int, int], int] = {}
    for event in events:
        if event["kind"] == EventKind.CLEAR:
            book.clear()
        elif event["kind"] == EventKind.LEVEL:
            book[int(event["side"]), int(event["price"])] = int(event["qty"])
    return {key: qty for key, qty in book.items() if qty}


def test_every_stream_becomes_its_events(tmp_path: Path) -> None:
    f = Frames()
    f.depth({"100.10": "1.500"}, {"100.20": "2.000"})
    f.ticker("100.10", "100.20")
    f.trade(7, "100.20", "0.250")
    f.trade(8, "100.10", "0.125", buyer_is_maker=True)
    f.trade(9, "100.10", "0.001", X="INSURANCE_FUND")
    f.mark("100.15123456", "100.14000000", "0.00010000")
    source, events = read(f.write(tmp_path / "frames"))

    assert [i.symbol for i in source.instruments] == ["BTCUSDT"]
    assert (source.instruments[0].tick_size, source.instruments[0].lot_size, source.instruments[0].quote) == (
        "0.1",
        "0.001",
        "USDT",
    )
    assert source.capabilities == {"book", "deep_book", "trades", "mark", "index", "funding"}
    assert levels(events) == [(0, 1001, 1500, True), (1, 1002, 2000, True)]
    references = {Reference(e["code"]): (int(e["price"]), int(e["qty"])) for e in events if e["kind"] == EventKind.REFERENCE}
    assert references == {
        Reference.BEST_BID: (1001_000_000, 1000),
        Reference.BEST_ASK: (1002_000_000, 2000),
        Reference.MARK: (1001_512_346, 0),
        Reference.INDEX: (1001_400_000, 0),
        Reference.FUNDING_RATE: (1_000_000, 0),
    }
    trades = events[events["kind"] == EventKind.TRADE]
    assert trades[["side", "price", "qty", "flags"]].tolist() == [
        (Side.BUY, 1002, 250, 0),
        (Side.SELL, 1001, 125, 0),
        (Side.BUY, 1001, 1, EventFlag.HIDDEN),
    ]
    assert (events["ts_ns"][0], events["seq"].tolist()) == ((f.now_ms - 60) * 1_000_000, list(range(1, len(events) + 1)))
    assert not source.rejects
    assert source.progress == 1.0


def test_frames_without_envelope_read_the_same(tmp_path: Path) -> None:
    both = []
    for envelope in (True, False):
        f = Frames(envelope=envelope)
        f.depth({"100.10": "1.500"})
        f.ticker("100.10", "100.20")
        both.append(read(f.write(tmp_path / str(envelope)))[1])
    assert np.array_equal(both[0], both[1])


@pytest.mark.parametrize(("digits", "unit"), [(19, ""), (16, "us"), (13, "ms")])
def test_local_time_may_be_in_ns_us_or_ms(tmp_path: Path, digits: int, unit: str) -> None:
    f = Frames()
    f.depth({"100.10": "1.500"})
    f.snapshot(f.last, {"100.10": "1.500"}, {"100.20": "1.000"})
    f.lines = [line.split(" ", 1)[0][:digits] + " " + line.split(" ", 1)[1] for line in f.lines]
    source, events = read(f.write(tmp_path / "frames"))
    assert len(levels(events)) == 2, unit
    assert not source.rejects


def test_updates_before_the_snapshot_are_kept_and_the_newer_ones_replayed(tmp_path: Path) -> None:
    f = Frames()
    f.depth({"100.10": "9.000"}, {"100.30": "9.000"})  # u 1005: older than the snapshot
    f.depth({"100.10": "1.000"})  # u 1010: covers it
    f.depth({}, {"100.20": "3.000"})  # u 1015: newer
    f.snapshot(1008, {"100.00": "5.000"}, {"100.40": "4.000"})
    f.depth({"100.00": "0.000"})
    source, events = read(f.write(tmp_path / "frames"))

    assert final_book(events) == {(0, 1001): 1000, (1, 1002): 3000, (1, 1004): 4000}
    assert events["kind"][0] == EventKind.CLEAR
    quiet = [quiet for *_, quiet in levels(events)]
    assert quiet == [True] * 4 + [False]
    assert dict(source.rejects) == {"depth update older than the snapshot": 1}
    assert source.lines == source.lines_used + source.rejects.total()
    assert len(set(events["ts_ns"][:5])) == 1, "the snapshot's book appears at one moment"


def test_a_price_within_the_snapshots_range_is_known_and_one_beyond_is_not(tmp_path: Path) -> None:
    f = Frames()
    f.snapshot(1000, {"100.10": "1.000", "99.00": "1.000"}, {"100.20": "1.000", "101.00": "1.000"})
    f.depth({"99.50": "2.000", "98.90": "2.000"}, {"100.50": "2.000", "101.10": "2.000"})
    f.depth({"98.90": "3.000"}, {"101.10": "0.000"})
    _, events = read(f.write(tmp_path / "frames"))
    assert [quiet for *_, quiet in levels(events)[4:]] == [False, True, False, True, False, False]


def test_without_a_snapshot_the_first_sight_of_a_level_is_no_flow(tmp_path: Path) -> None:
    f = Frames()
    f.depth({"100.10": "1.000"})
    f.depth({"100.10": "2.000", "100.00": "0.000"})
    source, events = read(f.write(tmp_path / "frames"))
    assert levels(events) == [(0, 1001, 1000, True), (0, 1001, 2000, False), (0, 1000, 0, True)]
    assert any("no snapshot came" in note for note in source.notes)


def test_a_gap_is_told_and_the_book_begins_anew(tmp_path: Path) -> None:
    f = Frames()
    f.snapshot(1000, {"100.10": "1.000"}, {"100.20": "1.000"})
    f.depth({"100.00": "2.000"})
    f.last += 5
    f.depth({"100.30": "4.000"})
    source, events = read(f.write(tmp_path / "frames"))
    assert np.count_nonzero(events["kind"] == EventKind.GAP) == 1
    assert final_book(events) == {(0, 1003): 4000}, "the old ask at 100.20 must not stay and cross the book"
    assert any("1 gaps" in note for note in source.notes)

    f.snapshot(f.last, {"100.30": "4.000", "100.20": "1.000"}, {"100.40": "1.000"})
    _, events = read(f.write(tmp_path / "frames"))
    assert final_book(events) == {(0, 1003): 4000, (0, 1002): 1000, (1, 1004): 1000}, "the next snapshot sets it right"


def test_a_snapshot_that_cannot_be_used_is_not_waited_for_any_longer(tmp_path: Path) -> None:
    for bids, last, reason in (
        ({"100.10": "nan"}, 1000, "number that is not finite"),
        ({"100.10": "1.000"}, 5, "snapshot older than the depth updates at hand"),
    ):
        f = Frames()
        f.depth({"100.10": "1.000"})
        f.snapshot(last, bids, {"100.20": "1.000"})
        f.depth({"100.10": "2.000"})
        source, events = read(f.write(tmp_path / "frames"))
        assert dict(source.rejects) == {reason: 1}
        assert levels(events) == [(0, 1001, 1000, True), (0, 1001, 2000, False)]
        assert any("no snapshot came" in note for note in source.notes)


def test_a_snapshot_far_off_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binance_depth, "KEPT_UPDATES", 10)
    f = Frames()
    for i in range(30):
        f.depth({"100.10": f"{i + 1}.000"})
    f.snapshot(f.last, {"100.10": "30.000"}, {"100.20": "1.000"})
    source, events = read(f.write(tmp_path / "frames"))
    assert levels(events)[:2] == [(0, 1001, 10_000, True), (0, 1001, 11_000, False)]
    assert final_book(events) == {(0, 1001): 30_000, (1, 1002): 1000}
    assert source.lines == source.lines_used


def test_a_gap_before_the_snapshot_costs_what_came_before_it(tmp_path: Path) -> None:
    f = Frames()
    f.depth({"100.10": "1.000"})
    f.last += 5
    f.depth({"100.00": "2.000"})
    f.snapshot(f.last - 2, {"100.10": "5.000"}, {"100.20": "1.000"})
    source, events = read(f.write(tmp_path / "frames"))
    assert dict(source.rejects) == {"depth update before a gap, with no snapshot yet": 1}
    assert final_book(events) == {(0, 1001): 5000, (0, 1000): 2000, (1, 1002): 1000}
    assert source.lines == source.lines_used + 1


def test_updates_that_came_before_and_trades_that_came_before_are_dropped(tmp_path: Path) -> None:
    f = Frames()
    f.depth({"100.10": "1.000"})
    f.trade(1, "100.10", "1.000")
    f.lines += f.lines[:2]
    f.depth({"100.10": "2.000"})
    source, events = read(f.write(tmp_path / "frames"))
    assert dict(source.rejects) == {"depth update that came before": 1, "trade that came before": 1}
    assert final_book(events) == {(0, 1001): 2000}
    assert np.count_nonzero(events["kind"] == EventKind.TRADE) == 1


def test_two_depth_frames_exchanged_are_an_error_that_names_the_line(tmp_path: Path) -> None:
    f = Frames()
    for i in range(6):
        f.depth({"100.10": f"{i + 1}.000"})
    # Only the frames change places: the local times stay in order.
    stamps, frames = zip(*(line.split(" ", 1) for line in f.lines), strict=True)
    frames = (*frames[:2], frames[3], frames[2], *frames[4:])
    f.lines = [f"{s} {frame}" for s, frame in zip(stamps, frames, strict=True)]
    with pytest.raises(SourceError, match=r"line 4: depth update 1015 comes after update 1020.*out of order"):
        read(f.write(tmp_path / "frames"))


def test_lines_out_of_order_are_an_error_that_names_the_line(tmp_path: Path) -> None:
    f = Frames()
    for i in range(100):
        f.trade(i, "100.10", "1.000")
    f.lines = f.lines[50:] + f.lines[:50]
    with pytest.raises(SourceError, match=r"line 51: the local time goes back by 0\.99"):
        read(f.write(tmp_path / "frames"))


def test_events_before_an_error_are_given(tmp_path: Path) -> None:
    f = Frames()
    for i in range(100):
        f.trade(i, "100.10", "1.000")
    f.lines = f.lines[50:] + f.lines[:50]
    source = BinanceFuturesSource(find_members([f.write(tmp_path / "frames")]))
    told = []
    with pytest.raises(SourceError):
        told.extend(source.batches())
    assert sum(map(len, told)) == 50


@pytest.mark.parametrize(
    ("price", "qty", "reason"),
    [
        ("NaN", "1.000", "number that is not finite"),
        ("Infinity", "1.000", "number that is not finite"),
        ("-100.10", "1.000", "price that is not positive, or absurd"),
        ("0.00", "1.000", "price that is not positive, or absurd"),
        ("1e300", "1.000", "price that is not positive, or absurd"),
        ("100.10", "-1.000", "quantity that is negative, or absurd"),
        ("100.10", "1e300", "quantity that is negative, or absurd"),
        ("100.10", "nan", "number that is not finite"),
        ("100.1234567", "1.000", "price between two ticks"),
        ("100.10", "1.0005", "quantity between two lots"),
        ("", "1.000", "malformed trade"),
        ("ten", "1.000", "malformed trade"),
    ],
)
def test_a_bad_number_costs_its_line_and_is_told(tmp_path: Path, price: str, qty: str, reason: str) -> None:
    f = Frames()
    for i in range(1200):
        f.trade(i, "100.10", "1.000")
    f.trade(5000, price, qty)
    f.trade(5001, "100.10", "1.000")
    source, events = read(f.write(tmp_path / "frames"))
    assert dict(source.rejects) == {reason: 1}
    assert len(events) == 1201
    assert any(f"1 x {reason}, first at" in note and note.endswith("line 1201") for note in source.notes)


def test_a_bad_level_costs_the_update_and_the_next_one_finds_the_gap(tmp_path: Path) -> None:
    f = Frames()
    f.depth({"100.10": "1.000"})
    f.depth({"100.10": "nan", "100.00": "1.000"})
    f.depth({"100.10": "2.000"})
    source, events = read(f.write(tmp_path / "frames"))
    assert dict(source.rejects) == {"number that is not finite": 1}
    assert np.count_nonzero(events["kind"] == EventKind.GAP) == 1
    assert final_book(events) == {(0, 1001): 2000}


def test_lines_that_are_no_frames_are_counted(tmp_path: Path) -> None:
    f = Frames()
    f.trade(1, "100.10", "1.000")
    f.lines += ["", "hello", "1721347200000000000 {", "1721347200000000000 [1]", "12 {}", "1721347200000000000 " + "[" * 5000]
    f.line({"e": "kline", "s": "BTCUSDT"}, "kline_1m")
    f.line({"e": "<script>", "s": "BTCUSDT"}, "x")
    f.line({"e": "trade", "s": "BTCUSDT"}, "trade")
    f.depth({"100.10": "1.000"})
    f.lines[-1] = f.lines[-1].replace("depth@0ms", "depth5@100ms")
    source, events = read(f.write(tmp_path / "frames"))
    assert dict(source.rejects) == {
        "no local time in s, ms, us or ns at the start of the line": 3,
        "no JSON object": 3,
        "stream not read: kline": 1,
        "stream not read": 1,
        "malformed trade": 1,
        "partial depth stream, which tells the best levels only": 1,
    }
    assert len(events) == 1
    assert source.lines == source.lines_used + source.rejects.total()


def test_a_time_far_from_the_clock_is_refused_and_a_wrong_clock_is_not(tmp_path: Path) -> None:
    f = Frames()
    for i in range(20):
        f.trade(i, "100.10", "1.000", T=f.now_ms + 86_400_000)  # the recorder's clock is a day behind
    f.trade(99, "100.10", "1.000", T=f.now_ms + 2 * 86_400_000)
    source, events = read(f.write(tmp_path / "frames"))
    assert dict(source.rejects) == {"exchange time more than ten minutes off the local clock": 1}
    assert len(events) == 20


def test_a_hostile_symbol_is_left_out_and_others_are_read(tmp_path: Path) -> None:
    f = Frames()
    f.trade(1, "100.10", "1.000")
    f.trade(2, "100.10", "1.000", s="<img src=x>")
    source, events = read(f.write(tmp_path / "frames"))
    assert [i.symbol for i in source.instruments] == ["BTCUSDT"]
    assert dict(source.rejects) == {"symbol that cannot be used": 1}
    assert len(events) == 1

    f.lines = f.lines[1:]
    with pytest.raises(SourceError, match="no symbol can be used"):
        read(f.write(tmp_path / "frames"))


def test_aggregate_trades_count_only_where_there_are_no_trades(tmp_path: Path) -> None:
    def aggregate(f: Frames, number: int) -> None:
        f.line(
            {
                "e": "aggTrade",
                "E": f.now_ms,
                "T": f.now_ms,
                "s": "BTCUSDT",
                "a": number,
                "p": "100.10",
                "q": "1.000",
                "m": True,
            },
            "aggTrade",
        )

    f = Frames()
    aggregate(f, 1)
    _, events = read(f.write(tmp_path / "frames"))
    assert events["kind"].tolist() == [EventKind.TRADE]
    assert events["side"].tolist() == [Side.SELL]
    f.trade(5, "100.10", "1.000")
    source, events = read(f.write(tmp_path / "frames"))
    assert len(events) == 1
    assert dict(source.rejects) == {"aggregate trade beside the trades themselves": 1}


def test_a_snapshot_in_a_file_of_two_symbols_needs_a_name(tmp_path: Path) -> None:
    f = Frames()
    f.depth({"100.10": "1.000"})
    f.trade(1, "5.00", "1.000", s="ETHUSDT")
    f.snapshot(f.last, {"100.10": "1.000"}, {"100.20": "1.000"})
    source, _ = read(f.write(tmp_path / "frames"))
    assert dict(source.rejects) == {"snapshot without a symbol, in a file of several symbols": 1}

    f.lines[-1] = f.lines[-1].replace('{"lastUpdateId"', '{"symbol":"BTCUSDT","lastUpdateId"')
    source, events = read(f.write(tmp_path / "frames"))
    assert not source.rejects
    assert final_book(events) == {(0, 1001): 1000, (1, 1002): 1000}


def test_files_of_one_symbol_follow_each_other_in_any_order_given(tmp_path: Path) -> None:
    f = Frames()
    f.snapshot(1000, {"100.10": "1.000"}, {"100.20": "1.000"})
    for i in range(10):
        f.depth({"100.00": f"{i + 1}.000"})
    whole = read(f.write(tmp_path / "whole"))[1]
    lines = f.lines
    f.lines = lines[:5]
    first = f.write(tmp_path / "z_first")
    f.lines = lines[5:]
    second = f.write(tmp_path / "a_second")
    assert np.array_equal(read(second, first)[1], whole)


def test_one_recording_given_under_two_names_is_an_error(tmp_path: Path) -> None:
    f = Frames()
    f.trade(1, "100.10", "1.000")
    with pytest.raises(SourceError, match="byte for byte"):
        read(f.write(tmp_path / "one"), f.write(tmp_path / "two"))


def test_a_torn_gzip_gives_what_came_before_and_says_where(tmp_path: Path) -> None:
    f = Frames()
    for i in range(30_000):
        f.trade(i * 7919, "100.10", f"{i % 97}.001")
    path = tmp_path / "frames.gz"
    content = gzip.compress("".join(line + "\n" for line in f.lines).encode())
    path.write_bytes(content[: len(content) * 3 // 4])
    source = BinanceFuturesSource(find_members([path]))
    told: list[np.ndarray] = []
    with pytest.raises(SourceError, match=r"frames\.gz: the file is torn after \d+ lines"):
        told.extend(source.batches())
    assert sum(map(len, told)) == source.lines_used > 15_000


def test_spot_frames_are_refused_by_name() -> None:
    with pytest.raises(SourceError, match="spot market"):
        read(shared_data(*RAW, "spot_btcusdt_20230405.dat.gz"))


@njit(cache=True)
def _touch_after(book: np.ndarray, events: np.ndarray, ends: np.ndarray, touch: np.ndarray) -> int:
    """Best bid, best ask and their lots after each of `ends` events; returns how often the book was crossed."""
    done = crossed = 0
    for k in range(len(ends)):
        while done < ends[k]:
            apply_event(book, events[done])
            done += 1
        for side in range(2):
            touch[k, side] = best(book, side)
            touch[k, 2 + side] = level_qty(book, side, touch[k, side])
        crossed += touch[k, 0] >= touch[k, 1] > 0
    return crossed


@pytest.mark.parametrize(
    ("names", "agreement"),
    [
        (("usdm_btcusdt_20230404.dat.gz", "usdm_btcusdt_20230405.dat.gz"), 1.0),
        (("usdm_btcusdt_20240718.gz", "usdm_btcusdt_20240719.gz"), 1.0),
        (("usdm_ethusdt_20240719.gz",), 0.999),  # no snapshot: the first updates do not tell the touch yet
    ],
)
def test_the_rebuilt_touch_is_the_venues_own(names: tuple[str, ...], agreement: float) -> None:
    """After every depth update, best prices and quantities are those of the last book ticker up to that update id."""
    paths = [shared_data(*RAW, name) for name in names]
    source, events = read(*paths)
    events = events[(events["kind"] == EventKind.LEVEL) | (events["kind"] == EventKind.CLEAR)]
    updates: list[tuple[int, int]] = []
    tickers: list[tuple[int, float, float, float, float]] = []
    for path in paths:
        for line in gzip.decompress(path.read_bytes()).splitlines():
            frame = msgspec.json.decode(line.split(b" ", 1)[1])
            data = frame.get("data", frame)
            if "lastUpdateId" in frame:
                updates.clear()
            elif data["e"] == "depthUpdate":
                updates.append((data["u"], len(data["b"]) + len(data["a"])))
            elif data["e"] == "bookTicker":
                tickers.append((data["u"], *(float(data[key]) for key in "baBA")))
    sizes = np.cumsum([size for _, size in updates])
    touch = np.zeros((len(updates), 4), np.int64)

    crossed = _touch_after(new_books(LARGE, 1)[0], events, len(events) - sizes[-1] + sizes, touch)

    reported = np.array(tickers)
    at = np.searchsorted(reported[:, 0], [last for last, _ in updates], side="right") - 1
    instrument = source.instruments[0]
    steps = np.array([instrument.tick, instrument.tick, instrument.lot, instrument.lot])
    equal = (np.rint(reported[at, 1:] / steps) == touch).all(axis=1)[at >= 0]
    assert equal.mean() >= agreement, f"{(~equal).sum()} of {len(equal)} differ"
    assert crossed == 0


def test_both_symbols_of_one_day_in_one_run() -> None:
    source, events = read(*(shared_data(*RAW, f"usdm_{name}usdt_20240719.gz") for name in ("btc", "eth")))
    assert {i.symbol: (i.tick_size, i.lot_size) for i in source.instruments} == {
        "BTCUSDT": ("0.1", "0.001"),
        "ETHUSDT": ("0.01", "0.001"),
    }
    assert source.lines == source.lines_used == 116_480
    assert np.array_equal(events["seq"], np.arange(1, len(events) + 1))
    lag = np.maximum.accumulate(events["ts_ns"]) - events["ts_ns"]
    assert lag.max() <= source.lateness_ns
