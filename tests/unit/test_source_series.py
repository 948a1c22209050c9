"""Series as a source: columns, units, zones, windows, and what is wrong in a table."""

from __future__ import annotations

import gzip

import polars as pl
import pytest

from engine.contract import EventKind, Reference, Side
from monitor.metrics.catalogue import METRIC_NAMES
from monitor.metrics.windows import WindowEngine
from monitor.sources import SourceError
from monitor.sources.detect import open_source, resolve_format

HOUR_NS = 3_600_000_000_000


def written(folder, name, text):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def rows_of(source):
    """The metric rows by (window end in seconds, symbol)."""
    engine = WindowEngine(source.instruments, source.capabilities, source.capacity, 0, source.step_ns, source.lateness_ns)
    found = {}
    for block in [*(engine.push(batch) for batch in source.batches()), engine.finish()]:
        if block is not None:
            for w, end_ns in enumerate(block.window_end_ns.tolist()):
                for s, instrument in enumerate(source.instruments):
                    row = dict(zip(METRIC_NAMES, block.values[w, s].tolist(), strict=True))
                    found[end_ns // 10**9, instrument.symbol] = row
    return found


OWN = """time,symbol,price,mark,index,open_interest,funding,long_liquidations,short_liquidations
2024-01-01 00:00:00,BTC,40000,40010,40020,8000000,0.0001,1200,0
2024-01-01 01:00:00,BTC,40400,40410,40390,8800000,0.0002,0,2500.5
2024-01-01 03:00:00,BTC,40000,40010,40020,8800000,-0.0002,,
"""
START_S = 1_704_067_200


def test_a_table_with_its_own_names_needs_no_mapping(tmp_path):
    path = written(tmp_path, "series.csv.gz", OWN)
    assert resolve_format([path], "auto") == "series"
    source = open_source([path])
    assert source.step_ns == HOUR_NS
    rows = rows_of(source)
    first, second, third, last = (rows[START_S + hours * 3600, "BTC"] for hours in (1, 2, 3, 4))
    assert first["last_usd"] == 40_000
    assert first["mark_usd"] == 40_010
    assert first["index_usd"] == 40_020
    assert first["open_interest_usd"] == pytest.approx(8_000_000 / 40_000 * 40_010, rel=1e-6)
    assert first["funding_rate_bps"] == pytest.approx(1.0)
    assert first["liquidated_long_usd"] == pytest.approx(1_200, abs=0.1)
    assert first["liquidations"] == 1
    assert second["liquidated_short_usd"] == pytest.approx(2_500.5, abs=0.1)
    assert second["return_bps"] == pytest.approx(99.503, abs=0.01)
    assert third["mark_usd"] == 40_410  # the row of this hour is missing: the value stands, and ages
    assert third["mark_age_ms"] == pytest.approx(3_600_000, abs=1)
    assert last["gaps"] == 1
    assert last["liquidations"] == 0
    assert last["trades"] != last["trades"]  # a series does not tell them


def test_units_zones_and_stamps(tmp_path):
    table = written(
        tmp_path,
        "export.csv",
        "when,pair,where,close,rate,oi\n"
        "2024-01-01T03:00:00,BTC/USD,a,40000,0.01,10\n2024-01-01T11:00:00,BTC/USD,a,40000,0.02,20\n"
        "2024-01-01T03:00:00,BTC/USD,b,40000,0.03,30\n",
    )
    mapping = written(
        tmp_path,
        "export.toml",
        '[series]\ntime = "when"\nzone = "+03:00"\nstamp = "end"\nsymbol = "pair"\nvenue = "where"\n[series.columns]\n'
        'price = "close"\nfunding = { column = "rate", unit = "percent" }\nopen_interest = { column = "oi", unit = "base" }\n',
    )
    source = open_source([table, mapping])
    assert source.step_ns == 8 * HOUR_NS
    rows = rows_of(source)
    assert rows[START_S, "a:BTC/USD"]["funding_rate_bps"] == pytest.approx(1.0)
    assert rows[START_S + 8 * 3600, "a:BTC/USD"]["open_interest_usd"] == pytest.approx(800_000)
    assert rows[START_S, "b:BTC/USD"]["funding_rate_bps"] == pytest.approx(3.0)


def test_rows_off_the_grid_are_shifted_onto_it_and_said(tmp_path):
    times = ["00:00:46", "00:01:47", "00:02:46", "00:03:46", "00:04:45", "00:05:46"]
    path = written(tmp_path, "a.csv", "time,price\n" + "".join(f"2024-01-01 {time},5\n" for time in times))
    source = open_source([path])
    ends = [end for end, _ in rows_of(source)]
    assert ends == [START_S + 60 * k for k in range(1, 7)]
    assert any("46 s after a window's start" in note for note in source.notes)
    assert not source.rejects


def test_a_series_without_a_price_counts_amounts_as_they_are(tmp_path):
    table = written(
        tmp_path,
        "a.csv",
        "time,symbol,long_liquidations,long_liquidation_count\n1704067200,X,1500,3\n1704067260,X,0,0\n",
    )
    source = open_source([table])
    rows = rows_of(source)
    assert rows[START_S + 60, "X"]["liquidated_long_usd"] == 1_500
    assert rows[START_S + 60, "X"]["liquidations"] == 3
    assert rows[START_S + 60, "X"]["last_usd"] != rows[START_S + 60, "X"]["last_usd"]


def test_parquet_with_its_own_types(tmp_path):
    path = tmp_path / "a.parquet"
    times = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 3), "1d", eager=True)
    pl.DataFrame({"time": times, "price": [1.0, 2.0, 3.0]}).write_parquet(path)
    source = open_source([path])
    assert source.step_ns == 24 * HOUR_NS
    assert [row["last_usd"] for row in rows_of(source).values()] == [1, 2, 3]


def test_what_is_wrong_in_a_row_is_counted_with_its_place(tmp_path):
    path = written(
        tmp_path,
        "a.csv",
        "time,symbol,price\n2024-01-01,A,1\nyesterday,A,1\n2024-01-02,A,nan\n2024-01-02,<script>,1\n2024-01-03,A,-1\n"
        "2024-01-03,A,5\n2024-01-02,B,1\n2024-01-01,B,1\n2024-01-02,B,3\n",
    )
    source = open_source([path])
    assert sum(len(batch) for batch in source.batches()) == 4
    assert source.rejects == {
        "time that cannot be read": 1,
        "price that is no such number": 2,
        "symbol that cannot be used": 1,
        "second row of a symbol and window": 1,
        "symbol whose rows were not in order; they were sorted": 1,
    }
    assert any("a.csv, row 2" in note for note in source.notes)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("[series]\n", "give symbol"),
        ('[series]\nname = "A"\n', "names no value"),
        ('[series]\nname = "A"\n[series.columns]\nvolume = "v"\n', "'volume' is no value"),
        ('[series]\nname = "A"\n[series.columns]\nprice = { column = "p", unit = "usd" }\n', "price has the unit"),
        ('[series]\nname = "A"\nzone = "Mars/North"\n[series.columns]\nprice = "p"\n', "zone 'Mars/North'"),
        ('[series]\nname = "A"\nstep = "1 hour"\n[series.columns]\nprice = "p"\n', "step"),
        ('[series]\nname = "A"\ncolour = 1\n[series.columns]\nprice = "p"\n', "colour"),
        ('[series]\nname = "A"\n[series.columns]\nprice = "close"\n', "no column 'close'"),
        ("[series", "no mapping"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(tmp_path, mapping, said):
    table = written(tmp_path, "a.csv", "time,p\n2024-01-01,1\n2024-01-02,1\n")
    with pytest.raises(SourceError, match=said):
        open_source([table, written(tmp_path, "a.toml", mapping)])


def test_one_row_has_no_step(tmp_path):
    with pytest.raises(SourceError, match="step cannot be told"):
        open_source([written(tmp_path, "a.csv", "time,price\n2024-01-01,1\n")])


def test_events_are_forced_trades_and_references(tmp_path):
    source = open_source([written(tmp_path, "a.csv", OWN)])
    events = next(source.batches())
    forced = events[events["kind"] == EventKind.TRADE]
    assert forced["side"].tolist() == [Side.SELL, Side.BUY]
    codes = set(events["code"][events["kind"] == EventKind.REFERENCE].tolist())
    assert codes == {Reference.LAST, Reference.MARK, Reference.INDEX, Reference.FUNDING_RATE, Reference.OPEN_INTEREST}


def test_prices_and_times_beyond_all_bounds_are_counted_and_harm_nothing(tmp_path):
    rows = "2024-01-01,5,5\n2024-01-02,1e300,6\n1e300,7,7\n2024-01-03,6,6\n99999999999999999999,1,1\n"
    source = open_source([written(tmp_path, "a.csv", "time,price,mark\n" + rows)])
    found = rows_of(source)
    assert [row["last_usd"] for row in found.values()] == [5, 5, 6]
    assert [row["mark_usd"] for row in found.values()] == [5, 6, 6]
    assert source.rejects == {"price out of range": 1, "time that cannot be read": 2}
