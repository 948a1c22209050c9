"""Instruments and the rule packs that hold them."""

from __future__ import annotations

import msgspec
import pytest

from engine.instruments import Instrument, PackError, load_pack


def test_the_core_pack_holds_eight_perpetuals_in_whole_micro_units():
    pack = load_pack("core")
    assert len(pack.instruments) == 8
    for instrument in pack.instruments:
        assert instrument.notional_micro == pytest.approx(instrument.tick * instrument.lot * 1e6)
        assert instrument.initial_rate_ppm * instrument.max_leverage <= 1_000_000
        assert instrument.maintenance_rate_ppm < instrument.initial_rate_ppm


@pytest.mark.parametrize("symbol", ["", "A" * 33, "BTC PERP", "<b>", "BTC\n", "BTC{x}"])
def test_symbols_outside_the_pattern_are_refused(symbol):
    with pytest.raises(ValueError, match="does not match"):
        Instrument(symbol, "0.01", "1")


@pytest.mark.parametrize(
    ("tick", "lot", "says"),
    [
        ("0", "1", "positive"),
        ("-1", "1", "positive"),
        ("nan", "1", "positive"),
        ("x", "1", "decimal"),
        ("0.0001", "0.0001", "whole number"),
        ("0.00000015", "10", "whole number"),
        ("100000", "100000", "whole number"),
    ],
)
def test_sizes_that_the_engine_cannot_count_are_refused(tick, lot, says):
    with pytest.raises(ValueError, match=says):
        Instrument("X", tick, lot)


def test_margin_rates_must_be_in_order():
    with pytest.raises(ValueError, match="margin rates"):
        Instrument("X", "0.01", "1", max_leverage=10, initial_rate_ppm=1000, maintenance_rate_ppm=2000)
    with pytest.raises(ValueError, match="max_leverage"):
        Instrument("X", "0.01", "1", max_leverage=0)


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
