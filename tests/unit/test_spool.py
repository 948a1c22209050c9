"""What the spools keep when the disk has no room: whole pieces, and nothing of the one that was refused."""

from __future__ import annotations

import contextlib
import resource
import signal

import numpy as np
import pytest

from engine.contract import EVENT_DTYPE
from monitor.ingest.store import EventReader, EventWriter
from monitor.live.spool import Reader, Writer


@contextlib.contextmanager
def largest_file(size):
    """Writing beyond `size` bytes fails, as on a full disk."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("line", [b"x" * 30, b"y" * 3_000, b"z" * 100_000])
def test_a_line_without_room_is_never_seen(tmp_path, line):
    writer = Writer(tmp_path)
    writer.begin(b"header")
    writer.write([b"first"])
    with largest_file(20), pytest.raises(OSError, match="too large"):
        writer.write([line])
    writer.write([b"second"])
    writer.close()
    assert Reader(tmp_path).lines() == [b"header", b"first", b"second"]


def test_a_file_that_got_no_header_gets_it_with_its_first_line(tmp_path):
    writer = Writer(tmp_path, segment_bytes=10)
    writer.begin(b"header")
    writer.write([b"first"])
    with largest_file(3), pytest.raises(OSError, match="too large"):
        writer.write([b"second"])
    writer.write([b"second"])
    writer.close()
    reader = Reader(tmp_path)
    assert [reader.lines(), reader.lines()] == [[b"header", b"first"], [b"header", b"second"]]


@pytest.mark.parametrize("rows", [1, 40, 2_000])
def test_events_without_room_are_never_seen(tmp_path, rows):
    writer = EventWriter(tmp_path)
    one = np.zeros(1, EVENT_DTYPE)
    writer.append(one, 1)
    with largest_file(100), pytest.raises(OSError, match="too large"):
        writer.append(np.zeros(rows, EVENT_DTYPE), rows)
    assert (writer.next_seq, writer.next_sent) == (2, 2)
    writer.append(one, 1)
    writer.close()
    assert EventReader(tmp_path).events()["seq"].tolist() == [1, 2]
