"""Every wrong input or call ends with exit code 2 and one line that says what, where and what to do."""

from __future__ import annotations

import os
import socket
import zipfile

import pytest

from tests.recordings import Frames, lobster_rows, write_lobster
from tests.whole.command import perpwatch


def day(folder):
    return write_lobster(folder, *lobster_rows(1, 5, 200))


def torn_zip(folder):
    path = folder / "day.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for table in day(folder):
            archive.write(table, table.name)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return [path]


def damaged_zip(folder):
    torn_zip(folder)
    path = folder / "damaged.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for table in day(folder):
            archive.write(table, table.name)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3] ^= 0xFF
    path.write_bytes(whole)
    return [path]


def missing_book(folder):
    return [day(folder)[0]]


def wrong_columns(folder):
    messages, book = day(folder)
    book.write_text("\n".join(line.rsplit(",", 1)[0] for line in book.read_text().splitlines()) + "\n")
    return [messages, book]


def nan_price(folder):
    messages, book = day(folder)
    lines = messages.read_text().splitlines()
    cells = lines[40].split(",")
    cells[4] = "NaN"
    lines[40] = ",".join(cells)
    messages.write_text("\n".join(lines) + "\n")
    return [messages, book]


def frames_out_of_order(folder):
    frames = Frames()
    for i in range(200):
        frames.depth(bids={f"{60_000 - i % 7}.0": "1.000"}, asks={f"{60_001 + i % 5}.0": "1.000"})
    lines = frames.lines
    path = folder / "frames.txt"
    path.write_text("\n".join(lines[:50] + lines[120:] + lines[50:120]) + "\n")
    return [path]


def no_such_file(folder):
    return [folder / "nothing.zip"]


def other_content(folder):
    path = folder / "notes.txt"
    path.write_text("dear diary\n")
    return [path]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (torn_zip, "torn"),
        (damaged_zip, "damaged.zip"),
        (missing_book, "orderbook"),
        (wrong_columns, "19 columns where there must be 20"),
        (nan_price, "line 41: column 5 is 'NaN'"),
        (frames_out_of_order, "out of order"),
        (no_such_file, "there is no such file"),
        (other_content, "no format known"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_recording_that_cannot_be_trusted(tmp_path, make, said):
    done = perpwatch("replay", *make(tmp_path), "--out", tmp_path / "out")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "summary.json").exists()


def test_a_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = perpwatch("demo", "--port", port, "--duration", 1, "--no-browser")
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr


def test_a_results_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    done = perpwatch("replay", *day(tmp_path), "--out", tmp_path / "file" / "out")
    assert done.returncode == 2
    assert "--out" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; run the tests as another user for this one")
def test_a_results_folder_without_permission(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    done = perpwatch("replay", *day(tmp_path), "--out", folder / "out")
    assert done.returncode == 2
    assert str(folder) in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay", "x.zip"], "--out"),
        (["replay", "x.zip", "--out", "o", "--speed", "quick"], "1x"),
        (["replay", "x.zip", "--out", "o", "--speed", "0x"], "above zero"),
        (["replay", "x.zip", "--out", "o", "--format", "csv"], "lobster"),
        (["demo", "--duration", "0"], "duration"),
        (["audit", "verify", "nowhere"], "--out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_call_that_makes_no_sense(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = perpwatch(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
