"""The journal: what goes in comes out, and everything else is refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest

from engine.contract import OP_DTYPE, OpKind
from engine.journal import FencedError, Journal, JournalError, newest_snapshot, write_snapshot

CONFIG = bytes(range(32))
OTHER = bytes(32)


def batch(start, count):
    ops = np.zeros(count, OP_DTYPE)
    ops["order_id"] = np.arange(start, start + count)
    ops["kind"] = OpKind.NEW
    return ops


def written(directory, *sizes, epoch=1):
    position = 0
    with Journal.open(directory, CONFIG, "append", epoch) as journal:
        position = journal.ops
        for size in sizes:
            journal.append(batch(position, size))
            position += size
    return position


def ids(journal, first_op=0):
    return [int(i) for ops in journal.batches(first_op) for i in ops["order_id"]]


def test_batches_come_back_as_they_went_in(tmp_path):
    written(tmp_path, 3, 1, 5)
    journal = Journal.open(tmp_path, CONFIG, "read")
    assert [len(ops) for ops in journal.batches()] == [3, 1, 5]
    assert journal.ops == 9
    assert journal.torn is None
    assert ids(journal) == list(range(9))


@pytest.mark.parametrize("first_op", [0, 2, 3, 4, 8, 9])
def test_reading_starts_at_any_op(tmp_path, first_op):
    written(tmp_path, 3, 1, 5)
    written(tmp_path, 2, epoch=2)
    assert ids(Journal.open(tmp_path, CONFIG, "read"), first_op) == list(range(first_op, 11))


def test_an_empty_batch_and_an_empty_journal_are_nothing(tmp_path):
    written(tmp_path, 0)
    assert ids(Journal.open(tmp_path, CONFIG, "read")) == []
    assert Journal.open(tmp_path / "none", CONFIG, "read").ops == 0


def test_the_same_epoch_goes_on_where_it_ended(tmp_path):
    written(tmp_path, 3)
    written(tmp_path, 4)
    assert ids(Journal.open(tmp_path, CONFIG, "read")) == list(range(7))
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_flushed_can_be_read_while_the_writer_goes_on(tmp_path):
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal:
        journal.append(batch(0, 4))
        journal.flush()
        assert ids(Journal.open(tmp_path, CONFIG, "read")) == [0, 1, 2, 3]
        journal.append(batch(4, 1))
    assert ids(Journal.open(tmp_path, CONFIG, "read")) == [0, 1, 2, 3, 4]


def test_an_older_epoch_may_not_open(tmp_path):
    written(tmp_path, 3, epoch=5)
    with pytest.raises(FencedError, match="epoch 5 owns this journal, epoch 4 was replaced"):
        Journal.open(tmp_path, CONFIG, "append", 4)


def test_two_processes_may_not_share_an_epoch(tmp_path):
    with Journal.open(tmp_path, CONFIG, "append", 1), pytest.raises(FencedError, match="another process has epoch 1 open"):
        Journal.open(tmp_path, CONFIG, "append", 1)


def test_a_zombie_is_told_and_what_it_wrote_is_in_nobodys_history(tmp_path):
    zombie = Journal.open(tmp_path, CONFIG, "append", 1)
    zombie.append(batch(0, 3))
    zombie.flush()
    with Journal.open(tmp_path, CONFIG, "append", 2) as successor:
        assert successor.ops == 3
        zombie.append(batch(100, 2))
        with pytest.raises(FencedError, match="epoch 2 owns this journal"):
            zombie.flush()
        zombie.close()
        successor.append(batch(3, 2))
        successor.flush()
        assert ids(Journal.open(tmp_path, CONFIG, "read")) == [0, 1, 2, 3, 4]


def test_another_configuration_is_refused(tmp_path):
    written(tmp_path, 3)
    for mode in ("read", "append"):
        with pytest.raises(JournalError, match="written under configuration 000102"):
            Journal.open(tmp_path, OTHER, mode, 1)


def test_another_version_is_refused(tmp_path):
    written(tmp_path, 3)
    path = next(tmp_path.iterdir())
    data = bytearray(path.read_bytes())
    data[8] = 9
    path.write_bytes(data)
    with pytest.raises(JournalError, match="header is damaged"):
        Journal.open(tmp_path, CONFIG, "read")


def test_something_else_under_the_name_is_refused(tmp_path):
    (tmp_path / "000000000001.journal").write_bytes(b"x" * 200)
    with pytest.raises(JournalError, match="is not a journal"):
        Journal.open(tmp_path, CONFIG, "append", 1)


def test_misuse_is_refused(tmp_path):
    written(tmp_path, 1)
    reader = Journal.open(tmp_path, CONFIG, "read")
    with pytest.raises(ValueError, match="not open for appending"):
        reader.append(batch(0, 1))
    with pytest.raises(ValueError, match="not open for appending"):
        reader.flush()
    with pytest.raises(ValueError, match="32 bytes"):
        Journal.open(tmp_path, b"short", "read")
    with pytest.raises(ValueError, match="at least 1"):
        Journal.open(tmp_path, CONFIG, "append", 0)
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal, pytest.raises(ValueError, match="OP_DTYPE"):
        journal.append(np.zeros(3))


def test_the_newest_snapshot_wins_and_two_are_kept(tmp_path):
    for position in (10, 20, 30):
        write_snapshot(tmp_path, CONFIG, position, f"state {position}".encode())
    assert newest_snapshot(tmp_path, CONFIG) == (30, b"state 30")
    assert newest_snapshot(tmp_path, CONFIG, at_most=29) == (20, b"state 20")
    assert newest_snapshot(tmp_path, CONFIG, at_most=19) is None
    assert len(list(tmp_path.iterdir())) == 2
    assert newest_snapshot(tmp_path / "none", CONFIG) is None


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d[:40], lambda d: d[:-1] + b"?", lambda d: b""])
def test_a_damaged_snapshot_is_passed_over(tmp_path, damage):
    write_snapshot(tmp_path, CONFIG, 10, b"older")
    newest = write_snapshot(tmp_path, CONFIG, 20, b"newer")
    newest.write_bytes(damage(newest.read_bytes()))
    assert newest_snapshot(tmp_path, CONFIG) == (10, b"older")


def test_a_snapshot_of_another_configuration_is_refused(tmp_path):
    write_snapshot(tmp_path, CONFIG, 10, b"state")
    with pytest.raises(JournalError, match="another configuration"):
        newest_snapshot(tmp_path, OTHER)
