"""The venue as a source, killed anywhere: what it yields altogether is what an uninterrupted run yields."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from engine.contract import EventFlag, EventKind
from engine.journal import FencedError, Journal, recover
from engine.simulation import Simulation, SimulationConfig
from monitor.sources import SourceError
from monitor.sources.venue import VenueSource

SECOND = 10**9
T0 = 1_767_225_600 * SECOND
CONFIG = SimulationConfig(seed=21, start_ns=T0, history_s=20)
END_NS = T0 + 80 * SECOND


def source(directory, epoch=1, end_ns=END_NS, config=CONFIG):
    return VenueSource(config, directory, epoch, end_ns)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: its directory, its batches, and the files of snapshots by the number of batches before them.

    Beside each snapshot stands that number. In the directory there is none: they lie elsewhere.
    """
    directory, kept = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("snapshots")
    one = source(directory)
    batches, snapshots = [], {}
    for number, batch in enumerate(one.batches(), 1):
        batches.append(batch)
        if number % 50 == 1:
            one.save(str(number).encode())
            (path,) = directory.glob("*.snapshot")
            snapshots[number] = path.rename(kept / path.name)
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
    opening = events[(events["flags"] & EventFlag.SNAPSHOT) != 0]
    assert set(opening["ts_ns"]) == {T0}
    assert not set(opening["kind"]) & {EventKind.TRADE, EventKind.TRANSFER}
    assert np.count_nonzero(events["flags"] & EventFlag.REPLY) == one._venue.ops


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
    ops = source(tmp_path)._known_ops
    usable = [0, *(number for number, path in snapshots.items() if int(path.stem) <= ops)]
    start = int(rng.choice(usable))
    if start:
        shutil.copy(snapshots[start], tmp_path)
    again = source(tmp_path, epoch=2 if trial % 2 else 1)
    assert again.load() == (str(start).encode() if start else None)
    found = list(again.batches())
    assert b"".join(batch.tobytes() for batch in found) == b"".join(batch.tobytes() for batch in batches[start:])
    assert again.labels() == one.labels()
    assert again._venue.state_hash() == one._venue.state_hash()
    # And the journal that results holds the whole run: a full replay gives the same state.
    full = source(tmp_path, epoch=9)
    for _ in full.batches():
        pass
    assert full._venue.state_hash() == one._venue.state_hash()


def test_a_snapshot_and_the_tail_of_the_journal_give_the_same_state(whole, tmp_path):
    directory, batches, snapshots, one = whole
    shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
    for number in (51, 101):
        shutil.copy(snapshots[number], tmp_path)
    newest = tmp_path / snapshots[101].name
    newest.write_bytes(newest.read_bytes()[:-5])
    again = source(tmp_path, epoch=2)
    assert again.load() == b"51"
    assert [b.tobytes() for b in again.batches()] == [b.tobytes() for b in batches[51:]]
    assert again._venue.state_hash() == one._venue.state_hash()


@pytest.mark.parametrize("number", [None, 1, 301])
def test_the_engine_alone_recovers_the_venue_of_a_run(whole, tmp_path, number):
    directory, _, snapshots, one = whole
    shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
    if number is not None:
        shutil.copy(snapshots[number], tmp_path)
    venue = Simulation(CONFIG).new_venue()
    recover(Journal.open(tmp_path, one._journal._config_hash, "read"), venue)
    assert venue.state_hash() == one._venue.state_hash()


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
    one._journal.write_snapshot(one._venue, b"nonsense")
    with pytest.raises(SourceError, match="does not fit this venue"):
        one.load()
    other = VenueSource(SimulationConfig(seed=1, start_ns=T0, accounts=1000), tmp_path / "other", 1)
    one._venue = other._venue
    one.save(b"")
    with pytest.raises(SourceError, match="does not fit this venue"):
        source(tmp_path, epoch=2).load()


def test_a_snapshot_of_ops_that_the_journal_lost_is_refused(whole, tmp_path):
    directory, _, snapshots, _ = whole
    segment = next(directory.iterdir())
    (tmp_path / segment.name).write_bytes(segment.read_bytes()[:2000])
    shutil.copy(snapshots[101], tmp_path)
    with pytest.raises(SourceError, match=r"the journal cannot be used: .* the journal ends at"):
        source(tmp_path, epoch=2)


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="the journal cannot be used"):
        source(tmp_path / "file")
