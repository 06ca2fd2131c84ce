"""The Dockerfile parser under random input: it ends, and fails only in its own words."""

from __future__ import annotations

import os
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.dockerfile.errors import DockerfileError
from sampan.dockerfile.expand import expand, expand_words
from sampan.dockerfile.ignore import IgnoreRules, read_patterns
from sampan.dockerfile.parser import INSTRUCTIONS, parse, render
from sampan.dockerfile.stages import plan
from sampan.errors import InvalidArgument

CASES = 200_000 if os.environ.get("SAMPAN_FUZZ") == "long" else 10_000

_PIECES = (
    ["\\\n", "\n", " ", "$a", "${b:-c}", '"', "'", "[", "]", '"x"', ",", "--from=x", "--", "<<EOF", "EOF", "<<-'E'",
     "E", "# c\n", "\t", "=", "AS", "`", "\\", "é", "ONBUILD ", "x", "/y", "1"]
)  # fmt: skip
_bits = st.sampled_from(_PIECES)
_lines = st.builds(
    lambda name, bits: name + " " + "".join(bits), st.sampled_from(sorted(INSTRUCTIONS)), st.lists(_bits, max_size=8)
)
_files = st.lists(_lines | st.text(max_size=12), max_size=6).map("\n".join)


def _from_seed(seed: int) -> str:
    """A file like those of `_files`, at a tenth of the time that it takes hypothesis to draw one piece by piece."""
    source = random.Random(seed)
    lines = []
    for _ in range(source.randrange(6)):
        bits = "".join(source.choices(_PIECES, k=source.randrange(9)))
        lines.append(f"{source.choice(sorted(INSTRUCTIONS))} {bits}" if source.random() < 0.9 else bits)
    return "\n".join(lines)


@settings(max_examples=CASES, deadline=2000)
@given(st.integers(0, 1 << 64).map(_from_seed))
def test_parser_never_crashes_and_round_trips(text: str) -> None:
    _check(text)


@settings(max_examples=CASES // 20, deadline=2000)
@given(_files)
def test_parser_on_files_that_shrink_well(text: str) -> None:
    _check(text)


def _check(text: str) -> None:
    try:
        parsed = parse(text)
    except DockerfileError:
        return
    again = parse(render(parsed))
    assert [(one.name, one.arguments, one.flags, one.exec_form) for one in again.instructions] == [
        (one.name, one.arguments, one.flags, one.exec_form) for one in parsed.instructions
    ]
    try:
        plan(parsed, {"a": "1"})
    except InvalidArgument:
        pass


@settings(max_examples=2000, deadline=2000)
@given(st.lists(_bits | st.sampled_from(["${", "}", "#", "%", "//", ":", "*", "?"]), max_size=12).map("".join))
def test_expansion_never_crashes(text: str) -> None:
    for operation in (expand, expand_words):
        try:
            operation(text, {"a": "b*", "b": ""})
        except InvalidArgument:
            pass


@settings(max_examples=2000, deadline=2000)
@given(st.text(alphabet="ab*?[]!^-\\/.\n#", max_size=20), st.text(alphabet="ab/.", min_size=1, max_size=10))
def test_ignore_patterns_never_crash(patterns: str, path: str) -> None:
    IgnoreRules(read_patterns(patterns)).matches(path)
