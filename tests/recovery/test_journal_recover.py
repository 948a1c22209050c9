"""A venue and its journal: snapshot and tail lead where all ops lead, by state hash, and so after every kill -9."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.journal import Journal, recover
from tests.journal_kit import BLOCK, CONFIG, block, full_replay, real_venue

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def reference():
    """The state hash after any number of blocks, from a venue that knows no journal."""
    venue = real_venue()
    hashes = [venue.state_hash()]

    def state_hash(blocks):
        while len(hashes) <= blocks:
            venue.apply(block(len(hashes) - 1))
            hashes.append(venue.state_hash())
        return hashes[blocks]

    return state_hash


@pytest.mark.parametrize("snapshots", [(), (3,), (3, 9), (12,)])
def test_snapshot_and_tail_lead_where_all_ops_lead(tmp_path, reference, snapshots):
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal:
        venue = real_venue()
        for number in range(12):
            if number in snapshots:
                journal.write_snapshot(venue)
            ops = block(number)
            journal.append(ops)
            venue.apply(ops)
        if 12 in snapshots:
            journal.write_snapshot(venue)
    recovered = real_venue()
    with Journal.open(tmp_path, CONFIG, "append", 2) as journal:
        recover(journal, recovered)
    assert recovered.state_hash() == full_replay(tmp_path, real_venue()).state_hash() == reference(12)
    ops = block(12)
    assert recovered.apply(ops).tobytes() == venue.apply(ops).tobytes()


def killed(directory, epoch, blocks, rng):
    """Runs a venue's process for some blocks and kills it anywhere in the next.

    Returns (ops it had recovered, their state hash, ops it has flushed).
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tests.journal_kit", str(directory), str(epoch)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        started, state_hash = process.stdout.readline().split()
        for _ in range(blocks):
            process.stdout.readline()
        # The pipe holds what it said since, so the kill falls at any instant of its work.
        for _ in range(rng.integers(0, 20_000)):
            pass
        process.kill()
        said = process.stdout.read().split("\n")[:-1]
        return int(started), state_hash, int(said[-1]) if said else int(started) + blocks * BLOCK


def test_after_every_kill_the_venue_stands_where_the_log_ends(tmp_path, reference):
    rng = np.random.default_rng(3)
    flushed = 0
    for epoch in range(1, 5):
        started, state_hash, now = killed(tmp_path, epoch, int(rng.integers(1, 40)), rng)
        assert started >= flushed
        assert started % BLOCK == 0
        assert state_hash == f"{reference(started // BLOCK):016x}"
        flushed = now
    recovered = real_venue()
    with Journal.open(tmp_path, CONFIG, "append", 5) as journal:
        assert journal.newest_snapshot() is not None
        recover(journal, recovered)
        assert recovered.ops == journal.ops >= flushed
    replayed = full_replay(tmp_path, real_venue())
    assert recovered.state_hash() == replayed.state_hash() == reference(recovered.ops // BLOCK)


def test_a_batch_cut_by_the_kill_is_not_applied(tmp_path, reference):
    killed(tmp_path, 1, 3, np.random.default_rng(4))
    path = next(tmp_path.glob("*.journal"))
    with Journal.open(tmp_path, CONFIG, "append", 1) as journal:
        blocks = journal.ops // BLOCK
    for snapshot in tmp_path.glob("*.snapshot"):
        snapshot.unlink()
    path.write_bytes(path.read_bytes()[:-1])
    recovered = real_venue()
    with Journal.open(tmp_path, CONFIG, "append", 2) as journal:
        recover(journal, recovered)
        assert f"after op {(blocks - 1) * BLOCK}; they were cut" in journal.torn
    assert recovered.state_hash() == reference(blocks - 1)
