"""How steps are shown, and what unknown words were meant to be."""

from __future__ import annotations

import pytest

from sampan.build.frontend.naming import shown_text
from sampan.dockerfile.spelling import hint


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("echo $A ${A}x", "echo 1 1x"),
        ("echo '$A' \"$A's '$A'\"", "echo '$A' \"1's '1'\""),
        (r"echo \$A \\ $NO ${NO} ${NO:-$A}", r"echo $A \ $NO ${NO} ${NO:-1}"),
        ("echo $", "echo $"),
    ],
)
def test_variables_in_names(text: str, shown: str) -> None:
    assert shown_text(text, {"A": "1"}) == shown


def test_hints() -> None:
    known = ["FROM", "RUN", "COPY"]
    assert hint("FOO", known) == "did you mean FROM?" and hint("COPPYY", known) == "did you mean COPY?"
    assert hint("XYZZY", known) == ""
