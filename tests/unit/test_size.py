"""Functions and files stay small (style guide, habit 1)."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

SOURCE = Path(__file__).parents[2] / "src" / "sampan"


def percentile(values: list[int], share: float) -> int:
    return sorted(values)[max(0, int(len(values) * share) - 1)]


def function_sizes() -> dict[str, int]:
    sizes = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                sizes[f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}"] = lines
    return sizes


def test_functions_are_small() -> None:
    sizes = function_sizes()
    too_long = {name: lines for name, lines in sizes.items() if lines > 80}
    assert not too_long
    if sizes:
        assert percentile(list(sizes.values()), 0.95) <= 40
        assert median(sizes.values()) <= 8


def test_files_are_small() -> None:
    sizes = {str(path.relative_to(SOURCE)): path.read_text().count("\n") for path in SOURCE.rglob("*.py")}
    assert not {name: lines for name, lines in sizes.items() if lines > 700}
    assert percentile(list(sizes.values()), 0.95) <= 500
