"""Filters as dockerd 28.5 takes them."""

from __future__ import annotations

import time

import pytest

from sampan.errors import InvalidArgument
from sampan.model import filters

LABELS = {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ({}, True),
        ({"label": ["a", "b=2"]}, True),
        ({"label": ["a", "b=3"]}, False),
        ({"label!": ["a"]}, False),
        ({"label!": ["a", "c"]}, True),  # both must hold for it to be left out
        ({"label!": ["a", "b"]}, False),
    ],
)
def test_labels(given: dict[str, list[str]], passes: bool) -> None:
    assert filters.labelled(LABELS, given) is passes
    assert filters.labelled(None, {"label": ["a"]}) is False


def test_flags() -> None:
    assert filters.flag({}, "dangling") is None
    assert filters.flag({"dangling": ["1", "true"]}, "dangling") is True
    for values in (["maybe"], ["1", "0"]):
        with pytest.raises(InvalidArgument, match="invalid filter 'dangling="):
            filters.flag({"dangling": values}, "dangling")


def test_moments() -> None:
    assert filters.parse_moment("1700000000.5") == 1_700_000_000.5
    assert filters.parse_moment("2023-11-14T22:13:20Z") == 1_700_000_000
    assert time.time() - filters.parse_moment("1h") == pytest.approx(3600, abs=60)
    for text in ("", "yesterday", "9" * 30 + "h"):
        with pytest.raises(InvalidArgument, match="failed to parse value as time or duration"):
            filters.parse_moment(text)
    with pytest.raises(InvalidArgument, match="more than one until filter specified"):
        filters.moment({"until": ["1h", "2h"]}, "until")
