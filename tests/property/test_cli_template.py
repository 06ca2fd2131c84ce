"""Any template either parses and runs or is refused with one of its own errors."""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.cli.flags import FlagError, Parser
from sampan.cli.run_flags import CONTAINER_FLAGS
from sampan.cli.tabular import align
from sampan.cli.template import Template, TemplateError, TemplateSyntaxError
from sampan.cli.template_values import go_text
from sampan.model.quantity import go_duration, parse_bytes, parse_cpus, parse_duration

EXAMPLES = 20_000 if os.environ.get("SAMPAN_FUZZ") == "long" else 60
TOKENS = """{{ }} {{- -}} . .A .B.C $ $x := = | ( ) , if else end range with break continue define template block "s"
`r` 'c' 1 -2.5 true nil and or not eq lt index len json printf join split upper title slice print /* */ x"""
WORDS = TOKENS.split()
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ABC"), inner, max_size=3)
)


@settings(max_examples=EXAMPLES)
@given(st.lists(st.sampled_from(WORDS), max_size=14), st.sampled_from(["", " "]), VALUES)
def test_templates_of_any_words(words: list[str], space: str, data: Any) -> None:
    try:
        Template(space.join(words)).render(data)
    except (TemplateError, TemplateSyntaxError):
        return


@settings(max_examples=EXAMPLES)
@given(st.text(max_size=30))
def test_text_without_actions_stays(text: str) -> None:
    if "{{" not in text:
        assert Template(text).render({}) == text


@settings(max_examples=EXAMPLES)
@given(VALUES)
def test_json_of_any_value(data: Any) -> None:
    assert json.loads(Template("{{json .}}").render(data)) == data
    assert isinstance(go_text(data), str)


@settings(max_examples=EXAMPLES)
@given(st.lists(st.lists(st.text("ab ü", max_size=14), min_size=1, max_size=4), max_size=5))
def test_alignment_keeps_cells_and_order(rows: list[list[str]]) -> None:
    aligned = align("\n".join("\t".join(row) for row in rows)).split("\n")
    for row, line in zip(rows, aligned, strict=False):
        position = 0
        for cell in row:
            position = line.index(cell, position) + len(cell)


@settings(max_examples=EXAMPLES)
@given(st.integers(-(10**18), 10**18))
def test_durations_round_trip_to_the_microsecond(nanoseconds: int) -> None:
    assert abs(parse_duration(go_duration(nanoseconds)) - nanoseconds) <= max(1000, abs(nanoseconds) >> 50)


@settings(max_examples=EXAMPLES)
@given(st.text("0123456789.kmgibB -xyz", max_size=8))
def test_quantities_parse_or_say_why(text: str) -> None:
    for parse in (parse_bytes, parse_cpus, parse_duration):
        try:
            assert isinstance(parse(text), int)
        except ValueError as error:
            assert str(error)


@settings(max_examples=EXAMPLES)
@given(
    st.lists(st.sampled_from(["-it", "-p", "80", "--rm", "--name", "--name=x", "-", "--", "-e", "A=1", "-zz", "--no"]))
)
def test_words_parse_or_say_why(words: list[str]) -> None:
    try:
        _, rest = Parser(CONTAINER_FLAGS, interspersed=False).parse(words)
    except FlagError as error:
        assert str(error).startswith(("unknown ", "flag needs an argument", "invalid argument"))
    else:
        assert words[len(words) - len(rest) :] == rest
