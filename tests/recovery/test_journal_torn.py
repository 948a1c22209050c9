"""A journal cut or changed at any byte: a torn end is cut with a message, damage before it is an error, never a wrong op."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from engine.contract import OP_DTYPE
from engine.journal import Journal, JournalError
from tests.journal_kit import CONFIG, ChainVenue, content

SIZES = (3, 1, 4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    rng = np.random.default_rng(1)
    batches = [np.frombuffer(rng.bytes(size * OP_DTYPE.itemsize), OP_DTYPE) for size in SIZES]
    ends = []
    with Journal.open(directory, CONFIG, "append", 1) as journal:
        path = next(directory.iterdir())
        ends.append(path.stat().st_size)
        for ops in batches:
            journal.append(ops)
            journal.flush()
            ends.append(path.stat().st_size)
    return path, batches, ends


def opened(directory):
    journal = Journal.open(directory, CONFIG, "read")
    return journal, content(journal)


def test_cut_at_every_byte(whole, tmp_path):
    path, batches, ends = whole
    data = path.read_bytes()
    copy = tmp_path / path.name
    for size in range(len(data)):
        copy.write_bytes(data[:size])
        journal, found = opened(tmp_path)
        kept = sum(end <= size for end in ends[1:])
        assert found == b"".join(ops.tobytes() for ops in batches[:kept])
        assert (journal.torn is None) == (size in ends or size < ends[0])
    assert "half-written batch after op 4" in str(journal.torn)


@pytest.mark.parametrize("kept", range(len(SIZES)))
@pytest.mark.parametrize("epoch", [1, 2])
def test_appending_after_a_torn_end_leaves_no_trace_of_it(whole, tmp_path, kept, epoch):
    path, batches, ends = whole
    (tmp_path / path.name).write_bytes(path.read_bytes()[: ends[kept + 1] - 7])
    with Journal.open(tmp_path, CONFIG, "append", epoch) as journal:
        assert "were cut" in str(journal.torn)
        assert journal.ops == sum(SIZES[:kept])
        journal.append(batches[kept])
    found, ops = opened(tmp_path)
    assert found.torn is None
    assert ops == b"".join(b.tobytes() for b in batches[: kept + 1])


@pytest.mark.parametrize("flip", [0x01, 0x55, 0xFF])
def test_one_changed_byte_is_never_read_as_another_op(whole, tmp_path, flip):
    path, batches, ends = whole
    data = path.read_bytes()
    copy = tmp_path / path.name
    good = [b"".join(ops.tobytes() for ops in batches[:n]) for n in range(len(batches) + 1)]
    refused = 0
    for at in range(len(data)):
        copy.write_bytes(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
        try:
            journal, found = opened(tmp_path)
        except JournalError:
            refused += 1
            continue
        # Only in the last batch can damage look like a torn end.
        assert at >= ends[-2]
        assert found == good[-2]
        assert journal.torn is not None
    assert refused == ends[-2]


def test_a_batch_of_another_segment_is_not_read(whole, tmp_path):
    path, _, ends = whole
    data = path.read_bytes()
    with Journal.open(tmp_path, CONFIG, "append", 2):
        pass
    other = tmp_path / "000000000002.journal"
    other.write_bytes(other.read_bytes() + data[ends[0] : ends[1]])
    journal, found = opened(tmp_path)
    assert found == b""
    assert "after op 0" in journal.torn


def test_batches_in_another_order_are_refused(whole, tmp_path):
    path, _, ends = whole
    data = path.read_bytes()
    (tmp_path / path.name).write_bytes(data[: ends[0]] + data[ends[1] :])
    with pytest.raises(JournalError, match=f"at byte {ends[0]} expected op 0, found op 3"):
        Journal.open(tmp_path, CONFIG, "read")


def test_a_lost_segment_is_noticed(whole, tmp_path):
    path, batches, _ = whole
    shutil.copy(path, tmp_path / path.name)
    with Journal.open(tmp_path, CONFIG, "append", 2) as journal:
        journal.append(batches[0])
    first, second = sorted(tmp_path.iterdir())
    data = first.read_bytes()
    first.write_bytes(data[:-1])
    with pytest.raises(JournalError, match="holds ops up to 4, the next segment starts at 8"):
        Journal.open(tmp_path, CONFIG, "read")
    first.unlink()
    with pytest.raises(JournalError, match="the ops before 8 are missing"):
        Journal.open(tmp_path, CONFIG, "read")
    first.write_bytes(data)
    second.unlink()
    with pytest.raises(JournalError, match="a newer epoch took over, and its segment is missing"):
        Journal.open(tmp_path, CONFIG, "append", 1)


def test_ops_that_a_snapshot_knows_are_missed(whole, tmp_path):
    path, _, ends = whole
    shutil.copy(path, tmp_path / path.name)
    venue = ChainVenue()
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal:
        for ops in journal.batches():
            venue.apply(ops)
        journal.write_snapshot(venue)
    (tmp_path / path.name).write_bytes(path.read_bytes()[: ends[2]])
    with pytest.raises(JournalError, match="was written after op 8, the journal ends at 4; restore"):
        Journal.open(tmp_path, CONFIG, "append", 1)
    assert Journal.open(tmp_path, CONFIG, "read").newest_snapshot() is None
