"""Each rule finds its mistake, at its line, under Docker's name for it."""

from __future__ import annotations

import pytest

from sampan.dockerfile.lint import check, is_error
from sampan.dockerfile.parser import parse
from sampan.dockerfile.stages import plan


def rules(text: str) -> list[tuple[str, int]]:
    parsed = parse(text)
    return [(finding.rule, finding.line) for finding in check(parsed, plan(parsed, {}))]


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        ("FROM a AS Base", "StageNameCasing", 1),
        ("FROM a as base", "FromAsCasing", 1),
        ("FROM a\nRUN x\nrun y", "ConsistentInstructionCasing", 3),
        ("FROM a AS b\nFROM a AS b", "DuplicateStageName", 2),
        ("FROM a AS scratch", "ReservedStageName", 1),
        ("FROM a\nCMD x y", "JSONArgsRecommended", 2),
        ("FROM a\nMAINTAINER me", "MaintainerDeprecated", 2),
        ("FROM a\nENV a b", "LegacyKeyValueFormat", 2),
        ('FROM a\nCMD ["x"]\nCMD ["y"]', "MultipleInstructionsDisallowed", 2),
        ("FROM a\nWORKDIR x", "WorkdirRelativePath", 2),
        ("FROM a\nARG DB_PASSWORD", "SecretsUsedInArgOrEnv", 2),
        ("ARG X=y\nFROM a$Y", "UndefinedArgInFrom", 2),
        ("ARG X\nFROM a AS b\nFROM b", "", 0),
        ("FROM scratch\nCOPY $x /", "UndefinedVar", 2),
        ("FROM a\nEXPOSE 80:80", "ExposeInvalidFormat", 2),
        ("FROM a\nEXPOSE 80/TCP", "ExposeProtoCasing", 2),
        ("FROM --platform=$TARGETPLATFORM a", "RedundantTargetPlatform", 1),
        ("FROM --platform=linux/amd64 a", "FromPlatformFlagConstDisallowed", 1),
        ("FROM a\nRUN x \\\n\n y", "NoEmptyContinuation", 3),
    ],
)
def test_rules(text: str, rule: str, line: int) -> None:
    assert rules(text) == ([(rule, line)] if rule else [])


def test_directive_skips_rules() -> None:
    assert rules("# check=skip=MaintainerDeprecated\nFROM a\nMAINTAINER me") == []
    assert rules("# check=skip=all\nFROM a as B") == []
    assert is_error(parse("# check=error=true\nFROM a"))
