"""Damaged recordings: nothing but a SourceError comes out, and no line is lost without being counted."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book import MEDIUM, BookStatus, apply_events, new_books
from engine.contract import EventKind
from monitor.sources import SourceError
from monitor.sources.binance import BinanceFuturesSource
from monitor.sources.detect import open_source
from monitor.sources.files import find_members
from monitor.sources.lobster_check import compare
from monitor.sources.lobster_files import find_pairs
from tests.recordings import Frames, lobster_rows, write_lobster

Damage = list[tuple[int, int, bytes]]

_PIECES = st.sampled_from(
    [b"", b"-", b"nan", b"NaN", b"Infinity", b"1e309", b"0", b"99999999999999999999", b'"', b"{", b"}", b"[", b",", b" ", b"\n",
     b"\x00", b"\xff", b"null", b"true", b'"s":"', b'"u":', b'"pu":0', b".", b"0.00000001"]
)  # fmt: skip
_DAMAGE = st.lists(
    st.tuples(st.integers(0, 2**30), st.integers(0, 12), _PIECES | st.binary(max_size=4)), min_size=1, max_size=6
)


def damaged(content: bytes, damage: Damage) -> bytes:
    """`content` with some stretches replaced."""
    for at, length, piece in damage:
        start = at % (len(content) + 1)
        content = content[:start] + piece + content[start + length :]
    return content


def frames() -> bytes:
    f = Frames()
    f.depth({"100.10": "1.500"}, {"100.30": "2.000"})
    f.snapshot(f.last, {"100.10": "1.500", "100.00": "3.000"}, {"100.30": "2.000"})
    for i in range(12):
        f.depth({"100.10": f"{i}.500"}, {"100.30": f"{12 - i}.000"})
        f.ticker("100.10", "100.30")
        f.trade(i, "100.30", "0.250")
    f.mark("100.15", "100.14", "0.0001")
    return "".join(line + "\n" for line in f.lines).encode()


FRAMES = frames()


def statuses(events: np.ndarray) -> np.ndarray:
    counts = np.zeros(len(BookStatus), np.int64)
    apply_events(new_books(MEDIUM, 1), events[events["symbol"] <= 0], counts)
    return counts


@settings(max_examples=250, deadline=None)
@given(_DAMAGE)
def test_damaged_frames_are_used_or_counted(damage: Damage) -> None:
    content = damaged(FRAMES, damage)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames"
        path.write_bytes(content)
        told = []
        try:
            source = BinanceFuturesSource(find_members([path]))
        except SourceError:
            return
        ended = True
        try:
            told.extend(source.batches())
        except SourceError:
            ended = False
    events = np.concatenate(told) if told else np.zeros(0)
    if ended:
        assert source.lines == content.count(b"\n") + (not content.endswith(b"\n"))
        assert source.lines == source.lines_used + source.rejects.total()
        assert source.progress == 1.0
    if len(events):
        assert np.array_equal(events["seq"], np.arange(1, len(events) + 1))
        assert (events["qty"] >= 0).all()
        assert (events["price"][(events["kind"] == EventKind.LEVEL) | (events["kind"] == EventKind.TRADE)] > 0).all()
        assert statuses(events)[BookStatus.BAD_VALUE] == 0


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(len(FRAMES.splitlines()))), st.booleans())
def test_shuffled_lines_end_in_an_error_or_are_counted(order: list[int], keep_times: bool) -> None:
    lines = FRAMES.splitlines()
    stamps, contents = zip(*(line.split(b" ", 1) for line in lines), strict=True)
    contents = tuple(contents[i] for i in order)
    if not keep_times:
        stamps = tuple(stamps[i] for i in order)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames"
        path.write_bytes(b"".join(b"%s %s\n" % pair for pair in zip(stamps, contents, strict=True)))
        source = BinanceFuturesSource(find_members([path]))
        fault = None
        try:
            for _ in source.batches():
                pass
        except SourceError as error:
            fault = error
    if fault is not None:
        assert "out of order" in fault.do
        return
    assert source.lines == source.lines_used + source.rejects.total()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 3), st.booleans(), _DAMAGE)
def test_a_damaged_lobster_day_is_an_error_or_a_right_book(seed: int, in_book: bool, damage: Damage) -> None:
    messages, rows = lobster_rows(seed, 3, 60)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_lobster(Path(folder), messages, rows)
        paths[in_book].write_bytes(damaged(paths[in_book].read_bytes(), damage))
        try:
            events = np.concatenate(list(open_source(paths).batches()))
            result = compare(find_pairs(find_members(paths))[0])
        except SourceError:
            return
    assert result.equal == result.messages, "whatever the messages say, the book follows the file's"
    assert statuses(events)[BookStatus.BAD_VALUE] == 0


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_an_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        with pytest.raises(SourceError):
            for _ in open_source([path]).batches():
                pass
