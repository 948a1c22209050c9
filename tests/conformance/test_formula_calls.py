"""The published vectors through `engine.formulas`, as scripts call them: plain JSON in, plain JSON out."""

from __future__ import annotations

import json
import typing

import pytest

from engine.formulas import FORMULAS, FormulaError, arguments_of, call, plain
from engine.instruments import load_pack

CALLS = """
P3 margin.liquidation_price.in_tier -> 1114.78
    wallet=1535443.01 size=3683.979 entry=1456.84 rate=0.1 is_long=true deduction=135365
P6 margin.liquidation_price.bybit -> 23300
    entry=20000 size=1 initial=400 maintenance=100 is_long=false extra=3000
P7 margin.liquidation_price.okx -> 8.0857085
    entry=10 size=1 margin=2 rate=0.01 taker_fee=0.0006 is_long=true
P8 margin.liquidation_price.hyperliquid -> 0.86915825
    price=2458.5 size=0.015 margin=36.864593 max_leverage=50 is_long=true
P11 margin.requirements.dydx_initial_rate -> 0.6
    base=0.2 open_notional=1500000 low=1000000 high=2000000
P12 margin.requirements.dydx_initial -> 70030
    notional=123456 rate=0.567243
P15 margin.requirements.vega_maintenance -> 5565
    notional=15900 risk_factor=0.1 slippage=0.25
P17 prices.index.clamped -> 20600
    price=21400 middle=20000 limit=0.03
P21 prices.funding.dydx_cap -> 0.18
    initial_rate=0.15 maintenance_share=0.8
P22 prices.funding.impact_notional -> 4000
    initial_rate=0.05
P26 prices.funding.gmx_rates -> [1e-05, -3e-05]
    long_interest=150000 short_interest=50000 factor_a_second=1/50000
P29 liquidation.proceeds.fillable_price -> 49985
    notional=5000 size=0.1 requirement=500 position_requirement=500 adjustment=1 equity=499
P30 liquidation.proceeds.bankruptcy_proceeds -> 4501
    notional_change=-5000 equity=499 requirement_change=-500 requirement=500
P31 liquidation.fund.fund_delta -> 28.05
    proceeds=5610 bankruptcy=5100 most_fee=0.005
P32 liquidation.disposal.portion -> 25000
    notional=50000 largest_share=0.5 least=10
P33 liquidation.disposal.size_for_shortage -> 1.1111111111111112
    shortage=10 price=100 margin_rate=0.1 liquidator_fee=0.01
P35 liquidation.disposal.liquidator_fee -> 0.03
    base=0.02 most=0.05 slots=10000
P38 liquidation.adl.quintiles -> [1, 2, 3, 4, 4, 5]
    lots=[10,20,30,10,10,20]
P39 liquidation.socialise.socialise -> [2970, 30]
    shortfall=3000 gains=[8000,80]
P40 liquidation.fund.covered -> [1, 2]
    shortfall=3 pool=1
P46 fees.fee -> [0.123, 0.246, 6.15]
    size=1.23 price=100 factors=["0.001","0.002","0.05"]
P47 margin.requirements.unrealised_pnl -> 0.4
    size=0.02 entry=100 mark=120
"""

VECTORS = [
    (head.split()[0], head.split()[1], json.loads(head.split("->")[1]), rest.split())
    for head, rest in zip(CALLS.strip().splitlines()[::2], CALLS.strip().splitlines()[1::2], strict=True)
]
"""(id, formula, expected, arguments)"""


@pytest.mark.parametrize(("vector", "name", "expected", "arguments"), VECTORS, ids=[row[0] for row in VECTORS])
def test_a_vector_through_plain_json(vector, name, expected, arguments):
    said = json.loads(json.dumps(plain(call(name, arguments_of(arguments)))))
    assert said == pytest.approx(expected, rel=2e-7 if vector != "P3" else 1e-5)


def test_records_ladders_and_lists_are_taken_from_plain_values():
    ladder = [[0, "1/125", "0.004"], [50_000, "0.01", "0.005"], [600_000, "1/75", "0.0065"]]
    found = call(
        "margin.liquidation_price.liquidation_price",
        {"ladder": ladder, "wallet": 10_000, "size": 10, "entry": 30_000, "is_long": True},
    )
    assert plain(found) == {"price": pytest.approx(29140.7035), "tier": 1}
    core = load_pack("core")
    arguments = {"ladder": "BTC-PERP", "notional": 10**6}
    assert call("margin.ladder.maintenance_margin", arguments, lambda name: core.ladder(core.instrument(name))) == 5_550
    legs = [{"underlying": "BTC", "notional": 100}, {"underlying": "ETH", "notional": "-50"}]
    extremes = {"BTC": "0.24", "ETH": "0.24"}
    assert call("margin.portfolio.correlation_one", {"legs": legs, "extremes": extremes, "basis": {"BTC": 0, "ETH": 0}}) == 24


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("nothing", "", "there is no formula 'nothing'"),
        ("fees.fee_bite", "extra_cost=1", "also needs initial_rate, maintenance_rate"),
        ("fees.fee_bite", "extra=1", "has no parameter 'extra'"),
        ("fees.fee_bite", "extra_cost=NaN initial_rate=0.1 maintenance_rate=0.05", "extra_cost is 'NaN'"),
        ("fees.fee_bite", "extra_cost=[1] initial_rate=0.1 maintenance_rate=0.05", "must be a number"),
        ("liquidation.disposal.liquidator_fee", "base=0 most=1 slots=1.5", "slots is '1.5', it must be a whole number"),
        ("margin.liquidation_price.okx", "entry=1 size=1 margin=1 rate=0 taker_fee=0 is_long=yes", "true or false"),
        ("margin.ladder.tier_of", "ladder=[[0,1]] notional=1", r"must be \[floor, initial rate, maintenance rate\]"),
        ("margin.ladder.tier_of", 'ladder=[[0,"0.01","0.02"]] notional=1', "maintenance rate < initial rate"),
        ("margin.ladder.tier_of", "ladder=X notional=1", "it must be a list"),
        ("liquidation.adl.quintiles", "lots=3", "lots is 3, it must be a list"),
        ("liquidation.adl.deleverage", 'needed=1 candidates=[{"who":1}] rank=bitmex', "has no field 'who'"),
        ("liquidation.adl.deleverage", "needed=1 candidates=[] rank=best", "must be one of bitmex"),
        ("fees.fee_bite", "extra_cost", "'extra_cost' must be <parameter>=<value>"),
        ("fees.fee_bite", "extra_cost=1 extra_cost=2", "each parameter once"),
    ],
)
def test_what_is_wrong_with_a_call_is_said(name, arguments, said):
    with pytest.raises(FormulaError, match=said):
        call(name, arguments_of(arguments.split()))


def test_no_formula_takes_what_json_cannot_say():
    for name, function in FORMULAS.items():
        for key, hint in typing.get_type_hints(function).items():
            assert "ndarray" not in str(hint), f"{name}: {key}"
            assert "Graph" not in str(hint), f"{name}: {key}"
            assert "Callable" not in str(hint), f"{name}: {key}"
