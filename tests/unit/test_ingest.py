"""A venue's own feed: batches that are right are kept once, and every other one says what is wrong with it."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import threading
import time

import httpx
import numpy as np
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract import EVENT_DTYPE, SCHEMA_VERSION, EventKind
from monitor.bus.client import connect
from monitor.bus.server import start_server
from monitor.ingest.batch import BatchError, admit, decode, encode
from monitor.ingest.client import Client, SendError
from monitor.ingest.description import DescriptionError, load_description
from monitor.ingest.desk import Desk
from monitor.ingest.store import ADDED, EventReader, EventWriter
from monitor.ingest.stream import read_stream
from monitor.ingest.web import ARROW, JSON, build
from monitor.live.spool import SpoolError
from monitor.sources.ingest import IngestSource
from tests.oracle.event_streams import order_stream

TOKEN = "a-token-of-sixteen-or-more"
DESCRIPTION = f"""
contract = {SCHEMA_VERSION}
capabilities = ["book", "orders", "accounts", "trades"]
accounts = 5
books = "small"
lateness_ms = 100
[[instruments]]
symbol = "BTC-PERP"
tick_size = "0.5"
lot_size = "0.001"
quote = "USD"
[[instruments]]
symbol = "ETH-PERP"
tick_size = "0.05"
lot_size = "0.01"
quote = "USD"
"""


@pytest.fixture
def description(tmp_path):
    path = tmp_path / "feed.toml"
    path.write_text(DESCRIPTION)
    return load_description(path)


def stream(n=400, seed=1):
    events = order_stream(seed, n)
    events = events[(events["price"] >= 0) & (events["qty"] >= 0)]
    books = np.isin(events["kind"], [EventKind.ADD, EventKind.CANCEL, EventKind.TRADE])
    events = events[~books | ((events["price"] > 0) & (events["side"] <= 1))]
    events["account"] = np.clip(events["account"], -1, 4)
    events["contra_account"] = np.clip(events["contra_account"], -1, 4)
    events["symbol"] = np.where(books[: len(events)] & (events["symbol"] < 0), 0, np.clip(events["symbol"], 0, 1))
    events["seq"] = np.arange(1, len(events) + 1)
    return events


@contextlib.contextmanager
def serving(desk):
    server = uvicorn.Server(uvicorn.Config(build(desk, TOKEN), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def kept(folder):
    reader, parts = EventReader(folder), []
    while len(part := reader.events()):
        parts.append(part)
    return np.concatenate(parts) if parts else np.zeros(0, EVENT_DTYPE)


def test_what_is_sent_is_what_is_kept(tmp_path, description):
    events = stream()
    desk = Desk(EventWriter(tmp_path / "store", 20_000), description)
    with serving(desk) as url, Client(url, TOKEN) as client:
        for part in np.array_split(events, 9):
            client.send(part)
        assert client.next_seq == len(events) + 1
        with Client(url, TOKEN) as again:
            assert again.next_seq == len(events) + 1
        client.end()
        with pytest.raises(SendError, match="has ended"):
            client.send(events[:1])
    assert kept(tmp_path / "store").tobytes() == events.tobytes()
    assert len(list((tmp_path / "store").glob("*.events"))) > 1
    source = IngestSource(tmp_path / "store", tmp_path, description, keep=False)
    assert np.concatenate([batch for batch in source.batches()]).tobytes() == events.tobytes()
    source.save(b"beside")
    assert len(list((tmp_path / "store").glob("*.events"))) == 1
    again = IngestSource(tmp_path / "store", tmp_path, description, keep=False)
    assert again.load() == b"beside"
    assert not list(again.batches())


def test_json_says_the_same_as_arrow(description):
    events = stream(60)
    rows = [dict(zip(events.dtype.names, event.item(), strict=True)) for event in events]
    assert decode(json.dumps(rows).encode(), is_json=True).tobytes() == events.tobytes()
    assert decode(encode(events), is_json=False).tobytes() == events.tobytes()
    (short,) = decode(b'[{"ts_ns":1,"seq":1,"kind":10}]', is_json=True)
    assert (short["symbol"], short["account"], short["contra_account"]) == (-1, -1, -1)


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 40)), max_size=12))
def test_repeats_and_overlaps_are_left_out(tmp_path_factory, cuts):
    """Any batches that begin where nothing is missing: each event is kept once."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "feed.toml").write_text(DESCRIPTION)
    events = stream(80, 3)
    desk = Desk(EventWriter(folder / "store"), load_description(folder / "feed.toml"))
    for first, length in [*cuts, (0, 80)]:
        first = min(first, desk.next_seq - 1)
        desk.take(encode(events[first : first + length]), is_json=False)
    assert kept(folder / "store").tobytes() == events.tobytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": 99}, "row 3, seq 3: kind 99 is none"),
        ({"symbol": 2}, "symbol 2 is none of 2 instruments"),
        ({"symbol": -1, "kind": 1}, "a ADD needs a symbol"),
        ({"side": 2}, "side 2 is neither"),
        ({"account": 5}, "account 5 is none of 5 accounts"),
        ({"contra_account": -2}, "contra_account -2 is none"),
        ({"kind": 1, "symbol": 0, "price": 0}, "price 0 ticks"),
        ({"kind": 3, "symbol": 0, "price": 5, "qty": -1}, "qty -1 lots"),
        ({"kind": 6, "symbol": 0, "price": 2**41}, "price 2199023255552 ticks"),
        ({"ts_ns": -5}, "ts_ns -5 is no time"),
        ({"seq": 9}, "row 3: seq 9 follows 2"),
    ],
)
def test_an_event_that_is_wrong_is_named_and_nothing_is_kept(tmp_path, description, change, said):
    events = stream(20)
    for name, value in change.items():
        events[name][2] = value
    desk = Desk(EventWriter(tmp_path / "store"), description)
    with pytest.raises(BatchError, match=said.replace("(", r"\(")):
        desk.take(encode(events), is_json=False)
    assert desk.next_seq == 1
    assert sum(desk.refused.values()) == 1
    assert not len(kept(tmp_path / "store"))


@pytest.mark.parametrize(
    ("body", "is_json", "said"),
    [
        (b"", False, "no Arrow IPC stream"),
        (b"{]", True, "no JSON array"),
        (b'[{"ts_ns":1.5,"seq":1,"kind":10}]', True, "no JSON array"),
        (b'[{"ts_ns":1,"seq":1}]', True, "'kind' is missing"),
        (b'[{"ts_ns":1,"seq":1,"kind":10,"colour":1}]', True, "unknown column 'colour'"),
        (b'[{"ts_ns":1,"seq":1,"kind":1000}]', True, "'kind': a value is out of the range"),
        (b'[{"ts_ns":1,"seq":1,"kind":10},{"ts_ns":1,"seq":2}]', True, "row 2: kind is missing"),
    ],
)
def test_a_body_that_is_no_batch(body, is_json, said):
    with pytest.raises(BatchError, match=said):
        decode(body, is_json=is_json)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 4000), byte=st.integers(0, 255), cut=st.integers(0, 4000))
def test_a_damaged_batch_is_refused_or_is_a_batch(tmp_path_factory, at, byte, cut):
    """Whatever bytes come: a batch under the contract, or a sentence."""
    folder = tmp_path_factory.getbasetemp()
    (folder / "feed.toml").write_text(DESCRIPTION)
    description = load_description(folder / "feed.toml")
    body = bytearray(encode(stream(20)))
    body[at % len(body)] = byte
    try:
        events = admit(decode(bytes(body[: max(1, len(body) - cut % 50)]), is_json=False), 1, description)
    except BatchError as error:
        assert str(error)  # noqa: PT017 — either end is right
    else:
        assert events.dtype == EVENT_DTYPE
        assert set(events["kind"].tolist()) <= {int(kind) for kind in EventKind}


def test_who_has_no_token_or_another_type_is_turned_away(tmp_path, description):
    desk = Desk(EventWriter(tmp_path / "store"), description)
    body, right = encode(stream(5)), {"Authorization": f"Bearer {TOKEN}"}
    with serving(desk) as url:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            for path in ("/v1/events", "/v1/end"):
                answer = httpx.post(url + path, content=body, headers={**headers, "Content-Type": ARROW})
                assert (answer.status_code, "next_seq" in answer.json()) == (401, False)
            assert httpx.get(url + "/v1/next", headers=headers).status_code == 401
        assert httpx.post(url + "/v1/events", content=body, headers={**right, "Content-Type": "text/csv"}).status_code == 415
        assert (
            httpx.post(url + "/v1/events", content=b"x" * (65 << 20), headers={**right, "Content-Type": JSON}).status_code
            == 413
        )
        late = stream(30)[10:]
        answer = httpx.post(url + "/v1/events", content=encode(late), headers={**right, "Content-Type": ARROW})
        assert (answer.status_code, answer.json()["next_seq"]) == (409, 1)
        assert httpx.get(url + "/v1/next", headers=right).json()["refused"] == {"numbers do not follow": 1}
    assert not desk.ended


def test_a_killed_writer_is_followed_where_it_stood(tmp_path, description):
    events = stream(200)
    first = EventWriter(tmp_path / "store")
    first.append(events[:100], 100)
    with pytest.raises(SpoolError, match="another process"):
        EventWriter(tmp_path / "store")
    first.close()
    (path,) = (tmp_path / "store").glob("*.events")
    with path.open("ab") as file:
        file.write(events[100:103].tobytes()[:-7])  # two whole events and a torn one
    second = EventWriter(tmp_path / "store")
    assert (second.next_seq, second.next_sent) == (103, 103)
    second.append(events[102:], 98)
    assert kept(tmp_path / "store").tobytes() == events.tobytes()


def test_silence_adds_clocks_that_do_not_count_as_sent(tmp_path, description, monkeypatch):
    writer = EventWriter(tmp_path / "store")
    desk = Desk(writer, description)
    desk.tick()  # nothing is known of the venue's time yet
    assert writer.next_seq == 1
    now = [1000.0]
    monkeypatch.setattr("monitor.ingest.desk.time.monotonic", lambda: now[0])
    monkeypatch.setattr("monitor.ingest.desk.time.time_ns", lambda: int(now[0] * 1e9) + 7_000_000_000)
    events = stream(10)
    events["ts_ns"] = 500_000_000_000 + np.arange(len(events))  # the venue's clock is far from ours
    desk.take(encode(events[:5]), is_json=False)
    for _ in range(4):
        now[0] += 1.01
        desk.tick()
    desk.take(encode(events), is_json=False)
    rows = kept(tmp_path / "store")
    clocks = rows[rows["code"] == ADDED][-4:]
    assert clocks["kind"].tolist() == [EventKind.CLOCK] * 4
    assert clocks["ts_ns"].tolist() == sorted(clocks["ts_ns"].tolist())
    assert 503_900_000_000 < clocks["ts_ns"][-1] < 504_200_000_000
    assert rows["seq"].tolist() == list(range(1, len(rows) + 1))
    writer.close()
    again = EventWriter(tmp_path / "store")
    assert again.next_sent == len(events) + 1
    assert again.next_seq == len(rows) + 1


def test_a_full_disk_refuses_and_keeps_nothing_of_the_batch(tmp_path, description):
    events = stream(300)
    desk = Desk(EventWriter(tmp_path / "store"), description)
    desk.take(encode(events[:50]), is_json=False)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * 80, before[1]))
    try:
        with serving(desk) as url:
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": ARROW}
            answer = httpx.post(url + "/v1/events", content=encode(events), headers=headers)
            assert (answer.status_code, answer.json()["next_seq"]) == (507, 51)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(kept(tmp_path / "store")) == 50
    desk.take(encode(events), is_json=False)
    assert kept(tmp_path / "store").tobytes() == events.tobytes()


@pytest.mark.redis_server
def test_a_redis_stream_is_read_answered_and_trimmed(tmp_path, description):
    events = stream(200)
    (tmp_path / "state").mkdir()
    with start_server(tmp_path / "state", None) as server:
        redis = connect(server.url)
        for part in np.array_split(events[:150], 3):
            redis.xadd("venue", {"events": encode(part)})
        redis.xadd("venue", {"events": b"nonsense"})
        redis.xadd("venue", {"colour": "red"})
        desk = Desk(EventWriter(tmp_path / "store"), description)
        reading = threading.Thread(target=read_stream, args=(redis, "venue", desk), daemon=True)
        reading.start()
        redis.xadd("venue", {"events": encode(events[100:])})
        redis.xadd("venue", {"end": "1"})
        reading.join(20)
        assert not reading.is_alive()
        answers = [{key.decode(): value for key, value in fields.items()} for _, fields in redis.xrange("venue:answers")]
        assert redis.xlen("venue") == 0
    assert kept(tmp_path / "store").tobytes() == events.tobytes()
    assert [int(answer["taken"]) for answer in answers if "taken" in answer] == [50, 50, 50, len(events) - 150]
    assert [b"Arrow" in answer["error"] or b"neither" in answer["error"] for answer in answers if "error" in answer] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("accounts = 5", "accounts = 0"), "accounts is 0"),
        (('"trades"]', '"trades", "colour"]'), "colour"),
        (("ETH-PERP", "BTC-PERP"), "stands twice"),
        ((f"contract = {SCHEMA_VERSION}", "contract = 1"), "contract 1"),
        (('tick_size = "0.5"', 'tick_size = "-1"'), "tick"),
        (('books = "small"', "books = small"), "no TOML"),
        (("lateness_ms", "latness_ms"), "latness_ms"),
    ],
)
def test_a_description_that_makes_no_sense_is_said(tmp_path, change, said):
    path = tmp_path / "feed.toml"
    path.write_text(DESCRIPTION.replace(*change))
    with pytest.raises(DescriptionError, match=said):
        load_description(path)
    with pytest.raises(DescriptionError, match="No such file"):
        load_description(tmp_path / "other.toml")


def test_the_example_of_the_documentation_is_a_description(tmp_path):
    from tests.house.test_docs import ROOT

    text = (ROOT / "docs" / "ingest.md").read_text()
    path = tmp_path / "feed.toml"
    path.write_text(text.partition("```toml\n")[2].partition("```")[0])
    assert load_description(path).accounts == 5000
