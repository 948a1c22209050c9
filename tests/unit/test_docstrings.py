"""The examples in docstrings of the risk core hold."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = [
    "engine.bounds", "engine.exact", "engine.fees", "engine.margin.band",
    "engine.liquidation.adl", "engine.liquidation.disposal",
    "engine.liquidation.fund", "engine.liquidation.proceeds", "engine.liquidation.socialise", "engine.margin.ladder",
    "engine.margin.liquidation_price", "engine.margin.portfolio", "engine.margin.requirements", "engine.margin.states",
    "engine.prices.funding", "engine.prices.index", "engine.prices.kernel", "engine.prices.mark",
]  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_hold(name):
    done = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert done.attempted > 0
    assert done.failed == 0
