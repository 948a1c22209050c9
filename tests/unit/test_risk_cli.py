"""`perpwatch risk`: tables for people, JSON for scripts, and errors in one line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from monitor.cli import main
from tests.shared_data import shared_data


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
