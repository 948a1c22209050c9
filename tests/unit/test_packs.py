"""Every rule pack: what it says about prices, and that a venue under it works off a crash with money and lots conserved."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest

from engine.book import MEDIUM
from engine.contract import MICRO, EventFlag, EventKind, OpKind, Side, TimeInForce
from engine.instruments import PackError, load_pack
from engine.risk_rules import digest_of
from engine.venue import Venue
from tests.venue_kit import SECOND, T0, check_books, index, op, replayed

NAMES = ("core", "binance", "bybit", "okx", "hyperliquid", "dydx", "bitmex", "deribit-pm")
LONG, SHORT, MAKER, FUND = range(4)


def test_the_folder_has_these_packs():
    found = {path.name.removesuffix(".toml") for path in (resources.files("engine") / "packs").iterdir()}
    assert found == set(NAMES)


def test_ladders_and_fees_have_digests_of_their_own():
    packs = [load_pack(name) for name in NAMES]
    assert len({digest_of(pack.fees) for pack in packs}) == len(NAMES)
    assert len({pack.ladders[0].ladder().digest for pack in packs}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_venue_under_the_pack_works_off_a_crash(name):
    pack = load_pack(name)
    venue = Venue(pack, ("BTC-PERP", "ETH-PERP"), 3, MEDIUM)
    tick = pack.instrument("BTC-PERP").tick
    unit = venue.instruments[0].notional_micro
    start = round(60_000 / tick)
    lots = 1_000
    worth = lots * start * unit // MICRO
    wallet = round(1.3 * worth / pack.max_leverage(venue.instruments[0]))
    told = [venue.apply(index(start))]
    for account, usd in ((LONG, wallet), (SHORT, 10**8), (MAKER, 10**8), (FUND, 10**6)):
        told.append(venue.apply(op(OpKind.TRANSFER, account=account, qty=usd * MICRO)))
    told.append(venue.apply(op(OpKind.NEW, account=SHORT, order_id=1, side=Side.SELL, price=start, qty=lots)))
    told.append(venue.apply(op(OpKind.NEW, account=LONG, order_id=2, price=start, qty=lots, tif=TimeInForce.IOC)))
    assert venue.positions[LONG, 0] == lots
    for second in range(1, 400):
        price = start - start * min(second, 80) // 800
        ops = [
            op(OpKind.CANCEL_ALL, account=MAKER),
            op(OpKind.NEW, account=MAKER, order_id=2 * second + 1, price=price - 2, qty=400),
            op(OpKind.NEW, account=MAKER, order_id=2 * second + 2, side=Side.SELL, price=price + 2, qty=400),
            index(price),
            op(OpKind.CLOCK, symbol=-1),
        ]
        for each in ops:
            each["ts_ns"] = T0 + second * SECOND
        told.append(venue.apply(np.concatenate(ops)))
    events = np.concatenate(told)
    check_books(venue, int(events["qty"][events["kind"] == EventKind.TRANSFER].sum()))
    money, held = replayed(events, 5, [instrument.notional_micro for instrument in venue.instruments])
    assert (money == venue.wallets.cash).all()
    assert np.array_equal(held, venue.wallets.held)
    assert venue.positions[LONG, 0] < lots
    assert venue.clearing.equity[LONG] >= 0
    assert (events["flags"] & EventFlag.LIQUIDATION).any()


@pytest.mark.parametrize(
    ("line", "instead", "says"),
    [
        ('margin = "mark"', 'margin = "mid"', r"\$.prices.margin"),
        ('index = "binance-2025"', 'index = "nowhere"', "prices.index 'nowhere' is none of"),
        ("stale_s = 60", "stale_s = 0", r"\$.prices.stale_s"),
        ('initial_rounding = "up"', 'initial_rounding = "sideways"', r"\$.margin.initial_rounding"),
        ("remind_ppm = 1_500_000", "remind_ppm = 1_100_000", "remind_ppm >= reduce_only_ppm"),
        ("tiers = [[0, 500, 200]", "tiers = [[5, 500, 200]", "fees.tiers must begin with volume 0"),
        (
            "[15_000_000, 400, 160]",
            "[15_000_000, 400, -500]",
            "fees.tiers: tier 2 pays makers 500 ppm, more than the taker's 400",
        ),
        ("[100_000_000, 350, 120]", "[100, 350, 120]", "fees.tiers: tier 3 begins at volume 100"),
        ('path = "stepwise"', 'path = "hope"', r"\$.liquidation.path"),
        ("resume_ppm = 200_000", "resume_ppm = 400_000", "fund.resume_ppm is 400000"),
        ('ladder = "major"', 'ladder = "minor"', "BTC-PERP: ladder 'minor' is none of"),
        ('kind = "major"', 'kind = "odd"', "BTC-PERP: kind 'odd' is none of"),
        ("[50_000, 100, 5_000]", "[50_000, 100, 3_000]", "ladder 'major', tier 2: a rate falls"),
        ("[50_000, 100, 5_000]", "[0, 100, 5_000]", "ladder 'major', tier 2: floor is 0"),
        ("[0, 125, 4_000]", "[0, 5000, 4_000]", r"\$.ladders\[0\].tiers"),
        ('name = "mid"', 'name = "major"', "two ladders share a name"),
    ],
)
def test_a_pack_that_cannot_be_used_is_refused_by_key(tmp_path, monkeypatch, line, instead, says):
    text = (resources.files("engine") / "packs" / "core.toml").read_text()
    assert line in text
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "wrong.toml").write_text(text.replace(line, instead, 1))
    monkeypatch.setattr("engine.instruments.resources.files", lambda _: tmp_path)
    with pytest.raises(PackError, match=f"rule pack wrong: .*{says}"):
        load_pack("wrong")
