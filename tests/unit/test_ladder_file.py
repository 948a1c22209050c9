"""Files of Binance brackets: the whole real one, and everything that can be wrong with one."""

from __future__ import annotations

import gzip
import json

import pytest

from engine.margin.ladder import LadderError, ladder_table, make_ladder
from monitor.sources import SourceError
from monitor.sources.ladders import read_ladders
from tests.shared_data import shared_data

ROWS = [(0, 1_000, 50, "0.01", "0"), (1_000, 5_000, 25, "0.02", "10.0"), (5_000, 9_000, 10, "0.05", "160.0")]


def brackets(rows=ROWS):
    keys = ("notionalFloor", "notionalCap", "initialLeverage", "maintMarginRatio", "cum")
    return {"AAA/USDT:USDT": [{"info": {key: str(value) for key, value in zip(keys, row, strict=True)}} for row in rows]}


def write(folder, content):
    path = folder / "brackets.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_the_whole_real_file_holds():
    ladders = read_ladders(shared_data("4_exchange_info", "binance_leverage_tiers.2024-10-24.json.gz"))
    assert len(ladders) == 349
    assert sum(len(ladder.tiers) for ladder in ladders.values()) == 2_805
    assert len(ladder_table(list(ladders.values()))) == 349  # all of them in whole micro-units and ppm
    assert len({ladder.digest for ladder in ladders.values()}) == 349


def test_a_file_is_read_plain_or_packed(tmp_path):
    plain = read_ladders(write(tmp_path, brackets()))
    packed = read_ladders(write(tmp_path, gzip.compress(json.dumps(brackets()).encode())))
    assert plain == packed
    assert [int(tier.deduction) for tier in plain["AAA/USDT:USDT"].tiers] == [0, 10, 160]


@pytest.mark.parametrize(
    ("tier", "column", "value", "says"),
    [
        (1, 0, 1_001, r"tier 2: notionalFloor is 1001, the tier before ends at 1000"),
        (1, 1, 1_000, r"tier 2: notionalCap is 1000, it must be above notionalFloor, 1000"),
        (1, 2, 0, r"tier 2: initialLeverage is 0"),
        (1, 2, 5_000, r"tier 2: .*"),
        (1, 3, "nan", r"tier 2: maintMarginRatio is 'nan', it must be a finite number"),
        (1, 3, "0.009", r"tier 2: a rate falls"),
        (1, 4, "10.1", r"tier 2: cum is 10.1, from floors and rates it is 10"),
        (2, 4, "inf", r"tier 3: cum is 'inf'"),
        (0, 0, 5, r"tier 1: floor is 5, the first tier begins at 0"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, tier, column, value, says):
    rows = [list(row) for row in ROWS]
    rows[tier][column] = value
    with pytest.raises(SourceError, match=says):
        read_ladders(write(tmp_path, brackets(rows)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gzip.compress(b'{"A": []}' * 100, mtime=0)[:-20], "is torn"),
        (b"no json", "is no file of brackets"),
        (b'{"A": [{"info": 3}]}', "has no info"),
        (b'{"A": [{"info": {}}]}', "notionalFloor is None, it must be a number"),
        (b'{"A": []}', "has 0 tiers"),
        (b"{}", "has no symbol"),
        (b"\xff\xfe", "is no file of brackets"),
    ],
)
def test_a_file_that_is_none_says_so(tmp_path, content, says):
    with pytest.raises(SourceError, match=says):
        read_ladders(write(tmp_path, content))


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        read_ladders(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "has 0 tiers"),
        ([(0, "0.02", "0.01"), (0, "0.04", "0.02")], "tier 2: floor is 0, it must be above 0"),
        ([(0, "0.02", "0.02")], "0 < maintenance rate < initial rate <= 1"),
        ([(0, "0.02", "0")], "0 < maintenance rate"),
        ([(0, "0.0001", "0.00005")], "a leverage of 10000 is beyond 1000"),
        ([(0, "0.02", "0.01"), (10, "0.01", "0.005")], "a rate falls"),
        ([(0, float("nan"), "0.01")], "initial rate is nan"),
        ([(k, "0.02", "0.01") for k in range(17)], "has 17 tiers"),
    ],
)
def test_a_ladder_that_cannot_be_used_is_refused(rows, says):
    with pytest.raises(LadderError, match=says):
        make_ladder("x", rows)
