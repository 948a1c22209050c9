"""Every public vector of RISK-SPEC is a test that carries its id and names its source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = {
    node.name: ast.get_docstring(node) or ""
    for path in Path(__file__).parent.glob("test_*_vectors.py")
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef)
}


@pytest.mark.parametrize("number", range(1, 48), ids=lambda number: f"P{number}")
def test_the_vector_is_a_test_with_a_source(number):
    found = [said for name, said in TESTS.items() if re.match(rf"test_p{number}_", name)]
    assert len(found) == 1
    assert found[0].startswith("Source: ")
