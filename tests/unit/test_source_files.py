"""Opening files: what is told of a file that cannot be read, and how the format is found."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest

from engine.contract import EVENT_DTYPE
from monitor.sources import Source, SourceError
from monitor.sources.binance import BinanceFuturesSource
from monitor.sources.detect import open_source
from monitor.sources.files import Member
from monitor.sources.lobster import LobsterSource
from monitor.sources.merge import merge_by_time
from tests.recordings import Frames, lobster_rows, write_lobster
from tests.shared_data import shared_data


def error_of(*paths: Path) -> str:
    with pytest.raises(SourceError) as caught:
        for _ in open_source(paths).batches():
            pass
    return str(caught.value)


def frames(path: Path) -> Path:
    f = Frames()
    for i in range(10):
        f.trade(i, "100.10", "1.000")
    return f.write(path)


def test_a_path_that_is_no_file_is_told(tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert error_of() == "no file was given"
    assert error_of(tmp_path) == f"{tmp_path}: this is a directory. Give the files in it"
    assert error_of(tmp_path / "none") == f"{tmp_path / 'none'}: there is no such file"
    assert error_of(empty) == f"{empty}: the file is empty"


def test_no_permission_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = frames(tmp_path / "frames")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")  # as root, no mode of a file brings this about

    monkeypatch.setattr(Path, "open", refuse)
    assert "no permission to read the file" in error_of(path)


def test_a_file_given_twice_is_told(tmp_path: Path) -> None:
    path = frames(tmp_path / "frames")
    assert "the same file was given twice" in error_of(path, path)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert "the same file was given twice" in error_of(path, link)


def test_a_torn_zip_is_told(tmp_path: Path) -> None:
    whole = shared_data("1_l3", "lobster", "LOBSTER_SampleFile_AMZN_2012-06-21_5.zip").read_bytes()
    torn = tmp_path / "torn.zip"
    torn.write_bytes(whole[: len(whole) // 2])
    assert "the zip is torn" in error_of(torn)
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(whole[:500_000] + bytes(64) + whole[500_064:])
    assert "the file is torn after" in error_of(damaged)


def test_a_zip_of_nothing_useful_is_told(tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "none of the files in it is of a format known here" in error_of(path)
    with zipfile.ZipFile(path, "w"):
        pass
    assert "the zip holds no file" in error_of(path)


def test_a_torn_gzip_of_a_table_is_told(tmp_path: Path) -> None:
    message, book = write_lobster(tmp_path, *lobster_rows(1, 5, 3000))
    packed = gzip.compress(book.read_bytes())
    torn = tmp_path / (book.name + ".gz")
    torn.write_bytes(packed[: len(packed) // 2])
    assert f"{torn}: the file is torn after" in error_of(message, torn)


@pytest.mark.parametrize("content", [b"hello\nworld\n", b"\x00\x01\x02" * 100, b"a,b,c,d\n", b"<html>", b"{}\n"])
def test_other_content_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "AMZN_2012-06-21_34200000_57600000_message_5.csv"
    path.write_bytes(content)
    assert "this is no format known here" in error_of(path)


def test_the_format_is_found_by_content(tmp_path: Path) -> None:
    assert isinstance(open_source([frames(tmp_path / "lobster.csv")]), BinanceFuturesSource)
    message, book = write_lobster(tmp_path, *lobster_rows(1, 5, 50))
    assert isinstance(open_source([message, book]), LobsterSource)
    assert "is lobster and" in error_of(message, book, tmp_path / "lobster.csv")


def test_a_format_that_is_forced_is_not_guessed(tmp_path: Path) -> None:
    path = frames(tmp_path / "frames")
    with pytest.raises(SourceError, match="the name does not tell symbol and day"):
        open_source([path], "lobster")
    message, _ = write_lobster(tmp_path, *lobster_rows(1, 5, 50))
    with pytest.raises(SourceError, match="is a frame of Binance futures"):
        open_source([message], "binance-futures")


def test_a_source_has_the_shape_of_the_protocol(tmp_path: Path) -> None:
    source: Source = open_source([frames(tmp_path / "frames")])
    assert source.progress == 0.0
    assert all(batch.dtype == EVENT_DTYPE for batch in source.batches())
    assert source.progress == 1.0
    assert (source.accounts, source.total_hint, list(source.labels())) == (0, None, [])


def test_an_error_says_what_where_and_what_to_do() -> None:
    assert (
        str(SourceError("it is torn", "a.zip, line 3", "Download it again")) == "a.zip, line 3: it is torn. Download it again"
    )
    assert str(SourceError("it is torn")) == "it is torn"


def test_lines_are_the_same_however_the_file_is_packed(tmp_path: Path) -> None:
    content = b"one\n\ntwo" + b"x" * 300_000 + b"\nlast"
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "packed").write_bytes(gzip.compress(content[:5]) + gzip.compress(content[5:]))
    with zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("entry", content)
    expected = content.split(b"\n")
    for member in (Member(tmp_path / "plain"), Member(tmp_path / "packed"), Member(tmp_path / "zip", "entry")):
        assert list(member.lines()) == expected
        assert member.read() == content
        assert member.head(7) == content[:7]


@pytest.mark.parametrize("cut", [1, 2, 7, 1000])
def test_merging_is_the_same_however_the_streams_are_cut(cut: int) -> None:
    rng = np.random.default_rng(cut)
    streams = []
    for k in range(3):
        stream = np.zeros(200, EVENT_DTYPE)
        stream["ts_ns"] = np.sort(rng.integers(0, 60, 200))
        stream["symbol"] = k
        stream["order_id"] = np.arange(200)
        streams.append(stream)
    pieces = [iter([stream[i : i + cut] for i in range(0, len(stream), cut)]) for stream in streams]
    merged = np.concatenate(list(merge_by_time([*pieces, iter([])])))
    expected = np.concatenate(streams)
    assert np.array_equal(merged, expected[np.lexsort((expected["symbol"], expected["ts_ns"]))])
