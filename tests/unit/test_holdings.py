"""Files of holdings: what is wrong in them is said, with the place."""

from __future__ import annotations

import json

import pytest

from engine.holdings import HoldingsError, read_holdings
from engine.instruments import load_pack

CORE = load_pack("core")


def a_file(**changes):
    market = {"symbol": "BTC-PERP", "mark": 64_000, "bids": [[63_995, 1]], "asks": [[64_005, 1]]}
    position = {"symbol": "BTC-PERP", "size": "0.5", "entry": 60_000}
    file = {
        "markets": [market],
        "collateral": [{"asset": "USDE", "price": 1, "haircut": 0.1}],
        "accounts": [{"account": "a", "cash": 1_000, "collateral": {"USDE": 5}, "positions": [position]}],
        "fund": 100,
    }
    for path, value in changes.items():
        *way, last = path.split("__")
        place = file
        for step in way:
            place = place[int(step) if step.isdigit() else step]
        place[int(last) if last.isdigit() else last] = value
    return json.dumps(file).encode()


def test_a_file_is_read_into_integers():
    found = read_holdings(a_file(), CORE)
    assert found.markets[0].mark == 12_800_000_000
    assert found.markets[0].bids == ((12_799, 1_000),)
    assert found.collateral[0][1:] == (1_000_000, 100_000, -1)
    account = found.accounts[0]
    assert (account.cash, account.collateral) == (10**9, ((0, 5_000_000),))
    assert account.positions[0][1:] == (500, 30_000_000_000, None)
    assert found.fund == 10**8


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fond": 1}, "unknown field `fond`"),
        ({"markets__0__symbol": "DOGS"}, "market 'DOGS' is no instrument of pack core"),
        ({"markets__0__mark": "NaN"}, "market 'BTC-PERP': mark is 'NaN', it must be a finite number"),
        ({"markets__0__mark": 0}, "mark is 0, it must be above zero"),
        ({"markets__0__mark": 1e18}, "beyond what a price can be"),
        ({"markets__0__bids__0": [64_010, 1]}, "best bid is not below the best ask"),
        ({"markets__0__bids": [[63_000, 1], [63_100, 1]]}, "bids level 2 is better than the one before it"),
        ({"markets__0__asks": [[64_005, -1]]}, "asks level 1 is 64005 x -1"),
        ({"accounts__0__positions__0__symbol": "ETH-PERP"}, "account 'a': position 'ETH-PERP' is in no market of the file"),
        ({"accounts__0__positions__0__size": "0.0005"}, "is no multiple of the lot, 0.001"),
        ({"accounts__0__positions__0__entry": -5}, "entry is -5, it must be above zero"),
        ({"accounts__0__positions__0__size": 10**9}, "worth more than can be margined"),
        ({"accounts__0__cash": "inf"}, "cash is 'inf', it must be a finite number"),
        ({"accounts__0__cash": 10**12}, "account 'a': cash is 1000000000000, it must be from"),
        ({"accounts__0__collateral": {"LUNA": 1}}, "'LUNA' is no collateral of the file"),
        ({"accounts__0__collateral": {"USDE": -1}}, "'USDE' is -1, it must be from 0"),
        ({"collateral__0__haircut": 2}, "haircut is 2, it must be from 0 to 1"),
        ({"collateral__0__follows": "X"}, "follows 'X', which is no market of the file"),
    ],
)
def test_what_is_wrong_is_said(changes, said):
    with pytest.raises(HoldingsError, match=r".") as error:
        read_holdings(a_file(**changes), CORE)
    assert said in str(error.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b'{"markets": 3}'])
def test_what_is_no_file_of_holdings_is_said(data):
    with pytest.raises(HoldingsError, match="this is no file of holdings"):
        read_holdings(data, CORE)


def test_twice_the_same_is_refused():
    file = json.loads(a_file())
    for kind, said in (("markets", "market 'BTC-PERP' comes twice"), ("accounts", "account 'a' comes twice")):
        double = {**file, kind: file[kind] * 2}
        with pytest.raises(HoldingsError, match=said):
            read_holdings(json.dumps(double).encode(), CORE)
