"""`perpwatch history evidence`: the accounts, price levels and orders behind an anomaly, from where the events are kept."""

import json
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner

from engine.book import SMALL
from engine.contract import EventFlag, EventKind, Reason
from engine.instruments import Instrument
from monitor.cli import main
from monitor.incidents.orders import OrdersError, Stretch, fetch, stretch_of
from monitor.sources.events import write_events
from tests.oracle.event_streams import START_NS, events_of
from tests.windows_kit import BUY, SELL, add, at, cancel, level, trade

MS = 1_000_000
STRETCH = Stretch("TWO", START_NS + 1_000 * MS, START_NS + 2_000 * MS)


class Kept:
    """A source of the test's own events."""

    instruments = (Instrument("ONE", "0.01", "1"), Instrument("TWO", "0.5", "0.001"))
    capabilities = frozenset(("book", "orders", "accounts", "trades"))
    accounts, capacity, lateness_ns, step_ns = 9, SMALL, 0, 1_000_000_000
    notes, total_hint, progress, rejects = (), None, 0.0, Counter()

    def __init__(self, events):
        self._events = events_of(events)
        self._events["seq"] = np.arange(1, len(self._events) + 1)

    def labels(self):
        return ()

    def batches(self):
        yield self._events


def of_two(event):
    return event | {"symbol": 1}


EVENTS = [
    of_two(add(100, 1, BUY, 200, 5, account=7)),
    of_two(add(150, 2, SELL, 210, 50, account=3)),
    of_two(add(200, 3, BUY, 199, 1, account=7, flags=EventFlag.UNDATED)),
    *[of_two(add(1_100 + n, 10 + n, BUY, 190, 20, account=4, leaves=20)) for n in range(3)],
    *[of_two(cancel(1_200 + n, 10 + n, BUY, 190, 20, account=4, leaves=0)) for n in range(3)],
    of_two(cancel(1_300, 1, BUY, 200, 5, account=7, leaves=0)),
    of_two(cancel(1_310, 3, BUY, 199, 1, account=7, leaves=0)),
    of_two(cancel(1_320, 2, SELL, 210, 10, account=3, leaves=40)),
    of_two(trade(1_400, BUY, 210, 6, maker_id=2, taker=4, maker=3)),
    {"ts_ns": at(1_500), "kind": EventKind.REJECT, "symbol": 1, "account": 4, "code": Reason.BAD_TICK},
    add(1_600, 99, BUY, 100, 1, account=4),
    of_two(add(1_700, 30, BUY, 180, 1, account=5, flags=EventFlag.SNAPSHOT)),
    of_two(cancel(2_000, 2, SELL, 210, 40, account=3, leaves=0)),
]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "events.parquet"
    write_events(Kept(EVENTS), path)
    return path


def test_accounts_levels_and_orders_of_a_stretch(recording):
    found = fetch(recording, STRETCH)
    columns = ("account", "adds", "cancels", "rejects", "trades", "traded_lots", "life_ms")
    assert found.accounts.columns == list(columns)
    assert found.accounts.rows() == [
        (4, 3, 3, 1, 1, 6, 100.0),
        (3, 0, 1, 0, 1, 6, None),
        (7, 0, 2, 0, 0, 0, 1_200.0),
    ]
    assert found.levels.rows() == [
        (95.0, "bid", 60, 60, 0, 3),
        (105.0, "ask", 0, 10, 6, 0),
        (100.0, "bid", 0, 5, 0, 0),
        (99.5, "bid", 0, 1, 0, 0),
    ]
    ids = found.orders["order_id"].to_list()
    assert ids == [10, 11, 12, 2, 1, 3]
    first, partly, undated = (found.orders.row(at_, named=True) for at_ in (0, 3, 5))
    assert (first["account"], first["side"], first["price"], first["life_ms"]) == (4, "bid", 95.0, 100.0)
    assert (first["added_ns"], first["cancelled_ns"]) == (at(1_100), at(1_200))
    assert (partly["cancelled_lots"], partly["cancelled_ns"], partly["life_ms"]) == (10, None, None)
    assert (undated["added_ns"], undated["life_ms"]) == (None, None)


def test_a_source_that_is_read_gives_what_a_scanned_file_gives(recording, monkeypatch):
    scanned = fetch(recording, STRETCH)
    monkeypatch.setattr("monitor.incidents.orders.resolve_format", lambda paths, format_: "journal")
    read = fetch(recording, STRETCH)
    assert all(one.equals(other, null_equal=True) for one, other in zip(scanned, read, strict=True))


def lines_in(folder):
    folder.mkdir()
    line = {"symbol": "TWO", "event": "cancels-TWO-1", "family": "cancels", "account": None}
    ends = [(STRETCH.start_ns, STRETCH.start_ns + 500 * MS), (STRETCH.start_ns + 100 * MS, STRETCH.end_ns)]
    lines = [{**line, "window_start_ns": start, "window_end_ns": end} for start, end in ends]
    (folder / "anomalies.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return folder


def test_an_event_stands_for_the_stretch_of_its_lines(tmp_path):
    assert stretch_of([lines_in(tmp_path / "run")], "cancels-TWO-1") == STRETCH


def test_the_command_prints_tables_or_json(recording, tmp_path):
    run = lines_in(tmp_path / "run")
    done = CliRunner().invoke(main, ["history", "evidence", str(recording), "cancels-TWO-1", "--run", str(run)])
    assert done.exit_code == 0, done.output
    for said in ("TWO, accounts: 3", "TWO, levels: 4", "TWO, orders: 6", "22:13:21.100"):
        assert said in done.output
    where = ["TWO", str(STRETCH.start_ns), "2023-11-14T22:13:22"]
    done = CliRunner().invoke(main, ["history", "evidence", str(recording), *where, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert (told["symbol"], told["start_ns"], told["end_ns"]) == STRETCH
    assert told["accounts"][0]["account"] == 4
    assert len(told["orders"]) == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cancels-TWO-1"], "give --run DIR, or SYMBOL START END"),
        (["TWO", "1"], "give one EVENT with --run DIR, or SYMBOL START END"),
        (["TWO", "yesterday", "2"], "'yesterday': give UTC nanoseconds"),
        (["TWO", "5", "5"], "give START before END"),
        (["XRP", "1", "2"], "has no symbol 'XRP'; it has ONE, TWO"),
        (["TWO", "1", "2"], "TWO has no order from 1 to 2"),
        (["nothing", "--run", "RUN"], "no line is of the event 'nothing'"),
        (["nothing", "--run", "EMPTY"], "holds no anomalies"),
    ],
)
def test_bad_input_says_what_and_what_to_do(recording, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    places = {"RUN": str(lines_in(tmp_path / "run")), "EMPTY": str(tmp_path / "empty")}
    done = CliRunner().invoke(main, ["history", "evidence", str(recording), *(places.get(a, a) for a in arguments)])
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_recording_without_orders_or_none_at_all_is_refused(tmp_path):
    class Levels(Kept):
        capabilities = frozenset(("book", "trades"))

    path = tmp_path / "levels.parquet"
    write_events(Levels([level(1, BUY, 100, 5)]), path)
    with pytest.raises(OrdersError, match="no orders; give a recording order by order"):
        fetch(path, Stretch("ONE", 0, 2**62))
    done = CliRunner().invoke(main, ["history", "evidence", str(tmp_path / "none"), "ONE", "1", "2"])
    assert done.exit_code == 2
    assert "none" in done.output


@pytest.mark.slow
def test_a_journal_tells_what_its_converted_events_tell(tmp_path):
    from engine.simulation import SimulationConfig
    from monitor.sources.detect import open_source
    from monitor.sources.journal import describe
    from monitor.sources.venue import VenueSource

    start_ns = 1_767_225_600_000_000_000
    config = SimulationConfig(seed=3, start_ns=start_ns, history_s=5)
    source = VenueSource(config, describe(tmp_path / "journal", config), 1, start_ns + 12 * 10**9)
    assert sum(len(batch) for batch in source.batches())
    write_events(open_source([tmp_path / "journal"]), tmp_path / "events.parquet")
    stretch = Stretch(source.instruments[0].symbol, start_ns + 4 * 10**9, start_ns + 6 * 10**9)
    kept, converted = (fetch(tmp_path / name, stretch) for name in ("journal", "events.parquet"))
    assert len(kept.orders) > 10
    assert all(one.equals(other, null_equal=True) for one, other in zip(kept, converted, strict=True))
