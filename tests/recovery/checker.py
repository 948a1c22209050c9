"""Whether a run's results are those of its journal: windows, and prices in them, by code of its own.

It reads the journal's files byte by byte as their documentation says, and the results with polars; nothing of the pipeline is
imported, so a fault in it is no fault here. From the ops alone follows which windows there must be, and what the index of each
symbol was as each one closed.
"""

from __future__ import annotations

import itertools
import json
import math
import struct
import tomllib
from pathlib import Path

import polars as pl

ENGINE = Path(__file__).resolve().parents[2] / "engine"
SECOND = 1_000_000_000
OP = struct.Struct("<8q i I 6B H")
CLOCK, REFERENCE, INDEX = 3, 4, 1
HEADER, FRAME = struct.Struct("<8sHHIQQ32sI4s"), struct.Struct("<4sQIQQ")


def ops_of(journal: Path):
    """(time, kind, code, symbol, price) of every op that counts: a segment ends where its successor begins."""
    segments = []
    for path in sorted(journal.glob("*.journal")):
        data = path.read_bytes()
        if len(data) < HEADER.size:
            continue  # its process was killed before it had written anything; the successor has another file
        magic, _, _, size, _, first, *_ = HEADER.unpack_from(data)
        assert (magic, size) == (b"PERPLOG\n", OP.size)
        segments.append((first, data))
    for (first, data), (limit, _) in itertools.zip_longest(segments, segments[1:], fillvalue=(math.inf, b"")):
        at, number = HEADER.size, first
        while at + FRAME.size <= len(data) and number < limit:
            mark, _, count, frame_first, widths = FRAME.unpack_from(data, at)
            at += FRAME.size
            if mark != b"OPS\0" or frame_first != number:
                break  # torn by a kill; whoever came next wrote a segment of its own
            words = struct.unpack_from("<20I", data, at)
            at += OP.size
            columns = []
            for j, word in enumerate(words):
                size = (0, 1, 2, 4)[widths >> 2 * j & 3]
                content = data[at : at + size * count]
                if len(content) < size * count:
                    return
                at += -(-size * count // 4) * 4
                columns.append([int.from_bytes(content[i * size : (i + 1) * size], "little") ^ word for i in range(count)])
            for row in zip(*columns, strict=True):
                if number >= limit:
                    return
                number += 1
                ts, _, _, price, *_, symbol, _, kind, _, _, _, _, code, _ = OP.unpack(struct.pack("<20I", *row))
                yield ts, kind, code, symbol, price


def check(journal: Path, out: Path) -> dict[str, int]:
    """Raises AssertionError where the results in `out` are not what the journal leads to. Returns what was compared."""
    pack = tomllib.loads((ENGINE / "packs" / "core.toml").read_text())
    tick = {each["symbol"]: float(each["tick_size"]) for each in pack["instruments"]}
    rows = pl.read_parquet(out / "metrics.parquet")
    symbols = rows["symbol"].unique(maintain_order=True).to_list()
    index, at_end, first, last = dict.fromkeys(range(len(symbols))), {}, None, None
    for ts, kind, code, symbol, price in ops_of(journal):
        window = ts // SECOND + 1
        first = window if first is None else first
        while last is not None and last < window:
            at_end[last] = dict(index)
            last += 1
        last = window
        if kind == REFERENCE and code == INDEX:
            index[symbol] = price
        if kind != CLOCK:
            busy = window
    at_end[last] = dict(index)
    expected = [window for window in range(first, last + 1) if window < last or window == busy]
    assert rows["window_index"].to_list() == [window for window in expected for _ in symbols], "windows: not each exactly once"
    assert rows["symbol"].to_list() == symbols * len(expected)
    assert rows["window_end_ns"].to_list() == [window * SECOND for window in expected for _ in symbols]
    compared = 0
    for window, symbol, value in rows.select("window_index", "symbol", "index_usd").iter_rows():
        price = at_end[window][symbols.index(symbol)]
        want = None if price is None else price / 1e6 * tick[symbol]
        assert (value is None) == (want is None), (window, symbol, value, want)
        assert value is None or math.isclose(value, want, rel_tol=1e-12), (window, symbol, value, want)
        compared += value is not None
    for name in ("anomalies.jsonl", "verdicts.jsonl"):
        ends = [json.loads(line)["window_end_ns"] for line in (out / name).read_text().splitlines()]
        assert all(end % SECOND == 0 and first <= end // SECOND <= last for end in ends), name
    records = [json.loads(line) for line in (out / "audit.jsonl").read_text().splitlines()]
    judged = [record["window_end_ns"] // SECOND for record in records if "window_end_ns" in record]
    assert judged == expected, "audit: not each window exactly once"
    return {"windows": len(expected), "prices": compared}
