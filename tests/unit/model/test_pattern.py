"""Clients' regular expressions: Python's own verdict, without its time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import InvalidArgument
from sampan.model.pattern import Pattern

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", "^", "$", r"\b", "(?i:A)", ""])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{1,3}", "{2,}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)


@given(EXPRESSIONS, st.text("ab1_", max_size=6))
def test_it_finds_what_python_finds(expression: str, text: str) -> None:
    assert Pattern(expression).found_in(text) == (re.search(expression, text) is not None)


@pytest.mark.parametrize(
    "expression", ["(a+)+$", "^(a|a)*$", "(.*.*)*x$", "(a?){30}a{30}$", "^((a*)*)*$", "(a{1,9}){1,9}$"]
)
def test_none_explodes(expression: str) -> None:
    assert not Pattern(expression).found_in("a" * 60 + "!")


@pytest.mark.parametrize(
    "expression", ["(", "[", "a**", "(?=a)", "(?<!a)b", r"(a)\1", "(?>a)", "(" * 5000 + ")" * 5000]
)
def test_what_go_does_not_know_is_refused(expression: str) -> None:
    with pytest.raises(InvalidArgument):
        Pattern(expression)
