"""Published vectors of portfolio margin: P27 and P28 (RISK-SPEC, public vectors)."""

from __future__ import annotations

from fractions import Fraction

from engine.margin.portfolio import deribit, inverse_pnl, span


def test_p27_deribits_risk_matrix():
    """Source: docs.deribit.com, private/pme/simulate (DB)."""
    perpetual, june = "0.314538364", "-0.001187534"
    found = deribit([perpetual, june], "0.16", "0.01", mmp="0.06", open_orders="0.000018212")
    assert round(float(inverse_pnl(perpetual, "-0.16")), 10) == -0.0599120693
    assert round(float(inverse_pnl(june, "-0.16")), 10) == 0.0002261970
    assert round(float(found.worst), 10) == 0.0596858724
    assert found.worst == -found.pnl[Fraction(-16, 100)]
    assert len(found.pnl) == 9
    assert found.roll == Fraction("0.00315725898")
    assert found.risk_matrix == Fraction("0.06284313098")
    assert found.maintenance == Fraction("0.050274504784")
    assert round(float(found.initial), 9) == 0.122861343


def test_p28_the_scenarios_of_span():
    """Source: CME SPAN documentation of the S&P contract."""
    found = span(10_000, 7_000)
    assert len(found.scenarios) == 16
    assert {abs(int(pnl)) for pnl in found.scenarios} == {0, 3_330, 6_670, 7_000, 10_000}
    assert sum(found.scenarios) == 0
    assert found.requirement == 10_000
