"""The venue as a source, killed anywhere: what it yields altogether is what an uninterrupted run yields."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest

from engine.contract import EventFlag, EventKind
from engine.journal import FencedError, newest_snapshot, write_snapshot
from engine.simulation import SimulationConfig
from monitor.sources import SourceError
from monitor.sources.venue import VenueSource

SECOND = 10**9
T0 = 1_767_225_600 * SECOND
CONFIG = SimulationConfig(seed=21, start_ns=T0, history_s=20)
END_NS = T0 + 80 * SECOND
KEY = hashlib.sha256(b"snapshots").digest()


def source(directory, epoch=1, end_ns=END_NS, config=CONFIG):
    return VenueSource(config, directory, epoch, end_ns)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: its directory, its batches, and a snapshot after each."""
    directory = tmp_path_factory.mktemp("whole")
    one = source(directory)
    batches, snapshots = [], [one.snapshot()]
    for number, batch in enumerate(one.batches()):
        batches.append(batch)
        snapshots.append(one.snapshot() if number % 50 == 0 else b"")
    return directory, batches, snapshots, one


def test_it_is_a_source(whole):
    _, batches, _, one = whole
    events = np.concatenate(batches)
    assert one.progress == 1.0
    assert events["seq"].tolist() == list(range(1, len(events) + 1))
    assert (np.diff(events["ts_ns"]) >= 0).all()
    assert events["ts_ns"][0] == T0
    assert events["ts_ns"][-1] < END_NS
    assert events["account"].max() < one.accounts
    assert one.notes == ()
    assert [label.family for label in one.labels()][:3] != []
    opening = events[events["flags"] == EventFlag.SNAPSHOT]
    assert set(opening["ts_ns"]) == {T0}
    assert not set(opening["kind"]) & {EventKind.TRADE, EventKind.TRANSFER}


def test_live_batches_are_ticks_and_history_batches_are_not(whole):
    _, batches, _, one = whole
    history = [batch for batch in batches if batch["ts_ns"][0] < one.history_end_ns]
    live = batches[len(history) :]
    assert len(history) == 5
    assert len(live) == 600
    assert all(batch["ts_ns"][-1] - batch["ts_ns"][0] < SECOND // 10 for batch in live)


def test_a_run_without_an_end_begins_in_the_same_way(whole, tmp_path):
    _, batches, _, _ = whole
    for number, batch in enumerate(source(tmp_path, end_ns=None).batches()):
        assert batch.tobytes() == batches[number].tobytes()
        if number == 30:
            break


@pytest.mark.parametrize("trial", range(12))
def test_killed_anywhere_the_stream_goes_on_to_the_byte(whole, tmp_path, trial):
    """Cuts the journal at any byte, as a kill does, goes back to any older snapshot or to the start, and runs on."""
    directory, batches, snapshots, one = whole
    rng = np.random.default_rng([7, trial])
    segment = next(directory.iterdir())
    data = segment.read_bytes()
    size = int(rng.integers(100, len(data)))
    (tmp_path / segment.name).write_bytes(data[:size])
    again = source(tmp_path, epoch=2 if trial % 2 else 1)
    usable = [n for n, snapshot in enumerate(snapshots) if snapshot]
    start = 0
    for n in rng.permutation(usable).tolist():
        try:
            again.restore(snapshots[n])
        except SourceError as error:
            assert "the journal ends at" in str(error)  # noqa: PT017 - a snapshot that lies behind the cut
        else:
            start = n
            break
    else:
        again = source(tmp_path, epoch=3)
    found = list(again.batches())
    assert b"".join(batch.tobytes() for batch in found) == b"".join(batch.tobytes() for batch in batches[start:])
    assert again.labels() == one.labels()
    assert again._venue.state_hash() == one._venue.state_hash()
    # And the journal that results holds the whole run: a full replay gives the same state.
    full = source(tmp_path, epoch=9)
    for _ in full.batches():
        pass
    assert full._venue.state_hash() == one._venue.state_hash()


def test_snapshot_files_and_the_tail_of_the_journal_give_the_same_state(whole, tmp_path):
    directory, batches, snapshots, one = whole
    shutil.copytree(directory, tmp_path / "journal")
    for n in (1, 51, 101):
        write_snapshot(tmp_path / "snapshots", KEY, n, snapshots[n])
    newest = sorted((tmp_path / "snapshots").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-5])
    position, state = newest_snapshot(tmp_path / "snapshots", KEY)
    assert position == 51
    again = source(tmp_path / "journal", epoch=2)
    again.restore(state)
    assert [b.tobytes() for b in again.batches()] == [b.tobytes() for b in batches[51:]]
    assert again._venue.state_hash() == one._venue.state_hash()


def test_a_zombie_feed_is_fenced(tmp_path):
    zombie = source(tmp_path, epoch=1)
    stream = zombie.batches()
    next(stream)
    successor = source(tmp_path, epoch=2)
    with pytest.raises(FencedError, match="epoch 2 owns this journal"):
        next(stream)
    with pytest.raises(FencedError, match="epoch 1 was replaced"):
        source(tmp_path, epoch=1)
    next(successor.batches())


def test_another_configuration_finds_its_journal_refused(whole, tmp_path):
    directory, *_ = whole
    with pytest.raises(SourceError, match="written under configuration"):
        source(directory, 2, config=SimulationConfig(seed=22, start_ns=T0, history_s=20))


def test_a_journal_with_other_ops_ends_the_source(whole, tmp_path):
    directory, *_ = whole
    shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
    again = source(tmp_path, epoch=2)
    again._simulation._scene.markets["fair"] += 1.0
    with pytest.raises(SourceError, match="after op 0 the journal holds other ops"):
        next(again.batches())


def test_a_snapshot_that_does_not_fit_is_refused(tmp_path):
    one = source(tmp_path)
    with pytest.raises(SourceError, match="does not fit this venue"):
        one.restore(b"nonsense")
    other = VenueSource(SimulationConfig(seed=1, start_ns=T0, accounts=1000), tmp_path / "other", 1)
    with pytest.raises(SourceError, match="does not fit this venue"):
        one.restore(other.snapshot())


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="the journal cannot be used"):
        source(tmp_path / "file")
