"""The rebuilt LOBSTER book against the file's own, after every message: the real day, and days made up with a whole book."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.contract import EventFlag, EventKind
from monitor.sources import lobster_check
from monitor.sources.files import find_members
from monitor.sources.lobster import LobsterSource
from monitor.sources.lobster_check import compare
from monitor.sources.lobster_files import find_pairs, read_day
from tests.recordings import lobster_rows, write_lobster
from tests.shared_data import shared_data

AMZN = "LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"


def test_the_amzn_day_is_equal_after_every_message(capsys: pytest.CaptureFixture[str]) -> None:
    path = shared_data("1_l3", "lobster", AMZN)

    assert lobster_check.main([str(path)]) == 0

    printed = capsys.readouterr().out
    assert "155935 messages, rebuilt book equal to the file's after 155935" in printed
    assert "0 messages do not explain their row; 0 events the book refused" in printed


def test_the_amzn_counts_are_those_of_a_two_row_oracle() -> None:
    """Which levels a message cannot determine follows from two rows and the message alone, without any order."""
    (pair,) = find_pairs(find_members([shared_data("1_l3", "lobster", AMZN)]))
    day = read_day(pair, 100)
    messages, books = day.messages, day.books
    beyond = np.zeros(len(messages), int)
    for i in range(1, len(messages)):
        message = messages[i]
        if np.array_equal(books[i], books[i - 1]):
            continue
        side = int(message["side"])
        assert np.array_equal(books[i, 1 - side], books[i - 1, 1 - side]), "a message moves its own side only"
        before = {int(p): int(q) for p, q in books[i - 1, side] if p}
        edge = int(books[i - 1, side, -1, 0])
        change = int(message["qty"]) * (1 if message["type"] == 1 else -1)
        before[int(message["price"])] = before.get(int(message["price"]), 0) + change
        for price, qty in books[i, side].tolist():
            if price in before:
                assert before[price] == qty, f"message {i + 1}"
            else:
                assert price < edge if side == 0 else price > edge, "only behind the edge a level may come from nowhere"
                beyond[i] += 1
    found = compare(pair)
    # Some levels behind the edge come back with no more than the orders that were followed there.
    assert found.entered_levels <= int(beyond.sum())
    assert found.entered_messages <= int(np.count_nonzero(beyond))
    assert found.determined == found.messages - found.entered_messages


def test_the_amzn_flow_is_the_files_flow() -> None:
    path = shared_data("1_l3", "lobster", AMZN)
    events = np.concatenate(list(LobsterSource(find_members([path])).batches()))
    (pair,) = find_pairs(find_members([path]))
    messages = read_day(pair, 100).messages
    flow = events[(events["flags"] & EventFlag.SNAPSHOT) == 0]
    counts = {kind: int(np.count_nonzero(flow["kind"] == kind)) for kind in (EventKind.ADD, EventKind.CANCEL, EventKind.TRADE)}
    types = messages["type"]
    assert counts == {
        EventKind.ADD: np.count_nonzero(types == 1),
        EventKind.CANCEL: np.count_nonzero((types == 2) | (types == 3)),
        EventKind.TRADE: np.count_nonzero((types == 4) | (types == 5)),
    }
    cancels = flow[flow["kind"] == EventKind.CANCEL]
    assert np.array_equal(cancels["order_id"], messages["order_id"][(types == 2) | (types == 3)])
    assert np.array_equal(events["seq"], np.arange(1, len(events) + 1))
    assert (np.diff(events["ts_ns"]) >= 0).all()
    burst = flow[(flow["ts_ns"] // 10**9) == 1_340_305_459]  # 15:04:19 in New York, daylight saving time
    assert np.count_nonzero(burst["kind"] == EventKind.CANCEL) == 172
    assert np.count_nonzero(burst["kind"] == EventKind.ADD) == 171


@pytest.mark.parametrize("levels", [1, 2, 3, 5, 50])
@pytest.mark.parametrize("seed", range(6))
def test_any_number_of_levels_is_rebuilt(tmp_path: Path, levels: int, seed: int) -> None:
    write_lobster(tmp_path, *lobster_rows(seed, levels, changes=600, width=8 if levels < 50 else 20))
    (pair,) = find_pairs(find_members(sorted(tmp_path.iterdir())))

    result = compare(pair)

    assert result.holds, result
    assert result.messages > 100


def test_a_row_that_no_message_explains_is_counted_and_followed(tmp_path: Path) -> None:
    messages, rows = lobster_rows(1, 5, changes=400)
    at = next(i for i in range(50, len(rows)) if rows[i][1] > 10)
    for row in rows[at:]:
        if row[0] != rows[at][0]:
            break
        row[1] += 7  # the best ask gains lots that no message brings
    write_lobster(tmp_path, messages, rows)
    (pair,) = find_pairs(find_members(sorted(tmp_path.iterdir())))

    result = compare(pair)

    assert result.equal == result.messages
    assert result.unexplained >= 1
    assert not result.holds


def test_messages_that_contradict_each_other_never_break_the_book(tmp_path: Path) -> None:
    """Ids used twice, deletions of other sizes and at other prices: the book stays the file's."""
    messages, rows = lobster_rows(2, 5, changes=500)
    for i in range(40, len(messages) - 1, 9):
        messages[i][2] = messages[i - 3][2]
    for i in range(44, len(messages) - 1, 11):
        if messages[i][1] == 3:
            messages[i][3] = int(messages[i][3]) + 3
    write_lobster(tmp_path, messages, rows)
    (pair,) = find_pairs(find_members(sorted(tmp_path.iterdir())))

    result = compare(pair)

    assert result.equal == result.messages
    assert result.refused == 0


def test_the_check_tells_what_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book, _ = write_lobster(tmp_path, *lobster_rows(3, 5, changes=50))
    lone = tmp_path / "lone"
    lone.mkdir()
    shutil.copy(book, lone)

    assert lobster_check.main([str(next(lone.iterdir()))]) == 2
    assert "order book file that belongs to it is missing" in capsys.readouterr().err
