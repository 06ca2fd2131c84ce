"""The lint finds what BuildKit's finds, in its words (golden/lint.json, recorded by `record_lint.py`)."""

from __future__ import annotations

import json

import pytest

from sampan.dockerfile.ignore import IgnoreRules, read_patterns
from sampan.dockerfile.lint import Surroundings, check
from sampan.dockerfile.parser import parse
from sampan.dockerfile.stages import plan

from .lint_cases import IGNORED, LINTS
from .record_lint import GOLDENS

FOUND = json.loads(GOLDENS.read_text())
PLATFORMS = {"BUILDPLATFORM": "linux/amd64", "TARGETPLATFORM": "linux/amd64", "TARGETARCH": "amd64"}


@pytest.mark.parametrize("name", LINTS)
def test_findings(name: str) -> None:
    parsed = parse(LINTS[name])
    ignored = IgnoreRules(read_patterns(IGNORED))
    around = Surroundings(PLATFORMS, lambda stage: ["PATH"], ignored.matches)
    ours = check(parsed, plan(parsed, {**PLATFORMS, "BASE": "given"}), around=around)
    assert sorted([one.rule, one.line, one.message] for one in ours) == FOUND[name]
