"""LOBSTER files: names, times, prices between ticks, and every fault that a file can have."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from engine.contract import EventFlag, EventKind, Reference, Side
from monitor.sources import SourceError
from monitor.sources.files import find_members
from monitor.sources.lobster import LobsterSource
from tests.recordings import DAY, lobster_rows, write_lobster


def read(*paths: Path) -> tuple[LobsterSource, np.ndarray]:
    source = LobsterSource(find_members(paths))
    return source, np.concatenate(list(source.batches()))


def error_of(*paths: Path) -> str:
    with pytest.raises(SourceError) as caught:
        read(*paths)
    assert caught.value.exit_code == 2
    return str(caught.value)


SMALL_ROWS = [[1000100, 10, 1000000, 10], [1000100, 10, 1000000, 15]]
SMALL_MESSAGES: list[list[object]] = [["34200.000000001", 1, 7, 10, 1000100, -1], ["34200.5", 1, 8, 5, 1000000, 1]]


def test_times_are_utc_of_a_new_york_day(tmp_path: Path) -> None:
    for day, hour in (("2012-06-21", 13), ("2012-12-21", 14)):  # daylight saving time, standard time
        name = f"TEST_{day}" + "_34200000_57600000_{kind}_{levels}.csv"
        _, events = read(*write_lobster(tmp_path, SMALL_MESSAGES, SMALL_ROWS, name))
        opening = int(datetime.fromisoformat(f"{day}T{hour}:30").replace(tzinfo=UTC).timestamp()) * 10**9
        assert events["ts_ns"].tolist()[-3:] == [opening + 1, opening + 500_000_000, opening + 6 * 3600 * 10**9 + 1800 * 10**9]
        assert events["kind"][-1] == EventKind.CLOCK


def test_the_first_row_is_the_book_after_the_first_message(tmp_path: Path) -> None:
    _, events = read(*write_lobster(tmp_path, SMALL_MESSAGES, SMALL_ROWS))
    told = [(EventKind(e["kind"]), int(e["side"]), int(e["price"]), int(e["qty"]), bool(e["flags"])) for e in events[:-1]]
    assert told == [
        (EventKind.CLEAR, 0, 0, 0, True),
        (EventKind.ADD, Side.BUY, 10000, 10, True),
        (EventKind.ADD, Side.SELL, 10001, 10, False),
        (EventKind.ADD, Side.BUY, 10000, 5, False),
    ]


@pytest.mark.parametrize(
    ("direction", "price", "ticks"), [(1, 1000050, 10000), (-1, 1000050, 10001), (1, 1000051, 10001), (-1, 1000049, 10000)]
)
def test_a_hidden_execution_between_ticks_keeps_its_exact_price(tmp_path: Path, direction: int, price: int, ticks: int) -> None:
    messages = [*SMALL_MESSAGES, ["34201.0", 5, 0, 3, price, direction]]
    source, events = read(*write_lobster(tmp_path, messages, [*SMALL_ROWS, SMALL_ROWS[-1]]))
    trade, last = events[-3], events[-2]
    assert source.instruments[0].tick_size == "0.01"
    assert (trade["kind"], trade["price"], trade["qty"], trade["flags"]) == (EventKind.TRADE, ticks, 3, EventFlag.HIDDEN)
    assert trade["side"] == (Side.SELL if direction == 1 else Side.BUY), "the aggressor is the other side"
    assert (last["kind"], last["code"], last["price"]) == (EventKind.REFERENCE, Reference.LAST, price * 10_000)


def test_a_share_below_a_dollar_has_a_finer_tick(tmp_path: Path) -> None:
    messages = [["34200.0", 1, 7, 10, 5001, -1]]
    source, events = read(*write_lobster(tmp_path, messages, [[5001, 10, 4999, 10]]))
    assert source.instruments[0].tick_size == "0.0001"
    assert events["price"].tolist() == [0, 4999, 5001, 0]


def test_an_execution_names_the_maker(tmp_path: Path) -> None:
    messages = [*SMALL_MESSAGES, ["34201.0", 4, 8, 2, 1000000, 1]]
    _, events = read(*write_lobster(tmp_path, messages, [*SMALL_ROWS, [1000100, 10, 1000000, 13]]))
    trade = events[-2]
    assert (trade["kind"], trade["side"], trade["order_id"], trade["contra_order_id"]) == (EventKind.TRADE, Side.SELL, 0, 8)
    assert (trade["qty"], trade["leaves"]) == (2, 3)


def test_halts_move_the_clock_and_crosses_trade_beside_the_book(tmp_path: Path) -> None:
    messages = [
        *SMALL_MESSAGES,
        ["34201.0", 7, 0, 0, -1, -1],
        ["34202.0", 7, 0, 0, 0, -1],
        ["34203.0", 7, 0, 0, 1, -1],
        ["34204.0", 6, -1, 500, 1000000, -1],
        ["34205.0", 6, -1, 0, 0, -1],
    ]
    source, events = read(*write_lobster(tmp_path, messages, [*SMALL_ROWS, *[SMALL_ROWS[-1]] * 5]))
    assert events["kind"].tolist()[-5:] == [EventKind.CLOCK] * 3 + [EventKind.TRADE, EventKind.CLOCK]
    assert events["symbol"].tolist()[-5:] == [-1, -1, -1, 0, -1]
    assert (events["qty"][-2], events["flags"][-2]) == (500, EventFlag.HIDDEN)
    assert source.rejects == {"cross without price or size": 1}
    assert any("halted or resumed by 3 messages" in note for note in source.notes)


def test_days_and_symbols_of_one_run_are_in_order_of_time(tmp_path: Path) -> None:
    paths: list[Path] = []
    for name, seed in (("BBB_2012-06-22", 1), ("AAA_2012-06-21", 2), ("BBB_2012-06-21", 3)):
        paths += write_lobster(tmp_path, *lobster_rows(seed, 5, 300), name + "_34200000_57600000_{kind}_{levels}.csv")
    source, events = read(*paths)
    assert sorted(i.symbol for i in source.instruments) == ["AAA", "BBB"]
    assert (np.diff(events["ts_ns"]) >= 0).all()
    assert np.array_equal(events["seq"], np.arange(1, len(events) + 1))
    assert np.count_nonzero(events["kind"] == EventKind.CLOCK) == 2
    assert np.count_nonzero(events["kind"] == EventKind.CLEAR) == 3

    _, alone = read(*paths[2:4])
    index = [i.symbol for i in source.instruments].index("AAA")
    mine = events[events["symbol"] == index]
    columns = [name for name in events.dtype.names or () if name not in ("seq", "symbol")]
    assert np.array_equal(mine[columns], alone[alone["symbol"] == 0][columns])


def test_gzip_and_zip_read_like_plain_files(tmp_path: Path) -> None:
    paths = write_lobster(tmp_path, *lobster_rows(5, 5, 200))
    plain = read(*paths)[1]
    packed = []
    with zipfile.ZipFile(tmp_path / "day.zip", "w") as archive:
        for path in paths:
            packed.append(path.with_name(path.name + ".gz"))
            packed[-1].write_bytes(gzip.compress(path.read_bytes()))
            archive.write(path, f"some/folder/{path.name}")
        archive.writestr("readme.txt", "not data")
    assert np.array_equal(read(packed[1], packed[0])[1], plain)
    assert np.array_equal(read(tmp_path / "day.zip")[1], plain)


Change = Callable[[list[list[object]], list[list[int]]], None]


def _set(table: int, row: int, column: int, value: object) -> Change:
    def change(messages: list[list[object]], rows: list[list[int]]) -> None:
        (messages, rows)[table][row][column] = value  # type: ignore[index]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set(0, 3, 4, "nan"), "message_5.csv, line 4: column 5 is 'nan'"),
        (_set(0, 3, 4, "NaN"), "line 4: column 5 is 'NaN'"),
        (_set(0, 3, 0, "nan"), "line 4: a time that is no second of the day"),
        (_set(0, 3, 0, "inf"), "line 4: a time that is no second of the day"),
        (_set(0, 3, 0, "-1.0"), "line 4: a time that is no second of the day"),
        (_set(0, 3, 4, "1e6"), "line 4: column 5 is '1e6'"),
        (_set(0, 3, 4, 0), "line 4: a price that is not from 1 to 1e12"),
        (_set(0, 3, 4, 10**15), "line 4: a price that is not from 1 to 1e12"),
        (_set(0, 3, 4, 10**25), "line 4: "),
        (_set(0, 3, 3, -10), "line 4: a size that is not from 1 to 1e12"),
        (_set(0, 3, 3, 0), "line 4: a size that is not from 1 to 1e12"),
        (_set(0, 3, 3, ""), "line 4: column 4 is ''"),
        (_set(0, 3, 2, 0), "line 4: an order id that is not from 1 to 2**62 - 1"),
        (_set(0, 3, 1, 9), "line 4: an unknown message type"),
        (_set(0, 3, 5, 0), "line 4: a direction that is neither 1 nor -1"),
        (_set(0, 0, 0, "57599.0"), "message_5.csv, line 2: the time goes back"),
        (lambda m, r: m[3].append(1), "line 4: 7 columns where there must be 6: time, type"),
        (lambda m, r: m[3].pop(), "line 4: 5 columns where there must be 6: time, type"),
        (lambda m, r: r[3].pop(), "orderbook_5.csv, line 4: 19 columns where there must be 20"),
        (lambda m, r: [row.pop() for row in r], "orderbook_5.csv, line 1: 19 columns where there must be 20"),
        (lambda m, r: [row.append(1) for row in m], "message_5.csv, line 1: 7 columns where there must be 6"),
        (lambda m, r: r.pop(), "rows and its message file"),
        (_set(1, 3, 1, -10), "orderbook_5.csv, line 4: a size that is not from 1 to 1e12"),
        (_set(1, 3, 1, "x"), "orderbook_5.csv, line 4: column 2 is 'x'"),
        (_set(1, 3, 0, 9999999999), "orderbook_5.csv, line 4: an empty level with a size"),
        (_set(1, 3, 0, 3), "orderbook_5.csv, line 4: a level between two ticks"),
        (_set(1, 3, 0, 9_000_000), "orderbook_5.csv, line 4: levels that are not in order of price"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_line(tmp_path: Path, change: Change, message: str) -> None:
    messages, rows = lobster_rows(4, 5, 300)
    change(messages, rows)
    # The checks that read the whole file must find it, whatever the look at the first rows saw.
    names = [tmp_path / DAY.format(kind=kind, levels=5) for kind in ("message", "orderbook")]
    for path, table in zip(names, (messages, rows), strict=True):
        path.write_text("".join(",".join(map(str, line)) + "\n" for line in table))
    assert message in error_of(*names)


def test_a_missing_partner_is_named(tmp_path: Path) -> None:
    message, book = write_lobster(tmp_path, SMALL_MESSAGES, SMALL_ROWS)
    assert "the order book file that belongs to it is missing" in error_of(message)
    assert "the message file that belongs to it is missing" in error_of(book)


def test_a_day_given_twice_is_an_error(tmp_path: Path) -> None:
    paths = write_lobster(tmp_path, SMALL_MESSAGES, SMALL_ROWS)
    other = tmp_path / "other"
    other.mkdir()
    copies = write_lobster(other, SMALL_MESSAGES, SMALL_ROWS)
    assert "the message file of TEST on 2012-06-21 was given twice" in error_of(*paths, *copies)


def test_names_that_tell_nothing_or_the_wrong_thing(tmp_path: Path) -> None:
    message, book = write_lobster(tmp_path, SMALL_MESSAGES, SMALL_ROWS)
    renamed = message.rename(tmp_path / "message.csv")
    assert "LOBSTER names are SYMBOL_YYYY-MM-DD" in error_of(renamed, book)
    hostile = "<b>_2012-06-21_34200000_57600000_{kind}_{levels}.csv"
    assert "the symbol in the name cannot be used" in error_of(*write_lobster(tmp_path, SMALL_MESSAGES, SMALL_ROWS, hostile))
    nowhen = "TEST_2012-13-41_34200000_57600000_{kind}_{levels}.csv"
    assert "2012-13-41 is no day" in error_of(*write_lobster(tmp_path, SMALL_MESSAGES, SMALL_ROWS, nowhen))
    wrong = "TEST_2012-06-21_34200000_57600000_{kind}_7.csv"
    assert "4 columns where there must be 28" in error_of(*write_lobster(tmp_path, SMALL_MESSAGES, SMALL_ROWS, wrong))
