"""The journal: what goes in comes out, and everything else is refused with a reason."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from engine.contract import OP_DTYPE, SCHEMA_VERSION
from engine.journal import FencedError, Journal, JournalError, recover
from tests.journal_kit import CONFIG, ChainVenue, batch, content, full_replay, written

OTHER = bytes(32)


def ids(journal, first_op=0):
    return [int(i) for ops in journal.batches(first_op) for i in ops["order_id"]]


def at_the_end(journal):
    """A venue that has applied all flushed ops of the journal."""
    venue = ChainVenue()
    for ops in journal.batches():
        venue.apply(ops)
    return venue


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


def test_a_part_of_an_array_is_written_as_a_whole_one(tmp_path):
    ops = batch(0, 10)
    ops.flags.writeable = False
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal:
        journal.append(ops[::3])
        journal.append(ops[4:6])
    assert ids(Journal.open(tmp_path, CONFIG, "read")) == [0, 3, 6, 9, 4, 5]


def test_ordinary_ops_take_a_quarter_of_their_size(tmp_path):
    ops = batch(10**15, 2048)
    ops["ts_ns"] = 1_767_225_600 * 10**9 + np.arange(2048) * 50_000
    ops["account"] = np.arange(2048) % 1000
    ops["price"] = 1_000_000 + np.arange(2048) % 100
    ops["symbol"] = np.arange(2048) % 8
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal:
        journal.append(ops)
    assert next(tmp_path.iterdir()).stat().st_size < ops.nbytes / 4
    assert content(Journal.open(tmp_path, CONFIG, "read")) == ops.tobytes()


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
        venue = ChainVenue()
        venue.apply(batch(0, 3))
        with pytest.raises(FencedError, match="epoch 2 owns this journal"):
            zombie.write_snapshot(venue)
        zombie.close()
        successor.append(batch(3, 2))
        successor.flush()
        assert ids(Journal.open(tmp_path, CONFIG, "read")) == [0, 1, 2, 3, 4]
        assert successor.newest_snapshot() is None


def test_a_process_that_died_before_its_header_is_no_obstacle(tmp_path):
    written(tmp_path, 3)
    (tmp_path / "000000000002.journal").write_bytes(b"PERP")
    assert ids(Journal.open(tmp_path, CONFIG, "read")) == [0, 1, 2]
    with pytest.raises(FencedError, match="epoch 2 owns"):
        Journal.open(tmp_path, CONFIG, "append", 1)
    written(tmp_path, 2, epoch=2)
    assert ids(Journal.open(tmp_path, CONFIG, "read")) == [0, 1, 2, 3, 4]


def test_another_configuration_is_refused_and_leaves_no_trace(tmp_path):
    writer = Journal.open(tmp_path, CONFIG, "append", 1)
    writer.append(batch(0, 3))
    for mode in ("read", "append"):
        with pytest.raises(JournalError, match="written under configuration 000102030405, this one is 000000000000"):
            Journal.open(tmp_path, OTHER, mode, 2)
    assert len(list(tmp_path.iterdir())) == 1
    writer.flush()
    writer.close()


def test_another_version_is_refused(tmp_path):
    written(tmp_path, 3)
    path = next(tmp_path.iterdir())
    data = bytearray(path.read_bytes())
    data[8] = 1
    path.write_bytes(data)
    with pytest.raises(JournalError, match="header is damaged"):
        Journal.open(tmp_path, CONFIG, "read")
    data[64:68] = struct.pack("<I", zlib.crc32(data[:64]))
    path.write_bytes(data)
    with pytest.raises(JournalError, match=f"format 1 and schema {SCHEMA_VERSION}, this program reads 2 and"):
        Journal.open(tmp_path, CONFIG, "append", 1)


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
    with pytest.raises(ValueError, match="not open for appending"):
        reader.write_snapshot(ChainVenue())
    with pytest.raises(ValueError, match="32 bytes"):
        Journal.open(tmp_path, b"short", "read")
    with pytest.raises(ValueError, match="at least 1"):
        Journal.open(tmp_path, CONFIG, "append", 0)
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal:
        with pytest.raises(ValueError, match="OP_DTYPE"):
            journal.append(np.zeros(3))
        with pytest.raises(ValueError, match="OP_DTYPE"):
            journal.append(np.zeros(3, OP_DTYPE.descr[:-1]))
        ahead = ChainVenue()
        ahead.apply(batch(0, 2))
        with pytest.raises(ValueError, match="has applied 2 ops, the journal holds 1"):
            journal.write_snapshot(ahead)


def test_the_newest_snapshot_wins_and_two_are_kept(tmp_path):
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal:
        assert journal.newest_snapshot() is None
        for start in (0, 10, 20):
            journal.append(batch(start, 10))
            journal.flush()
            journal.write_snapshot(at_the_end(journal), f"beside {start}".encode())
        reader = Journal.open(tmp_path, CONFIG, "read")
        assert (reader.ops, len(list(tmp_path.iterdir()))) == (30, 3)
        snapshot = reader.newest_snapshot()
        assert (snapshot.ops, snapshot.venue, snapshot.beside) == (30, at_the_end(reader).snapshot(), b"beside 20")


def test_a_reader_passes_over_a_snapshot_of_ops_that_came_after_it(tmp_path):
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal:
        journal.append(batch(0, 10))
        journal.flush()
        journal.write_snapshot(at_the_end(journal))
        reader = Journal.open(tmp_path, CONFIG, "read")
        journal.append(batch(10, 10))
        journal.flush()
        journal.write_snapshot(at_the_end(journal))
        assert reader.newest_snapshot().ops == 10


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d[:40], lambda d: d[:-1] + b"?", lambda d: b""])
def test_a_damaged_snapshot_is_passed_over(tmp_path, damage):
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal:
        for start in (0, 10):
            journal.append(batch(start, 10))
            journal.flush()
            journal.write_snapshot(at_the_end(journal))
    newest = tmp_path / f"{20:020d}.snapshot"
    newest.write_bytes(damage(newest.read_bytes()))
    journal = Journal.open(tmp_path, CONFIG, "read")
    assert journal.newest_snapshot().ops == 10
    venue = ChainVenue()
    recover(journal, venue)
    assert (venue.ops, venue.state_hash()) == (20, full_replay(tmp_path, ChainVenue()).state_hash())


def test_a_snapshot_of_another_configuration_is_refused(tmp_path):
    for directory, config in ((tmp_path, CONFIG), (tmp_path / "other", OTHER)):
        with Journal.open(directory, config, "append", 1) as journal:
            journal.append(batch(0, 10))
            journal.flush()
            journal.write_snapshot(at_the_end(journal))
    next((tmp_path / "other").glob("*.snapshot")).rename(tmp_path / f"{10:020d}.snapshot")
    with pytest.raises(JournalError, match="written under configuration 000000000000"):
        Journal.open(tmp_path, CONFIG, "append", 2).newest_snapshot()


def test_a_snapshot_of_another_venue_is_refused(tmp_path):
    venue = ChainVenue()
    venue.snapshot = lambda: b"something else"
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal:
        journal.write_snapshot(venue)
        with pytest.raises(JournalError, match="after op 0 does not fit this venue: 14 bytes, expected 40; remove it"):
            recover(journal, ChainVenue())


@pytest.mark.parametrize("snapshots", [(), (0,), (3,), (4,), (9,), (3, 4)])
def test_snapshot_and_tail_lead_where_all_ops_lead(tmp_path, snapshots):
    venue = ChainVenue()
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal:
        for size in (3, 1, 5, 0):
            if venue.ops in snapshots:
                journal.write_snapshot(venue)
            ops = batch(journal.ops, size)
            journal.append(ops)
            venue.apply(ops)
    with Journal.open(tmp_path, CONFIG, "append", 2) as journal:
        recovered = ChainVenue()
        recover(journal, recovered)
        assert recovered.ops == 9
        assert recovered.state_hash() == venue.state_hash() == full_replay(tmp_path, ChainVenue()).state_hash()


def test_a_snapshot_may_lie_within_a_batch(tmp_path):
    """A venue whose keeper decides known ops again, in other batches."""
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal:
        journal.append(batch(0, 10))
        venue = ChainVenue()
        venue.apply(batch(0, 7))
        journal.write_snapshot(venue)
        recovered = ChainVenue()
        recover(journal, recovered)
    assert recovered.state_hash() == full_replay(tmp_path, ChainVenue()).state_hash()


def test_what_a_killed_process_left_of_a_snapshot_goes_with_the_next_one(tmp_path):
    written(tmp_path, 3)
    (tmp_path / "000000000001.tmp").write_bytes(b"half")
    with Journal.open(tmp_path, CONFIG, "append", 2) as journal:
        assert journal.newest_snapshot() is None
        journal.write_snapshot(at_the_end(journal))
    assert not list(tmp_path.glob("*.tmp"))
