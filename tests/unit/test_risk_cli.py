"""`perpwatch risk`: tables for people, JSON for scripts, and errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import main
from tests.shared_data import shared_data

ROOT = Path(__file__).resolve().parents[2]


def call(*arguments):
    return CliRunner().invoke(main, ["risk", *arguments])


def test_a_ladder_of_the_pack_as_json():
    said = json.loads(call("ladder", "BTC-PERP", "--notional", "1000000", "--json").output)
    assert said["maintenance_margin"] == 5_550
    assert [tier["deduction"] for tier in said["tiers"]] == [0, 50, 950, 11_450, 131_450, 481_450]
    assert len(said["digest"]) == 32


def test_a_ladder_of_a_file_as_a_table():
    file = shared_data("4_exchange_info", "binance_leverage_tiers.2024-10-24.json.gz")
    done = call("ladder", "BTC/USDT:USDT", "--file", str(file))
    assert done.exit_code == 0
    assert "11,450" in done.output


def test_liquidation_prices_in_the_order_in_which_they_are_met():
    said = json.loads(
        call(
            "liquidation-price", "BTC-PERP", "--wallet", "1000", "--size", "1", "--entry", "64000", "--side", "long", "--json"
        ).output
    )
    prices = [row["price"] for row in said["prices"]]
    assert prices == sorted(prices, reverse=True)
    assert said["prices"][-1] == {"at": "bankruptcy", "price": 63_000.0}


def test_what_drives_margin_and_triggers():
    said = json.loads(call("references", "--pack", "dydx", "--json").output)
    assert (said["margin"], said["triggers"], said["last_drives"]) == ("index", "index", [])
    assert "triggers of conditional orders" in call("references", "--pack", "okx").output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ladder", "X-PERP"), "pack core has no instrument 'X-PERP'"),
        (("ladder", "BTC-PERP", "--pack", "nowhere"), "there is no rule pack 'nowhere'"),
        (("ladder", "BTC-PERP", "--notional", "-1"), "notional is -1, it must not be negative"),
        (("ladder", "A", "--file", "nowhere.json"), "nowhere.json: cannot be read"),
        (
            ("liquidation-price", "BTC-PERP", "--wallet", "nan", "--size", "1", "--entry", "1", "--side", "long"),
            "must be a finite",
        ),
        (("liquidation-price", "BTC-PERP", "--wallet", "1", "--size", "0", "--entry", "1", "--side", "long"), "size is 0"),
    ],
)
def test_what_is_wrong_is_said(arguments, says):
    done = call(*arguments)
    assert done.exit_code == 2
    assert says in done.output


HELD = ("--holdings", str(ROOT / "docs" / "holdings.json"))


def said(*arguments):
    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_band_says_notional_depth_and_rules():
    found = said("band", "BTC-PERP", *HELD, "--width-bps", "100")
    assert found["mark"] == 64_000
    assert sum(row["liquidate"] for row in found["buckets"] if row["side"] == "long") == pytest.approx(1_266_830, rel=1e-4)
    assert [row["account"] for row in found["positions"]][:2] == ["ada", "bea"]
    assert len(found["rules"]["ladders"]["major"]["digest"]) == len(found["rules"]["fees"]["digest"]) == 32


def test_contributions_of_a_stress_add_up():
    found = said("stress", *HELD, "--account", "bea")
    assert sum(row["adds"] for row in found["contributions"]) == pytest.approx(found["portfolios"][0]["loss"])
    assert {row["what"] for row in found["contributions"]} == {"BTC-PERP", "ETH-PERP"}


def test_sizes_isolated_and_cross():
    alone = said("size", "BTC-PERP", *HELD, "--side", "short", "--wallet", "5000", "--move", "0.05")
    assert (alone["mode"], alone["at"]["breaks"]) == ("isolated", None)
    assert alone["beyond"]["breaks"] == alone["bound"] != ""
    cross = said("size", "ETH-PERP", *HELD, "--side", "long", "--account", "jon", "--move", "0.05")
    assert cross["mode"] == "cross"
    assert cross["size"] > 120, "closing the short is no risk"


def test_a_cascade_conserves_and_says_what_carried_it():
    found = said("cascade", *HELD, "--shock", "BTC-PERP=-0.05", "--shock", "USDE=-0.1")
    assert (found["residual_micro"], found["residual_lots"]) == (0, 0)
    assert found["amplification"] > 1
    assert {edge["kind"] for edge in found["edges"]} >= {"shock", "impact", "correlation", "pressure"}
    assert found["prices"]["BTC-PERP"]["end"] < found["prices"]["BTC-PERP"]["shock"]
    assert 0 <= found["settled_at_once"]["winners_share"] <= 1
    everything = said("cascade", *HELD)["prices"]
    assert [round(row["shock"], 6) for row in everything.values()] == [-0.12, -0.12, -0.18]
    quiet = said("cascade", *HELD, "--shock", "BTC-PERP=-0.0001")
    assert quiet["amplification"] == 1


def test_the_built_in_venue_is_written_read_and_bridged(tmp_path):
    done = call("holdings", "--seed", "5", "--seconds", "5")
    assert done.exit_code == 0
    file = tmp_path / "held.json"
    file.write_text(done.stdout)
    assert len(said("references", "--holdings", str(file))["now"]) == 8
    found = said("bridge", "--seed", "5", "--after", "3", "--seconds", "3", "--account", "7")
    assert found["residuals"] == 0
    assert found["accounts"][0]["account"] == "7"
    toxic = said("toxicity", "--seed", "5", "--after", "3", "--seconds", "12", "--horizon", "2")
    for row in toxic["makers"]:
        assert row["realised"] == pytest.approx(row["effective"] - row["impact"])


def test_formulas_are_listed_explained_and_called():
    assert "margin.liquidation_price.okx" in said("formula")["formulas"]
    assert "is_long: bool" in call("formula", "margin.liquidation_price.okx").output
    assert said("formula", "margin.ladder.maintenance_margin", "ladder=BTC-PERP", "notional=1000000")["result"] == 5_550


def test_a_pack_of_ones_own(tmp_path):
    pack = tmp_path / "own.toml"
    pack.write_text((ROOT / "engine" / "packs" / "core.toml").read_text().replace("[0, 125, 4_000]", "[0, 125, 3_000]"))
    assert said("ladder", "BTC-PERP", "--pack", str(pack))["tiers"][0]["maintenance_rate"] == 0.003
    pack.write_text("name = 3")
    refused = call("ladder", "BTC-PERP", "--pack", str(pack))
    assert refused.exit_code == 2
    assert "$.name" in refused.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("band", "X", *HELD), "there is no market 'X'"),
        (("band", "BTC-PERP", *HELD, "--width-bps", "1000", "--buckets", "20"), "must be from 1 to 10000"),
        (("band", "BTC-PERP", "--holdings", "/nowhere"), "cannot be read"),
        (("stress", *HELD, "--account", "zoe"), "no account or pool 'zoe'"),
        (("size", "BTC-PERP", *HELD, "--side", "long", "--move", "0.1"), "either --wallet"),
        (("size", "BTC-PERP", *HELD, "--side", "long", "--move", "nan", "--wallet", "1"), "move is 'nan'"),
        (("size", "BTC-PERP", *HELD, "--side", "long", "--move", "-1", "--wallet", "1"), "move is -1"),
        (("cascade", *HELD, "--shock", "BTC-PERP"), "must be <market or asset>=<move>"),
        (("cascade", *HELD, "--shock", "BTC-PERP=-1"), "must be above -1"),
        (("cascade", *HELD, "--shock", "BTC-PERP=nan"), "must be above -1"),
        (("cascade", *HELD, "--shock", "DOGE=-0.1"), "neither a market nor collateral"),
        (("cascade", "--pack", "okx", "--shock", "BTC-PERP=-0.1"), "--pack needs --holdings"),
        (("formula", "nothing"), "there is no formula 'nothing'"),
        (("formula", "fees.fee_bite", "extra_cost=x"), "also needs"),
        (("references", "--pack", "none"), "there is no rule pack 'none'"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments, words):
    done = call(*arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())
