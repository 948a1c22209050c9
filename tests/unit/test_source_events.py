"""Files of events: what comes out is what went in, and what is wrong with a file is said."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from engine.book import MEDIUM
from monitor.cli import main
from monitor.sources import SourceError
from monitor.sources.detect import open_source, resolve_format
from monitor.sources.events import METADATA, write_events
from tests.oracle.event_streams import order_stream
from tests.windows_kit import INSTRUMENTS, SECOND


class Given:
    """A source of these batches."""

    instruments = INSTRUMENTS
    capabilities = frozenset(("book", "orders", "accounts"))
    capacity = MEDIUM
    accounts = 5
    lateness_ns = 7
    step_ns = SECOND

    def __init__(self, batches, fault=None):
        self._batches = batches
        self._fault = fault

    def batches(self):
        yield from self._batches
        if self._fault:
            raise self._fault


@pytest.fixture
def stream():
    return order_stream(3, n=5_000)


def test_events_come_out_as_they_went_in(tmp_path, stream):
    path = tmp_path / "events.parquet"
    assert write_events(Given(np.array_split(stream, 7)), path) == len(stream)
    assert resolve_format([path], "auto") == "events"
    source = open_source([path])
    assert np.concatenate(list(source.batches())).tobytes() == stream.tobytes()
    assert source.capabilities == Given.capabilities
    same = ("instruments", "capacity", "accounts", "lateness_ns", "step_ns")
    assert [getattr(source, name) for name in same] == [getattr(Given, name) for name in same]
    assert source.progress == 1.0


def test_a_recording_that_tears_leaves_no_file(tmp_path, stream):
    path = tmp_path / "events.parquet"
    with pytest.raises(SourceError, match="torn"):
        write_events(Given([stream], SourceError("the file is torn after 3 lines", "frames.gz")), path)
    assert list(tmp_path.iterdir()) == []


def test_missing_and_doubled_events_are_said_with_their_row(tmp_path, stream):
    path = tmp_path / "events.parquet"
    write_events(Given([np.delete(stream, 100)]), path)
    with pytest.raises(SourceError, match=r"row 101: event 101 has the number 102"):
        list(open_source([path]).batches())


def test_a_torn_file_and_a_foreign_one_are_refused(tmp_path, stream):
    path = tmp_path / "events.parquet"
    write_events(Given([stream]), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError):
        list(open_source([path], "events").batches())
    pl.DataFrame({"a": [1]}).write_parquet(path)
    with pytest.raises(SourceError, match="no file of events"):
        open_source([path], "events")
    pl.DataFrame({"a": [1]}).write_parquet(path, metadata={METADATA: "{}"})
    with pytest.raises(SourceError, match="no file of events"):
        open_source([path], "auto")


def test_the_command_says_what_it_wrote_and_what_it_cannot(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("time,price\n2024-01-01,5\n2024-01-02,6\n")
    done = CliRunner().invoke(main, ["convert", str(table), "--out", str(tmp_path / "a.parquet")])
    assert done.exit_code == 0, done.output
    assert "2 events of 1 symbols" in done.output
    failed = CliRunner().invoke(main, ["convert", str(tmp_path / "none.csv"), "--out", str(tmp_path / "a.parquet")])
    assert failed.exit_code == 2
    assert "there is no such file" in failed.output
    nowhere = CliRunner().invoke(main, ["convert", str(table), "--out", str(tmp_path / "no" / "a.parquet")])
    assert nowhere.exit_code == 2
