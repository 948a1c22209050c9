"""Instruments and the rule packs that hold them."""

from __future__ import annotations

from importlib import resources

import msgspec
import pytest

from engine.contract import Reference, SelfTrade
from engine.instruments import Instrument, PackError, load_pack
from engine.rules import MAX_ORDER_MICRO, max_notional, order_rules, throttle


def test_the_core_pack_holds_eight_perpetuals_in_whole_micro_units():
    pack = load_pack("core")
    assert len(pack.instruments) == 8
    for instrument in pack.instruments:
        assert instrument.notional_micro == pytest.approx(instrument.tick * instrument.lot * 1e6)
        assert pack.max_leverage(instrument) in (125, 50)
        assert pack.ladder(instrument).tiers[0].maintenance_rate * 2 <= pack.ladder(instrument).tiers[0].initial_rate


@pytest.mark.parametrize("symbol", ["", "A" * 33, "BTC PERP", "<b>", "BTC\n", "BTC{x}"])
def test_symbols_outside_the_pattern_are_refused(symbol):
    with pytest.raises(ValueError, match="does not match"):
        Instrument(symbol, "0.01", "1")


@pytest.mark.parametrize(
    ("tick", "lot", "says"),
    [
        ("0", "1", "positive"),
        ("-1", "1", "not negative"),
        ("nan", "1", "finite"),
        ("x", "1", "decimal"),
        ("0.0001", "0.0001", "whole number"),
        ("0.00000015", "10", "whole number"),
        ("100000", "100000", "whole number"),
    ],
)
def test_sizes_that_the_engine_cannot_count_are_refused(tick, lot, says):
    with pytest.raises(ValueError, match=says):
        Instrument("X", tick, lot)


def test_the_smallest_order_is_a_decimal_too():
    assert Instrument("X", "0.01", "1", min_notional="4.9999999").min_notional_micro == 5_000_000
    for text in ("-5", "five", "inf", "1000001"):
        with pytest.raises(ValueError, match="X: min_notional"):
            Instrument("X", "0.01", "1", min_notional=text)


CORE = (resources.files("engine") / "packs" / "core.toml").read_text()


@pytest.mark.parametrize(
    ("line", "instead", "says"),
    [
        ('self_trade = "expire_taker"', 'self_trade = "never"', r"'never' - at `\$.orders.self_trade`"),
        ('trigger_by = "mark"', 'trigger_by = "MARK"', r"\$.orders.trigger_by"),
        ("bound_ppm = 100_000", "bound_ppm = 1_000_001", r"<= 1000000 - at `\$.orders.bound_ppm`"),
        ("deltas = false", "", r"missing required field `deltas` - at `\$.orders`"),
        ("deltas = false", "deltas = false\nspeed = 1", r"unknown field `speed` - at `\$.orders`"),
        ("burst = 1000", "burst = -1", r">= 0 - at `\$.throttle.burst`"),
        ("order = 1", "order = 1001", r"throttle.order is 1001, it must not exceed throttle.burst, 1000"),
        ("ban_after = 10", "ban_after = 0", r">= 1 - at `\$.throttle.ban_after`"),
        ('min_notional = "5"', 'min_notional = "x"', r"BTC-PERP: min_notional 'x' is not a decimal number"),
        ('min_notional = "5"', "price_step = 0", r">= 1 - at `\$.instruments\[0\].price_step`"),
    ],
)
def test_a_pack_that_cannot_be_used_is_refused_by_key(tmp_path, monkeypatch, line, instead, says):
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "wrong.toml").write_text(CORE.replace(line, instead, 1))
    monkeypatch.setattr("engine.instruments.resources.files", lambda _: tmp_path)
    with pytest.raises(PackError, match=f"rule pack wrong: .*{says}"):
        load_pack("wrong")


def test_rules_in_words_become_the_engines_numbers():
    pack = load_pack("core")
    btc, link = (order_rules(pack, pack.instrument(symbol)) for symbol in ("BTC-PERP", "LINK-PERP"))
    assert (btc.min_notional, link.min_notional) == (1000, 25_000)  # 5 USD at 5000 and 200 micro-USD a lot and tick
    assert (btc.self_trade, btc.trigger_by) == (SelfTrade.EXPIRE_TAKER, Reference.MARK)
    assert (btc.bound_ppm, btc.market_bound_ppm, btc.deltas) == (100_000, 50_000, False)
    assert btc.max_notional == MAX_ORDER_MICRO // 5000
    odd = msgspec.structs.replace(pack.instrument("BTC-PERP"), min_notional="0.0076", price_step=2, lot_step=3)
    rules = order_rules(pack, odd)
    assert (rules.min_notional, rules.price_step, rules.lot_step) == (2, 2, 3)
    words = msgspec.structs.replace(pack.orders, self_trade="allow", trigger_by="last", trailing_unit="ticks")
    other = msgspec.structs.replace(pack, orders=msgspec.structs.replace(words, reduce_only_excess="cancel", deltas=True))
    rules = order_rules(other, odd)
    assert (rules.self_trade, rules.trigger_by, rules.trailing_in_bps) == (SelfTrade.ALLOW, Reference.LAST, False)
    assert (rules.shrink_reduce_only, rules.deltas) == (False, True)


def test_any_price_fits_in_micro_ticks():
    for unit_micro in (1, 200, 5000, 2**31 - 1):
        assert max_notional(unit_micro) * 10**6 < 2**62
        assert max_notional(unit_micro) * unit_micro <= MAX_ORDER_MICRO


def test_the_throttle_in_nanoseconds():
    pack = load_pack("core")
    assert throttle(pack).interval_ns == 1_000_000
    assert throttle(pack).ban_longest_ns == 3 * 86_400 * 10**9
    off = msgspec.structs.replace(pack, throttle=msgspec.structs.replace(pack.throttle, tokens_per_s=0))
    assert throttle(off).interval_ns == 0


def test_an_instrument_crosses_json():
    instrument = load_pack("core").instrument("ETH-PERP")
    assert msgspec.json.decode(msgspec.json.encode(instrument), type=Instrument) == instrument


def test_unknown_packs_and_symbols_are_named():
    with pytest.raises(PackError, match="no rule pack 'nowhere'"):
        load_pack("nowhere")
    with pytest.raises(PackError, match="no rule pack"):
        load_pack("../core")
    with pytest.raises(KeyError, match="NO-PERP"):
        load_pack("core").instrument("NO-PERP")
