"""Liquidation: how positions in distress are disposed of, at which prices, and who pays for what is missing. Pure formulas
and plans."""
