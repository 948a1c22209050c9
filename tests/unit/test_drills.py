"""Drills asked for while a venue runs: written down before they begin, and the same again after a crash."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from engine.simulation import SimulationConfig
from monitor.bus.asked import Asked
from monitor.bus.keys import Keys
from monitor.roles.drills import OFFERED, Drills
from monitor.sources.venue import VenueSource

SECOND = 10**9
T0 = 1_767_225_600 * SECOND
CONFIG = SimulationConfig(seed=8, start_ns=T0, history_s=2, accounts=1000)
SYMBOLS = ("BTC-PERP", "ETH-PERP", "SOL-PERP")


class Store:
    """What Drills uses of Redis."""

    def __init__(self):
        self.waiting = []

    def lrange(self, _key, _first, _last):
        return list(self.waiting)

    def lrem(self, _key, _count, raw):
        self.waiting.remove(raw)

    def ask(self, **fields):
        self.waiting.append(msgspec.json.encode(Asked(**({"id": "0" * 8, "name": "stale-index"} | fields))))


@pytest.fixture
def taken(tmp_path):
    store, requests = Store(), []
    return store, Drills(store, Keys("r"), tmp_path, SYMBOLS, requests.append), requests


def test_what_is_asked_for_is_written_down_once_and_taken_out(taken, tmp_path):
    store, drills, requests = taken
    store.ask(id="a" * 8, symbol="SOL-PERP", strength=2.0)
    store.ask(id="a" * 8)
    drills.look(5 * SECOND)
    assert [(one.name, one.strength, one.at_ns, one.symbol) for one in requests] == [("stale-index", 2.0, 5 * SECOND, 2)]
    assert store.waiting == []
    again = []
    Drills(store, Keys("r"), tmp_path, SYMBOLS, again.append).restore(5 * SECOND)
    assert again == requests
    later = []
    other = Drills(store, Keys("r"), tmp_path, SYMBOLS, later.append)
    other.restore(5 * SECOND + 1)
    store.ask(id="a" * 8)
    other.look(9 * SECOND)
    assert later == []


@pytest.mark.parametrize("fields", [{"name": "no-such"}, {"name": "new-listing"}, {"symbol": "DOGE-PERP"}])
def test_what_cannot_be_run_is_left_out_and_said(taken, fields, caplog):
    store, drills, requests = taken
    store.ask(**fields)
    store.waiting.append(b"nonsense")
    drills.look(SECOND)
    assert (requests, store.waiting) == ([], [])
    assert "cannot be run here" in caplog.text
    assert "cannot be read" in caplog.text


def test_a_torn_line_hides_no_other(taken, tmp_path):
    store, drills, requests = taken
    (tmp_path / "drills.jsonl").write_bytes(b'{"id":"bbbbbbbb","requ')
    store.ask(id="c" * 8)
    drills.look(SECOND)
    again = []
    Drills(store, Keys("r"), tmp_path, SYMBOLS, again.append).restore(0)
    assert again == requests
    assert len(again) == 1


def run(source, store, drills, until_ns, ask_at=None):
    events = []
    for batch in source.batches():
        events.append(batch)
        if ask_at is not None and source.next_ns == ask_at:
            store.ask(id="d" * 8, symbol="ETH-PERP")
        drills.look(source.next_ns)
        if source.next_ns >= until_ns:
            break
    return np.concatenate(events)


def test_a_feed_that_comes_back_lets_the_same_drill_begin_at_the_same_tick(tmp_path):
    """The journal holds each decision: another tick would end the source."""
    journal, end = tmp_path / "journal", T0 + 14 * SECOND
    store = Store()
    first = VenueSource(CONFIG, journal, 1, end)
    symbols = tuple(instrument.symbol for instrument in first.instruments)
    drills = Drills(store, Keys("r"), tmp_path, symbols, first.ask)
    killed = run(first, store, drills, T0 + 10 * SECOND, ask_at=T0 + 4 * SECOND)
    assert [(label.name, label.symbol, label.drill) for label in first.labels()] == [("stale-index", "ETH-PERP", True)]
    # Nothing is closed, nothing was saved: the next process decides everything again.
    second = VenueSource(CONFIG, journal, 2, end)
    drills = Drills(store, Keys("r"), tmp_path, symbols, second.ask)
    drills.restore(second.next_ns)
    again = run(second, store, drills, end)
    assert again[: len(killed)].tobytes() == killed.tobytes()
    assert second.labels()[:1] == first.labels()


def test_a_market_that_is_open_cannot_be_listed_again():
    assert "new-listing" not in {drill.name for drill in OFFERED}
    assert len(OFFERED) == 24
