"""What the goldens of tests/compat/build/test_lint.py leave open: what is not known, is not complained of."""

from __future__ import annotations

import pytest

from sampan.dockerfile.lint import CHECK_ARG, Surroundings, check, options_of
from sampan.dockerfile.parser import parse
from sampan.dockerfile.stages import plan


def rules(text: str, around: Surroundings | None = None, **arguments: str) -> list[tuple[str, int]]:
    parsed = parse(text)
    found = check(parsed, plan(parsed, {}), options_of(parsed, arguments), around)
    return [(finding.rule, finding.line) for finding in found]


def test_variables_of_an_unknown_base_are_not_looked_for() -> None:
    text = "FROM base AS a\nENV x=$y\nFROM a\nENV z=$q\nFROM scratch\nENV w=$v\n"
    assert rules(text) == [("UndefinedVar", 6)]
    assert rules(text, Surroundings(variables=lambda stage: ["q"])) == [("UndefinedVar", 2), ("UndefinedVar", 6)]


def test_options_of_directive_and_argument() -> None:
    text = "# check=skip=MaintainerDeprecated\nFROM a AS B\nMAINTAINER me"
    assert rules(text) == [("StageNameCasing", 2)]
    assert rules(text, **{CHECK_ARG: "skip=StageNameCasing"}) == [("MaintainerDeprecated", 3)]
    assert rules(text, **{CHECK_ARG: "skip=all"}) == []
    for error in ("error=true", "skip=X ; error = 1", "error=t;experimental=all"):
        assert options_of(parse(f"# check={error}\nFROM a")).error, error
    assert not options_of(parse("# check=error=true\nFROM a"), {CHECK_ARG: "error=false"}).error


@pytest.mark.parametrize("asked", ["all", "copyignoredfile", "X, CopyIgnoredFile"])
def test_experimental_rules_are_asked_for(asked: str) -> None:
    text = "FROM a\nCOPY x $y <<EOF /to/\nEOF\nCOPY /x /"
    around = Surroundings(ignored=lambda path: path == "x")
    assert rules(text, around) == []
    assert rules(f"# check=experimental={asked}\n{text}", around) == [("CopyIgnoredFile", 3), ("CopyIgnoredFile", 5)]
