"""Every safety rule has its tests, and every test of tests/security says whose it is."""

from __future__ import annotations

import ast
from pathlib import Path

RULES = {f"s{number:02}" for number in range(1, 33)}


def test_every_rule_has_a_test_and_every_test_a_rule() -> None:
    directory = Path(__file__).parents[1] / "security"
    found = {
        node.name.split("_")[1]
        for path in directory.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
    assert found == RULES
