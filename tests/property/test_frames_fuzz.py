"""Whatever stands in a recording of frames or orders: an error that says so, or events, and every line is used or counted."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract import EventKind
from monitor.sources import SourceError
from monitor.sources.files import find_members
from monitor.sources.orders.databento import HEADER
from monitor.sources.orders.source import OrdersSource
from monitor.sources.wire.source import FramesSource
from tests.unit.test_orders import MBO
from tests.unit.test_wire import FRAMES, T

LINES = [f"{T * 1_000_000} {json.dumps(frame)}" for venue in sorted(FRAMES) for frame in FRAMES[venue]]

odd = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from([[], {}, "1e400", -1])
)


def places(value, way=()):
    yield way
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*way, key))
    elif isinstance(value, list):
        for n, part in enumerate(value):
            yield from places(part, (*way, n))


def changed(value, way, what, *, gone):
    if not way:
        return what
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(way) == 1 and gone:
        del copy[way[0]]
    else:
        copy[way[0]] = changed(value[way[0]], way[1:], what, gone=gone)
    return copy


@st.composite
def recordings(draw):
    venue = draw(st.sampled_from(sorted(FRAMES)))
    lines = []
    for frame in FRAMES[venue] * 2:
        for _ in range(draw(st.integers(0, 2))):
            way = draw(st.sampled_from(list(places(frame))))
            try:
                frame = changed(frame, way, draw(odd), gone=draw(st.booleans()))
            except (TypeError, KeyError):
                break
        lines.append(f"{T * 1_000_000} {json.dumps(frame)}")
    lines += draw(st.lists(st.sampled_from(["", "x", "{}", "[1,2]", f"{T} {{", "\x00\xff"]), max_size=3))
    text = "\n".join([LINES[0], *draw(st.permutations(lines))])
    cut = draw(st.integers(0, 40))
    return text.encode("latin-1", "replace")[: -cut or None]


def sound(events, symbols):
    assert (np.diff(events["seq"]) == 1).all()
    assert ((events["symbol"] >= 0) & (events["symbol"] < symbols)).all()
    assert (events["ts_ns"] > 0).all()
    flow = events[np.isin(events["kind"], (EventKind.ADD, EventKind.CANCEL, EventKind.TRADE, EventKind.LEVEL))]
    assert (flow["price"] > 0).all()
    assert (flow["qty"] >= 0).all()


@settings(deadline=None, max_examples=300)
@given(recordings())
def test_any_frames_are_events_or_counted(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.txt"
        path.write_bytes(content)
        try:
            source = FramesSource(find_members([path]))
            events = np.concatenate(list(source.batches()))
        except SourceError:
            return  # said, and the run would end with it
        sound(events, len(source.instruments))
        lines = sum(bool(line.strip()) for line in content.split(b"\n"))
        assert source.frames_used + sum(source.rejects.values()) >= lines


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(MBO), st.integers(0, 10), st.text("0123456789ABCFMRTN-x", max_size=6)), max_size=40))
def test_any_records_are_events_or_counted(rows):
    lines = []
    for line, column, text in rows:
        cells = line.split(",")
        cells[column] = text
        lines.append(",".join(cells))
    header = HEADER.decode() + ",flags,sequence,channel_id,instrument_id"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_text("\n".join([header, MBO[1], *lines]))
        try:
            source = OrdersSource(find_members([path]))
            events = np.concatenate(list(source.batches()))
        except SourceError:
            return  # said, and the run would end with it
        sound(events, len(source.instruments))
        assert source.messages + source.rejects["row that is no record"] <= len(lines) + 1
