"""The group `perpwatch risk`."""

from __future__ import annotations

import click

from monitor.risk.cascades import cascade
from monitor.risk.ledger import bridge, toxicity
from monitor.risk.positions import band, holdings, size, stress
from monitor.risk.rules import formula, ladder, liquidation_price, references


@click.group()
def risk() -> None:
    """Margin, liquidation, stress and cascades, by the rules of a pack."""


for command in (ladder, liquidation_price, references, formula, holdings, band, stress, size, cascade, bridge, toxicity):
    risk.add_command(command)
