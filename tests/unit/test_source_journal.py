"""A venue's journal, replayed: the events of the run it was kept of."""

from __future__ import annotations

import numpy as np
import pytest

from engine.simulation import SimulationConfig
from monitor.sources import SourceError
from monitor.sources.detect import open_source, resolve_format
from monitor.sources.journal import describe
from monitor.sources.venue import VenueSource

START_NS = 1_767_225_600_000_000_000
SECONDS = 12


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """(folder, the run's events)."""
    folder = tmp_path_factory.mktemp("kept") / "journal"
    config = SimulationConfig(seed=3, start_ns=START_NS, history_s=5)
    source = VenueSource(config, describe(folder, config), 1, START_NS + SECONDS * 10**9)
    return folder, np.concatenate(list(source.batches())), source


def test_its_events_are_those_of_the_run(kept):
    folder, events, run = kept
    assert resolve_format([folder], "auto") == "journal"
    source = open_source([folder])
    assert np.concatenate(list(source.batches())).tobytes() == events.tobytes()
    for name in ("instruments", "capabilities", "accounts", "capacity", "lateness_ns", "step_ns"):
        assert getattr(source, name) == getattr(run, name), name
    assert source.progress == 1.0
    assert "applied again" in source.notes[0]


def test_what_is_none_is_said(kept, tmp_path):
    folder = kept[0]
    with pytest.raises(SourceError, match="directory"):
        open_source([tmp_path])
    copy = tmp_path / "copy"
    (copy / "journal").mkdir(parents=True)
    (segment,) = (folder / "journal").glob("*.journal")
    (copy / "venue.json").write_text((folder / "venue.json").read_text().replace('"seed":3', '"seed":4'))
    (copy / "journal" / segment.name).write_bytes(segment.read_bytes())
    with pytest.raises(SourceError, match="configuration"):
        open_source([copy])
    (copy / "venue.json").write_text("{")
    with pytest.raises(SourceError, match="cannot be used"):
        open_source([copy])
    with pytest.raises(SourceError, match="by itself"):
        open_source([folder, copy], "journal")


def test_a_torn_end_is_left_out_and_damage_before_it_ends_the_source(kept, tmp_path):
    folder, events, _ = kept
    (tmp_path / "journal").mkdir()
    (tmp_path / "venue.json").write_bytes((folder / "venue.json").read_bytes())
    (segment,) = (folder / "journal").glob("*.journal")
    data = segment.read_bytes()
    target = tmp_path / "journal" / segment.name
    target.write_bytes(data[:-7])
    found = np.concatenate(list(open_source([tmp_path]).batches()))
    assert 0 < len(found) < len(events)
    assert found.tobytes() == events[: len(found)].tobytes()
    middle = len(data) // 2
    target.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    with pytest.raises(SourceError, match="damaged"):
        list(open_source([tmp_path]).batches())
